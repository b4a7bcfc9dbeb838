//! What a pair of domains is told, and what it wants done.

use std::sync::Arc;
use std::time::Duration;

use super::trouble::Trouble;
use crate::hooks::Pushed;
use crate::proto::jid::Jid;
use crate::proto::stanza::{IqType, Kind, PresenceType, Stanza};
use crate::state::outbox::Kept;
use crate::store::Mid;

/// A kept stanza's place and size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Mark {
    pub mid: Mid,
    pub bytes: u64,
}

/// A stanza to send.
#[derive(Debug, Clone)]
pub(crate) struct Item {
    pub stanza: Arc<Stanza>,
    /// The `to` of this copy, where it is not the stanza's.
    pub to: Option<Jid>,
    /// If it is kept.
    pub mark: Option<Mark>,
}

/// A stream that takes stanzas of this pair.
pub(crate) trait Way: Send + Sync {
    /// Unlike that of any other.
    fn id(&self) -> u64;
    /// Queues a stanza; never blocks.
    fn push(&self, item: Item) -> Pushed;
    /// Another stream takes its place: it is not waited for any more.
    fn give_up(&self);
}

/// What happens to a pair.
pub(crate) enum Input {
    /// A stanza; kept ones are on disk and come in order.
    Stanza(Item),
    /// Something may be on disk.
    Wake,
    /// A stream takes stanzas.
    Up(Arc<dyn Way>),
    /// That one is over.
    Down(u64),
    /// That one lost its connection, and may be resumed.
    Broken {
        id: u64,
        /// By us; else by the other side.
        resumes: bool,
    },
    /// A call did not come through.
    Failed(Trouble),
    /// What was asked for by [`Act::Read`] under this number.
    Page(u64, Vec<Kept>),
    /// It could not be read.
    Unreadable,
    /// [`Act::Return`] is done.
    Returned(Vec<Mark>),
    /// The other side has these.
    Taken(Vec<Mark>),
    /// The stream has room again.
    Room,
    /// Time passes.
    Tick,
    /// Other terms.
    Renewed(Times),
}

/// What is to be done.
#[derive(Debug)]
pub(crate) enum Act {
    /// Call the other server.
    Call,
    /// Read a page of what is kept, after the first and up to the second, under a number.
    Read(u64, Option<Mid>, Option<Mid>),
    /// Forget what is kept.
    Forget(Vec<Mark>),
    /// Tell the sender.
    Refuse(Item, Trouble),
    /// There is no way to the other side for too long.
    Lost,
    /// There is one again.
    Found,
    /// Give back to their senders what was kept longer than this, or everything; up to here.
    Return(Option<Duration>, Option<Mid>, Trouble),
}

/// Times of a pair.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Times {
    pub retry: Duration,
    pub retry_max: Duration,
    pub give_up_after: Duration,
    /// When its people count as gone, if they ever do.
    pub lost_after: Option<Duration>,
}

/// Whether the sender hears that a stanza for `to` did not arrive: presence is told of again by itself, but for one that
/// enters somewhere (XEP-0045 §7.2).
pub(crate) fn is_answered(stanza: &Stanza, to: Option<&Jid>) -> bool {
    match stanza.kind {
        Kind::Message(_) | Kind::Iq(IqType::Get | IqType::Set) => true,
        Kind::Presence(PresenceType::Available) => to.is_some_and(Jid::is_full),
        Kind::Presence(_) | Kind::Iq(_) => false,
    }
}
