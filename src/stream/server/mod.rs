//! Streams between servers (RFC 6120 with `jabber:server`): both ends, proving domains by SASL EXTERNAL (XEP-0178 1.2) or
//! Server Dialback (XEP-0220 1.1.1), both ways on one stream where both can (XEP-0288 1.0.1).
//!
//! What was proved is a pair of domains, theirs and ours; every stanza must belong to a pair proved on its own stream.

mod call;
mod claims;
pub mod dialback;
mod further;
mod incoming;
mod office;
mod outgoing;
mod resume;

pub use call::{Call, Caller, Established, Failure, Judge, Purpose, Verdict, Word};
pub use office::{Demand, Line, Office, Proof, Proven, Verify};
pub use resume::{ResumeLink, Taken};

pub(super) use incoming::Incoming;
pub(super) use outgoing::Outgoing;

use super::input::Action;
use super::login::Flow;
use super::out::Out;
use super::question::Answer;
use super::seat::{End, Intake, Seat};
use super::tls::Tls;
use crate::proto::{Jid, StreamCondition, StreamError, ns};
use crate::xml::{El, Element, Header, StreamContent};

/// One end of a stream between servers.
pub(super) enum Stream {
    /// They opened it.
    In(Incoming),
    /// We opened it.
    Out(Outgoing),
}

impl Stream {
    pub fn header(&mut self, header: &Header, out: &mut Out<'_>) -> Flow {
        match self {
            Stream::In(stream) => stream.header(header, out),
            Stream::Out(stream) => stream.header(header),
        }
    }

    pub fn element(&mut self, element: Element, out: &mut Out<'_>) -> Flow {
        match self {
            Stream::In(stream) => stream.element(element, out),
            Stream::Out(stream) => stream.element(element, out),
        }
    }

    pub fn secured(&mut self, tls: Tls, out: &mut Out<'_>) -> Flow {
        match self {
            Stream::In(stream) => stream.secured(tls, out),
            Stream::Out(stream) => stream.secured(tls, out),
        }
    }

    pub fn answer(&mut self, answer: Answer, out: &mut Out<'_>) -> Flow {
        match self {
            Stream::In(stream) => stream.answer(answer, out),
            Stream::Out(_) => StreamCondition::InternalServerError.into(),
        }
    }

    /// Whether stanzas may flow.
    pub fn is_bound(&self) -> bool {
        match self {
            Stream::In(stream) => stream.is_bound(),
            Stream::Out(stream) => stream.is_bound(),
        }
    }

    /// Whether an answer of the desk is outstanding, and input is held back.
    pub fn is_waiting(&self) -> bool {
        matches!(self, Stream::In(stream) if stream.is_waiting())
    }

    /// Whether what is sent now could still be read as XMPP.
    pub fn can_write(&self) -> bool {
        match self {
            Stream::In(stream) => stream.can_write(),
            Stream::Out(stream) => stream.can_write(),
        }
    }

    /// Sends our header if it is not out yet.
    pub fn open_anyway(&mut self, out: &mut Out<'_>) {
        if let Stream::In(stream) = self {
            stream.open_anyway(out);
        }
    }

    /// Our end of it is over, for this reason of ours.
    pub fn close(&mut self, error: Option<&StreamError>, end: End) {
        match self {
            Stream::In(stream) => stream.close(end),
            Stream::Out(stream) => stream.close(error, end),
        }
    }

    /// The connection below it failed.
    pub fn lost(&mut self, why: Failure) {
        if let Stream::Out(stream) = self {
            stream.lost(why);
        }
    }
}

/// The addresses of a stanza, if they are full enough to be checked (RFC 6120 §8.1.1.2, §8.1.2.2).
fn addresses(stanza: El<'_>) -> Result<(Jid, Jid), StreamError> {
    let read = |name| {
        let jid = stanza.attr(name).and_then(|text| Jid::parse(text).ok());
        jid.ok_or_else(|| StreamError::from(StreamCondition::ImproperAddressing))
    };
    Ok((read("from")?, read("to")?))
}

/// Hands a stanza to the seat.
fn pass(seat: &dyn Seat, stanza: Element, out: &mut Out<'_>) {
    if seat.stanza(stanza) == Intake::Busy {
        out.push(Action::Pause);
    }
}

/// Whether an element is a stanza.
fn is_stanza(element: El<'_>) -> bool {
    element.ns() == ns::CLIENT && matches!(element.name(), "message" | "presence" | "iq")
}

/// What every server's header must say (RFC 6120 §4.7.5, §4.8.3).
fn header_fault(header: &Header) -> Option<StreamError> {
    if header.context.content() != StreamContent::Server {
        return Some(StreamCondition::InvalidNamespace.into());
    }
    let version = header.element.attr("version");
    let one = version.is_some_and(|text| text.starts_with("1."));
    (!one).then(|| StreamCondition::UnsupportedVersion.into())
}

/// A domain from an attribute: no localpart, no resource.
fn domain(element: El<'_>, name: &str) -> Option<Jid> {
    let jid = Jid::parse(element.attr(name)?).ok()?;
    (jid.as_str() == jid.domain()).then_some(jid)
}

/// Stream management on a bound stream, after it was enabled (XEP-0198 §4).
fn acknowledge(seat: &dyn Seat, element: El<'_>) -> Flow {
    match element.name() {
        "r" => seat.ack_requested(),
        "a" => {
            let h = element.attr("h").and_then(|h| h.parse().ok());
            let Some(h) = h else {
                return StreamCondition::BadFormat.into();
            };
            if let Err(error) = seat.acked(h) {
                return super::acks::too_high(error).into();
            }
        }
        _ => return StreamCondition::UnsupportedStanzaType.into(),
    }
    Flow::Stay
}
