//! Backups: a whole store as one stream of bytes, which every engine can be filled from. Format version 1.
//!
//! ```text
//! "waxwing backup\r\n", version (u32), and then blocks, each:
//!   kind (u8)  method (u8)  plain length (u32)  stored length (u32)  CRC-32 of these ten bytes and of the bytes (u32)  bytes
//! kind 1  header, once and first: JSON, see Header
//! kind 2  records: key length (u32), key with its space in front, value length (u32), value
//! kind 3  trailer, once and last: JSON with the number of records, their bytes, and the SHA-256 of all before this block
//! method 0  as it is        method 1  LZ4 block
//! ```
//!
//! Numbers are big endian. Records come in the order of their keys, none twice. A value carries the checksum that was made when
//! it was written to the store. What has no trailer was cut off; nothing follows a trailer.

mod format;
mod read;
mod restore;
mod write;

pub use format::{BackupError, Header};
pub use read::BackupReader;
pub use restore::restore;
pub(super) use write::Pace;
pub use write::{BackupWriter, backup};
