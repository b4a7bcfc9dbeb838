//! The committer: one thread that takes whatever is queued, writes it as one group, syncs once, and tells everyone.
//! There is no timer: the sync itself is the window in which the next group gathers.

use super::batch::{MAX_RANGE, Op, Precondition};
use super::engine::{Engine, EngineError, RawOp};
use super::error::panic_text;
use super::ledger::{LAST_MID, Ledger};
use super::queue::{Done, Queue, Request, Taken};
use super::snapshot::Checked;
use super::stats::Counters;
use super::{
    Batch, CommitError, Direction, FatalHook, Key, Mid, Snapshot, Space, StoreError, counter,
    counter_bytes, value,
};
use std::collections::{HashMap, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Longest time that relaxed writes go without a sync, and between two looks at free space.
const SECOND: Duration = Duration::from_secs(1);

/// What the thread works with.
pub(crate) struct Committer {
    pub(crate) engine: Arc<dyn Engine>,
    pub(crate) queue: Arc<Queue>,
    pub(crate) counters: Arc<Counters>,
    pub(crate) ledger: Arc<Mutex<Ledger>>,
    pub(crate) fatal: FatalHook,
    /// Bytes free now; `None` where unknown.
    pub(crate) free: Box<dyn Fn() -> Option<u64> + Send>,
    pub(crate) reserve: u64,
    pub(crate) looked: Option<Instant>,
    /// Since when relaxed writes wait for a sync.
    pub(crate) unsynced: Option<Instant>,
}

impl Committer {
    /// Runs until the queue is closed and empty.
    pub(crate) fn run(mut self) {
        let mut requests = VecDeque::new();
        loop {
            let taken = self.queue.take(&mut requests, SECOND);
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
            let _ = self.write(&group.ops, true);
        }
        if self.unsynced.is_some() {
            self.sync();
        }
    }

    /// Commits everything in `requests` as one group.
    fn commit(&mut self, requests: &mut VecDeque<Request>) {
        let engine = self.engine.clone();
        let mut group = Group {
            engine: Some(&*engine),
            ..Group::default()
        };
        let mut durable = false;
        let mut answers: Vec<(Done, Result<Mid, CommitError>)> = Vec::with_capacity(requests.len());
        for Request { mid, batch, done } in requests.drain(..) {
            let syncs = !batch.is_relaxed() && !batch.ops.is_empty();
            let answer = self.admit(&mut group, mid, batch);
            durable |= answer.is_ok() && syncs;
            answers.push((done, answer.map(|()| mid)));
        }
        if let Err(error) = self.write_group(group, durable, &answers) {
            for (_, answer) in answers.iter_mut().filter(|(_, answer)| answer.is_ok()) {
                *answer = Err(error);
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
            && (ailing || (self.counters.low.load(Relaxed) && !batch.only_deletes()))
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
        if group.ops.is_empty() {
            return Ok(());
        }
        // Read only now: whoever took a number before queueing a batch finds it in the batch's own group.
        let dirty = self.lock_ledger().dirty();
        group.put_meta(dirty.clone());
        if let Some(mid) = answers.iter().rev().find_map(|(_, answer)| answer.ok()) {
            group.put_meta(vec![(Key::from(LAST_MID), mid.as_bytes().to_vec())]);
        }
        let written = self.write(&group.ops, durable);
        if written.is_err() {
            self.lock_ledger().keep(dirty);
        }
        written
    }

    /// One engine write, and what follows from its failing.
    fn write(&mut self, ops: &[RawOp], durable: bool) -> Result<(), CommitError> {
        let began = Instant::now();
        let engine = &self.engine;
        let written = catch_unwind(AssertUnwindSafe(|| engine.write(ops, durable)))
            .unwrap_or_else(|panic| Err(EngineError::Sync(panic_text(&*panic))));
        match written {
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
        let engine = &self.engine;
        let recovered = catch_unwind(AssertUnwindSafe(|| engine.recover()))
            .unwrap_or_else(|panic| Err(EngineError::Sync(panic_text(&*panic))));
        match recovered {
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

    fn lock_ledger(&self) -> std::sync::MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The writes of one group, each key once, and the view that later batches of it have of the store.
#[derive(Default)]
struct Group<'e> {
    engine: Option<&'e dyn Engine>,
    snapshot: Option<Box<dyn Snapshot>>,
    ops: Vec<RawOp>,
    /// Where in `ops` a key is.
    index: HashMap<Key, usize>,
}

impl Group<'_> {
    fn admit(&mut self, mid: Mid, batch: Batch) -> Result<(), CommitError> {
        for precondition in &batch.preconditions {
            let holds = match precondition {
                Precondition::Absent(key) => self.get(key)?.is_none(),
                Precondition::Equals(key, value) => self.get(key)?.as_ref() == Some(value),
            };
            if !holds {
                return Err(CommitError::Precondition);
            }
        }
        // Nothing of a batch that fails half-way may stay, so it goes in last.
        let mut staged: Vec<(Key, Option<Vec<u8>>)> = Vec::with_capacity(batch.ops.len());
        for op in batch.ops {
            self.stage(mid, op, &mut staged)?;
        }
        for (key, value) in staged {
            self.set(key, value);
        }
        Ok(())
    }

    fn stage(
        &mut self,
        mid: Mid,
        op: Op,
        staged: &mut Vec<(Key, Option<Vec<u8>>)>,
    ) -> Result<(), CommitError> {
        match op {
            Op::Put(key, value) => staged.push((key, Some(value))),
            Op::Append(prefix, value) => staged.push((prefix.mid(mid), Some(value))),
            Op::Delete(key) => staged.push((key, None)),
            Op::Add(key, by) => {
                let own = staged
                    .iter()
                    .rev()
                    .find(|(staged, _)| *staged == key)
                    .map(|(_, value)| value.clone());
                let old = match own {
                    Some(value) => value,
                    None => self.get(&key)?,
                };
                let old = old
                    .map_or(Some(0), |value| counter(&value))
                    .ok_or(CommitError::Failed)?;
                staged.push((key, Some(counter_bytes(old.saturating_add(by)).to_vec())));
            }
            Op::DeleteRange(space, range) => {
                let snapshot = self.snapshot()?;
                let rows = snapshot
                    .scan(space, &range, Direction::Forward, MAX_RANGE + 1)
                    .map_err(failed)?;
                if rows.len() > MAX_RANGE {
                    return Err(CommitError::TooLarge);
                }
                let inside = |key: &Key| {
                    key.split_first()
                        .is_some_and(|(first, rest)| *first == space.0 && range.contains(rest))
                };
                let mut keys: Vec<Key> = rows
                    .iter()
                    .map(|(key, _)| Key::in_space(space, key))
                    .collect();
                keys.extend(
                    self.ops
                        .iter()
                        .map(|op| &op.key)
                        .chain(staged.iter().map(|(key, _)| key))
                        .filter(|key| inside(key))
                        .cloned(),
                );
                staged.extend(keys.into_iter().map(|key| (key, None)));
            }
        }
        Ok(())
    }

    fn set(&mut self, key: Key, value: Option<Vec<u8>>) {
        let value = value.map(|value| value::seal(&key, value));
        match self.index.get(&key) {
            Some(&at) => {
                if let Some(op) = self.ops.get_mut(at) {
                    op.value = value;
                }
            }
            None => {
                self.index.insert(key.clone(), self.ops.len());
                self.ops.push(RawOp { key, value });
            }
        }
    }

    fn put_meta(&mut self, entries: Vec<(Key, Vec<u8>)>) {
        for (name, value) in entries {
            self.set(Key::in_space(Space::META, &name), Some(value));
        }
    }

    /// The value of a key after the batches before this one.
    fn get(&mut self, key: &Key) -> Result<Option<Vec<u8>>, CommitError> {
        if let Some(op) = self.index.get(key).and_then(|&at| self.ops.get(at)) {
            return op
                .value
                .clone()
                .map(|sealed| value::open(key, sealed))
                .transpose()
                .map_err(failed);
        }
        let Some((&space, rest)) = key.split_first() else {
            return Ok(None);
        };
        Checked(self.snapshot()?)
            .get(Space(space), rest)
            .map_err(failed)
    }

    fn snapshot(&mut self) -> Result<&dyn Snapshot, CommitError> {
        if self.snapshot.is_none() {
            let engine = self.engine.ok_or(CommitError::Failed)?;
            self.snapshot = Some(engine.snapshot().map_err(failed)?);
        }
        self.snapshot.as_deref().ok_or(CommitError::Failed)
    }
}

fn failed(error: StoreError) -> CommitError {
    tracing::error!(%error, "the store could not be read for a commit");
    CommitError::Failed
}
