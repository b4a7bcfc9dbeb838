//! What archives of N messages cost: CPU of the whole process per query of 50 messages, the newest, from the middle, and with one
//! contact, and per message more, with the rows that both sides of it write; run with `cargo bench --bench archive [N …]`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::Semaphore;
use waxwing::hooks::Uid;
use waxwing::proto::mam::Shape;
use waxwing::proto::stanza::{MessageType, Stanza};
use waxwing::proto::{Jid, ns};
use waxwing::runtime::clock::Clock;
use waxwing::state::log::{self, Query, Way};
use waxwing::store::{Batch, CommitError, EngineKind, Mid, Options, Snapshot, Store};
use waxwing::xml::Element;

const ME: Uid = Uid(1);
const PEER: Uid = Uid(2);
const CONTACTS: u64 = 100;
const BODY: usize = 300;
const PAGE: usize = 50;
const ROUNDS: u32 = 500;

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let named = std::env::args().skip(1);
    let sizes: Vec<u64> = named.filter_map(|arg| arg.parse().ok()).collect();
    let sizes = if sizes.is_empty() {
        vec![10_000, 1_000_000]
    } else {
        sizes
    };
    for messages in sizes {
        run(messages).await;
    }
}

async fn run(messages: u64) {
    let dir = tempfile::tempdir().unwrap();
    let options = Options::new(EngineKind::Fjall, dir.path());
    let store = Store::open(options, Clock::system()).unwrap();
    let middle = fill(&store, messages).await;
    println!("{messages} messages, pages of {PAGE}");
    let contact = jid(&format!("contact{}@example.org", CONTACTS / 2));
    let query = Query {
        max: PAGE,
        bytes: usize::MAX,
        ..Query::default()
    };
    for (what, query) in [
        (
            "the newest",
            Query {
                backwards: true,
                ..query.clone()
            },
        ),
        (
            "from the middle",
            Query {
                after: vec![middle],
                ..query.clone()
            },
        ),
        (
            "the newest with one contact",
            Query {
                backwards: true,
                with: Some(contact),
                ..query
            },
        ),
    ] {
        measure(&store, what, query).await;
    }
    for (at_once, count) in [(1, 500), (64, 20_000)] {
        more(&store, messages, at_once, count).await;
    }
}

/// Messages more, each in a batch of its own for both who have it, so many of them under way at a time.
async fn more(store: &Store, before: u64, at_once: usize, count: u64) {
    let under_way = Arc::new(Semaphore::new(at_once));
    let (began, used) = (Instant::now(), cpu());
    for n in before..before + count {
        let peer = jid(&format!("contact{}@example.org", n % CONTACTS));
        let (mut batch, now) = (Batch::new(), Clock::system().wall());
        let stanza = message(&peer, n);
        log::keep(&mut batch, ME, Way::Sent, &peer, &stanza, now);
        log::record(&mut batch, PEER, &stanza, now, true);
        let place = under_way.clone().acquire_owned().await.unwrap();
        let done = move |result: Result<Mid, CommitError>| {
            let _place = place;
            assert!(result.is_ok());
        };
        store.submit(batch, done).unwrap();
    }
    store.commit(Batch::new()).await.unwrap();
    let each = (cpu() - used) / u32::try_from(count).unwrap();
    let wall = began.elapsed() / u32::try_from(count).unwrap();
    println!("a message more, {at_once} at once: {each:?} CPU, {wall:?} in all");
}

/// Writes the archive, one message a batch and many at once; the id in its middle.
async fn fill(store: &Store, messages: u64) -> Mid {
    let (began, used) = (Instant::now(), cpu());
    let mut middle = Mid::MIN;
    for n in 0..messages {
        let peer = jid(&format!("contact{}@example.org", n % CONTACTS));
        let mut batch = Batch::new();
        let now = Clock::system().wall();
        log::keep(&mut batch, ME, Way::Sent, &peer, &message(&peer, n), now);
        if store.pressure() {
            store.relieved().await;
        }
        let mid = store
            .submit(batch, |result| assert!(result.is_ok()))
            .unwrap();
        if n == messages / 2 {
            middle = mid;
        }
    }
    store.commit(Batch::new()).await.unwrap();
    let each = (cpu() - used) / u32::try_from(messages).unwrap();
    println!("filled in {:?}, {each:?} CPU a message", began.elapsed());
    middle
}

async fn measure(store: &Store, what: &str, query: Query) {
    let (mut bytes, shape) = (0, Shape::default());
    let (began, mut used) = (Instant::now(), cpu());
    for round in 0..=ROUNDS {
        if round == 1 {
            used = cpu(); // warm
        }
        let query = query.clone();
        let read = move |snapshot: &dyn Snapshot| Ok(query.page(snapshot, ME).unwrap());
        let page = store.reading(read).await.unwrap();
        assert_eq!(page.messages.len(), PAGE);
        for found in &page.messages {
            let stanza = shape.result(found.mid, found.at, &found.xml);
            bytes += stanza.to_bytes().len();
        }
    }
    let each = (cpu() - used) / ROUNDS;
    let wall = began.elapsed() / ROUNDS;
    println!(
        "{what}: {each:?} CPU, {wall:?} in all, {} bytes a page",
        bytes / (ROUNDS as usize + 1)
    );
}

fn message(peer: &Jid, n: u64) -> Stanza {
    Stanza::message(MessageType::Chat)
        .with_from(jid("me@example.org/phone"))
        .with_to(peer.clone())
        .with_id(format!("message-{n:016x}"))
        .with_child(Element::new("body", ns::CLIENT).with_text(&"x".repeat(BODY)))
}

fn jid(text: &str) -> Jid {
    Jid::parse(text).unwrap()
}

/// CPU time of this process.
fn cpu() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}
