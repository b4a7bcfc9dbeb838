//! Which rooms somebody is in, for the list, the metrics and administrators; and how many each person has made.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::metrics::Registry;
use crate::proto::jid::Jid;
use crate::state::rooms::{Occupied, Rid};

/// Rooms with their occupants, and how many each person has made.
pub struct Live {
    /// Rooms that somebody is in.
    pub occupied: Arc<Occupied>,
    made: Mutex<Made>,
    counted: AtomicBool,
    /// Rooms from here on were made by this process.
    pub first_new: Rid,
}

#[derive(Default)]
struct Made {
    all: usize,
    by: HashMap<Box<str>, usize>,
}

impl Live {
    /// None yet; whoever looks at the metrics sees how many there are.
    pub fn counted(
        metrics: &Registry,
        host: &Jid,
        occupied: Arc<Occupied>,
        first_new: Rid,
    ) -> Live {
        let (seen, host) = (occupied.clone(), host.to_string());
        metrics.source(move |samples| {
            let (rooms, occupants) = seen.totals();
            let of = &[("host", host.as_str())];
            let (name, help) = ("waxwing_rooms_occupied", "Rooms that somebody is in.");
            samples.gauge(name, help, of, rooms as f64);
            let (name, help) = ("waxwing_room_occupants", "Occupants of all rooms.");
            samples.gauge(name, help, of, occupants as f64);
        });
        Live {
            occupied,
            made: Mutex::default(),
            counted: AtomicBool::new(false),
            first_new,
        }
    }

    /// Whether the rooms of before are to be counted: once.
    pub fn begin_count(&self) -> bool {
        !self.counted.swap(true, Ordering::AcqRel)
    }

    /// There is one more room of this person's.
    pub fn made(&self, by: &str) {
        let mut made = self.lock_made();
        made.all += 1;
        *made.by.entry(by.into()).or_default() += 1;
    }

    /// There is one less.
    pub fn ended(&self, by: &str) {
        let mut made = self.lock_made();
        made.all = made.all.saturating_sub(1);
        if let Some(own) = made.by.get_mut(by) {
            *own = own.saturating_sub(1);
            if *own == 0 {
                made.by.remove(by);
            }
        }
    }

    /// How many rooms there are, and of this person's. At the start not all are counted yet.
    pub fn made_by(&self, by: &str) -> (usize, usize) {
        let made = self.lock_made();
        (made.all, made.by.get(by).copied().unwrap_or(0))
    }

    fn lock_made(&self) -> MutexGuard<'_, Made> {
        self.made.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
