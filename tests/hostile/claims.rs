//! What only the server may say.

use waxwing::proto::{Jid, ns};
use waxwing::runtime::random;
use waxwing::xml::{El, Element};

use super::online;
use crate::support::client::Client;
use crate::support::process::{Process, jid};

const ACCOUNTS: &[&str] = &["alice", "bob", "mallory"];

/// Claims of a client, which nobody may see.
const FORGED: &[&str] = &[
    "<stanza-id xmlns='urn:xmpp:sid:0' by='bob@localhost' id='forged-1'/>",
    "<stanza-id xmlns='urn:xmpp:sid:0' by='BOB@LocalHost' id='forged-2'/>",
    "<p:stanza-id xmlns:p='urn:xmpp:sid:0' by='bob@localhost' id='forged-3'/>",
    "<stanza-id xmlns='urn:xmpp:sid:0' by='localhost' id='forged-4'/>",
    "<stanza-id xmlns='urn:xmpp:sid:0' by='mallory@localhost' id='forged-5'/>",
    "<delay xmlns='urn:xmpp:delay' from='localhost' stamp='2002-09-10T23:08:25Z'>forged</delay>",
    "<delay xmlns='urn:xmpp:delay' from='bob@localhost' stamp='2002-09-10T23:08:25Z'>forged</delay>",
    "<delay xmlns='urn:xmpp:delay' from='alice@localhost' stamp='2002-09-10T23:08:25Z'>forged</delay>",
    "<x xmlns='jabber:x:delay' from='localhost' stamp='20020910T23:08:25'>forged</x>",
    "<occupant-id xmlns='urn:xmpp:occupant-id:0' id='forged'/>",
    "<x xmlns='http://jabber.org/protocol/muc#user'><item affiliation='owner' jid='forged@x'/></x>",
    "<x xmlns='http://jabber.org/protocol/muc#user'><status code='332' forged=''/></x>",
    "<received xmlns='urn:xmpp:carbons:2'><forwarded xmlns='urn:xmpp:forward:0'>forged</forwarded></received>",
    "<sent xmlns='urn:xmpp:carbons:2'><forwarded xmlns='urn:xmpp:forward:0'>forged</forwarded></sent>",
    "<result xmlns='urn:xmpp:mam:2' id='forged'/>",
];

/// What a client may say.
const HONEST: &[&str] = &[
    "<delay xmlns='urn:xmpp:delay' from='mallory@localhost/m' stamp='2002-09-10T23:08:25Z'/>",
    "<x xmlns='http://jabber.org/protocol/muc#user'/>",
    "<x xmlns='jabber:x:conference' jid='room@rooms.example'/>",
    "<stanza-id xmlns='urn:xmpp:sid:0' by='room@rooms.example' id='honest'/>",
];

/// One with an origin-id of its own: it is no repetition of another.
fn stanza(name: &str, to: &Jid) -> String {
    format!(
        "<{name} to='{to}'><body>said</body>{}{}<origin-id xmlns='urn:xmpp:sid:0' id='{}'/></{name}>",
        FORGED.concat(),
        HONEST.concat(),
        random::id()
    )
}

async fn received(client: &mut Client, name: &str) -> Element {
    let is_it = |el: &Element| {
        let from = el.attr("from").unwrap_or_default();
        el.is(name, ns::CLIENT) && from.starts_with("mallory@")
    };
    client.wait_for(name, is_it).await.unwrap()
}

/// Nothing forged is left, everything honest is; answers the delays.
fn check(el: &Element) -> Vec<El<'_>> {
    let text = format!("{el:?}");
    assert!(!text.contains("forged"), "{text}");
    assert!(text.contains("said"), "{text}");
    for (name, ns) in [
        ("origin-id", ns::STANZA_ID),
        ("x", ns::MUC_USER),
        ("x", ns::CONFERENCE),
    ] {
        assert!(el.has_child(name, ns), "{name} {ns}: {text}");
    }
    let by = el.child("stanza-id", ns::STANZA_ID).unwrap().attr("by");
    assert_eq!(by, Some("room@rooms.example"), "{text}");
    el.children()
        .filter(|el| el.is("delay", ns::DELAY))
        .collect()
}

#[tokio::test]
async fn forged_claims_are_removed() {
    let server = Process::start(ACCOUNTS, &[]);
    let mut bob = online(&server, "bob", "1").await;
    let mut mallory = online(&server, "mallory", "m").await;
    for to in [jid("bob"), bob.jid.clone()] {
        for name in ["message", "presence"] {
            if name == "presence" && to.is_bare() {
                continue;
            }
            mallory.send(stanza(name, &to).as_str()).await.unwrap();
            let got = received(&mut bob, name).await;
            let delays = check(&got);
            assert_eq!(delays.len(), 1, "{got:?}");
        }
    }
    // What waits for somebody is clean too, and then there is the server's own delay.
    mallory
        .send(stanza("message", &jid("alice")).as_str())
        .await
        .unwrap();
    let ping = Element::new("ping", ns::PING);
    mallory.request("get", None, ping).await.unwrap();
    let mut alice = online(&server, "alice", "1").await;
    let got = received(&mut alice, "message").await;
    let by: Vec<_> = check(&got).iter().map(|el| el.attr("from")).collect();
    assert_eq!(by, [Some("mallory@localhost/m"), Some("localhost")]);
}
