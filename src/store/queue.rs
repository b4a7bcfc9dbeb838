//! The bounded queue between writers and the committer. The order in it is the order of commits and of ids.

use super::mid::Source;
use super::{Batch, CommitError, Mid};
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;

/// Most batches that wait, and most bytes of them.
const MAX_REQUESTS: usize = 4096;
pub(crate) const MAX_BYTES: usize = 4 << 20;

pub(crate) type Done = Box<dyn FnOnce(Result<Mid, CommitError>) + Send>;
/// Why a batch was not queued, and its callback.
pub(crate) type Refused = (CommitError, Done);

pub(crate) struct Request {
    pub(crate) mid: Mid,
    pub(crate) batch: Batch,
    pub(crate) done: Done,
}

pub(crate) struct Queue {
    waiting: Mutex<Waiting>,
    filled: Condvar,
    pressure: AtomicBool,
    relief: Notify,
}

struct Waiting {
    requests: VecDeque<Request>,
    bytes: usize,
    mids: Source,
    closed: bool,
}

/// What the committer finds when it looks.
pub(crate) enum Taken {
    Requests,
    Nothing,
    Closed,
}

impl Queue {
    pub(crate) fn new(last: Mid) -> Queue {
        let waiting = Waiting {
            requests: VecDeque::new(),
            bytes: 0,
            mids: Source::after(last),
            closed: false,
        };
        Queue {
            waiting: Mutex::new(waiting),
            filled: Condvar::new(),
            pressure: AtomicBool::new(false),
            relief: Notify::new(),
        }
    }

    /// Queues a batch and draws its id, at wall-clock time `now`.
    /// What is refused comes back with its callback.
    pub(crate) fn push(&self, batch: Batch, done: Done, now: u64) -> Result<Mid, Refused> {
        let bytes = batch.bytes();
        if bytes > MAX_BYTES || !batch.keys_fit() {
            return Err((CommitError::TooLarge, done));
        }
        let mut waiting = self.lock();
        if waiting.closed {
            return Err((CommitError::Closed, done));
        }
        if waiting.requests.len() >= MAX_REQUESTS || waiting.bytes + bytes > MAX_BYTES {
            return Err((CommitError::Full, done));
        }
        let mid = waiting.mids.draw(now);
        waiting.bytes += bytes;
        waiting.requests.push_back(Request { mid, batch, done });
        if waiting.requests.len() > MAX_REQUESTS / 2 || waiting.bytes > MAX_BYTES / 2 {
            self.pressure.store(true, Ordering::SeqCst);
        }
        let first = waiting.requests.len() == 1;
        drop(waiting);
        // The committer looks again by itself after each group: only an empty queue has it waiting.
        if first {
            self.filled.notify_one();
        }
        Ok(mid)
    }

    /// Moves all that waits into `into`, waiting up to `patience` for something.
    pub(crate) fn take(&self, into: &mut VecDeque<Request>, patience: Duration) -> Taken {
        let waiting = self.lock();
        let idle = |waiting: &mut Waiting| waiting.requests.is_empty() && !waiting.closed;
        let waited = self.filled.wait_timeout_while(waiting, patience, idle);
        let (mut waiting, _) = waited.unwrap_or_else(PoisonError::into_inner);
        std::mem::swap(&mut waiting.requests, into);
        waiting.bytes = 0;
        let closed = waiting.closed;
        if self.pressure.swap(false, Ordering::SeqCst) {
            self.relief.notify_waiters();
        }
        match (into.is_empty(), closed) {
            (false, _) => Taken::Requests,
            (true, true) => Taken::Closed,
            (true, false) => Taken::Nothing,
        }
    }

    /// Takes nothing more; what waits is still committed.
    pub(crate) fn close(&self) {
        self.lock().closed = true;
        self.filled.notify_all();
    }

    /// Whether more than half of the room is taken.
    pub(crate) fn pressure(&self) -> bool {
        self.pressure.load(Ordering::SeqCst)
    }

    /// Waits until there is no [`Queue::pressure`].
    pub(crate) async fn relieved(&self) {
        loop {
            let mut relief = std::pin::pin!(self.relief.notified());
            relief.as_mut().enable();
            if !self.pressure() {
                return;
            }
            relief.await;
        }
    }

    /// Batches and bytes that wait.
    pub(crate) fn waiting(&self) -> (usize, usize) {
        let waiting = self.lock();
        (waiting.requests.len(), waiting.bytes)
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
