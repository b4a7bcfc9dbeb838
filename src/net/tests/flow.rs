//! Back-pressure in both directions.

use std::sync::atomic::Ordering::{Relaxed, SeqCst};
use std::time::{Duration, Instant};

use super::harness::{Client, Server, Wishes};
use crate::stream::End;

#[tokio::test]
async fn a_busy_seat_is_not_given_more() {
    let mut server = Server::start(Wishes::new());
    let (mut client, seat) = server.bound().await;
    seat.set_busy(true);
    client.send(&"<message/>".repeat(50)).await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert!(seat.heard() <= 1, "{}", seat.heard());
    seat.say("<message id='out'/>");
    client.expect("<message id='out'/>").await;
    seat.set_busy(false);
    server.until(|_| seat.heard() == 50).await;
}

#[tokio::test]
async fn who_sends_too_fast_is_read_more_slowly() {
    let mut wishes = Wishes::new();
    wishes.options.rates.stanzas = 100;
    wishes.options.rates.stanzas_burst = 20;
    let mut server = Server::start(wishes);
    let (mut client, seat) = server.bound().await;
    let started = Instant::now();
    client.send(&"<message/>".repeat(60)).await;
    server.until(|_| seat.heard() == 60).await;
    assert!(
        started.elapsed() >= Duration::from_millis(350),
        "{:?}",
        started.elapsed()
    );
    assert!(server.stats.rate_pauses.load(Relaxed) > 0);
    assert_eq!(seat.ends(), []);
}

#[tokio::test]
async fn bytes_are_limited_too() {
    let mut wishes = Wishes::new();
    wishes.options.rates.bytes = 100_000;
    wishes.options.rates.bytes_burst = 20_000;
    let mut server = Server::start(wishes);
    let (mut client, seat) = server.bound().await;
    let started = Instant::now();
    let message = format!("<message><body>{}</body></message>", "x".repeat(10_000));
    for _ in 0..7 {
        client.send(&message).await;
    }
    server.until(|_| seat.heard() == 7).await;
    assert!(
        started.elapsed() >= Duration::from_millis(400),
        "{:?}",
        started.elapsed()
    );
}

#[tokio::test]
async fn who_does_not_read_is_ended() {
    let mut wishes = Wishes::new();
    wishes.options.timeouts.write = Duration::from_millis(300);
    let mut server = Server::start(wishes);
    let (_client, seat) = server.bound().await;
    let (mut other, other_seat) = server.bound().await;
    seat.endless.store(true, SeqCst);
    seat.say("");
    server.until(|_| seat.ends() == [End::Timeout]).await;
    assert_eq!(server.stats.ended_slow_reader.load(Relaxed), 1);
    other_seat.say("<message id='well'/>");
    other.expect("<message id='well'/>").await;
}

#[tokio::test]
async fn much_is_written_whole_and_reported_once_it_is_out() {
    let mut server = Server::start(Wishes::new());
    let (mut client, seat) = server.bound().await;
    let before = seat.written.load(SeqCst);
    for number in 0..300 {
        seat.say(&format!(
            "<message id='m{number}'>{}</message>",
            "y".repeat(4000)
        ));
    }
    let text = client.expect("<message id='m299'>").await;
    assert_eq!(text.matches("<message").count(), 300);
    client.expect("</message>").await;
    server.until(|_| seat.written.load(SeqCst) > before).await;
}

#[tokio::test]
async fn where_the_bytes_are_cut_does_not_matter() {
    let mut server = Server::start(Wishes::plaintext());
    let mut client = Client::plain(server.connect().await);
    client.log_in("localhost").await;
    let seat = server.seat().await;
    let text = "<message id='1'><body>ä &amp; ö</body></message> \n<presence/><message id='2'/>";
    for byte in text.bytes() {
        client.send_bytes(&[byte]).await;
        tokio::task::yield_now().await;
    }
    client.send_bytes(&text.as_bytes().repeat(100)).await;
    server.until(|_| seat.heard() == 303).await;
}
