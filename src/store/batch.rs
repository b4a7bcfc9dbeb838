//! Batches: what is written together or not at all.

use super::{Key, Range, Space};

/// Longest key in bytes, its space not counted.
pub const MAX_KEY: usize = 16 * 1024;
/// How many appends at one place a mark of [`Batch::mark`] leads to: its own, and those after it.
pub const MARKED: usize = 8;
/// Most keys that one [`Batch::delete_range`] may find; [`Store::erase`](super::Store::erase) takes more in pieces.
pub const MAX_RANGE: usize = 10_000;

/// One durable change: operations in order, and what must hold for them to happen. All of it
/// happens, or nothing. Preconditions see the store just before this batch.
#[derive(Clone, Debug, Default)]
pub struct Batch {
    pub(crate) ops: Vec<Op>,
    pub(crate) preconditions: Vec<Precondition>,
    relaxed: bool,
    makes_room: bool,
    bytes: usize,
}

/// Keys begin with their space.
#[derive(Clone, Debug)]
pub(crate) enum Op {
    Put(Key, Vec<u8>),
    Delete(Key),
    DeleteRange(Space, Range),
    Add(Key, i64),
    Append(Key, Vec<u8>),
    Mark(Key),
    ForgetMarks(Key),
}

#[derive(Clone, Debug)]
pub(crate) enum Precondition {
    Absent(Key),
    Equals(Key, Vec<u8>),
}

/// What an operation costs beside its key and value, for bounds.
const OVERHEAD: usize = 64;

impl Batch {
    /// An empty, durable batch.
    pub fn new() -> Batch {
        Batch::default()
    }

    /// Lets the batch ride along with the next sync instead of causing one. It waits for that at most
    /// [`Options::sync_interval`](super::Options::sync_interval) and is then written without; written, it survives the end of the
    /// process, and may be lost if the machine stops within about a second. It never overtakes an earlier batch.
    #[must_use]
    pub fn relaxed(mut self) -> Batch {
        self.relaxed = true;
        self
    }

    /// Lets the batch be written when free space is below the reserve too, as one that only removes things is: what it puts
    /// is small and part of a removal, or must be possible to those who make room.
    #[must_use]
    pub fn making_room(mut self) -> Batch {
        self.makes_room = true;
        self
    }

    /// Whether the batch may ride along with the next sync.
    pub fn is_relaxed(&self) -> bool {
        self.relaxed
    }

    /// Stores `value` under `key`.
    pub fn put(&mut self, space: Space, key: &[u8], value: impl Into<Vec<u8>>) {
        let (key, value) = (Key::in_space(space, key), value.into());
        self.bytes += key.len() + value.len() + OVERHEAD;
        self.ops.push(Op::Put(key, value));
    }

    /// Stores `value` under `prefix` followed by the batch's [`Mid`](super::Mid), which is not known before the batch
    /// is queued. Two appends under one prefix in one batch would share a key: the later one stays.
    pub fn append(&mut self, space: Space, prefix: &[u8], value: impl Into<Vec<u8>>) {
        let (key, value) = (Key::in_space(space, prefix), value.into());
        self.bytes += key.len() + 16 + value.len() + OVERHEAD;
        self.ops.push(Op::Append(key, value));
    }

    /// Lists what this batch appended last, under another prefix: by a mark, which is `prefix` followed by the batch's id with
    /// nothing stored there, unless there is one already since which fewer than [`MARKED`] appends at the same place came. So
    /// whoever reads from each mark on, as many appends as that, misses none that was to be listed. What was put at the place
    /// in another way must have a mark of its own, and does not count.
    pub fn mark(&mut self, space: Space, prefix: &[u8]) {
        let under = Key::in_space(space, prefix);
        self.bytes += under.len() + 16 + OVERHEAD;
        self.ops.push(Op::Mark(under));
    }

    /// Has what is listed of a place after this batch listed by marks after it, so that those up to its id may be removed.
    pub fn forget_marks(&mut self, space: Space, prefix: &[u8]) {
        let place = Key::in_space(space, prefix);
        self.bytes += place.len() + OVERHEAD;
        self.ops.push(Op::ForgetMarks(place));
    }

    /// Removes `key`, if it is there.
    pub fn delete(&mut self, space: Space, key: &[u8]) {
        let key = Key::in_space(space, key);
        self.bytes += key.len() + OVERHEAD;
        self.ops.push(Op::Delete(key));
    }

    /// Removes every key in `range`, at most [`MAX_RANGE`] of them, or the batch fails with
    /// [`CommitError::TooLarge`](super::CommitError::TooLarge).
    pub fn delete_range(&mut self, space: Space, range: Range) {
        self.bytes += 2 * OVERHEAD;
        self.ops.push(Op::DeleteRange(space, range));
    }

    /// Adds `by` to the counter under `key`, which begins at zero; it saturates. A value that is
    /// no counter fails the batch. Read it with [`counter`](super::counter).
    pub fn add(&mut self, space: Space, key: &[u8], by: i64) {
        let key = Key::in_space(space, key);
        self.bytes += key.len() + 8 + OVERHEAD;
        self.ops.push(Op::Add(key, by));
    }

    /// Demands that `key` does not exist.
    pub fn require_absent(&mut self, space: Space, key: &[u8]) {
        let key = Key::in_space(space, key);
        self.bytes += key.len() + OVERHEAD;
        self.preconditions.push(Precondition::Absent(key));
    }

    /// Demands that `key` has exactly this value.
    pub fn require_equals(&mut self, space: Space, key: &[u8], value: impl Into<Vec<u8>>) {
        let (key, value) = (Key::in_space(space, key), value.into());
        self.bytes += key.len() + value.len() + OVERHEAD;
        self.preconditions.push(Precondition::Equals(key, value));
    }

    /// Takes everything of `other` in after its own. The whole is relaxed, or making room, only if both are.
    pub fn merge(&mut self, other: Batch) {
        self.makes_room = if self.is_empty() {
            other.makes_room
        } else {
            self.makes_room && (other.makes_room || other.is_empty())
        };
        self.relaxed = if self.is_empty() {
            other.relaxed
        } else {
            self.relaxed && (other.relaxed || other.is_empty())
        };
        self.bytes += other.bytes;
        if self.ops.is_empty() {
            self.ops = other.ops;
        } else {
            self.ops.extend(other.ops);
        }
        self.preconditions.extend(other.preconditions);
    }

    /// Whether there is nothing to write. Committed nevertheless, it is a barrier: done when everything before it is.
    pub fn is_empty(&self) -> bool {
        self.ops.is_empty() && self.preconditions.is_empty()
    }

    /// Roughly what the batch takes in memory.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether the batch may be written below the reserve.
    pub(crate) fn may_use_reserve(&self) -> bool {
        let removes = |op: &Op| matches!(op, Op::Delete(_) | Op::DeleteRange(..));
        self.makes_room || self.ops.iter().all(removes)
    }

    pub(crate) fn keys_fit(&self) -> bool {
        let fits = |key: &Key| key.len() <= MAX_KEY + 1;
        self.ops.iter().all(|op| match op {
            Op::Put(key, _) | Op::Delete(key) | Op::Add(key, _) => fits(key),
            Op::Append(key, _) | Op::Mark(key) => key.len() + 16 <= MAX_KEY + 1,
            Op::DeleteRange(..) | Op::ForgetMarks(_) => true,
        }) && self.preconditions.iter().all(|p| match p {
            Precondition::Absent(key) | Precondition::Equals(key, _) => fits(key),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_merge_is_relaxed_only_if_both_are() {
        let filled = |relaxed: bool| {
            let mut batch = Batch::new();
            batch.put(Space::META, b"k", b"v".as_slice());
            if relaxed { batch.relaxed() } else { batch }
        };
        for (a, b) in [(false, false), (false, true), (true, false), (true, true)] {
            let mut whole = filled(a);
            whole.merge(filled(b));
            assert_eq!(whole.is_relaxed(), a && b);
        }
        let mut whole = Batch::new();
        whole.merge(filled(true));
        assert!(whole.is_relaxed());
        whole.merge(Batch::new());
        assert!(whole.is_relaxed());
    }
}
