//! Which rooms of a host somebody is in, and how many are there.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::hooks::Shared;
use crate::proto::jid::Jid;

/// Occupants by the name of their room.
#[derive(Default)]
pub struct Occupied(Mutex<HashMap<Box<str>, usize>>);

impl Occupied {
    /// Those of a host.
    pub fn of(shared: &Shared, host: &Jid) -> Arc<Occupied> {
        match shared.of(host, || Ok::<_, Infallible>(Occupied::default())) {
            Ok(occupied) => occupied,
            Err(never) => match never {},
        }
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

    /// Rooms that somebody is in.
    pub fn names(&self) -> Vec<Box<str>> {
        self.lock().keys().cloned().collect()
    }

    /// How many are in a room.
    pub fn occupants(&self, room: &str) -> usize {
        self.lock().get(room).copied().unwrap_or(0)
    }

    /// Rooms, and occupants of all of them.
    pub fn totals(&self) -> (usize, usize) {
        let rooms = self.lock();
        (rooms.len(), rooms.values().sum())
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Box<str>, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
