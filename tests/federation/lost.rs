//! A domain to which there is no way for long: its people count as gone, and are asked for when there is one again
//! (RFC 6121 §4).

use waxwing::proto::{Jid, PresenceType, Stanza, ns};
use waxwing::xml::Element;

use super::wire::Wire;
use super::world::{Authority, Site, online};

fn presence(kind: PresenceType, to: &Jid) -> Stanza {
    Stanza::presence(kind).with_to(to.clone())
}

#[tokio::test]
async fn people_of_a_lost_domain_are_gone_and_come_back_with_it() {
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
    let mut alice_here = online(&a, &alice).await;
    let mut bob_here = online(&b, &bob).await;
    alice_here.roster().await.unwrap();
    bob_here.roster().await.unwrap();
    let subscribe = presence(PresenceType::Subscribe, &bob);
    alice_here.send(subscribe).await.unwrap();
    let asks = |el: &Element| el.attr("type") == Some("subscribe");
    bob_here.wait_for("the request", asks).await.unwrap();
    let subscribed = presence(PresenceType::Subscribed, &alice);
    bob_here.send(subscribed).await.unwrap();
    let full = bob_here.jid.clone();
    let there = |el: &Element| {
        el.is("presence", ns::CLIENT)
            && el.attr("from") == Some(full.as_str())
            && el.attr("type").is_none()
    };
    alice_here.wait_for("his presence", there).await.unwrap();

    wire.down(true);
    wire.cut();
    let gone =
        |el: &Element| el.is("presence", ns::CLIENT) && el.attr("type") == Some("unavailable");
    let gone = alice_here.wait_for("his going", gone).await.unwrap();
    assert_eq!(gone.attr("from"), Some(bob.as_str()));

    // Nobody has anything to say: her server looks for his all the same.
    wire.down(false);
    alice_here.wait_for("his coming", there).await.unwrap();
}
