//! No room on the disk, and writes that fail: senders are told, nothing acknowledged is lost, reading
//! goes on, and it passes by itself.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::time::{Duration, Instant};

use waxwing::admin::Password;
use waxwing::proto::{Condition, ErrorType, StanzaError, ns};
use waxwing::runtime::clock::Clock;
use waxwing::store::{Direction, Fields, Options, Range, Snapshot, Space, Store};
use waxwing::xml::Element;

use crate::never_lost::talk::{Receiver, Sender, assert_ordered};
use crate::store_faults::Disk;
use crate::support::client::{Client, Error};
use crate::support::process::{Process, jid};
use crate::support::server::start_over;

const ACCOUNTS: &[&str] = &["romeo", "juliet", "sink"];

/// Sends until a message is refused; the refusal.
async fn refused(sender: &mut Sender) -> StanzaError {
    let began = Instant::now();
    loop {
        sender.send().await.unwrap();
        sender.settle(Duration::from_secs(30)).await;
        if let Some(error) = sender.refusals.pop() {
            return error;
        }
        assert!(
            began.elapsed() < Duration::from_secs(60),
            "nothing is refused"
        );
    }
}

/// Sends until a message is taken.
async fn taken(sender: &mut Sender) {
    let began = Instant::now();
    loop {
        let n = sender.next;
        sender.send().await.unwrap();
        sender.settle(Duration::from_secs(30)).await;
        sender.listen(Duration::from_millis(100)).await;
        if !sender.refused.contains(&n) {
            return;
        }
        assert!(
            began.elapsed() < Duration::from_secs(60),
            "it does not recover"
        );
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// The disk runs full under a server that keeps `reserve` free.
async fn full(reserve: &str, left: u64) {
    let Some(disk) = Disk::mount(200) else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let reserve = format!("store.reserve={reserve}");
    let data = disk.0.path().join("data");
    let mut server = Process::start_in(&data, folder, ACCOUNTS, &[&reserve, "store.cache=4MiB"]);
    let mut sender = Sender::log_in(&server, "romeo", jid("juliet"), 1).await;
    sender.longest = 100_000;
    sender.deliver(20).await;
    let mut came = BTreeSet::new();
    for _ in 0..2 {
        disk.fill(left);
        let error = refused(&mut sender).await;
        assert_eq!(error.kind, ErrorType::Wait, "{error}");
        assert_eq!(error.condition, Condition::ResourceConstraint, "{error}");
        // Logging in, reading the roster and what waits goes on.
        let mut reader = Receiver::log_in(&server, "juliet", true).await;
        reader.client.roster().await.unwrap();
        let began = Instant::now();
        while reader.got.is_empty() && began.elapsed() < Duration::from_secs(20) {
            reader.listen(Duration::from_millis(300)).await;
        }
        assert!(!reader.got.is_empty(), "nothing can be read");
        assert_ordered(&reader.got, "on a full disk");
        reader.client.connection.cut();
        came.extend(reader.got);
        assert!(server.is_running());
        disk.empty();
        taken(&mut sender).await;
    }
    // And it is all there after a crash.
    sender.deliver(5).await;
    let promised = sender.promised();
    server.kill();
    server.restart();
    let mut receiver = Receiver::log_in(&server, "juliet", true).await;
    receiver.listen_until(sender.next - 1).await;
    assert_ordered(&receiver.got, "afterwards");
    came.extend(receiver.got);
    assert_eq!(&promised - &came, BTreeSet::new(), "acknowledged, and lost");
    let refused: Vec<_> = sender.refused.intersection(&came).collect();
    assert!(refused.is_empty(), "refused, and delivered: {refused:?}");
    println!(
        "full disk, {reserve}: {} sent, {} refused",
        sender.sent(),
        sender.refused.len()
    );
}

#[tokio::test]
async fn the_reserve_is_kept() {
    full("64MiB", 60 << 20).await;
}

/// Without a reserve the engine itself meets the end of the disk.
#[tokio::test]
async fn no_room_at_all() {
    full("0B", 1 << 20).await;
}

/// That is how room is made.
#[tokio::test]
async fn below_the_reserve_accounts_are_removed() {
    let free = Arc::new(AtomicU64::new(u64::MAX));
    let told = free.clone();
    let options = Options {
        free_space: Arc::new(move |_| Some(told.load(SeqCst))),
        ..Options::memory()
    };
    let store = Store::open(options, Clock::system()).unwrap();
    let server = start_over(store.clone(), &[]).await;
    let mut accounts = Vec::new();
    for name in ["leaving", "unwanted", "abusive", "sender"] {
        accounts.push(server.account(name).await.unwrap());
    }
    let [leaving, unwanted, abusive, sender] = accounts.as_slice() else {
        unreachable!()
    };
    let connect = |jid| server.client(jid).connect(server.addr);
    let mut client = connect(leaving).await.unwrap();
    let writer = server.client(sender).acks().connect(server.addr);
    let mut writer = writer.await.unwrap();
    for to in [leaving, unwanted] {
        let message = format!("<message to='{to}' type='chat'><body>kept</body></message>");
        writer.send(message.as_str()).await.unwrap();
    }
    writer.request_ack().await.unwrap();
    free.store(0, SeqCst);
    let began = Instant::now();
    while !store.read_only() {
        assert!(began.elapsed() < Duration::from_secs(10));
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let acts = server.accounts();
    // In the account's own session (XEP-0077 §3.2), and by an administrator.
    let remove = Element::new("remove", ns::REGISTER);
    let remove = Element::new("query", ns::REGISTER).with_child(remove);
    client.request("set", None, remove).await.unwrap();
    acts.delete(unwanted).await.unwrap();
    acts.disable(abusive, "fills the disk").await.unwrap();
    for gone in [leaving, unwanted] {
        assert!(acts.show(gone).await.unwrap().is_none());
    }
    let owned = |view: &dyn Snapshot| {
        let rows = view.scan(Space::LOG, &Range::all(), Direction::Forward, usize::MAX)?;
        let owners = rows.iter().filter_map(|(key, _)| Fields::of(key).u64());
        Ok(owners.collect::<BTreeSet<_>>().len())
    };
    let began = Instant::now();
    while store.reading(owned).await.unwrap() != 1 {
        assert!(began.elapsed() < Duration::from_secs(10));
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(store.read_only());
    // Nothing new is accepted.
    let password = Password("a new password".to_owned());
    assert!(acts.create(leaving, &password).await.is_err());
    drop((client, writer));
    server.stop().await;
}

mod faults {
    //! Writes that fail, in a server within this process.

    use super::*;
    use waxwing::store::EngineError;
    use waxwing::store::testing::Faulty;

    struct Server {
        running: crate::support::server::Running,
        faulty: Arc<Faulty>,
    }

    async fn start() -> Server {
        let (running, faulty) = crate::support::server::start_faulty().await;
        Server { running, faulty }
    }

    fn refuse(server: &Server) {
        let error = EngineError::Refused("injected".to_owned());
        server.faulty.fail(1, error);
    }

    async fn roster_set(client: &mut Client, item: Element) -> Result<Element, Error> {
        let query = Element::new("query", ns::ROSTER).with_child(item);
        client.request("set", None, query).await
    }

    fn item(jid: &str, name: &str) -> Element {
        Element::new("item", ns::ROSTER)
            .with_attr("jid", jid)
            .with_attr("name", name)
    }

    fn names(items: &[Element]) -> Vec<(String, String)> {
        let text = |el: &Element, name| el.attr(name).unwrap_or_default().to_owned();
        let names = items.iter().map(|el| (text(el, "jid"), text(el, "name")));
        names.collect()
    }

    /// A change that was refused is not in memory either.
    #[tokio::test]
    async fn a_roster_is_what_the_disk_says() {
        let server = start().await;
        let running = &server.running;
        let account = running.account("juliet").await.unwrap();
        let mut client = running
            .client(&account)
            .connect(running.addr)
            .await
            .unwrap();
        roster_set(&mut client, item("a@x", "first")).await.unwrap();
        let before = names(&client.roster().await.unwrap());
        assert_eq!(before.len(), 1);
        let remove = item("a@x", "").with_attr("subscription", "remove");
        for change in [item("b@x", "new"), item("a@x", "second"), remove] {
            refuse(&server);
            let error = roster_set(&mut client, change.clone()).await;
            assert!(matches!(error, Err(Error::Refused(_))), "{error:?}");
            assert_eq!(names(&client.roster().await.unwrap()), before, "{change:?}");
        }
        roster_set(&mut client, item("b@x", "new")).await.unwrap();
        assert_eq!(client.roster().await.unwrap().len(), 2);
    }

    /// A subscription that was not stored did not happen.
    #[tokio::test]
    async fn a_subscription_is_what_the_disk_says() {
        let server = start().await;
        let running = &server.running;
        let account = running.account("juliet").await.unwrap();
        let other = running.account("romeo").await.unwrap();
        let mut client = running
            .client(&account)
            .connect(running.addr)
            .await
            .unwrap();
        client.roster().await.unwrap();
        client.presence().await.unwrap();
        let subscribe = format!("<presence type='subscribe' to='{other}' id='s'/>");
        // What the server notes of new accounts is written before this is answered.
        running.client(&other).connect(running.addr).await.unwrap();
        roster_set(&mut client, item("a@x", "first")).await.unwrap();
        refuse(&server);
        client.send(subscribe.as_str()).await.unwrap();
        let is_error = |el: &Element| el.attr("id") == Some("s");
        let error = client.wait_for("an error", is_error).await.unwrap();
        assert_eq!(error.attr("type"), Some("error"), "{error:?}");
        assert_eq!(client.roster().await.unwrap().len(), 1);
        client.send(subscribe.as_str()).await.unwrap();
        let pushed = |el: &Element| el.has_child("query", ns::ROSTER);
        client.wait_for("a push", pushed).await.unwrap();
        let items = client.roster().await.unwrap();
        let asked = |item: &Element| item.attr("ask") == Some("subscribe");
        assert!(items.iter().any(asked), "{items:?}");
    }

    /// A message that was refused and is sent again with the same id is not taken for a copy.
    #[tokio::test]
    async fn a_refused_message_can_be_sent_again() {
        let server = start().await;
        let running = &server.running;
        let to = running.account("juliet").await.unwrap();
        let from = running.account("romeo").await.unwrap();
        let mut sender = running
            .client(&from)
            .acks()
            .connect(running.addr)
            .await
            .unwrap();
        let message = format!("<message to='{to}' id='m' type='chat'><body>again</body></message>");
        for round in 0..3 {
            refuse(&server);
            sender.send(message.as_str()).await.unwrap();
            let is_error = |el: &Element| el.attr("type") == Some("error");
            let error = sender.wait_for("an error", is_error).await.unwrap();
            assert_eq!(error.attr("id"), Some("m"), "{round}: {error:?}");
        }
        sender.send(message.as_str()).await.unwrap();
        sender.request_ack().await.unwrap();
        let mut receiver = running.client(&to).connect(running.addr).await.unwrap();
        receiver.presence().await.unwrap();
        let is_it = |el: &Element| el.is("message", ns::CLIENT);
        receiver.wait_for("the message", is_it).await.unwrap();
    }
}
