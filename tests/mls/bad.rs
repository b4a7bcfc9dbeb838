//! Whatever is wrong with what comes, it is refused by the name that the specification has for it, and the order stands.

use waxwing::mls::testing;
use waxwing::proto::{Condition, StanzaError, ns};
use waxwing::state::mls::encode;
use waxwing::xml::Element;

use super::homes::{self, create, letter, of, send};
use super::rooms::{self, ORDERED, ROOM, commit, configure, enter, say};
use super::welcomes::{next, welcome};
use super::{Device, app, bounced, client, mls, publish, reason, refused, welcome_of};
use crate::support::client::Client;
use crate::support::server::start_server;

/// Commits of a flood.
const FLOOD: u64 = 300;

#[tokio::test]
async fn welcomes() {
    let server = start_server(&[]).await;
    let (bob, mut phone) = client(&server, "bob").await;
    let (_, mut alice) = client(&server, "alice").await;
    let mut device = Device::new(&bob, "phone");
    let one = device.packages(1);
    device.publish(&mut phone, &one).await;
    let good = testing::welcome(50);
    let mut other_kind = good.clone();
    other_kind[3] = 2;
    let home = |text: &str, home: &str| {
        mls("welcome")
            .with_attr("device", "phone")
            .with_attr("home", home)
            .with_text(text)
    };
    let bytes = |bytes: &[u8]| home(&encode(bytes), ROOM);
    for (id, bad, why) in [
        ("nothing", bytes(b""), "syntax"),
        ("cut", bytes(&good[..good.len() - 1]), "syntax"),
        ("longer", bytes(&[&good[..], &[0]].concat()), "syntax"),
        ("flipped", bytes(&other_kind), "syntax"),
        ("commit", bytes(&testing::private(b"g", 1, 3)), "kind"),
        ("state", bytes(&testing::group_info(b"g", 1)), "kind"),
        ("package", bytes(&one[0]), "kind"),
        (
            "spaces",
            home(&format!(" {}", encode(&good)), ROOM),
            "base64",
        ),
        ("no padding", home("AAEAA", ROOM), "base64"),
        ("nowhere", home(&encode(&good), "@"), "home"),
        ("homeless", home(&encode(&good), ""), "home"),
    ] {
        alice.send(welcome_of(&bob, id, bad)).await.unwrap();
        let error = bounced(&mut alice, id).await;
        assert_eq!(error.condition, Condition::BadRequest, "{id}");
        assert_eq!(reason(error), why, "{id}");
    }
    // Only messages that somebody may answer bring one; the device hears of the good one alone.
    alice.send(welcome(&bob, "phone", "good")).await.unwrap();
    assert_eq!(next(&mut phone).await.0, "good");
}

#[tokio::test]
async fn packages_that_were_cut_or_come_twice_in_a_request() {
    let server = start_server(&[]).await;
    let (bob, mut phone) = client(&server, "bob").await;
    let mut device = Device::new(&bob, "phone");
    let good = device.packages(1).remove(0);
    for (bad, why) in [
        (good[..good.len() - 1].to_vec(), "syntax"),
        (good[..10].to_vec(), "syntax"),
        (Vec::new(), "syntax"),
        (vec![0; 9_000], "syntax"),
        (b"junk that is no package".to_vec(), "version"),
        (good.clone(), "repeated"),
    ] {
        let two = [good.clone(), bad];
        let error = refused(&mut phone, "set", None, publish("phone", &two)).await;
        let app = app(error, "package-refused");
        assert_eq!(
            (app.attr("reason"), app.attr("index")),
            (Some(why), Some("1"))
        );
    }
    let nothing = refused(&mut phone, "set", None, publish("phone", &[])).await;
    assert_eq!(nothing.condition, Condition::BadRequest);
    device.publish(&mut phone, &[good]).await;
}

#[tokio::test]
async fn messages_to_a_home() {
    let server = start_server(&["modules.mls.epochs=1", "modules.mls.groups=2"]).await;
    let (home, mut bob) = client(&server, "bob").await;
    let (one, mut alice) = client(&server, "alice").await;
    bob.request("set", None, create(&[one.as_str()]))
        .await
        .unwrap();
    for epoch in 0..3 {
        send(&mut alice, &home, letter(&of(epoch, 3, "c"))).await;
    }
    let to = Some(home.as_str());
    let good = of(3, 1, "a");
    let junk = |text: &str| mls("send").with_child(mls("mls").with_text(text));
    let twice = letter(&good).with_child(mls("mls").with_text(&encode(&good)));
    for (bad, why) in [
        (mls("send"), "count"),
        (twice, "count"),
        (junk("***"), "base64"),
        (letter(b"noise"), "kind"),
        (letter(&testing::welcome(5)), "kind"),
        (letter(&good[..good.len() - 1]), "syntax"),
        (letter(&[&good[..], &[0]].concat()), "syntax"),
    ] {
        let error = refused(&mut alice, "set", to, bad).await;
        assert_eq!(error.condition, Condition::BadRequest);
        assert_eq!(reason(error), why);
    }
    for (bytes, name, condition) in [
        (of(4, 3, "c"), "epoch-unknown", Condition::UnexpectedRequest),
        (
            of(u64::MAX, 1, "a"),
            "epoch-unknown",
            Condition::UnexpectedRequest,
        ),
        (of(2, 2, "p"), "epoch-stale", Condition::NotAcceptable),
        (of(1, 1, "a"), "epoch-stale", Condition::NotAcceptable),
        (of(0, 3, "c"), "epoch-taken", Condition::Conflict),
        (
            testing::private(b"of others", 0, 3),
            "group-unknown",
            Condition::ItemNotFound,
        ),
    ] {
        let error = refused(&mut alice, "set", to, letter(&bytes)).await;
        assert_eq!(error.condition, condition, "{name}");
        app(error, name);
    }
    // A commit that names nobody changes nothing.
    let nobody = letter(&of(3, 3, "c")).with_child(mls("added").with_attr("jid", "@"));
    let error = refused(&mut alice, "set", to, nobody).await;
    assert_eq!(error.condition, Condition::JidMalformed);
    send(&mut alice, &home, letter(&of(3, 3, "c"))).await;

    let group = |id: &[u8]| mls("create").with_attr("group", &encode(id));
    let long = refused(&mut bob, "set", None, group(&[7; 256])).await;
    assert_eq!(long.condition, Condition::BadRequest);
    let epoch = group(b"another").with_attr("epoch", "many");
    let odd = refused(&mut bob, "set", None, epoch).await;
    assert_eq!(odd.condition, Condition::BadRequest);
    bob.request("set", None, group(b"another")).await.unwrap();
    let third = refused(&mut bob, "set", None, group(b"third")).await;
    assert_eq!(third.condition, Condition::ResourceConstraint);
    let others = refused(&mut alice, "set", to, group(b"of others")).await;
    assert_eq!(others.condition, Condition::ServiceUnavailable);
}

/// An account that is not there answers as one that has no such group, whatever is asked.
#[tokio::test]
async fn nobody_learns_who_is_there() {
    let server = start_server(&[]).await;
    let (bob, _here) = client(&server, "bob").await;
    let (_, mut alice) = client(&server, "alice").await;
    let group = || encode(homes::GROUP);
    let info = testing::group_info(homes::GROUP, 1);
    for (kind, asked) in [
        ("set", mls("take")),
        ("set", mls("take").with_attr("suite", "many")),
        ("set", letter(&of(0, 3, "c"))),
        ("set", letter(b"noise")),
        ("set", mls("send")),
        ("get", mls("group").with_attr("group", &group())),
        ("get", mls("group")),
        ("get", mls("group-info").with_attr("group", &group())),
        ("set", mls("group-info").with_text(&encode(&info))),
        ("set", mls("group-info").with_text("no base64")),
        ("set", mls("create").with_attr("group", &group())),
        ("set", publish("phone", &[])),
        ("get", mls("packages")),
    ] {
        let of_bob = refused(&mut alice, kind, Some(bob.as_str()), asked.clone()).await;
        let of_nobody = refused(&mut alice, kind, Some("nobody@localhost"), asked.clone()).await;
        let told = |error: &StanzaError| {
            (
                error.condition,
                error.kind,
                error.text.clone(),
                error.app.clone(),
            )
        };
        assert_eq!(told(&of_bob), told(&of_nobody), "{asked:?}");
    }
}

/// Sends many at once; how many were refused, each by this name.
async fn flood(client: &mut Client, messages: Vec<Element>, name: &str) -> usize {
    let number = messages.len();
    for message in messages {
        client.send(message).await.unwrap();
    }
    let mut refused = 0;
    for _ in 0..number {
        let flood = |el: &Element| el.attr("id").is_some_and(|id| id.starts_with("flood"));
        let got = client.wait_for("an answer", flood).await.unwrap();
        let error = got.child("error", ns::CLIENT);
        if let Some(error) = error {
            assert!(error.has_child(name, ns::MLS), "{got:?}");
            refused += 1;
        }
    }
    refused
}

const FAST: &str = "limits.session.stanzas_per_second=100000";

#[tokio::test]
async fn floods_of_commits_leave_the_order_of_a_room_as_it_is() {
    let server = start_server(&[FAST, "modules.muc.acts=1000"]).await;
    let (one, three) = (
        server.account("crone1").await.unwrap(),
        server.account("hag66").await.unwrap(),
    );
    let mut crone = enter(server.client(&one), server.addr, "first").await;
    configure(&mut crone, &[ORDERED]).await;
    let mut hag = enter(server.client(&three), server.addr, "third").await;
    say(&mut crone, "c0", &commit(0, "c")).await.unwrap();
    let many = |epoch: fn(u64) -> u64| {
        let one = |n| rooms::message(&format!("flood{n}"), &commit(epoch(n), "flood"));
        (0..FLOOD).map(one).collect::<Vec<_>>()
    };
    let all = FLOOD as usize;
    assert_eq!(flood(&mut hag, many(|_| 0), "epoch-taken").await, all);
    let far = many(|n| u64::MAX - n);
    assert_eq!(flood(&mut hag, far, "epoch-unknown").await, all);
    // Of many that are good one is the first, and who does nothing of the kind is heard.
    let spoken = testing::private(rooms::GROUP, 1, 1);
    let (refused, said) = tokio::join!(
        flood(&mut hag, many(|_| 1), "epoch-taken"),
        say(&mut crone, "a", &spoken),
    );
    assert_eq!(refused, all - 1);
    said.unwrap();
    let state = crone.request("get", Some(ROOM), mls("group")).await;
    let state = state.unwrap();
    let group = state.child("group", ns::MLS).unwrap();
    assert_eq!(group.attr("epoch"), Some("2"));
}

#[tokio::test]
async fn floods_of_commits_leave_the_order_of_a_home_as_it_is() {
    let server = start_server(&[FAST]).await;
    let (home, mut bob) = client(&server, "bob").await;
    let (one, mut alice) = client(&server, "alice").await;
    bob.request("set", None, create(&[one.as_str()]))
        .await
        .unwrap();
    // As many as may wait for an answer at once.
    let one = |n| {
        let id = format!("flood{n}");
        Element::new("iq", ns::CLIENT)
            .with_attr("type", "set")
            .with_attr("to", home.as_str())
            .with_attr("id", &id)
            .with_child(letter(&of(0, 3, "flood")))
    };
    for round in 0..5 {
        let many = (0..20).map(|n| one(n + 20 * round)).collect();
        let refused = flood(&mut alice, many, "epoch-taken").await;
        assert_eq!(refused, 20 - usize::from(round == 0));
    }
    assert_eq!(send(&mut bob, &home, letter(&of(1, 3, "c"))).await.1, "2");
}
