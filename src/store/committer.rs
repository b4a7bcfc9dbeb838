//! The committer: one thread that takes whatever is queued, writes it as one group, syncs once, and tells everyone.
//! The sync itself is the window in which the next group gathers; how long a group waits beyond that is the rule of
//! `gather`.

use super::engine::{Engine, EngineError, RawOp};
use super::error::panic_text;
use super::group::Group;
use super::ledger::{LAST_MID, Ledger};
use super::marks::Marks;
use super::queue::{Done, Queue, Request, Taken};
use super::stats::Counters;
use super::{Batch, CommitError, FatalHook, Key, Mid};
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Longest time that relaxed writes go without a sync, and between two looks at free space.
const SECOND: Duration = Duration::from_secs(1);

/// What the thread works with.
pub(crate) struct Committer {
    pub(crate) engine: Arc<dyn Engine>,
    pub(crate) queue: Arc<Queue>,
    pub(crate) counters: Arc<Counters>,
    pub(crate) ledger: Arc<Mutex<Ledger>>,
    pub(crate) marks: Marks,
    pub(crate) fatal: FatalHook,
    /// Bytes free now; `None` where unknown.
    pub(crate) free: Box<dyn Fn() -> Option<u64> + Send>,
    pub(crate) reserve: u64,
    pub(crate) looked: Option<Instant>,
    /// Since when relaxed writes wait for a sync.
    pub(crate) unsynced: Option<Instant>,
    /// When a sync began that the queue was not told of.
    pub(crate) synced: Option<Instant>,
}

impl Committer {
    /// Runs until the queue is closed and empty.
    pub(crate) fn run(mut self) {
        let mut requests = VecDeque::new();
        loop {
            let taken = self.queue.take(&mut requests, SECOND, self.synced.take());
            self.look(false);
            match taken {
                Taken::Requests => self.commit(&mut requests),
                Taken::Nothing => {}
                Taken::Closed => break,
            }
            if self.unsynced.is_some_and(|since| since.elapsed() >= SECOND) {
                self.sync();
            }
        }
        let dirty = self.lock_ledger().dirty();
        if !dirty.is_empty() && !self.counters.read_only() {
            let mut group = Group::default();
            group.put_meta(dirty);
            let _ = self.write(&group.into_ops(), true);
        }
        if self.unsynced.is_some() {
            self.sync();
        }
    }

    /// Commits everything in `requests` as one group.
    fn commit(&mut self, requests: &mut VecDeque<Request>) {
        let engine = self.engine.clone();
        // Put back only when what it remembers is written.
        let mut marks = std::mem::take(&mut self.marks);
        let mut group = Group::over(&*engine, &mut marks);
        let mut durable = false;
        let mut answers: Vec<(Done, Result<Mid, CommitError>)> = Vec::with_capacity(requests.len());
        for Request { mid, batch, done } in requests.drain(..) {
            let syncs = !batch.is_relaxed() && !batch.ops.is_empty();
            let answer = self.admit(&mut group, mid, batch);
            durable |= answer.is_ok() && syncs;
            answers.push((done, answer.map(|()| mid)));
        }
        match self.write_group(group, durable, &answers) {
            Ok(()) => self.marks = marks,
            Err(error) => {
                for (_, answer) in answers.iter_mut().filter(|(_, answer)| answer.is_ok()) {
                    *answer = Err(error);
                }
            }
        }
        let failed = answers.iter().filter(|(_, answer)| answer.is_err()).count();
        self.counters.failed.fetch_add(failed as u64, Relaxed);
        self.counters
            .batches
            .fetch_add((answers.len() - failed) as u64, Relaxed);
        for (done, answer) in answers {
            if let Err(panic) = catch_unwind(AssertUnwindSafe(|| done(answer))) {
                tracing::error!(
                    panic = panic_text(&*panic),
                    "a callback after a commit panicked"
                );
            }
        }
    }

    /// Takes one batch into the group, or says why not.
    fn admit(&self, group: &mut Group<'_>, mid: Mid, batch: Batch) -> Result<(), CommitError> {
        let ailing = self.counters.ailing.load(Relaxed);
        if !batch.is_empty()
            && (ailing || (self.counters.low.load(Relaxed) && !batch.may_use_reserve()))
        {
            return Err(CommitError::ReadOnly);
        }
        group.admit(mid, batch)
    }

    fn write_group(
        &mut self,
        mut group: Group<'_>,
        durable: bool,
        answers: &[(Done, Result<Mid, CommitError>)],
    ) -> Result<(), CommitError> {
        if group.is_empty() {
            return Ok(());
        }
        // Read only now: whoever took a number before queueing a batch finds it in the batch's own group.
        let dirty = self.lock_ledger().dirty();
        group.put_meta(dirty.clone());
        if let Some(mid) = answers.iter().rev().find_map(|(_, answer)| answer.ok()) {
            group.put_meta(vec![(Key::from(LAST_MID), mid.as_bytes().to_vec())]);
        }
        let written = self.write(&group.into_ops(), durable);
        if written.is_err() {
            self.lock_ledger().keep(dirty);
        }
        written
    }

    /// One engine write, and what follows from its failing.
    fn write(&mut self, ops: &[RawOp], durable: bool) -> Result<(), CommitError> {
        let began = Instant::now();
        if durable {
            self.synced = Some(began);
        }
        match self.call(|engine| engine.write(ops, durable)) {
            Ok(()) => {
                let bytes = ops
                    .iter()
                    .map(|op| op.key.len() + op.value.as_ref().map_or(0, Vec::len))
                    .sum();
                self.counters.wrote(began.elapsed(), bytes, durable);
                self.unsynced = if durable {
                    None
                } else {
                    self.unsynced.or(Some(began))
                };
                Ok(())
            }
            Err(EngineError::Ailing(reason)) => {
                tracing::error!(
                    reason,
                    "the storage engine takes no writes; the store is read-only until it does again"
                );
                self.counters.ailing.store(true, Relaxed);
                self.look(true);
                Err(CommitError::ReadOnly)
            }
            Err(EngineError::Refused(reason)) => {
                tracing::error!(reason, "the storage engine refused a write");
                self.look(true);
                Err(CommitError::Failed)
            }
            Err(error @ (EngineError::Sync(_) | EngineError::Closed)) => {
                self.queue.close();
                self.counters.ailing.store(true, Relaxed);
                (self.fatal)(&error.to_string());
                Err(CommitError::Failed)
            }
        }
    }

    fn sync(&mut self) {
        let _ = self.write(&[], true);
    }

    /// Looks at free space about once a second, and brings the engine back when there is some.
    fn look(&mut self, now: bool) {
        if !now && self.looked.is_some_and(|at| at.elapsed() < SECOND) {
            return;
        }
        self.looked = Some(Instant::now());
        let free = (self.free)();
        self.counters.free_bytes.store(free.unwrap_or(0), Relaxed);
        let was_low = self.counters.low.load(Relaxed);
        // A sixteenth more before writing again, so that it does not flap.
        let bound = if was_low {
            self.reserve + self.reserve / 16
        } else {
            self.reserve
        };
        let low = free.is_some_and(|free| free < bound);
        if low != was_low {
            self.counters.low.store(low, Relaxed);
            let free = free.unwrap_or(0);
            if low {
                tracing::error!(
                    free,
                    reserve = self.reserve,
                    "too little free disk space: the store is read-only until there is more"
                );
            } else {
                tracing::info!(free, "enough free disk space again: the store takes writes");
            }
        }
        if !now && !low && self.counters.ailing.load(Relaxed) {
            self.revive();
        }
    }

    fn revive(&mut self) {
        match self.call(|engine| engine.recover()) {
            Ok(()) => {
                tracing::info!("the storage engine is back: the store takes writes");
                self.counters.ailing.store(false, Relaxed);
            }
            Err(EngineError::Ailing(_) | EngineError::Refused(_)) => {}
            Err(error) => {
                self.queue.close();
                (self.fatal)(&error.to_string());
            }
        }
    }

    /// Calls the engine where a panic is an error and the watch sees how long it takes.
    fn call(
        &self,
        f: impl FnOnce(&dyn Engine) -> Result<(), EngineError>,
    ) -> Result<(), EngineError> {
        self.counters.calling.fetch_add(1, Relaxed);
        let result = catch_unwind(AssertUnwindSafe(|| f(&*self.engine)));
        self.counters.calling.fetch_add(1, Relaxed);
        result.unwrap_or_else(|panic| Err(EngineError::Sync(panic_text(&*panic))))
    }

    fn lock_ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
