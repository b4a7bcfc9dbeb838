//! Limits on connections, times, and the addresses that proxies announce.

use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use super::harness::{Client, Server, Wishes, header};

const SHORT: Duration = Duration::from_millis(300);

#[tokio::test]
async fn connections_per_address() {
    let mut wishes = Wishes::new();
    wishes.limits.per_address = 2;
    let mut server = Server::start(wishes);
    let (first, _) = server.bound().await;
    let (_second, _) = server.bound().await;
    Client::plain(server.connect().await).expect_end().await;
    assert_eq!(server.stats.refused_address.load(Relaxed), 1);
    drop(first);
    server
        .until(|server| server.stats.open.load(Relaxed) == 1)
        .await;
    server.bound().await;
}

#[tokio::test]
async fn half_open_connections() {
    let mut wishes = Wishes::new();
    wishes.limits.half_open_per_address = 2;
    let mut server = Server::start(wishes);
    for _ in 0..3 {
        server.bound().await;
    }
    let _one = server.connect().await;
    let _two = Client::direct(server.connect().await, "localhost").await;
    server
        .until(|server| server.stats.half_open.load(Relaxed) == 2)
        .await;
    Client::plain(server.connect().await).expect_end().await;
    assert_eq!(server.stats.refused_half_open.load(Relaxed), 1);
}

#[tokio::test]
async fn a_storm_waits_for_its_turns_and_comes_in() {
    let mut wishes = Wishes::new();
    wishes.limits.half_open_per_address = 200;
    let server = Server::start(wishes);
    let mut storm = Vec::new();
    for _ in 0..120 {
        storm.push(Client::plain(server.connect().await));
    }
    for client in &mut storm {
        client.send(&header("localhost")).await;
    }
    for client in &mut storm {
        client.expect("features").await;
    }
    let waited = server.stats.waited.load(Relaxed);
    assert!((1..=70).contains(&waited), "{waited}");
    assert_eq!(server.stats.waiting.load(Relaxed), 0);
}

#[tokio::test]
async fn silence_before_the_first_byte() {
    let mut wishes = Wishes::new();
    wishes.options.timeouts.first_byte = SHORT;
    let server = Server::start(wishes);
    Client::plain(server.connect().await).expect_end().await;
    assert_eq!(server.stats.prelude_failures.load(Relaxed), 1);
}

#[tokio::test]
async fn a_handshake_that_is_never_finished() {
    let mut wishes = Wishes::new();
    wishes.options.timeouts.handshake = SHORT;
    let server = Server::start(wishes);
    let mut client = Client::plain(server.connect().await);
    client.send("\x16\x03\x01").await;
    client.expect_end().await;
    assert_eq!(server.stats.tls_failures.load(Relaxed), 1);
}

#[tokio::test]
async fn one_deadline_spans_all_stages_of_a_login() {
    let mut wishes = Wishes::new();
    wishes.stream.login = SHORT * 2;
    wishes.stream.header = SHORT;
    let server = Server::start(wishes);
    let silent = Client::plain(server.connect().await);
    let mut half_hello = Client::plain(server.connect().await);
    half_hello.send("\x16\x03\x01").await;
    let mut plain = Client::plain(server.connect().await);
    plain.send(&header("localhost")).await;
    plain.expect("features").await;
    for mut client in [silent, half_hello, plain] {
        client.expect_end().await;
    }
    // The third was ended by its stream machine, which had a header and gave it what was left.
    assert!(server.stats.login_timeouts.load(Relaxed) >= 2);
}

#[tokio::test]
async fn nobody_new_is_let_in_while_memory_is_short() {
    let mut server = Server::start(Wishes::plaintext());
    let mut before = server.bound().await;
    server.admission.set_short_of_memory(true);
    Client::plain(server.connect().await).expect_end().await;
    assert_eq!(server.stats.refused_memory.load(Relaxed), 1);
    before.0.send("<message/>").await;
    server.admission.set_short_of_memory(false);
    server.bound().await;
}

#[tokio::test]
async fn a_slow_loris() {
    let mut wishes = Wishes::plaintext();
    wishes.stream.login = SHORT * 2;
    wishes.stream.header = SHORT * 2;
    let server = Server::start(wishes);
    let started = Instant::now();
    let mut client = Client::plain(server.connect().await);
    let dribble = async {
        for character in header("localhost").chars().chain(std::iter::repeat(' ')) {
            client.send(&character.to_string()).await;
            tokio::time::sleep(SHORT / 10).await;
            if server.listeners.connections() == 0 {
                return;
            }
        }
    };
    tokio::time::timeout(SHORT * 10, dribble).await.unwrap();
    assert!(started.elapsed() >= SHORT);
}

#[tokio::test]
async fn a_client_that_never_logs_in() {
    let mut wishes = Wishes::new();
    wishes.stream.header = SHORT;
    wishes.stream.login = SHORT * 2;
    let server = Server::start(wishes);
    let mut client = Client::direct(server.connect().await, "localhost").await;
    client.send(&header("localhost")).await;
    let said = client.expect_end().await;
    assert!(
        said.contains("connection-timeout") || said.contains("policy-violation"),
        "{said}"
    );
    server
        .until(|server| server.stats.half_open.load(Relaxed) == 0)
        .await;
}

fn behind_proxy() -> Wishes {
    let mut wishes = Wishes::new();
    wishes.options.trusted_proxies = vec!["127.0.0.0/8".parse().unwrap()];
    wishes.limits.per_address = 1;
    wishes
}

#[tokio::test]
async fn a_proxy_announces_its_client_and_the_limits_count_it() {
    let server = Server::start(behind_proxy());
    let mut first = Client::plain(server.connect().await);
    first
        .send(&format!(
            "PROXY TCP4 192.0.2.1 198.51.100.1 4000 5222\r\n{}",
            header("localhost")
        ))
        .await;
    first.expect("</stream:features>").await;
    let mut same = Client::plain(server.connect().await);
    same.send("PROXY TCP4 192.0.2.1 198.51.100.1 4001 5222\r\n<")
        .await;
    same.expect_end().await;
    assert_eq!(server.stats.refused_address.load(Relaxed), 1);

    let mut other = server.connect().await;
    let mut head = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c".to_vec();
    head.extend([192, 0, 2, 2, 198, 51, 100, 1, 0, 99, 0, 1]);
    tokio::io::AsyncWriteExt::write_all(&mut other, &head)
        .await
        .unwrap();
    let mut other = Client::direct(other, "localhost").await;
    other.send(&header("localhost")).await;
    other.expect("</stream:features>").await;
}

#[tokio::test]
async fn a_trusted_proxy_without_header_and_a_header_from_a_stranger() {
    let server = Server::start(behind_proxy());
    let mut bare = Client::plain(server.connect().await);
    bare.send(&header("localhost")).await;
    assert_eq!(bare.expect_end().await, "");
    assert_eq!(server.stats.prelude_failures.load(Relaxed), 1);

    let server = Server::start(Wishes::new());
    let mut stranger = Client::plain(server.connect().await);
    stranger
        .send("PROXY TCP4 192.0.2.1 198.51.100.1 4000 5222\r\n")
        .await;
    let said = stranger.expect_end().await;
    assert!(said.contains("not-well-formed"), "{said}");
}
