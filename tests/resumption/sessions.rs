//! One session after the other: who may resume, what comes again, what others see.

use std::time::{Duration, Instant};

use waxwing::proto::{
    Condition, IqType, Jid, MessageType, PresenceType, Stanza, StanzaError, StreamCondition, ns,
};
use waxwing::xml::Element;

use super::{QUIET, again, next_text, online};
use crate::components;
use crate::support::client::{Client, Error};
use crate::support::server::{Running, start_server};

fn chat(to: &Jid, text: &str) -> Stanza {
    let body = Element::new("body", ns::CLIENT).with_text(text);
    Stanza::message(MessageType::Chat)
        .with_to(to.clone())
        .with_id(text)
        .with_child(body)
}

/// Waits until the server has handled all that this client sent.
async fn settle(client: &mut Client) {
    client.request_ack().await.unwrap();
}

async fn detached(server: &Running, jid: &Jid) {
    let until = Instant::now() + Duration::from_secs(5);
    while server.figure("waxwing_sessions_detached") < 1.0 {
        assert!(Instant::now() < until, "{jid} is not detached");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn what_was_not_acknowledged_comes_again_and_nothing_else() {
    for sasl2 in [false, true] {
        let server = start_server(&[]).await;
        let alice = server.account("alice").await.unwrap();
        let bob = server.account("bob").await.unwrap();
        let mut sender = online(&server, &alice, "one").await;
        let mut phone = online(&server, &bob, "phone").await;
        sender.send(chat(&bob, "one")).await.unwrap();
        assert_eq!(next_text(&mut phone).await, "one");
        sender.send(chat(&bob, "two")).await.unwrap();
        assert_eq!(next_text(&mut phone).await, "two");
        phone.send(chat(&alice, "hello")).await.unwrap();
        settle(&mut phone).await;
        let jid = phone.jid.clone();
        let (id, handled) = phone.cut();
        // As if the second one had not come.
        let cut = (id, handled - 1);
        detached(&server, &jid).await;
        sender.send(chat(&bob, "three")).await.unwrap();
        let builder = server.client(&bob).resource("phone");
        let builder = if sasl2 { builder.sasl2() } else { builder };
        let mut phone = again(builder, server.addr, &cut).await;
        assert!(phone.is_resumed());
        assert_eq!(phone.resumed_h(), Some(2), "presence and a message");
        if sasl2 {
            assert_eq!(phone.jid, jid);
        }
        assert_eq!(next_text(&mut phone).await, "two");
        assert_eq!(next_text(&mut phone).await, "three");
        phone.expect_nothing(QUIET).await.unwrap();
        settle(&mut phone).await;
        // It goes on counting, and may break again.
        let cut = phone.cut();
        let mut phone = again(server.client(&bob), server.addr, &cut).await;
        assert_eq!((phone.is_resumed(), phone.resumed_h()), (true, Some(2)));
        phone.expect_nothing(QUIET).await.unwrap();
        phone.close().await.unwrap();
        sender.close().await.unwrap();
        server.stop().await;
    }
}

#[tokio::test]
async fn contacts_see_nothing_and_the_session_is_as_it_was() {
    let server = start_server(&[]).await;
    let alice = server.account("alice").await.unwrap();
    let mut desk = online(&server, &alice, "desk").await;
    let phone = online(&server, &alice, "phone").await;
    let full = phone.jid.clone();
    desk.wait_for("the phone", |el| el.attr("from") == Some(full.as_str()))
        .await
        .unwrap();
    let cut = phone.cut();
    detached(&server, &full).await;
    desk.expect_nothing(QUIET).await.unwrap();
    let mut phone = again(server.client(&alice), server.addr, &cut).await;
    assert!(phone.is_resumed());
    desk.expect_nothing(QUIET).await.unwrap();
    // It is still available.
    desk.send(chat(&full, "still there?")).await.unwrap();
    assert_eq!(next_text(&mut phone).await, "still there?");
    // It leaves with a word, and does not come back.
    let cut = (phone.session.clone().unwrap(), phone.handled.unwrap());
    phone.close().await.unwrap();
    let gone = |el: &Element| el.attr("type") == Some("unavailable");
    desk.wait_for("its farewell", gone).await.unwrap();
    let late = again(server.client(&alice), server.addr, &cut).await;
    assert!(!late.is_resumed());
    late.close().await.unwrap();
    desk.close().await.unwrap();
    server.stop().await;
}

#[tokio::test]
async fn a_connection_not_known_to_be_dead_gives_way() {
    let server = start_server(&[]).await;
    let alice = server.account("alice").await.unwrap();
    let mut old = online(&server, &alice, "phone").await;
    settle(&mut old).await;
    let cut = (old.session.clone().unwrap(), old.handled.unwrap());
    let mut new = again(server.client(&alice), server.addr, &cut).await;
    assert!(new.is_resumed());
    assert!(old.next(Duration::from_secs(5)).await.is_some());
    let error = old.stream_error.as_ref().map(|error| error.condition);
    assert_eq!(error, Some(StreamCondition::Conflict));
    // What the old one still says is not heard.
    let _ = old.send(chat(&alice, "from the grave")).await;
    new.expect_nothing(QUIET).await.unwrap();
    new.send(chat(&alice, "me")).await.unwrap();
    assert_eq!(next_text(&mut new).await, "me");
    new.close().await.unwrap();
    server.stop().await;
}

#[tokio::test]
async fn nobody_else_resumes_it_and_nobody_acknowledges_too_much() {
    let server = start_server(&[]).await;
    let alice = server.account("alice").await.unwrap();
    let mallory = server.account("mallory").await.unwrap();
    let mut phone = online(&server, &alice, "phone").await;
    settle(&mut phone).await;
    let cut = phone.cut();
    let other = again(server.client(&mallory), server.addr, &cut).await;
    assert!(!other.is_resumed());
    assert_eq!(other.resumed_h(), None, "nothing is told of it");
    let too_high = server.client(&alice).resume(&cut.0, cut.1 + 1);
    match too_high.connect(server.addr).await.map(|_| ()) {
        Err(Error::Stream(error)) => {
            assert_eq!(error.condition, StreamCondition::UndefinedCondition);
        }
        other => panic!("{other:?}"),
    }
    let phone = again(server.client(&alice), server.addr, &cut).await;
    assert!(phone.is_resumed(), "neither did it any harm");
    phone.close().await.unwrap();
    other.close().await.unwrap();
    server.stop().await;
}

#[tokio::test]
async fn a_new_session_gets_what_a_detached_one_has_not() {
    let server = start_server(&[]).await;
    let alice = server.account("alice").await.unwrap();
    let bob = server.account("bob").await.unwrap();
    let mut sender = online(&server, &alice, "one").await;
    let phone = online(&server, &bob, "phone").await;
    let jid = phone.jid.clone();
    let phone_cut = phone.cut();
    detached(&server, &jid).await;
    sender.send(chat(&bob, "for anybody")).await.unwrap();
    sender.send(chat(&jid, "for the phone")).await.unwrap();
    settle(&mut sender).await;
    let mut desk = online(&server, &bob, "desk").await;
    assert_eq!(next_text(&mut desk).await, "for anybody");
    assert_eq!(next_text(&mut desk).await, "for the phone");
    // The phone is another client: it gets them too.
    let mut phone = again(server.client(&bob), server.addr, &phone_cut).await;
    assert_eq!(next_text(&mut phone).await, "for anybody");
    assert_eq!(next_text(&mut phone).await, "for the phone");
    for client in [phone, desk, sender] {
        client.close().await.unwrap();
    }
    server.stop().await;
}

#[tokio::test]
async fn when_its_time_is_over_others_get_what_it_held() {
    let server = start_server(&["limits.resume.time=1s"]).await;
    let alice = server.account("alice").await.unwrap();
    let bob = server.account("bob").await.unwrap();
    let mut sender = online(&server, &alice, "one").await;
    let mut desk = online(&server, &bob, "desk").await;
    let phone = online(&server, &bob, "phone").await;
    let jid = phone.jid.clone();
    desk.wait_for("the phone", |el| el.attr("from") == Some(jid.as_str()))
        .await
        .unwrap();
    let cut = phone.cut();
    detached(&server, &jid).await;
    sender.send(chat(&jid, "for the phone")).await.unwrap();
    let fleeting = chat(&jid, "not to be kept").with_child(Element::new("no-store", ns::HINTS));
    sender.send(fleeting).await.unwrap();
    let ask = Stanza::iq(IqType::Get)
        .with_to(jid.clone())
        .with_id("version")
        .with_child(Element::new("query", "jabber:iq:version"));
    desk.send(ask).await.unwrap();
    let gone = |el: &Element| el.attr("type") == Some("unavailable");
    desk.wait_for("its end", gone).await.unwrap();
    let mut texts = [next_text(&mut desk).await, next_text(&mut desk).await];
    texts.sort();
    assert_eq!(texts, ["for the phone", "not to be kept"]);
    let answer = |el: &Element| el.is("iq", ns::CLIENT) && el.attr("id") == Some("version");
    let answer = desk.wait_for("an answer", answer).await.unwrap();
    assert_eq!(answer.attr("type"), Some("error"));
    let late = again(server.client(&bob), server.addr, &cut).await;
    assert!(!late.is_resumed());
    assert_eq!(late.resumed_h(), Some(1), "it is told what was handled");
    for client in [late, desk, sender] {
        client.close().await.unwrap();
    }
    server.stop().await;
}

#[tokio::test]
async fn who_never_acknowledges_is_sent_no_more_than_is_held_for_it() {
    let sets = [
        "limits.session.unacknowledged=20",
        "limits.stream.ping_timeout=5s",
    ];
    let server = start_server(&sets).await;
    let alice = server.account("alice").await.unwrap();
    let mut phone = online(&server, &alice, "phone").await;
    let mut desk = online(&server, &alice, "desk").await;
    let deaf = std::mem::take(&mut phone.handled);
    assert!(deaf.is_some());
    for n in 0..100 {
        let show = Element::new("status", ns::CLIENT).with_text(&n.to_string());
        let presence = Stanza::presence(PresenceType::Available).with_child(show);
        desk.send(presence).await.unwrap();
        while desk.next(Duration::from_millis(10)).await.is_some() {}
    }
    let mut came = 0;
    while let Some(el) = phone.next(Duration::from_secs(10)).await {
        came += u32::from(el.is("presence", ns::CLIENT));
    }
    assert!((15..=20).contains(&came), "{came} came");
    let error = phone.stream_error.as_ref().map(|error| error.condition);
    assert_eq!(error, Some(StreamCondition::PolicyViolation));
    desk.close().await.unwrap();
    server.stop().await;
}

#[tokio::test]
async fn an_account_holds_no_more_than_it_may() {
    let server = start_server(&["limits.resume.sessions_per_account=2"]).await;
    let alice = server.account("alice").await.unwrap();
    let mut cuts = Vec::new();
    for resource in ["a", "b", "c"] {
        let mut client = online(&server, &alice, resource).await;
        settle(&mut client).await;
        let jid = client.jid.clone();
        cuts.push(client.cut());
        detached(&server, &jid).await;
        tokio::time::sleep(QUIET).await;
    }
    let mut clients = Vec::new();
    for cut in cuts.iter().rev() {
        clients.push(again(server.client(&alice), server.addr, cut).await);
    }
    let resumed: Vec<bool> = clients.iter().map(Client::is_resumed).collect();
    assert_eq!(resumed, [true, true, false]);
    server.stop().await;
}

/// A client that could not resume sends again what nobody acknowledged: what had gone to another domain goes once, but again when
/// it came back.
#[tokio::test]
async fn what_is_sent_again_to_another_domain_goes_once() {
    let server = components::start("").await;
    let mut plays = components::attach(&server, components::PLAYS)
        .await
        .unwrap();
    let alice = server.account("alice").await.unwrap();
    let to = components::jid(&format!("hamlet@{}", components::PLAYS));
    let marked = |text: &str| {
        let origin = Element::new("origin-id", ns::STANZA_ID).with_attr("id", text);
        chat(&to, text).with_child(origin)
    };
    let mut phone = online(&server, &alice, "one").await;
    phone.send(marked("a")).await.unwrap();
    assert_eq!(next_text(&mut plays).await, "a");
    phone.cut();
    let mut phone = online(&server, &alice, "two").await;
    phone.send(marked("a")).await.unwrap();
    phone.send(marked("b")).await.unwrap();
    let went = components::next(&mut plays, "message").await;
    assert_eq!(went.attr("id"), Some("b"));
    let mut error = Element::new("message", ns::CLIENT)
        .with_attr("type", "error")
        .with_attr("id", "b")
        .with_child(StanzaError::from(Condition::ServiceUnavailable).to_element());
    error.set_attr("from", went.attr("to"));
    error.set_attr("to", went.attr("from"));
    plays.send(error).await.unwrap();
    let refused = components::next(&mut phone, "message").await;
    assert_eq!(refused.attr("type"), Some("error"));
    phone.send(marked("b")).await.unwrap();
    assert_eq!(next_text(&mut plays).await, "b");
}
