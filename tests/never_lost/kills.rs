//! The server ends in the middle of a burst: by kill -9, by SIGTERM.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use waxwing::proto::StreamCondition;
use waxwing::runtime::random;
use waxwing::xml::Element;

use super::talk::{Receiver, Sender, assert_ordered};
use crate::support::client::{Client, Error};
use crate::support::process::{Process, jid};

const ACCOUNTS: &[&str] = &["romeo", "juliet", "sink"];

/// How the recipient is there when the server ends.
#[derive(Clone, Copy, Debug, PartialEq)]
enum There {
    Offline,
    Plain,
    Acks,
}

const WAYS: [There; 3] = [There::Acks, There::Offline, There::Plain];

/// How the server ends.
#[derive(Clone, Copy, Debug, PartialEq)]
enum End {
    Kill,
    Terminate,
}

#[tokio::test]
async fn kill_fjall() {
    rounds(End::Kill, "fjall").await;
}

#[tokio::test]
async fn kill_sled() {
    rounds(End::Kill, "sled").await;
}

#[tokio::test]
async fn terminate() {
    rounds(End::Terminate, "fjall").await;
}

/// As many rounds as were asked for, or as fit into ten seconds, but each way at least once.
async fn rounds(end: End, engine: &str) {
    let asked = std::env::var("WAXWING_TEST_ROUNDS").map_or(0, |rounds| rounds.parse().unwrap());
    let engine_set = format!("store.engine={engine}");
    // The sink is never emptied.
    let sets = [&*engine_set, "limits.account.offline_messages=1000000"];
    let mut server = Process::start(ACCOUNTS, &sets);
    let (began, mut first, mut sum) = (Instant::now(), 1, Counts::default());
    for round in 0.. {
        let enough = round >= WAYS.len() && began.elapsed() > Duration::from_secs(10);
        if round >= asked.max(WAYS.len()) && (asked > 0 || enough) {
            break;
        }
        first = play(&mut server, end, WAYS[round % WAYS.len()], first, &mut sum).await;
    }
    let mut receiver = Receiver::log_in(&server, "juliet", true).await;
    receiver.listen(Duration::from_millis(300)).await;
    assert!(receiver.got.is_empty(), "{:?} came again", receiver.got);
    println!("{end:?} {engine}: {sum:?} in {:?}", began.elapsed());
}

/// What happened in all rounds.
#[derive(Debug, Default)]
#[allow(dead_code)]
struct Counts {
    rounds: u32,
    sent: u64,
    acknowledged: usize,
    confirmed: usize,
    came_twice: usize,
    lost_on_the_wire: usize,
    slowest_start: Duration,
}

/// One round with messages from `first` on; answers what comes next.
async fn play(
    server: &mut Process,
    end: End,
    there: There,
    first: u64,
    counts: &mut Counts,
) -> u64 {
    let mut receiver = match there {
        There::Offline => None,
        _ => Some(Receiver::log_in(server, "juliet", there == There::Acks).await),
    };
    let mut sender = Sender::log_in(server, "romeo", jid("juliet"), first).await;
    let moment = Duration::from_millis(50 + u64::from(random::bytes::<1>()[0]) * 3);
    let receiving = async {
        let Some(receiver) = &mut receiver else {
            return;
        };
        while !receiver.client.is_over() {
            receiver.listen(Duration::from_millis(30)).await;
            if there == There::Acks {
                receiver.confirm("sink").await;
            }
        }
    };
    let ending = async {
        tokio::time::sleep(moment).await;
        match end {
            End::Kill => server.kill(),
            End::Terminate => server.terminate(),
        }
    };
    tokio::join!(sender.burst(Duration::from_secs(60)), receiving, ending);
    sender.settle(Duration::from_secs(60)).await;
    if end == End::Terminate {
        let streams = [&sender.client]
            .into_iter()
            .chain(receiver.as_ref().map(|receiver| &receiver.client));
        for client in streams {
            let error = client.stream_error.as_ref();
            assert_eq!(
                error.map(|error| error.condition),
                Some(StreamCondition::SystemShutdown)
            );
        }
        assert!(server.wait(Duration::from_secs(30)).success());
    }
    assert_eq!(sender.refused, BTreeSet::new());
    let restarting = Instant::now();
    server.restart();
    counts.slowest_start = counts.slowest_start.max(restarting.elapsed());
    let again = after(server, sender.next).await;
    check(&sender, receiver.as_ref(), &again, there, counts);
    again.got.last().unwrap() + 1
}

/// The recipient logs in and gets what waits, up to a message sent after it.
async fn after(server: &Process, next: u64) -> Receiver {
    let mut receiver = Receiver::log_in(server, "juliet", true).await;
    let mut sender = Sender::log_in(server, "romeo", jid("juliet"), next).await;
    sender.deliver(1).await;
    receiver.listen_until(next).await;
    assert!(receiver.confirm("sink").await);
    receiver
}

fn check(
    sender: &Sender,
    before: Option<&Receiver>,
    again: &Receiver,
    there: There,
    counts: &mut Counts,
) {
    let empty = Vec::new();
    let first = before.map_or(&empty, |receiver| &receiver.got);
    let confirmed = before.map_or(0, |receiver| receiver.confirmed);
    assert_ordered(first, "before the end");
    assert_ordered(&again.got, "after it");
    let came: BTreeSet<u64> = first.iter().chain(&again.got).copied().collect();
    let twice: Vec<u64> = again
        .got
        .iter()
        .copied()
        .filter(|n| first[..confirmed].contains(n))
        .collect();
    assert!(
        twice.is_empty(),
        "{there:?}: acknowledged, and came again: {twice:?}"
    );
    let missing: Vec<u64> = (&sender.promised() - &came).into_iter().collect();
    if there == There::Plain {
        // Without acknowledgements what was on the wire is taken as received: at most the end of what came.
        let last = first.last().copied().unwrap_or(0);
        let next = again.got[0];
        assert!(
            missing.iter().all(|n| last < *n && *n < next),
            "{missing:?} between {last} and {next}"
        );
    } else {
        assert!(
            missing.is_empty(),
            "{there:?}: acknowledged, and lost: {missing:?}"
        );
    }
    counts.rounds += 1;
    counts.sent += sender.sent();
    counts.acknowledged += sender.promised().len();
    counts.confirmed += confirmed;
    counts.came_twice += again.got.iter().filter(|n| first.contains(n)).count();
    counts.lost_on_the_wire += missing.len();
}

/// A client that comes back after a crash sends again what was not acknowledged: what of it was stored comes once.
#[tokio::test]
async fn what_is_sent_again_after_a_kill_comes_once() {
    let mut server = Process::start(ACCOUNTS, &[]);
    let (mut first, mut again) = (1, 0);
    for _ in 0..6 {
        let mut sender = Sender::log_in(&server, "romeo", jid("juliet"), first).await;
        sender.window = 50;
        let moment = Duration::from_millis(50 + u64::from(random::bytes::<1>()[0]));
        let killing = async {
            tokio::time::sleep(moment).await;
            server.kill();
        };
        tokio::join!(sender.burst(Duration::from_secs(60)), killing);
        sender.settle(Duration::from_secs(60)).await;
        server.restart();
        let unsure = sender.next - sender.acked;
        again += unsure;
        let mut sender = Sender::log_in(&server, "romeo", jid("juliet"), sender.acked).await;
        sender.deliver(unsure + 1).await;
        let mut receiver = Receiver::log_in(&server, "juliet", true).await;
        receiver.listen_until(sender.next - 1).await;
        let all: Vec<u64> = (first..sender.next).collect();
        assert_eq!(receiver.got, all);
        assert!(receiver.confirm("sink").await);
        first = sender.next;
    }
    println!("{again} messages were sent again");
}

/// Both sides of a subscription change in one batch: after a crash they still agree.
#[tokio::test]
async fn subscriptions_agree_after_a_kill() {
    let mut server = Process::start(&["romeo", "juliet"], &[]);
    let (mut changes, mut kills) = (0, 0);
    // A slow machine is given more rounds, and longer ones.
    while kills < 8 || changes <= 8 && kills < 40 {
        kills += 1;
        let mut romeo = online(&server, "romeo").await;
        let mut juliet = online(&server, "juliet").await;
        part(&mut romeo, &mut juliet).await;
        let moment =
            Duration::from_millis(50 + u64::from(random::bytes::<1>()[0]) * (2 + kills / 4));
        let killing = async {
            tokio::time::sleep(moment).await;
            server.kill();
        };
        let ((), count) = tokio::join!(killing, subscribe_and_cancel(&mut romeo, &mut juliet));
        changes += count;
        server.restart();
        let to = subscription(&server, "romeo", "juliet").await;
        let from = subscription(&server, "juliet", "romeo").await;
        assert_eq!(
            to == "to",
            from == "from",
            "{to} on one side, {from} on the other"
        );
    }
    println!("{changes} changes of subscriptions in {kills} rounds");
    assert!(changes > 8, "too few to mean anything");
}

async fn online(server: &Process, name: &str) -> Client {
    let mut client = server.client(name).connect(server.addr).await.unwrap();
    client.roster().await.unwrap();
    client.presence().await.unwrap();
    client
}

/// Takes back what the last kill left of a subscription or a request: a request that changes nothing is not passed on.
async fn part(romeo: &mut Client, juliet: &mut Client) {
    let cancel = |kind, to| format!("<presence type='{kind}' to='{to}'/>");
    let (to, from) = (jid("juliet"), jid("romeo"));
    romeo
        .send(cancel("unsubscribe", &to).as_str())
        .await
        .unwrap();
    romeo.roster().await.unwrap();
    juliet
        .send(cancel("unsubscribed", &from).as_str())
        .await
        .unwrap();
    juliet.roster().await.unwrap();
}

/// Subscribes and cancels in turn until the stream ends; how often.
async fn subscribe_and_cancel(romeo: &mut Client, juliet: &mut Client) -> u32 {
    let (to, from) = (jid("juliet"), jid("romeo"));
    let mut count = 0;
    let says = |kind: &'static str| move |el: &Element| el.attr("type") == Some(kind);
    loop {
        let round = async {
            let send = |kind, to| format!("<presence type='{kind}' to='{to}'/>");
            romeo.send(send("subscribe", &to).as_str()).await?;
            juliet.wait_for("the request", says("subscribe")).await?;
            juliet.send(send("subscribed", &from).as_str()).await?;
            romeo.wait_for("the approval", says("subscribed")).await?;
            if count % 2 == 0 {
                romeo.send(send("unsubscribe", &to).as_str()).await?;
                juliet.wait_for("the end", says("unsubscribe")).await?;
            } else {
                juliet.send(send("unsubscribed", &from).as_str()).await?;
                romeo.wait_for("the end", says("unsubscribed")).await?;
            }
            Ok::<(), Error>(())
        };
        if round.await.is_err() {
            return count;
        }
        count += 1;
    }
}

/// The state of a contact in a roster.
async fn subscription(server: &Process, name: &str, contact: &str) -> String {
    let mut client = server.client(name).connect(server.addr).await.unwrap();
    let items = client.roster().await.unwrap();
    let contact = jid(contact);
    let item = items
        .iter()
        .find(|el| el.attr("jid") == Some(contact.as_str()));
    let state = item.and_then(|el| el.attr("subscription"));
    state.unwrap_or("none").to_owned()
}
