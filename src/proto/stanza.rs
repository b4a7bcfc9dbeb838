//! Stanzas (RFC 6120 §8): a header that is cheap to change, a body that is cheap to share.

mod kind;
mod read;
mod write;

use std::fmt;
use std::sync::{Arc, OnceLock};

pub use kind::{IqType, Kind, MessageType, PresenceType};
pub use read::{Rejected, StoredError};

use super::{Jid, StanzaError, ns};
use crate::xml::{El, Element};

/// A message, presence or iq.
#[derive(Clone)]
pub struct Stanza {
    /// What it is. The type may be changed, a message may not become an iq.
    pub kind: Kind,
    /// The sender.
    pub from: Option<Jid>,
    /// The addressee; absent: the sender's own account, or server.
    pub to: Option<Jid>,
    /// For tracking; every iq has one.
    pub id: Option<Box<str>>,
    /// `xml:lang`.
    pub lang: Option<Box<str>>,
    body: Arc<Body>,
    /// What the server appends to the children that came: ids, delays.
    pub tail: Vec<Element>,
}

/// The children as they came, shared by everyone who gets the stanza.
struct Body {
    /// The root with its children and its own, now outdated, attributes.
    root: Element,
    /// The root has attributes beyond those of every stanza; they are written too.
    others: bool,
    /// The children on the wire.
    contents: OnceLock<Box<[u8]>>,
}

impl Body {
    fn new(root: Element, others: bool) -> Body {
        Body {
            root,
            others,
            contents: OnceLock::new(),
        }
    }
}

impl Stanza {
    /// An empty message.
    pub fn message(kind: MessageType) -> Stanza {
        Stanza::empty(Kind::Message(kind))
    }

    /// An empty presence.
    pub fn presence(kind: PresenceType) -> Stanza {
        Stanza::empty(Kind::Presence(kind))
    }

    /// An empty iq; it still needs an id.
    pub fn iq(kind: IqType) -> Stanza {
        Stanza::empty(Kind::Iq(kind))
    }

    fn empty(kind: Kind) -> Stanza {
        Stanza {
            kind,
            from: None,
            to: None,
            id: None,
            lang: None,
            body: Arc::new(Body::new(Element::new(kind.name(), ns::CLIENT), false)),
            tail: Vec::new(),
        }
    }

    /// A message that holds `outer`, written as `contents`, where more may lie inside of it: that
    /// is carried and not looked at.
    pub(super) fn rendered(kind: MessageType, outer: &Element, contents: Vec<u8>) -> Stanza {
        let stanza = Stanza::message(kind).with_child(outer.clone());
        let _ = stanza.body.contents.set(contents.into_boxed_slice());
        stanza
    }

    /// With an addressee.
    pub fn with_to(mut self, to: Jid) -> Stanza {
        self.to = Some(to);
        self
    }

    /// With a sender.
    pub fn with_from(mut self, from: Jid) -> Stanza {
        self.from = Some(from);
        self
    }

    /// With an id.
    pub fn with_id(mut self, id: impl Into<Box<str>>) -> Stanza {
        self.id = Some(id.into());
        self
    }

    /// With one more child, in the body while nobody shares it.
    pub fn with_child(mut self, child: Element) -> Stanza {
        match Arc::get_mut(&mut self.body) {
            Some(body) if self.tail.is_empty() => {
                body.root.push_child(child.root());
                body.contents = OnceLock::new();
            }
            _ => self.tail.push(child),
        }
        self
    }

    /// Appends a child to the tail, leaving the shared body alone.
    pub fn push(&mut self, child: Element) {
        self.tail.push(child);
    }

    /// With what was appended in a body of its own, to be rendered once for all who get it.
    pub fn folded(mut self) -> Stanza {
        let mut contents = self.body_bytes().to_vec();
        self.write_tail(&mut contents);
        let mut root = self.body.root.clone();
        for child in self.tail.drain(..) {
            root.push_child(child.root());
        }
        let body = Body::new(root, self.body.others);
        let _ = body.contents.set(contents.into_boxed_slice());
        self.body = Arc::new(body);
        self
    }

    /// The child elements: those that came, then those that were appended.
    pub fn children(&self) -> impl Iterator<Item = El<'_>> {
        self.body
            .root
            .children()
            .chain(self.tail.iter().map(Element::root))
    }

    /// The first child with this name and namespace.
    pub fn child(&self, local: &str, ns: &str) -> Option<El<'_>> {
        self.children().find(|child| child.is(local, ns))
    }

    /// The first child: what an iq asks or answers.
    pub fn payload(&self) -> Option<El<'_>> {
        self.children().next()
    }

    /// Keeps only the children that `keep` accepts and says whether any was dropped. A shared body
    /// is copied only if it changes.
    pub fn retain_children(&mut self, mut keep: impl FnMut(El<'_>) -> bool) -> bool {
        let verdicts: Vec<bool> = self.body.root.children().map(&mut keep).collect();
        let appended = self.tail.len();
        self.tail.retain(|child| keep(child.root()));
        if verdicts.iter().all(|kept| *kept) {
            return self.tail.len() < appended;
        }
        let mut root = self.body.root.clone();
        let mut verdicts = verdicts.into_iter();
        root.retain_children(|_| verdicts.next().unwrap_or(true));
        self.body = Arc::new(Body::new(root, self.body.others));
        true
    }

    /// The empty answer to it: same id, addresses swapped; an iq becomes a result.
    pub fn reply(&self) -> Stanza {
        let mut reply = Stanza::empty(match self.kind {
            Kind::Iq(_) => Kind::Iq(IqType::Result),
            kind => kind,
        });
        reply.from = self.to.clone();
        reply.to = self.from.clone();
        reply.id = self.id.clone();
        reply
    }

    /// The error that answers it, without its payload. Errors and results are never answered
    /// (RFC 6120 §8.3.1, rule 8).
    pub fn error(&self, error: &StanzaError) -> Option<Stanza> {
        if self.kind.is_error() || self.kind == Kind::Iq(IqType::Result) {
            return None;
        }
        let mut reply = self.reply().with_child(error.to_element());
        reply.kind = self.kind.to_error();
        Some(reply)
    }
}

/// Shows it as XML.
impl fmt::Debug for Stanza {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = Vec::new();
        self.write(None, &mut out);
        f.write_str(&String::from_utf8_lossy(&out))
    }
}

#[cfg(test)]
mod tests;
