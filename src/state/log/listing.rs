//! The messages with one contact: marks lead to them (see [`Batch::mark`]), and whoever looks reads on from each.
//!
//! A mark lists its contact's messages among the [`MARKED`] entries from it on, up to the contact's next mark. Entries that
//! came from another server's export have marks of their own, and do not count.

use std::collections::{BTreeMap, VecDeque};

use super::{IMPORTED, Raw, SENT, account, contact};
use crate::hooks::Uid;
use crate::proto::jid::Jid;
use crate::proto::stanza::Stanza;
use crate::store::{Batch, Direction, Key, MARKED, Mid, Range, Rows, Snapshot, Space, StoreError};

/// Marks read at once.
const STEP: usize = 64;

/// Marks of one contact removed with one piece of the log.
const MOST_MARKS: usize = 1024;

impl Raw<'_> {
    /// With whom the message was exchanged.
    pub(super) fn peer<'s>(&self, stanza: &'s Stanza) -> Option<&'s Jid> {
        match self.flags & SENT {
            0 => stanza.from.as_ref(),
            _ => stanza.to.as_ref().or(stanza.from.as_ref()),
        }
    }

    /// Under what it is listed.
    pub(super) fn listed(&self, uid: Uid) -> Result<Option<Key>, StoreError> {
        let stanza = self.stanza()?;
        Ok(self.peer(&stanza).map(|peer| contact(uid, peer)))
    }
}

/// Whether an entry counts in a window.
fn counts(value: &[u8]) -> bool {
    value.get(1).is_none_or(|flags| flags & IMPORTED == 0)
}

/// What the marks of one contact lead to, window by window, each from a mark up to the next one.
pub(super) struct Windows<'a> {
    snapshot: &'a dyn Snapshot,
    uid: Uid,
    contact: Key,
    after: Option<Mid>,
    before: Option<Mid>,
    direction: Direction,
    marks: VecDeque<Mid>,
    /// All marks are read.
    last: bool,
}

impl<'a> Windows<'a> {
    /// Of the entries above `after` and below `before`; `direction` is that of the windows and of the entries in each.
    pub(super) fn new(
        snapshot: &'a dyn Snapshot,
        uid: Uid,
        peer: &Jid,
        (after, before): (Option<Mid>, Option<Mid>),
        direction: Direction,
    ) -> Result<Self, StoreError> {
        let mut windows = Windows {
            snapshot,
            uid,
            contact: contact(uid, peer),
            after,
            before,
            direction,
            marks: VecDeque::new(),
            last: false,
        };
        if direction == Direction::Forward
            && let Some(after) = after
        {
            // The last one before the range may lead into it.
            let range = Range::mids(&windows.contact, None, Some(after.after()));
            let marks = snapshot.scan(Space::LOG_BY_CONTACT, &range, Direction::Backward, 1)?;
            windows.marks.extend(marks.iter().filter_map(mark));
        }
        Ok(windows)
    }

    /// The entries of the next window, of whomever they are; `None` behind the last one.
    pub(super) fn next(&mut self) -> Result<Option<Rows>, StoreError> {
        match self.direction {
            Direction::Forward => {
                if self.marks.len() < 2 {
                    self.more_marks(self.after)?;
                }
                let Some(mark) = self.marks.pop_front() else {
                    return Ok(None);
                };
                let end = self.marks.front().copied().or(self.before);
                let (rows, after) = (self.window(mark, end)?, self.after);
                // The next marks are above this one.
                self.after = self.after.max(Some(mark));
                Ok(Some(
                    rows.into_iter().filter(|row| above(row, after)).collect(),
                ))
            }
            Direction::Backward => {
                // A window that begins before the range is the last one.
                let through = self.before.is_some() && self.before <= self.after.map(Mid::after);
                if through {
                    return Ok(None);
                }
                if self.marks.is_empty() {
                    self.more_marks(None)?;
                }
                let Some(mark) = self.marks.pop_front() else {
                    return Ok(None);
                };
                let mut rows = self.window(mark, self.before)?;
                rows.retain(|row| above(row, self.after));
                rows.reverse();
                self.before = Some(mark);
                Ok(Some(rows))
            }
        }
    }

    fn more_marks(&mut self, after: Option<Mid>) -> Result<(), StoreError> {
        if self.last {
            return Ok(());
        }
        let after = after.max(self.marks.back().copied());
        let range = Range::mids(&self.contact, after, self.before);
        let rows = self
            .snapshot
            .scan(Space::LOG_BY_CONTACT, &range, self.direction, STEP)?;
        self.last = rows.len() < STEP;
        self.marks.extend(rows.iter().filter_map(mark));
        Ok(())
    }

    fn window(&self, mark: Mid, end: Option<Mid>) -> Result<Rows, StoreError> {
        following(self.snapshot, self.uid, mark.before(), end)
    }
}

fn mark((key, _): &(Vec<u8>, Vec<u8>)) -> Option<Mid> {
    key.last_chunk().map(|mid| Mid::from_bytes(*mid))
}

fn above((key, _): &(Vec<u8>, Vec<u8>), after: Option<Mid>) -> bool {
    Raw::mid(key).is_ok_and(|mid| after.is_none_or(|after| mid > after))
}

/// The entries after `after`, so many that [`MARKED`] of them count.
fn following(
    snapshot: &dyn Snapshot,
    uid: Uid,
    after: Mid,
    before: Option<Mid>,
) -> Result<Rows, StoreError> {
    let mut range = Range::mids(&account(uid), Some(after), before);
    let (mut all, mut missing) = (Rows::new(), MARKED);
    loop {
        let rows = snapshot.scan(Space::LOG, &range, Direction::Forward, missing)?;
        let through = rows.len() < missing;
        if let Some((last, _)) = rows.last() {
            range = range.after(last.as_slice());
        }
        missing -= rows.iter().filter(|(_, value)| counts(value)).count();
        all.extend(rows);
        if through || missing == 0 {
            return Ok(all);
        }
    }
}

/// Removes the marks of these contacts up to and including `last`, below which there is nothing of them any more; what comes
/// after it is listed anew, as far as it was by these.
pub(super) fn unlist(
    batch: &mut Batch,
    snapshot: &dyn Snapshot,
    uid: Uid,
    contacts: impl IntoIterator<Item = Key>,
    last: Mid,
) -> Result<(), StoreError> {
    let mut first = BTreeMap::new();
    for (key, value) in following(snapshot, uid, last, None)? {
        let raw = Raw::read(&key, &value)?;
        if raw.kept()
            && let Some(contact) = raw.listed(uid)?
        {
            first.entry(contact).or_insert(raw.mid);
        }
    }
    for contact in contacts {
        let range = Range::mids(&contact, None, Some(last.after()));
        let marks = snapshot.scan(
            Space::LOG_BY_CONTACT,
            &range,
            Direction::Forward,
            MOST_MARKS,
        )?;
        for (mark, _) in marks {
            batch.delete(Space::LOG_BY_CONTACT, &mark);
        }
        if let Some(mid) = first.get(&contact) {
            batch.put(Space::LOG_BY_CONTACT, &contact.mid(*mid), Vec::new());
        }
    }
    Ok(())
}

/// Whether each entry of an account's archive is listed, told one entry after the other, as they lie in the log.
#[derive(Debug, Default)]
pub struct Listed {
    uid: Option<Uid>,
    /// The last entries that count, [`MARKED`] at most.
    recent: VecDeque<Mid>,
}

impl Listed {
    /// Whether the next entry is listed; whether it is kept at all is not asked.
    ///
    /// # Errors
    /// The store's, and an entry that cannot be read.
    pub fn next(
        &mut self,
        snapshot: &dyn Snapshot,
        uid: Uid,
        key: &[u8],
        value: &[u8],
    ) -> Result<bool, StoreError> {
        let raw = Raw::read(key, value)?;
        if self.uid.replace(uid) != Some(uid) {
            self.recent.clear();
        }
        // A mark behind this one leads so far.
        let mut behind = None;
        if self.recent.len() == MARKED {
            behind = self.recent.front().copied();
        }
        if counts(value) {
            if behind.is_some() {
                self.recent.pop_front();
            }
            self.recent.push_back(raw.mid);
        }
        if !raw.kept() {
            return Ok(true);
        }
        let Some(contact) = raw.listed(uid)? else {
            return Ok(true);
        };
        let range = Range::mids(&contact, behind, Some(raw.mid.after()));
        let marks = snapshot.scan(Space::LOG_BY_CONTACT, &range, Direction::Forward, 1)?;
        Ok(!marks.is_empty())
    }
}

/// Whether a mark, by its key, leads to a message of the archive.
///
/// # Errors
/// The store's.
pub fn leads(snapshot: &dyn Snapshot, uid: Uid, key: &[u8]) -> Result<bool, StoreError> {
    let Some((contact, mid)) = key.split_last_chunk::<16>() else {
        return Ok(false);
    };
    let from = Mid::from_bytes(*mid).before();
    // What cannot be read is told of by itself.
    let led = |(key, value): &(Vec<u8>, Vec<u8>)| {
        let raw = Raw::read(key, value).ok().filter(Raw::kept);
        let listed = raw.and_then(|raw| raw.listed(uid).ok().flatten());
        listed.is_some_and(|listed| *listed == *contact)
    };
    Ok(following(snapshot, uid, from, None)?.iter().any(led))
}
