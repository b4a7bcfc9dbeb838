//! Opening: the directory, its lock, which engine made it, the schema and its migrations.

use super::engine::fjall::{Fjall, Sizes};
use super::engine::memory::Memory;
use super::engine::sled::Sled;
use super::engine::{Engine, EngineError, EngineKind, RawOp};
use super::error::panic_text;
use super::ledger::SCHEMA;
use super::snapshot::Checked;
use super::{
    Direction, Fields, Key, OpenError, Options, Range, Snapshot, Space, StoreError, value,
};
use rustix::fs::{FlockOperation, flock};
use std::fs::File;
use std::io::{Read, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;

/// The schema this server writes.
pub(crate) const CURRENT: u32 = 2;

/// One step of the schema: from the version before, to this one.
struct Migration {
    to: u32,
    run: fn(&dyn Engine) -> Result<(), StoreError>,
}

/// Every step there ever was, in order.
const MIGRATIONS: &[Migration] = &[Migration {
    to: 2,
    run: unlist_foreign_ids,
}];

/// Where version 1 listed messages by the ids that their senders gave them. Since version 2 they are looked for in the log.
const FOREIGN_IDS: Space = Space(0x42);

/// Rows removed at once by a migration.
const STEP: usize = 4096;

const MARKER: &str = "ENGINE";
const LOCK: &str = "lock";

/// An open engine, and the lock that keeps other processes out while it lives.
pub(crate) struct Opened {
    pub(crate) engine: Arc<dyn Engine>,
    pub(crate) lock: Option<File>,
}

/// Opens the store's directory with its engine, at the current schema.
pub(crate) fn open(options: &Options) -> Result<Opened, OpenError> {
    if options.engine == EngineKind::Memory {
        let engine: Arc<dyn Engine> = Arc::new(Memory::default());
        migrate(&*engine, &options.path)?;
        return Ok(Opened { engine, lock: None });
    }
    let path = &options.path;
    std::fs::create_dir_all(path).map_err(directory(path))?;
    let lock = lock(path)?;
    let wanted = options.engine.name();
    let data = path.join(wanted);
    let marked = marker(path)?;
    match marked.as_deref() {
        Some(found) if found != wanted => return Err(other_engine(path, found, wanted)),
        Some(_) if !data.exists() => return Err(OpenError::Gone { path: path.clone() }),
        Some(_) => {}
        // Begun by the other engine and never finished: whatever it is, it is not ours to hide.
        None => {
            let others = [EngineKind::Fjall, EngineKind::Sled].map(EngineKind::name);
            if let Some(found) = others
                .into_iter()
                .find(|name| *name != wanted && path.join(name).exists())
            {
                return Err(other_engine(path, found, wanted));
            }
        }
    }
    let engine = start(options, &data)?;
    migrate(&*engine, path)?;
    if marked.is_none() {
        mark(path, wanted)?;
    }
    Ok(Opened {
        engine,
        lock: Some(lock),
    })
}

/// Brings an engine's contents to the current schema.
pub(crate) fn migrate(engine: &dyn Engine, path: &Path) -> Result<(), OpenError> {
    let read = |source| OpenError::Read {
        path: path.to_owned(),
        source,
    };
    let snapshot = engine.snapshot().map_err(read)?;
    let found = schema(&*snapshot).map_err(read)?;
    drop(snapshot);
    if let Some(found) = found.filter(|&found| found > CURRENT) {
        return Err(OpenError::Newer {
            path: path.to_owned(),
            found,
            known: CURRENT,
        });
    }
    let from = found.unwrap_or(CURRENT);
    for migration in MIGRATIONS.iter().filter(|step| step.to > from) {
        tracing::info!(to = migration.to, "migrating the store");
        (migration.run)(engine).map_err(read)?;
        record(engine, migration.to, path)?;
    }
    if found.is_none() {
        record(engine, CURRENT, path)
    } else {
        Ok(())
    }
}

fn unlist_foreign_ids(engine: &dyn Engine) -> Result<(), StoreError> {
    let (mut range, mut removed) = (Range::all(), 0_u64);
    loop {
        let snapshot = engine.snapshot()?;
        let rows = snapshot.scan(FOREIGN_IDS, &range, Direction::Forward, STEP)?;
        let Some((last, _)) = rows.last() else {
            return Ok(());
        };
        range = range.after(last.as_slice());
        let ops: Vec<RawOp> = rows
            .iter()
            .map(|(key, _)| RawOp {
                key: Key::in_space(FOREIGN_IDS, key),
                value: None,
            })
            .collect();
        let written = engine.write(&ops, false);
        written.map_err(|error| StoreError::Engine(error.to_string()))?;
        removed += ops.len() as u64;
        if removed % (100 * STEP as u64) == 0 {
            tracing::info!(removed, "migrating: a list of messages is being removed");
        }
    }
}

/// The schema that a view of an engine has; `None` if it is empty.
pub(crate) fn schema(view: &dyn Snapshot) -> Result<Option<u32>, StoreError> {
    let Some(value) = Checked(view).get(Space::META, SCHEMA.as_bytes())? else {
        return Ok(None);
    };
    let version = Fields::of(&value).u32();
    version
        .map(Some)
        .ok_or_else(|| StoreError::Format("the schema version".to_owned()))
}

fn record(engine: &dyn Engine, version: u32, path: &Path) -> Result<(), OpenError> {
    let key = Key::in_space(Space::META, SCHEMA.as_bytes());
    let value = Some(value::seal(&key, version.to_be_bytes().to_vec()));
    let written = engine.write(&[RawOp { key, value }], true);
    written.map_err(|source| OpenError::Engine {
        path: path.to_owned(),
        source,
    })
}

/// Starts an engine on its files. What it says, or dies of, becomes an error with a way out.
fn start(options: &Options, data: &Path) -> Result<Arc<dyn Engine>, OpenError> {
    let cache = options.cache_bytes;
    let sizes = Sizes {
        cache,
        memtable: options.memtable_bytes,
    };
    let opened = catch_unwind(AssertUnwindSafe(
        || -> Result<Arc<dyn Engine>, EngineError> {
            Ok(match options.engine {
                EngineKind::Fjall => Arc::new(Fjall::open(data, sizes)?),
                EngineKind::Sled => Arc::new(Sled::open(data, cache)?),
                EngineKind::Memory => Arc::new(Memory::default()),
            })
        },
    ));
    let opened = opened.unwrap_or_else(|panic| Err(EngineError::Sync(panic_text(&*panic))));
    opened.map_err(|error| match error {
        EngineError::Ailing(_) => OpenError::Engine {
            path: data.to_owned(),
            source: error,
        },
        _ => damaged(options.engine, data, &error),
    })
}

fn damaged(engine: EngineKind, data: &Path, error: &EngineError) -> OpenError {
    OpenError::Damaged {
        engine: engine.name(),
        path: data.to_owned(),
        reason: match error {
            EngineError::Sync(reason) => reason.clone(),
            other => other.to_string(),
        },
        hint: match engine {
            EngineKind::Sled => {
                "; sled is known to refuse its files after a power cut: restore into the engine \"fjall\""
            }
            _ => "",
        },
    }
}

/// Takes the lock, and leaves the process id in it for whoever finds it taken.
pub(crate) fn lock(path: &Path) -> Result<File, OpenError> {
    let name = path.join(LOCK);
    let mut options = File::options();
    let mut file = options
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(&name)
        .map_err(directory(&name))?;
    if flock(&file, FlockOperation::NonBlockingLockExclusive).is_err() {
        let mut pid = String::new();
        let _ = file.read_to_string(&mut pid);
        let holder = pid
            .trim()
            .parse::<u32>()
            .map(|pid| format!(" (pid {pid})"))
            .unwrap_or_default();
        return Err(OpenError::Locked {
            path: path.to_owned(),
            holder,
        });
    }
    file.set_len(0).map_err(directory(&name))?;
    writeln!(file, "{}", std::process::id()).map_err(directory(&name))?;
    Ok(file)
}

/// The engine that made the directory, if one did.
fn marker(path: &Path) -> Result<Option<String>, OpenError> {
    let name = path.join(MARKER);
    match std::fs::read_to_string(&name) {
        Ok(text) => Ok(Some(text.trim().to_owned())),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(directory(&name)(error)),
    }
}

/// Writes the marker whole or not at all.
fn mark(path: &Path, engine: &str) -> Result<(), OpenError> {
    let (name, new) = (path.join(MARKER), path.join("ENGINE.new"));
    let mut file = File::create(&new).map_err(directory(&new))?;
    writeln!(file, "{engine}").map_err(directory(&new))?;
    file.sync_all().map_err(directory(&new))?;
    std::fs::rename(&new, &name).map_err(directory(&name))?;
    sync_directory(path).map_err(directory(path))
}

/// Makes the names in a directory durable.
pub(crate) fn sync_directory(path: &Path) -> std::io::Result<()> {
    File::open(path)?.sync_all()
}

pub(crate) fn directory(path: &Path) -> impl Fn(std::io::Error) -> OpenError {
    let path = path.to_owned();
    move |source| OpenError::Directory {
        path: path.clone(),
        source,
    }
}

/// Whether no store is in a directory: it is not there, or has only what says that one was.
pub(crate) fn is_free(path: &Path) -> std::io::Result<bool> {
    let entries = match std::fs::read_dir(path) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(true),
        Err(error) => return Err(error),
    };
    for entry in entries {
        let name = entry?.file_name();
        if name != MARKER && name != LOCK {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Moves a whole store to a directory that [`is_free`], durably.
pub(crate) fn put_in_place(from: &Path, to: &Path) -> std::io::Result<()> {
    if !is_free(to)? {
        return Err(std::io::ErrorKind::DirectoryNotEmpty.into());
    }
    for name in [MARKER, LOCK] {
        match std::fs::remove_file(to.join(name)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    std::fs::rename(from, to)?;
    match to.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        Some(parent) => sync_directory(parent),
        None => sync_directory(Path::new(".")),
    }
}

fn other_engine(path: &Path, found: &str, wanted: &'static str) -> OpenError {
    OpenError::OtherEngine {
        path: path.to_owned(),
        found: found.to_owned(),
        wanted,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::store::testing;

    #[test]
    fn the_list_of_version_1_goes_and_nothing_else() {
        let engine = testing::memory();
        let put = |space: Space, key: &[u8]| {
            let key = Key::in_space(space, key);
            let value = Some(value::seal(&key, Vec::new()));
            engine.write(&[RawOp { key, value }], true).unwrap();
        };
        record(&*engine, 1, Path::new("here")).unwrap();
        for n in 0..STEP as u32 + 10 {
            put(FOREIGN_IDS, &n.to_be_bytes());
        }
        put(Space::LOG_BY_CONTACT, b"k");
        put(Space(FOREIGN_IDS.0 + 1), b"k");
        migrate(&*engine, Path::new("here")).unwrap();
        let view = engine.snapshot().unwrap();
        assert_eq!(schema(&*view).unwrap(), Some(CURRENT));
        let left = |space| {
            let rows = view.scan(space, &Range::all(), Direction::Forward, 2);
            rows.unwrap().len()
        };
        assert_eq!(left(FOREIGN_IDS), 0);
        assert_eq!(left(Space::LOG_BY_CONTACT), 1);
        assert_eq!(left(Space(FOREIGN_IDS.0 + 1)), 1);
    }
}
