//! What can go wrong in the store, and what a person can do about it.

use super::{EngineError, Key};
use std::path::PathBuf;

/// Why a batch was not committed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CommitError {
    /// The queue is full: stop reading from whoever sends.
    #[error("the store is busy")]
    Full,
    /// Too little free disk space, or the disk refused a write; it recovers by itself.
    #[error("the store is read-only until there is free space again")]
    ReadOnly,
    /// A precondition of the batch does not hold.
    #[error("a precondition does not hold")]
    Precondition,
    /// The batch, one of its keys or a range to delete is larger than the bounds allow.
    #[error("too much in one batch")]
    TooLarge,
    /// The write failed. Whether the batch is found after a restart is not known.
    #[error("the write failed")]
    Failed,
    /// The store is closed.
    #[error("the store is closed")]
    Closed,
}

/// Why a read gave no answer.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StoreError {
    /// The checksum of a record does not match: the disk, the memory or the engine damaged it.
    #[error(
        "the record {key:?} is damaged (its checksum does not match); restore it from a backup"
    )]
    Damaged {
        /// The record's key, with its space in front.
        key: Key,
    },
    /// The engine failed.
    #[error("the storage engine failed: {0}")]
    Engine(String),
    /// Stored bytes that are whole but do not mean what the reader expects.
    #[error("a stored record cannot be read: {0}")]
    Format(String),
    /// Too many reads wait already.
    #[error("the store is busy")]
    Busy,
    /// The store is closed.
    #[error("the store is closed")]
    Closed,
    /// The reader's own code panicked.
    #[error("reading the store failed unexpectedly: {0}")]
    Panicked(String),
    /// All numbers for module spaces are taken.
    #[error("no room for another module's space")]
    NoSpace,
    /// A module's space was written by another version of it.
    #[error("the space {name:?} was written by schema version {found}; this is version {wanted}")]
    SpaceVersion {
        /// The space's name.
        name: String,
        /// The version on disk.
        found: u32,
        /// The version asked for.
        wanted: u32,
    },
}

/// Why a store did not open: what happened, where, and what to do.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has it open.
    #[error("the store in {path} is in use by another process{holder}; stop that one first")]
    Locked {
        /// The store's directory.
        path: PathBuf,
        /// " (pid N)" where known.
        holder: String,
    },
    /// The directory cannot be used.
    #[error(
        "cannot use the store's directory {path}: {source}; check that it exists and belongs to the user the server runs as"
    )]
    Directory {
        /// The file or directory.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// Another engine made it.
    #[error(
        "the store in {path} was made by the engine {found:?}, but {wanted:?} is configured; set [store] engine = \"{found}\", or copy it with `waxwing store copy`"
    )]
    OtherEngine {
        /// The store's directory.
        path: PathBuf,
        /// The engine that made it.
        found: String,
        /// The engine asked for.
        wanted: &'static str,
    },
    /// The directory of a store whose data has gone.
    #[error(
        "the store in {path} was in use before, but its data is gone; mount or restore it (`waxwing restore`), or remove {path}/ENGINE to begin with an empty store"
    )]
    Gone {
        /// The store's directory.
        path: PathBuf,
    },
    /// The engine cannot read its files.
    #[error(
        "the {engine} store in {path} does not open: {reason}; keep a copy of the directory, then restore a backup (`waxwing restore`){hint}"
    )]
    Damaged {
        /// The engine.
        engine: &'static str,
        /// The store's directory.
        path: PathBuf,
        /// What the engine said.
        reason: String,
        /// A further way out, or nothing.
        hint: &'static str,
    },
    /// A newer version wrote it.
    #[error(
        "the store in {path} has schema version {found}, newer than this server knows ({known}); run the newer server, or restore a backup made by this one"
    )]
    Newer {
        /// The store's directory.
        path: PathBuf,
        /// The version on disk.
        found: u32,
        /// The newest version known here.
        known: u32,
    },
    /// The destination of a copy holds something.
    #[error("{path} is not empty; copy into a new directory")]
    NotEmpty {
        /// The directory.
        path: PathBuf,
    },
    /// The engine failed after it had opened.
    #[error("the store in {path} failed: {source}")]
    Engine {
        /// The store's directory.
        path: PathBuf,
        /// What the engine said.
        source: EngineError,
    },
    /// A read failed after the engine had opened.
    #[error("the store in {path} cannot be read: {source}")]
    Read {
        /// The store's directory.
        path: PathBuf,
        /// What was wrong.
        source: StoreError,
    },
}

/// What a panic said, for a message.
pub(crate) fn panic_text(payload: &(dyn std::any::Any + Send)) -> String {
    let text = payload.downcast_ref::<&str>().map(|s| (*s).to_owned());
    text.or_else(|| payload.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "an unexpected condition".to_owned())
}
