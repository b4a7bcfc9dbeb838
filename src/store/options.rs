//! What a store is opened with.

use super::EngineKind;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// Called when the store cannot go on (a failed sync). It must not return in a server.
pub type FatalHook = Arc<dyn Fn(&str) + Send + Sync>;
/// Tells how many bytes are free for the directory; `None` where that is not known.
pub type FreeSpace = Arc<dyn Fn(&Path) -> Option<u64> + Send + Sync>;

/// Exit code after a failed sync (`EX_SOFTWARE` of sysexits.h): a supervisor restarts the server.
const FATAL_EXIT: i32 = 70;

/// What a store is opened with.
#[derive(Clone)]
pub struct Options {
    /// The engine; it must be the one the directory was made with.
    pub engine: EngineKind,
    /// The store's directory. Made if it is not there.
    pub path: PathBuf,
    /// Memory for the engine's cache, in bytes.
    pub cache_bytes: u64,
    /// Bytes of newest data that an engine may hold in memory before it writes them out, for each of its three trees.
    pub memtable_bytes: u64,
    /// Time between the beginnings of two syncs in the long run, unless many batches wait: so long a batch may wait beyond the
    /// sync itself. Zero lets nothing wait.
    pub sync_interval: Duration,
    /// Free disk space in bytes below which the store turns read-only.
    pub reserve_bytes: u64,
    /// Reader threads; at least two are started.
    pub readers: usize,
    /// What happens on a failed sync: by default a line in the log, and the process ends.
    pub fatal: FatalHook,
    /// How free space is found out.
    pub free_space: FreeSpace,
}

impl Options {
    /// The defaults for a small machine: 64 MiB of cache, 16 MiB of newest data per tree, 256 MiB of reserve, 20 ms between syncs.
    pub fn new(engine: EngineKind, path: impl Into<PathBuf>) -> Options {
        Options {
            engine,
            path: path.into(),
            cache_bytes: 64 << 20,
            memtable_bytes: 16 << 20,
            sync_interval: Duration::from_millis(20),
            reserve_bytes: 256 << 20,
            readers: std::thread::available_parallelism().map_or(2, usize::from),
            fatal: Arc::new(exit),
            free_space: Arc::new(free_space),
        }
    }

    /// A store in memory, for tests: there is no sync to save.
    pub fn memory() -> Options {
        Options {
            sync_interval: Duration::ZERO,
            free_space: Arc::new(|_| None),
            ..Options::new(EngineKind::Memory, PathBuf::new())
        }
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Options({} in {:?})", self.engine, self.path)
    }
}

fn exit(reason: &str) {
    tracing::error!(
        reason,
        "the store cannot go on; ending the process so that a restart recovers it"
    );
    std::process::exit(FATAL_EXIT);
}

/// Bytes of the file system that holds `path` which an ordinary user may fill.
pub(crate) fn free_space(path: &Path) -> Option<u64> {
    let stat = rustix::fs::statvfs(path).ok()?;
    Some(stat.f_bavail.saturating_mul(stat.f_frsize))
}
