//! People of other servers: their packages are taken, they are welcomed, and take part in rooms and at homes.

use waxwing::mls::testing;
use waxwing::proto::{Condition, ErrorType, Jid, ns};
use waxwing::state::mls::encode;
use waxwing::xml::Element;

use super::homes::{GROUP, create, letter, of, send};
use super::rooms::{self, EXTERNAL, ORDERED, commit};
use super::welcomes::{received, welcome};
use super::{Device, app, bounced, mls, reason, refused, welcome_of};
use crate::federation::world::{Authority, Site, online};
use crate::support::client::Client;
use crate::support::server::Running;

const ROOMS: &str = "conference.verona.example";
const ROOM: &str = "coven@conference.verona.example";

/// Juliet at one server, Romeo and Tybalt at another one.
struct World {
    authority: Authority,
    verona: Site,
    mantua: Site,
    here: Running,
    there: Running,
    juliet: Client,
    romeo: Client,
    tybalt: Client,
}

async fn world(at_verona: &str) -> World {
    let authority = Authority::new();
    let mut verona = Site::new(&authority, "verona.example");
    verona.certificate = authority.issue("verona.example", |params| {
        let name = ROOMS.try_into().unwrap();
        params.subject_alt_names.push(rcgen::SanType::DnsName(name));
    });
    verona.settings = at_verona.to_owned();
    let mut mantua = Site::new(&authority, "mantua.example");
    mantua.settings = format!(
        "[[federation.peers]]\ndomain = \"{ROOMS}\"\naddress = \"{}\"\nport = {}",
        verona.address.ip(),
        verona.address.port()
    );
    let here = verona.start(&authority, &[&mantua]).await;
    let there = mantua.start(&authority, &[&verona]).await;
    let juliet = here.account("juliet").await.unwrap();
    let (romeo, tybalt) = (there.account("romeo").await, there.account("tybalt").await);
    World {
        juliet: online(&here, &juliet).await,
        romeo: online(&there, &romeo.unwrap()).await,
        tybalt: online(&there, &tybalt.unwrap()).await,
        authority,
        verona,
        mantua,
        here,
        there,
    }
}

async fn published(client: &mut Client, number: usize) {
    let mut device = Device::new(&client.jid.bare(), "phone");
    let packages = device.packages(number);
    device.publish(client, &packages).await;
}

async fn take(client: &mut Client, of: &Jid) -> Element {
    let answer = client.request("set", Some(of.as_str()), mls("take")).await;
    let packages = answer
        .unwrap()
        .child("packages", ns::MLS)
        .map(|el| el.to_element());
    packages.unwrap()
}

/// The next message of the group of an account.
async fn next(client: &mut Client) -> (Option<String>, String) {
    let is = |el: &Element| el.has_child("mls", ns::MLS);
    let got = client.wait_for("a message of the group", is).await.unwrap();
    let text = got.child("mls", ns::MLS).unwrap().text().into_owned();
    (got.attr("id").map(str::to_owned), text)
}

#[tokio::test]
async fn who_is_elsewhere_is_added_and_takes_part_in_a_group_without_a_room() {
    let mut world = world("").await;
    let (home, other) = (world.juliet.jid.bare(), world.romeo.jid.bare());
    published(&mut world.romeo, 1).await;
    let packages = take(&mut world.juliet, &other).await;
    let package = packages.child("package", ns::MLS).unwrap();
    assert_eq!(package.attr("device"), Some("phone"));
    let none = refused(&mut world.juliet, "set", Some(other.as_str()), mls("take")).await;
    assert_eq!(none.condition, Condition::ItemNotFound);

    let create = create(&[other.as_str()]);
    world.juliet.request("set", None, create).await.unwrap();
    let (begun, _) = send(&mut world.juliet, &home, letter(&of(0, 3, "add"))).await;
    world
        .juliet
        .send(welcome(&other, "phone", "w1"))
        .await
        .unwrap();
    let is = |el: &Element| el.has_child("welcome", ns::MLS);
    let got = world.romeo.wait_for("a welcome", is).await.unwrap();
    assert_eq!(got.attr("from"), Some(world.juliet.jid.as_str()));
    let id = got.child("stanza-id", ns::STANZA_ID).unwrap();
    assert_eq!(id.attr("by"), Some(other.as_str()));
    let received = received("phone", id.attr("id").unwrap());
    world.romeo.request("set", None, received).await.unwrap();
    let unknown = welcome(&other, "laptop", "w2");
    world.juliet.send(unknown).await.unwrap();
    let error = bounced(&mut world.juliet, "w2").await;
    assert_eq!(error.condition, Condition::ItemNotFound);

    // He commits and speaks at her server, and both have it in one order.
    let (won, epoch) = send(&mut world.romeo, &home, letter(&of(1, 3, "romeo"))).await;
    assert_eq!(epoch, "2");
    let (said, _) = send(&mut world.romeo, &home, letter(&of(2, 1, "hello"))).await;
    for client in [&mut world.juliet, &mut world.romeo] {
        for id in [&begun, &won, &said] {
            assert_eq!(next(client).await.0.as_ref(), Some(id));
        }
    }
    let to = Some(home.as_str());
    let late = letter(&of(1, 3, "juliet"));
    let error = refused(&mut world.juliet, "set", to, late).await;
    let taken = app(error, "epoch-taken");
    assert_eq!(taken.text(), encode(&of(1, 3, "romeo")));
    let ahead = refused(&mut world.romeo, "set", to, letter(&of(9, 1, "x"))).await;
    assert_eq!(app(ahead, "epoch-unknown").attr("current"), Some("2"));
    let noise = refused(&mut world.romeo, "set", to, letter(b"noise")).await;
    assert_eq!(reason(noise), "kind");

    // The state of the group is for him, to add a device of his; and for nobody else.
    let info = testing::group_info(GROUP, 2);
    let info = mls("group-info").with_text(&encode(&info));
    world.romeo.request("set", to, info.clone()).await.unwrap();
    let ask = || mls("group-info").with_attr("group", &encode(GROUP));
    let got = world.romeo.request("get", to, ask()).await.unwrap();
    let got = got
        .child("group-info", ns::MLS)
        .unwrap()
        .text()
        .into_owned();
    assert_eq!(got, encode(&testing::group_info(GROUP, 2)));
    let joins = letter(&testing::public_commit(GROUP, 2, true));
    assert_eq!(send(&mut world.romeo, &home, joins).await.1, "3");
    for (kind, asked) in [
        ("get", ask()),
        ("get", mls("group").with_attr("group", &encode(GROUP))),
        ("set", letter(&of(3, 3, "tybalt"))),
        ("set", info),
    ] {
        let error = refused(&mut world.tybalt, kind, to, asked).await;
        assert_eq!(error.condition, Condition::ItemNotFound);
        app(error, "group-unknown");
    }
}

#[tokio::test]
async fn what_is_said_while_a_server_is_away_comes_when_it_is_back() {
    let mut world = world("").await;
    let (home, other) = (world.juliet.jid.bare(), world.romeo.jid.bare());
    let create = create(&[other.as_str()]);
    world.juliet.request("set", None, create).await.unwrap();
    send(&mut world.juliet, &home, letter(&of(0, 3, "add"))).await;
    next(&mut world.romeo).await;
    drop(world.tybalt);
    world.romeo.close().await.unwrap();
    let folder = world.there.stop().await.unwrap();
    let mut all = Vec::new();
    for (epoch, kind) in [(1, 1), (1, 3), (2, 1)] {
        let message = of(epoch, kind, "meanwhile");
        send(&mut world.juliet, &home, letter(&message)).await;
        all.push(encode(&message));
    }
    let (authority, mantua) = (&world.authority, &world.mantua);
    let there = mantua.start_in(folder, authority, &[&world.verona]).await;
    let mut romeo = online(&there, &other).await;
    for message in all {
        assert_eq!(next(&mut romeo).await.1, message);
    }
}

#[tokio::test]
async fn strangers_and_the_blocked_get_nothing_and_others_not_too_much() {
    let mut world = world("[modules.mls]\nstrangers = 2\ncontacts = 3").await;
    let (own, romeo) = (world.juliet.jid.bare(), world.romeo.jid.bare());
    let to = Some(own.as_str());
    published(&mut world.juliet, 20).await;
    // All strangers together.
    take(&mut world.romeo, &own).await;
    take(&mut world.tybalt, &own).await;
    let error = refused(&mut world.romeo, "set", to, mls("take")).await;
    assert_eq!(
        (error.condition, error.kind),
        (Condition::ResourceConstraint, ErrorType::Wait)
    );
    // Whom she has in her roster is none.
    let item = Element::new("item", ns::ROSTER).with_attr("jid", romeo.as_str());
    let roster = Element::new("query", ns::ROSTER).with_child(item);
    world.juliet.request("set", None, roster).await.unwrap();
    for _ in 0..3 {
        take(&mut world.romeo, &own).await;
    }
    let error = refused(&mut world.romeo, "set", to, mls("take")).await;
    assert_eq!(error.condition, Condition::ResourceConstraint);

    let item = Element::new("item", ns::BLOCKING).with_attr("jid", romeo.as_str());
    let block = Element::new("block", ns::BLOCKING).with_child(item);
    world.juliet.request("set", None, block).await.unwrap();
    let error = refused(&mut world.romeo, "set", to, mls("take")).await;
    assert_eq!(error.condition, Condition::ServiceUnavailable);
    world.romeo.send(welcome(&own, "phone", "w")).await.unwrap();
    let error = bounced(&mut world.romeo, "w").await;
    assert_eq!(error.condition, Condition::ServiceUnavailable);
    // Nor does a group at his account reach her.
    let create = create(&[own.as_str()]);
    world.romeo.request("set", None, create).await.unwrap();
    send(&mut world.romeo, &romeo, letter(&of(0, 3, "c"))).await;
    let quiet = std::time::Duration::from_millis(300);
    while let Some(other) = world.juliet.next(quiet).await {
        assert!(!format!("{other:?}").contains(ns::MLS), "{other:?}");
    }
}

/// Who takes no messages of strangers hands them no packages either, and they cannot tell whether she is there.
#[tokio::test]
async fn who_refuses_strangers_has_no_packages_for_them() {
    let settings = "[modules.strangers]\npolicy = \"refuse\"\nsame_host = false";
    let mut world = world(settings).await;
    let own = world.juliet.jid.bare();
    published(&mut world.juliet, 5).await;
    let nurse = world.here.account("nurse").await.unwrap();
    let mut nurse = online(&world.here, &nurse).await;
    for stranger in [&mut world.romeo, &mut nurse] {
        for to in [own.as_str(), "nobody@verona.example"] {
            let error = refused(stranger, "set", Some(to), mls("take")).await;
            assert_eq!(error.condition, Condition::ItemNotFound);
            assert_eq!(error.app, None);
        }
        stranger.send(welcome(&own, "phone", "w")).await.unwrap();
        let error = bounced(stranger, "w").await;
        assert_eq!(error.condition, Condition::ServiceUnavailable);
        // A group is no way round that.
        let home = stranger.jid.bare();
        let create = create(&[own.as_str()]);
        stranger.request("set", None, create).await.unwrap();
        send(stranger, &home, letter(&of(0, 3, "c"))).await;
        next(stranger).await;
    }
    let quiet = std::time::Duration::from_millis(300);
    while let Some(other) = world.juliet.next(quiet).await {
        assert!(!format!("{other:?}").contains(ns::MLS), "{other:?}");
    }
    // To whom she wrote she is no stranger.
    let item = Element::new("item", ns::ROSTER).with_attr("jid", own.as_str());
    let roster = Element::new("query", ns::ROSTER).with_child(item);
    nurse.request("set", None, roster).await.unwrap();
    let hello = format!(
        "<message to='{}' type='chat' id='h'><body>hello</body></message>",
        nurse.jid.bare()
    );
    world.juliet.send(hello.as_str()).await.unwrap();
    let is = |el: &Element| el.attr("id") == Some("h");
    nurse.wait_for("hello", is).await.unwrap();
    take(&mut nurse, &own).await;
}

/// A welcome of a stranger waits as an invitation does, until one writes to him.
#[tokio::test]
async fn who_holds_strangers_is_welcomed_by_them_later() {
    let mut world = world("[modules.strangers]\npolicy = \"hold\"").await;
    let (own, romeo) = (world.juliet.jid.bare(), world.romeo.jid.bare());
    published(&mut world.juliet, 1).await;
    world.romeo.send(welcome(&own, "phone", "w")).await.unwrap();
    let quiet = std::time::Duration::from_millis(300);
    world.juliet.expect_nothing(quiet).await.unwrap();
    let hello = format!("<message to='{romeo}' type='chat'><body>hello</body></message>");
    world.juliet.send(hello.as_str()).await.unwrap();
    let (id, kept) = super::welcomes::next(&mut world.juliet).await;
    assert_eq!(id, "w");
    let received = received("phone", &kept);
    world.juliet.request("set", None, received).await.unwrap();
}

fn to_room(id: &str, bytes: &[u8]) -> Element {
    let mut message = rooms::message(id, bytes);
    message.set_attr("to", Some(ROOM));
    message
}

async fn enter(client: &mut Client, nick: &str) {
    let join = format!(
        "<presence to='{ROOM}/{nick}'><x xmlns='{}'/></presence>",
        ns::MUC
    );
    client.send(join.as_str()).await.unwrap();
    let subject = |el: &Element| el.has_child("subject", ns::CLIENT);
    client.wait_for("the subject", subject).await.unwrap();
}

#[tokio::test]
async fn who_is_elsewhere_takes_part_in_the_group_of_a_room() {
    let mut world = world("").await;
    let other = world.romeo.jid.bare();
    published(&mut world.romeo, 1).await;
    enter(&mut world.juliet, "juliet").await;
    let form = rooms::form(&[ORDERED, EXTERNAL, rooms::STAYS]);
    world.juliet.request("set", Some(ROOM), form).await.unwrap();
    take(&mut world.juliet, &other).await;
    world
        .juliet
        .send(to_room("c0", &commit(0, "c")))
        .await
        .unwrap();
    rooms::came(&mut world.juliet, "c0").await.unwrap();
    let welcomed = mls("welcome")
        .with_attr("device", "phone")
        .with_attr("home", ROOM)
        .with_text(&encode(&testing::welcome(9)));
    let welcomed = welcome_of(&other, "w", welcomed);
    world.juliet.send(welcomed).await.unwrap();
    super::welcomes::next(&mut world.romeo).await;

    enter(&mut world.romeo, "romeo").await;
    world
        .romeo
        .send(to_room("r1", &commit(1, "romeo")))
        .await
        .unwrap();
    for client in [&mut world.romeo, &mut world.juliet] {
        let got = rooms::came(client, "r1").await.unwrap();
        let text = got.child("mls", ns::MLS).unwrap().text().into_owned();
        assert_eq!(text, encode(&commit(1, "romeo")));
    }
    let late = to_room("j1", &commit(1, "juliet"));
    world.juliet.send(late).await.unwrap();
    let error = rooms::came(&mut world.juliet, "j1").await.unwrap_err();
    assert_eq!(
        app(error, "epoch-taken").text(),
        encode(&commit(1, "romeo"))
    );
    let late = to_room("r0", &commit(0, "romeo"));
    world.romeo.send(late).await.unwrap();
    let error = rooms::came(&mut world.romeo, "r0").await.unwrap_err();
    assert_eq!(app(error, "epoch-taken").text(), encode(&commit(0, "c")));
    // He began the epoch: he gives its state, by which somebody else of his server joins.
    let info = testing::group_info(rooms::GROUP, 2);
    let info = mls("group-info").with_text(&encode(&info));
    world.romeo.request("set", Some(ROOM), info).await.unwrap();
    let outside = refused(&mut world.tybalt, "get", Some(ROOM), mls("group-info")).await;
    assert_eq!(outside.condition, Condition::NotAcceptable);
    enter(&mut world.tybalt, "tybalt").await;
    let got = world
        .tybalt
        .request("get", Some(ROOM), mls("group-info"))
        .await;
    assert!(got.unwrap().has_child("group-info", ns::MLS));
    let joins = testing::public_commit(rooms::GROUP, 2, true);
    world.tybalt.send(to_room("t2", &joins)).await.unwrap();
    rooms::came(&mut world.tybalt, "t2").await.unwrap();
    let state = world.juliet.request("get", Some(ROOM), mls("group")).await;
    let state = state.unwrap();
    assert_eq!(
        state.child("group", ns::MLS).unwrap().attr("epoch"),
        Some("3")
    );
}
