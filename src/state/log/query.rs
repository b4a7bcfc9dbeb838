//! Reading an archive by cursor: one page of what matches, in order (XEP-0313 §4, XEP-0059).

use super::listing::Windows;
use super::{KEEP, ROOM, Raw, account, key};
use crate::hooks::{Entry, Uid};
use crate::proto::jid::Jid;
use crate::proto::ns;
use crate::proto::stanza::Stanza;
use crate::store::{Direction, Mid, Range, Rows, Snapshot, Space, StoreError};

/// Entries of the archive looked at for one page at the most; the next page goes on where it ended.
pub const MOST_SCANNED: usize = 20_000;

/// Their bytes at the most, about.
const MOST_READ: usize = 16 << 20;

/// Entries looked at in one step.
const STEP: usize = 512;

/// Bytes held at once, about, where entries are large.
const STEP_BYTES: usize = 1 << 20;

/// Entries looked at in the first step, whose size is not known, unless the page is smaller.
const FIRST_STEP: usize = 64;

/// Marks of what waits looked up for one page.
const MARKS: usize = 512;

/// An id is drawn when a message goes to the disk, a little after its time.
const DRAWN_LATER_MS: u64 = 10_000;

/// What is wanted of an archive.
#[derive(Debug, Clone, Default)]
pub struct Query {
    /// Only messages exchanged with this address, of any resource if it is bare.
    pub with: Option<Jid>,
    /// Not before this, Unix milliseconds.
    pub start: Option<u64>,
    /// Not after this, Unix milliseconds.
    pub end: Option<u64>,
    /// Only behind these entries, which must be there.
    pub after: Vec<Mid>,
    /// Only before these entries, which must be there.
    pub before: Vec<Mid>,
    /// Only these entries, which must be there.
    pub ids: Option<Vec<Mid>>,
    /// Without messages of rooms.
    pub no_rooms: bool,
    /// Only messages whose text holds all of these words, in lower case.
    pub words: Vec<String>,
    /// The page ends at the end of the range instead of beginning at its start.
    pub backwards: bool,
    /// Messages on the page.
    pub max: usize,
    /// Bytes of the page, but for its first message.
    pub bytes: usize,
}

/// One message of a page.
#[derive(Debug)]
pub struct Found {
    /// Its id.
    pub mid: Mid,
    /// Its time, Unix milliseconds.
    pub at: u64,
    /// The stanza, as written by itself.
    pub xml: Vec<u8>,
    /// The entry to mark as taken when the message is, because it waits for the account's clients.
    pub waits: Option<Entry>,
}

/// One page, oldest first.
#[derive(Debug, Default)]
pub struct Page {
    /// Its messages.
    pub messages: Vec<Found>,
    /// Nothing else matches in the direction of the query.
    pub complete: bool,
    /// Where the next page goes on although this one ends with no message there.
    pub reached: Option<Mid>,
}

/// Why there is no page.
#[derive(Debug, thiserror::Error)]
pub enum QueryError {
    /// An id of the query is not in the archive (§4.1.3, §4.3.2).
    #[error("an id is not in the archive")]
    NotFound,
    /// The store cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Query {
    /// Reads the page.
    ///
    /// # Errors
    /// See [`QueryError`].
    pub fn page(&self, snapshot: &dyn Snapshot, uid: Uid) -> Result<Page, QueryError> {
        let named = self.after.iter().chain(&self.before);
        for mid in named.chain(self.ids.iter().flatten()) {
            if !has(snapshot, uid, *mid)? {
                return Err(QueryError::NotFound);
            }
        }
        Ok(self.read(snapshot, uid)?)
    }

    /// Reads the page, whether or not the ids of the query are in the archive.
    ///
    /// # Errors
    /// The store's.
    pub fn read(&self, snapshot: &dyn Snapshot, uid: Uid) -> Result<Page, StoreError> {
        let mut search = Search {
            query: self,
            snapshot,
            uid,
            page: Page::default(),
            bytes: 0,
            seen: Seen::default(),
        };
        match &self.ids {
            Some(ids) => search.by_ids(ids)?,
            None => search.by_range()?,
        }
        let mut page = search.page;
        if self.backwards {
            page.messages.reverse();
        }
        mark_waiting(snapshot, uid, &mut page.messages)?;
        Ok(page)
    }

    /// Ids below and above what is in the range.
    fn bounds(&self) -> (Option<Mid>, Option<Mid>) {
        let started = self.start.map(|ms| Mid::first_of(ms).before());
        let after = self.after.iter().copied().chain(started).max();
        let ended = self
            .end
            .map(|ms| Mid::first_of(ms.saturating_add(DRAWN_LATER_MS)));
        let before = self.before.iter().copied().chain(ended).min();
        (after, before)
    }

    fn matches(&self, raw: &Raw<'_>) -> Result<bool, StoreError> {
        if !raw.kept()
            || self.no_rooms && raw.flags & ROOM != 0
            || self.start.is_some_and(|start| raw.at < start)
            || self.end.is_some_and(|end| raw.at > end)
        {
            return Ok(false);
        }
        if self.with.is_none() && self.words.is_empty() {
            return Ok(true);
        }
        if self.with.as_ref().is_some_and(|with| !raw.names(with)) {
            return Ok(false);
        }
        let stanza = raw.stanza()?;
        if !self
            .with
            .as_ref()
            .is_none_or(|with| exchanged(raw, &stanza, with))
        {
            return Ok(false);
        }
        Ok(says(&stanza, &self.words))
    }
}

/// Whether a message was exchanged with an address.
fn exchanged(raw: &Raw<'_>, stanza: &Stanza, with: &Jid) -> bool {
    let mut addresses = [&stanza.from, &stanza.to].into_iter().flatten();
    let peer = raw
        .peer(stanza)
        .is_some_and(|peer| peer.bare_str() == with.bare_str());
    peer && (with.is_bare() || addresses.any(|jid| jid == with))
}

/// Whether the archive of an account has a message.
///
/// # Errors
/// The store's.
pub fn has(snapshot: &dyn Snapshot, uid: Uid, mid: Mid) -> Result<bool, StoreError> {
    let value = snapshot.get(Space::LOG, &key(uid, mid))?;
    let flags = value.and_then(|value| value.get(1).copied());
    Ok(flags.is_some_and(|flags| flags & KEEP != 0))
}

/// Whether the text of a message holds all of these words, which are in lower case.
pub fn says(stanza: &Stanza, words: &[String]) -> bool {
    if words.is_empty() {
        return true;
    }
    let bodies = stanza
        .children()
        .filter(|child| child.is("body", ns::CLIENT));
    let text: String = bodies
        .map(|body| body.text().to_lowercase() + "\n")
        .collect();
    words.iter().all(|word| text.contains(word))
}

struct Search<'a> {
    query: &'a Query,
    snapshot: &'a dyn Snapshot,
    uid: Uid,
    page: Page,
    bytes: usize,
    seen: Seen,
}

/// Entries of the archive that were looked at.
#[derive(Clone, Copy, Default)]
struct Seen {
    entries: usize,
    bytes: usize,
    /// The last of them: one that the next query may name.
    last: Option<Mid>,
}

impl Seen {
    fn enough(self) -> bool {
        self.entries >= MOST_SCANNED || self.bytes >= MOST_READ
    }

    /// How many to look at next, if they are as large as those seen since `before`.
    fn next_step(self, before: Seen) -> usize {
        let (entries, bytes) = (self.entries - before.entries, self.bytes - before.bytes);
        let fitting = STEP_BYTES.saturating_mul(entries).checked_div(bytes);
        fitting.unwrap_or(STEP).clamp(1, STEP)
    }
}

impl Search<'_> {
    fn by_ids(&mut self, ids: &[Mid]) -> Result<(), StoreError> {
        let mut ids = ids.to_vec();
        ids.sort_unstable();
        ids.dedup();
        let (after, before) = (&self.query.after, &self.query.before);
        ids.retain(|id| after.iter().all(|a| id > a) && before.iter().all(|b| id < b));
        if self.query.backwards {
            ids.reverse();
        }
        self.page.complete = true;
        for mid in ids {
            let key = key(self.uid, mid);
            if let Some(value) = self.snapshot.get(Space::LOG, &key)?
                && !self.take(&key, &value)?
            {
                self.page.complete = false;
                break;
            }
        }
        Ok(())
    }

    /// Goes through the log, or through the messages of one contact.
    fn by_range(&mut self) -> Result<(), StoreError> {
        let direction = if self.query.backwards {
            Direction::Backward
        } else {
            Direction::Forward
        };
        match &self.query.with {
            Some(with) => self.by_contact(with, direction),
            None => self.by_time(direction),
        }
    }

    fn by_contact(&mut self, with: &Jid, direction: Direction) -> Result<(), StoreError> {
        let bounds = self.query.bounds();
        let mut windows = Windows::new(self.snapshot, self.uid, with, bounds, direction)?;
        while let Some(rows) = windows.next()? {
            if !self.take_all(rows)? {
                return Ok(());
            }
            if self.seen.enough() {
                self.page.reached = self.seen.last;
                return Ok(());
            }
        }
        self.page.complete = true;
        Ok(())
    }

    fn by_time(&mut self, direction: Direction) -> Result<(), StoreError> {
        let (after, before) = self.query.bounds();
        let mut range = Range::mids(&account(self.uid), after, before);
        // Most queries end within one step of just their size.
        let mut step = self.query.max.saturating_add(1).min(FIRST_STEP);
        loop {
            let rows = self.snapshot.scan(Space::LOG, &range, direction, step)?;
            let through = rows.len() < step;
            let Some((last, _)) = rows.last() else {
                self.page.complete = true;
                return Ok(());
            };
            let last = crate::store::Key::from(last.as_slice());
            let seen = self.seen;
            if !self.take_all(rows)? {
                return Ok(());
            }
            if through {
                self.page.complete = true;
                return Ok(());
            }
            if self.seen.enough() {
                self.page.reached = self.seen.last;
                return Ok(());
            }
            range = match direction {
                Direction::Forward => range.after(last),
                Direction::Backward => range.before(last),
            };
            step = self.seen.next_step(seen);
        }
    }

    /// Takes entries of the log; `false` when the page is full.
    fn take_all(&mut self, rows: Rows) -> Result<bool, StoreError> {
        for (key, value) in rows {
            if !self.take(&key, &value)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Takes one entry onto the page if it matches; `false` when there is no room for it.
    fn take(&mut self, key: &[u8], value: &[u8]) -> Result<bool, StoreError> {
        let raw = Raw::read(key, value)?;
        // What no archive keeps is soon gone, and little.
        if raw.kept() {
            self.seen = Seen {
                entries: self.seen.entries.saturating_add(1),
                bytes: self.seen.bytes.saturating_add(value.len()),
                last: Some(raw.mid),
            };
        }
        if !self.query.matches(&raw)? {
            return Ok(true);
        }
        let messages = &mut self.page.messages;
        self.bytes += raw.xml.len();
        if messages.len() >= self.query.max || self.bytes > self.query.bytes && !messages.is_empty()
        {
            return Ok(false);
        }
        messages.push(Found {
            mid: raw.mid,
            at: raw.at,
            xml: raw.xml.to_vec(),
            waits: None,
        });
        Ok(true)
    }
}

fn mid_of(key: &[u8]) -> Option<Mid> {
    key.last_chunk::<16>().map(|mid| Mid::from_bytes(*mid))
}

/// Notes which messages of a page still wait for the account's clients.
fn mark_waiting(
    snapshot: &dyn Snapshot,
    uid: Uid,
    messages: &mut [Found],
) -> Result<(), StoreError> {
    let (Some(first), Some(last)) = (messages.first(), messages.last()) else {
        return Ok(());
    };
    let range = Range::prefix(account(uid)).from(key(uid, first.mid));
    // A message whose mark is not among these comes twice, under one id.
    let marks = snapshot.scan(Space::UNDELIVERED, &range, Direction::Forward, MARKS)?;
    let last = last.mid;
    let waiting: Vec<Mid> = marks
        .iter()
        .filter_map(|(key, _)| mid_of(key))
        .take_while(|mid| *mid <= last)
        .collect();
    for found in messages {
        let waits = waiting.binary_search(&found.mid).is_ok();
        found.waits = waits.then_some(Entry {
            mid: found.mid,
            keep: true,
        });
    }
    Ok(())
}

/// The first and the last message of an archive: their ids and times (XEP-0313 §5).
///
/// # Errors
/// The store's.
#[allow(clippy::type_complexity)]
pub fn ends(
    snapshot: &dyn Snapshot,
    uid: Uid,
) -> Result<Option<((Mid, u64), (Mid, u64))>, StoreError> {
    let one = |backwards| {
        let query = Query {
            backwards,
            max: 1,
            ..Query::default()
        };
        match query.page(snapshot, uid) {
            Ok(page) => Ok(page.messages.first().map(|found| (found.mid, found.at))),
            Err(QueryError::NotFound) => Ok(None),
            Err(QueryError::Store(error)) => Err(error),
        }
    };
    Ok(one(false)?.zip(one(true)?))
}
