//! The message log of an account and its undelivered index.
//!
//! A message enters its recipient's log once; its id there is archive id and stanza-id. What no
//! client has taken is marked in the undelivered index, which offline delivery, redelivery and
//! crash recovery read. An entry that no archive keeps goes when it was taken.

use crate::hooks::{Entry, Uid};
use crate::proto::jid::Jid;
use crate::proto::ns;
use crate::proto::stanza::Stanza;
use crate::store::{Batch, Direction, Key, Mid, Range, Snapshot, Space, StoreError};
use crate::xml::Element;

const FORMAT: u8 = 1;
const KEEP: u8 = 1;
/// Format, flags, time.
const HEADER: usize = 10;

/// What an account has waiting; a part of its account, counted while it is in memory.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Waiting {
    /// Entries marked as undelivered.
    pub entries: u32,
    /// Their bytes as stored.
    pub bytes: u64,
    /// Counted while some were being written, or taken twice: there may be more than told.
    pub inexact: bool,
}

impl Waiting {
    /// Whether surely nothing waits.
    pub fn none(&self) -> bool {
        self.entries == 0 && !self.inexact
    }

    /// Counts what waits for an account, at most `limit` entries.
    ///
    /// # Errors
    /// The store's.
    pub fn load(snapshot: &dyn Snapshot, uid: Uid, limit: usize) -> Result<Self, StoreError> {
        let mut waiting = Waiting::default();
        let range = Range::prefix(account(uid));
        let marks = snapshot.scan(Space::UNDELIVERED, &range, Direction::Forward, limit)?;
        for (_, value) in marks {
            waiting.entries = waiting.entries.saturating_add(1);
            waiting.bytes += size_of_mark(&value);
        }
        Ok(waiting)
    }

    /// One more entry of `bytes` waits.
    pub fn add(&mut self, bytes: usize) {
        self.entries = self.entries.saturating_add(1);
        self.bytes += bytes as u64;
    }

    /// Entries were taken; their bytes are taken as the average of what waits.
    pub fn take(&mut self, entries: u32) {
        let average = self.bytes / u64::from(self.entries.max(1));
        self.entries = self.entries.saturating_sub(entries);
        self.bytes = if self.entries == 0 {
            0
        } else {
            self.bytes.saturating_sub(average * u64::from(entries))
        };
    }
}

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

/// Adds a message that came at `now` (Unix milliseconds) to an account's log and marks it as
/// undelivered. Returns its bytes.
pub fn record(batch: &mut Batch, uid: Uid, stanza: &Stanza, now: u64, keep: bool) -> usize {
    let value = encode(stanza, now, keep);
    let bytes = value.len();
    batch.append(Space::LOG, &account(uid), value);
    let mark = (bytes as u32).to_be_bytes().to_vec();
    batch.append(Space::UNDELIVERED, &account(uid), mark);
    bytes
}

/// The `<stanza-id/>` of an entry in the log of `account` (XEP-0359 §3, rule 7).
pub fn stanza_id(account: &Jid, mid: Mid) -> Element {
    Element::new("stanza-id", ns::STANZA_ID)
        .with_attr("by", account.bare_str())
        .with_attr("id", &mid.to_string())
}

/// Adds a message that came on another server at `at` (Unix milliseconds), under an id of its own; `undelivered` if no client
/// has taken it.
pub fn import(
    batch: &mut Batch,
    uid: Uid,
    entry: Entry,
    stanza: &Stanza,
    at: u64,
    undelivered: bool,
) {
    let value = encode(stanza, at, entry.keep);
    let (key, bytes) = (key(uid, entry.mid), value.len());
    batch.put(Space::LOG, &key, value);
    if undelivered {
        batch.put(Space::UNDELIVERED, &key, (bytes as u32).to_be_bytes());
    }
}

fn encode(stanza: &Stanza, at: u64, keep: bool) -> Vec<u8> {
    let mut value = Vec::with_capacity(stanza.size_hint() + HEADER);
    value.push(FORMAT);
    value.push(if keep { KEEP } else { 0 });
    value.extend_from_slice(&at.to_be_bytes());
    stanza.write(Some(ns::CLIENT), &mut value);
    value
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

/// Whether an archive keeps this entry; `None` if it cannot be read.
pub fn is_kept(key: &[u8], value: &[u8]) -> Option<bool> {
    decode(key, value).ok().map(|logged| logged.entry.keep)
}

/// Reads the newest messages of a log, at most `limit` and none from before `since` (Unix
/// milliseconds), newest first.
///
/// # Errors
/// The store's.
pub fn newest(
    snapshot: &dyn Snapshot,
    uid: Uid,
    since: u64,
    limit: usize,
) -> Result<Vec<Logged>, StoreError> {
    let range = Range::mids(&account(uid), Some(Mid::first_of(since)), None);
    let rows = snapshot.scan(Space::LOG, &range, Direction::Backward, limit)?;
    rows.iter().map(|(key, value)| decode(key, value)).collect()
}

fn decode(key: &[u8], value: &[u8]) -> Result<Logged, StoreError> {
    let odd = || StoreError::Format("a message of the log".to_owned());
    let mid: [u8; 16] = key
        .get(8..)
        .and_then(|mid| mid.try_into().ok())
        .ok_or_else(odd)?;
    let [FORMAT, flags, rest @ ..] = value else {
        return Err(odd());
    };
    let (at, xml) = rest.split_first_chunk::<8>().ok_or_else(odd)?;
    let stanza = Stanza::from_bytes(xml).map_err(|_| odd())?;
    Ok(Logged {
        entry: Entry {
            mid: Mid::from_bytes(mid),
            keep: flags & KEEP != 0,
        },
        at: u64::from_be_bytes(*at),
        stanza,
    })
}

fn account(uid: Uid) -> Key {
    Key::new().u64(uid.0)
}

fn key(uid: Uid, mid: Mid) -> Key {
    account(uid).mid(mid)
}

fn size_of_mark(value: &[u8]) -> u64 {
    value
        .try_into()
        .map_or(0, |bytes| u64::from(u32::from_be_bytes(bytes)))
}
