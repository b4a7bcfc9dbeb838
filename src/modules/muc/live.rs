//! Which rooms are in memory, and how many are in them: for the list, the metrics and administrators.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::metrics::Registry;
use crate::proto::jid::Jid;

type Rooms = Mutex<HashMap<Box<str>, usize>>;

/// Rooms with their occupants.
pub struct Live(Arc<Rooms>);

impl Live {
    /// None yet; whoever looks at the metrics sees how many there are.
    pub fn counted(metrics: &Registry, host: &Jid) -> Live {
        let rooms = Arc::<Rooms>::default();
        let (seen, host) = (rooms.clone(), host.to_string());
        metrics.source(move |samples| {
            let seen = lock(&seen);
            let of = &[("host", host.as_str())];
            let (name, help) = ("waxwing_rooms_occupied", "Rooms that somebody is in.");
            samples.gauge(name, help, of, seen.len() as f64);
            let (name, help) = ("waxwing_room_occupants", "Occupants of all rooms.");
            samples.gauge(name, help, of, seen.values().sum::<usize>() as f64);
        });
        Live(rooms)
    }

    /// A room has so many occupants, or is not there.
    pub fn show(&self, room: &str, occupants: Option<usize>) {
        let mut rooms = self.lock();
        match occupants {
            None | Some(0) => {
                rooms.remove(room);
            }
            Some(occupants) => match rooms.get_mut(room) {
                Some(known) => *known = occupants,
                None => {
                    rooms.insert(room.into(), occupants);
                }
            },
        }
    }

    /// Whether somebody is in a room.
    pub fn has(&self, room: &str) -> bool {
        self.lock().contains_key(room)
    }

    /// How many are in a room.
    pub fn occupants(&self, room: &str) -> usize {
        self.lock().get(room).copied().unwrap_or(0)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Box<str>, usize>> {
        lock(&self.0)
    }
}

fn lock(rooms: &Rooms) -> MutexGuard<'_, HashMap<Box<str>, usize>> {
    rooms.lock().unwrap_or_else(PoisonError::into_inner)
}
