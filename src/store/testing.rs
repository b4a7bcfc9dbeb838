//! Test support: an engine that fails on command.

use super::engine::memory::Memory;
use super::{Engine, EngineError, EngineStats, RawOp, Snapshot, StoreError};
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex, PoisonError};

/// Passes everything to the engine inside, except that one write fails.
pub struct Faulty {
    inner: Arc<dyn Engine>,
    /// Writes until the one that fails; zero for none.
    countdown: AtomicU64,
    error: Mutex<EngineError>,
}

impl Faulty {
    /// Wraps `inner`; nothing fails yet.
    pub fn new(inner: Arc<dyn Engine>) -> Faulty {
        Faulty {
            inner,
            countdown: AtomicU64::new(0),
            error: Mutex::new(EngineError::Refused("injected".to_owned())),
        }
    }

    /// Lets the `n`-th write from now fail with `error`, without reaching the engine.
    pub fn fail(&self, n: u64, error: EngineError) {
        *self.error.lock().unwrap_or_else(PoisonError::into_inner) = error;
        self.countdown.store(n, SeqCst);
    }
}

impl Engine for Faulty {
    fn name(&self) -> &'static str {
        self.inner.name()
    }

    fn snapshot(&self) -> Result<Box<dyn Snapshot>, StoreError> {
        self.inner.snapshot()
    }

    fn frozen(&self) -> Result<Box<dyn Snapshot>, StoreError> {
        self.inner.frozen()
    }

    fn compact(&self) -> Result<bool, EngineError> {
        self.inner.compact()
    }

    fn write(&self, ops: &[RawOp], durable: bool) -> Result<(), EngineError> {
        let left = self.countdown.load(SeqCst);
        self.countdown.store(left.saturating_sub(1), SeqCst);
        if left == 1 {
            return Err(self
                .error
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .clone());
        }
        self.inner.write(ops, durable)
    }

    fn recover(&self) -> Result<(), EngineError> {
        self.inner.recover()
    }

    fn stats(&self) -> EngineStats {
        self.inner.stats()
    }

    fn close(&self) -> Result<(), EngineError> {
        self.inner.close()
    }
}

/// The engine without a disk.
pub fn memory() -> Arc<dyn Engine> {
    Arc::new(Memory::default())
}
