//! Figures for metrics and for the administrator.

use super::EngineStats;
use crate::metrics::Latency;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// What the store has done since it was opened, and how it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Batches waiting for the committer.
    pub queued: u64,
    /// Bytes waiting for the committer.
    pub queued_bytes: u64,
    /// Batches committed.
    pub batches: u64,
    /// Groups written; batches per group is the fruit of waiting.
    pub groups: u64,
    /// Syncs caused.
    pub syncs: u64,
    /// Bytes of keys and values handed to the engine.
    pub bytes: u64,
    /// Batches that failed, preconditions included.
    pub failed: u64,
    /// Microseconds spent in engine writes and syncs.
    pub write_micros: u64,
    /// Microseconds of the longest of them.
    pub longest_write_micros: u64,
    /// Reads done.
    pub reads: u64,
    /// Reads that found a damaged record.
    pub damaged: u64,
    /// Bytes free for the store's directory at the last look; zero where not known.
    pub free_bytes: u64,
    /// Whether the store refuses to write.
    pub read_only: bool,
    /// The engine's own.
    pub engine: EngineStats,
}

/// The counters behind [`Stats`].
#[derive(Default)]
pub(crate) struct Counters {
    pub(crate) batches: AtomicU64,
    pub(crate) groups: AtomicU64,
    pub(crate) syncs: AtomicU64,
    pub(crate) bytes: AtomicU64,
    pub(crate) failed: AtomicU64,
    pub(crate) write_micros: AtomicU64,
    pub(crate) longest_write_micros: AtomicU64,
    pub(crate) reads: AtomicU64,
    pub(crate) damaged: AtomicU64,
    pub(crate) free_bytes: AtomicU64,
    /// From handing a batch in to its answer.
    pub(crate) latency: Latency,
    /// Goes up when the committer calls the engine and when the engine returns: odd while it is in there.
    pub(crate) calling: AtomicU64,
    /// Below the reserve.
    pub(crate) low: AtomicBool,
    /// The engine needs [`Engine::recover`](super::Engine::recover).
    pub(crate) ailing: AtomicBool,
}

impl Counters {
    pub(crate) fn read_only(&self) -> bool {
        self.low.load(Relaxed) || self.ailing.load(Relaxed)
    }

    pub(crate) fn wrote(&self, took: Duration, bytes: usize, durable: bool) {
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.write_micros.fetch_add(micros, Relaxed);
        self.longest_write_micros.fetch_max(micros, Relaxed);
        self.bytes.fetch_add(bytes as u64, Relaxed);
        self.groups.fetch_add(1, Relaxed);
        self.syncs.fetch_add(u64::from(durable), Relaxed);
    }

    pub(crate) fn stats(&self) -> Stats {
        Stats {
            batches: self.batches.load(Relaxed),
            groups: self.groups.load(Relaxed),
            syncs: self.syncs.load(Relaxed),
            bytes: self.bytes.load(Relaxed),
            failed: self.failed.load(Relaxed),
            write_micros: self.write_micros.load(Relaxed),
            longest_write_micros: self.longest_write_micros.load(Relaxed),
            reads: self.reads.load(Relaxed),
            damaged: self.damaged.load(Relaxed),
            free_bytes: self.free_bytes.load(Relaxed),
            read_only: self.read_only(),
            ..Stats::default()
        }
    }
}
