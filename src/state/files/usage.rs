//! How much an account has, and how much it may have.

use serde::{Deserialize, Serialize};

use crate::hooks::Uid;
use crate::store::{Batch, Snapshot, Space, StoreError};

const DAY: u64 = 86_400_000;

/// How much there may be.
#[derive(Debug, Clone, Copy)]
pub struct Quotas {
    /// Slots of an account that wait for their file.
    pub slots: u32,
    /// Files of an account, slots included.
    pub files: u32,
    /// Bytes of an account.
    pub bytes: u64,
    /// Bytes that an account may upload in a day (UTC).
    pub day: u64,
    /// Bytes of all accounts of the host; zero: no bound but the disk.
    pub total: u64,
}

/// What an account has. Slots count as the files they are for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// Bytes.
    pub bytes: u64,
    /// Files.
    pub files: u32,
    /// Of these, slots that wait.
    pub slots: u32,
    /// The day that was counted last, in days since 1970.
    pub day: u64,
    /// What it uploads that day.
    pub day_bytes: u64,
}

/// Which quota a file does not fit in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Full {
    /// Slots that wait.
    Slots,
    /// Files.
    Files,
    /// Bytes.
    Bytes,
    /// Bytes of a day; it ends then (Unix milliseconds).
    Day(u64),
    /// Bytes of the host.
    Host,
}

impl Usage {
    /// Reads it, with its bytes as they are stored.
    pub(super) fn read(
        view: &dyn Snapshot,
        uid: Uid,
    ) -> Result<(Usage, Option<Vec<u8>>), StoreError> {
        let stored = view.get(Space::UPLOAD_USAGE, &uid.to_key())?;
        let usage = match &stored {
            Some(stored) => serde_json::from_slice(stored)
                .map_err(|_| StoreError::Format("what an account uploaded".to_owned()))?,
            None => Usage::default(),
        };
        Ok((usage, stored))
    }

    /// Writes it, if what was read is still there.
    pub(super) fn write(&self, batch: &mut Batch, uid: Uid, before: Option<&[u8]>) {
        let key = uid.to_key();
        match before {
            Some(before) => batch.require_equals(Space::UPLOAD_USAGE, &key, before),
            None => batch.require_absent(Space::UPLOAD_USAGE, &key),
        }
        let usage = serde_json::to_vec(self).unwrap_or_default();
        batch.put(Space::UPLOAD_USAGE, &key, usage);
    }

    /// With a slot for so many bytes.
    pub(super) fn with_slot(&self, size: u64, quotas: &Quotas, now: u64) -> Result<Usage, Full> {
        let today = now / DAY;
        let so_far = if self.day == today { self.day_bytes } else { 0 };
        let next = Usage {
            bytes: self.bytes.saturating_add(size),
            files: self.files.saturating_add(1),
            slots: self.slots.saturating_add(1),
            day: today,
            day_bytes: so_far.saturating_add(size),
        };
        if next.slots > quotas.slots {
            return Err(Full::Slots);
        }
        if next.files > quotas.files {
            return Err(Full::Files);
        }
        if next.bytes > quotas.bytes {
            return Err(Full::Bytes);
        }
        if next.day_bytes > quotas.day {
            return Err(Full::Day((today + 1).saturating_mul(DAY)));
        }
        Ok(next)
    }

    /// When a slot got its file.
    pub(super) fn with_file(&self) -> Usage {
        Usage {
            slots: self.slots.saturating_sub(1),
            ..self.clone()
        }
    }

    /// Without a file, or without a slot: what was not uploaded does not count for its day.
    pub(super) fn without(&self, size: u64, slot_of: Option<u64>) -> Usage {
        let mut next = self.clone();
        next.bytes = next.bytes.saturating_sub(size);
        next.files = next.files.saturating_sub(1);
        if let Some(made) = slot_of {
            next.slots = next.slots.saturating_sub(1);
            if made / DAY == next.day {
                next.day_bytes = next.day_bytes.saturating_sub(size);
            }
        }
        next
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const QUOTAS: Quotas = Quotas {
        slots: 2,
        files: 4,
        bytes: 100,
        day: 60,
        total: 0,
    };

    #[test]
    fn each_quota_is_kept_and_given_back() {
        let now = 5 * DAY + 7;
        let one = Usage::default().with_slot(30, &QUOTAS, now).unwrap();
        let two = one.with_slot(30, &QUOTAS, now).unwrap();
        assert_eq!(two.with_slot(1, &QUOTAS, now), Err(Full::Slots));
        let stored = two.with_file();
        assert_eq!(stored.with_slot(1, &QUOTAS, now), Err(Full::Day(6 * DAY)));
        // What was not uploaded does not count; what was does, also when it is removed.
        let given_up = stored.without(30, Some(now));
        assert_eq!((given_up.bytes, given_up.day_bytes), (30, 30));
        let removed = given_up.without(30, None);
        assert_eq!((removed.bytes, removed.files, removed.slots), (0, 0, 0));
        assert_eq!(removed.day_bytes, 30);
        // Another day.
        let next = stored.with_slot(40, &QUOTAS, now + DAY).unwrap();
        assert_eq!(
            next.with_file().with_slot(1, &QUOTAS, now),
            Err(Full::Bytes)
        );
        let many = Usage {
            files: 4,
            ..Usage::default()
        };
        assert_eq!(many.with_slot(0, &QUOTAS, now), Err(Full::Files));
    }
}
