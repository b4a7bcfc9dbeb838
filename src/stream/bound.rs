//! A bound client stream: stanzas to the seat, nonzas where they belong, anything else ends it (RFC 6120 §4.8, §4.9.3.24).

use std::sync::Arc;

use super::acks;
use super::bind;
use super::input::Action;
use super::out::Out;
use super::seat::{End, Intake, NonzaVerdict, Seat};
use super::tables::Tables;
use crate::proto::{StreamCondition, StreamError, ns};
use crate::xml::{El, Element};

/// All that is kept of a stream once it is bound.
pub(super) struct Bound {
    /// Gone once it knows that the stream is over.
    seat: Option<Arc<dyn Seat>>,
    tables: Arc<Tables>,
    lang: Option<Box<str>>,
    pub acks: bool,
}

impl Bound {
    pub fn new(
        seat: Arc<dyn Seat>,
        tables: Arc<Tables>,
        lang: Option<Box<str>>,
        acks: bool,
    ) -> Bound {
        Bound {
            seat: Some(seat),
            tables,
            lang,
            acks,
        }
    }

    pub fn element(&mut self, element: Element, out: &mut Out<'_>) -> Result<(), StreamError> {
        let root = element.root();
        match root.ns() {
            ns::CLIENT => self.stanza(element, out),
            ns::SM => acks::handle(self, root, out),
            _ if self.tables.nonzas.iter().any(|tag| tag.is(root)) => self.nonza(element, out),
            ns::SERVER | ns::COMPONENT | "" => Err(StreamCondition::InvalidNamespace.into()),
            ns::SASL | ns::SASL2 => Err(StreamCondition::NotAuthorized.into()),
            _ => Err(StreamCondition::UnsupportedStanzaType.into()),
        }
    }

    fn stanza(&mut self, mut stanza: Element, out: &mut Out<'_>) -> Result<(), StreamError> {
        let root = stanza.root();
        if !matches!(root.name(), "message" | "presence" | "iq") {
            return Err(StreamCondition::UnsupportedStanzaType.into());
        }
        if !self.acks && is_session(root) {
            // Old clients ask for it between bind and everything else; nothing is to be done (RFC 6121 §1.4).
            out.element(&bind::result(root.attr("id")));
            return Ok(());
        }
        if let Some(lang) = &self.lang
            && root.attr("xml:lang").is_none()
        {
            stanza.set_attr("xml:lang", Some(lang));
        }
        if let Some(seat) = &self.seat
            && seat.stanza(stanza) == Intake::Busy
        {
            out.push(Action::Pause);
        }
        Ok(())
    }

    fn nonza(&mut self, element: Element, out: &mut Out<'_>) -> Result<(), StreamError> {
        match self.seat.as_ref().map(|seat| seat.nonza(element)) {
            Some(NonzaVerdict::Reply(reply)) => out.element(&reply),
            Some(NonzaVerdict::Fault(error)) => return Err(error),
            Some(NonzaVerdict::Done) | None => {}
        }
        Ok(())
    }

    pub fn seat(&self) -> Option<&Arc<dyn Seat>> {
        self.seat.as_ref()
    }

    /// Tells the seat that the stream is over, once.
    pub fn close(&mut self, end: End) {
        if let Some(seat) = self.seat.take() {
            seat.closed(end);
        }
    }
}

/// Whoever drops a bound stream without a word lost its connection.
impl Drop for Bound {
    fn drop(&mut self) {
        self.close(End::ConnectionLost);
    }
}

/// The session request of RFC 3921 §3.
fn is_session(iq: El<'_>) -> bool {
    iq.name() == "iq"
        && iq.attr("type") == Some("set")
        && iq.child("session", ns::SESSION).is_some()
}
