//! Server Dialback (XEP-0220 1.1.1): its elements, and its keys by XEP-0185 1.0.

use std::fmt::Write;

use hmac::{Hmac, Mac};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::office::Office;
use crate::proto::{Condition, Jid, StanzaError, ns};
use crate::stream::sasl::secret::Secret;
use crate::xml::{El, Element};

/// The key for a stream: HMAC-SHA256 over receiving domain, originating domain and stream id (XEP-0185 §2).
pub fn key(secret: &Secret, receiving: &Jid, originating: &Jid, id: &str) -> String {
    let secret = hex(&Sha256::digest(secret.expose()));
    let text = format!("{receiving} {originating} {id}");
    match Hmac::<Sha256>::new_from_slice(secret.as_bytes()) {
        Ok(mac) => hex(&mac.chain_update(text).finalize().into_bytes()),
        // HMAC takes keys of every length.
        Err(_) => String::new(),
    }
}

/// Whether two keys are the same, in constant time.
pub fn same(a: &str, b: &str) -> bool {
    !a.is_empty() && bool::from(a.as_bytes().ct_eq(b.as_bytes()))
}

/// `<db:result/>` that carries a key.
pub(super) fn result(from: &Jid, to: &Jid, key: &str) -> Element {
    addressed("result", from, to).with_text(key)
}

/// `<db:verify/>` that asks.
pub(super) fn verify(from: &Jid, to: &Jid, id: &str, key: &str) -> Element {
    addressed("verify", from, to)
        .with_attr("id", id)
        .with_text(key)
}

/// The answer to `request`, with its addresses swapped.
pub(super) fn answer(request: &Request, kind: &str) -> Element {
    let answer = addressed(request.name, &request.to, &request.from).with_attr("type", kind);
    match &request.id {
        Some(id) => answer.with_attr("id", id),
        None => answer,
    }
}

/// The answer with an error (§2.5).
pub(super) fn error(request: &Request, condition: Condition) -> Element {
    answer(request, "error").with_child(StanzaError::from(condition).to_element())
}

/// Whether a key asked about is that of the domain, which is ours (§2.2.2).
pub(super) fn confirm(office: &dyn Office, request: &Request) -> Element {
    let id = request.id.as_deref().unwrap_or_default();
    let key = office.key(&request.from, &request.to, id);
    let kind = match same(&key, &request.key) {
        true => "valid",
        false => "invalid",
    };
    answer(request, kind)
}

fn addressed(name: &str, from: &Jid, to: &Jid) -> Element {
    Element::new(name, ns::DIALBACK)
        .with_attr("from", from.as_str())
        .with_attr("to", to.as_str())
}

/// A key given or asked about.
pub(super) struct Request {
    name: &'static str,
    pub from: Jid,
    pub to: Jid,
    pub id: Option<String>,
    pub key: String,
}

impl Request {
    /// Reads `<db:result/>` or `<db:verify/>`; nothing if addresses are missing or wrong.
    pub(super) fn read(element: El<'_>) -> Option<Request> {
        Some(Request {
            name: match element.name() {
                "result" => "result",
                "verify" => "verify",
                _ => return None,
            },
            from: super::domain(element, "from")?,
            to: super::domain(element, "to")?,
            id: element.attr("id").map(str::to_owned),
            key: element.text().trim().to_owned(),
        })
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_key_is_that_of_the_example() {
        let secret = Secret::new(b"s3cr3tf0rd14lb4ck".to_vec());
        let (to, from) = (
            Jid::parse("xmpp.example.com").unwrap(),
            Jid::parse("example.org").unwrap(),
        );
        let made = key(&secret, &to, &from, "D60000229F");
        assert_eq!(
            made,
            "37c69b1cf07a3f67c04a5ef5902fa5114f2c76fe4a2686482ba5b89323075643"
        );
        assert!(same(&made, &made));
        assert!(!same(&made, "37c6"));
        assert!(!same("", ""));
    }
}
