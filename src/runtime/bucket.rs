//! A token bucket that goes into debt: what came was already read, the answer is how long to wait
//! before reading on. Kept as one instant (the generic cell rate algorithm), so it never ticks.

use std::time::{Duration, Instant};

/// A budget of `rate` tokens per second with room for `burst` tokens. 24 bytes.
#[derive(Clone, Debug)]
pub struct Bucket {
    /// When the bucket will be full again; in the past: it is full.
    full_at: Option<Instant>,
    rate: u32,
    burst: u32,
}

impl Bucket {
    /// A full bucket. A rate of 0 means no limit.
    pub fn new(rate_per_second: u32, burst: u32) -> Bucket {
        Bucket {
            full_at: None,
            rate: rate_per_second,
            burst,
        }
    }

    /// Takes `n` tokens, whether they are there or not, and says how long to wait until the debt
    /// is paid; zero when the bucket held enough.
    pub fn take(&mut self, n: u32, now: Instant) -> Duration {
        if self.rate == 0 {
            return Duration::ZERO;
        }
        let start = self.full_at.map_or(now, |at| at.max(now));
        let full_at = start.checked_add(self.time_for(n)).unwrap_or(start);
        self.full_at = Some(full_at);
        full_at
            .saturating_duration_since(now)
            .saturating_sub(self.time_for(self.burst))
    }

    /// Whether nothing is missing.
    pub fn is_full(&self, now: Instant) -> bool {
        self.full_at.is_none_or(|at| at <= now)
    }

    /// Takes `n` tokens if they are there; whether they were. Nobody goes into debt.
    pub fn try_take(&mut self, n: u32, now: Instant) -> bool {
        let mut taken = self.clone();
        let paid = taken.take(n, now).is_zero();
        if paid {
            *self = taken;
        }
        paid
    }

    /// How long it takes to earn `n` tokens; at most 136 years, so no overflow.
    fn time_for(&self, n: u32) -> Duration {
        Duration::from_nanos(u64::from(n) * 1_000_000_000 / u64::from(self.rate.max(1)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn small() {
        assert!(size_of::<Bucket>() <= 24);
    }

    #[test]
    fn the_burst_is_free_and_debt_is_waited_for() {
        let start = Instant::now();
        let mut bucket = Bucket::new(10, 20);
        assert_eq!(bucket.take(20, start), Duration::ZERO);
        assert_eq!(bucket.take(5, start), Duration::from_millis(500));
        let later = start + Duration::from_millis(500);
        assert_eq!(bucket.take(0, later), Duration::ZERO);
        assert_eq!(bucket.take(1, later), Duration::from_millis(100));
    }

    #[test]
    fn it_never_holds_more_than_the_burst() {
        let start = Instant::now();
        let mut bucket = Bucket::new(10, 20);
        bucket.take(20, start);
        let next_day = start + Duration::from_secs(86_400);
        assert_eq!(bucket.take(20, next_day), Duration::ZERO);
        assert_eq!(bucket.take(1, next_day), Duration::from_millis(100));
    }

    #[test]
    fn who_does_not_wait_gets_nothing_and_owes_nothing() {
        let start = Instant::now();
        let mut bucket = Bucket::new(10, 20);
        assert!(bucket.try_take(20, start));
        assert!(!bucket.try_take(1, start) && !bucket.try_take(20, start));
        assert!(bucket.try_take(1, start + Duration::from_millis(100)));
    }

    #[test]
    fn rate_zero_is_no_limit() {
        let mut bucket = Bucket::new(0, 0);
        assert_eq!(bucket.take(u32::MAX, Instant::now()), Duration::ZERO);
    }

    proptest! {
        /// Whoever waits as told never gets more than the burst plus what the time is worth.
        #[test]
        fn obedience_keeps_the_rate(takes in prop::collection::vec(1u32..50, 1..60)) {
            let start = Instant::now();
            let (mut bucket, mut now, mut taken) = (Bucket::new(7, 30), start, 0);
            for n in takes {
                let wait = bucket.take(n, now);
                taken += n;
                now += wait;
                let earned = (now - start).as_secs_f64() * 7.0 + 30.0;
                prop_assert!(f64::from(taken) <= earned + 0.01);
            }
        }

        #[test]
        fn nothing_overflows(rate: u32, burst: u32, n: u32) {
            let (mut bucket, now) = (Bucket::new(rate, burst), Instant::now());
            for _ in 0..10 {
                bucket.take(n, now);
            }
        }
    }
}
