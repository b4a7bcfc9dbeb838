//! The embedded store: spaces, batches, snapshots, engines, and the committer.
//!
//! Everything durable is one ordered map of bytes, cut into [`Space`]s. Writers hand a [`Batch`] to one
//! committer thread, which writes and syncs whole groups; readers get a [`Snapshot`] on threads of their
//! own. No engine call ever runs on a network worker.

mod backup;
mod batch;
mod committer;
mod copy;
mod engine;
mod error;
mod frozen;
mod gather;
mod group;
mod handle;
mod key;
mod ledger;
mod marks;
mod mid;
mod open;
mod options;
mod queue;
mod readers;
mod snapshot;
mod space;
mod stats;
mod survey;
#[doc(hidden)]
pub mod testing;
mod value;
mod watch;

pub use backup::{BackupError, BackupReader, BackupWriter, Header, backup, restore};
pub use batch::{Batch, MARKED, MAX_KEY, MAX_RANGE};
pub use copy::{Copied, Filling, copy};
pub use engine::{Engine, EngineError, EngineKind, EngineStats, RawOp};
pub use error::{CommitError, OpenError, StoreError};
pub use frozen::Frozen;
pub use handle::Store;
pub use key::{Fields, Key, hash64};
pub use mid::{Mid, MidError, MidSource};
pub(crate) use options::free_space;
pub use options::{FatalHook, FreeSpace, Options};
pub use snapshot::{Direction, Range, Rows, Snapshot};
pub use space::Space;
pub use stats::Stats;
pub use survey::survey;
pub use value::{counter, counter_bytes};
