//! fjall 3.1: a log-structured merge tree. The default.
//!
//! A durable group is one journal batch and one `fdatasync`: journals are laid out at their full length when they are made, and
//! `fdatasync` covers whatever metadata the data needs. fjall shows a batch to readers only after that.

use super::slot::Slot;
use super::{Engine, EngineError, EngineStats, RawOp, io_error};
use crate::store::snapshot::up_to;
use crate::store::space::Tree;
use crate::store::{Direction, Key, Range, Rows, Snapshot, Space, StoreError};
use fjall::{Database, Keyspace, KeyspaceCreateOptions, OwnedWriteBatch, PersistMode, Readable};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Bytes of journal on disk, which bounds the work of a start.
const JOURNALS: u64 = 128 << 20;
/// Threads that flush and compact. With several, fjall keeps one free for flushing; while the others compact, that one puts
/// every further compaction back into the queue and takes it out again, as fast as it can (3.1.13).
const WORKERS: usize = 1;

pub(crate) struct Fjall {
    path: PathBuf,
    sizes: Sizes,
    slot: Slot<Trees>,
}

/// Bytes of cache, and of each tree's newest data in memory.
#[derive(Clone, Copy)]
pub(crate) struct Sizes {
    pub(crate) cache: u64,
    pub(crate) memtable: u64,
}

struct Trees {
    database: Database,
    main: Keyspace,
    bulk: Keyspace,
    log: Keyspace,
}

impl Fjall {
    pub(crate) fn open(path: &Path, sizes: Sizes) -> Result<Fjall, EngineError> {
        let slot = Slot::new(Trees::open(path, sizes)?);
        Ok(Fjall {
            path: path.to_owned(),
            sizes,
            slot,
        })
    }

    fn trees(&self) -> Result<Arc<Trees>, EngineError> {
        self.slot.database().ok_or(EngineError::Closed)
    }
}

impl Trees {
    fn open(path: &Path, sizes: Sizes) -> Result<Trees, EngineError> {
        let failed = |error| failure(path, error);
        let builder = Database::builder(path)
            .cache_size(sizes.cache)
            .max_journaling_size(JOURNALS);
        let database = builder.worker_threads(WORKERS).open().map_err(failed)?;
        let options = || KeyspaceCreateOptions::default().max_memtable_size(sizes.memtable);
        Ok(Trees {
            main: database.keyspace("main", options).map_err(failed)?,
            bulk: database.keyspace("bulk", options).map_err(failed)?,
            log: database.keyspace("log", options).map_err(failed)?,
            database,
        })
    }

    fn of(&self, space: u8) -> &Keyspace {
        match Space(space).tree() {
            Tree::Main => &self.main,
            Tree::Bulk => &self.bulk,
            Tree::Log => &self.log,
        }
    }

    fn write(&self, ops: &[RawOp], durable: bool) -> fjall::Result<()> {
        let mode = if durable {
            PersistMode::SyncData
        } else {
            PersistMode::Buffer
        };
        if ops.is_empty() {
            return self.database.persist(mode);
        }
        let batch = OwnedWriteBatch::with_capacity(self.database.clone(), ops.len());
        let mut batch = batch.durability(Some(mode));
        for op in ops {
            let tree = self.of(op.key.first().copied().unwrap_or_default());
            match &op.value {
                Some(value) => batch.insert(tree, &*op.key, value.as_slice()),
                None => batch.remove(tree, &*op.key),
            }
        }
        batch.commit()
    }
}

impl Engine for Fjall {
    fn name(&self) -> &'static str {
        "fjall"
    }

    fn snapshot(&self) -> Result<Box<dyn Snapshot>, StoreError> {
        let trees = self
            .trees()
            .map_err(|error| StoreError::Engine(error.to_string()))?;
        let snapshot = trees.database.snapshot();
        Ok(Box::new(View { snapshot, trees }))
    }

    fn write(&self, ops: &[RawOp], durable: bool) -> Result<(), EngineError> {
        self.trees()?
            .write(ops, durable)
            .map_err(|error| failure(&self.path, error))
    }

    /// After any failed write fjall refuses all others until it is opened anew. That replays the journal up to the last
    /// whole batch, so nothing acknowledged goes.
    fn recover(&self) -> Result<(), EngineError> {
        self.slot.reopen(|| Trees::open(&self.path, self.sizes))
    }

    fn compact(&self) -> Result<bool, EngineError> {
        let trees = self.trees()?;
        for tree in [&trees.main, &trees.bulk, &trees.log] {
            let compacted = tree
                .rotate_memtable_and_wait()
                .and_then(|()| tree.major_compact());
            compacted.map_err(|error| failure(&self.path, error))?;
        }
        Ok(true)
    }

    fn stats(&self) -> EngineStats {
        self.trees().map_or_else(
            |_| EngineStats::default(),
            |trees| EngineStats {
                disk_bytes: trees.database.disk_space().unwrap_or_default(),
                buffer_bytes: trees.database.write_buffer_size(),
            },
        )
    }

    fn close(&self) -> Result<(), EngineError> {
        self.slot.close(|trees| {
            trees
                .database
                .persist(PersistMode::SyncAll)
                .map_err(|error| failure(&self.path, error))
        })?
    }
}

/// The order of fields is the order of dropping: the snapshot before what it looks at.
struct View {
    snapshot: fjall::Snapshot,
    trees: Arc<Trees>,
}

impl Snapshot for View {
    fn get(&self, space: Space, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        let key = Key::in_space(space, key);
        let value = self
            .snapshot
            .get(self.trees.of(space.0), &*key)
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
        let rows = self.snapshot.range(self.trees.of(space.0), range);
        match direction {
            Direction::Forward => rows.take(limit).map(row).collect(),
            Direction::Backward => rows.rev().take(limit).map(row).collect(),
        }
    }

    fn page(&self, space: Space, range: &Range, bytes: usize) -> Result<Rows, StoreError> {
        let Some(range) = range.in_space(space) else {
            return Ok(Rows::new());
        };
        let rows = self.snapshot.range(self.trees.of(space.0), range);
        up_to(bytes, rows.map(row))
    }
}

fn row(guard: fjall::Guard) -> Result<(Vec<u8>, Vec<u8>), StoreError> {
    let (key, value) = guard.into_inner().map_err(unreadable)?;
    Ok((key.get(1..).unwrap_or_default().to_vec(), value.to_vec()))
}

fn unreadable(error: fjall::Error) -> StoreError {
    StoreError::Engine(error.to_string())
}

fn failure(path: &Path, error: fjall::Error) -> EngineError {
    match error {
        fjall::Error::Io(error) | fjall::Error::Storage(fjall::LsmError::Io(error)) => {
            io_error(path, &error)
        }
        // A flush in the background failed, mostly for want of space; nothing of this write has been written.
        fjall::Error::Poisoned => {
            EngineError::Ailing("an earlier write in the background failed".to_owned())
        }
        other => EngineError::Sync(other.to_string()),
    }
}
