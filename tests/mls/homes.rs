//! A group without a room: its home is an account, which puts everything in one order and passes it on.

use std::time::Duration;

use waxwing::mls::testing;
use waxwing::proto::{Condition, Jid, ns};
use waxwing::runtime::clock::Clock;
use waxwing::state::mls::{Bounds, Desk, encode};
use waxwing::store::{Options, Store};
use waxwing::xml::Element;

use super::{app, client, mls, refused};
use crate::support::client::Client;
use crate::support::process::Process;
use crate::support::server::{start_over, start_server};

pub const GROUP: &[u8] = b"bob and alice";

pub fn create(members: &[&str]) -> Element {
    let member = |jid: &&str| mls("member").with_attr("jid", jid);
    mls("create")
        .with_attr("group", &encode(GROUP))
        .with_children(members.iter().map(member))
}

pub fn of(epoch: u64, kind: u8, text: &str) -> Vec<u8> {
    testing::private_of(GROUP, epoch, kind, text.as_bytes())
}

pub fn letter(bytes: &[u8]) -> Element {
    mls("send").with_child(mls("mls").with_text(&encode(bytes)))
}

/// The id and the epoch of what was accepted.
pub async fn send(client: &mut Client, home: &Jid, letter: Element) -> (String, String) {
    let answer = client
        .request("set", Some(home.as_str()), letter)
        .await
        .unwrap();
    let sent = answer.child("sent", ns::MLS).unwrap();
    let attr = |name| sent.attr(name).unwrap().to_owned();
    (attr("id"), attr("epoch"))
}

/// The next message of the group: its id and its text.
async fn next(client: &mut Client) -> (String, String) {
    let is = |el: &Element| el.has_child("mls", ns::MLS);
    let got = client.wait_for("a message of the group", is).await.unwrap();
    assert!(got.attr("from").unwrap().starts_with("bob"));
    let text = got.child("mls", ns::MLS).unwrap().text().into_owned();
    (got.attr("id").unwrap().to_owned(), text)
}

#[tokio::test]
async fn an_account_keeps_the_order_of_its_group() {
    let server = start_server(&[]).await;
    let (home, mut bob) = client(&server, "bob").await;
    let (one, mut alice) = client(&server, "alice").await;
    let (_, mut eve) = client(&server, "eve").await;
    bob.request("set", None, create(&[one.as_str()]))
        .await
        .unwrap();
    let again = refused(&mut bob, "set", None, create(&[])).await;
    assert_eq!(again.condition, Condition::Conflict);

    let (id, epoch) = send(&mut bob, &home, letter(&of(0, 3, "bob"))).await;
    assert_eq!(epoch, "1");
    // All who take part get it, who sent it too.
    for client in [&mut bob, &mut alice] {
        assert_eq!(next(client).await, (id.clone(), encode(&of(0, 3, "bob"))));
    }
    let (won, _) = send(&mut alice, &home, letter(&of(1, 3, "alice"))).await;
    let lost = refused(
        &mut bob,
        "set",
        Some(home.as_str()),
        letter(&of(1, 3, "bob")),
    )
    .await;
    assert_eq!(lost.condition, Condition::Conflict);
    let taken = app(lost, "epoch-taken");
    assert_eq!(
        (taken.attr("id"), taken.attr("current")),
        (Some(won.as_str()), Some("2"))
    );
    assert_eq!(taken.text(), encode(&of(1, 3, "alice")));
    let ahead = refused(
        &mut alice,
        "set",
        Some(home.as_str()),
        letter(&of(7, 1, "a")),
    )
    .await;
    app(ahead, "epoch-unknown");
    let noise = refused(&mut alice, "set", Some(home.as_str()), letter(b"noise")).await;
    app(noise, "message-refused");

    // Who does not take part cannot tell whether there is a group.
    let error = refused(&mut eve, "set", Some(home.as_str()), letter(&of(2, 1, "e"))).await;
    assert_eq!(error.condition, Condition::ItemNotFound);
    app(error, "group-unknown");
    let group = || mls("group").with_attr("group", &encode(GROUP));
    let error = refused(&mut eve, "get", Some(home.as_str()), group()).await;
    app(error, "group-unknown");
    let state = alice
        .request("get", Some(home.as_str()), group())
        .await
        .unwrap();
    let state = state.child("group", ns::MLS).unwrap().to_element();
    assert_eq!(
        (state.attr("epoch"), state.attr("id")),
        (Some("2"), Some(won.as_str()))
    );
    bob.request("set", None, mls("end").with_attr("group", &encode(GROUP)))
        .await
        .unwrap();
    let error = refused(
        &mut alice,
        "set",
        Some(home.as_str()),
        letter(&of(2, 1, "a")),
    )
    .await;
    app(error, "group-unknown");
}

#[tokio::test]
async fn who_comes_gets_what_follows_and_who_goes_the_end() {
    let server = start_server(&["modules.mls.members=3"]).await;
    let (home, mut bob) = client(&server, "bob").await;
    let (one, mut alice) = client(&server, "alice").await;
    let (two, mut eve) = client(&server, "eve").await;
    bob.request("set", None, create(&[one.as_str()]))
        .await
        .unwrap();
    let jid = |name: &str, jid: &str| mls(name).with_attr("jid", jid);
    let both = letter(&of(0, 3, "c"))
        .with_child(jid("added", two.as_str()))
        .with_child(jid("removed", one.as_str()));
    let (id, _) = send(&mut bob, &home, both).await;
    assert_eq!(next(&mut alice).await.0, id);
    let (id, _) = send(&mut eve, &home, letter(&of(1, 1, "hello"))).await;
    for client in [&mut eve, &mut bob] {
        loop {
            let (got, _) = next(client).await;
            if got == id {
                break;
            }
        }
    }
    while let Some(other) = alice.next(Duration::from_millis(50)).await {
        assert!(!other.has_child("mls", ns::MLS), "{other:?}");
    }
    let error = refused(
        &mut alice,
        "set",
        Some(home.as_str()),
        letter(&of(1, 1, "a")),
    )
    .await;
    app(error, "group-unknown");
    let many = letter(&of(1, 3, "c"))
        .with_child(jid("added", "a@localhost"))
        .with_child(jid("added", "b@localhost"));
    let error = refused(&mut bob, "set", Some(home.as_str()), many).await;
    assert_eq!(error.condition, Condition::ResourceConstraint);
    // Its home always takes part.
    let (_, epoch) = send(
        &mut eve,
        &home,
        letter(&of(1, 3, "c")).with_child(jid("removed", home.as_str())),
    )
    .await;
    assert_eq!(epoch, "2");
    send(&mut bob, &home, letter(&of(2, 1, "still here"))).await;
}

#[tokio::test]
async fn the_state_of_a_group_is_for_those_who_take_part() {
    let server = start_server(&[]).await;
    let (home, mut bob) = client(&server, "bob").await;
    let (one, mut alice) = client(&server, "alice").await;
    let (_, mut eve) = client(&server, "eve").await;
    bob.request("set", None, create(&[one.as_str()]))
        .await
        .unwrap();
    send(&mut alice, &home, letter(&of(0, 3, "c"))).await;
    let info = |epoch| {
        let bytes = testing::group_info(GROUP, epoch);
        mls("group-info").with_text(&encode(&bytes))
    };
    let ask = || mls("group-info").with_attr("group", &encode(GROUP));
    for (client, info, condition) in [
        (&mut bob, info(1), Condition::Forbidden),
        (&mut alice, info(0), Condition::Conflict),
        (&mut eve, info(1), Condition::ItemNotFound),
    ] {
        let error = refused(client, "set", Some(home.as_str()), info).await;
        assert_eq!(error.condition, condition);
    }
    let none = refused(&mut bob, "get", Some(home.as_str()), ask()).await;
    assert_eq!(none.condition, Condition::ItemNotFound);
    alice
        .request("set", Some(home.as_str()), info(1))
        .await
        .unwrap();
    let got = bob
        .request("get", Some(home.as_str()), ask())
        .await
        .unwrap();
    let got = got
        .child("group-info", ns::MLS)
        .unwrap()
        .text()
        .into_owned();
    assert_eq!(got, encode(&testing::group_info(GROUP, 1)));
    // Another device of theirs joins by it.
    let joins = testing::public_commit(GROUP, 1, true);
    assert_eq!(send(&mut bob, &home, letter(&joins)).await.1, "2");
    let error = refused(&mut eve, "get", Some(home.as_str()), ask()).await;
    assert_eq!(error.condition, Condition::ItemNotFound);
}

#[tokio::test]
async fn what_was_accepted_reaches_all_over_a_kill() {
    let mut server = Process::start(&["alice", "bob"], &[]);
    let [home, one] = ["bob", "alice"].map(crate::support::process::jid);
    let mut bob = server.client("bob").connect(server.addr).await.unwrap();
    bob.request("set", None, create(&[one.as_str()]))
        .await
        .unwrap();
    let mut accepted = Vec::new();
    for number in 0..20 {
        accepted.push(send(&mut bob, &home, letter(&of(number, 3, "c"))).await.0);
    }
    server.kill();
    drop(bob);
    server.restart();
    // What was on its way goes on; it comes at least once.
    let mut alice = server.client("alice").connect(server.addr).await.unwrap();
    alice.presence().await.unwrap();
    let mut missing = accepted.clone();
    while !missing.is_empty() {
        let (id, _) = next(&mut alice).await;
        missing.retain(|other| *other != id);
    }
    let mut bob = server.client("bob").connect(server.addr).await.unwrap();
    let (_, epoch) = send(&mut bob, &home, letter(&of(20, 3, "c"))).await;
    assert_eq!(epoch, "21");
}

async fn phone(server: &Process) -> Client {
    let builder = server.client("bob").resource("phone");
    builder.connect(server.addr).await.unwrap()
}

#[tokio::test]
async fn what_is_sent_again_because_the_answer_was_lost_comes_once() {
    let mut server = Process::start(&["alice", "bob"], &[]);
    let [home, one] = ["bob", "alice"].map(crate::support::process::jid);
    let mut bob = phone(&server).await;
    bob.request("set", None, create(&[one.as_str()]))
        .await
        .unwrap();
    let text = |text| letter(&of(0, 1, text));
    let first = send(&mut bob, &home, text("once")).await;
    assert_eq!(send(&mut bob, &home, text("once")).await, first);
    server.kill();
    drop(bob);
    server.restart();
    let mut bob = phone(&server).await;
    assert_eq!(send(&mut bob, &home, text("once")).await, first);
    let last = send(&mut bob, &home, text("twice")).await;
    let mut alice = server.client("alice").connect(server.addr).await.unwrap();
    alice.presence().await.unwrap();
    assert_eq!(next(&mut alice).await.0, first.0);
    assert_eq!(next(&mut alice).await.0, last.0);
}

#[tokio::test]
async fn what_all_have_is_kept_for_nobody() {
    let store = Store::open(Options::memory(), Clock::system()).unwrap();
    let server = start_over(store.clone(), &[]).await;
    let (home, mut bob) = client(&server, "bob").await;
    let (one, mut alice) = client(&server, "alice").await;
    // Nobody can hand the last one anything.
    let members = [one.as_str(), "nobody@localhost"];
    bob.request("set", None, create(&members)).await.unwrap();
    for number in 0..3 {
        send(&mut bob, &home, letter(&of(number, 3, "c"))).await;
        next(&mut alice).await;
    }
    let bounds = Bounds {
        devices: 1,
        packages: 1,
        remembered: 1,
        welcomes: 1,
        welcome_bytes: 1,
        groups: 1,
        members: 1,
    };
    let desk = Desk::new(&store, bounds).unwrap();
    for _ in 0..250 {
        if desk.parcels(None, 10).await.unwrap().is_empty() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("messages that all have are still kept");
}
