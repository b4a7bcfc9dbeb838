//! What a client has been sent and has not acknowledged (XEP-0198 §4), at the cost of its entries.

use std::collections::VecDeque;

use crate::hooks::Entry;

/// Sent stanzas in order; runs of those that nothing depends on cost one place.
#[derive(Default)]
pub(super) struct Unacked {
    runs: VecDeque<Run>,
    entries: usize,
}

enum Run {
    Plain(usize),
    Entry(Entry),
}

impl Unacked {
    /// A stanza was sent.
    pub fn push(&mut self, entry: Option<Entry>) {
        match (entry, self.runs.back_mut()) {
            (Some(entry), _) => {
                self.entries += 1;
                self.runs.push_back(Run::Entry(entry));
            }
            (None, Some(Run::Plain(count))) => *count += 1,
            (None, _) => self.runs.push_back(Run::Plain(1)),
        }
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

    /// Whether everything was acknowledged.
    pub fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }

    /// How many entries are not acknowledged.
    pub fn entries(&self) -> usize {
        self.entries
    }

    /// The entries that are not acknowledged, oldest first.
    pub fn iter(&self) -> impl Iterator<Item = &Entry> {
        self.runs.iter().filter_map(|run| match run {
            Run::Entry(entry) => Some(entry),
            Run::Plain(_) => None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Mid;

    fn entry(n: u64) -> Entry {
        Entry {
            mid: Mid::first_of(n),
            keep: false,
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
    fn a_client_that_never_acknowledges_costs_its_entries_only() {
        let mut unacked = Unacked::default();
        for _ in 0..100_000 {
            unacked.push(None);
        }
        assert_eq!((unacked.runs.len(), unacked.entries()), (1, 0));
    }
}
