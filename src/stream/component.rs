//! Streams that components of this server open (XEP-0114 1.6, `jabber:component:accept`): a header, a handshake, then stanzas.
//!
//! A component may speak for everybody at its domains and for nobody else.

use std::sync::Arc;

use sha1::{Digest, Sha1};

use super::framing::Opening;
use super::input::Action;
use super::login::Flow;
use super::out::Out;
use super::sasl::secret::Secret;
use super::seat::{End, Intake, Seat};
use super::settings::Settings;
use super::tls::Peer;
use crate::proto::{Jid, StreamCondition, StreamError, ns};
use crate::runtime::random;
use crate::xml::{El, Element, Header, StreamContent};

/// What a component stream needs to know of the house. Nothing of it waits.
pub trait Porter: Send + Sync {
    /// The secret of the component that serves this domain, if one does.
    fn secret(&self, domain: &Jid) -> Option<Secret>;

    /// It knows the secret. `address` is where it comes from.
    ///
    /// # Errors
    /// Why it may not come in all the same; the stream ends with it.
    fn enter(&self, domain: &Jid, address: &str) -> Result<Entered, StreamError>;

    /// Somebody at this address does not know the secret.
    fn refused(&self, domain: &Jid, address: &str);
}

/// A component that came in.
pub struct Entered {
    /// The domains it may speak for.
    pub domains: Vec<Jid>,
    /// Where its stanzas go.
    pub seat: Arc<dyn Seat>,
}

/// The handshake for a stream (§3): SHA-1 of its id and the secret, in hexadecimal.
pub fn handshake(id: &str, secret: &Secret) -> String {
    let mut hasher = Sha1::new();
    hasher.update(id.as_bytes());
    hasher.update(secret.expose());
    let digits = hasher.finalize();
    digits.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The receiving end.
pub(super) struct Stream {
    settings: Arc<Settings>,
    porter: Arc<dyn Porter>,
    peer: Peer,
    secure: bool,
    id: String,
    domain: Option<Jid>,
    opened: bool,
    stage: Stage,
}

enum Stage {
    Header,
    Handshake,
    Open(Entered),
}

impl Stream {
    /// A stream with TLS, or without where `peer` is secure by its place.
    pub fn new(settings: Arc<Settings>, porter: Arc<dyn Porter>, peer: Peer, tls: bool) -> Stream {
        Stream {
            secure: tls || peer.secure_by_place,
            settings,
            porter,
            peer,
            id: String::new(),
            domain: None,
            opened: false,
            stage: Stage::Header,
        }
    }

    pub fn is_bound(&self) -> bool {
        matches!(self.stage, Stage::Open(_))
    }

    pub fn header(&mut self, header: &Header, out: &mut Out<'_>) -> Flow {
        if !matches!(self.stage, Stage::Header) {
            return StreamCondition::BadFormat.into();
        }
        let to = header.element.attr("to").map(Jid::parse);
        let known = match &to {
            Some(Ok(to)) if to.as_str() == to.domain() => self.porter.secret(to).is_some(),
            _ => false,
        };
        self.domain = to.and_then(Result::ok).filter(|_| known);
        self.open_anyway(out);
        if header.context.content() != StreamContent::Component {
            return StreamCondition::InvalidNamespace.into();
        }
        if !self.secure {
            let words = "components come with TLS, or from this machine";
            return Flow::End(StreamError::new(StreamCondition::PolicyViolation).with_text(words));
        }
        if self.domain.is_none() {
            return StreamCondition::HostUnknown.into();
        }
        self.stage = Stage::Handshake;
        Flow::Stay
    }

    /// Our header, once; `from` is the component itself (§3).
    pub fn open_anyway(&mut self, out: &mut Out<'_>) {
        if std::mem::replace(&mut self.opened, true) {
            return;
        }
        self.id = random::token();
        let fallback = || self.settings.hosts.default_host().domain.clone();
        let from = self.domain.clone().unwrap_or_else(fallback);
        out.open(&Opening {
            from: from.as_str(),
            to: None,
            id: Some(&self.id),
        });
    }

    pub fn element(&mut self, element: Element, out: &mut Out<'_>) -> Flow {
        let root = element.root();
        match &self.stage {
            _ if root.ns() == ns::STREAM && root.name() == "error" => Flow::Close,
            Stage::Header => StreamCondition::BadFormat.into(),
            Stage::Handshake if element.is("handshake", ns::CLIENT) => self.prove(root, out),
            Stage::Handshake => StreamCondition::NotAuthorized.into(),
            Stage::Open(entered) => match &self.domain {
                Some(domain) => stanza(entered, domain, element, out),
                None => StreamCondition::InternalServerError.into(),
            },
        }
    }

    fn prove(&mut self, given: El<'_>, out: &mut Out<'_>) -> Flow {
        let Some(domain) = &self.domain else {
            return StreamCondition::HostUnknown.into();
        };
        let expected = self.porter.secret(domain);
        let expected = expected.map(|secret| Secret::new(handshake(&self.id, &secret)));
        let given = given.text();
        if expected != Some(Secret::new(given.trim().as_bytes())) {
            self.porter.refused(domain, &self.peer.address);
            return StreamCondition::NotAuthorized.into();
        }
        let entered = match self.porter.enter(domain, &self.peer.address) {
            Ok(entered) => entered,
            Err(error) => return Flow::End(error),
        };
        out.deadline(None);
        out.push(Action::SetLimits(self.settings.limits.after_login));
        out.element(&Element::new("handshake", ns::CLIENT));
        out.push(Action::Seated(entered.seat.clone()));
        self.stage = Stage::Open(entered);
        Flow::Stay
    }

    /// Our end of it is over.
    pub fn close(&mut self, end: End) {
        if let Stage::Open(entered) = std::mem::replace(&mut self.stage, Stage::Header) {
            entered.seat.closed(end);
        }
    }
}

/// Whoever drops it lost the connection.
impl Drop for Stream {
    fn drop(&mut self) {
        self.close(End::ConnectionLost);
    }
}

/// §3: `from` must be at a domain of the component; where there is none it is the stream's domain.
fn stanza(entered: &Entered, domain: &Jid, mut element: Element, out: &mut Out<'_>) -> Flow {
    let root = element.root();
    let is_stanza = root.ns() == ns::CLIENT && matches!(root.name(), "message" | "presence" | "iq");
    if !is_stanza {
        return StreamCondition::UnsupportedStanzaType.into();
    }
    let from = root.attr("from").map(Jid::parse);
    let mine = |from: &Jid| {
        let mut domains = entered.domains.iter();
        domains.any(|domain| domain.domain() == from.domain())
    };
    match from {
        None => element.set_attr("from", Some(domain.as_str())),
        Some(Ok(from)) if mine(&from) => {}
        Some(_) => return StreamCondition::InvalidFrom.into(),
    }
    if entered.seat.stanza(element) == Intake::Busy {
        out.push(Action::Pause);
    }
    Flow::Stay
}
