//! How long something takes, as a histogram.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// Upper bounds of the buckets, microseconds; what took longer is in the total only.
pub const BOUNDS_MICROS: [u64; 14] = [
    100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 1_000_000,
    5_000_000, 30_000_000,
];

/// A histogram of times. Clones count together.
#[derive(Clone, Debug, Default)]
pub struct Latency(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    /// Those within each bound and above the one before.
    buckets: [AtomicU64; BOUNDS_MICROS.len()],
    beyond: AtomicU64,
    micros: AtomicU64,
}

/// A histogram as it was at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Measured {
    /// How many were within each bound, those within lower bounds included.
    pub within: [u64; BOUNDS_MICROS.len()],
    /// How many there were.
    pub count: u64,
    /// Their sum, microseconds.
    pub micros: u64,
}

impl Latency {
    /// Something took this long.
    pub fn took(&self, time: Duration) {
        let micros = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        let mut buckets = BOUNDS_MICROS.iter().zip(&self.0.buckets);
        let bucket = buckets.find(|(bound, _)| micros <= **bound);
        let bucket = bucket.map_or(&self.0.beyond, |(_, bucket)| bucket);
        bucket.fetch_add(1, Relaxed);
        self.0.micros.fetch_add(micros, Relaxed);
    }

    /// What was measured so far.
    pub fn measured(&self) -> Measured {
        let mut measured = Measured::default();
        for (within, bucket) in measured.within.iter_mut().zip(&self.0.buckets) {
            measured.count += bucket.load(Relaxed);
            *within = measured.count;
        }
        measured.count += self.0.beyond.load(Relaxed);
        measured.micros = self.0.micros.load(Relaxed);
        measured
    }
}

impl Measured {
    /// The bound within which this share (0 to 1) of all lies, microseconds; `None` when there were none or it lies beyond all bounds.
    pub fn quantile(&self, share: f64) -> Option<u64> {
        let wanted = self.count as f64 * share;
        let mut bounds = BOUNDS_MICROS.iter().zip(&self.within);
        let found = bounds.find(|(_, within)| **within > 0 && **within as f64 >= wanted);
        found.map(|(bound, _)| *bound)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_hold_what_is_within_their_bound() {
        let latency = Latency::default();
        for micros in [0, 100, 101, 2_000, 40_000_000] {
            latency.took(Duration::from_micros(micros));
        }
        let measured = latency.measured();
        assert_eq!(measured.within.first(), Some(&2));
        assert_eq!(measured.within.get(1), Some(&3));
        assert_eq!(measured.within.last(), Some(&4));
        assert_eq!((measured.count, measured.micros), (5, 40_002_201));
        assert_eq!(measured.quantile(0.5), Some(250));
        assert_eq!(measured.quantile(1.0), None);
        assert_eq!(Measured::default().quantile(0.5), None);
    }
}
