//! The bounded queue between writers and the committer. The order in it is the order of commits and of ids.

use super::gather::{Due, Gathering, Pace};
use super::mid::MidSource as Source;
use super::{Batch, CommitError, Mid};
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
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
    due: Condvar,
    pressure: AtomicBool,
    relief: Notify,
}

struct Waiting {
    requests: VecDeque<Request>,
    bytes: usize,
    gathering: Gathering,
    pace: Pace,
    /// Until when the committer sleeps, if it does.
    asleep: Option<Instant>,
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
    pub(crate) fn new(last: Mid, interval: Duration) -> Queue {
        let waiting = Waiting {
            requests: VecDeque::new(),
            bytes: 0,
            gathering: Gathering::default(),
            pace: Pace::new(interval),
            asleep: None,
            mids: Source::after(last),
            closed: false,
        };
        Queue {
            waiting: Mutex::new(waiting),
            due: Condvar::new(),
            pressure: AtomicBool::new(false),
            relief: Notify::new(),
        }
    }

    /// Queues a batch and draws its id, at wall-clock time `now`; `awaited` if somebody does nothing else until it is
    /// written. What is refused comes back with its callback.
    pub(crate) fn push(
        &self,
        batch: Batch,
        awaited: bool,
        done: Done,
        now: u64,
    ) -> Result<Mid, Refused> {
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
        waiting.gathering.add(&batch, awaited, Instant::now());
        waiting.requests.push_back(Request { mid, batch, done });
        if waiting.requests.len() > MAX_REQUESTS / 2 || waiting.bytes > MAX_BYTES / 2 {
            self.pressure.store(true, Ordering::SeqCst);
        }
        let wake = waiting.wakes();
        drop(waiting);
        if wake {
            self.due.notify_one();
        }
        Ok(mid)
    }

    /// Moves all that waits into `into` when it is due, waiting up to `patience` for something. Since the last time a
    /// sync began at `synced`.
    pub(crate) fn take(
        &self,
        into: &mut VecDeque<Request>,
        patience: Duration,
        synced: Option<Instant>,
    ) -> Taken {
        let mut waiting = self.lock();
        if let Some(at) = synced {
            waiting.pace.synced(at);
        }
        let mut now = Instant::now();
        let bored = now + patience;
        while let Some(until) = waiting.sleeps(now, bored) {
            waiting.asleep = Some(until);
            let slept = self.due.wait_timeout(waiting, until - now);
            waiting = slept.unwrap_or_else(PoisonError::into_inner).0;
            waiting.asleep = None;
            now = Instant::now();
        }
        std::mem::swap(&mut waiting.requests, into);
        waiting.bytes = 0;
        waiting.gathering = Gathering::default();
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
        self.due.notify_all();
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

impl Waiting {
    /// Until when the committer sleeps, at most until `bored`; `None` if it has something to do.
    fn sleeps(&self, now: Instant, bored: Instant) -> Option<Instant> {
        let until = match self.gathering.due(&self.pace) {
            _ if self.closed => return None,
            Due::Now => return None,
            Due::At(at) => at,
            Due::Never => {
                // What comes now will wait until then: waking for it would be for nothing.
                let next = self.pace.free().filter(|next| *next > now);
                next.unwrap_or(bored).min(bored)
            }
        };
        (until > now).then_some(until)
    }

    /// Whether what waits now is due before the committer would look. Says so once.
    fn wakes(&mut self) -> bool {
        let Some(until) = self.asleep else {
            // It looks by itself after each group.
            return false;
        };
        let wakes = match self.gathering.due(&self.pace) {
            Due::Never => false,
            Due::At(at) => at < until,
            Due::Now => true,
        };
        if wakes {
            self.asleep = None;
        }
        wakes
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::store::Space;
    use std::sync::Arc;

    const LONG: Duration = Duration::from_secs(60);

    fn batch() -> Batch {
        let mut batch = Batch::new();
        batch.put(Space::META, b"k", b"v".as_slice());
        batch
    }

    fn push(queue: &Queue, batch: Batch) {
        assert!(queue.push(batch, false, Box::new(|_| ()), 1).is_ok());
    }

    /// A thread that takes as the committer does, right after a sync; how many it took.
    fn taking(queue: &Arc<Queue>) -> std::thread::JoinHandle<usize> {
        let queue = queue.clone();
        let taking = std::thread::spawn({
            let queue = queue.clone();
            move || {
                let mut taken = VecDeque::new();
                // More syncs than are ever to spare.
                (0..100).for_each(|_| queue.lock().pace.synced(Instant::now()));
                queue.take(&mut taken, LONG, None);
                taken.len()
            }
        });
        while queue.lock().asleep.is_none() {
            std::thread::yield_now();
        }
        taking
    }

    #[test]
    fn enough_wakes_the_committer_and_less_does_not() {
        let queue = Arc::new(Queue::new(Mid::MIN, LONG));
        let taking = taking(&queue);
        for n in 1..=16 {
            assert!(queue.lock().asleep.is_some());
            push(&queue, batch());
            push(&queue, batch().relaxed());
            assert_eq!(queue.lock().asleep.is_some(), n < 16);
        }
        assert!(taking.join().unwrap() >= 31);
    }

    #[test]
    fn a_barrier_and_the_end_wake_it() {
        let queue = Arc::new(Queue::new(Mid::MIN, LONG));
        let first = taking(&queue);
        push(&queue, batch().relaxed());
        push(&queue, Batch::new());
        assert_eq!(first.join().unwrap(), 2);
        let second = taking(&queue);
        push(&queue, batch());
        queue.close();
        assert_eq!(second.join().unwrap(), 1);
    }
}
