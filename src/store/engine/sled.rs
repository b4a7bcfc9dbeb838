//! sled 0.34.7: a log-structured tree of pages, one tree with the space as first byte.
//!
//! Its `flush` only hands the data to the operating system (sled #1452), so a durable group is `flush` and an `fdatasync` of
//! our own: syncs belong to the file, whoever opened it. Even so it may refuse to open after a power cut (sled #1387).
//! `flush_async` may deadlock (sled #1308) and is not used. After a failed write it neither reads nor closes any more, so
//! only a restart helps; the reserve of free space is there to come first.

use super::slot::Slot;
use super::{Engine, EngineError, EngineStats, RawOp};
use crate::store::open::sync_directory;
use crate::store::{Direction, Key, Range, Rows, Snapshot, Space, StoreError};
use std::fs::File;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, PoisonError, RwLock};

pub(crate) struct Sled {
    slot: Slot<Tree>,
    /// A write has failed: closing would wait for ever.
    broken: AtomicBool,
}

struct Tree {
    database: sled::Db,
    /// The file with the data, for `fdatasync`.
    file: File,
    /// Closed while a batch is applied, so that no single read sees half of it.
    gate: RwLock<()>,
}

impl Sled {
    pub(crate) fn open(path: &Path, cache_bytes: u64) -> Result<Sled, EngineError> {
        let slot = Slot::new(Tree::open(path, cache_bytes)?);
        Ok(Sled {
            slot,
            broken: AtomicBool::new(false),
        })
    }

    fn tree(&self) -> Result<Arc<Tree>, EngineError> {
        self.slot.database().ok_or(EngineError::Closed)
    }
}

impl Tree {
    fn open(path: &Path, cache_bytes: u64) -> Result<Tree, EngineError> {
        // Its resident memory is about three times what it is told.
        let config = sled::Config::new()
            .path(path)
            .cache_capacity(cache_bytes / 3)
            .flush_every_ms(None);
        let database = config.open().map_err(failure)?;
        let file = File::open(path.join("db")).map_err(io)?;
        for name in ["db", "conf"] {
            File::open(path.join(name))
                .and_then(|file| file.sync_all())
                .map_err(io)?;
        }
        sync_directory(path).map_err(io)?;
        Ok(Tree {
            database,
            file,
            gate: RwLock::new(()),
        })
    }

    fn write(&self, ops: &[RawOp], durable: bool) -> Result<(), EngineError> {
        let mut batch = sled::Batch::default();
        for op in ops {
            match &op.value {
                Some(value) => batch.insert(&*op.key, value.as_slice()),
                None => batch.remove(&*op.key),
            }
        }
        let applied = {
            let _shut = self.gate.write().unwrap_or_else(PoisonError::into_inner);
            self.database.apply_batch(batch)
        };
        applied
            .and_then(|()| self.database.flush())
            .map_err(failure)?;
        if durable {
            self.file.sync_data().map_err(io)?;
        }
        Ok(())
    }
}

impl Engine for Sled {
    fn name(&self) -> &'static str {
        "sled"
    }

    fn snapshot(&self) -> Result<Box<dyn Snapshot>, StoreError> {
        let tree = self
            .tree()
            .map_err(|error| StoreError::Engine(error.to_string()))?;
        Ok(Box::new(View(tree)))
    }

    fn write(&self, ops: &[RawOp], durable: bool) -> Result<(), EngineError> {
        // Broken until it has gone well, so that a panic leaves it broken too.
        if self.broken.swap(true, SeqCst) {
            return Err(EngineError::Closed);
        }
        self.tree()?.write(ops, durable)?;
        self.broken.store(false, SeqCst);
        Ok(())
    }

    fn recover(&self) -> Result<(), EngineError> {
        Err(EngineError::Sync(
            "sled cannot go on after a failed write".to_owned(),
        ))
    }

    fn stats(&self) -> EngineStats {
        let disk_bytes = self
            .tree()
            .ok()
            .and_then(|tree| tree.database.size_on_disk().ok());
        EngineStats {
            disk_bytes: disk_bytes.unwrap_or_default(),
            buffer_bytes: 0,
        }
    }

    fn close(&self) -> Result<(), EngineError> {
        let broken = self.broken.load(SeqCst);
        self.slot.close(|tree| {
            let Tree { database, file, .. } = tree;
            if broken || database.flush().is_err() {
                std::mem::forget(database);
                return Err(EngineError::Closed);
            }
            drop(database);
            file.sync_all().map_err(io)
        })?
    }
}

struct View(Arc<Tree>);

impl Snapshot for View {
    fn get(&self, space: Space, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        let _open = self.0.gate.read().unwrap_or_else(PoisonError::into_inner);
        let value = self
            .0
            .database
            .get(Key::in_space(space, key))
            .map_err(unreadable)?;
        Ok(value.map(|value| value.to_vec()))
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
        let _open = self.0.gate.read().unwrap_or_else(PoisonError::into_inner);
        let rows = self.0.database.range(range);
        let row = |row: sled::Result<(sled::IVec, sled::IVec)>| {
            let (key, value) = row.map_err(unreadable)?;
            Ok((key.get(1..).unwrap_or_default().to_vec(), value.to_vec()))
        };
        match direction {
            Direction::Forward => rows.take(limit).map(row).collect(),
            Direction::Backward => rows.rev().take(limit).map(row).collect(),
        }
    }
}

fn unreadable(error: sled::Error) -> StoreError {
    StoreError::Engine(error.to_string())
}

fn failure(error: sled::Error) -> EngineError {
    EngineError::Sync(error.to_string())
}

fn io(error: std::io::Error) -> EngineError {
    EngineError::Sync(error.to_string())
}
