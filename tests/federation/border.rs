//! Features where the other side is on another server: nothing of them needs to know. And a module from outside the tree
//! that watches the border.

use std::time::Duration;

use waxwing::hooks::{Crossing, Listed, Toll};
use waxwing::proto::{Condition, Jid, ns};
use waxwing::xml::{El, Element};

use super::links::two;
use super::world::{Authority, Site, body, chat, next_message, online};
use crate::extensions::{NS, module};
use crate::support::client::Client;
use crate::support::server::Running;

const QUIET: Duration = Duration::from_millis(300);

async fn second(server: &Running, jid: &Jid) -> Client {
    let builder = server.client(jid).resource("second");
    let mut client = builder.connect(server.addr).await.unwrap();
    let carbons = Element::new("enable", ns::CARBONS);
    client.request("set", None, carbons).await.unwrap();
    client
}

fn condition(message: &Element) -> String {
    assert_eq!(message.attr("type"), Some("error"), "{message:?}");
    let error = message.child("error", ns::CLIENT).unwrap();
    let condition = error.children().next().unwrap();
    condition.name().to_owned()
}

#[tokio::test]
async fn who_is_blocked_on_another_server_is_not_heard() {
    let two = two(|_| {}).await;
    let mut alice = online(&two.a, &two.alice).await;
    let mut bob = online(&two.b, &two.bob).await;
    let item = Element::new("item", ns::BLOCKING).with_attr("jid", two.alice.as_str());
    let block = Element::new("block", ns::BLOCKING).with_child(item);
    bob.request("set", None, block).await.unwrap();
    alice.send(chat(&two.bob, "out there")).await.unwrap();
    assert_eq!(
        condition(&next_message(&mut alice).await),
        "service-unavailable"
    );
    bob.expect_nothing(QUIET).await.unwrap();
    bob.send(chat(&two.alice, "to her")).await.unwrap();
    assert_eq!(condition(&next_message(&mut bob).await), "not-acceptable");
}

#[tokio::test]
async fn carbons_and_the_archive_know_what_goes_to_and_comes_from_other_servers() {
    let two = two(|_| {}).await;
    let mut alice = online(&two.a, &two.alice).await;
    let mut bob = online(&two.b, &two.bob).await;
    let mut other = second(&two.b, &two.bob).await;
    alice.send(chat(&bob.jid, "there")).await.unwrap();
    assert_eq!(body(&next_message(&mut bob).await), "there");
    let copy = next_message(&mut other).await;
    assert_eq!(carbon(&copy, "received"), "there");
    bob.send(chat(&alice.jid, "back")).await.unwrap();
    assert_eq!(body(&next_message(&mut alice).await), "back");
    let copy = next_message(&mut other).await;
    assert_eq!(carbon(&copy, "sent"), "back");

    for client in [&mut alice, &mut other] {
        let query = Element::new("iq", ns::CLIENT)
            .with_attr("type", "set")
            .with_attr("id", "archive")
            .with_child(Element::new("query", ns::MAM));
        client.send(query).await.unwrap();
        for text in ["there", "back"] {
            let row = next_message(client).await;
            let forwarded = row
                .child("result", ns::MAM)
                .and_then(|result| result.child("forwarded", ns::FORWARD));
            let message = forwarded.and_then(|all| all.child("message", ns::CLIENT));
            let told = message.and_then(|message| message.child("body", ns::CLIENT));
            assert_eq!(told.map(El::text).as_deref(), Some(text));
        }
    }
}

/// The text of what a carbon carries.
fn carbon(copy: &Element, direction: &str) -> String {
    let carried = copy
        .child(direction, ns::CARBONS)
        .and_then(|copy| copy.child("forwarded", ns::FORWARD))
        .and_then(|forwarded| forwarded.child("message", ns::CLIENT))
        .and_then(|message| message.child("body", ns::CLIENT));
    carried.map(El::text).unwrap_or_default().into_owned()
}

module!(Customs, "customs", |_deps, r| {
    r.border(Crossing::ToRemote, |envelope| {
        let Some(goods) = envelope.stanza.child("goods", NS) else {
            return Toll::Pass;
        };
        if goods.attr("kind") == Some("contraband") {
            return Toll::Bounce(Condition::NotAllowed.into());
        }
        envelope.amend().push(Element::new("left", NS));
        Toll::Pass
    });
    r.border(Crossing::FromRemote, |envelope| {
        match envelope
            .stanza
            .child("goods", NS)
            .map(|el| el.attr("kind").map(str::to_owned))
        {
            Some(Some(kind)) if kind == "lost" => Toll::Consume,
            Some(Some(kind)) if kind == "refused" => Toll::Bounce(Condition::NotAcceptable.into()),
            Some(_) => {
                envelope.amend().push(Element::new("entered", NS));
                Toll::Pass
            }
            None => Toll::Pass,
        }
    });
});

const CUSTOMS: &[Listed] = &[Listed::of::<Customs>()];

#[tokio::test]
async fn a_module_from_outside_sees_refuses_and_changes_what_crosses_the_border() {
    let authority = Authority::new();
    let sites = [
        Site::new(&authority, "a.example"),
        Site::new(&authority, "b.example"),
    ];
    let [site_a, site_b] = &sites;
    let a = site_a.start_with(&authority, &[site_b], CUSTOMS).await;
    let b = site_b.start_with(&authority, &[site_a], CUSTOMS).await;
    let alice = a.account("alice").await.unwrap();
    let bob = b.account("bob").await.unwrap();
    let neighbour = a.account("neighbour").await.unwrap();
    let mut alice = online(&a, &alice).await;
    let mut neighbour_here = online(&a, &neighbour).await;
    let mut bob_here = online(&b, &bob).await;
    let parcel = |to: &Jid, kind: &str| {
        chat(to, kind).with_child(Element::new("goods", NS).with_attr("kind", kind))
    };
    alice.send(parcel(&bob, "contraband")).await.unwrap();
    assert_eq!(condition(&next_message(&mut alice).await), "not-allowed");
    alice.send(parcel(&bob, "refused")).await.unwrap();
    assert_eq!(condition(&next_message(&mut alice).await), "not-acceptable");
    alice.send(parcel(&bob, "lost")).await.unwrap();
    alice.send(parcel(&bob, "honest")).await.unwrap();
    let message = next_message(&mut bob_here).await;
    assert_eq!(body(&message), "honest");
    assert!(message.has_child("left", NS) && message.has_child("entered", NS));
    // What stays on one server crosses no border.
    alice.send(parcel(&neighbour, "contraband")).await.unwrap();
    let message = next_message(&mut neighbour_here).await;
    assert!(!message.has_child("left", NS) && !message.has_child("entered", NS));
}
