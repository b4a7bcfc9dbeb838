//! What goes with a device, an account and a room, and what is taken along to another server.

use std::time::Duration;

use waxwing::admin::Password;
use waxwing::mls::testing;
use waxwing::proto::{Condition, Jid, ns};
use waxwing::runtime::clock::Clock;
use waxwing::state::mls::encode;
use waxwing::state::owned;
use waxwing::store::{Direction, Options, Range, Store};
use waxwing::xml::Element;

use super::homes::{GROUP, create, letter, of, send};
use super::rooms::{self, EXTERNAL, ORDERED, ROOM, STAYS, commit, configure, enter, say};
use super::welcomes::{here, next, welcome};
use super::{Device, app, client, devices, mls, refused};
use crate::support::client::Client;
use crate::support::process::{self, Process};
use crate::support::server::start_over;

/// Rows of MLS that accounts own.
async fn rows(store: &Store) -> usize {
    let mut all = 0;
    for (name, space) in owned::spaces(store) {
        if name.starts_with("mls") {
            let read = move |view: &dyn waxwing::store::Snapshot| {
                view.scan(space, &Range::all(), Direction::Forward, usize::MAX)
            };
            all += store.reading(read).await.unwrap().len();
        }
    }
    all
}

/// An account that owns some of everything: packages, a welcome that waits, a group with a state.
async fn furnished(bob: &mut Client, alice: &mut Client) {
    let (home, other) = (bob.jid.bare(), alice.jid.bare());
    let mut device = Device::new(&home, "phone");
    let packages = [device.packages(3), vec![device.last_resort()]].concat();
    device.publish(bob, &packages).await;
    take(alice, &home).await.unwrap();
    alice.send(welcome(&home, "phone", "w1")).await.unwrap();
    next(bob).await;
    bob.request("set", None, create(&[other.as_str()]))
        .await
        .unwrap();
    send(bob, &home, letter(&of(0, 3, "c"))).await;
    let info = mls("group-info").with_text(&encode(&testing::group_info(GROUP, 1)));
    bob.request("set", None, info).await.unwrap();
}

async fn take(client: &mut Client, of: &Jid) -> Option<String> {
    let answer = client.request("set", Some(of.as_str()), mls("take")).await;
    let answer = answer.ok()?;
    let packages = answer.child("packages", ns::MLS)?;
    let package = packages.child("package", ns::MLS)?;
    Some(package.text().into_owned())
}

/// Whoever has the name now has nothing of who had it.
async fn has_nothing(bob: &mut Client, alice: &mut Client) {
    let home = bob.jid.bare();
    let count = bob.request("get", None, mls("packages")).await.unwrap();
    assert_eq!(devices(&count), []);
    assert_eq!(take(alice, &home).await, None);
    here(bob, "phone").await;
    let group = || mls("group").with_attr("group", &encode(GROUP));
    for client in [&mut *bob, &mut *alice] {
        let error = refused(client, "get", Some(home.as_str()), group()).await;
        assert_eq!(error.condition, Condition::ItemNotFound);
        app(error, "group-unknown");
    }
    while let Some(other) = bob.next(Duration::from_millis(100)).await {
        assert!(!format!("{other:?}").contains(ns::MLS), "{other:?}");
    }
}

#[tokio::test]
async fn an_account_leaves_nothing_to_who_gets_its_name() {
    let store = Store::open(Options::memory(), Clock::system()).unwrap();
    let server = start_over(store.clone(), &[]).await;
    let (jid, mut bob) = client(&server, "bob").await;
    let (_, mut alice) = client(&server, "alice").await;
    furnished(&mut bob, &mut alice).await;
    assert!(rows(&store).await >= 8);
    let accounts = server.accounts();
    accounts.delete(&jid).await.unwrap();
    let mut left = usize::MAX;
    for _ in 0..200 {
        left = rows(&store).await;
        if left == 0 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(left, 0, "rows of who is gone");
    let to_home = refused(
        &mut alice,
        "set",
        Some(jid.as_str()),
        letter(&of(1, 3, "c")),
    )
    .await;
    app(to_home, "group-unknown");
    accounts
        .create(&jid, &Password("pencil".to_owned()))
        .await
        .unwrap();
    let mut bob = server.client(&jid).connect(server.addr).await.unwrap();
    has_nothing(&mut bob, &mut alice).await;
}

#[tokio::test]
async fn a_device_that_is_withdrawn_leaves_its_account_no_row() {
    let store = Store::open(Options::memory(), Clock::system()).unwrap();
    let server = start_over(store.clone(), &[]).await;
    let (_, mut bob) = client(&server, "bob").await;
    let (_, mut alice) = client(&server, "alice").await;
    furnished(&mut bob, &mut alice).await;
    bob.request("set", None, mls("end").with_attr("group", &encode(GROUP)))
        .await
        .unwrap();
    let withdraw = mls("withdraw").with_attr("device", "phone");
    bob.request("set", None, withdraw).await.unwrap();
    // What is on its way to others goes when they have it.
    for _ in 0..200 {
        if rows(&store).await == 0 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("{} rows are left", rows(&store).await);
}

#[tokio::test]
async fn a_room_takes_its_group_with_it() {
    let store = Store::open(Options::memory(), Clock::system()).unwrap();
    let server = start_over(store.clone(), &[]).await;
    let crone = server.account("crone1").await.unwrap();
    let mut client = enter(server.client(&crone), server.addr, "first").await;
    let all = [ORDERED, EXTERNAL, STAYS];
    configure(&mut client, &all).await;
    say(&mut client, "c0", &commit(0, "c")).await.unwrap();
    let info = testing::group_info(rooms::GROUP, 1);
    let info = mls("group-info").with_text(&encode(&info));
    client.request("set", Some(ROOM), info).await.unwrap();
    let destroy = Element::new("destroy", ns::MUC_OWNER);
    let destroy = Element::new("query", ns::MUC_OWNER).with_child(destroy);
    client.request("set", Some(ROOM), destroy).await.unwrap();
    client.close().await.unwrap();
    let mut again = enter(server.client(&crone), server.addr, "first").await;
    configure(&mut again, &all).await;
    for asked in ["group", "group-info"] {
        let error = refused(&mut again, "get", Some(ROOM), mls(asked)).await;
        assert_eq!(error.condition, Condition::ItemNotFound, "{asked}");
    }
    // Its next group begins where it likes.
    let other = testing::private(b"another coven", 7, 3);
    say(&mut again, "o7", &other).await.unwrap();
}

/// A package that one server hands out, no other one may: none goes along.
#[tokio::test]
async fn what_is_for_one_use_is_in_no_export() {
    let server = Process::start(&["alice", "bob"], &[]);
    let mut bob = server.client("bob").connect(server.addr).await.unwrap();
    let mut alice = server.client("alice").connect(server.addr).await.unwrap();
    bob.presence().await.unwrap();
    furnished(&mut bob, &mut alice).await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("all.xml");
    let file = file.to_str().unwrap();
    let (done, said, _) = server.run(&["export", file]);
    assert!(done, "{said}");
    let text = std::fs::read_to_string(file).unwrap();
    assert!(text.contains("bob"), "{text}");
    let package = take(&mut alice, &process::jid("bob")).await.unwrap();
    for secret in [package.as_str(), "<package", "<welcome", "<group-info"] {
        assert!(!text.contains(secret), "{secret}");
    }
    let (done, said, _) = server.run(&["import", file, "--replace"]);
    assert!(done, "{said}");
    let mut bob = server.client("bob").connect(server.addr).await.unwrap();
    let mut alice = server.client("alice").connect(server.addr).await.unwrap();
    has_nothing(&mut bob, &mut alice).await;
}
