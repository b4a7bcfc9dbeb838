//! The store's face: submit, read, allocate, close.

use super::committer::Committer;
use super::engine::Engine;
use super::error::panic_text;
use super::ledger::{Ledger, last_mid};
use super::marks::Marks;
use super::open::{self, Opened};
use super::queue::{Done, Queue, Refused};
use super::readers::Readers;
use super::snapshot::Checked;
use super::stats::Counters;
use super::{
    Batch, CommitError, Direction, EngineError, Frozen, Mid, OpenError, Options, Range, Snapshot,
    Space, Stats, StoreError,
};
use crate::metrics::Latency;
use crate::runtime::clock::Clock;
use std::fs::File;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{JoinHandle, Thread};
use std::time::Instant;
use tokio::sync::{OwnedSemaphorePermit, oneshot, watch};

/// Keys taken by one step of [`Store::erase`].
const ERASE_STEP: usize = 1000;

/// The open store. Clones share it; the last one to go closes it.
#[derive(Clone)]
pub struct Store(Arc<Handle>);

struct Handle {
    engine: Arc<dyn Engine>,
    queue: Arc<Queue>,
    readers: Arc<Readers>,
    counters: Arc<Counters>,
    ledger: Arc<Mutex<Ledger>>,
    clock: Clock,
    committer: Mutex<Option<JoinHandle<()>>>,
    threads: Vec<Thread>,
    finished: watch::Receiver<bool>,
}

impl Store {
    /// Opens the store in `options.path`, migrating its schema if need be. The error says what happened and what to do.
    pub fn open(options: Options, clock: Clock) -> Result<Store, OpenError> {
        let opened = open::open(&options)?;
        Store::begin(opened, options, clock)
    }

    /// A store on an engine of the caller's; `options.engine` is not looked at, and nothing is locked.
    pub fn with_engine(
        engine: Arc<dyn Engine>,
        options: Options,
        clock: Clock,
    ) -> Result<Store, OpenError> {
        open::migrate(&*engine, &options.path)?;
        Store::begin(Opened { engine, lock: None }, options, clock)
    }

    fn begin(opened: Opened, options: Options, clock: Clock) -> Result<Store, OpenError> {
        let Opened { engine, lock } = opened;
        let (ledger, last) = load(&*engine).map_err(|source| OpenError::Read {
            path: options.path.clone(),
            source,
        })?;
        let (queue, readers) = (
            Arc::new(Queue::new(last, options.sync_interval)),
            Arc::new(Readers::new()),
        );
        let (counters, ledger) = (Arc::new(Counters::default()), Arc::new(Mutex::new(ledger)));
        let spawn = |source| OpenError::Directory {
            path: options.path.clone(),
            source,
        };
        let reading = readers.start(options.readers).map_err(spawn)?;
        let mut threads: Vec<Thread> = reading
            .iter()
            .map(|handle| handle.thread().clone())
            .collect();
        let committer = Committer {
            engine: engine.clone(),
            queue: queue.clone(),
            counters: counters.clone(),
            ledger: ledger.clone(),
            marks: Marks::default(),
            fatal: options.fatal.clone(),
            free: Box::new({
                let (probe, path) = (options.free_space.clone(), options.path.clone());
                move || probe(&path)
            }),
            reserve: options.reserve_bytes,
            looked: None,
            unsynced: None,
            synced: None,
        };
        let alive =
            super::watch::start(counters.clone(), options.fatal.clone(), super::watch::LOOK)
                .map_err(spawn)?;
        let (finish, finished) = watch::channel(false);
        let end = End {
            engine: engine.clone(),
            readers: readers.clone(),
            reading,
            lock,
            finish,
            _alive: alive,
        };
        let builder = std::thread::Builder::new().name("store-commit".to_owned());
        let thread = builder.spawn(move || {
            committer.run();
            end.close();
        });
        let committer = thread.map_err(spawn)?;
        threads.push(committer.thread().clone());
        let committer = Mutex::new(Some(committer));
        Ok(Store(Arc::new(Handle {
            engine,
            queue,
            readers,
            counters,
            ledger,
            clock,
            committer,
            threads,
            finished,
        })))
    }

    /// Queues a batch and returns its id. It is written at once, or with others within [`Options::sync_interval`].
    /// `done` runs on the committer thread, in the order of commits and of ids, so it must only hand over. If this returns an error, nothing was queued and `done` does not run.
    pub fn submit(
        &self,
        batch: Batch,
        done: impl FnOnce(Result<Mid, CommitError>) + Send + 'static,
    ) -> Result<Mid, CommitError> {
        let done = Box::new(self.timed(&batch, done));
        self.queue(batch, false, done).map_err(|(error, _)| error)
    }

    /// Like [`Store::submit`], but `done` runs in any case: at once and here if the batch is refused.
    pub fn hand_in(
        &self,
        batch: Batch,
        done: impl FnOnce(Result<Mid, CommitError>) + Send + 'static,
    ) {
        let done = Box::new(self.timed(&batch, done));
        if let Err((error, done)) = self.queue(batch, false, done) {
            done(Err(error));
        }
    }

    /// Measures from now to the answer, unless the batch may take its time.
    fn timed(
        &self,
        batch: &Batch,
        done: impl FnOnce(Result<Mid, CommitError>) + Send + 'static,
    ) -> impl FnOnce(Result<Mid, CommitError>) + Send + 'static {
        let latency = (!batch.is_relaxed()).then(|| self.0.counters.latency.clone());
        let began = Instant::now();
        move |result| {
            if let Some(latency) = latency {
                latency.took(began.elapsed());
            }
            done(result);
        }
    }

    fn queue(&self, batch: Batch, awaited: bool, done: Done) -> Result<Mid, Refused> {
        let counters = &self.0.counters;
        let refused = counters.ailing.load(Relaxed)
            || (counters.low.load(Relaxed) && !batch.may_use_reserve());
        if refused && !batch.is_empty() {
            return Err((CommitError::ReadOnly, done));
        }
        self.0.queue.push(batch, awaited, done, self.0.clock.wall())
    }

    /// Commits a batch, waiting for room in the queue first.
    pub async fn commit(&self, batch: Batch) -> Result<Mid, CommitError> {
        self.relieved().await;
        let (answer, committed) = oneshot::channel();
        let done = self.timed(&batch, move |result| {
            let _ = answer.send(result);
        });
        self.queue(batch, true, Box::new(done))
            .map_err(|(error, _)| error)?;
        committed.await.unwrap_or(Err(CommitError::Closed))
    }

    /// Runs `f` on a reader thread with a view of the store, then `done` on the same thread. With too many reads
    /// waiting, or on a closed store, `done` runs at once with the error.
    pub fn read<T: Send + 'static>(
        &self,
        f: impl FnOnce(&dyn Snapshot) -> Result<T, StoreError> + Send + 'static,
        done: impl FnOnce(Result<T, StoreError>) + Send + 'static,
    ) {
        match self.0.readers.try_permit() {
            Ok(permit) => self.queue_read(permit, f, done),
            Err(error) => done(Err(error)),
        }
    }

    /// Runs `f` on a reader thread with a view of the store, waiting for room first.
    pub async fn reading<T: Send + 'static>(
        &self,
        f: impl FnOnce(&dyn Snapshot) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let permit = self.0.readers.permit().await?;
        let (answer, read) = oneshot::channel();
        self.queue_read(permit, f, move |result| {
            let _ = answer.send(result);
        });
        read.await.unwrap_or(Err(StoreError::Closed))
    }

    fn queue_read<T: Send + 'static>(
        &self,
        permit: OwnedSemaphorePermit,
        f: impl FnOnce(&dyn Snapshot) -> Result<T, StoreError> + Send + 'static,
        done: impl FnOnce(Result<T, StoreError>) + Send + 'static,
    ) {
        let (engine, counters) = (self.0.engine.clone(), self.0.counters.clone());
        // The callback must run whether or not the job is taken, so it lies where both find it.
        let done = Arc::new(Mutex::new(Some(done)));
        let call = move |done: &Mutex<Option<_>>, result| {
            let done = done.lock().unwrap_or_else(PoisonError::into_inner).take();
            if let Some(done) = done {
                let done: Box<dyn FnOnce(Result<T, StoreError>) + Send> = Box::new(done);
                done(result);
            }
        };
        let job = {
            let done = done.clone();
            Box::new(move || call(&done, view(&*engine, &counters, f)))
        };
        if !self.0.readers.push(job, permit) {
            call(&done, Err(StoreError::Closed));
        }
    }

    /// A view that lasts. To be called on a thread that may wait for the disk.
    ///
    /// # Errors
    /// The engine's.
    pub fn frozen(&self) -> Result<Frozen, StoreError> {
        let (readers, counters) = (self.0.readers.clone(), self.0.counters.clone());
        Frozen::of(&*self.0.engine, readers, counters)
    }

    /// Gives space that nothing uses any more back to the file system; `false` if the engine cannot. To be called on a thread
    /// that may wait for the disk; reads and writes go on.
    ///
    /// # Errors
    /// The engine's.
    pub fn compact(&self) -> Result<bool, EngineError> {
        self.0.engine.compact()
    }

    /// Removes everything in `range`, in steps of 1000 keys, relaxed. What is removed does not come back by
    /// itself, but keys written meanwhile may stay. Returns how many keys went.
    pub async fn erase(&self, space: Space, range: Range) -> Result<u64, CommitError> {
        let mut erased = 0;
        loop {
            let step = range.clone();
            let rows = self
                .reading(move |view| view.scan(space, &step, Direction::Forward, ERASE_STEP))
                .await;
            let rows = rows.map_err(|_| CommitError::Failed)?;
            let mut batch = Batch::new().relaxed();
            rows.iter().for_each(|(key, _)| batch.delete(space, key));
            self.commit(batch).await?;
            erased += rows.len() as u64;
            if rows.len() < ERASE_STEP {
                return Ok(erased);
            }
        }
    }

    /// Whether the queue is more than half full: time to stop reading from senders.
    pub fn pressure(&self) -> bool {
        self.0.queue.pressure()
    }

    /// Waits until there is no [`Store::pressure`].
    pub async fn relieved(&self) {
        self.0.queue.relieved().await;
    }

    /// Whether writes are refused for want of free space. It passes by itself.
    pub fn read_only(&self) -> bool {
        self.0.counters.read_only()
    }

    /// A number from the sequence `what`, from 1 up, never given out again. It becomes durable with the
    /// next batch queued after this call, so whatever is stored under it is safe.
    pub fn allocate(&self, what: &'static str) -> u64 {
        self.lock_ledger().allocate(what)
    }

    /// The space of the module or purpose `name`; the first time, the next free number from 0xC0 on.
    pub fn space(&self, name: &str, schema_version: u32) -> Result<Space, StoreError> {
        self.lock_ledger().space(name, schema_version)
    }

    /// Every space registered by name.
    pub fn spaces(&self) -> Vec<(String, Space)> {
        self.lock_ledger().spaces()
    }

    /// How long commits take, from handing in to the answer.
    pub fn commit_latency(&self) -> &Latency {
        &self.0.counters.latency
    }

    /// Figures for metrics. May look at the disk.
    pub fn stats(&self) -> Stats {
        let (queued, queued_bytes) = self.0.queue.waiting();
        let engine = self.0.engine.stats();
        Stats {
            queued: queued as u64,
            queued_bytes: queued_bytes as u64,
            engine,
            ..self.0.counters.stats()
        }
    }

    /// Commits what is queued, syncs, and closes. Afterwards the directory may be opened again.
    pub async fn close(&self) {
        self.0.queue.close();
        let mut finished = self.0.finished.clone();
        let _ = finished.wait_for(|finished| *finished).await;
    }

    fn lock_ledger(&self) -> std::sync::MutexGuard<'_, Ledger> {
        self.0.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Store({})", self.0.engine.name())
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.queue.close();
        // A callback or a read may hold the last handle, and a thread cannot wait for itself.
        let own = std::thread::current().id();
        let committer = self
            .committer
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(committer) =
            committer.filter(|_| self.threads.iter().all(|thread| thread.id() != own))
        {
            let _ = committer.join();
        }
    }
}

/// What is left to do when the committer has finished.
struct End {
    engine: Arc<dyn Engine>,
    readers: Arc<Readers>,
    reading: Vec<JoinHandle<()>>,
    lock: Option<File>,
    finish: watch::Sender<bool>,
    /// Ends the watch with the committer.
    _alive: std::sync::mpsc::Sender<()>,
}

impl End {
    fn close(self) {
        self.readers.close();
        self.reading.into_iter().for_each(|thread| {
            let _ = thread.join();
        });
        if let Err(error) = self.engine.close() {
            tracing::error!(%error, "the storage engine did not close cleanly");
        }
        drop(self.lock);
        let _ = self.finish.send(true);
    }
}

fn load(engine: &dyn Engine) -> Result<(Ledger, Mid), StoreError> {
    let snapshot = engine.snapshot()?;
    let view = Checked(&*snapshot);
    Ok((Ledger::load(&view)?, last_mid(&view)?))
}

/// Runs a reader's code, whatever it does.
fn view<T>(
    engine: &dyn Engine,
    counters: &Counters,
    f: impl FnOnce(&dyn Snapshot) -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    counters.reads.fetch_add(1, Relaxed);
    let result = catch_unwind(AssertUnwindSafe(|| f(&Checked(&*engine.snapshot()?))));
    let result = result.unwrap_or_else(|panic| Err(StoreError::Panicked(panic_text(&*panic))));
    if let Err(error @ (StoreError::Damaged { .. } | StoreError::Panicked(_))) = &result {
        counters.damaged.fetch_add(1, Relaxed);
        tracing::error!(%error, "a read of the store failed");
    }
    result
}
