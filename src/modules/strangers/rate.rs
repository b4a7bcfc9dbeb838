//! How much strangers may send: to one account, and from one domain, in an hour.

use std::time::Instant;

use crate::hooks::Uid;
use crate::runtime::hourly::Hourly;

/// Domains, and accounts, counted at once.
const DOMAINS: usize = 20_000;
const ACCOUNTS: usize = 100_000;

/// The rates, and what came.
pub(super) struct Rates {
    per_account: u32,
    per_domain: u32,
    accounts: Hourly<Uid>,
    domains: Hourly<String>,
}

impl Rates {
    pub(super) fn new(per_account: u32, per_domain: u32) -> Self {
        Rates {
            per_account,
            per_domain,
            accounts: Hourly::new(ACCOUNTS),
            domains: Hourly::new(DOMAINS),
        }
    }

    /// Whether one more from this domain is within the rates.
    pub(super) fn take(&self, account: Uid, domain: &str, now: Instant) -> bool {
        self.domains.take(domain, self.per_domain, now)
            && self.accounts.take(&account, self.per_account, now)
    }
}
