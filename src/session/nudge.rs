//! Acknowledgements are asked for in bulk: once a period, of every session that owes some.

use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use super::seat::{Seat, Shared};

/// How long delivered stanzas wait before the client is asked for them.
pub const PERIOD: Duration = Duration::from_secs(1);

/// Sessions that owe an acknowledgement they were not asked for; each at most once.
#[derive(Default)]
pub struct Nudge {
    waiting: Mutex<Vec<Weak<Seat>>>,
}

impl Nudge {
    pub(super) fn add(&self, seat: Weak<Seat>) {
        self.lock().push(seat);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Weak<Seat>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Asks, every [`PERIOD`], until the task is dropped.
pub async fn run(shared: Arc<Shared>) {
    let mut ticks = tokio::time::interval(PERIOD);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let waiting = std::mem::take(&mut *shared.nudge.lock());
        for seat in waiting.iter().filter_map(Weak::upgrade) {
            seat.nudge();
        }
    }
}
