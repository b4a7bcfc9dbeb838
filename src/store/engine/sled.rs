//! sled 0.34.7: a log-structured tree of pages, one tree with the space as first byte.
//!
//! Its `flush` only hands the data to the operating system (sled #1452), so a durable group is `flush` and an `fdatasync` of
//! our own: syncs belong to the file, whoever opened it. Even so it may refuse to open after a power cut (sled #1387).
//! `flush_async` may deadlock (sled #1308) and is not used. After a failed write it neither reads nor closes any more, so
//! only a restart helps; the reserve of free space is there to come first.

use super::old::{Old, Row, overlaid};
use super::slot::Slot;
use super::{Engine, EngineError, EngineStats, RawOp};
use crate::store::open::sync_directory;
use crate::store::snapshot::up_to;
use crate::store::{Direction, Key, Range, Rows, Snapshot, Space, StoreError};
use std::cmp::Ordering;
use std::fs::File;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Mutex, PoisonError, RwLock, Weak};
use std::time::Duration;

/// How often it is tried again while the lock is taken.
const LOCKED: usize = 100;

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
    /// Views that must go on seeing what is overwritten.
    frozen: Mutex<Vec<Weak<Old>>>,
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

/// Opens it. Whoever has the store's own lock is alone; but a program that another thread is just starting may hold what was
/// let go a moment ago, until it has begun.
fn alone(config: &sled::Config) -> sled::Result<sled::Db> {
    for _ in 0..LOCKED {
        match config.open() {
            Err(sled::Error::Io(error)) if error.to_string().contains("acquire lock") => {
                std::thread::sleep(Duration::from_millis(10));
            }
            opened => return opened,
        }
    }
    config.open()
}

impl Tree {
    fn open(path: &Path, cache_bytes: u64) -> Result<Tree, EngineError> {
        // Its resident memory is about three times what it is told.
        let config = sled::Config::new()
            .path(path)
            .cache_capacity(cache_bytes / 3)
            .flush_every_ms(None);
        let database = alone(&config).map_err(failure)?;
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
            frozen: Mutex::default(),
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
            self.keep_old(ops)
                .and_then(|()| self.database.apply_batch(batch))
        };
        applied
            .and_then(|()| self.database.flush())
            .map_err(failure)?;
        if durable {
            self.file.sync_data().map_err(io)?;
        }
        Ok(())
    }

    /// Saves what `ops` will overwrite for the frozen views. The gate is shut.
    fn keep_old(&self, ops: &[RawOp]) -> sled::Result<()> {
        let mut frozen = self.frozen.lock().unwrap_or_else(PoisonError::into_inner);
        frozen.retain(|old| old.strong_count() > 0);
        for old in frozen.iter().filter_map(Weak::upgrade) {
            old.keep(ops, |key| self.database.get(key))?;
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

    fn frozen(&self) -> Result<Box<dyn Snapshot>, StoreError> {
        let tree = self
            .tree()
            .map_err(|error| StoreError::Engine(error.to_string()))?;
        let old = Arc::new(Old::default());
        let _shut = tree.gate.write().unwrap_or_else(PoisonError::into_inner);
        let mut frozen = tree.frozen.lock().unwrap_or_else(PoisonError::into_inner);
        frozen.push(Arc::downgrade(&old));
        drop(frozen);
        let tree = tree.clone();
        drop(_shut);
        Ok(Box::new(Frozen { tree, old }))
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
        match direction {
            Direction::Forward => rows.take(limit).map(row).collect(),
            Direction::Backward => rows.rev().take(limit).map(row).collect(),
        }
    }

    fn page(&self, space: Space, range: &Range, bytes: usize) -> Result<Rows, StoreError> {
        let Some(range) = range.in_space(space) else {
            return Ok(Rows::new());
        };
        let _open = self.0.gate.read().unwrap_or_else(PoisonError::into_inner);
        up_to(bytes, self.0.database.range(range).map(row))
    }
}

fn row(row: sled::Result<(sled::IVec, sled::IVec)>) -> Result<(Vec<u8>, Vec<u8>), StoreError> {
    let (key, value) = row.map_err(unreadable)?;
    Ok((key.get(1..).unwrap_or_default().to_vec(), value.to_vec()))
}

/// A view that does not move: the tree, with what was overwritten since in front of it.
struct Frozen {
    tree: Arc<Tree>,
    old: Arc<Old>,
}

impl Frozen {
    /// Rows as they were, in the order asked for.
    fn rows<T>(
        &self,
        space: Space,
        range: &Range,
        direction: Direction,
        take: impl FnOnce(&mut dyn Iterator<Item = Row>) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let Some(range) = range.in_space(space) else {
            return take(&mut std::iter::empty());
        };
        let _open = self
            .tree
            .gate
            .read()
            .unwrap_or_else(PoisonError::into_inner);
        let old = self.old.lock()?;
        let kept = old.values.range::<Key, _>(range.clone());
        let kept = kept.map(|(key, value)| (key.get(1..).unwrap_or_default(), value.as_deref()));
        let now = self.tree.database.range(range);
        match direction {
            Direction::Forward => take(&mut overlaid(now.map(row), kept, Ordering::Less)),
            Direction::Backward => take(&mut overlaid(
                now.rev().map(row),
                kept.rev(),
                Ordering::Greater,
            )),
        }
    }
}

impl Snapshot for Frozen {
    fn get(&self, space: Space, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        let key = Key::in_space(space, key);
        let _open = self
            .tree
            .gate
            .read()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(old) = self.old.lock()?.values.get(&key) {
            return Ok(old.clone());
        }
        let value = self.tree.database.get(key).map_err(unreadable)?;
        Ok(value.map(|value| value.to_vec()))
    }

    fn scan(
        &self,
        space: Space,
        range: &Range,
        direction: Direction,
        limit: usize,
    ) -> Result<Rows, StoreError> {
        self.rows(space, range, direction, |rows| rows.take(limit).collect())
    }

    fn page(&self, space: Space, range: &Range, bytes: usize) -> Result<Rows, StoreError> {
        self.rows(space, range, Direction::Forward, |rows| up_to(bytes, rows))
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
