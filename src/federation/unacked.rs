//! What was sent to another server and not acknowledged yet (XEP-0198 §4): it is sent again when the stream is resumed.

use std::collections::VecDeque;

use crate::stream::AckError;
use crate::stream::acks::newly_acked;

/// An acknowledgement is asked for after this many stanzas at the latest.
const ASK_AFTER: u32 = 64;

/// Sent stanzas in order, with their sizes.
pub(super) struct Unacked<T> {
    held: VecDeque<(T, usize)>,
    bytes: usize,
    sent: u32,
    acked: u32,
    asked: bool,
    since_ask: u32,
    /// Ask whether the other side is there, even if it owes nothing.
    probing: bool,
}

impl<T> Default for Unacked<T> {
    fn default() -> Self {
        Unacked {
            held: VecDeque::new(),
            bytes: 0,
            sent: 0,
            acked: 0,
            asked: false,
            since_ask: 0,
            probing: false,
        }
    }
}

impl<T> Unacked<T> {
    /// A stanza was sent.
    pub fn hold(&mut self, item: T, size: usize) {
        self.sent = self.sent.wrapping_add(1);
        self.since_ask = self.since_ask.saturating_add(1);
        self.bytes += size;
        self.held.push_back((item, size));
    }

    /// The other side has handled as many; which these are.
    ///
    /// # Errors
    /// So many were never sent.
    pub fn acked(&mut self, h: u32) -> Result<Vec<T>, AckError> {
        let count = newly_acked(self.acked, self.sent, h)?;
        self.acked = self.acked.wrapping_add(count);
        self.asked = false;
        let count = (count as usize).min(self.held.len());
        let taken: Vec<_> = self.held.drain(..count).collect();
        let bytes: usize = taken.iter().map(|(_, size)| size).sum();
        self.bytes = self.bytes.saturating_sub(bytes);
        Ok(taken.into_iter().map(|(item, _)| item).collect())
    }

    /// Stanzas and their bytes.
    pub fn weight(&self) -> (usize, usize) {
        (self.held.len(), self.bytes)
    }

    /// Whether an acknowledgement was asked for and has not come.
    pub fn is_asked(&self) -> bool {
        self.asked
    }

    pub fn is_empty(&self) -> bool {
        self.held.is_empty()
    }

    /// Whether to ask for an acknowledgement now; `idle` if there is nothing else to write.
    pub fn asks(&mut self, idle: bool) -> bool {
        let owed = !self.held.is_empty() && (idle || self.since_ask >= ASK_AFTER);
        if !(owed && !self.asked || self.probing) {
            return false;
        }
        self.asked = true;
        self.probing = false;
        self.since_ask = 0;
        true
    }

    /// Asks in any case.
    pub fn probe(&mut self) {
        self.probing = true;
    }

    /// Takes everything out, oldest first: it is to be sent again, or given up.
    pub fn rewind(&mut self) -> VecDeque<(T, usize)> {
        self.sent = self.acked;
        self.asked = false;
        self.since_ask = 0;
        self.bytes = 0;
        std::mem::take(&mut self.held)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn what_is_acknowledged_is_let_go_and_the_rest_comes_again() {
        let mut unacked = Unacked::default();
        for n in 0..4 {
            unacked.hold(n, 10);
        }
        assert!(unacked.asks(true));
        assert!(!unacked.asks(true), "one question at a time");
        assert_eq!(unacked.acked(2).unwrap(), [0, 1]);
        assert_eq!(unacked.weight(), (2, 20));
        assert_eq!(unacked.acked(2).unwrap(), Vec::<i32>::new());
        assert_eq!(unacked.acked(5), Err(AckError { h: 5, sent: 4 }));
        let again: Vec<_> = unacked.rewind().into_iter().map(|(n, _)| n).collect();
        assert_eq!(again, [2, 3]);
        unacked.hold(2, 10);
        assert_eq!(unacked.acked(3).unwrap(), [2], "the count goes on");
    }

    #[test]
    fn who_does_not_stop_sending_asks_all_the_same() {
        let mut unacked = Unacked::default();
        for n in 0..ASK_AFTER {
            assert!(!unacked.asks(false), "{n}");
            unacked.hold(n, 1);
        }
        assert!(unacked.asks(false));
        unacked.probe();
        assert!(unacked.asks(false));
    }
}
