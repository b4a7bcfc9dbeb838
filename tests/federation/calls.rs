//! Calls between two servers: they ring on every device (XEP-0353), and services for them are for each server's own accounts
//! alone (XEP-0215 §2).

use waxwing::proto::{Condition, ns};
use waxwing::xml::Element;

use super::world::{Authority, Site, online};
use crate::ringing::{device, full, hears, learns, message, step};
use crate::support::client::{Client, Error};
use crate::support::server::Running;

async fn two() -> [Running; 2] {
    let authority = Authority::new();
    let mut sites = ["a.example", "b.example"].map(|domain| Site::new(&authority, domain));
    // Both are at the same address here: one relay is enough.
    sites[0].settings = "[relay]\nenabled = false".to_owned();
    let a = sites[0].start(&authority, &[&sites[1]]).await;
    let b = sites[1].start(&authority, &[&sites[0]]).await;
    [a, b]
}

#[tokio::test]
async fn a_call_from_elsewhere_rings_everywhere_and_is_over_where_it_was_not_answered() {
    let [a, b] = two().await;
    let (alice, bob) = (
        a.account("alice").await.unwrap(),
        b.account("bob").await.unwrap(),
    );
    let mut caller = device(&a, &alice, "desk").await;
    let mut phone = device(&b, &bob, "phone").await;
    let mut tablet = device(&b, &bob, "tablet").await;
    let propose = step("propose", ns::JINGLE_MESSAGE);
    caller.send(message(bob.as_str(), propose)).await.unwrap();
    for one in [&mut phone, &mut tablet] {
        let offer = hears(one, "propose", ns::JINGLE_MESSAGE).await;
        assert_eq!(offer.attr("from"), Some(&*full(&alice, "desk")));
    }
    let proceed = step("proceed", ns::JINGLE_MESSAGE);
    let to = full(&alice, "desk");
    phone.send(message(&to, proceed)).await.unwrap();
    let heard = hears(&mut caller, "proceed", ns::JINGLE_MESSAGE).await;
    assert_eq!(heard.attr("from"), Some(&*full(&bob, "phone")));
    learns(&mut tablet, "proceed", ns::JINGLE_MESSAGE).await;
    shows_itself(&mut phone, &mut caller).await;
    session_begins(&mut caller, &mut phone).await;
}

/// Who answered shows itself to the caller, or no iq would reach it.
async fn shows_itself(one: &mut Client, other: &mut Client) {
    let (from, to) = (one.jid.to_string(), other.jid.to_string());
    let presence = Element::new("presence", ns::CLIENT).with_attr("to", &to);
    one.send(presence).await.unwrap();
    let seen = |el: &Element| el.is("presence", ns::CLIENT) && el.attr("from") == Some(&*from);
    other.wait_for("presence", seen).await.unwrap();
}

/// The offer reaches the device, and its refusal the caller (XEP-0166 §6.3).
async fn session_begins(caller: &mut Client, phone: &mut Client) {
    let jingle = Element::new("jingle", ns::JINGLE)
        .with_attr("action", "session-initiate")
        .with_attr("sid", "1");
    let iq = Element::new("iq", ns::CLIENT)
        .with_attr("type", "set")
        .with_attr("to", &phone.jid.to_string())
        .with_attr("id", "i1")
        .with_child(jingle);
    caller.send(iq).await.unwrap();
    let offered = |el: &Element| el.child("jingle", ns::JINGLE).is_some();
    let offer = phone.wait_for("a session", offered).await.unwrap();
    let condition = Element::new("item-not-found", ns::STANZA_ERRORS);
    let error = Element::new("error", ns::CLIENT)
        .with_attr("type", "cancel")
        .with_child(condition);
    let refusal = Element::new("iq", ns::CLIENT)
        .with_attr("type", "error")
        .with_attr("to", offer.attr("from").unwrap())
        .with_attr("id", "i1")
        .with_child(error);
    phone.send(refusal).await.unwrap();
    let refused = |el: &Element| el.attr("id") == Some("i1");
    let refused = caller.wait_for("the refusal", refused).await.unwrap();
    assert_eq!(refused.attr("type"), Some("error"));
}

#[tokio::test]
async fn other_servers_and_their_people_get_no_services() {
    let [a, b] = two().await;
    let mut alice = online(&a, &a.account("alice").await.unwrap()).await;
    let mut bob = online(&b, &b.account("bob").await.unwrap()).await;
    let services = || Element::new("services", ns::EXTDISCO);
    let turn = Element::new("service", ns::EXTDISCO)
        .with_attr("host", "b.example")
        .with_attr("type", "turn");
    let credentials = Element::new("credentials", ns::EXTDISCO).with_child(turn);
    let own = bob.request("get", Some("b.example"), services()).await;
    assert!(own.unwrap().child("services", ns::EXTDISCO).is_some());
    let own = bob.request("get", Some("b.example"), credentials.clone());
    assert!(own.await.is_ok());
    for asked in [
        services(),
        services().with_attr("type", "turn"),
        credentials,
    ] {
        match alice.request("get", Some("b.example"), asked).await {
            Err(Error::Refused(error)) => assert_eq!(error.condition, Condition::Forbidden),
            other => panic!("{other:?}"),
        }
    }
}
