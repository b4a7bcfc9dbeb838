//! How often an account's key packages are handed out: whoever takes them all leaves it with those of last resort.

use std::time::Instant;

use crate::hooks::Uid;
use crate::runtime::hourly::Hourly;

/// Accounts counted at once, for contacts and for strangers.
const ACCOUNTS: usize = 100_000;

/// Times in an hour, and how often it was.
pub(super) struct Rates {
    strangers: (u32, Hourly<Uid>),
    contacts: (u32, Hourly<Uid>),
}

impl Rates {
    pub(super) fn new(strangers: u32, contacts: u32) -> Rates {
        Rates {
            strangers: (strangers, Hourly::new(ACCOUNTS)),
            contacts: (contacts, Hourly::new(ACCOUNTS)),
        }
    }

    /// Counts one more, unless there were so many.
    pub(super) fn take(&self, account: Uid, knows: bool, now: Instant) -> bool {
        let (most, counts) = match knows {
            true => &self.contacts,
            false => &self.strangers,
        };
        counts.take(&account, *most, now)
    }
}
