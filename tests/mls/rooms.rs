//! A room puts the changes of an encrypted group in one order, and tells everybody else what was there first.

use waxwing::mls::testing;
use waxwing::proto::{Condition, StanzaError, ns};
use waxwing::state::mls::encode;
use waxwing::xml::Element;

use super::{app, mls, refused};
use crate::support::client::{Builder, Client};
use crate::support::process::Process;
use crate::support::server::start_server;

pub const ROOM: &str = "coven@conference.localhost";
pub const GROUP: &[u8] = b"the coven";

pub async fn enter(builder: Builder, addr: std::net::SocketAddr, nick: &str) -> Client {
    let mut client = builder.connect(addr).await.unwrap();
    let join = format!(
        "<presence to='{ROOM}/{nick}'><x xmlns='{}'><history maxstanzas='0'/></x></presence>",
        ns::MUC
    );
    client.send(join.as_str()).await.unwrap();
    let subject = |el: &Element| el.has_child("subject", ns::CLIENT);
    client.wait_for("the subject", subject).await.unwrap();
    client
}

pub async fn configure(client: &mut Client, fields: &[(&str, &str)]) {
    let form = form(fields);
    client.request("set", Some(ROOM), form).await.unwrap();
}

pub fn form(fields: &[(&str, &str)]) -> Element {
    let mut x = Element::new("x", ns::DATA_FORM).with_attr("type", "submit");
    for (var, value) in fields {
        let value = Element::new("value", ns::DATA_FORM).with_text(value);
        let field = Element::new("field", ns::DATA_FORM).with_attr("var", var);
        x = x.with_child(field.with_child(value));
    }
    Element::new("query", ns::MUC_OWNER).with_child(x)
}

pub const ORDERED: (&str, &str) = ("{urn:waxwing:mls:0}ordered", "1");
pub const EXTERNAL: (&str, &str) = ("{urn:waxwing:mls:0}external", "1");
pub const STAYS: (&str, &str) = ("muc#roomconfig_persistentroom", "1");

pub fn message(id: &str, bytes: &[u8]) -> Element {
    let body = Element::new("body", ns::CLIENT).with_text("This is encrypted.");
    Element::new("message", ns::CLIENT)
        .with_attr("type", "groupchat")
        .with_attr("to", ROOM)
        .with_attr("id", id)
        .with_child(mls("mls").with_text(&encode(bytes)))
        .with_child(body)
}

/// What comes back under an id: the message as all see it, or why it is refused.
pub async fn came(client: &mut Client, id: &str) -> Result<Element, StanzaError> {
    let is = |el: &Element| el.is("message", ns::CLIENT) && el.attr("id") == Some(id);
    let got = client.wait_for(id, is).await.unwrap();
    match got.child("error", ns::CLIENT) {
        Some(error) => Err(StanzaError::parse(error)),
        None => Ok(got),
    }
}

pub async fn say(client: &mut Client, id: &str, bytes: &[u8]) -> Result<Element, StanzaError> {
    client.send(message(id, bytes)).await.unwrap();
    came(client, id).await
}

/// Something of the text that is in the place of the ciphertext, so that each message is another one.
pub fn commit(epoch: u64, text: &str) -> Vec<u8> {
    testing::private_of(GROUP, epoch, 3, text.as_bytes())
}

fn kept(message: &Element) -> String {
    let id = message.child("stanza-id", ns::STANZA_ID).unwrap();
    id.attr("id").unwrap().to_owned()
}

#[tokio::test]
async fn the_first_commit_of_an_epoch_wins_and_the_others_hear_which() {
    let server = start_server(&[]).await;
    let (crone, hag) = (
        server.account("crone1").await.unwrap(),
        server.account("hag66").await.unwrap(),
    );
    let mut crone = enter(server.client(&crone), server.addr, "first").await;
    configure(&mut crone, &[ORDERED, STAYS]).await;
    let mut hag = enter(server.client(&hag), server.addr, "third").await;
    let info = Element::new("query", ns::DISCO_INFO);
    let info = hag.request("get", Some(ROOM), info).await.unwrap();
    assert!(format!("{info:?}").contains(ns::MLS));

    // Only who administers the room gives it a group.
    let stranger = say(&mut hag, "h0", &commit(0, "h0")).await.unwrap_err();
    assert_eq!(stranger.condition, Condition::ItemNotFound);
    app(stranger, "group-unknown");
    let first = say(&mut crone, "c0", &commit(0, "c0")).await.unwrap();
    // Nothing is rewritten.
    let text = first.child("mls", ns::MLS).unwrap().text().into_owned();
    assert_eq!(text, encode(&commit(0, "c0")));
    came(&mut hag, "c0").await.unwrap();

    let won = say(&mut hag, "h1", &commit(1, "h1")).await.unwrap();
    let lost = say(&mut crone, "c1", &commit(1, "c1")).await.unwrap_err();
    assert_eq!(lost.condition, Condition::Conflict);
    let taken = app(lost, "epoch-taken");
    assert_eq!(
        (taken.attr("epoch"), taken.attr("current")),
        (Some("1"), Some("2"))
    );
    assert_eq!(taken.attr("id"), Some(kept(&won).as_str()));
    assert_eq!(taken.text(), encode(&commit(1, "h1")));
    assert_eq!(taken.attr("group"), Some(encode(GROUP).as_str()));

    let ahead = say(&mut hag, "h9", &commit(9, "h9")).await.unwrap_err();
    assert_eq!(app(ahead, "epoch-unknown").attr("current"), Some("2"));
    let far = say(&mut hag, "hx", &commit(u64::MAX, "hx"))
        .await
        .unwrap_err();
    assert_eq!(app(far, "epoch-unknown").attr("current"), Some("2"));
    let other = testing::private(b"another coven", 2, 3);
    let other = say(&mut crone, "o", &other).await.unwrap_err();
    assert_eq!(
        app(other, "group-other").attr("group"),
        Some(encode(GROUP).as_str())
    );
    let group = mls("group");
    let state = hag.request("get", Some(ROOM), group).await.unwrap();
    let state = state.child("group", ns::MLS).unwrap().to_element();
    assert_eq!(state.attr("epoch"), Some("2"));
    assert_eq!(state.attr("id"), Some(kept(&won).as_str()));
    server.stop().await;
}

#[tokio::test]
async fn what_is_said_may_be_a_little_behind_and_what_cannot_be_read_is_refused() {
    let server = start_server(&["modules.muc.epochs=1"]).await;
    let crone = server.account("crone1").await.unwrap();
    let mut crone = enter(server.client(&crone), server.addr, "first").await;
    configure(&mut crone, &[ORDERED]).await;
    for epoch in 0..3 {
        say(&mut crone, &format!("c{epoch}"), &commit(epoch, "c"))
            .await
            .unwrap();
    }
    let spoken = |epoch| testing::private(GROUP, epoch, 1);
    for epoch in [2, 3] {
        say(&mut crone, &format!("a{epoch}"), &spoken(epoch))
            .await
            .unwrap();
    }
    let stale = say(&mut crone, "a1", &spoken(1)).await.unwrap_err();
    assert_eq!(stale.condition, Condition::NotAcceptable);
    assert_eq!(app(stale, "epoch-stale").attr("current"), Some("3"));
    let proposal = testing::private(GROUP, 2, 2);
    let stale = say(&mut crone, "p2", &proposal).await.unwrap_err();
    app(stale, "epoch-stale");
    say(&mut crone, "p3", &testing::private(GROUP, 3, 2))
        .await
        .unwrap();
    for (id, bytes, reason) in [
        ("noise", b"noise".to_vec(), "kind"),
        ("cut", vec![0, 1, 0, 2, 9], "syntax"),
        ("more", [spoken(3), vec![0]].concat(), "syntax"),
        ("welcome", testing::welcome(9), "kind"),
        ("other version", vec![0, 2, 0, 2], "kind"),
    ] {
        let error = say(&mut crone, id, &bytes).await.unwrap_err();
        assert_eq!(error.condition, Condition::BadRequest, "{id}");
        assert_eq!(
            app(error, "message-refused").attr("reason"),
            Some(reason),
            "{id}"
        );
    }
    let two = message("two", &spoken(3)).with_child(mls("mls").with_text("AA=="));
    crone.send(two).await.unwrap();
    let error = came(&mut crone, "two").await.unwrap_err();
    assert_eq!(app(error, "message-refused").attr("reason"), Some("count"));
    // Whoever has no MLS speaks as ever.
    let plain =
        format!("<message type='groupchat' to='{ROOM}' id='plain'><body>hi</body></message>");
    crone.send(plain.as_str()).await.unwrap();
    came(&mut crone, "plain").await.unwrap();
}

#[tokio::test]
async fn a_room_that_asks_for_no_order_lets_all_pass() {
    let server = start_server(&[]).await;
    let crone = server.account("crone1").await.unwrap();
    let mut crone = enter(server.client(&crone), server.addr, "first").await;
    configure(&mut crone, &[]).await;
    for (id, bytes) in [
        ("a", commit(7, "a")),
        ("b", commit(7, "b")),
        ("noise", b"noise".to_vec()),
    ] {
        let got = say(&mut crone, id, &bytes).await.unwrap();
        assert_eq!(got.child("mls", ns::MLS).unwrap().text(), encode(&bytes));
    }
    let error = refused(&mut crone, "get", Some(ROOM), mls("group")).await;
    assert_eq!(error.condition, Condition::ServiceUnavailable);
    // Whoever is away reads the order in the archive, so there must be one.
    let no_archive = form(&[ORDERED, ("muc#roomconfig_enablearchiving", "0")]);
    let error = refused(&mut crone, "set", Some(ROOM), no_archive).await;
    assert_eq!(error.condition, Condition::NotAcceptable);
}

#[tokio::test]
async fn people_join_by_themselves_only_where_they_may() {
    let server = start_server(&[]).await;
    let (one, three) = (
        server.account("crone1").await.unwrap(),
        server.account("hag66").await.unwrap(),
    );
    let mut crone = enter(server.client(&one), server.addr, "first").await;
    configure(&mut crone, &[ORDERED]).await;
    let mut hag = enter(server.client(&three), server.addr, "third").await;
    say(&mut crone, "c0", &commit(0, "c")).await.unwrap();
    let joins = |epoch| testing::public_commit(GROUP, epoch, true);
    let error = say(&mut hag, "j", &joins(1)).await.unwrap_err();
    assert_eq!(error.condition, Condition::NotAllowed);
    let ask = || mls("group-info");
    let error = refused(&mut hag, "get", Some(ROOM), ask()).await;
    assert_eq!(error.condition, Condition::NotAllowed);

    configure(&mut crone, &[EXTERNAL]).await;
    let error = refused(&mut hag, "get", Some(ROOM), ask()).await;
    assert_eq!(error.condition, Condition::ItemNotFound);
    let info = |group: &[u8], epoch| {
        let bytes = testing::group_info(group, epoch);
        mls("group-info").with_text(&encode(&bytes))
    };
    let error = refused(&mut hag, "set", Some(ROOM), info(GROUP, 1)).await;
    assert_eq!(error.condition, Condition::Forbidden);
    for (info, condition) in [
        (info(GROUP, 0), Condition::Conflict),
        (info(b"other", 1), Condition::Conflict),
        (
            mls("group-info").with_text("AAEAAg=="),
            Condition::BadRequest,
        ),
    ] {
        let error = refused(&mut crone, "set", Some(ROOM), info).await;
        assert_eq!(error.condition, condition);
    }
    crone
        .request("set", Some(ROOM), info(GROUP, 1))
        .await
        .unwrap();
    let got = hag.request("get", Some(ROOM), ask()).await.unwrap();
    let got = got
        .child("group-info", ns::MLS)
        .unwrap()
        .text()
        .into_owned();
    assert_eq!(got, encode(&testing::group_info(GROUP, 1)));
    say(&mut hag, "j1", &joins(1)).await.unwrap();
    // It was of the epoch before.
    let error = refused(&mut hag, "get", Some(ROOM), ask()).await;
    assert_eq!(error.condition, Condition::ItemNotFound);
}

#[tokio::test]
async fn moderators_see_both_memberships_and_begin_anew() {
    let server = start_server(&[]).await;
    let (one, three) = (
        server.account("crone1").await.unwrap(),
        server.account("hag66").await.unwrap(),
    );
    let mut crone = enter(server.client(&one), server.addr, "first").await;
    configure(&mut crone, &[ORDERED]).await;
    let mut hag = enter(server.client(&three), server.addr, "third").await;
    let jid = |name: &str, jid: &str| mls(name).with_attr("jid", jid);
    let changed = mls("changed")
        .with_child(jid("added", one.as_str()))
        .with_child(jid("added", "wiccarocks@localhost/pda"));
    let begin = message("c0", &commit(0, "c")).with_child(changed);
    crone.send(begin).await.unwrap();
    came(&mut crone, "c0").await.unwrap();
    let error = refused(&mut hag, "get", Some(ROOM), mls("members")).await;
    assert_eq!(error.condition, Condition::Forbidden);
    let shown = crone
        .request("get", Some(ROOM), mls("members"))
        .await
        .unwrap();
    let shown = shown.child("members", ns::MLS).unwrap().to_element();
    let members: Vec<_> = shown
        .children()
        .map(|member| {
            let attr = |name| member.attr(name).unwrap_or("-").to_owned();
            [
                attr("jid"),
                attr("affiliation"),
                attr("present"),
                attr("participant"),
            ]
            .join(" ")
        })
        .collect();
    assert_eq!(
        members,
        [
            format!("{one} owner true true"),
            format!("{three} none true -"),
            "wiccarocks@localhost none - true".to_owned(),
        ]
    );
    let error = refused(&mut hag, "set", Some(ROOM), mls("reset")).await;
    assert_eq!(error.condition, Condition::Forbidden);
    crone
        .request("set", Some(ROOM), mls("reset"))
        .await
        .unwrap();
    let error = refused(&mut crone, "get", Some(ROOM), mls("group")).await;
    assert_eq!(error.condition, Condition::ItemNotFound);
    let other = testing::private(b"another coven", 5, 3);
    say(&mut crone, "o5", &other).await.unwrap();
}

#[tokio::test]
async fn the_order_holds_over_kills() {
    let mut server = Process::start(&["crone1", "hag66"], &[]);
    let mut crone = enter(server.client("crone1"), server.addr, "first").await;
    configure(&mut crone, &[ORDERED, STAYS, ("muc#maxhistoryfetch", "0")]).await;
    let mut epoch = 0_u64;
    for round in 0..3 {
        // So many that the last are on their way when the end comes.
        for number in epoch..epoch + 20 {
            let sent = message(&format!("c{number}"), &commit(number, "crone"));
            crone.send(sent).await.unwrap();
        }
        let seen = format!("c{}", epoch + 5 + round);
        came(&mut crone, &seen).await.unwrap();
        server.kill();
        drop(crone);
        server.restart();
        crone = enter(server.client("crone1"), server.addr, "first").await;
        let state = crone
            .request("get", Some(ROOM), mls("group"))
            .await
            .unwrap();
        let state = state.child("group", ns::MLS).unwrap().to_element();
        let now: u64 = state.attr("epoch").unwrap().parse().unwrap();
        assert!(
            now >= epoch + 6 + round,
            "what was said is forgotten: {now}"
        );
        epoch = now;
        // Whoever was late hears the commit that was there first, from the archive.
        let mut hag = enter(server.client("hag66"), server.addr, "third").await;
        let late = say(&mut hag, "late", &commit(epoch - 1, "hag"))
            .await
            .unwrap_err();
        let taken = app(late, "epoch-taken");
        assert_eq!(taken.text(), encode(&commit(epoch - 1, "crone")));
        assert_eq!(taken.attr("id"), state.attr("id"));
        hag.close().await.unwrap();
    }
    // The archive has each epoch's commit once, in order.
    let query = Element::new("query", ns::MAM).with_attr("queryid", "q");
    let set = Element::new("set", ns::RSM);
    let most = Element::new("max", ns::RSM).with_text("200");
    crone
        .send(
            Element::new("iq", ns::CLIENT)
                .with_attr("type", "set")
                .with_attr("to", ROOM)
                .with_attr("id", "q")
                .with_child(query.with_child(set.with_child(most))),
        )
        .await
        .unwrap();
    let mut commits = Vec::new();
    loop {
        let got = crone.next(super::PATIENCE).await.unwrap();
        if got.attr("id") == Some("q") {
            break;
        }
        if let Some(result) = got.child("result", ns::MAM) {
            let forwarded = result.child("forwarded", ns::FORWARD).unwrap();
            let said = forwarded.child("message", ns::CLIENT).unwrap();
            commits.push(said.child("mls", ns::MLS).unwrap().text().into_owned());
        }
    }
    let all: Vec<_> = (0..epoch)
        .map(|epoch| encode(&commit(epoch, "crone")))
        .collect();
    assert_eq!(commits, all);
}
