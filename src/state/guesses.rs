//! Failed logins, by address and by account: each further one is answered later.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;

use crate::config::Auth;

/// Names remembered, failing or known; the oldest go first.
const REMEMBERED: usize = 20_000;
/// Addresses remembered per account as those it logged in from.
const KNOWN: usize = 4;

/// How far guessing has gone.
pub struct Guesses {
    rules: ArcSwap<Rules>,
    inner: Mutex<Inner>,
}

/// How long whom to hold back.
struct Rules {
    free: u32,
    first: Duration,
    longest: Duration,
    memory: Duration,
}

#[derive(Default)]
struct Inner {
    failures: HashMap<String, (u32, Instant)>,
    order: VecDeque<String>,
    known: HashMap<String, VecDeque<String>>,
    known_order: VecDeque<String>,
}

impl Guesses {
    /// By the configuration.
    pub fn new(auth: &Auth) -> Self {
        Guesses {
            rules: ArcSwap::from_pointee(Rules::of(auth)),
            inner: Mutex::default(),
        }
    }

    /// By another configuration; what was counted stays.
    pub fn set_rules(&self, auth: &Auth) {
        self.rules.store(Arc::new(Rules::of(auth)));
    }

    /// A login as `account` from `address` failed: how long the answer is held back. An address
    /// the account logged in from before is not made to wait for the account, only for itself.
    pub fn failed(&self, account: &str, address: &str, now: Instant) -> Duration {
        let rules = self.rules.load();
        let mut inner = self.lock();
        let by_address = inner.count(format!("a {address}"), now, rules.memory);
        let by_account = inner.count(format!("u {account}"), now, rules.memory);
        let known = inner
            .known
            .get(account)
            .is_some_and(|known| known.iter().any(|seen| seen == address));
        let worst = if known {
            by_address
        } else {
            by_address.max(by_account)
        };
        rules.delay(worst)
    }

    /// `account` logged in from `address`.
    pub fn succeeded(&self, account: &str, address: &str) {
        let mut inner = self.lock();
        inner.failures.remove(&format!("a {address}"));
        if !inner.known.contains_key(account) {
            inner.known_order.push_back(account.to_owned());
            while inner.known_order.len() > REMEMBERED {
                if let Some(oldest) = inner.known_order.pop_front() {
                    inner.known.remove(&oldest);
                }
            }
        }
        let known = inner.known.entry(account.to_owned()).or_default();
        if !known.iter().any(|seen| seen == address) {
            known.push_back(address.to_owned());
            if known.len() > KNOWN {
                known.pop_front();
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Rules {
    fn of(auth: &Auth) -> Self {
        Rules {
            free: auth.failures_free,
            first: auth.delay.0,
            longest: auth.delay_max.0,
            memory: auth.memory.0,
        }
    }

    fn delay(&self, failures: u32) -> Duration {
        let Some(beyond) = failures.checked_sub(self.free.saturating_add(1)) else {
            return Duration::ZERO;
        };
        let factor = 1u32.checked_shl(beyond).unwrap_or(u32::MAX);
        self.first.saturating_mul(factor).min(self.longest)
    }
}

impl Inner {
    fn count(&mut self, name: String, now: Instant, memory: Duration) -> u32 {
        while self.order.len() >= REMEMBERED {
            if let Some(oldest) = self.order.pop_front() {
                self.failures.remove(&oldest);
            }
        }
        if !self.failures.contains_key(&name) {
            self.order.push_back(name.clone());
        }
        let entry = self.failures.entry(name).or_insert((0, now));
        if now.duration_since(entry.1) > memory {
            entry.0 = 0;
        }
        entry.0 = entry.0.saturating_add(1);
        entry.1 = now;
        entry.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guesses() -> Guesses {
        Guesses::new(&Auth {
            failures_free: 2,
            ..Auth::default()
        })
    }

    #[test]
    fn further_failures_wait_twice_as_long_each_up_to_a_bound() {
        let (guesses, now) = (guesses(), Instant::now());
        let delays: Vec<u64> = (0..12)
            .map(|_| guesses.failed("u@x", "192.0.2.1", now).as_secs())
            .collect();
        assert_eq!(delays, [0, 0, 1, 2, 4, 8, 16, 32, 60, 60, 60, 60]);
    }

    #[test]
    fn a_known_address_does_not_wait_for_what_strangers_did_to_the_account() {
        let (guesses, now) = (guesses(), Instant::now());
        guesses.succeeded("u@x", "192.0.2.7");
        for i in 0..10 {
            guesses.failed("u@x", &format!("198.51.100.{i}"), now);
        }
        assert_eq!(guesses.failed("u@x", "192.0.2.7", now), Duration::ZERO);
        assert!(guesses.failed("u@x", "192.0.2.8", now) > Duration::ZERO);
    }

    #[test]
    fn failures_are_forgotten_after_their_time() {
        let (guesses, now) = (guesses(), Instant::now());
        for _ in 0..5 {
            guesses.failed("u@x", "192.0.2.1", now);
        }
        let later = now + Duration::from_secs(2 * 3600);
        assert_eq!(guesses.failed("u@x", "192.0.2.1", later), Duration::ZERO);
    }
}
