//! From an element, or from stored bytes, to a stanza (RFC 6120 §8.1 and §8.2).

use std::sync::Arc;

use thiserror::Error;

use super::{Body, IqType, Kind, Stanza};
use crate::proto::{Condition, Jid, StanzaError, ns};
use crate::xml::{self, Context, Element, Limits, XmlError};

/// A stanza that cannot be processed, with what is needed to say so to its sender.
#[derive(Clone, Debug, Error)]
#[error("{error}")]
pub struct Rejected {
    /// What is wrong.
    pub error: Box<StanzaError>,
    kind: Option<Kind>,
    from: Option<Jid>,
    to: Option<Jid>,
    id: Option<Box<str>>,
}

impl Rejected {
    /// The answer to the sender; `None` if an error or result was at fault, or no stanza at all.
    /// A malformed `to` is not repeated as `from` (RFC 6120 §8.3.1, rule 2).
    pub fn answer(&self) -> Option<Stanza> {
        let kind = self.kind?;
        if kind.is_error() || kind == Kind::Iq(IqType::Result) {
            return None;
        }
        let mut answer = Stanza::empty(kind.to_error()).with_child(self.error.to_element());
        answer.from = self.to.clone();
        answer.to = self.from.clone();
        answer.id = self.id.clone();
        Some(answer)
    }
}

/// Why stored bytes are no stanza.
#[derive(Clone, Debug, Error)]
pub enum StoredError {
    /// They are not XML.
    #[error("stored bytes are no XML: {0}")]
    Xml(XmlError),
    /// They are XML, and no stanza.
    #[error("stored XML is no stanza: {0}")]
    Rejected(Rejected),
}

impl Stanza {
    /// Reads a stanza in the canonical namespace `jabber:client`. Only the root is looked at, and
    /// of an iq how many children it has (RFC 6120 §8.2.3).
    pub fn from_element(el: Element) -> Result<Stanza, Rejected> {
        let attributes = Attributes::read(&el);
        let mut fault = None;
        let kind = attributes.kind_of(&el, &mut fault);
        let from = address(attributes.from, &mut fault);
        let to = address(attributes.to, &mut fault);
        let id: Option<Box<str>> = attributes.id.map(Box::from);
        if let (Some(Kind::Iq(kind)), None) = (kind, &fault) {
            fault = iq_fault(kind, &el, id.is_some());
        }
        match (kind, fault) {
            (Some(kind), None) => Ok(Stanza {
                kind,
                from,
                to,
                id,
                lang: attributes.lang.map(Box::from),
                body: {
                    let others = attributes.others;
                    Arc::new(Body::new(el, others))
                },
                tail: Vec::new(),
            }),
            (kind, fault) => Err(Rejected {
                error: Box::new(fault.unwrap_or_else(|| Condition::BadRequest.into())),
                kind,
                from,
                to,
                id,
            }),
        }
    }

    /// Reads what [`Stanza::to_bytes`] wrote.
    pub fn from_bytes(bytes: &[u8]) -> Result<Stanza, StoredError> {
        let el =
            xml::parse(bytes, &Context::client(), &Limits::STORED).map_err(StoredError::Xml)?;
        Stanza::from_element(el).map_err(StoredError::Rejected)
    }
}

/// The attributes of the root that every stanza may have, as they came.
#[derive(Default)]
struct Attributes<'a> {
    kind: Option<&'a str>,
    from: Option<&'a str>,
    to: Option<&'a str>,
    id: Option<&'a str>,
    lang: Option<&'a str>,
    /// There are more, which stay with the body.
    others: bool,
}

impl<'a> Attributes<'a> {
    fn read(el: &'a Element) -> Attributes<'a> {
        let mut read = Attributes::default();
        for (local, namespace, value) in el.attrs() {
            match (namespace, local) {
                ("", "type") => read.kind = Some(value),
                ("", "from") => read.from = Some(value),
                ("", "to") => read.to = Some(value),
                ("", "id") => read.id = Some(value),
                (xml::XML, "lang") => read.lang = Some(value),
                _ => read.others = true,
            }
        }
        read
    }

    fn kind_of(&self, el: &Element, fault: &mut Option<StanzaError>) -> Option<Kind> {
        let kind = match el.ns() {
            ns::CLIENT => Kind::read(el.name(), self.kind),
            _ => Err(None),
        };
        kind.map_or_else(
            |kind| {
                *fault = Some(bad_request("missing or unknown type"));
                kind
            },
            Some,
        )
    }
}

fn address(text: Option<&str>, fault: &mut Option<StanzaError>) -> Option<Jid> {
    match Jid::parse(text?) {
        Ok(jid) => Some(jid),
        Err(error) => {
            let error = StanzaError::new(Condition::JidMalformed).with_text(error.to_string());
            fault.get_or_insert(error);
            None
        }
    }
}

/// RFC 6120 §8.2.3: an id always, one child in a request, at most one in a result.
fn iq_fault(kind: IqType, el: &Element, has_id: bool) -> Option<StanzaError> {
    if !has_id {
        return Some(bad_request("an iq needs an id"));
    }
    let children = el.children().take(2).count();
    match kind {
        IqType::Get | IqType::Set if children != 1 => {
            Some(bad_request("a request has exactly one child"))
        }
        IqType::Result if children > 1 => Some(bad_request("a result has at most one child")),
        _ => None,
    }
}

fn bad_request(text: &str) -> StanzaError {
    StanzaError::new(Condition::BadRequest).with_text(text)
}
