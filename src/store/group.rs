//! A group of batches on its way to one engine write: preconditions checked, counters added up, ranges found.

use super::batch::{MAX_RANGE, Op, Precondition};
use super::engine::{Engine, RawOp};
use super::marks::Marks;
use super::snapshot::Checked;
use super::{Batch, CommitError, Direction, Key, Mid, Snapshot, Space, StoreError};
use super::{counter, counter_bytes, value};
use std::collections::HashMap;

/// What one batch does, before it is sure that all of it can be done.
#[derive(Default)]
struct Staged {
    sets: Vec<(Key, Option<Vec<u8>>)>,
    /// Where something is appended.
    appended: Vec<Key>,
    /// Marks that are wanted: of which place, and where.
    marks: Vec<(Key, Key)>,
    /// Places whose marks are not remembered any longer.
    forgotten: Vec<Key>,
}

/// The writes of one group, and the view that later batches of it have of the store.
#[derive(Default)]
pub(crate) struct Group<'e> {
    engine: Option<&'e dyn Engine>,
    marks: Option<&'e mut Marks>,
    snapshot: Option<Box<dyn Snapshot>>,
    /// In their order; of several for one key, the last one counts.
    ops: Vec<RawOp>,
    /// Where in `ops` a key is, last; only once somebody asked for one.
    index: Option<HashMap<Key, usize>>,
}

impl<'e> Group<'e> {
    /// An empty group over what `engine` has. If it is not written, `marks` must be cleared.
    pub(crate) fn over(engine: &'e dyn Engine, marks: &'e mut Marks) -> Group<'e> {
        Group {
            engine: Some(engine),
            marks: Some(marks),
            ..Group::default()
        }
    }

    /// Takes a batch in whole, or leaves the group as it was.
    pub(crate) fn admit(&mut self, mid: Mid, batch: Batch) -> Result<(), CommitError> {
        for precondition in &batch.preconditions {
            let holds = match precondition {
                Precondition::Absent(key) => self.get(key)?.is_none(),
                Precondition::Equals(key, value) => self.get(key)?.as_ref() == Some(value),
            };
            if !holds {
                return Err(CommitError::Precondition);
            }
        }
        // Nothing of a batch that fails half-way may stay, so it goes in last.
        let mut staged = Staged {
            sets: Vec::with_capacity(batch.ops.len()),
            ..Staged::default()
        };
        for op in batch.ops {
            self.stage(mid, op, &mut staged)?;
        }
        for (key, value) in std::mem::take(&mut staged.sets) {
            self.set(key, value);
        }
        self.mark(mid, staged);
        Ok(())
    }

    /// Writes the marks that are needed, when a batch is sure to go in.
    fn mark(&mut self, mid: Mid, staged: Staged) {
        let Some(marks) = self.marks.as_deref_mut() else {
            return;
        };
        for place in &staged.appended {
            marks.appended(place);
        }
        let mut needed: Vec<Key> = Vec::new();
        for (place, under) in staged.marks {
            if marks.needs(place, &under) {
                needed.push(under.mid(mid));
            }
        }
        for place in &staged.forgotten {
            marks.forget(place);
        }
        for key in needed {
            self.set(key, Some(Vec::new()));
        }
    }

    fn stage(&mut self, mid: Mid, op: Op, staged: &mut Staged) -> Result<(), CommitError> {
        let Staged {
            sets: staged,
            appended,
            marks,
            forgotten,
        } = staged;
        match op {
            Op::Put(key, value) => staged.push((key, Some(value))),
            Op::Append(prefix, value) => {
                staged.push((prefix.clone().mid(mid), Some(value)));
                appended.push(prefix);
            }
            Op::Mark(under) => marks.extend(appended.last().map(|place| (place.clone(), under))),
            Op::ForgetMarks(place) => forgotten.push(place),
            Op::Delete(key) => staged.push((key, None)),
            Op::Add(key, by) => {
                let own = staged
                    .iter()
                    .rev()
                    .find(|(staged, _)| *staged == key)
                    .map(|(_, value)| value.clone());
                let old = match own {
                    Some(value) => value,
                    None => self.get(&key)?,
                };
                let old = old
                    .map_or(Some(0), |value| counter(&value))
                    .ok_or(CommitError::Failed)?;
                staged.push((key, Some(counter_bytes(old.saturating_add(by)).to_vec())));
            }
            Op::DeleteRange(space, range) => {
                let snapshot = self.snapshot()?;
                let rows = snapshot
                    .scan(space, &range, Direction::Forward, MAX_RANGE + 1)
                    .map_err(failed)?;
                if rows.len() > MAX_RANGE {
                    return Err(CommitError::TooLarge);
                }
                let inside = |key: &Key| {
                    key.split_first()
                        .is_some_and(|(first, rest)| *first == space.0 && range.contains(rest))
                };
                let mut keys: Vec<Key> = rows
                    .iter()
                    .map(|(key, _)| Key::in_space(space, key))
                    .collect();
                keys.extend(
                    self.ops
                        .iter()
                        .map(|op| &op.key)
                        .chain(staged.iter().map(|(key, _)| key))
                        .filter(|key| inside(key))
                        .cloned(),
                );
                staged.extend(keys.into_iter().map(|key| (key, None)));
            }
        }
        Ok(())
    }

    fn set(&mut self, key: Key, value: Option<Vec<u8>>) {
        let value = value.map(|value| value::seal(&key, value));
        if let Some(index) = &mut self.index {
            index.insert(key.clone(), self.ops.len());
        }
        self.ops.push(RawOp { key, value });
    }

    /// Whether there is nothing to write.
    pub(crate) fn is_empty(&self) -> bool {
        self.ops.is_empty()
    }

    /// What is to be written: each key once, in the order of keys, in which trees take them best.
    pub(crate) fn into_ops(self) -> Vec<RawOp> {
        let mut ops = self.ops;
        // Stable, and of neighbours the first one stays: that which came last.
        ops.reverse();
        ops.sort_by(|a, b| a.key.cmp(&b.key));
        ops.dedup_by(|a, b| a.key == b.key);
        ops
    }

    /// Adds entries of the store's own.
    pub(crate) fn put_meta(&mut self, entries: Vec<(Key, Vec<u8>)>) {
        for (name, value) in entries {
            self.set(Key::in_space(Space::META, &name), Some(value));
        }
    }

    /// The value of a key after the batches before this one.
    fn get(&mut self, key: &Key) -> Result<Option<Vec<u8>>, CommitError> {
        let index = self.index.get_or_insert_with(|| {
            let keys = self.ops.iter().map(|op| op.key.clone());
            keys.enumerate().map(|(at, key)| (key, at)).collect()
        });
        if let Some(op) = index.get(key).and_then(|&at| self.ops.get(at)) {
            return op
                .value
                .clone()
                .map(|sealed| value::open(key, sealed))
                .transpose()
                .map_err(failed);
        }
        let Some((&space, rest)) = key.split_first() else {
            return Ok(None);
        };
        Checked(self.snapshot()?)
            .get(Space(space), rest)
            .map_err(failed)
    }

    fn snapshot(&mut self) -> Result<&dyn Snapshot, CommitError> {
        if self.snapshot.is_none() {
            let engine = self.engine.ok_or(CommitError::Failed)?;
            self.snapshot = Some(engine.snapshot().map_err(failed)?);
        }
        self.snapshot.as_deref().ok_or(CommitError::Failed)
    }
}

fn failed(error: StoreError) -> CommitError {
    tracing::error!(%error, "the store could not be read for a commit");
    CommitError::Failed
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::store::testing;
    use proptest::prelude::*;

    proptest! {
        /// However often a key is written, and whether or not somebody looked meanwhile, the last write counts.
        #[test]
        fn each_key_is_written_once_and_as_it_was_last(
            writes in proptest::collection::vec((0..8_u8, proptest::option::of(any::<u8>()), any::<bool>()), 0..40),
        ) {
            let (engine, mut marks) = (testing::memory(), Marks::default());
            let mut group = Group::over(&*engine, &mut marks);
            let mut last = std::collections::BTreeMap::new();
            for (n, value, looks) in writes {
                let key = Key::in_space(Space::META, &[n]);
                if looks {
                    let there = last.get(&key).cloned().flatten();
                    prop_assert_eq!(group.get(&key).unwrap(), there);
                }
                let mut batch = Batch::new();
                match value {
                    Some(value) => batch.put(Space::META, &[n], vec![value]),
                    None => batch.delete(Space::META, &[n]),
                }
                group.admit(Mid::MIN, batch).unwrap();
                last.insert(key, value.map(|value| vec![value]));
            }
            let ops = group.into_ops().into_iter().map(|op| {
                let value = op.value.map(|sealed| value::open(&op.key, sealed).unwrap());
                (op.key, value)
            });
            prop_assert!(ops.eq(last));
        }
    }
}
