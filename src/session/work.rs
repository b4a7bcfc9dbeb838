//! What an account's owner is given to do.

use tokio::sync::oneshot;

use crate::hooks::{Entry, Envelope, Inlined, Path, Receipt, SessionId, TurnFn, Verdict};
use crate::proto::error::StanzaError;
use crate::stream::{self, BindRequest, Bound, End, NotResumed, ResumeRequest};
use crate::xml::Element;

/// A piece of work for an account.
pub enum Work {
    /// A stanza from one of its sessions.
    Inbound(Box<Inbound>),
    /// A stanza on its way to the account.
    Arriving(Box<Envelope>),
    /// A message that is on disk now, with its entry when it was recorded in this account's log.
    Committed(Box<Envelope>, Option<Entry>),
    /// A nonza that a module handles.
    Nonza(SessionId, Element),
    /// Ask a silent client whether it is there.
    Probe(SessionId),
    /// A client wants a resource.
    Bind(Box<Bind>),
    /// A stanza whose hook has its verdict.
    Judged(Box<Judged>),
    /// Clients have these entries.
    Taken(Vec<Entry>),
    /// A session's outbox has room again.
    Room(SessionId),
    /// A session is over with its connection.
    Ended(Box<Ended>),
    /// A session lost its connection and may be resumed.
    Lost(SessionId),
    /// A detached session is over: nobody resumed it in time, or it cannot hold what it must.
    Expire(SessionId),
    /// A client wants its session back.
    Reattach(Box<Reattach>),
    /// Anything else.
    Turn(TurnFn),
    /// What is in memory is in doubt: read it again.
    Doubt,
}

/// A stanza whose hook has its verdict at last.
pub struct Judged {
    /// The stanza.
    pub envelope: Box<Envelope>,
    /// Its path.
    pub path: Path,
    /// Where it goes on.
    pub position: Position,
    /// The verdict.
    pub verdict: Verdict,
}

/// A place in a path: a phase and a hook in it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Position {
    /// Index of the phase.
    pub phase: usize,
    /// Index of the hook in it.
    pub hook: usize,
}

/// A stanza as a session's stream handed it in.
pub struct Inbound {
    /// The session.
    pub session: SessionId,
    /// The stanza, not yet looked at.
    pub element: Element,
    /// Its receipt.
    pub receipt: Receipt,
}

/// A resource to bind.
pub struct Bind {
    /// What the client asked for.
    pub request: BindRequest,
    /// Where the answer goes.
    pub reply: oneshot::Sender<Result<NewSession, StanzaError>>,
}

/// A resource that was bound, and what else its client is told with it.
pub struct NewSession {
    /// The session.
    pub bound: Bound,
    /// What is still being made for `<bound/>`.
    pub later: Vec<Inlined>,
}

/// A session to be resumed.
pub struct Reattach {
    /// What the client asked for.
    pub request: ResumeRequest,
    /// What it sent before was given the time to get through.
    pub waited: bool,
    /// Where the answer goes.
    pub reply: oneshot::Sender<Result<stream::Resumed, NotResumed>>,
}

/// The end of a session.
pub struct Ended {
    /// The session.
    pub session: SessionId,
    /// How it ended.
    pub end: End,
    /// Entries handed out that the client did not confirm.
    pub unconfirmed: Vec<Entry>,
}

/// The inbox of an account's owner.
pub trait Inbox: Send + Sync {
    /// Gives it work; never blocks.
    fn post(&self, work: Work);
}
