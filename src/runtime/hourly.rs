//! How often something happened within an hour, for each of a bounded number of keys.

use std::borrow::Borrow;
use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

const HOUR: Duration = Duration::from_secs(3_600);

/// The counts. They outlast whatever they count for: nobody gets another hour by waiting until that is forgotten.
pub struct Hourly<K> {
    keys: usize,
    windows: Mutex<HashMap<K, Window>>,
}

/// What came since an hour began.
struct Window {
    since: Instant,
    count: u32,
}

impl Window {
    fn is_over(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.since) >= HOUR
    }
}

impl<K: Hash + Eq> Hourly<K> {
    /// Counts for so many keys at once; what comes under others meanwhile is beyond every rate.
    pub fn new(keys: usize) -> Self {
        Hourly {
            keys,
            windows: Mutex::default(),
        }
    }

    /// Counts one more, unless there were `most`.
    pub fn take<Q>(&self, key: &Q, most: u32, now: Instant) -> bool
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ToOwned<Owned = K> + ?Sized,
    {
        let mut windows = self.windows.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(window) = windows.get_mut(key) {
            if window.is_over(now) {
                (window.since, window.count) = (now, 0);
            }
            let fits = window.count < most;
            window.count += u32::from(fits);
            return fits;
        }
        if windows.len() >= self.keys {
            windows.retain(|_, window| !window.is_over(now));
        }
        if most == 0 || windows.len() >= self.keys {
            return false;
        }
        let first = Window {
            since: now,
            count: 1,
        };
        windows.insert(key.to_owned(), first);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_hour_later_there_is_room_again() {
        let (counts, now) = (Hourly::<String>::new(10), Instant::now());
        assert!(counts.take("spam.example", 2, now));
        assert!(counts.take("spam.example", 2, now));
        assert!(!counts.take("spam.example", 2, now));
        assert!(counts.take("other.example", 2, now));
        assert!(!counts.take("none.example", 0, now));
        assert!(counts.take("spam.example", 2, now + HOUR));
    }

    #[test]
    fn so_many_keys_are_remembered() {
        let (counts, now) = (Hourly::<String>::new(2), Instant::now());
        assert!(counts.take("a", 1, now) && counts.take("b", 1, now));
        assert!(!counts.take("c", 1, now));
        // Those of an hour ago make room.
        assert!(counts.take("c", 1, now + HOUR));
    }
}
