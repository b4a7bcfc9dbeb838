//! The reader threads: reads never run on network workers, and only so many wait.

use super::StoreError;
use super::error::panic_text;
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Most reads that wait or run.
const MAX_READS: usize = 1024;

type Job = Box<dyn FnOnce() + Send>;

pub(crate) struct Readers {
    jobs: Mutex<Jobs>,
    filled: Condvar,
    permits: Arc<Semaphore>,
}

#[derive(Default)]
struct Jobs {
    waiting: VecDeque<(Job, OwnedSemaphorePermit)>,
    closed: bool,
}

impl Readers {
    pub(crate) fn new() -> Readers {
        Readers {
            jobs: Mutex::default(),
            filled: Condvar::new(),
            permits: Arc::new(Semaphore::new(MAX_READS)),
        }
    }

    /// Starts `threads` threads, two at least.
    pub(crate) fn start(self: &Arc<Self>, threads: usize) -> std::io::Result<Vec<JoinHandle<()>>> {
        let thread = |n: usize| {
            let readers = self.clone();
            let builder = std::thread::Builder::new().name(format!("store-read-{n}"));
            builder.spawn(move || readers.work())
        };
        (0..threads.max(2)).map(thread).collect()
    }

    /// Leave to queue one read, at once or not at all.
    pub(crate) fn try_permit(&self) -> Result<OwnedSemaphorePermit, StoreError> {
        self.permits
            .clone()
            .try_acquire_owned()
            .map_err(|_| StoreError::Busy)
    }

    /// Leave to queue one read, when there is room.
    pub(crate) async fn permit(&self) -> Result<OwnedSemaphorePermit, StoreError> {
        self.permits
            .clone()
            .acquire_owned()
            .await
            .map_err(|_| StoreError::Closed)
    }

    /// Queues a read; `false` if the readers are closed.
    pub(crate) fn push(&self, job: Job, permit: OwnedSemaphorePermit) -> bool {
        let mut jobs = self.jobs.lock().unwrap_or_else(PoisonError::into_inner);
        if jobs.closed {
            return false;
        }
        jobs.waiting.push_back((job, permit));
        drop(jobs);
        self.filled.notify_one();
        true
    }

    /// Takes nothing more; what waits is still read.
    pub(crate) fn close(&self) {
        self.jobs
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .closed = true;
        self.filled.notify_all();
    }

    /// Whether they take nothing more.
    pub(crate) fn closed(&self) -> bool {
        self.jobs
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .closed
    }

    fn work(&self) {
        while let Some((job, permit)) = self.next() {
            // A job reports a panic of the reader's code by itself; this catches one of its callback.
            if let Err(panic) = catch_unwind(AssertUnwindSafe(job)) {
                tracing::error!(
                    panic = panic_text(&*panic),
                    "a callback after a read panicked"
                );
            }
            drop(permit);
        }
    }

    fn next(&self) -> Option<(Job, OwnedSemaphorePermit)> {
        let jobs = self.jobs.lock().unwrap_or_else(PoisonError::into_inner);
        let idle = |jobs: &mut Jobs| jobs.waiting.is_empty() && !jobs.closed;
        let mut jobs = self
            .filled
            .wait_while(jobs, idle)
            .unwrap_or_else(PoisonError::into_inner);
        jobs.waiting.pop_front()
    }
}
