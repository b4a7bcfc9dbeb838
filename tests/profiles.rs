//! What people say of themselves by publishing it: their names (XEP-0172) and their cards (XEP-0292).

use std::time::Duration;

use waxwing::proto::{Condition, Jid, PresenceType, Stanza, ns};
use waxwing::xml::Element;

use crate::pep::{ask, befriend, event, ids, items, leaf, publish, talker};
use crate::support::client::Client;
use crate::support::server::start_server;

const VCARD4: &str = "urn:xmpp:vcard4";
const CONTACTS: &str = "urn:xmpp:contacts";

fn nick(name: &str) -> Element {
    leaf("nick", ns::NICK, name)
}

fn card(name: &str) -> Element {
    let text = leaf("text", ns::VCARD4, name);
    let full = Element::new("fn", ns::VCARD4).with_child(text);
    Element::new("vcard", ns::VCARD4).with_child(full)
}

/// The payload of the one item of an event.
fn payload(items: &Element) -> Element {
    let item = items.children().next().unwrap();
    item.children().next().unwrap().to_element()
}

#[tokio::test]
async fn contacts_hear_of_a_new_name() {
    let server = start_server(&[]).await;
    let juliet = server.account("juliet").await.unwrap();
    let romeo = server.account("romeo").await.unwrap();
    let mut balcony = talker(&server, &juliet, "balcony", &[]).await;
    let mut orchard = talker(&server, &romeo, "orchard", &[ns::NICK]).await;
    // §4.1: a request tells who asks.
    let paris = server.account("paris").await.unwrap();
    let mut tomb = talker(&server, &paris, "tomb", &[]).await;
    let request = Stanza::presence(PresenceType::Subscribe)
        .with_to(paris)
        .with_child(nick("Juliet"));
    balcony.client.send(request).await.unwrap();
    let asked = |el: &Element| el.attr("type") == Some("subscribe");
    let asked = tomb.client.wait_for("a request", asked).await.unwrap();
    assert_eq!(asked.child("nick", ns::NICK).unwrap().text(), "Juliet");
    befriend(&mut balcony.client, &mut orchard.client).await;
    for name in ["Jules", "Julie"] {
        let sent = publish(ns::NICK, "current", nick(name), &[]);
        ask(&mut balcony.client, "set", None, sent).await.unwrap();
        let (message, items) = event(&mut orchard.client, ns::NICK).await;
        assert_eq!(message.attr("from"), Some(juliet.as_str()));
        assert_eq!(payload(&items), nick(name));
    }
    // §4.4: nobody needs to be online for it.
    balcony.client.close().await.unwrap();
    let kept = ask(&mut orchard.client, "get", Some(&juliet), items(ns::NICK));
    assert!(format!("{:?}", kept.await.unwrap()).contains("Julie"));
}

#[tokio::test]
async fn a_card_is_seen_by_everybody_and_those_of_others_by_nobody() {
    let server = start_server(&[]).await;
    let juliet = server.account("juliet").await.unwrap();
    let romeo = server.account("romeo").await.unwrap();
    let paris = server.account("paris").await.unwrap();
    let mut balcony = talker(&server, &juliet, "balcony", &[]).await;
    let mut orchard = talker(&server, &romeo, "orchard", &[VCARD4]).await;
    let mut tomb = talker(&server, &paris, "tomb", &[VCARD4]).await;
    befriend(&mut balcony.client, &mut orchard.client).await;
    let info = Element::new("query", ns::DISCO_INFO);
    let info = ask(&mut balcony.client, "get", Some(&juliet), info)
        .await
        .unwrap();
    let query = info.child("query", ns::DISCO_INFO).unwrap();
    assert!(
        query
            .children()
            .any(|el| el.attr("var") == Some(ns::VCARD4))
    );
    // §3.2, §3.3
    let open = [("access_model", "open")];
    for name in ["Juliet", "Juliet Capulet"] {
        let sent = publish(VCARD4, "current", card(name), &open);
        ask(&mut balcony.client, "set", None, sent).await.unwrap();
        let (_, items) = event(&mut orchard.client, VCARD4).await;
        assert_eq!(payload(&items), card(name));
    }
    // §3.1
    let seen = ask(&mut tomb.client, "get", Some(&juliet), items(VCARD4)).await;
    let seen = seen.unwrap();
    assert_eq!(ids(&seen), ["current"]);
    assert!(format!("{seen:?}").contains("Juliet Capulet"));
    // §4: cards of contacts are kept for oneself, each under its address.
    let private = [("access_model", "whitelist"), ("max_items", "max")];
    for whom in ["romeo@localhost", "paris@localhost"] {
        let sent = publish(CONTACTS, whom, card(whom), &private);
        ask(&mut balcony.client, "set", None, sent).await.unwrap();
    }
    let own = ask(&mut balcony.client, "get", None, items(CONTACTS)).await;
    assert_eq!(ids(&own.unwrap()), ["romeo@localhost", "paris@localhost"]);
    let shut = ask(&mut orchard.client, "get", Some(&juliet), items(CONTACTS)).await;
    assert_eq!(shut.unwrap_err().condition, Condition::NotAllowed);
}

/// Asks for a vCard in its old form until its full name is this.
async fn is_called(client: &mut Client, whom: &Jid, name: &str) -> Element {
    for _ in 0..400 {
        let vcard = Element::new("vCard", ns::VCARD);
        if let Ok(answer) = ask(client, "get", Some(whom), vcard).await {
            let vcard = answer.child("vCard", ns::VCARD).unwrap();
            let full = vcard.child("FN", ns::VCARD).map(|el| el.text());
            if full.as_deref() == Some(name) {
                return vcard.to_element();
            }
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("{whom} is not called {name}");
}

/// Waits until a card is told; the id of its item. What was published just when the server learnt who wants to hear may be
/// told twice.
async fn hears_of(client: &mut Client, card: &Element) -> String {
    loop {
        let (_, items) = event(client, VCARD4).await;
        if payload(&items) == *card {
            let item = items.children().next().unwrap();
            return item.attr("id").unwrap().to_owned();
        }
    }
}

#[tokio::test]
async fn a_card_is_the_same_in_its_old_and_its_new_form() {
    let server = start_server(&[]).await;
    let juliet = server.account("juliet").await.unwrap();
    let romeo = server.account("romeo").await.unwrap();
    let mut balcony = talker(&server, &juliet, "balcony", &[VCARD4]).await;
    let mut orchard = talker(&server, &romeo, "orchard", &[]).await;
    let old = |inside: &[(&str, &str)]| {
        let leaves = inside
            .iter()
            .map(|(name, text)| leaf(name, ns::VCARD, text));
        Element::new("vCard", ns::VCARD).with_children(leaves)
    };
    // A newer client publishes one for everybody: older clients see it.
    let gender = Element::new("gender", ns::VCARD4)
        .with_child(Element::new("sex", ns::VCARD4).with_child(leaf("text", ns::VCARD4, "F")));
    let sent = card("Juliet").with_child(gender.clone());
    let sent = publish(VCARD4, "card", sent, &[("access_model", "open")]);
    ask(&mut balcony.client, "set", None, sent).await.unwrap();
    event(&mut balcony.client, VCARD4).await;
    is_called(&mut orchard.client, &juliet, "Juliet").await;
    // An older client writes one: what only the new form knows stays, under the id that it has.
    let written = old(&[("FN", "Juliet Capulet"), ("MAILER", "Exodus")]);
    ask(&mut balcony.client, "set", None, written)
        .await
        .unwrap();
    let capulet = card("Juliet Capulet").with_child(gender);
    assert_eq!(hears_of(&mut balcony.client, &capulet).await, "card");
    // And what only the old form knows.
    let sent = publish(VCARD4, "card", card("Juliet Montague"), &[]);
    ask(&mut balcony.client, "set", None, sent).await.unwrap();
    event(&mut balcony.client, VCARD4).await;
    let vcard = is_called(&mut orchard.client, &juliet, "Juliet Montague").await;
    assert!(vcard.has_child("MAILER", ns::VCARD));

    // One for contacts alone stays with them.
    let paris = server.account("paris").await.unwrap();
    let mut tomb = talker(&server, &paris, "tomb", &[VCARD4]).await;
    let sent = publish(
        VCARD4,
        "card",
        card("Count Paris"),
        &[("access_model", "presence")],
    );
    ask(&mut tomb.client, "set", None, sent).await.unwrap();
    event(&mut tomb.client, VCARD4).await;
    let written = old(&[("FN", "Paris")]);
    ask(&mut tomb.client, "set", None, written).await.unwrap();
    hears_of(&mut tomb.client, &card("Paris")).await;
    let sent = publish(VCARD4, "card", card("Count Paris"), &[]);
    ask(&mut tomb.client, "set", None, sent).await.unwrap();
    event(&mut tomb.client, VCARD4).await;
    let vcard = is_called(&mut orchard.client, &paris, "Paris").await;
    assert_eq!(vcard, old(&[("FN", "Paris")]));
}
