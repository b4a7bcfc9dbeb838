//! How often who may search: nobody takes the turns of others.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::runtime::bucket::Bucket;

/// What may be saved up, in seconds of the rate.
const BURST: u32 = 10;

/// So many askers are known before those are forgotten who may ask as often as anybody. There are never many more: all
/// together may ask only so often.
const KNOWN: usize = 1_000;

/// Why there is no search now, and for how long not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refused {
    /// This asker has searched too often.
    TooOften(Duration),
    /// All together have.
    AllTooOften(Duration),
}

impl Refused {
    /// After how many seconds it may be tried again.
    pub fn seconds(self) -> u64 {
        match self {
            Refused::TooOften(wait) | Refused::AllTooOften(wait) => {
                wait.as_secs().saturating_add(1)
            }
        }
    }
}

/// Who has searched lately.
pub(super) struct Askers {
    each: u32,
    lately: Mutex<Lately>,
}

struct Lately {
    together: Bucket,
    by: HashMap<Box<str>, Bucket>,
}

impl Askers {
    /// Nobody yet; so many searches in a second of each, and of all.
    pub fn new(each: u32, together: u32) -> Askers {
        Askers {
            each,
            lately: Mutex::new(Lately {
                together: bucket(together),
                by: HashMap::new(),
            }),
        }
    }

    /// Somebody searches.
    pub fn count(&self, asker: &str, now: Instant) -> Result<(), Refused> {
        let mut lately = self.lock();
        let Lately { together, by } = &mut *lately;
        if by.len() >= KNOWN {
            by.retain(|_, searches| !searches.is_full(now));
        }
        let known = by.get(asker).cloned();
        let mut own = known.unwrap_or_else(|| bucket(self.each));
        let mut all = together.clone();
        let wait = own.take(1, now);
        if !wait.is_zero() {
            return Err(Refused::TooOften(wait));
        }
        let wait = all.take(1, now);
        if !wait.is_zero() {
            return Err(Refused::AllTooOften(wait));
        }
        *together = all;
        by.insert(asker.into(), own);
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, Lately> {
        self.lately.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn bucket(rate: u32) -> Bucket {
    Bucket::new(rate, rate.saturating_mul(BURST))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn who_asks_too_often_keeps_nobody_else_waiting() {
        let (askers, now) = (Askers::new(1, 20), Instant::now());
        for _ in 0..10 {
            askers.count("a@x", now).unwrap();
        }
        let refused = askers.count("a@x", now).unwrap_err();
        assert_eq!(refused, Refused::TooOften(Duration::from_secs(1)));
        assert_eq!(refused.seconds(), 2);
        askers.count("b@x", now).unwrap();
        askers.count("a@x", now + Duration::from_secs(1)).unwrap();
    }

    #[test]
    fn all_together_have_a_bound_and_who_may_ask_again_is_forgotten() {
        let (askers, now) = (Askers::new(1, 200), Instant::now());
        for n in 0..2_000 {
            askers.count(&format!("other{n}.example"), now).unwrap();
        }
        let refused = askers.count("one.more.example", now).unwrap_err();
        assert!(matches!(refused, Refused::AllTooOften(_)));
        let later = now + Duration::from_secs(60);
        askers.count("one.more.example", later).unwrap();
        assert_eq!(askers.lock().by.len(), 1);
    }
}
