//! What is kept on disk of sessions that may be resumed (XEP-0198 §5): how much was handled, and,
//! over a graceful restart, the session itself.

use serde::{Deserialize, Serialize};

use crate::hooks::{Entry, Keepsakes, Outgoing, Uid};
use crate::proto::Jid;
use crate::proto::stanza::Stanza;
use crate::store::{Batch, Direction, Key, Mid, Range, Snapshot, Space, StoreError};

const HANDLED: u8 = b'h';
const SESSION: u8 = b's';
/// The form of [`Record`].
const FORMAT: u32 = 1;

/// Where a session's handled counter is kept.
pub fn handled_key(uid: Uid, token: &str) -> Key {
    Key::new().u64(uid.0).u8(HANDLED).bytes(token.as_bytes())
}

/// A handled counter at `now` (Unix milliseconds).
pub fn handled_value(h: u32, now: u64) -> Vec<u8> {
    let mut value = Vec::with_capacity(12);
    value.extend_from_slice(&h.to_be_bytes());
    value.extend_from_slice(&now.to_be_bytes());
    value
}

/// Remembers how many stanzas of a session were handled.
pub fn remember(batch: &mut Batch, uid: Uid, token: &str, h: u32, now: u64) {
    batch.put(
        Space::RESUME,
        &handled_key(uid, token),
        handled_value(h, now),
    );
}

/// Forgets a session.
pub fn forget(batch: &mut Batch, uid: Uid, token: &str) {
    batch.delete(Space::RESUME, &handled_key(uid, token));
}

/// How many stanzas of a session were handled, if that is known.
///
/// # Errors
/// The store's.
pub fn handled(snapshot: &dyn Snapshot, uid: Uid, token: &str) -> Result<Option<u32>, StoreError> {
    let value = snapshot.get(Space::RESUME, &handled_key(uid, token))?;
    Ok(value.and_then(|value| value.first_chunk::<4>().map(|h| u32::from_be_bytes(*h))))
}

/// The counters of a session, and its name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counters {
    /// The id to resume it by.
    pub token: String,
    /// For how long, in seconds.
    pub seconds: u32,
    /// Stanzas of the client that were handled.
    pub handled: u32,
    /// Stanzas that the client has acknowledged.
    pub acked: u32,
    /// Stanzas that the client was sent.
    pub sent: u32,
}

/// A session as it is written down when the server stops.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    format: u32,
    /// Full JID.
    pub jid: String,
    /// Until when it may be resumed, Unix milliseconds.
    pub until: u64,
    /// Its counters.
    pub counters: Counters,
    /// Its last presence, as XML.
    pub presence: Option<String>,
    /// Its priority.
    pub priority: i8,
    /// Whether it asked for the roster.
    pub interested: bool,
    /// Id of the client installation.
    pub client_id: Option<String>,
    /// When it was bound, Unix milliseconds.
    pub since: u64,
    /// From where.
    pub address: String,
    /// The client by its own word.
    pub client: Option<String>,
    /// Whom it sent directed presence.
    pub directed: Vec<String>,
    /// How far it has the log; nothing: it takes no messages.
    pub intake: Option<Intake>,
    /// What modules keep with it.
    pub keepsakes: Keepsakes,
    /// What the client has not acknowledged, oldest first, and what waits.
    pub rest: Vec<Item>,
}

/// How far a session that takes messages has the log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Intake {
    /// Up to and including this entry.
    pub after: Option<String>,
}

/// A stanza on its way.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub struct Item {
    xml: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    to: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    entry: Option<(String, bool)>,
}

impl Item {
    /// As it is written down.
    pub fn of(item: &Outgoing) -> Self {
        Item {
            xml: String::from_utf8_lossy(&item.stanza.to_bytes()).into_owned(),
            to: item.to.as_ref().map(|to| to.as_str().to_owned()),
            entry: item.entry.map(|entry| (entry.mid.to_string(), entry.keep)),
        }
    }

    /// As it goes on; nothing when it is not understood any more.
    pub fn back(&self) -> Option<Outgoing> {
        let stanza = Stanza::from_bytes(self.xml.as_bytes()).ok()?;
        let entry = match &self.entry {
            Some((mid, keep)) => Some(Entry {
                mid: mid.parse::<Mid>().ok()?,
                keep: *keep,
            }),
            None => None,
        };
        Some(Outgoing {
            stanza: std::sync::Arc::new(stanza),
            to: self.to.as_deref().and_then(|to| Jid::parse(to).ok()),
            entry,
        })
    }
}

impl Record {
    /// The number of the form that is written now.
    pub const FORMAT: u32 = FORMAT;

    /// An empty one for this session.
    pub fn new(jid: &Jid, until: u64, counters: Counters) -> Self {
        Record {
            format: FORMAT,
            jid: jid.as_str().to_owned(),
            until,
            counters,
            presence: None,
            priority: 0,
            interested: false,
            client_id: None,
            since: 0,
            address: String::new(),
            client: None,
            directed: Vec::new(),
            intake: None,
            keepsakes: Keepsakes::default(),
            rest: Vec::new(),
        }
    }

    /// Puts it into a batch, with how much was handled.
    pub fn write(&self, batch: &mut Batch, uid: Uid, now: u64) {
        let Ok(value) = serde_json::to_vec(self) else {
            return;
        };
        let counters = &self.counters;
        remember(batch, uid, &counters.token, counters.handled, now);
        let key = Key::new().u64(uid.0).u8(SESSION);
        batch.put(Space::RESUME, &key.bytes(counters.token.as_bytes()), value);
    }
}

/// What is found on disk at the start.
#[derive(Default)]
pub struct Found {
    /// Sessions, with the keys they are under.
    pub sessions: Vec<Record>,
    /// Keys to delete: sessions that were read, and counters that are too old.
    pub done: Vec<Vec<u8>>,
    /// The last key that was read; nothing when all are.
    pub next: Option<Vec<u8>>,
}

/// Reads sessions that were written down, `limit` keys from `after` on. Counters from before
/// `since` (Unix milliseconds) are told to be deleted.
///
/// # Errors
/// The store's.
pub fn found(
    snapshot: &dyn Snapshot,
    after: Option<Vec<u8>>,
    since: u64,
    limit: usize,
) -> Result<Found, StoreError> {
    let range = match after {
        Some(after) => Range::all().after(Key::new().bytes(&after)),
        None => Range::all(),
    };
    let rows = snapshot.scan(Space::RESUME, &range, Direction::Forward, limit)?;
    let mut found = Found {
        next: rows.last().map(|(key, _)| key.to_vec()),
        ..Found::default()
    };
    for (key, value) in rows {
        let counter = key.get(8) == Some(&HANDLED);
        if counter {
            let at = value.get(4..).and_then(|at| at.first_chunk::<8>());
            if at.is_none_or(|at| u64::from_be_bytes(*at) < since) {
                found.done.push(key.to_vec());
            }
            continue;
        }
        match serde_json::from_slice::<Record>(&value) {
            Ok(record) if record.format == FORMAT => found.sessions.push(record),
            _ => tracing::warn!("a session of another version of waxwing is not taken over"),
        }
        found.done.push(key.to_vec());
    }
    Ok(found)
}
