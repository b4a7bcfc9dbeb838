//! The stanzas of the delivery service, as a client writes and reads them.

use std::collections::BTreeSet;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use waxwing::proto::{StanzaError, ns};
use waxwing::xml::{El, Element};

use crate::Fault;
use crate::client::Error;
use crate::post::{Accounts, Answer, Trouble};
use crate::web::Lies;

/// The namespace of the delivery service.
pub const MLS: &str = "urn:waxwing:mls:0";

/// What clients show that know nothing of it.
pub const FALLBACK: &str = "A sealed letter: this client cannot open it.";

/// A message of the group, with something to read for clients that do not know what it is (XEP-0380).
pub(crate) fn sealed(room: &str, id: &str, message: &[u8], accounts: &Accounts) -> Element {
    let encryption = Element::new("encryption", ns::ENCRYPTION);
    let mut stanza = Element::new("message", ns::CLIENT)
        .with_attr("type", "groupchat")
        .with_attr("to", room)
        .with_attr("id", id)
        .with_child(Element::new("mls", MLS).with_text(&STANDARD.encode(message)))
        .with_child(
            encryption
                .with_attr("namespace", MLS)
                .with_attr("name", "MLS"),
        )
        .with_child(Element::new("store", ns::HINTS))
        .with_child(Element::new("body", ns::CLIENT).with_text(FALLBACK));
    if *accounts != Accounts::default() {
        stanza = stanza.with_child(Element::new("changed", MLS).with_children(changes(accounts)));
    }
    stanza
}

pub(crate) fn changes(accounts: &Accounts) -> Vec<Element> {
    let named = |name, jids: &BTreeSet<String>| -> Vec<Element> {
        jids.iter()
            .map(|jid| Element::new(name, MLS).with_attr("jid", jid))
            .collect()
    };
    [
        named("added", &accounts.added),
        named("removed", &accounts.removed),
    ]
    .concat()
}

pub(crate) fn iq(kind: &str, to: Option<&str>, id: &str, payload: Element) -> Element {
    let mut iq = Element::new("iq", ns::CLIENT)
        .with_attr("type", kind)
        .with_attr("id", id);
    iq.set_attr("to", to);
    iq.with_child(payload)
}

/// Why a message of the group has no place in the order.
pub(crate) fn refusal(stanza: &Element) -> Result<Answer, Trouble> {
    let error = stanza.child("error", ns::CLIENT);
    if let Some(winner) = error.and_then(|error| error.child("epoch-taken", MLS)) {
        return Ok(Answer::Taken {
            winner: decode(winner)?,
        });
    }
    if error.is_some_and(|error| error.has_child("external-refused", MLS)) {
        return Ok(Answer::Barred);
    }
    match error.is_some_and(|error| error.has_child("epoch-stale", MLS)) {
        true => Ok(Answer::Stale),
        false => Err(wrong("a message of the group", stanza)),
    }
}

pub(crate) fn decode(el: El<'_>) -> Result<Vec<u8>, Trouble> {
    Ok(STANDARD.decode(el.text().as_bytes()).map_err(Fault::from)?)
}

/// Where an element says that its message lies.
pub(crate) fn lies(url: &str, el: El<'_>) -> Result<Lies, Trouble> {
    let size = el.attr("size").unwrap_or_default();
    let hash = el.child("hash", ns::HASHES);
    let hash = hash.ok_or_else(|| Fault::from("no hash"))?;
    Ok(Lies {
        url: url.to_owned(),
        size: size.parse().map_err(Fault::from)?,
        sha256: decode(hash)?,
    })
}

/// A server that is killed takes connections with it, at any point.
pub(crate) fn lost(error: Error) -> Trouble {
    match error {
        Error::Io(_) | Error::Tls(_) | Error::Ended | Error::Timeout(_) | Error::Stream(_) => {
            Trouble::Lost(error.to_string())
        }
        Error::Unexpected { ref got, .. } if ["Closed", "Footer"].contains(&got.as_str()) => {
            Trouble::Lost(error.to_string())
        }
        error => Trouble::Wrong(error.into()),
    }
}

pub(crate) fn away() -> Trouble {
    Trouble::Lost("there is none".to_owned())
}

pub(crate) fn wrong(what: &str, stanza: &Element) -> Trouble {
    let error = stanza.child("error", ns::CLIENT).map(StanzaError::parse);
    let why = error.map_or_else(|| format!("{stanza:?}"), |error| error.to_string());
    Fault::from(format!("{what} was refused: {why}")).into()
}
