//! Back-pressure of the store: while its queue is more than half full, no session is read.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;

use tokio::sync::Notify;

use super::seat::Shared;

/// Readers that wait for the store; each session at most once a round.
#[derive(Default)]
pub struct Pressure {
    waiting: Mutex<Waiting>,
    first: Notify,
}

#[derive(Default)]
struct Waiting {
    round: u32,
    wakers: Vec<Waker>,
}

impl Pressure {
    /// Has `waker` woken when the store is relieved; `waits` remembers for a session that it was
    /// told already.
    pub(super) fn wait(&self, waker: &Waker, waits: &mut Option<u32>) {
        let mut waiting = self.lock();
        if *waits != Some(waiting.round) {
            *waits = Some(waiting.round);
            waiting.wakers.push(waker.clone());
            self.first.notify_one();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Wakes those who wait as soon as the store is relieved, until the task is dropped.
pub async fn run(shared: Arc<Shared>) {
    loop {
        shared.pressure.first.notified().await;
        shared.store.relieved().await;
        let wakers = {
            let mut waiting = shared.pressure.lock();
            waiting.round = waiting.round.wrapping_add(1);
            std::mem::take(&mut waiting.wakers)
        };
        wakers.into_iter().for_each(Waker::wake);
    }
}
