//! Who waits, and who is next: each address in its turn, and within an address who came first.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, VecDeque};
use std::hash::Hash;

/// Things that wait, by whom they belong to. Bounded by whoever fills it.
pub(super) struct Queue<K, T> {
    waiting: HashMap<K, VecDeque<T>>,
    /// Everybody in `waiting`, once.
    turns: VecDeque<K>,
    count: usize,
}

impl<K: Eq + Hash + Copy, T> Queue<K, T> {
    /// Nobody waits.
    pub(super) fn new() -> Queue<K, T> {
        Queue {
            waiting: HashMap::new(),
            turns: VecDeque::new(),
            count: 0,
        }
    }

    /// How many wait.
    pub(super) fn len(&self) -> usize {
        self.count
    }

    pub(super) fn push(&mut self, owner: K, thing: T) {
        let own = match self.waiting.entry(owner) {
            Entry::Occupied(own) => own.into_mut(),
            Entry::Vacant(empty) => {
                self.turns.push_back(owner);
                empty.insert(VecDeque::new())
            }
        };
        own.push_back(thing);
        self.count += 1;
    }

    pub(super) fn pop(&mut self) -> Option<T> {
        let owner = self.turns.pop_front()?;
        let Entry::Occupied(mut own) = self.waiting.entry(owner) else {
            return None;
        };
        let thing = own.get_mut().pop_front();
        if own.get().is_empty() {
            own.remove();
        } else {
            self.turns.push_back(owner);
        }
        self.count = self.count.saturating_sub(1);
        if self.count == 0 {
            // A storm leaves no large empty tables behind.
            *self = Queue::new();
        }
        thing
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_owner_in_its_turn_and_its_own_in_order() {
        let mut queue = Queue::new();
        for n in 0..4 {
            queue.push('a', ('a', n));
        }
        queue.push('b', ('b', 0));
        queue.push('c', ('c', 0));
        queue.push('b', ('b', 1));
        assert_eq!(queue.len(), 7);
        let order: Vec<(char, i32)> = std::iter::from_fn(|| queue.pop()).collect();
        let wanted = [
            ('a', 0),
            ('b', 0),
            ('c', 0),
            ('a', 1),
            ('b', 1),
            ('a', 2),
            ('a', 3),
        ];
        assert_eq!(order, wanted);
        assert_eq!((queue.len(), queue.turns.capacity()), (0, 0));
    }
}
