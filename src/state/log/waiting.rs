//! How much waits for an account: the size of its undelivered index.

use super::{account, size_of_mark};
use crate::hooks::Uid;
use crate::store::{Direction, Range, Snapshot, Space, StoreError};

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
