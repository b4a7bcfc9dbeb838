//! How long what waits for the committer gathers before it is written.
//!
//! A sync costs far more than what it makes durable. So in the long run one begins at most once per interval, except that
//! enough batches never wait: a lone batch is written at once and so are a few in a row, a few hundred per second share syncs, and
//! under a heavy load the sync itself is the window in which the next group gathers.

use super::Batch;
use std::time::{Duration, Instant};

/// Batches that are a group worth a sync of its own.
const ENOUGH: usize = 16;
/// Bytes that are.
const ENOUGH_BYTES: usize = 128 << 10;

/// Syncs that may begin early after a time with fewer.
const SPARE: u32 = 8;

/// The pace of syncs.
#[derive(Debug)]
pub(crate) struct Pace {
    interval: Duration,
    /// When the next sync would begin if all had kept to the interval.
    next: Option<Instant>,
}

impl Pace {
    /// At most one sync per `interval` in the long run.
    pub(crate) fn new(interval: Duration) -> Pace {
        Pace {
            interval,
            next: None,
        }
    }

    /// A sync began.
    pub(crate) fn synced(&mut self, at: Instant) {
        let from = self.next.map_or(at, |next| next.max(at));
        // What began early because there was enough is no debt: nothing waits for longer than an interval after a sync.
        let latest = at.checked_add(self.interval * (SPARE + 1));
        self.next = from.checked_add(self.interval).min(latest);
    }

    /// From when on the next sync may begin; `None` if it may in any case.
    pub(crate) fn free(&self) -> Option<Instant> {
        self.next?.checked_sub(self.interval * SPARE)
    }
}

/// What waits, as far as it matters for when to write it.
#[derive(Debug, Default)]
pub(crate) struct Gathering {
    /// Batches that cause a sync.
    durable: usize,
    bytes: usize,
    /// Since when a batch waits that causes none.
    relaxed: Option<Instant>,
    /// Somebody waits for one that causes none.
    hasty: bool,
}

/// When to write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Due {
    Never,
    At(Instant),
    Now,
}

impl Gathering {
    /// One more batch waits; `awaited` if somebody does nothing else until it is written.
    pub(crate) fn add(&mut self, batch: &Batch, awaited: bool, now: Instant) {
        self.bytes = self.bytes.saturating_add(batch.bytes());
        if batch.is_empty() || (batch.is_relaxed() && awaited) {
            self.hasty = true;
        } else if batch.is_relaxed() {
            self.relaxed = self.relaxed.or(Some(now));
        } else {
            self.durable += 1;
        }
    }

    /// When to write.
    pub(crate) fn due(&self, pace: &Pace) -> Due {
        if pace.interval.is_zero() || self.durable >= ENOUGH || self.bytes >= ENOUGH_BYTES {
            self.some(Due::Now)
        } else if self.durable > 0 {
            pace.free().map_or(Due::Now, Due::At)
        } else if self.hasty {
            Due::Now
        } else {
            let until = |since: Instant| since.checked_add(pace.interval);
            self.relaxed
                .map_or(Due::Never, |since| until(since).map_or(Due::Now, Due::At))
        }
    }

    fn some(&self, due: Due) -> Due {
        let none = self.durable == 0 && !self.hasty && self.relaxed.is_none();
        if none { Due::Never } else { due }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::clock::Clock;
    use crate::store::Space;

    const INTERVAL: Duration = Duration::from_millis(5);

    fn batch(bytes: usize) -> Batch {
        let mut batch = Batch::new();
        batch.put(Space::META, b"k", vec![0; bytes]);
        batch
    }

    /// A pace without spare syncs.
    fn busy(clock: &Clock) -> Pace {
        let mut pace = Pace::new(INTERVAL);
        (0..=SPARE).for_each(|_| pace.synced(clock.now()));
        pace
    }

    #[test]
    fn a_lone_batch_is_due_at_once_and_those_after_it_share_a_sync() {
        let (clock, hand) = Clock::manual();
        let mut gathering = Gathering::default();
        assert_eq!(gathering.due(&Pace::new(INTERVAL)), Due::Never);
        gathering.add(&batch(9), false, clock.now());
        assert_eq!(gathering.due(&Pace::new(INTERVAL)), Due::Now);
        let (pace, synced) = (busy(&clock), clock.now());
        for _ in 1..ENOUGH {
            hand.advance(INTERVAL / 100);
            assert_eq!(gathering.due(&pace), Due::At(synced + INTERVAL));
            gathering.add(&batch(9), true, clock.now());
        }
        assert_eq!(gathering.due(&pace), Due::Now);
    }

    #[test]
    fn a_few_in_a_row_do_not_wait_and_the_long_run_keeps_the_interval() {
        let (clock, hand) = Clock::manual();
        let start = clock.now();
        let mut pace = Pace::new(INTERVAL);
        let mut syncs = 0;
        while clock.now() < start + INTERVAL * 100 {
            if pace.free().is_none_or(|free| free <= clock.now()) {
                pace.synced(clock.now());
                syncs += 1;
            }
            assert!(syncs > SPARE || clock.now() <= start + INTERVAL * syncs / 100);
            hand.advance(INTERVAL / 100);
        }
        assert_eq!(syncs, 100 + SPARE);
        hand.advance(INTERVAL * 1000);
        (0..SPARE).for_each(|_| pace.synced(clock.now()));
        assert_eq!(pace.free(), Some(clock.now()));
    }

    #[test]
    fn after_a_busy_time_nothing_waits_longer_than_an_interval() {
        let (clock, hand) = Clock::manual();
        let mut pace = Pace::new(INTERVAL);
        for _ in 0..10_000 {
            hand.advance(INTERVAL / 10);
            pace.synced(clock.now());
        }
        let mut gathering = Gathering::default();
        gathering.add(&batch(9), false, clock.now());
        assert_eq!(gathering.due(&pace), Due::At(clock.now() + INTERVAL));
    }

    #[test]
    fn many_bytes_are_due_at_once() {
        let (clock, _hand) = Clock::manual();
        for many in [batch(ENOUGH_BYTES), batch(ENOUGH_BYTES).relaxed()] {
            let mut gathering = Gathering::default();
            gathering.add(&many, false, clock.now());
            assert_eq!(gathering.due(&busy(&clock)), Due::Now);
        }
    }

    #[test]
    fn relaxed_batches_wait_for_a_sync_but_not_longer_than_the_interval() {
        let (clock, hand) = Clock::manual();
        let (pace, synced) = (busy(&clock), clock.now());
        let mut gathering = Gathering::default();
        hand.advance(INTERVAL * 3);
        let came = clock.now();
        for _ in 0..ENOUGH * 2 {
            gathering.add(&batch(9).relaxed(), false, clock.now());
            hand.advance(INTERVAL / 100);
        }
        assert_eq!(gathering.due(&pace), Due::At(came + INTERVAL));
        gathering.add(&batch(9), false, clock.now());
        assert_eq!(gathering.due(&pace), Due::At(synced + INTERVAL));
    }

    #[test]
    fn what_somebody_waits_for_waits_for_no_more_than_a_sync_already_due() {
        let (clock, _hand) = Clock::manual();
        let (pace, synced) = (busy(&clock), clock.now());
        for (awaited, of) in [(false, Batch::new()), (true, batch(9).relaxed())] {
            let mut gathering = Gathering::default();
            gathering.add(&batch(9).relaxed(), false, clock.now());
            gathering.add(&of, awaited, clock.now());
            assert_eq!(gathering.due(&pace), Due::Now);
            gathering.add(&batch(9), false, clock.now());
            assert_eq!(gathering.due(&pace), Due::At(synced + INTERVAL));
        }
    }

    #[test]
    fn without_an_interval_nothing_waits() {
        let (clock, _hand) = Clock::manual();
        let mut pace = Pace::new(Duration::ZERO);
        pace.synced(clock.now());
        let mut gathering = Gathering::default();
        assert_eq!(gathering.due(&pace), Due::Never);
        gathering.add(&batch(9).relaxed(), false, clock.now());
        assert_eq!(gathering.due(&pace), Due::Now);
    }
}
