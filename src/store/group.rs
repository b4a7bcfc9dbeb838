//! A group of batches on its way to one engine write: preconditions checked, counters added up, ranges found.

use super::batch::{MAX_RANGE, Op, Precondition};
use super::engine::{Engine, RawOp};
use super::snapshot::Checked;
use super::{Batch, CommitError, Direction, Key, Mid, Snapshot, Space, StoreError};
use super::{counter, counter_bytes, value};
use std::collections::HashMap;

/// The writes of one group, each key once, and the view that later batches of it have of the store.
#[derive(Default)]
pub(crate) struct Group<'e> {
    engine: Option<&'e dyn Engine>,
    snapshot: Option<Box<dyn Snapshot>>,
    pub(crate) ops: Vec<RawOp>,
    /// Where in `ops` a key is.
    index: HashMap<Key, usize>,
}

impl<'e> Group<'e> {
    /// An empty group over what `engine` has.
    pub(crate) fn over(engine: &'e dyn Engine) -> Group<'e> {
        Group {
            engine: Some(engine),
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
        let mut staged: Vec<(Key, Option<Vec<u8>>)> = Vec::with_capacity(batch.ops.len());
        for op in batch.ops {
            self.stage(mid, op, &mut staged)?;
        }
        for (key, value) in staged {
            self.set(key, value);
        }
        Ok(())
    }

    fn stage(
        &mut self,
        mid: Mid,
        op: Op,
        staged: &mut Vec<(Key, Option<Vec<u8>>)>,
    ) -> Result<(), CommitError> {
        match op {
            Op::Put(key, value) => staged.push((key, Some(value))),
            Op::Append(prefix, value) => staged.push((prefix.mid(mid), Some(value))),
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
        match self.index.get(&key) {
            Some(&at) => {
                if let Some(op) = self.ops.get_mut(at) {
                    op.value = value;
                }
            }
            None => {
                self.index.insert(key.clone(), self.ops.len());
                self.ops.push(RawOp { key, value });
            }
        }
    }

    /// Adds entries of the store's own.
    pub(crate) fn put_meta(&mut self, entries: Vec<(Key, Vec<u8>)>) {
        for (name, value) in entries {
            self.set(Key::in_space(Space::META, &name), Some(value));
        }
    }

    /// The value of a key after the batches before this one.
    fn get(&mut self, key: &Key) -> Result<Option<Vec<u8>>, CommitError> {
        if let Some(op) = self.index.get(key).and_then(|&at| self.ops.get(at)) {
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
