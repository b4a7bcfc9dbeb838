//! What a client has been sent and has not acknowledged (XEP-0198 §4), at the cost of what depends on it.

use std::collections::VecDeque;

use super::outward::Queued;
use crate::hooks::Entry;

/// Sent stanzas in order; runs of those that nothing depends on cost one place.
#[derive(Default)]
pub(super) struct Unacked {
    runs: VecDeque<Run>,
    entries: usize,
    /// Entries, and what is held that would go back to its sender ([`Queued::presses`]).
    pressing: usize,
    held: usize,
    bytes: usize,
}

enum Run {
    Plain(usize),
    Entry(Entry),
    /// To be sent again when the session is resumed.
    Held(Box<Queued>),
}

impl Unacked {
    /// A stanza was sent on a stream that cannot be resumed.
    pub fn push(&mut self, entry: Option<Entry>) {
        match (entry, self.runs.back_mut()) {
            (Some(entry), _) => {
                self.entries += 1;
                self.pressing += 1;
                self.runs.push_back(Run::Entry(entry));
            }
            (None, Some(Run::Plain(count))) => *count += 1,
            (None, _) => self.runs.push_back(Run::Plain(1)),
        }
    }

    /// A stanza was sent that must be sent again if it is not acknowledged before the stream ends.
    pub fn hold(&mut self, queued: Queued) {
        self.held += 1;
        self.bytes += queued.size;
        self.entries += usize::from(queued.item.entry.is_some());
        self.pressing += usize::from(queued.presses());
        self.runs.push_back(Run::Held(Box::new(queued)));
    }

    /// The client has the oldest `count`; their entries.
    pub fn release(&mut self, mut count: usize) -> Vec<Entry> {
        let mut taken = Vec::new();
        while count > 0 {
            match self.runs.front_mut() {
                Some(Run::Plain(run)) if *run > count => {
                    *run -= count;
                    break;
                }
                Some(Run::Plain(run)) => count -= *run,
                Some(Run::Entry(entry)) => {
                    taken.push(*entry);
                    self.pressing = self.pressing.saturating_sub(1);
                    count -= 1;
                }
                Some(Run::Held(queued)) => {
                    taken.extend(queued.item.entry);
                    let pressed = usize::from(queued.presses());
                    self.pressing = self.pressing.saturating_sub(pressed);
                    self.held = self.held.saturating_sub(1);
                    self.bytes = self.bytes.saturating_sub(queued.size);
                    count -= 1;
                }
                None => break,
            }
            self.runs.pop_front();
        }
        self.entries = self.entries.saturating_sub(taken.len());
        if self.runs.is_empty() {
            self.runs = VecDeque::new();
        }
        taken
    }

    /// Takes out all that is held, oldest first; nothing is left.
    pub fn take_held(&mut self) -> Vec<Queued> {
        let all = std::mem::take(self).runs.into_iter();
        all.filter_map(|run| match run {
            Run::Held(queued) => Some(*queued),
            Run::Plain(_) | Run::Entry(_) => None,
        })
        .collect()
    }

    /// All that is held, oldest first.
    pub fn held(&self) -> impl Iterator<Item = &Queued> {
        self.runs.iter().filter_map(|run| match run {
            Run::Held(queued) => Some(&**queued),
            Run::Plain(_) | Run::Entry(_) => None,
        })
    }

    /// Whether everything was acknowledged.
    pub fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }

    /// How many entries are not acknowledged.
    pub fn entries(&self) -> usize {
        self.entries
    }

    /// Whether somebody would get again, or get back, what the client has already, if it did not come back.
    pub fn presses(&self) -> bool {
        self.pressing > 0
    }

    /// How many stanzas are held, and their bytes.
    pub fn weight(&self) -> (usize, usize) {
        (self.held, self.bytes)
    }

    /// The entries that are not acknowledged, oldest first.
    pub fn iter(&self) -> impl Iterator<Item = &Entry> {
        self.runs.iter().filter_map(|run| match run {
            Run::Entry(entry) => Some(entry),
            Run::Held(queued) => queued.item.entry.as_ref(),
            Run::Plain(_) => None,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::hooks::Outgoing;
    use crate::proto::stanza::{MessageType, PresenceType, Stanza};
    use crate::store::Mid;

    fn entry(n: u64) -> Entry {
        Entry {
            mid: Mid::first_of(n),
            keep: false,
        }
    }

    fn queued(n: Option<u64>) -> Queued {
        held(Stanza::message(MessageType::Chat), n)
    }

    fn held(stanza: Stanza, n: Option<u64>) -> Queued {
        Queued {
            item: Outgoing {
                stanza: Arc::new(stanza),
                to: None,
                entry: n.map(entry),
            },
            size: 100,
        }
    }

    #[test]
    fn entries_come_back_in_order_and_runs_are_counted() {
        let mut unacked = Unacked::default();
        for sent in [None, None, Some(entry(1)), None, Some(entry(2)), None] {
            unacked.push(sent);
        }
        assert_eq!(unacked.entries(), 2);
        assert_eq!(unacked.release(1), []);
        assert_eq!(unacked.release(2), [entry(1)]);
        assert_eq!(unacked.release(1), []);
        assert_eq!(unacked.iter().copied().collect::<Vec<_>>(), [entry(2)]);
        assert_eq!(unacked.release(9), [entry(2)]);
        assert!(unacked.is_empty());
    }

    #[test]
    fn what_is_held_comes_back_whole_and_in_order() {
        let mut unacked = Unacked::default();
        unacked.push(None);
        assert!(!unacked.presses());
        for n in [Some(1), None, Some(2)] {
            unacked.hold(queued(n));
        }
        assert!(unacked.presses());
        assert_eq!((unacked.weight(), unacked.entries()), ((3, 300), 2));
        assert_eq!(unacked.release(2), [entry(1)]);
        let rest: Vec<_> = unacked.take_held().iter().map(|q| q.item.entry).collect();
        assert_eq!(rest, [None, Some(entry(2))]);
        assert_eq!((unacked.weight(), unacked.is_empty()), ((0, 0), true));
    }

    #[test]
    fn what_a_room_said_and_presence_do_not_press() {
        let mut unacked = Unacked::default();
        let said = Stanza::message(MessageType::Groupchat);
        let shown = Stanza::presence(PresenceType::Available);
        for stanza in [said, shown] {
            unacked.hold(held(stanza, None));
        }
        assert!(!unacked.presses());
        unacked.hold(held(Stanza::message(MessageType::Groupchat), Some(1)));
        assert!(unacked.presses());
        unacked.release(2);
        assert!(unacked.presses());
        unacked.release(1);
        assert!(!unacked.presses());
    }

    #[test]
    fn a_client_that_never_acknowledges_costs_its_entries_only() {
        let mut unacked = Unacked::default();
        for _ in 0..100_000 {
            unacked.push(None);
        }
        assert_eq!((unacked.runs.len(), unacked.entries()), (1, 0));
        assert_eq!(size_of::<Run>(), size_of::<Entry>().next_multiple_of(8));
    }
}
