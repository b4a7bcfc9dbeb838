//! The clock of acknowledgements: most questions ride with a stanza ([`super::outward`]), and here is who has none to ride with.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use super::seat::{Seat, Shared};

/// How long a period is.
pub const PERIOD: Duration = Duration::from_secs(1);

/// Sessions that owe an acknowledgement they were not asked for, and the period in which to look after each.
#[derive(Default)]
pub struct Nudge {
    waiting: Mutex<Vec<(u32, Weak<Seat>)>>,
    /// Periods since the start.
    now: AtomicU32,
}

impl Nudge {
    /// This period.
    pub(super) fn now(&self) -> u32 {
        self.now.load(Ordering::Relaxed)
    }

    pub(super) fn add(&self, due: u32, seat: Weak<Seat>) {
        self.lock().push((due, seat));
    }

    /// Begins the next period, and looks after all that are due in it.
    fn tick(&self) {
        let now = self.now.fetch_add(1, Ordering::Relaxed).saturating_add(1);
        let due: Vec<_> = self.lock().extract_if(.., |(due, _)| *due <= now).collect();
        for (due, seat) in due {
            if let Some(again) = seat.upgrade().and_then(|seat| seat.nudge(due, now)) {
                self.add(again, seat);
            }
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<(u32, Weak<Seat>)>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Ticks until the task is dropped.
pub async fn run(shared: Arc<Shared>) {
    let mut ticks = tokio::time::interval(PERIOD);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        shared.nudge.tick();
    }
}
