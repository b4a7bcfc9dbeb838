//! STARTTLS and direct TLS on one port, certificates, reload.

use super::harness::{Client, Server, Wishes, header};
use crate::net::tls::testing;
use crate::stream::End;

#[tokio::test]
async fn starttls_and_direct_tls_on_one_port() {
    let mut server = Server::start(Wishes::new());
    let mut direct = Client::direct(server.connect().await, "localhost").await;
    direct.log_in("localhost").await;
    let mut upgraded = Client::starttls(server.connect().await, "localhost", "localhost", "").await;
    upgraded.log_in("localhost").await;
    for client in [&mut direct, &mut upgraded] {
        let seat = server.seat().await;
        client.send("<message/>").await;
        server.until(|_| seat.heard() == 1).await;
    }
}

#[tokio::test]
async fn the_certificate_goes_by_sni_else_by_the_stream_header() {
    let server = Server::start(Wishes::new());
    let fingerprint = |name: &str| Some(server.tls.choose(Some(name), None).fingerprint);
    for (name, expected) in [
        ("other.example", "other.example"),
        ("nowhere.example", "localhost"),
        ("127.0.0.1", "localhost"),
    ] {
        let client = Client::direct(server.connect().await, name).await;
        assert_eq!(client.certificate, fingerprint(expected), "{name}");
    }
    for (to, name, expected) in [
        ("other.example", "127.0.0.1", "other.example"),
        ("localhost", "other.example", "other.example"),
    ] {
        let client = Client::starttls(server.connect().await, to, name, "").await;
        assert_eq!(client.certificate, fingerprint(expected), "{to} {name}");
    }
}

#[tokio::test]
async fn a_reload_drops_nobody() {
    let mut server = Server::start(Wishes::new());
    let (mut client, seat) = server.bound().await;
    let before = client.certificate;
    testing::write(server.dir.path(), "localhost");
    assert_eq!(server.tls.reload().changed, ["localhost"]);
    let (after, _) = server.bound().await;
    assert_ne!(before, after.certificate);
    client.send("<message/>").await;
    server.until(|_| seat.heard() == 1).await;
    seat.say("<message id='still'/>");
    client.expect("<message id='still'/>").await;
    assert_eq!(seat.ends(), []);
}

#[tokio::test]
async fn what_was_said_before_tls_does_not_count() {
    let mut server = Server::start(Wishes::new());
    let injected = "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>AGp1bGlldABzZWNyZXQ=</auth><message";
    let mut client =
        Client::starttls(server.connect().await, "localhost", "localhost", injected).await;
    client.log_in("localhost").await;
    let seat = server.seat().await;
    client.send("<message/>").await;
    server.until(|_| seat.heard() == 1).await;
}

#[tokio::test]
async fn no_login_before_tls() {
    let server = Server::start(Wishes::new());
    let mut client = Client::plain(server.connect().await);
    client.send(&header("localhost")).await;
    let features = client.expect("</stream:features>").await;
    assert!(
        features.contains("<starttls") && !features.contains("<mechanism"),
        "{features}"
    );
}

#[tokio::test]
async fn plaintext_where_the_place_is_safe_and_the_configuration_allows_it() {
    let mut server = Server::start(Wishes::plaintext());
    let mut client = Client::plain(server.connect().await);
    client.log_in("localhost").await;
    let seat = server.seat().await;
    client.send("</stream:stream>").await;
    client.expect("</stream:stream>").await;
    server.until(|_| seat.ends() == [End::Footer]).await;
}

#[tokio::test]
async fn what_is_no_tls_is_counted() {
    use std::sync::atomic::Ordering::Relaxed;
    let server = Server::start(Wishes::new());
    let mut client = Client::plain(server.connect().await);
    client
        .send("\x16<not TLS at all, but it begins like it>")
        .await;
    client.expect_end().await;
    assert_eq!(server.stats.tls_failures.load(Relaxed), 1);
}

#[tokio::test]
async fn plaintext_nowhere_else() {
    let mut wishes = Wishes::plaintext();
    wishes.options.addresses = vec!["0.0.0.0:0".parse().unwrap()];
    let server = Server::start(wishes);
    let address = ("127.0.0.1", server.listeners.addresses()[0].port());
    let mut client = Client::plain(tokio::net::TcpStream::connect(address).await.unwrap());
    client.send(&header("localhost")).await;
    let features = client.expect("</stream:features>").await;
    assert!(
        features.contains("<starttls") && !features.contains("<mechanism"),
        "{features}"
    );
}

#[tokio::test]
async fn plaintext_from_a_trusted_proxy_and_then_no_second_tls() {
    let mut wishes = Wishes::plaintext();
    wishes.options.addresses = vec!["0.0.0.0:0".parse().unwrap()];
    wishes.options.trusted_proxies = vec!["127.0.0.1".parse().unwrap()];
    let server = Server::start(wishes);
    let address = ("127.0.0.1", server.listeners.addresses()[0].port());
    let mut client = Client::plain(tokio::net::TcpStream::connect(address).await.unwrap());
    client
        .send(&format!(
            "PROXY TCP4 192.0.2.1 198.51.100.1 1 5222\r\n{}",
            header("localhost")
        ))
        .await;
    let features = client.expect("</stream:features>").await;
    assert!(
        features.contains("<mechanism") && !features.contains("<starttls"),
        "{features}"
    );
}
