//! One account sends as fast as it can: others log in and chat, memory stays bounded, nothing is lost.

use std::time::{Duration, Instant};

use waxwing::proto::{MessageType, Stanza, ns};
use waxwing::xml::Element;

use crate::never_lost::talk::{Receiver, Sender};
use crate::support::process::{Process, jid};

const ACCOUNTS: &[&str] = &["romeo", "juliet", "mercutio", "benvolio"];

const UNLIMITED: [&str; 6] = [
    "limits.session.bytes_per_second=1GiB",
    "limits.session.bytes_burst=1GiB",
    "limits.session.stanzas_per_second=1000000",
    "limits.session.stanzas_burst=1000000",
    "limits.account.offline_messages=100000",
    "limits.account.offline_bytes=1GiB",
];

/// How long the flood lasts.
const FLOOD: Duration = Duration::from_secs(6);

/// Logins and messages of others meanwhile; how long the slowest round took.
async fn live_beside(server: &Process) -> Duration {
    let mut slowest = Duration::ZERO;
    let began = Instant::now();
    let mut round = 0;
    while began.elapsed() < FLOOD {
        let start = Instant::now();
        let mut one = server
            .client("mercutio")
            .connect(server.addr)
            .await
            .unwrap();
        let mut other = server
            .client("benvolio")
            .connect(server.addr)
            .await
            .unwrap();
        other.presence().await.unwrap();
        round += 1;
        let body = format!("round {round}");
        let message = Stanza::message(MessageType::Chat)
            .with_to(other.jid.clone())
            .with_child(Element::new("body", ns::CLIENT).with_text(&body));
        one.send(message).await.unwrap();
        let is_it = |el: &Element| {
            el.child("body", ns::CLIENT)
                .is_some_and(|el| el.text() == body)
        };
        other.wait_for(&body, is_it).await.unwrap();
        one.close().await.unwrap();
        other.close().await.unwrap();
        slowest = slowest.max(start.elapsed());
    }
    println!("beside the flood: {round} rounds of two logins and a message, slowest {slowest:?}");
    slowest
}

/// Keeps sending without waiting for anything; what comes back is read only now and then.
async fn flood(sender: &mut Sender) {
    let began = Instant::now();
    while began.elapsed() < FLOOD {
        for _ in 0..20 {
            sender.send().await.unwrap();
        }
        sender.listen(Duration::ZERO).await;
    }
    sender.settle(Duration::from_secs(60)).await;
    assert_eq!(sender.acked, sender.next);
}

async fn flooded(sets: &[&str], there: bool) {
    let server = Process::start(ACCOUNTS, sets);
    let mut sender = Sender::log_in(&server, "romeo", jid("juliet"), 1).await;
    let before = server.rss();
    let mut receiver = Receiver::log_in(&server, "juliet", true).await;
    if !there {
        receiver.client.connection.cut();
    }
    let reading = async {
        if there {
            receiver.listen(FLOOD).await;
        }
    };
    let ((), slowest, ()) = tokio::join!(flood(&mut sender), live_beside(&server), reading);
    let grown = server.rss().saturating_sub(before);
    println!(
        "flood: {} messages, {} refused, {grown} bytes more resident",
        sender.sent(),
        sender.refused.len()
    );
    assert!(slowest < Duration::from_secs(20), "{slowest:?}");
    assert!(grown < 120 << 20, "{grown} bytes");
    if !there {
        receiver = Receiver::log_in(&server, "juliet", true).await;
    }
    sender.deliver(1).await;
    let promised: Vec<u64> = sender.promised().into_iter().collect();
    receiver.listen_until(*promised.last().unwrap()).await;
    assert_eq!(receiver.got, promised);
}

/// With the rates people have; the recipient may fall behind as far as it likes.
#[tokio::test]
async fn a_flood_is_slowed_and_nobody_else_notices() {
    flooded(&UNLIMITED[4..], true).await;
}

/// As fast as the sender can, to somebody who is away.
#[tokio::test]
async fn a_flood_without_a_rate_limit() {
    flooded(&UNLIMITED, false).await;
}

/// Questions whose answers nobody reads: the asker is not listened to any more.
#[tokio::test]
async fn answers_that_nobody_reads() {
    let server = Process::start(ACCOUNTS, &UNLIMITED);
    let mut asker = server.client("romeo").connect(server.addr).await.unwrap();
    let before = server.rss();
    let ask = "<iq type='get' id='1'><query xmlns='http://jabber.org/protocol/disco#info'/></iq>";
    let asking = async {
        let (began, mut asked) = (Instant::now(), 0);
        while began.elapsed() < FLOOD {
            let sending = asker.send(ask);
            match tokio::time::timeout(Duration::from_secs(1), sending).await {
                Ok(sent) => sent.unwrap(),
                // Not cancelled in the middle of a stanza: nothing more is sent.
                Err(_) => break,
            }
            asked += 1;
        }
        asked
    };
    let (asked, slowest) = tokio::join!(asking, live_beside(&server));
    let grown = server.rss().saturating_sub(before);
    println!("{asked} questions, no answer read: {grown} bytes more resident");
    assert!(slowest < Duration::from_secs(20), "{slowest:?}");
    assert!(grown < 40 << 20, "{grown} bytes");
}

/// The last of many roster changes costs what the first did.
#[tokio::test]
async fn many_contacts_are_not_quadratic() {
    let server = Process::start(ACCOUNTS, &UNLIMITED);
    let mut client = server.client("romeo").connect(server.addr).await.unwrap();
    client.roster().await.unwrap();
    let mut times = Vec::new();
    for part in 0..6 {
        let began = Instant::now();
        for n in 0..250 {
            let contact = format!("contact-{part}-{n}@elsewhere.example");
            let item = Element::new("item", ns::ROSTER).with_attr("jid", &contact);
            let query = Element::new("query", ns::ROSTER).with_child(item);
            client.request("set", None, query).await.unwrap();
            while client.next(Duration::ZERO).await.is_some() {}
        }
        times.push(began.elapsed());
    }
    println!("250 new contacts each: {times:?}");
    let (first, last) = (times[0].min(times[1]), times[4].min(times[5]));
    assert!(last < 4 * first + Duration::from_secs(1), "{times:?}");
}
