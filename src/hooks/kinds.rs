//! The words of the interface: paths, phases, verdicts, replies, and the shapes of hooks.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use super::account::{Account, Device, Entry, SessionId, Uid};
use super::envelope::Envelope;
use super::facts::Facts;
use super::parts::Parts;
use super::turn::Turn;
use crate::proto::disco::Info;
use crate::proto::error::StanzaError;
use crate::proto::jid::Jid;
use crate::proto::stanza::Stanza;
use crate::store::{Snapshot, StoreError};
use crate::stream::InlineRequest;
use crate::xml::{El, Element};

/// Which way a stanza takes through the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Path {
    /// From a bound session, in its account's turn.
    FromClient,
    /// To a local account, in that account's turn.
    ToClient,
}

/// When on its way a hook sees the stanza. Inside a phase the order is that of the module list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// May it pass? Blocking, limits, permission.
    Check,
    /// Strip what only the server may claim; add what the server says.
    Amend,
    /// What must be durable joins the batch.
    Record,
    /// After the commit of a message from or to an account: copies for its other sessions. From: in
    /// the sender's turn, wherever the message goes and whatever becomes of it there. To: after it
    /// was handed to the sessions it is for.
    Mirror,
    /// After the commit of a message to an account, when no session took it live.
    Absent,
}

/// What a transit hook decides.
pub enum Verdict {
    /// Go on.
    Continue,
    /// It is dealt with; nothing more happens.
    Consume,
    /// Return it to its sender with this error.
    Bounce(StanzaError),
    /// Go on (or not) when the future resolves; later stanzas of the owner wait. Bounded and timed.
    Later(Pin<Box<dyn Future<Output = Verdict> + Send>>),
}

/// Which way a stanza crosses the border of this server, whoever is at its two ends. What goes through an account takes the
/// [`Path`] of that account as well: [`Path::FromClient`] before it leaves, [`Path::ToClient`] after it came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Crossing {
    /// To another server, from an account, a service or the host itself.
    ToRemote,
    /// From another server, as was proved on its stream.
    FromRemote,
}

/// What a hook at the border decides, in nobody's turn: nothing is written there, and nobody waited for.
pub enum Toll {
    /// Go on.
    Pass,
    /// It is dealt with; nothing more happens.
    Consume,
    /// Return it to its sender with this error.
    Bounce(StanzaError),
}

/// The answer to an iq.
pub enum Reply {
    /// `type='result'`, with or without payload; sent after the turn's commit.
    Result(Option<Element>),
    /// `type='error'`; what the turn put into its batch is dropped.
    Error(StanzaError),
    /// An empty result, and what happens once it is on its way.
    DoneThen(Box<dyn FnOnce() + Send>),
    /// The answer comes when the future resolves; bounded by `limits.iq_timeout`.
    Later(Pin<Box<dyn Future<Output = Reply> + Send>>),
}

impl Reply {
    /// An empty result.
    pub fn done() -> Self {
        Reply::Result(None)
    }
}

impl From<Element> for Reply {
    fn from(payload: Element) -> Self {
        Reply::Result(Some(payload))
    }
}

impl From<StanzaError> for Reply {
    fn from(error: StanzaError) -> Self {
        Reply::Error(error)
    }
}

/// Whose address an iq is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum To {
    /// The host itself.
    Host,
    /// The asker's own account (no `to`, or its own bare JID).
    OwnAccount,
    /// Another account of this server, by bare JID.
    Account,
}

/// `get` or `set`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Verb {
    /// `type='get'`
    Get,
    /// `type='set'`
    Set,
}

/// Points in a session's life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SessionEvent {
    /// A resource was bound.
    Bound,
    /// Its first available presence.
    Available,
    /// It went unavailable, by presence or by its end.
    Unavailable,
    /// Its connection is gone; it waits for its client to resume it (XEP-0198 §5). Its contacts
    /// do not hear of it.
    Detached,
    /// Its client is back on a new connection.
    Resumed,
    /// It was taken over from the process before this one, detached, with what it kept.
    Restored,
    /// A newer session took its place.
    Replaced,
    /// It is over.
    Expired,
}

/// What happened; told after the commit.
#[derive(Debug, Clone)]
pub enum Event {
    /// A roster item changed or went (account, contact).
    RosterChanged(Jid, Jid),
    /// An account was made.
    AccountCreated(Jid),
    /// An account was removed with all it owned.
    AccountDeleted(Jid),
    /// The process that serves this domain of ours is connected.
    Attached(Jid),
    /// An account's password changed.
    PasswordChanged(Jid),
    /// An account was disabled.
    AccountDisabled(Jid),
    /// What a node of an account holds has changed (account, node).
    NodeChanged(Jid, Box<str>),
    /// An account has another vCard.
    VCardChanged(Jid),
    /// It is known what a resource wants to be told of whose presence an account has (account, full JID): a session of
    /// its own, or a contact's at another server.
    Interested(Jid, Jid),
    /// A client of an account, by the id of its installation (XEP-0388 user-agent), may not come back:
    /// nothing that was kept for it lives on.
    ClientRevoked(Jid, Box<str>),
}

/// Who took a delivered message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taken {
    /// At least one connected session.
    Live,
    /// Only sessions whose clients are away: it waits for them, and nobody was woken.
    Detached,
    /// Nobody.
    None,
}

/// What an outbox filter makes of a stanza on its way to a client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sift {
    /// It goes out; what is kept back stays there.
    Pass,
    /// It is kept back until something is flushed.
    Hold,
    /// It is kept back, in place of what was kept back under the same key.
    Replace(Box<str>),
    /// It goes out, after everything that is kept back.
    Flush,
}

/// An iq under way to a handler.
pub struct Request<'a> {
    /// The iq; `from` is true.
    pub stanza: &'a Stanza,
    /// Its one payload element.
    pub payload: El<'a>,
    /// The asker.
    pub from: &'a Jid,
    /// The session that asks, if it is one of this account.
    pub session: Option<SessionId>,
}

/// Handles an iq in an account's turn.
pub type AccountIq = Arc<dyn Fn(&Request<'_>, &mut Turn<'_>) -> Reply + Send + Sync>;
/// Handles a message to the host; what it lets pass is returned as if nobody had handled it.
pub type HostMessage = Arc<dyn Fn(&Envelope) -> Verdict + Send + Sync>;
/// Handles an iq to the host.
pub type HostIq = Arc<dyn Fn(&Request<'_>) -> Reply + Send + Sync>;
/// Sees a stanza in transit, in the turn of the account concerned.
pub type Transit = Arc<dyn Fn(&mut Envelope, &mut Turn<'_>) -> Verdict + Send + Sync>;
/// Sees a stanza that leaves for another server, or came from one.
pub type AtBorder = Arc<dyn Fn(&mut Envelope) -> Toll + Send + Sync>;
/// Puts a part that was loaded in its place.
pub type Install = Box<dyn FnOnce(&mut Parts) + Send>;
/// Loads a part of an account.
pub type Loader = Arc<dyn Fn(&dyn Snapshot, Uid) -> Result<Install, StoreError> + Send + Sync>;
/// How a question to an account that is not there is refused.
pub type ToNobody = Arc<dyn Fn(El<'_>) -> StanzaError + Send + Sync>;
/// Whether an account neither hears nor tells somebody anything.
pub type Bar = Arc<dyn Fn(&Account, &Jid) -> bool + Send + Sync>;
/// Whether nothing passes between an address of the host, or of its services, and another address.
pub type Gate = Arc<dyn Fn(&Jid, &Jid) -> bool + Send + Sync>;
/// What is asked of a node of the host (XEP-0030).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Disco {
    /// disco#info
    Info,
    /// disco#items
    Items,
}

/// Answers a question to the host or to an account before those who claimed it, or leaves it to them.
pub type Divert = Arc<dyn Fn(To, &Request<'_>) -> Option<Reply> + Send + Sync>;
/// Changes what is told at the moment of a kind of address, beside what stays.
pub type DiscoNow = Arc<dyn Fn(To, &mut Info) + Send + Sync>;
/// Answers for the nodes of an account that it knows, in that account's turn.
pub type AccountNode =
    Arc<dyn Fn(&Request<'_>, &mut Turn<'_>, Disco, &str) -> Option<Reply> + Send + Sync>;
/// Adds to the items of an account, in its turn.
pub type AccountItems = Arc<dyn Fn(&Request<'_>, &mut Turn<'_>) -> Option<Inlined> + Send + Sync>;
/// Answers for the nodes of the host that it knows.
pub type HostNode = Arc<dyn Fn(&Request<'_>, Disco, &str) -> Option<Reply> + Send + Sync>;
/// Sees a point of a session's life.
pub type Life = Arc<dyn Fn(SessionEvent, SessionId, &mut Turn<'_>) + Send + Sync>;
/// Sees an event.
pub type OnEvent = Arc<dyn Fn(&Event) + Send + Sync>;
/// Sees a delivered message and who took it.
pub type OnDelivered = Arc<dyn Fn(&Envelope, Taken, &mut Turn<'_>) + Send + Sync>;
/// Something that no log of the account has: what was said in a room that it is a member of and that none of its clients is
/// in, or what waits for one of its clients alone.
pub struct Missed {
    /// The message.
    pub stanza: Arc<Stanza>,
    /// The client that it is for, if not for all.
    pub only: Option<Device>,
    /// Its facts.
    pub facts: Facts,
    /// The nickname that the room keeps for the account.
    pub nick: Option<Box<str>>,
    /// Whether everybody may find and enter the room.
    pub open: bool,
}

/// Sees what an account missed.
pub type OnMissed = Arc<dyn Fn(&Missed, &mut Turn<'_>) + Send + Sync>;
/// Sees what a client may not have got.
pub type OnUnconfirmed = Arc<dyn Fn(SessionId, &[Entry], &mut Turn<'_>) + Send + Sync>;
/// Says what becomes of a stanza on its way to a client.
pub type OutboxFilter = Arc<dyn Fn(&Stanza) -> Sift + Send + Sync>;
/// An iq of somebody who has not logged in.
#[derive(Debug)]
pub struct Stranger {
    /// `get` or `set`.
    pub verb: Verb,
    /// The `<iq/>`.
    pub iq: Element,
    /// The peer's address.
    pub address: String,
    /// The same for all such iqs of one stream, and for no others.
    pub visit: String,
}

/// Answers an iq of somebody who has not logged in.
pub type OnStranger = Arc<dyn Fn(&Stranger) -> Reply + Send + Sync>;
/// Answers an iq of somebody who has not logged in, or leaves it to who claimed it.
pub type OnStrangerFirst = Arc<dyn Fn(&Stranger) -> Option<Reply> + Send + Sync>;
/// Handles a nonza of a bound stream, in its account's turn.
pub type Nonza = Arc<dyn Fn(&Element, SessionId, &mut Turn<'_>) + Send + Sync>;
/// The future of elements for an answer.
pub type Inlined = Pin<Box<dyn Future<Output = Vec<Element>> + Send>>;
/// Answers a request inside `<authenticate/>`.
pub type OnInline = Arc<dyn Fn(&InlineRequest, &Element) -> Inlined + Send + Sync>;
/// Answers a request inside `<bind/>`, in its account's turn.
pub type OnBind = Arc<dyn Fn(&Element, SessionId, &mut Turn<'_>) -> Option<Element> + Send + Sync>;
/// Adds elements to what a client hears when a resource was bound for it by XEP-0386, in its account's turn.
pub type OnBound = Arc<dyn Fn(SessionId, &mut Turn<'_>) -> Option<Inlined> + Send + Sync>;
/// Makes the question that a silent client is asked.
pub type Probe = Arc<dyn Fn(&Jid) -> Stanza + Send + Sync>;
/// Runs every so often.
pub type Job = Arc<dyn Fn() + Send + Sync>;

/// Which transit table a stanza belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Which {
    /// `<message/>`
    Message,
    /// `<presence/>`
    Presence,
    /// `<iq/>`
    Iq,
}
