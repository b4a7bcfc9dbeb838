//! Whether the way to another domain is gone for so long that its people count as gone too (RFC 6121 §4).

use std::time::{Duration, Instant};

/// What a pair knows of it.
#[derive(Debug, Default)]
pub(super) struct Loss {
    /// A stream broke, or a call failed, and none came through since.
    since: Option<Instant>,
    lost: bool,
}

impl Loss {
    /// Something went wrong.
    pub fn begins(&mut self, now: Instant) {
        self.since.get_or_insert(now);
    }

    /// Whether it is worth looking for the other side although nothing is to be sent.
    pub fn is_on(&self) -> bool {
        self.since.is_some()
    }

    /// Time passes; whether it is lost from now on. After `forever` nobody looks for it any more.
    pub fn tick(&mut self, now: Instant, after: Duration, forever: Duration) -> bool {
        let Some(since) = self.since else {
            return false;
        };
        let gone = now.saturating_duration_since(since);
        if gone >= forever {
            self.since = None;
        }
        gone >= after && !std::mem::replace(&mut self.lost, true)
    }

    /// It is not there for certain; whether it is lost from now on.
    pub fn is_final(&mut self) -> bool {
        self.since.take().is_some() && !std::mem::replace(&mut self.lost, true)
    }

    /// A stream came about; whether the other side had been lost.
    pub fn ends(&mut self) -> bool {
        self.since = None;
        std::mem::take(&mut self.lost)
    }
}
