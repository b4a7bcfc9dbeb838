//! The stream, and what a component and accounts say to each other (XEP-0114 §3).

use waxwing::proto::{PresenceType, ns};
use waxwing::xml::Element;

use super::*;

#[tokio::test]
async fn header_handshake_and_answer_are_as_in_the_examples() {
    let server = start("").await;
    let address = server.own().component_addresses()[0];
    let mut component = builder(PLAYS).open(address).await.unwrap();
    let id = component.open_component().await.unwrap();
    assert!(id.len() >= 16, "an id that nobody guesses: {id}");
    let secret = waxwing::stream::Secret::new(SECRET.as_bytes());
    let proof = waxwing::stream::component::handshake(&id, &secret);
    let handshake = format!("<handshake>{proof}</handshake>");
    component.send(&*handshake).await.unwrap();
    let is_empty = |el: &Element| el.is("handshake", ns::CLIENT) && el.text().is_empty();
    component
        .expect("an empty handshake", is_empty)
        .await
        .unwrap();
}

#[tokio::test]
async fn accounts_and_components_write_to_each_other() {
    let server = start("").await;
    let mut plays = attach(&server, PLAYS).await.unwrap();
    let mut romeo = online(&server, "romeo").await;

    let hamlet = jid("hamlet@plays.localhost/castle");
    romeo
        .send(chat(None, &hamlet, "Who's there?"))
        .await
        .unwrap();
    let got = next(&mut plays, "message").await;
    assert_eq!(got.attr("from"), Some(romeo.jid.as_str()));
    assert_eq!(got.attr("to"), Some(hamlet.as_str()));
    assert_eq!(body(&got), "Who's there?");

    let answer = chat(Some(hamlet.as_str()), &romeo.jid, "Nay, answer me");
    plays.send(answer).await.unwrap();
    let got = next(&mut romeo, "message").await;
    assert_eq!(got.attr("from"), Some(hamlet.as_str()));
    assert_eq!(body(&got), "Nay, answer me");
}

#[tokio::test]
async fn a_component_speaks_for_all_its_domains_and_each_has_a_stream() {
    let server = start("").await;
    let mut plays = attach(&server, PLAYS).await.unwrap();
    let mut poems = attach(&server, POEMS).await.unwrap();
    let mut romeo = online(&server, "romeo").await;
    // From the other domain over this stream; without any `from` it is the stream's domain.
    plays
        .send(chat(Some("will@poems.localhost"), &romeo.jid, "one"))
        .await
        .unwrap();
    plays.send(chat(None, &romeo.jid, "two")).await.unwrap();
    let first = next(&mut romeo, "message").await;
    assert_eq!(first.attr("from"), Some("will@poems.localhost"));
    let second = next(&mut romeo, "message").await;
    assert_eq!(second.attr("from"), Some(PLAYS));
    // What is for a domain comes to its own stream. Components reach each other.
    plays
        .send(chat(Some(PLAYS), &jid(POEMS), "to a sibling"))
        .await
        .unwrap();
    assert_eq!(body(&next(&mut poems, "message").await), "to a sibling");
}

#[tokio::test]
async fn the_host_lists_its_components() {
    let server = start("").await;
    let mut romeo = online(&server, "romeo").await;
    let items = |answer: Element| -> Vec<String> {
        let query = answer.child("query", ns::DISCO_ITEMS).unwrap();
        let items = query.children().filter_map(|item| item.attr("jid"));
        items.map(str::to_owned).collect()
    };
    let query = || Element::new("query", ns::DISCO_ITEMS);
    let answer = romeo.request("get", Some("localhost"), query()).await;
    let mut listed = items(answer.unwrap());
    listed.sort();
    // Rooms are there by default.
    let rooms = "conference.localhost";
    let mut wanted = [rooms, PLAYS, POEMS];
    wanted.sort();
    assert_eq!(listed, wanted);

    let server = start("listed = false").await;
    let mut romeo = online(&server, "romeo").await;
    let answer = romeo.request("get", Some("localhost"), query()).await;
    assert_eq!(items(answer.unwrap()), [rooms]);
}

#[tokio::test]
async fn questions_go_both_ways() {
    let server = start("").await;
    let mut plays = attach(&server, PLAYS).await.unwrap();
    let mut romeo = online(&server, "romeo").await;
    let ping = Element::new("ping", ns::PING);
    let asked = tokio::spawn(async move {
        let question = next(&mut plays, "iq").await;
        let mut answer = Element::new("iq", ns::CLIENT).with_attr("type", "result");
        answer.set_attr("from", question.attr("to"));
        answer.set_attr("to", question.attr("from"));
        answer.set_attr("id", question.attr("id"));
        plays.send(answer).await.unwrap();
        plays
    });
    romeo
        .request("get", Some(PLAYS), ping.clone())
        .await
        .unwrap();
    let mut plays = asked.await.unwrap();
    // The component asks the host, and disco of it.
    let question = Element::new("iq", ns::CLIENT)
        .with_attr("type", "get")
        .with_attr("id", "q1")
        .with_attr("from", PLAYS)
        .with_attr("to", "localhost")
        .with_child(Element::new("query", ns::DISCO_INFO));
    plays.send(question).await.unwrap();
    let answer = next(&mut plays, "iq").await;
    assert_eq!(answer.attr("type"), Some("result"));
    assert_eq!(answer.attr("to"), Some(PLAYS));
}

/// Subscriptions are asked for and granted, probes come and are answered by the component (RFC 6121 §3, §4).
#[tokio::test]
async fn presence_goes_both_ways() {
    let server = start("").await;
    let mut plays = attach(&server, PLAYS).await.unwrap();
    let mut romeo = online(&server, "romeo").await;
    let romeo_bare = romeo.jid.bare();
    let hamlet = jid("hamlet@plays.localhost");
    romeo.roster().await.unwrap();
    romeo
        .send(presence(PresenceType::Subscribe, None, &hamlet))
        .await
        .unwrap();
    let request = next(&mut plays, "presence").await;
    assert_eq!(request.attr("type"), Some("subscribe"));
    assert_eq!(request.attr("from"), Some(romeo_bare.as_str()));
    for kind in [PresenceType::Subscribed, PresenceType::Available] {
        plays
            .send(presence(kind, Some(hamlet.as_str()), &romeo_bare))
            .await
            .unwrap();
    }
    let granted = next(&mut romeo, "presence").await;
    assert_eq!(granted.attr("type"), Some("subscribed"));
    let there = next(&mut romeo, "presence").await;
    assert_eq!(there.attr("from"), Some(hamlet.as_str()));

    // The other way: the component asks to see the account.
    plays
        .send(presence(
            PresenceType::Subscribe,
            Some(hamlet.as_str()),
            &romeo_bare,
        ))
        .await
        .unwrap();
    let request = next(&mut romeo, "presence").await;
    assert_eq!(request.attr("type"), Some("subscribe"));
    romeo
        .send(presence(PresenceType::Subscribed, None, &hamlet))
        .await
        .unwrap();
    let granted = next(&mut plays, "presence").await;
    assert_eq!(granted.attr("type"), Some("subscribed"));
    let seen = next(&mut plays, "presence").await;
    assert_eq!(seen.attr("from"), Some(romeo.jid.as_str()));

    // A later session probes; the component answers.
    let mut again = session(&server, &romeo_bare).await;
    let probe = plays
        .wait_for("a probe", |el| el.attr("type") == Some("probe"))
        .await
        .unwrap();
    assert_eq!(probe.attr("to"), Some(hamlet.as_str()));
    plays
        .send(presence(
            PresenceType::Available,
            Some(hamlet.as_str()),
            &again.jid,
        ))
        .await
        .unwrap();
    again
        .wait_for("the component's presence", |el| {
            el.attr("from") == Some(hamlet.as_str())
        })
        .await
        .unwrap();
}

#[tokio::test]
async fn administrators_see_who_is_connected() {
    let server = start("").await;
    let _plays = attach(&server, PLAYS).await.unwrap();
    let samples = server.own().metrics().samples();
    let connected = |domain| {
        let labels = [("component", domain)];
        samples.value("waxwing_component_connected", &labels)
    };
    assert_eq!(connected(PLAYS), Some(1.0));
    assert_eq!(connected(POEMS), Some(0.0));
    let operations = server.own().acts().operations().unwrap();
    let told: Vec<_> = operations.components();
    let told = told.iter().map(|one| {
        let from = one.address.as_deref();
        (one.domain.as_str(), one.name.as_str(), from, one.kept)
    });
    let expected = [
        (PLAYS, "shakespeare", Some("127.0.0.1"), 0),
        (POEMS, "shakespeare", None, 0),
    ];
    assert_eq!(told.collect::<Vec<_>>(), expected);
    assert!(operations.close_component(&jid(PLAYS)));
    assert!(!operations.close_component(&jid(POEMS)));
}
