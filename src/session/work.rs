//! What an account's owner is given to do.

use tokio::sync::oneshot;

use crate::hooks::{Entry, Envelope, Path, Receipt, SessionId, TurnFn, Verdict};
use crate::proto::error::StanzaError;
use crate::stream::{BindRequest, Bound, End};
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
    Resumed(Box<Resumed>),
    /// Clients have these entries.
    Taken(Vec<Entry>),
    /// A session's outbox has room again.
    Room(SessionId),
    /// A session's connection is over.
    Ended(Box<Ended>),
    /// Anything else.
    Turn(TurnFn),
    /// What is in memory is in doubt: read it again.
    Doubt,
}

/// A stanza whose hook has its verdict at last.
pub struct Resumed {
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
    pub reply: oneshot::Sender<Result<Bound, StanzaError>>,
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
