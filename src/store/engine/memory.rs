//! The engine for tests: an ordered map, gone with the process.

use super::{Engine, EngineError, EngineStats, RawOp};
use crate::store::snapshot::up_to;
use crate::store::{Direction, Key, Range, Rows, Snapshot, Space, StoreError};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

type Map = BTreeMap<Key, Vec<u8>>;

/// A map that snapshots share until the next write.
#[derive(Default)]
pub(crate) struct Memory(Mutex<Arc<Map>>);

impl Engine for Memory {
    fn name(&self) -> &'static str {
        "memory"
    }

    fn snapshot(&self) -> Result<Box<dyn Snapshot>, StoreError> {
        let map = self
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        Ok(Box::new(View(map)))
    }

    fn write(&self, ops: &[RawOp], _durable: bool) -> Result<(), EngineError> {
        let mut map = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let map = Arc::make_mut(&mut map);
        for op in ops {
            match &op.value {
                Some(value) => map.insert(op.key.clone(), value.clone()),
                None => map.remove(&op.key),
            };
        }
        Ok(())
    }

    fn recover(&self) -> Result<(), EngineError> {
        Ok(())
    }

    fn stats(&self) -> EngineStats {
        EngineStats::default()
    }

    fn close(&self) -> Result<(), EngineError> {
        Ok(())
    }
}

struct View(Arc<Map>);

impl Snapshot for View {
    fn get(&self, space: Space, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.0.get(&Key::in_space(space, key)).cloned())
    }

    fn scan(
        &self,
        space: Space,
        range: &Range,
        direction: Direction,
        limit: usize,
    ) -> Result<Rows, StoreError> {
        let Some(range) = range.in_space(space) else {
            return Ok(Rows::new());
        };
        let row = |(key, value): (&Key, &Vec<u8>)| {
            (key.get(1..).unwrap_or_default().to_vec(), value.clone())
        };
        let rows = self.0.range(range);
        Ok(match direction {
            Direction::Forward => rows.take(limit).map(row).collect(),
            Direction::Backward => rows.rev().take(limit).map(row).collect(),
        })
    }

    fn page(&self, space: Space, range: &Range, bytes: usize) -> Result<Rows, StoreError> {
        let Some(range) = range.in_space(space) else {
            return Ok(Rows::new());
        };
        let row = |(key, value): (&Key, &Vec<u8>)| {
            Ok((key.get(1..).unwrap_or_default().to_vec(), value.clone()))
        };
        up_to(bytes, self.0.range(range).map(row))
    }
}
