//! A domain to which there is no way for long: its people count as gone, and are asked for when there is one again
//! (RFC 6121 §4).

use waxwing::proto::{Condition, Jid, MessageType, PresenceType, Stanza, StanzaError, ns};
use waxwing::xml::Element;

use super::wire::Wire;
use super::world::{Authority, Site, online};
use crate::support::client::Client;
use crate::support::server::Running;

fn presence(kind: PresenceType, to: &Jid) -> Stanza {
    Stanza::presence(kind).with_to(to.clone())
}

/// Two servers with a wire between them that can be cut, and Alice, who sees Bob.
struct World {
    _a: Running,
    b: Running,
    wire: Wire,
    alice: Client,
    bob: Client,
}

async fn world() -> World {
    let authority = Authority::new();
    let mut site_a = Site::new(&authority, "a.example");
    let site_b = Site::new(&authority, "b.example");
    site_a.settings = "lost_after = \"1s\"\nresume_for = \"1s\"".into();
    let wire = Wire::to(site_b.address).await;
    let b_by_wire = Site {
        domain: site_b.domain,
        address: wire.address,
        certificate: site_b.certificate.clone(),
        settings: String::new(),
    };
    let a = site_a.start(&authority, &[&b_by_wire]).await;
    let b = site_b.start(&authority, &[&site_a]).await;
    let alice = a.account("alice").await.unwrap();
    let bob = b.account("bob").await.unwrap();
    let mut world = World {
        alice: online(&a, &alice).await,
        bob: online(&b, &bob).await,
        _a: a,
        b,
        wire,
    };
    world.alice.roster().await.unwrap();
    world.bob.roster().await.unwrap();
    let subscribe = presence(PresenceType::Subscribe, &bob);
    world.alice.send(subscribe).await.unwrap();
    let asks = |el: &Element| el.attr("type") == Some("subscribe");
    world.bob.wait_for("the request", asks).await.unwrap();
    let subscribed = presence(PresenceType::Subscribed, &alice);
    world.bob.send(subscribed).await.unwrap();
    let there = is_there(&world.bob);
    world.alice.wait_for("his presence", there).await.unwrap();
    world
}

fn is_there(who: &Client) -> impl Fn(&Element) -> bool + use<> {
    let full = who.jid.clone();
    move |el: &Element| {
        el.is("presence", ns::CLIENT)
            && el.attr("from") == Some(full.as_str())
            && el.attr("type").is_none()
    }
}

fn is_gone(el: &Element) -> bool {
    el.is("presence", ns::CLIENT) && el.attr("type") == Some("unavailable")
}

#[tokio::test]
async fn people_of_a_lost_domain_are_gone_and_come_back_with_it() {
    let mut world = world().await;
    world.wire.down(true);
    world.wire.cut();
    let gone = world.alice.wait_for("his going", is_gone).await.unwrap();
    assert_eq!(gone.attr("from"), Some(world.bob.jid.bare_str()));

    // Nobody has anything to say: her server looks for his all the same.
    world.wire.down(false);
    let there = is_there(&world.bob);
    world.alice.wait_for("his coming", there).await.unwrap();
}

/// The client says what it can, by a hash that nobody knows yet.
async fn tell_caps(client: &mut Client) {
    let caps = Element::new("c", ns::CAPS)
        .with_attr("hash", "sha-1")
        .with_attr("node", "https://client.example")
        .with_attr("ver", "QgayPKawpkPSDYmwT/WM94uAlu0=");
    let told = Stanza::presence(PresenceType::Available).with_child(caps);
    client.send(told).await.unwrap();
}

/// Of those who said what their client can do it is known which they are.
#[tokio::test]
async fn who_is_known_one_by_one_goes_one_by_one() {
    let mut world = world().await;
    tell_caps(&mut world.bob).await;
    let has_caps = |el: &Element| el.child("c", ns::CAPS).is_some();
    world.alice.wait_for("his caps", has_caps).await.unwrap();
    world.wire.down(true);
    world.wire.cut();
    for from in [world.bob.jid.as_str(), world.bob.jid.bare_str()] {
        let gone = world.alice.wait_for("his going", is_gone).await.unwrap();
        assert_eq!(gone.attr("from"), Some(from));
    }
}

/// Also who was asked then, and did not say.
#[tokio::test]
async fn who_does_not_say_what_it_can_goes_by_name_all_the_same() {
    let mut world = world().await;
    tell_caps(&mut world.bob).await;
    let of_alice = world.alice.jid.bare_str().to_owned();
    let asked = |el: &Element| {
        el.has_child("query", ns::DISCO_INFO) && el.attr("from") == Some(of_alice.as_str())
    };
    let question = world.bob.wait_for("her question", asked).await.unwrap();
    let question = Stanza::from_element(question).unwrap();
    let unable = StanzaError::from(Condition::ServiceUnavailable);
    let refusal = question.error(&unable).unwrap();
    world.bob.send(refusal).await.unwrap();
    // What he says next comes after it.
    let word = Stanza::message(MessageType::Chat).with_to(world.alice.jid.clone());
    let body = Element::new("body", ns::CLIENT).with_text("well?");
    world.bob.send(word.with_child(body)).await.unwrap();
    let is_word = |el: &Element| el.has_child("body", ns::CLIENT);
    world.alice.wait_for("his word", is_word).await.unwrap();
    world.wire.down(true);
    world.wire.cut();
    for from in [world.bob.jid.as_str(), world.bob.jid.bare_str()] {
        let gone = world.alice.wait_for("his going", is_gone).await.unwrap();
        assert_eq!(gone.attr("from"), Some(from));
    }
}

#[tokio::test]
async fn presence_that_was_directed_to_a_lost_domain_comes_back_as_an_error() {
    let mut world = world().await;
    let carol = world.b.account("carol").await.unwrap();
    let mut carol = online(&world.b, &carol).await;
    let directed = presence(PresenceType::Available, &carol.jid);
    world.alice.send(directed).await.unwrap();
    let there = is_there(&world.alice);
    carol.wait_for("her presence", there).await.unwrap();
    world.wire.down(true);
    world.wire.cut();
    let is_error = |el: &Element| el.attr("type") == Some("error");
    let error = world.alice.wait_for("an error", is_error).await.unwrap();
    assert!(error.is("presence", ns::CLIENT), "{error:?}");
    assert_eq!(error.attr("from"), Some(carol.jid.as_str()));
    let why = StanzaError::parse(error.child("error", ns::CLIENT).unwrap());
    assert_eq!(why.condition, Condition::RemoteServerTimeout);
    // Both are true; which is said depends on what is noticed first.
    let reasons = [
        "b.example: the connection broke off",
        "b.example: there is no way to its server",
    ];
    let text = why.text.unwrap_or_default();
    assert!(reasons.contains(&text.as_str()), "{text}");
}
