//! Metrics: counters that cost an atomic addition, gathered by one [`Registry`], written as Prometheus text (format 0.0.4).
//!
//! Whoever counts holds a [`Counter`], [`Gauge`] or [`Latency`]; what has figures of its own is read when somebody looks,
//! by a source ([`Registry::source`]). There is no registry but those that were made: each server has its own.
mod latency;
mod registry;
mod samples;

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};

pub use latency::{BOUNDS_MICROS, Latency};
pub use registry::Registry;
pub use samples::{Kind, Labels, Samples};

/// A number that only grows. Clones count together.
#[derive(Clone, Debug, Default)]
pub struct Counter(Arc<AtomicU64>);

impl Counter {
    /// Adds one.
    pub fn count(&self) {
        self.add(1);
    }

    /// Adds `n`.
    pub fn add(&self, n: u64) {
        self.0.fetch_add(n, Relaxed);
    }

    /// The number now.
    pub fn value(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// How many there are now. Clones count together.
#[derive(Clone, Debug, Default)]
pub struct Gauge(Arc<AtomicI64>);

impl Gauge {
    /// One more.
    pub fn up(&self) {
        self.0.fetch_add(1, Relaxed);
    }

    /// One less.
    pub fn down(&self) {
        self.0.fetch_sub(1, Relaxed);
    }

    /// As many as `n`.
    pub fn set(&self, n: u64) {
        self.0.store(i64::try_from(n).unwrap_or(i64::MAX), Relaxed);
    }

    /// How many there are; never less than none.
    pub fn value(&self) -> u64 {
        u64::try_from(self.0.load(Relaxed)).unwrap_or(0)
    }
}
