//! An account as hooks see it in its turn: who it is, who is bound, and its loaded parts.

use std::any::Any;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

use super::parts::Parts;
use super::slots::Flags;
use super::tables::Tables;
use crate::proto::error::StreamError;
use crate::proto::jid::Jid;
use crate::proto::stanza::Stanza;
use crate::store::Mid;

/// The number an account has in the store for as long as it exists; never used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Uid(pub u64);

impl Uid {
    /// Key form: big endian, so that keys of one account are neighbours.
    pub fn to_key(self) -> [u8; 8] {
        self.0.to_be_bytes()
    }
}

/// Names one bound session for the life of the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SessionId(pub u64);

/// The state of one account while it is in memory; changed only in its turn.
pub struct Account {
    /// Bare JID.
    pub jid: Jid,
    /// Number in the store; guests have none of their own and store nothing.
    pub uid: Uid,
    /// Whether this is a guest of SASL ANONYMOUS, who leaves no trace.
    pub guest: bool,
    /// The hooks of its host.
    pub tables: Arc<Tables>,
    /// Bound sessions, oldest first; bounded by `limits.sessions_per_account`.
    pub sessions: SmallVec<[SessionInfo; 1]>,
    /// Messages up to this one were offered to the sessions that were there; what the log has beyond it is about to be.
    pub offered: Mid,
    /// State of features, loaded with the account.
    pub parts: Parts,
}

impl Account {
    /// The session with this id.
    pub fn session(&self, id: SessionId) -> Option<&SessionInfo> {
        self.sessions.iter().find(|s| s.id == id)
    }

    /// The session with this id, to change.
    pub fn session_mut(&mut self, id: SessionId) -> Option<&mut SessionInfo> {
        self.sessions.iter_mut().find(|s| s.id == id)
    }

    /// The session bound to this full JID.
    pub fn resource(&self, full: &Jid) -> Option<&SessionInfo> {
        self.sessions.iter().find(|s| s.jid == *full)
    }

    /// Sessions that have sent available presence (RFC 6121 §1.2 "available resource").
    pub fn available(&self) -> impl Iterator<Item = &SessionInfo> {
        self.sessions.iter().filter(|s| s.presence.is_some())
    }

    /// Whether this account neither hears anything from an entity nor tells it anything, by the word of
    /// its modules. Its own sessions are never barred.
    pub fn bars(&self, entity: &Jid) -> bool {
        !self.tables.bars().is_empty()
            && entity.bare_str() != self.jid.as_str()
            && self.tables.bars().iter().any(|bar| bar(self, entity))
    }

    /// Whether this account takes no messages of an entity, by the word of its modules.
    pub fn shuts_out(&self, entity: &Jid) -> bool {
        self.bars(entity) || self.tables.shut().iter().any(|shut| shut(self, entity))
    }

    /// Sessions that asked for the roster (RFC 6121 §2.2 "interested resource").
    pub fn interested(&self) -> impl Iterator<Item = &SessionInfo> {
        self.sessions.iter().filter(|s| s.interested)
    }
}

/// One bound session.
pub struct SessionInfo {
    /// Its id.
    pub id: SessionId,
    /// Full JID.
    pub jid: Jid,
    /// Its last broadcast presence while it is available, `from` stamped.
    pub presence: Option<Arc<Stanza>>,
    /// Priority of that presence (RFC 6121 §4.7.2.3).
    pub priority: i8,
    /// Whether it asked for the roster.
    pub interested: bool,
    /// Id of the client installation (XEP-0388 user-agent), if it told one.
    pub client_id: Option<Box<str>>,
    /// When it was bound, Unix milliseconds.
    pub since: u64,
    /// From where.
    pub address: Box<str>,
    /// The client's software and device by its own word, if it said.
    pub client: Option<Box<str>>,
    /// Whom it sent directed available presence (RFC 6121 §4.6), bounded.
    pub directed: Vec<Jid>,
    /// How far it has been served from the undelivered index.
    pub intake: Backlog,
    /// The newest message that was offered to others before it became one that takes messages.
    pub opened: Mid,
    /// Messages it was handed from the log before they were offered to all.
    pub ahead: Vec<Mid>,
    /// Newer messages that came while a page was read: they go out behind it; bounded.
    pub held: Vec<Outgoing>,
    /// State that modules keep with the session; what is to survive a restart is registered
    /// ([`super::Registrar::session_slot`]).
    pub slots: Parts,
    /// Flags that modules keep with the session.
    pub flags: Flags,
    /// Its connection is gone, and it waits for its client to come back (XEP-0198 §5).
    pub detached: bool,
    /// Where stanzas for it go.
    pub outbox: Arc<dyn Outbox>,
}

impl SessionInfo {
    /// Whether it sent available presence to somebody there: to who has a nickname in a room.
    pub fn is_in(&self, place: &Jid) -> bool {
        let place = place.bare_str();
        self.directed.iter().any(|known| known.bare_str() == place)
    }
}

/// Whether a session takes durable messages live or still from the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Backlog {
    /// Not served: no available presence with a non-negative priority yet.
    Closed,
    /// Being served from the log, in order; nothing live overtakes.
    Reading {
        /// Entries up to and including this one were handed out.
        after: Option<Mid>,
        /// The outbox has no room: what comes next is read when it has.
        busy: bool,
        /// A newer message came since the last page was asked for.
        missed: bool,
        /// The number of the page that is awaited; an older one tells of an older state.
        page: u64,
    },
    /// Up to date: durable messages are handed over as they are committed.
    Live {
        /// The last entry handed out; what is not newer was read from the log already.
        after: Option<Mid>,
    },
}

/// A stanza on its way to one session.
#[derive(Clone)]
pub struct Outgoing {
    /// The stanza; its body's bytes are shared by all recipients.
    pub stanza: Arc<Stanza>,
    /// The `to` written for this copy, where it differs from the stanza's.
    pub to: Option<Jid>,
    /// The log entry to be marked as taken once the client has it.
    pub entry: Option<Entry>,
}

/// A log entry that waits to be taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    /// Its id in the account's log.
    pub mid: Mid,
    /// Whether the log keeps it after it was taken (archive).
    pub keep: bool,
}

/// What became of a stanza offered to an outbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pushed {
    /// Queued.
    Queued,
    /// The session's queue is full; nothing was queued.
    Full,
    /// The session is ending.
    Closed,
}

/// The way to one session's client; implemented by the session room.
pub trait Outbox: Any + Send + Sync {
    /// Queues a stanza; never blocks.
    fn push(&self, item: Outgoing) -> Pushed;
    /// The same for one of a room if `is_in` says that the client is there: more of these may wait. It is asked only when that matters.
    fn push_of_room(&self, item: Outgoing, is_in: &dyn Fn() -> bool) -> Pushed;
    /// Whether at least half of the queue is free.
    fn has_room(&self) -> bool;
    /// Log entries handed out and not yet known to be taken.
    fn in_flight(&self) -> Vec<Entry>;
    /// Ends the stream with this error after what is queued.
    fn end(&self, error: StreamError);
    /// The session's flags are these now: filters that go by others hold nothing back any more.
    fn flagged(&self, flags: Flags);
}

/// A client of an account, whether or not it is there: by the id that it gives itself, else by its resource.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Device {
    /// The id of its installation (XEP-0388 user-agent).
    Client(Box<str>),
    /// Its resource.
    Resource(Box<str>),
}

impl Device {
    /// Of a session.
    pub fn of(session: &SessionInfo) -> Device {
        match &session.client_id {
            Some(id) => Device::Client(id.clone()),
            None => Device::Resource(session.jid.resource().unwrap_or_default().into()),
        }
    }
}
