//! Who is connected, so that all can be told to stop, and the stop can be waited for.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Waker;

use tokio::sync::Notify;

/// The connections of one set of listeners. Costs each of them one map entry, and no channel of its own.
#[derive(Default)]
pub(super) struct Closing {
    stopping: AtomicBool,
    present: Mutex<Present>,
    left: Notify,
}

#[derive(Default)]
struct Present {
    next: u64,
    wakers: HashMap<u64, Waker>,
}

/// One connection's entry; dropped with it.
pub(super) struct Presence {
    closing: Arc<Closing>,
    id: u64,
}

impl Closing {
    /// Enters a connection whose task is woken by `waker` when the stop begins.
    pub(super) fn enter(self: &Arc<Self>, waker: Waker) -> Presence {
        let mut present = self.present.lock().unwrap_or_else(PoisonError::into_inner);
        let id = present.next;
        present.next = id.wrapping_add(1);
        present.wakers.insert(id, waker);
        Presence {
            closing: self.clone(),
            id,
        }
    }

    /// Whether connections shall end. Look after entering, not before.
    pub(super) fn stopping(&self) -> bool {
        self.stopping.load(Ordering::Acquire)
    }

    /// Tells all connections to end.
    pub(super) fn stop(&self) {
        self.stopping.store(true, Ordering::Release);
        let present = self.present.lock().unwrap_or_else(PoisonError::into_inner);
        present.wakers.values().for_each(Waker::wake_by_ref);
    }

    /// How many are there.
    pub(super) fn count(&self) -> usize {
        self.present
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .wakers
            .len()
    }

    /// Waits until nobody is there.
    pub(super) async fn empty(&self) {
        loop {
            let left = self.left.notified();
            if self.count() == 0 {
                return;
            }
            left.await;
        }
    }
}

impl Drop for Presence {
    fn drop(&mut self) {
        let mut present = self
            .closing
            .present
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        present.wakers.remove(&self.id);
        if present.wakers.is_empty() {
            present.wakers.shrink_to_fit();
            self.closing.left.notify_waiters();
        }
    }
}
