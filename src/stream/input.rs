//! What goes into the machine and what comes out: the whole of its dealings with the connection driver.

use std::sync::Arc;
use std::time::Duration;

use super::question::{Answer, Question};
use super::seat::Seat;
use super::tls::Tls;
use crate::proto::StreamError;
use crate::xml::{Element, Header, Limits, XmlError};

/// Something that happened on the connection. Between [`Action::Ask`] and its [`Input::Answer`] the driver holds back what
/// it reads (no `Header`, `Element`, `Footer`, `BadXml`): order is kept, and a client cannot pile up work.
pub enum Input {
    /// A stream header.
    Header(Header),
    /// A first-level element.
    Element(Element),
    /// The end of the peer's stream.
    Footer,
    /// The peer's bytes are not XMPP; nothing more will be read.
    BadXml(XmlError),
    /// The handshake asked for by [`Action::Secure`] is done.
    Secured(Tls),
    /// The desk's answer to [`Action::Ask`] or [`Action::AskBeside`].
    Answer(Answer),
    /// The time set by [`Action::Deadline`] is over.
    Expired,
    /// We end the stream: with an error (shutdown, time-out, replaced session …) or without.
    Stop(Option<StreamError>),
}

/// What the driver has to do, in this order.
pub enum Action {
    /// Write these bytes, after those that the seat has handed out so far.
    Send(Vec<u8>),
    /// Flush, throw away whatever was read and not yet given in, do the TLS handshake, then [`Input::Secured`]
    /// (RFC 6120 §5.4.3.3).
    Secure,
    /// The framer expects a new header, under these limits.
    Restart(Limits),
    /// From the next element on these limits hold.
    SetLimits(Limits),
    /// Ask the desk, give the answer in as [`Input::Answer`].
    Ask(Question),
    /// The same, but reading goes on meanwhile, and further questions: the answers come in any order.
    AskBeside(Question),
    /// Give [`Input::Expired`] in after this time, counted from now; replaces the deadline set before. `None`: no deadline.
    Deadline(Option<Duration>),
    /// The stream is bound: from here [`Seat::poll_outgoing`] is pumped too.
    Seated(Arc<dyn Seat>),
    /// The seat is busy: read no further until [`Seat::poll_intake`] is ready. What was read already may be given in.
    Pause,
    /// Flush, close TLS properly, close the socket. Nothing follows.
    Close,
}

/// Names only: what a client sends may be a password.
impl std::fmt::Debug for Input {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Input::Header(_) => "Header",
            Input::Element(_) => "Element",
            Input::Footer => "Footer",
            Input::BadXml(_) => "BadXml",
            Input::Secured(_) => "Secured",
            Input::Answer(_) => "Answer",
            Input::Expired => "Expired",
            Input::Stop(_) => "Stop",
        })
    }
}

/// Without the bytes.
impl std::fmt::Debug for Action {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Action::Send(bytes) => write!(f, "Send({} bytes)", bytes.len()),
            Action::Secure => f.write_str("Secure"),
            Action::Restart(_) => f.write_str("Restart"),
            Action::SetLimits(_) => f.write_str("SetLimits"),
            Action::Ask(question) => f.debug_tuple("Ask").field(question).finish(),
            Action::AskBeside(question) => f.debug_tuple("AskBeside").field(question).finish(),
            Action::Deadline(after) => f.debug_tuple("Deadline").field(after).finish(),
            Action::Seated(_) => f.write_str("Seated"),
            Action::Pause => f.write_str("Pause"),
            Action::Close => f.write_str("Close"),
        }
    }
}
