//! The bound session as the stream sees it; the session room implements it.

use std::task::{Context, Poll};

use super::framing::Framing;
use crate::proto::StreamError;
use crate::xml::Element;

/// Whether the seat takes more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Intake {
    /// Go on reading.
    Ready,
    /// It took this one; read no further until [`Seat::poll_intake`] is ready.
    Busy,
}

/// What [`Seat::poll_outgoing`] did.
#[derive(Debug)]
pub enum Outgoing {
    /// It appended bytes.
    Data,
    /// The session is over: give `Input::Stop` in with this.
    End(Option<StreamError>),
}

/// Why a stream ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Closed properly, by the peer or by us (XEP-0198 §7: the session is over).
    Footer,
    /// A stream error, theirs or ours.
    Error,
    /// The connection broke (XEP-0198 §7: the session may be resumed).
    ConnectionLost,
    /// The peer fell silent.
    Timeout,
    /// The server stops.
    Shutdown,
}

/// What a module made of a nonza.
#[derive(Debug)]
pub enum NonzaVerdict {
    /// It is dealt with.
    Done,
    /// It is dealt with, and this is the answer.
    Reply(Element),
    /// It makes no sense here: the stream ends.
    Fault(StreamError),
}

/// An `<a/>` acknowledges more than was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("acknowledged {h} stanzas of {sent}")]
pub struct AckError {
    /// What the peer claims to have handled.
    pub h: u32,
    /// What it was sent.
    pub sent: u32,
}

/// What a client asks for with `<enable/>` (XEP-0198 §3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Enable {
    /// To be able to resume.
    pub resume: bool,
    /// For how many seconds at most.
    pub max: Option<u32>,
}

/// How a session may be resumed (XEP-0198 §5).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resumption {
    /// The id to name it by.
    pub token: String,
    /// For how many seconds after its connection was lost.
    pub max: u32,
}

/// A bound session. Its methods do not block.
pub trait Seat: Send + Sync {
    /// How elements stand on its stream; told before anything is asked of it. Without a word: as on TCP.
    fn framed(&self, _framing: Framing) {}

    /// A stanza from the client, `jabber:client`, with the stream's `xml:lang` filled in; addresses and the rest unchecked.
    fn stanza(&self, stanza: Element) -> Intake;

    /// Ready when more may be read after [`Intake::Busy`].
    fn poll_intake(&self, cx: &mut Context<'_>) -> Poll<()>;

    /// Appends whole stanzas and nonzas to `out`, at most about 16 KiB a call; pending when there is nothing to write.
    fn poll_outgoing(&self, cx: &mut Context<'_>, out: &mut Vec<u8>) -> Poll<Outgoing>;

    /// Everything handed out so far has reached the socket.
    fn written(&self);

    /// Count from here on, both ways (XEP-0198 §3). Called at most once; `<enabled/>` is written by the stream, before
    /// anything handed out after this. Answers how the session may be resumed, if it may and was asked for.
    fn enable_acks(&self, wish: Enable) -> Option<Resumption>;

    /// The client sent `<r/>`: an `<a/>` with [`Seat::handled`] goes out as soon as it can.
    fn ack_requested(&self);

    /// The client sent `<a h='…'/>`.
    fn acked(&self, h: u32) -> Result<(), AckError>;

    /// Stanzas handled since [`Seat::enable_acks`], modulo 2³².
    fn handled(&self) -> u32;

    /// A first-level element claimed by a module (`Tables::nonzas`).
    fn nonza(&self, element: Element) -> NonzaVerdict;

    /// The client has been silent: makes it say something, with `<r/>` where acknowledgements are on, else with a ping
    /// (XEP-0199). The driver ends the stream if no byte follows.
    fn probe(&self);

    /// The stream is over; nothing is called after this. Called exactly once.
    fn closed(&self, end: End);
}
