//! XEP-0356: Privileged Entity

use waxwing::proto::{PresenceType, ns};
use waxwing::xml::Element;

use super::*;

const ALL: &str = r#"
[[modules.privilege.components]]
domain = "plays.localhost"
roster = "both"
message = "outgoing"
presence = "roster"
iq = { "urn:xmpp:ping" = "get" }
"#;

async fn privileged() -> (Running, Client) {
    let server = start(ALL).await;
    let mut plays = attach(&server, PLAYS).await.unwrap();
    let told = next(&mut plays, "message").await;
    assert_eq!(told.attr("from"), Some("localhost"));
    let privilege = told.child("privilege", ns::PRIVILEGE).unwrap();
    let perms: Vec<_> = privilege
        .children()
        .map(|perm| (perm.attr("access").unwrap(), perm.attr("type")))
        .collect();
    let expected = [
        ("roster", Some("both")),
        ("message", Some("outgoing")),
        ("presence", Some("roster")),
        ("iq", None),
    ];
    assert_eq!(perms, expected);
    (server, plays)
}

fn iq(kind: &str, from: &str, to: &str, payload: Element) -> Element {
    Element::new("iq", ns::CLIENT)
        .with_attr("type", kind)
        .with_attr("id", &format!("{kind}-{}", payload.name()))
        .with_attr("from", from)
        .with_attr("to", to)
        .with_child(payload)
}

async fn answer(component: &mut Client, question: Element) -> Element {
    let id = question.attr("id").unwrap().to_owned();
    component.send(question).await.unwrap();
    let right = |el: &Element| {
        el.is("iq", ns::CLIENT)
            && el.attr("id") == Some(&id)
            && matches!(el.attr("type"), Some("result" | "error"))
    };
    component.wait_for("an answer", right).await.unwrap()
}

fn roster_with(contact: &str) -> Element {
    let item = Element::new("item", ns::ROSTER).with_attr("jid", contact);
    Element::new("query", ns::ROSTER).with_child(item)
}

#[tokio::test]
async fn rosters_are_read_and_changed_and_changes_are_pushed() {
    let (server, mut plays) = privileged().await;
    let mut juliet = online(&server, "juliet").await;
    juliet.roster().await.unwrap();
    let to = juliet.jid.bare();
    let set = iq("set", PLAYS, to.as_str(), roster_with("nurse@example.com"));
    let changed = answer(&mut plays, set).await;
    assert_eq!(changed.attr("type"), Some("result"));
    assert_eq!(changed.attr("from"), Some(to.as_str()));
    // The account's clients hear of it, and so does the component.
    juliet
        .wait_for("a push", |el| el.attr("type") == Some("set"))
        .await
        .unwrap();
    let push = plays
        .wait_for("a push", |el| el.attr("type") == Some("set"))
        .await
        .unwrap();
    assert_eq!(push.attr("from"), Some(to.as_str()));
    let get = iq("get", PLAYS, to.as_str(), Element::new("query", ns::ROSTER));
    let got = answer(&mut plays, get).await;
    let query = got.child("query", ns::ROSTER).unwrap();
    let items: Vec<_> = query.children().filter_map(|i| i.attr("jid")).collect();
    assert_eq!(items, ["nurse@example.com"]);
}

#[tokio::test]
async fn who_is_not_privileged_is_refused_everything() {
    let server = start(ALL).await;
    let mut poems = attach(&server, POEMS).await.unwrap();
    let juliet = online(&server, "juliet").await;
    let to = juliet.jid.bare();
    let get = iq("get", POEMS, to.as_str(), Element::new("query", ns::ROSTER));
    assert_eq!(condition(&answer(&mut poems, get).await), "forbidden");
    // Somebody at the privileged domain is not the domain.
    let mut plays = attach(&server, PLAYS).await.unwrap();
    let somebody = "hamlet@plays.localhost";
    let get = iq(
        "get",
        somebody,
        to.as_str(),
        Element::new("query", ns::ROSTER),
    );
    assert_eq!(condition(&answer(&mut plays, get).await), "forbidden");
    let message = carrying(&to, &to).with_attr("from", POEMS);
    poems.send(message).await.unwrap();
    let refused = next(&mut poems, "message").await;
    assert_eq!(condition(&refused), "forbidden");
}

/// A message for the host that carries one.
fn carrying(from: &waxwing::proto::Jid, to: &waxwing::proto::Jid) -> Element {
    let mut inner = chat(Some(from.as_str()), to, "notification").to_element();
    inner.set_attr("from", Some(from.as_str()));
    let forwarded = Element::new("forwarded", ns::FORWARD).with_child(inner);
    let privilege = Element::new("privilege", ns::PRIVILEGE).with_child(forwarded);
    Element::new("message", ns::CLIENT)
        .with_attr("to", "localhost")
        .with_attr("id", "notif1")
        .with_child(privilege)
}

#[tokio::test]
async fn messages_in_the_name_of_accounts() {
    let (server, mut plays) = privileged().await;
    let mut romeo = online(&server, "romeo").await;
    let juliet = server.account("juliet").await.unwrap();
    for from in [juliet.clone(), jid("localhost")] {
        plays.send(carrying(&from, &romeo.jid)).await.unwrap();
        let got = next(&mut romeo, "message").await;
        assert_eq!(got.attr("from"), Some(from.as_str()));
        assert_eq!(body(&got), "notification");
    }
    // Not of a resource, and not of somebody elsewhere.
    let full = romeo.jid.clone();
    for from in [
        full,
        jid("juliet@example.com"),
        jid("hamlet@plays.localhost"),
    ] {
        plays.send(carrying(&from, &romeo.jid)).await.unwrap();
        let refused = next(&mut plays, "message").await;
        assert_eq!(condition(&refused), "forbidden", "{from}");
    }
}

#[tokio::test]
async fn questions_in_the_name_of_accounts() {
    let (server, mut plays) = privileged().await;
    let juliet = server.account("juliet").await.unwrap();
    let ping = || Element::new("ping", ns::PING);
    let ask = |kind: &str, inner: Element| {
        let wrapped = Element::new("privileged_iq", ns::PRIVILEGE).with_child(inner);
        iq(kind, PLAYS, juliet.as_str(), wrapped)
    };
    let inner = |kind: &str, payload| {
        Element::new("iq", ns::CLIENT)
            .with_attr("type", kind)
            .with_attr("id", "inner")
            .with_attr("to", "localhost")
            .with_child(payload)
    };
    let told = answer(&mut plays, ask("get", inner("get", ping()))).await;
    assert_eq!(told.attr("type"), Some("result"), "{told:?}");
    let privilege = told.child("privilege", ns::PRIVILEGE).unwrap();
    let forwarded = privilege.child("forwarded", ns::FORWARD).unwrap();
    let carried = forwarded.child("iq", ns::CLIENT).unwrap();
    assert_eq!(carried.attr("type"), Some("result"));
    assert_eq!(carried.attr("id"), Some("inner"));
    assert_eq!(carried.attr("from"), Some("localhost"));
    assert_eq!(carried.attr("to"), Some(juliet.as_str()));

    let time = Element::new("time", "urn:xmpp:time");
    let stranger = inner("get", ping()).with_attr("from", "romeo@localhost");
    let refused = [
        ask("get", inner("get", time)),   // a namespace that is not granted
        ask("set", inner("set", ping())), // a type that is not granted
        ask("get", inner("set", ping())), // two types
        ask("get", stranger),             // somebody else
    ];
    for question in refused {
        let told = answer(&mut plays, question).await;
        assert_eq!(condition(&told), "forbidden");
    }
}

#[tokio::test]
async fn presence_of_accounts_and_of_their_contacts() {
    let (server, mut plays) = privileged().await;
    let juliet = online(&server, "juliet").await;
    let seen = next(&mut plays, "presence").await;
    assert_eq!(seen.attr("from"), Some(juliet.jid.as_str()));
    assert_eq!(seen.attr("to"), Some(PLAYS));
    // Who connects later hears of who is there.
    plays.close().await.unwrap();
    let mut plays = loop {
        match attach(&server, PLAYS).await {
            Ok(plays) => break plays,
            Err(_) => tokio::task::yield_now().await,
        }
    };
    let seen = next(&mut plays, "presence").await;
    assert_eq!(seen.attr("from"), Some(juliet.jid.as_str()));
    // A contact of hers, at another component.
    let mut poems = attach(&server, POEMS).await.unwrap();
    let mut juliet = juliet;
    let will = jid("will@poems.localhost");
    juliet
        .send(presence(PresenceType::Subscribe, None, &will))
        .await
        .unwrap();
    next(&mut poems, "presence").await;
    let bare = juliet.jid.bare();
    for kind in [PresenceType::Subscribed, PresenceType::Available] {
        let said = presence(kind, Some("will@poems.localhost/desk"), &bare);
        let said = match kind {
            PresenceType::Subscribed => said.with_from(will.clone()),
            _ => said,
        };
        poems.send(said).await.unwrap();
    }
    let seen = plays
        .wait_for("the contact's presence", |el| {
            el.attr("from") == Some("will@poems.localhost/desk")
        })
        .await
        .unwrap();
    assert_eq!(seen.attr("to"), Some(PLAYS));
    let jid = juliet.jid.clone();
    juliet.close().await.unwrap();
    let gone = |el: &Element| {
        el.attr("from") == Some(jid.as_str()) && el.attr("type") == Some("unavailable")
    };
    plays.wait_for("her end", gone).await.unwrap();
}
