//! Every way a connection ends reaches the seat, once, and by its right name.

use std::sync::atomic::Ordering::{Relaxed, SeqCst};
use std::time::Duration;

use super::harness::{Client, PATIENCE, Server, Wishes, header};
use crate::stream::End;

#[tokio::test]
async fn the_footer() {
    let mut server = Server::start(Wishes::new());
    let (mut client, seat) = server.bound().await;
    client.send("<message/></stream:stream>").await;
    assert!(client.expect_end().await.ends_with("</stream:stream>"));
    server.until(|_| seat.ends() == [End::Footer]).await;
    assert_eq!(seat.heard(), 1);
    drop(client);
    server
        .until(|server| server.listeners.connections() == 0)
        .await;
    assert_eq!(seat.ends(), [End::Footer]);
}

#[tokio::test]
async fn a_cut_in_the_middle_of_a_stanza() {
    let mut server = Server::start(Wishes::new());
    let (mut client, seat) = server.bound().await;
    client.send("<message><body>half of").await;
    drop(client);
    server.until(|_| seat.ends() == [End::ConnectionLost]).await;
    assert_eq!(seat.heard(), 0);
}

#[tokio::test]
async fn bad_xml() {
    let mut server = Server::start(Wishes::new());
    let (mut client, seat) = server.bound().await;
    client.send("<message></iq>").await;
    let said = client.expect_end().await;
    assert!(
        said.contains("not-well-formed") && said.ends_with("</stream:stream>"),
        "{said}"
    );
    server.until(|_| seat.ends() == [End::Error]).await;
}

#[tokio::test]
async fn silence_is_asked_about_then_ended() {
    let mut wishes = Wishes::new();
    wishes.stream.idle = Duration::from_millis(200);
    wishes.options.timeouts.dead_after = Duration::from_secs(1);
    let mut server = Server::start(wishes);
    let (mut client, seat) = server.bound().await;
    client.expect("urn:xmpp:ping").await;
    client.send("<iq type='result' id='probe'/>").await;
    client.expect("urn:xmpp:ping").await;
    assert_eq!((seat.probes.load(SeqCst), seat.ends()), (2, vec![]));
    let said = client.expect_end().await;
    assert!(said.contains("connection-timeout"), "{said}");
    server.until(|_| seat.ends() == [End::Timeout]).await;
    assert_eq!(server.stats.ended_silent.load(Relaxed), 1);
}

#[tokio::test]
async fn a_panic_costs_one_connection() {
    let mut server = Server::start(Wishes::new());
    let (mut client, seat) = server.bound().await;
    let (mut other, other_seat) = server.bound().await;
    client
        .send("<message><panic xmlns='test'/></message>")
        .await;
    client.expect_end().await;
    server.until(|_| seat.ends() == [End::ConnectionLost]).await;
    assert_eq!(server.stats.panics.load(Relaxed), 1);
    other.send("<message/>").await;
    server.until(|_| other_seat.heard() == 1).await;
    server
        .until(|server| server.stats.open.load(Relaxed) == 1)
        .await;
}

#[tokio::test]
async fn a_session_bound_for_nobody_is_closed() {
    let mut wishes = Wishes::new();
    wishes.stream.bind = Duration::from_millis(600);
    wishes.bind_delay = Duration::from_millis(2000);
    let mut server = Server::start(wishes);
    let mut client = Client::direct(server.connect().await, "localhost").await;
    let login = async { client.log_in("localhost").await };
    let _ = tokio::time::timeout(Duration::from_millis(1100), login).await;
    let seat = server.seat().await;
    server.until(|_| seat.ends() == [End::ConnectionLost]).await;
}

#[tokio::test]
async fn a_stop_flushes_and_says_so() {
    let mut server = Server::start(Wishes::new());
    let (mut client, seat) = server.bound().await;
    let mut half = Client::direct(server.connect().await, "localhost").await;
    half.send(&header("localhost")).await;
    half.expect("</stream:features>").await;
    let _silent = server.connect().await;
    for number in 0..100 {
        seat.say(&format!(
            "<message id='m{number}'>{}</message>",
            "z".repeat(1000)
        ));
    }
    let Server { listeners, .. } = server;
    let address = listeners.addresses()[0];
    let (left, said) = tokio::join!(listeners.stop(PATIENCE), async {
        let said = client.expect_end().await;
        drop(client);
        assert!(half.expect_end().await.contains("system-shutdown"));
        drop(half);
        said
    });
    assert_eq!(left, 0);
    assert_eq!(said.matches("<message ").count(), 100);
    assert!(said.contains("system-shutdown") && said.ends_with("</stream:stream>"));
    assert_eq!(seat.ends(), [End::Shutdown]);
    assert!(tokio::net::TcpStream::connect(address).await.is_err());
}

#[tokio::test]
async fn a_stop_does_not_wait_for_who_does_not_read() {
    let mut server = Server::start(Wishes::new());
    let (_client, seat) = server.bound().await;
    seat.endless.store(true, SeqCst);
    seat.say("");
    tokio::time::sleep(Duration::from_millis(100)).await;
    let left = server.listeners.stop(PATIENCE).await;
    assert_eq!((left, seat.ends()), (0, vec![End::Shutdown]));
}
