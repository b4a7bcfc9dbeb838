//! Forms that are open: bounded, timed, each its asker's.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use crate::hooks::command::Given;
use crate::proto::error::{Condition, StanzaError};
use crate::proto::jid::Jid;
use crate::runtime::random;

/// Where an asker is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// The form is to be filled in.
    Form,
    /// It is asked whether it is meant.
    Confirm,
}

/// A form that is open.
#[derive(Clone, Debug)]
pub(super) struct Open {
    /// The full address of whom it is for.
    pub(super) asker: Jid,
    /// The command.
    pub(super) node: &'static str,
    pub(super) stage: Stage,
    /// What was filled in.
    pub(super) given: Given,
    pub(super) until: Instant,
}

/// What became of a form.
pub(super) enum Found {
    Open(Open),
    /// It was there, and is over.
    Ended,
    /// It never was, or is somebody else's.
    Unknown,
}

/// Forms of a host.
pub(super) struct Sessions {
    total: usize,
    per_account: usize,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    open: HashMap<String, Open>,
    /// The asker of each that ended lately, the newest last.
    ended: VecDeque<(String, Jid)>,
}

/// Ended forms that are remembered.
const ENDED: usize = 1_000;

/// An id nobody can guess.
pub(super) fn id() -> String {
    random::id()
}

impl Sessions {
    pub(super) fn new(total: usize, per_account: usize) -> Self {
        Sessions {
            total,
            per_account,
            inner: Mutex::default(),
        }
    }

    /// Opens a form, if there is room.
    pub(super) fn open(&self, open: Open, now: Instant) -> Result<String, StanzaError> {
        let mut inner = self.lock();
        inner.expire(now);
        let asker = open.asker.bare();
        let own = inner.open.values();
        let own = own.filter(|other| other.asker.bare() == asker).count();
        if inner.open.len() >= self.total || own >= self.per_account {
            return Err(StanzaError::from(Condition::ResourceConstraint)
                .with_text("Too many forms are open; complete or cancel some"));
        }
        let id = id();
        inner.open.insert(id.clone(), open);
        Ok(id)
    }

    /// Looks for a form of this asker and command.
    pub(super) fn find(&self, id: &str, asker: &Jid, node: &str, now: Instant) -> Found {
        let mut inner = self.lock();
        inner.expire(now);
        match inner.open.get(id) {
            Some(open) if open.asker == *asker && open.node == node => Found::Open(open.clone()),
            Some(_) => Found::Unknown,
            None if inner
                .ended
                .iter()
                .any(|(known, by)| known == id && by == asker) =>
            {
                Found::Ended
            }
            None => Found::Unknown,
        }
    }

    /// Puts a form back as it is now.
    pub(super) fn keep(&self, id: &str, open: Open) {
        self.lock().open.insert(id.to_owned(), open);
    }

    /// Ends a form; whether it was open.
    pub(super) fn end(&self, id: &str) -> bool {
        let mut inner = self.lock();
        let Some(open) = inner.open.remove(id) else {
            return false;
        };
        inner.note(id.to_owned(), open.asker);
        true
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn expire(&mut self, now: Instant) {
        let over = |(id, open): (&String, &Open)| (open.until <= now).then(|| id.clone());
        let over: Vec<String> = self.open.iter().filter_map(over).collect();
        for id in over {
            if let Some(open) = self.open.remove(&id) {
                self.note(id, open.asker);
            }
        }
    }

    fn note(&mut self, id: String, asker: Jid) {
        if self.ended.len() >= ENDED {
            self.ended.pop_front();
        }
        self.ended.push_back((id, asker));
    }
}
