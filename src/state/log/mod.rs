//! The message log of an account: its archive, and what waits for its clients.
//!
//! A message enters its sender's and its recipient's log once, in one batch and under one id, which
//! is archive id and stanza-id. What no client has taken is marked in the undelivered index, which
//! offline delivery, redelivery and crash recovery read. An entry that no archive keeps goes when it
//! was taken; one that is kept is found by its contact, and by an id its sender gave it by looking from the newest on.

mod listing;
mod measure;
mod preferences;
mod query;
mod removal;
mod tombstone;
mod waiting;

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests;

pub use listing::{Listed, leads};
pub use measure::{Note, kept_bytes, measure};
pub use preferences::{Default as DefaultRule, Preferences};
pub use query::{Found, MOST_SCANNED, Page, Query, QueryError, ends, has, says};
pub use removal::{Removed, remove};
pub use tombstone::{Far, Original, bury, find, find_near};
pub use waiting::Waiting;

use crate::hooks::{Entry, Uid};
use crate::proto::jid::Jid;
use crate::proto::ns;
use crate::proto::stanza::{Kind, MessageType, Stanza};
use crate::store::{Batch, Direction, Key, Mid, Range, Snapshot, Space, StoreError, hash64};
use crate::xml::Element;

const FORMAT: u8 = 1;
/// The archive has it.
const KEEP: u8 = 1;
/// The account sent it.
const SENT: u8 = 2;
/// It is a message of a room.
const ROOM: u8 = 4;
/// It came from an export, under an id that may be older than what lies around it.
const IMPORTED: u8 = 8;
/// Format, flags, time.
const HEADER: usize = 10;

/// A message read back.
#[derive(Debug)]
pub struct Logged {
    /// Its entry.
    pub entry: Entry,
    /// When it came, Unix milliseconds.
    pub at: u64,
    /// The stanza as it was accepted.
    pub stanza: Stanza,
}

/// Which way a message went, seen from the account whose log it enters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// The account sent it.
    Sent,
    /// It came for the account.
    Received,
}

/// Adds a message that came at `now` (Unix milliseconds) to its recipient's log and marks it as
/// undelivered; `keep` puts it into the archive as well. Returns its bytes.
pub fn record(batch: &mut Batch, uid: Uid, stanza: &Stanza, now: u64, keep: bool) -> usize {
    let bytes = match (keep, &stanza.from) {
        (true, Some(from)) => self::keep(batch, uid, Way::Received, from, stanza, now),
        _ => append(batch, uid, stanza, now, 0),
    };
    let mark = (bytes as u32).to_be_bytes().to_vec();
    batch.append(Space::UNDELIVERED, &account(uid), mark);
    bytes
}

/// Puts a message exchanged with `peer` at `now` (Unix milliseconds) into an account's archive.
/// Returns its bytes.
pub fn keep(batch: &mut Batch, uid: Uid, way: Way, peer: &Jid, stanza: &Stanza, now: u64) -> usize {
    let mut flags = KEEP;
    if way == Way::Sent {
        flags |= SENT;
    }
    if stanza.kind == Kind::Message(MessageType::Groupchat) {
        flags |= ROOM;
    }
    let bytes = append(batch, uid, stanza, now, flags);
    batch.mark(Space::LOG_BY_CONTACT, &contact(uid, peer));
    bytes
}

fn append(batch: &mut Batch, uid: Uid, stanza: &Stanza, now: u64, flags: u8) -> usize {
    let value = encode(stanza, now, flags);
    let bytes = value.len();
    batch.append(Space::LOG, &account(uid), value);
    bytes
}

fn encode(stanza: &Stanza, at: u64, flags: u8) -> Vec<u8> {
    let mut value = Vec::with_capacity(stanza.size_hint() + HEADER);
    value.push(FORMAT);
    value.push(flags);
    value.extend_from_slice(&at.to_be_bytes());
    stanza.write(Some(ns::CLIENT), &mut value);
    value
}

/// Adds a message of `own`, exchanged on another server at `at` (Unix milliseconds), under an id of its own; `undelivered` if
/// no client has taken it. It may come twice, as what waits and as what is archived.
pub fn import(
    batch: &mut Batch,
    uid: Uid,
    own: &Jid,
    entry: Entry,
    stanza: &Stanza,
    at: u64,
    undelivered: bool,
) {
    let is_own = |jid: &&Jid| jid.bare_str() == own.bare_str();
    let (peer, mut flags) = match stanza.from.as_ref().filter(is_own) {
        Some(_) => (stanza.to.as_ref().unwrap_or(own), IMPORTED | SENT),
        None => (stanza.from.as_ref().unwrap_or(own), IMPORTED),
    };
    if stanza.kind == Kind::Message(MessageType::Groupchat) {
        flags |= ROOM;
    }
    let value = encode(stanza, at, if entry.keep { flags | KEEP } else { flags });
    let (key, bytes) = (key(uid, entry.mid), value.len());
    batch.put(Space::LOG, &key, value);
    if undelivered {
        batch.put(Space::UNDELIVERED, &key, (bytes as u32).to_be_bytes());
    }
    if entry.keep {
        let contact = contact(uid, peer).mid(entry.mid);
        batch.put(Space::LOG_BY_CONTACT, &contact, Vec::new());
    }
}

/// The `<stanza-id/>` of an entry in the log of `account` (XEP-0359 §3, rule 7).
pub fn stanza_id(account: &Jid, mid: Mid) -> Element {
    Element::new("stanza-id", ns::STANZA_ID)
        .with_attr("by", account.bare_str())
        .with_attr("id", &mid.to_string())
}

/// Marks entries as taken; those that nothing keeps leave the log.
pub fn taken(batch: &mut Batch, uid: Uid, entries: &[Entry]) {
    for entry in entries {
        let key = key(uid, entry.mid);
        if !entry.keep {
            batch.delete(Space::LOG, &key);
        }
        batch.delete(Space::UNDELIVERED, &key);
    }
}

/// Reads undelivered messages after an id, oldest first, at most `limit`.
///
/// # Errors
/// The store's; a mark whose entry is gone is skipped.
pub fn undelivered(
    snapshot: &dyn Snapshot,
    uid: Uid,
    after: Option<Mid>,
    limit: usize,
) -> Result<Vec<Logged>, StoreError> {
    let range = Range::mids(&account(uid), after, None);
    let marks = snapshot.scan(Space::UNDELIVERED, &range, Direction::Forward, limit)?;
    let mut messages = Vec::with_capacity(marks.len());
    for (key, _) in marks {
        if let Some(value) = snapshot.get(Space::LOG, &key)? {
            messages.push(decode(&key, &value)?);
        }
    }
    Ok(messages)
}

/// Reads the messages of a log after an id, oldest first, at most `limit`.
///
/// # Errors
/// The store's.
pub fn after(
    snapshot: &dyn Snapshot,
    uid: Uid,
    after: Option<Mid>,
    limit: usize,
) -> Result<Vec<Logged>, StoreError> {
    let range = Range::mids(&account(uid), after, None);
    let rows = snapshot.scan(Space::LOG, &range, Direction::Forward, limit)?;
    rows.iter().map(|(key, value)| decode(key, value)).collect()
}

/// Reads these messages of a log, as far as they are there.
///
/// # Errors
/// The store's.
pub fn some(snapshot: &dyn Snapshot, uid: Uid, mids: &[Mid]) -> Result<Vec<Logged>, StoreError> {
    let mut messages = Vec::with_capacity(mids.len());
    for mid in mids {
        let key = key(uid, *mid);
        if let Some(value) = snapshot.get(Space::LOG, &key)? {
            messages.push(decode(&key, &value)?);
        }
    }
    Ok(messages)
}

/// Whether an archive keeps this entry; `None` if it cannot be read.
pub fn is_kept(key: &[u8], value: &[u8]) -> Option<bool> {
    decode(key, value).ok().map(|logged| logged.entry.keep)
}

/// Messages of late, newest first.
#[derive(Debug, Default)]
pub struct Newest {
    /// Those that came for the account.
    pub received: Vec<Logged>,
    /// Those that it sent.
    pub sent: Vec<Logged>,
}

/// Reads the newest messages of an account, of each way at most `limit` and none from before `since` (Unix milliseconds).
///
/// # Errors
/// The store's.
pub fn newest(
    snapshot: &dyn Snapshot,
    uid: Uid,
    since: u64,
    limit: usize,
) -> Result<Newest, StoreError> {
    let range = Range::mids(&account(uid), Some(Mid::first_of(since)), None);
    let rows = snapshot.scan(Space::LOG, &range, Direction::Backward, 2 * limit)?;
    let mut newest = Newest::default();
    for (key, value) in rows {
        let raw = Raw::read(&key, &value)?;
        let way = match raw.flags & SENT {
            0 => &mut newest.received,
            _ => &mut newest.sent,
        };
        if way.len() < limit {
            way.push(raw.parse()?);
        }
    }
    Ok(newest)
}

fn decode(key: &[u8], value: &[u8]) -> Result<Logged, StoreError> {
    Raw::read(key, value)?.parse()
}

/// An entry as it lies in the log, its stanza not yet parsed.
struct Raw<'a> {
    mid: Mid,
    flags: u8,
    at: u64,
    xml: &'a [u8],
}

impl<'a> Raw<'a> {
    fn read(key: &[u8], value: &'a [u8]) -> Result<Raw<'a>, StoreError> {
        let mid = Raw::mid(key)?;
        let [FORMAT, flags, rest @ ..] = value else {
            return Err(odd());
        };
        let (at, xml) = rest.split_first_chunk::<8>().ok_or_else(odd)?;
        Ok(Raw {
            mid,
            flags: *flags,
            at: u64::from_be_bytes(*at),
            xml,
        })
    }

    /// The id in the key of an entry.
    fn mid(key: &[u8]) -> Result<Mid, StoreError> {
        let mid = key.get(8..).and_then(|mid| mid.try_into().ok());
        Ok(Mid::from_bytes(mid.ok_or_else(odd)?))
    }

    fn kept(&self) -> bool {
        self.flags & KEEP != 0
    }

    /// Whether this address, taken as a bare one, may be one of its own; if not, there is no need to parse it. A bare
    /// address has nothing that is written in another way in XML.
    fn names(&self, jid: &Jid) -> bool {
        memchr::memmem::find(self.xml, jid.bare_str().as_bytes()).is_some()
    }

    fn stanza(&self) -> Result<Stanza, StoreError> {
        Stanza::from_bytes(self.xml).map_err(|_| odd())
    }

    fn parse(&self) -> Result<Logged, StoreError> {
        Ok(Logged {
            entry: Entry {
                mid: self.mid,
                keep: self.kept(),
            },
            at: self.at,
            stanza: self.stanza()?,
        })
    }
}

fn odd() -> StoreError {
    StoreError::Format("a message of the log".to_owned())
}

fn account(uid: Uid) -> Key {
    Key::new().u64(uid.0)
}

fn key(uid: Uid, mid: Mid) -> Key {
    account(uid).mid(mid)
}

/// Where the messages with a contact, by its bare address, are listed.
fn contact(uid: Uid, peer: &Jid) -> Key {
    account(uid).u64(hash64(peer.bare_str()))
}

/// The id its sender's client gave a message for all its copies (XEP-0359 §2.2).
pub fn origin_id(stanza: &Stanza) -> Option<&str> {
    let id = stanza.child("origin-id", ns::STANZA_ID)?.attr("id")?;
    (!id.is_empty()).then_some(id)
}

fn size_of_mark(value: &[u8]) -> u64 {
    value
        .try_into()
        .map_or(0, |bytes| u64::from(u32::from_be_bytes(bytes)))
}
