//! How much strangers may send: to one account, and from one domain, in an hour.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::hooks::Account;

const HOUR: Duration = Duration::from_secs(3_600);
/// Domains counted at once; what comes from others meanwhile is beyond the rate.
const DOMAINS: usize = 20_000;

/// The counts of all domains; those of accounts are parts of them.
pub(super) struct Rates {
    per_account: u32,
    per_domain: u32,
    domains: Mutex<HashMap<Box<str>, Window>>,
}

/// What came since an hour began.
struct Window {
    since: Instant,
    count: u32,
}

impl Window {
    fn new(now: Instant) -> Self {
        Window {
            since: now,
            count: 0,
        }
    }

    fn is_over(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.since) >= HOUR
    }

    /// Counts one more, unless there were so many.
    fn take(&mut self, most: u32, now: Instant) -> bool {
        if self.is_over(now) {
            *self = Window::new(now);
        }
        let fits = self.count < most;
        if fits {
            self.count += 1;
        }
        fits
    }
}

impl Rates {
    pub(super) fn new(per_account: u32, per_domain: u32) -> Self {
        Rates {
            per_account,
            per_domain,
            domains: Mutex::default(),
        }
    }

    /// Whether one more from this domain is within the rates.
    pub(super) fn take(&self, account: &mut Account, domain: &str, now: Instant) -> bool {
        self.take_of_domain(domain, now) && self.take_of_account(account, now)
    }

    fn take_of_domain(&self, domain: &str, now: Instant) -> bool {
        let mut domains = self.domains.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(window) = domains.get_mut(domain) {
            return window.take(self.per_domain, now);
        }
        if domains.len() >= DOMAINS {
            domains.retain(|_, window| !window.is_over(now));
            if domains.len() >= DOMAINS {
                return false;
            }
        }
        let mut window = Window::new(now);
        let fits = window.take(self.per_domain, now);
        domains.insert(domain.into(), window);
        fits
    }

    fn take_of_account(&self, account: &mut Account, now: Instant) -> bool {
        if account.parts.find::<Window>().is_none() {
            account.parts.put(Window::new(now));
        }
        let window = account.parts.find_mut::<Window>();
        window.is_some_and(|window| window.take(self.per_account, now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_hour_later_there_is_room_again() {
        let rates = Rates::new(10, 2);
        let now = Instant::now();
        assert!(rates.take_of_domain("spam.example", now));
        assert!(rates.take_of_domain("spam.example", now));
        assert!(!rates.take_of_domain("spam.example", now));
        assert!(rates.take_of_domain("other.example", now));
        assert!(rates.take_of_domain("spam.example", now + HOUR));
    }
}
