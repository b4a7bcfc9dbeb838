//! One page of a room's archive (XEP-0313 §4, §6.1.2; XEP-0059).

use super::{Said, decode, get, has};
use crate::proto::jid::Jid;
use crate::state::log;
use crate::state::rooms::Rid;
use crate::store::{Direction, Mid, Range, Snapshot, Space, StoreError};

/// Messages looked at for one page at the most; the next page goes on where it ended.
pub const MOST_SCANNED: usize = 20_000;

/// Messages looked at in one step, and in the first one at the most.
const STEP: usize = 256;
const FIRST_STEP: usize = 64;

/// What is wanted of an archive.
#[derive(Clone, Debug, Default)]
pub struct Query {
    /// Only what was said under this nickname, by its address in the room, or by this person.
    pub by: Option<Jid>,
    /// Not before this, Unix milliseconds.
    pub start: Option<u64>,
    /// Not after this, Unix milliseconds.
    pub end: Option<u64>,
    /// Only behind these messages, which must be there.
    pub after: Vec<Mid>,
    /// Only before these messages, which must be there.
    pub before: Vec<Mid>,
    /// Only these messages, which must be there.
    pub ids: Option<Vec<Mid>>,
    /// Only messages whose text holds all of these words, in lower case.
    pub words: Vec<String>,
    /// The page ends at the end of the range instead of beginning at its start.
    pub backwards: bool,
    /// Messages on the page.
    pub max: usize,
    /// Bytes of the page, but for its first message.
    pub bytes: usize,
}

/// One page, oldest first.
#[derive(Debug, Default)]
pub struct Page {
    /// Its messages.
    pub messages: Vec<Said>,
    /// Nothing else matches in the direction of the query.
    pub complete: bool,
    /// Where the next page goes on although this one ends with no message there.
    pub reached: Option<Mid>,
}

impl Query {
    /// Reads the page; `None` if an id of the query is not in the archive.
    ///
    /// # Errors
    /// The store's; something that cannot be read.
    pub fn page(&self, view: &dyn Snapshot, rid: Rid) -> Result<Option<Page>, StoreError> {
        let named = self.after.iter().chain(&self.before);
        for mid in named.chain(self.ids.iter().flatten()) {
            if !has(view, rid, *mid)? {
                return Ok(None);
            }
        }
        self.read(view, rid).map(Some)
    }

    /// Reads the page, whether or not the ids of the query are in the archive.
    ///
    /// # Errors
    /// The store's; something that cannot be read.
    pub fn read(&self, view: &dyn Snapshot, rid: Rid) -> Result<Page, StoreError> {
        let mut page = match &self.ids {
            Some(ids) => self.by_ids(view, rid, ids)?,
            None => self.by_range(view, rid)?,
        };
        if self.backwards {
            page.messages.reverse();
        }
        Ok(page)
    }

    fn by_ids(&self, view: &dyn Snapshot, rid: Rid, ids: &[Mid]) -> Result<Page, StoreError> {
        let mut ids = ids.to_vec();
        ids.sort_unstable();
        ids.dedup();
        if self.backwards {
            ids.reverse();
        }
        let mut taking = Taking::new(self);
        for mid in ids {
            let inside = self.after.iter().all(|after| mid > *after)
                && self.before.iter().all(|before| mid < *before);
            if let Some(said) = get(view, rid, mid)?.filter(|_| inside)
                && !taking.take(said)
            {
                return Ok(taking.page);
            }
        }
        taking.page.complete = true;
        Ok(taking.page)
    }

    fn by_range(&self, view: &dyn Snapshot, rid: Rid) -> Result<Page, StoreError> {
        // An id has the time at which it was drawn, or a later one: nothing of that time stands before it.
        let started = self.start.map(|ms| Mid::first_of(ms).before());
        let after = self.after.iter().copied().chain(started).max();
        let before = self.before.iter().copied().min();
        let mut range = Range::mids(&rid.key(), after, before);
        let direction = match self.backwards {
            true => Direction::Backward,
            false => Direction::Forward,
        };
        let (mut taking, mut scanned) = (Taking::new(self), 0_usize);
        // Most queries end within one step of just their size.
        let mut step = self.max.saturating_add(1).min(FIRST_STEP);
        loop {
            let rows = view.scan(Space::ROOM_LOG, &range, direction, step)?;
            let (through, count) = (rows.len() < step, rows.len());
            let last = rows.last().map(|(key, _)| key.clone());
            for (key, value) in rows {
                if !taking.take(decode(&key, &value)?) {
                    return Ok(taking.page);
                }
            }
            let Some(last) = last.filter(|_| !through) else {
                taking.page.complete = true;
                return Ok(taking.page);
            };
            scanned = scanned.saturating_add(count);
            if scanned >= MOST_SCANNED {
                let mid = last.last_chunk::<16>();
                taking.page.reached = mid.map(|mid| Mid::from_bytes(*mid));
                return Ok(taking.page);
            }
            range = match direction {
                Direction::Forward => range.after(last.as_slice()),
                Direction::Backward => range.before(last.as_slice()),
            };
            step = STEP;
        }
    }

    fn matches(&self, said: &Said) -> bool {
        let by = |by: &Jid| {
            said.stanza.from.as_ref() == Some(by)
                || said.by == *by
                || by.is_bare() && said.by.bare_str() == by.as_str()
        };
        self.start.is_none_or(|start| said.at >= start)
            && self.end.is_none_or(|end| said.at <= end)
            && self.by.as_ref().is_none_or(by)
            && log::says(&said.stanza, &self.words)
    }
}

/// A page that fills.
struct Taking<'a> {
    query: &'a Query,
    page: Page,
    bytes: usize,
}

impl<'a> Taking<'a> {
    fn new(query: &'a Query) -> Self {
        Taking {
            query,
            page: Page::default(),
            bytes: 0,
        }
    }

    /// Takes a message if it matches; `false` when there is no room for it.
    fn take(&mut self, said: Said) -> bool {
        if !self.query.matches(&said) {
            return true;
        }
        let messages = &mut self.page.messages;
        self.bytes = self.bytes.saturating_add(said.stanza.size_hint());
        if messages.len() >= self.query.max || self.bytes > self.query.bytes && !messages.is_empty()
        {
            return false;
        }
        messages.push(said);
        true
    }
}
