//! Writing a backup.

use super::format::{
    BackupError, HEADER, Header, LZ4, MAGIC, PLAIN, RECORDS, TRAILER, Trailer, VERSION, checksum,
    hex,
};
use crate::runtime::clock::Clock;
use crate::store::{Copied, Frozen, Key, Range, Space, value};
use sha2::{Digest, Sha256};
use std::io::Write;
use std::time::{Duration, Instant};

/// Bytes of records that go into one block, and that are read at once.
const BLOCK: usize = 256 << 10;

/// Writes everything in `frozen` to `sink`, verifying every checksum, in memory that does not grow. At most `rate` bytes a second
/// are read if it is given. `progress` hears how far it has come after every block, and ends it by returning `false`.
///
/// # Errors
/// What was wrong. What `sink` got until then is no backup: it has no trailer.
pub fn backup<W: Write>(
    frozen: &Frozen,
    sink: W,
    rate: Option<u64>,
    mut progress: impl FnMut(Copied) -> bool,
) -> Result<Copied, BackupError> {
    let mut writer = BackupWriter::begin(sink, &frozen.header(Clock::system().wall())?)?;
    let pace = Pace::new(rate);
    for space in Space::all() {
        let mut range = Range::all();
        loop {
            let rows = frozen.raw(space, &range, BLOCK)?;
            let Some((last, _)) = rows.last() else { break };
            range = range.after(&**last);
            for (key, sealed) in &rows {
                writer.put(&Key::in_space(space, key), sealed)?;
            }
            if !progress(writer.written) {
                return Err(BackupError::Interrupted);
            }
            pace.keep(writer.written.bytes);
        }
    }
    writer.finish()
}

/// Writes a backup record by record.
pub struct BackupWriter<W> {
    sink: W,
    hash: Sha256,
    block: Vec<u8>,
    written: Copied,
}

impl<W: Write> BackupWriter<W> {
    /// Begins one.
    ///
    /// # Errors
    /// The sink's; so for all of these.
    pub fn begin(sink: W, header: &Header) -> Result<Self, BackupError> {
        let mut writer = BackupWriter {
            sink,
            hash: Sha256::new(),
            block: Vec::with_capacity(BLOCK),
            written: Copied::default(),
        };
        writer.write(MAGIC)?;
        writer.write(&VERSION.to_be_bytes())?;
        writer.block(HEADER, &json(header)?)?;
        Ok(writer)
    }

    /// Adds a record: its key with its space in front, above all before it, and its value as it lies in a store. One whose
    /// checksum does not match is refused.
    pub fn put(&mut self, key: &[u8], sealed: &[u8]) -> Result<(), BackupError> {
        value::check(key, sealed)?;
        if !self.block.is_empty() && self.block.len() + key.len() + sealed.len() > BLOCK {
            self.flush()?;
        }
        for part in [key, sealed] {
            self.block.extend_from_slice(&length(part)?);
            self.block.extend_from_slice(part);
        }
        self.written.records += 1;
        self.written.bytes += (key.len() + sealed.len()) as u64;
        Ok(())
    }

    /// Ends it. Making it durable is up to the owner of the sink.
    pub fn finish(mut self) -> Result<Copied, BackupError> {
        self.flush()?;
        let trailer = Trailer {
            records: self.written.records,
            bytes: self.written.bytes,
            sha256: hex(&self.hash.clone().finalize()),
        };
        self.block(TRAILER, &json(&trailer)?)?;
        self.sink.flush()?;
        Ok(self.written)
    }

    fn flush(&mut self) -> Result<(), BackupError> {
        if self.block.is_empty() {
            return Ok(());
        }
        let mut block = std::mem::take(&mut self.block);
        self.block(RECORDS, &block)?;
        block.clear();
        self.block = block;
        Ok(())
    }

    fn block(&mut self, kind: u8, plain: &[u8]) -> Result<(), BackupError> {
        let packed = match kind {
            RECORDS => Some(lz4_flex::block::compress(plain)),
            _ => None,
        };
        let (method, stored) = match &packed {
            Some(packed) if packed.len() < plain.len() => (LZ4, packed.as_slice()),
            _ => (PLAIN, plain),
        };
        let mut head = vec![kind, method];
        head.extend_from_slice(&length(plain)?);
        head.extend_from_slice(&length(stored)?);
        let sum = checksum(&head, stored);
        head.extend_from_slice(&sum.to_be_bytes());
        self.write(&head)?;
        self.write(stored)
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), BackupError> {
        self.hash.update(bytes);
        self.sink.write_all(bytes)?;
        Ok(())
    }
}

fn json(value: &impl serde::Serialize) -> Result<Vec<u8>, BackupError> {
    serde_json::to_vec(value).map_err(|error| BackupError::Io(error.into()))
}

fn length(bytes: &[u8]) -> Result<[u8; 4], BackupError> {
    let length = u32::try_from(bytes.len()).map_err(std::io::Error::other)?;
    Ok(length.to_be_bytes())
}

/// Keeps work to so many bytes a second by sleeping.
pub(in crate::store) struct Pace {
    rate: Option<u64>,
    began: Instant,
}

impl Pace {
    pub(in crate::store) fn new(rate: Option<u64>) -> Pace {
        Pace {
            rate: rate.filter(|rate| *rate > 0),
            began: Instant::now(),
        }
    }

    pub(in crate::store) fn keep(&self, bytes: u64) {
        let Some(rate) = self.rate else { return };
        let due = Duration::from_millis(bytes.saturating_mul(1000) / rate);
        std::thread::sleep(due.saturating_sub(self.began.elapsed()));
    }
}
