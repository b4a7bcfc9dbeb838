//! Connections that break, clients that do not read, several of them at once.

use std::collections::BTreeSet;
use std::time::Duration;

use waxwing::proto::Jid;

use super::talk::{Receiver, Sender, assert_ordered};
use crate::support::process::{Process, jid};

const ACCOUNTS: &[&str] = &["romeo", "juliet", "sink"];

fn juliet() -> Jid {
    jid("juliet")
}

/// The recipient's network goes away in the middle of a burst, again and again.
async fn cut(acks: bool) {
    let server = Process::start(ACCOUNTS, &[]);
    let mut sender = Sender::log_in(&server, "romeo", juliet(), 1).await;
    let (mut came, mut last) = (BTreeSet::new(), 0);
    let mut lost = BTreeSet::new();
    for round in 0..6 {
        let mut receiver = Receiver::log_in(&server, "juliet", acks).await;
        let read = Duration::from_millis(20 + 40 * round);
        tokio::join!(
            sender.burst(Duration::from_millis(400)),
            cut_after(&mut receiver, read)
        );
        assert_ordered(&receiver.got, "one stream");
        let begins = receiver.got.first().copied().unwrap_or(last + 1);
        if !acks {
            lost.extend(last + 1..begins);
        }
        came.extend(&receiver.got);
        last = came.last().copied().unwrap_or(0);
    }
    let mut receiver = Receiver::log_in(&server, "juliet", true).await;
    sender.deliver(1).await;
    receiver.listen_until(sender.next - 1).await;
    assert_ordered(&receiver.got, "the last stream");
    if !acks {
        lost.extend(last + 1..receiver.got[0]);
    }
    came.extend(&receiver.got);
    let missing: BTreeSet<u64> = &sender.promised() - &came;
    // Without acknowledgements what was on the wire is taken as received.
    assert_eq!(&missing - &lost, BTreeSet::new());
    println!(
        "cut, acks {acks}: {} sent, {} lost on the wire",
        sender.sent(),
        missing.len()
    );
}

async fn cut_after(receiver: &mut Receiver, during: Duration) {
    receiver.listen(during).await;
    receiver.client.connection.cut();
}

#[tokio::test]
async fn a_cut_connection_with_acknowledgements_loses_nothing() {
    cut(true).await;
}

#[tokio::test]
async fn a_cut_connection_without_acknowledgements_loses_what_was_on_the_wire_at_most() {
    cut(false).await;
}

/// One of two clients is cut off; the other has everything, in order, each once.
#[tokio::test]
async fn two_clients_of_one_account() {
    let server = Process::start(ACCOUNTS, &[]);
    let mut sender = Sender::log_in(&server, "romeo", juliet(), 1).await;
    let mut stays = Receiver::log_in(&server, "juliet", true).await;
    for _ in 0..4 {
        let mut goes = Receiver::log_in(&server, "juliet", true).await;
        tokio::join!(
            sender.burst(Duration::from_millis(300)),
            cut_after(&mut goes, Duration::from_millis(100)),
            stays.listen(Duration::from_millis(300)),
        );
        assert_ordered(&goes.got, "the client that goes");
    }
    let last = sender.next;
    tokio::join!(sender.deliver(1), stays.listen_until(last));
    let all: Vec<u64> = (1..=last).collect();
    assert_eq!(stays.got, all);
}

/// Two clients acknowledge the same messages, then both go: what came since is not forgotten.
#[tokio::test]
async fn two_clients_that_go() {
    let server = Process::start(ACCOUNTS, &[]);
    let mut sender = Sender::log_in(&server, "romeo", juliet(), 1).await;
    let mut quick = Receiver::log_in(&server, "juliet", true).await;
    let mut slow = Receiver::log_in(&server, "juliet", true).await;
    sender.deliver(40).await;
    quick.listen(Duration::from_millis(300)).await;
    assert!(quick.confirm("sink").await);
    sender.deliver(10).await;
    slow.listen_until(40).await;
    assert!(slow.client.send("<r xmlns='urn:xmpp:sm:3'/>").await.is_ok());
    tokio::time::sleep(Duration::from_millis(300)).await;
    quick.client.connection.cut();
    slow.client.connection.cut();
    let mut again = Receiver::log_in(&server, "juliet", true).await;
    again.listen_until(50).await;
    assert_eq!(again.got, (41..=50).collect::<Vec<_>>());
}

/// A client that comes while messages stream in gets each once, without a gap.
#[tokio::test]
async fn coming_in_the_middle() {
    let server = Process::start(ACCOUNTS, &[]);
    let mut sender = Sender::log_in(&server, "romeo", juliet(), 1).await;
    let mut next = 1;
    for _ in 0..8 {
        sender.burst(Duration::from_millis(100)).await;
        let coming = async {
            tokio::time::sleep(Duration::from_millis(20)).await;
            let mut receiver = Receiver::log_in(&server, "juliet", true).await;
            receiver.listen(Duration::from_millis(200)).await;
            receiver
        };
        let ((), mut receiver) = tokio::join!(sender.burst(Duration::from_millis(250)), coming);
        let last = sender.next;
        tokio::join!(sender.deliver(1), receiver.listen_until(last));
        let all: Vec<u64> = (next..=last).collect();
        assert_eq!(receiver.got, all);
        assert!(receiver.confirm("sink").await);
        receiver.client.close().await.unwrap();
        next = last + 1;
    }
}

/// A client that comes and goes by its presence, in the middle of a burst, gets each message once.
#[tokio::test]
async fn coming_and_going_by_presence() {
    let server = Process::start(ACCOUNTS, &[]);
    for acks in [true, false] {
        let mut sender = Sender::log_in(&server, "romeo", juliet(), 1).await;
        let mut receiver = Receiver::log_in(&server, "juliet", acks).await;
        let toggling = async {
            for round in 0..600 {
                let presence = match round % 2 {
                    0 => "<presence type='unavailable'/>",
                    _ => "<presence/>",
                };
                receiver.client.send(presence).await.unwrap();
                receiver.listen(Duration::from_millis(round % 4)).await;
            }
        };
        tokio::join!(sender.burst(Duration::from_millis(2000)), toggling);
        let last = sender.next;
        tokio::join!(sender.deliver(1), receiver.listen_until(last));
        let all: Vec<u64> = (1..=last).collect();
        assert_eq!(receiver.got, all, "acks {acks}");
        assert!(!acks || receiver.confirm("sink").await);
        receiver.client.close().await.unwrap();
    }
}

/// Logging out and in again right after an acknowledgement brings nothing twice.
#[tokio::test]
async fn coming_again_at_once() {
    let server = Process::start(ACCOUNTS, &[]);
    let mut sender = Sender::log_in(&server, "romeo", juliet(), 1).await;
    let mut all: Vec<u64> = Vec::new();
    for _ in 0..10 {
        sender.deliver(40).await;
        let mut receiver = Receiver::log_in(&server, "juliet", true).await;
        receiver.listen_until(sender.next - 1).await;
        all.extend(&receiver.got);
        let handled = receiver.client.handled.unwrap().to_string();
        let ack = format!("<a xmlns='urn:xmpp:sm:3' h='{handled}'/>");
        receiver.client.send(&*ack).await.unwrap();
        receiver.client.close().await.unwrap();
    }
    assert_eq!(all, (1..sender.next).collect::<Vec<_>>());
}

const MANY: &[&str] = &[
    "limits.account.offline_messages=100000",
    "limits.account.offline_bytes=1GiB",
    "limits.session.outgoing=1MiB",
    "limits.session.unacknowledged=500",
    "limits.session.bytes_per_second=1GiB",
    "limits.session.bytes_burst=1GiB",
    "limits.session.stanzas_per_second=1000000",
    "limits.session.stanzas_burst=1000000",
    "store.cache=4MiB",
];

/// A client that never reads costs its queue, no more, and gets everything when it comes back.
async fn never_reads(acks: bool) {
    let server = Process::start(ACCOUNTS, MANY);
    let mut sender = Sender::log_in(&server, "romeo", juliet(), 1).await;
    let mut receiver = Receiver::log_in(&server, "juliet", acks).await;
    sender.longest = 8000;
    sender.deliver(500).await;
    let early = server.rss();
    sender.deliver(4000).await;
    let late = server.rss();
    println!("never reads, acks {acks}: {early} bytes resident, then {late}");
    // 16 MB more were sent; what the store holds of its newest data is bounded too.
    assert!(late < early + (64 << 20), "from {early} to {late} bytes");
    assert!(late < 160 << 20, "{late} bytes");
    if acks {
        receiver.client.connection.cut();
        receiver = Receiver::log_in(&server, "juliet", true).await;
    }
    receiver.listen_until(sender.next - 1).await;
    assert_eq!(receiver.got, (1..sender.next).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_client_that_never_reads_gets_everything_when_it_comes_back() {
    never_reads(true).await;
}

#[tokio::test]
async fn a_client_that_reads_late_gets_everything() {
    never_reads(false).await;
}
