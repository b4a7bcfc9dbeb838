//! Who writes what turns bring: the thread that is in the turn, or the connection's task.

use std::sync::atomic::Ordering::{Relaxed, SeqCst};
use std::time::Duration;

use super::harness::{Server, Wishes};
use crate::runtime::after::Turns;
use crate::stream::End;

/// Longer than what makes a connection count as quiet.
const A_WHILE: Duration = Duration::from_millis(20);

#[tokio::test]
async fn who_was_quiet_is_written_to_as_soon_as_the_turn_is_over() {
    let mut server = Server::start(Wishes::new());
    let (mut client, seat) = server.bound().await;
    tokio::time::sleep(A_WHILE).await;
    let before = seat.written.load(SeqCst);
    // Its task has no chance to run meanwhile: all tasks of the test share one thread.
    let turns = Turns::begin().expect("no turn is under way");
    seat.say("<message id='1'/>");
    seat.say("<message id='2'/>");
    assert_eq!(seat.written.load(SeqCst), before);
    turns.settle();
    assert_eq!(seat.written.load(SeqCst), before + 1);
    // A moment later more may come, and go along.
    seat.say("<message id='3'/>");
    turns.settle();
    assert_eq!(seat.written.load(SeqCst), before + 1);
    seat.say("<message id='4'/>");
    turns.settle();
    drop(turns);
    let text = client.expect("<message id='4'/>").await;
    let at: Vec<_> = (1..5).map(|id| text.find(&format!("id='{id}'"))).collect();
    assert!(at.iter().all(Option::is_some) && at.is_sorted(), "{text}");
    assert_eq!(seat.written.load(SeqCst), before + 2);
}

#[tokio::test]
async fn what_the_socket_does_not_take_is_left_to_the_task() {
    let mut wishes = Wishes::new();
    wishes.options.timeouts.write = Duration::from_millis(300);
    let mut server = Server::start(wishes);
    let (_client, seat) = server.bound().await;
    tokio::time::sleep(A_WHILE).await;
    seat.endless.store(true, SeqCst);
    let turns = Turns::begin();
    seat.say("");
    drop(turns);
    server.until(|_| seat.ends() == [End::Timeout]).await;
    assert_eq!(server.stats.ended_slow_reader.load(Relaxed), 1);
}

#[tokio::test]
async fn a_panic_while_writing_costs_that_connection_alone() {
    let mut server = Server::start(Wishes::new());
    let (_client, seat) = server.bound().await;
    let (mut other, other_seat) = server.bound().await;
    tokio::time::sleep(A_WHILE).await;
    let turns = Turns::begin().expect("no turn is under way");
    seat.broken.store(true, SeqCst);
    seat.say("");
    other_seat.say("<message id='well'/>");
    turns.settle();
    drop(turns);
    other.expect("<message id='well'/>").await;
    server.until(|_| seat.ends() == [End::ConnectionLost]).await;
    server
        .until(|server| server.listeners.connections() == 1)
        .await;
    assert_eq!(server.stats.panics.load(Relaxed), 1);
}
