//! How often an account's key packages are handed out: whoever takes them all leaves it with those of last resort.

use std::time::{Duration, Instant};

use crate::hooks::Account;

const HOUR: Duration = Duration::from_secs(3_600);

/// Times in an hour.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rates {
    pub(super) strangers: u32,
    pub(super) contacts: u32,
}

/// Times in this hour; a part of the account.
struct Hour {
    since: Instant,
    strangers: u32,
    contacts: u32,
}

impl Rates {
    /// Counts one more, unless there were so many.
    pub(super) fn take(self, account: &mut Account, knows: bool, now: Instant) -> bool {
        let fresh = Hour {
            since: now,
            strangers: 0,
            contacts: 0,
        };
        let over = |hour: &Hour| now.saturating_duration_since(hour.since) >= HOUR;
        if account.parts.find::<Hour>().is_none_or(over) {
            account.parts.put(fresh);
        }
        let Some(hour) = account.parts.find_mut::<Hour>() else {
            return false;
        };
        let (count, most) = match knows {
            true => (&mut hour.contacts, self.contacts),
            false => (&mut hour.strangers, self.strangers),
        };
        let fits = *count < most;
        *count += u32::from(fits);
        fits
    }
}
