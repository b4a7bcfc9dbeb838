//! The parts of a backup and what can be wrong with one.

use crate::store::{OpenError, StoreError};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io;

pub(super) const MAGIC: &[u8; 16] = b"waxwing backup\r\n";
/// The version that is written, and the newest that is read.
pub(super) const VERSION: u32 = 1;
/// Longest block, plain or stored. A record is a quarter of it at most: the committer takes no larger batch.
pub(super) const MAX_BLOCK: usize = 16 << 20;
/// Kind, method, lengths, checksum.
pub(super) const BLOCK_HEAD: usize = 14;

pub(super) const HEADER: u8 = 1;
pub(super) const RECORDS: u8 = 2;
pub(super) const TRAILER: u8 = 3;

pub(super) const PLAIN: u8 = 0;
pub(super) const LZ4: u8 = 1;

/// What a backup says of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// The schema of the store.
    pub schema: u32,
    /// When it was begun, Unix milliseconds: everything that was acknowledged before is in it.
    pub made: u64,
    /// The version of the server that wrote it.
    pub server: String,
    /// The engine it comes from.
    pub engine: String,
    /// Number and schema version of the spaces that go by a name.
    pub spaces: BTreeMap<String, (u8, u32)>,
}

/// The end of a backup.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Trailer {
    pub(super) records: u64,
    pub(super) bytes: u64,
    pub(super) sha256: String,
}

/// Why a backup was not written, or is not believed.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// It does not begin like one.
    #[error("this is not a backup made by `waxwing backup`")]
    Foreign,
    /// A newer version of the format.
    #[error(
        "the backup has format version {found}, newer than this server knows ({VERSION}); use the newer server"
    )]
    Newer {
        /// The version it says it has.
        found: u32,
    },
    /// It ends too early.
    #[error("the backup is cut off after {at} bytes; use another one")]
    CutOff {
        /// Its bytes.
        at: u64,
    },
    /// It is not as it was written.
    #[error("the backup is damaged near byte {at} ({what}); use another one")]
    Damaged {
        /// About where.
        at: u64,
        /// What does not fit.
        what: &'static str,
    },
    /// The store could not be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The new store could not be written.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The file could not be read or written.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// Whoever asked for it went away.
    #[error("interrupted")]
    Interrupted,
}

/// The checksum of a block: over the first ten bytes of its head, and its bytes.
pub(super) fn checksum(head: &[u8], bytes: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(head);
    hasher.update(bytes);
    hasher.finalize()
}

/// A digest in hexadecimal.
pub(super) fn hex(digest: &[u8]) -> String {
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}
