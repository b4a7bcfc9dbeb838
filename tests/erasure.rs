//! Removing an account: everything it owned goes, its contacts lose it, and a stop in the middle changes nothing of that.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use waxwing::admin::Password;
use waxwing::proto::{Jid, ns};
use waxwing::store::testing::Faulty;
use waxwing::store::{Direction, Fields, Range};
use waxwing::store::{Engine, EngineError, Space};
use waxwing::xml::Element;

use crate::support::client::{Client, Error};
use crate::support::server::{Running, start_faulty, start_on};

/// Accounts that own something in a space.
fn owners(faulty: &Faulty, space: Space) -> usize {
    let view = faulty.snapshot().unwrap();
    let rows = view
        .scan(space, &Range::all(), Direction::Forward, usize::MAX)
        .unwrap();
    let owners = rows.iter().map(|(key, _)| Fields::of(key).u64().unwrap());
    owners.collect::<BTreeSet<_>>().len()
}

/// Keys in a space.
fn count(faulty: &Faulty, space: Space) -> usize {
    let view = faulty.snapshot().unwrap();
    let rows = view
        .scan(space, &Range::all(), Direction::Forward, usize::MAX)
        .unwrap();
    rows.len()
}

const LEFT: &[Space] = &[
    Space::ERASURE,
    Space::ROSTER,
    Space::UNDELIVERED,
    Space::BLOCK_LIST,
    Space::PROFILE,
    Space::PRIVATE_XML,
    Space::ACCOUNT_USAGE,
    Space::LAST_ACTIVITY,
    Space::ACCOUNT_CHOICE,
];

async fn online(running: &Running, jid: &Jid) -> Client {
    let mut client = running.client(jid).connect(running.addr).await.unwrap();
    client.roster().await.unwrap();
    client.presence().await.unwrap();
    client
}

async fn subscribe(one: &mut Client, other: &mut Client) {
    let (a, b) = (one.jid.bare(), other.jid.bare());
    let one_way = [
        format!("<presence type='subscribe' to='{b}'/>"),
        format!("<presence type='subscribed' to='{a}'/>"),
    ];
    let is = |kind: &'static str| move |el: &Element| el.attr("type") == Some(kind);
    one.send(one_way[0].as_str()).await.unwrap();
    other.wait_for("a request", is("subscribe")).await.unwrap();
    other.send(one_way[1].as_str()).await.unwrap();
    one.wait_for("an approval", is("subscribed")).await.unwrap();
}

async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let began = Instant::now();
    while !holds().await {
        assert!(began.elapsed() < Duration::from_secs(10), "{what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Two accounts with a mutual subscription; messages wait for the first, which owns a vCard and more.
async fn scene(running: &Running) -> (Jid, Jid, Client) {
    let leaving = running.account("leaving").await.unwrap();
    let staying = running.account("staying").await.unwrap();
    let mut one = online(running, &leaving).await;
    let mut other = online(running, &staying).await;
    subscribe(&mut one, &mut other).await;
    subscribe(&mut other, &mut one).await;
    crate::strangers::choose(&mut one, "rate").await.unwrap();
    one.close().await.unwrap();
    for n in 0..5 {
        let message =
            format!("<message to='{leaving}' type='chat' id='m{n}'><body>{n}</body></message>");
        other.send(message.as_str()).await.unwrap();
    }
    other.roster().await.unwrap();
    (leaving, staying, other)
}

async fn subscription(client: &mut Client, of: &Jid) -> Option<String> {
    let items = client.roster().await.unwrap();
    let item = items
        .iter()
        .find(|item| item.attr("jid") == Some(of.as_str()))?;
    Some(item.attr("subscription").unwrap_or_default().to_owned())
}

#[tokio::test]
async fn an_account_goes_with_all_it_owns() {
    let (running, faulty) = start_faulty().await;
    let (leaving, _staying, mut other) = scene(&running).await;
    assert_eq!(
        subscription(&mut other, &leaving).await.as_deref(),
        Some("both")
    );
    assert_eq!(owners(&faulty, Space::LOG), 2);
    running.accounts().delete(&leaving).await.unwrap();
    let is = |kind: &'static str| move |el: &Element| el.attr("type") == Some(kind);
    other
        .wait_for("the end of a subscription", is("unsubscribed"))
        .await
        .unwrap();
    assert_eq!(
        subscription(&mut other, &leaving).await.as_deref(),
        Some("none")
    );
    // Who stays keeps what was said.
    assert_eq!(owners(&faulty, Space::LOG), 1);
    for space in LEFT {
        // Of the contact's roster, its own item for the account stays (RFC 6121 §3.3.3).
        let of_the_contact = usize::from(*space == Space::ROSTER);
        assert_eq!(count(&faulty, *space), of_the_contact, "{space}");
    }
    let refused = running.client(&leaving).connect(running.addr).await;
    assert!(
        matches!(refused, Err(Error::Sasl(_) | Error::Login(_))),
        "{:?}",
        refused.err()
    );
}

#[tokio::test]
async fn whoever_takes_the_name_afterwards_owns_nothing_of_it_and_loses_nothing() {
    let (running, faulty) = start_faulty().await;
    let (leaving, _staying, mut other) = scene(&running).await;
    let accounts = running.accounts();
    accounts.delete(&leaving).await.unwrap();
    accounts
        .create(&leaving, &Password("pencil".to_owned()))
        .await
        .unwrap();
    let message =
        format!("<message to='{leaving}' type='chat' id='new'><body>new</body></message>");
    other.send(message.as_str()).await.unwrap();
    other.roster().await.unwrap();
    let running = restart(running, other, &faulty).await;
    let mut again = online(&running, &leaving).await;
    let is_message = |el: &Element| el.is("message", ns::CLIENT);
    let first = again.wait_for("a message", is_message).await.unwrap();
    assert_eq!(first.attr("id"), Some("new"));
    assert!(again.roster().await.unwrap().is_empty());
}

/// Stops the server and starts another one on the same data.
async fn restart(running: Running, client: Client, faulty: &Arc<Faulty>) -> Running {
    client.close().await.unwrap();
    running.stop().await;
    start_on(faulty, &[]).await
}

/// Wherever the removal stops, the next start ends it.
#[tokio::test]
async fn a_stop_in_the_middle_is_made_up_for() {
    let mut whole = false;
    for at in 1..40 {
        let (running, faulty) = start_faulty().await;
        let (leaving, staying, other) = scene(&running).await;
        let refused = EngineError::Refused("injected".to_owned());
        faulty.fail(at, refused);
        let deleted = running.accounts().delete(&leaving).await;
        whole = count(&faulty, Space::ERASURE) == 0 && deleted.is_ok();
        faulty.fail(0, EngineError::Refused("no more".to_owned()));
        let running = restart(running, other, &faulty).await;
        if deleted.is_err() {
            // Nothing happened at all.
            assert_eq!(at, 1, "{deleted:?}");
            continue;
        }
        until("marks stay", async || count(&faulty, Space::ERASURE) == 0).await;
        assert_eq!(owners(&faulty, Space::LOG), 1, "stopped at write {at}");
        assert_eq!(
            count(&faulty, Space::UNDELIVERED),
            0,
            "stopped at write {at}"
        );
        let mut other = online(&running, &staying).await;
        let left = subscription(&mut other, &leaving).await;
        assert_eq!(left.as_deref(), Some("none"), "stopped at write {at}");
        if whole {
            break;
        }
    }
    assert!(whole, "forty writes were not enough");
}
