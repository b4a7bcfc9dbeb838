//! Files that people uploaded (XEP-0363): what is known of each, how much each account has, and where the bytes lie.
//!
//! A record is on disk before the first byte of its file and goes after the last, so that no crash leaves bytes that nobody
//! knows of. Who has the token of a file may read it; the store knows a hash of it alone, under which the file is listed, kept
//! and logged.

mod bucket;
mod desk;
mod folder;
mod old;
mod record;
mod storage;
#[cfg(test)]
mod tests;
mod usage;

pub use bucket::{BadBucket, Bucket, BucketOptions};
pub use desk::{Desk, FileError, NotTaken, Opened, Taken, Wish};
pub use folder::{Draft, Folder};
pub use record::{File, Purpose};
pub use storage::Storage;

pub use super::token_id::Id;
pub use usage::{Full, Quotas, Usage};
