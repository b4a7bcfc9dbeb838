//! The border to storage engines: ordered bytes in, ordered bytes out, no meaning.

pub(crate) mod fjall;
pub(crate) mod memory;
mod old;
pub(crate) mod sled;
mod slot;

use super::{Key, Snapshot, StoreError};
use std::fmt;
use std::io::ErrorKind;
use std::path::Path;
use std::str::FromStr;

/// One write as an engine sees it: keys with their space in front, values sealed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RawOp {
    /// Space and key.
    pub key: Key,
    /// The new value, or `None` to remove the key.
    pub value: Option<Vec<u8>>,
}

/// A storage engine. All writes come from one thread; reads from several.
pub trait Engine: Send + Sync + 'static {
    /// The name, as in the configuration.
    fn name(&self) -> &'static str;

    /// A view of what is written now. Values come sealed.
    fn snapshot(&self) -> Result<Box<dyn Snapshot>, StoreError>;

    /// A view of what is written now that stays as it is over any number of calls: for going through everything beside the
    /// writes. Costs memory or disk while it lasts; on an engine without versions it may fail when too much was written
    /// meanwhile.
    fn frozen(&self) -> Result<Box<dyn Snapshot>, StoreError> {
        self.snapshot()
    }

    /// Gives space that nothing uses any more back to the file system, beside reads and writes; `false` if the engine cannot.
    fn compact(&self) -> Result<bool, EngineError> {
        Ok(false)
    }

    /// Writes all of `ops` or none, no key twice among them. With `durable`, returns when these and all earlier writes are on
    /// the medium; without, when they are with the operating system. No ops and `durable` is a plain sync.
    fn write(&self, ops: &[RawOp], durable: bool) -> Result<(), EngineError>;

    /// Makes the engine usable again after [`EngineError::Ailing`], which an engine that cannot do so never returns. What was acknowledged is still there;
    /// the writes that failed may or may not be.
    fn recover(&self) -> Result<(), EngineError>;

    /// Figures for metrics.
    fn stats(&self) -> EngineStats;

    /// Syncs and closes. Every later call fails.
    fn close(&self) -> Result<(), EngineError>;
}

/// What an engine tells about itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EngineStats {
    /// Bytes on disk.
    pub disk_bytes: u64,
    /// Bytes written but not yet in their final place.
    pub buffer_bytes: u64,
}

/// Why an engine did not write.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EngineError {
    /// The engine takes no writes, mostly because the disk is full; [`Engine::recover`] helps once there is space.
    #[error("no writing for now: {0}")]
    Ailing(String),
    /// Nothing was written, and the engine is still sound.
    #[error("the write was refused: {0}")]
    Refused(String),
    /// What is on the medium is not known any more: only a restart helps.
    #[error("a write or sync failed: {0}")]
    Sync(String),
    /// Closed.
    #[error("the engine is closed")]
    Closed,
}

/// Free bytes above which "no space left" does not come from the file system but from a device or quota below it.
const SURELY_FREE: u64 = 16 << 20;

/// What a failed write or sync of a file under `path` means.
///
/// A full file system refuses the write, which then has not happened. A thin device refuses the later sync, and
/// then the kernel may show data that is not on the medium.
fn io_error(path: &Path, error: &std::io::Error) -> EngineError {
    let full = matches!(
        error.kind(),
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded
    );
    let free = super::options::free_space(path).unwrap_or(u64::MAX);
    if full && free < SURELY_FREE {
        EngineError::Ailing(error.to_string())
    } else {
        EngineError::Sync(error.to_string())
    }
}

/// Which engine keeps the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum EngineKind {
    /// Log-structured merge tree; the default.
    #[default]
    Fjall,
    /// Log-structured tree of pages; see the shipped configuration for what it does not promise.
    Sled,
    /// Nothing on disk; for tests.
    Memory,
}

impl EngineKind {
    /// The name, as in the configuration.
    pub fn name(self) -> &'static str {
        match self {
            EngineKind::Fjall => "fjall",
            EngineKind::Sled => "sled",
            EngineKind::Memory => "memory",
        }
    }
}

impl fmt::Display for EngineKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for EngineKind {
    type Err = String;
    fn from_str(name: &str) -> Result<EngineKind, String> {
        let kinds = [EngineKind::Fjall, EngineKind::Sled, EngineKind::Memory];
        let found = kinds.into_iter().find(|kind| kind.name() == name);
        found.ok_or_else(|| {
            format!("{name:?} is no storage engine; there are \"fjall\" and \"sled\"")
        })
    }
}
