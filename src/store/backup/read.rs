//! Reading a backup: nothing in it is believed before it was checked.

use super::format::{
    BLOCK_HEAD, BackupError, HEADER, Header, LZ4, MAGIC, MAX_BLOCK, PLAIN, RECORDS, TRAILER,
    Trailer, VERSION, checksum, hex,
};
use crate::store::{Copied, Fields, value};
use sha2::{Digest, Sha256};
use std::io::Read;

/// Reads a backup block by block.
pub struct BackupReader<R> {
    source: R,
    header: Header,
    hash: Sha256,
    /// Bytes read.
    at: u64,
    last: Vec<u8>,
    seen: Copied,
}

struct Block {
    kind: u8,
    plain: Vec<u8>,
}

impl<R: Read> BackupReader<R> {
    /// Reads up to the end of the header.
    ///
    /// # Errors
    /// [`BackupError`]: what is wrong with it; so for all of these.
    pub fn open(source: R) -> Result<Self, BackupError> {
        let mut reader = BackupReader {
            source,
            header: Header {
                schema: 0,
                made: 0,
                server: String::new(),
                engine: String::new(),
                spaces: Default::default(),
            },
            hash: Sha256::new(),
            at: 0,
            last: Vec::new(),
            seen: Copied::default(),
        };
        let start = reader.bytes(MAGIC.len() + 4)?;
        let version = start
            .strip_prefix(MAGIC.as_slice())
            .and_then(|version| Fields::of(version).u32())
            .ok_or(BackupError::Foreign)?;
        if version > VERSION {
            return Err(BackupError::Newer { found: version });
        }
        reader.hash.update(&start);
        let block = reader.block()?;
        if block.kind != HEADER {
            return Err(reader.damaged("the header is missing"));
        }
        let header = serde_json::from_slice(&block.plain);
        reader.header = header.map_err(|_| reader.damaged("the header cannot be read"))?;
        Ok(reader)
    }

    /// What it says of itself.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// Bytes read so far.
    pub fn position(&self) -> u64 {
        self.at
    }

    /// What was read so far.
    pub fn seen(&self) -> Copied {
        self.seen
    }

    /// Gives the records of the next block to `each`: key with its space in front, and value. `false` after the last, when the
    /// whole has proved to be what was written.
    pub fn next(
        &mut self,
        mut each: impl FnMut(&[u8], &[u8]) -> Result<(), BackupError>,
    ) -> Result<bool, BackupError> {
        let sum = self.hash.clone();
        let block = self.block()?;
        match block.kind {
            RECORDS => {
                let mut rest = block.plain.as_slice();
                while !rest.is_empty() {
                    let record = record(rest).ok_or_else(|| self.damaged("a record is broken"))?;
                    let (key, sealed, after) = record;
                    rest = after;
                    self.check_order(key)?;
                    let value = value::check(key, sealed)
                        .map_err(|_| self.damaged("the checksum of a record does not match"))?;
                    self.seen.records += 1;
                    self.seen.bytes += (key.len() + sealed.len()) as u64;
                    each(key, value)?;
                }
                Ok(true)
            }
            TRAILER => {
                self.check_end(&block.plain, sum)?;
                Ok(false)
            }
            _ => Err(self.damaged("a block is of no known kind")),
        }
    }

    fn check_order(&mut self, key: &[u8]) -> Result<(), BackupError> {
        if key.is_empty() || (self.seen.records > 0 && self.last.as_slice() >= key) {
            return Err(self.damaged("records are out of order"));
        }
        self.last.clear();
        self.last.extend_from_slice(key);
        Ok(())
    }

    fn check_end(&mut self, trailer: &[u8], sum: Sha256) -> Result<(), BackupError> {
        let trailer: Trailer = serde_json::from_slice(trailer)
            .map_err(|_| self.damaged("the trailer cannot be read"))?;
        if trailer.sha256 != hex(&sum.finalize()) {
            return Err(self.damaged("its hash does not match"));
        }
        let Copied { records, bytes } = self.seen;
        if (trailer.records, trailer.bytes) != (records, bytes) {
            return Err(self.damaged("it does not hold what its trailer says"));
        }
        if self.source.read(&mut [0])? > 0 {
            return Err(self.damaged("something follows its end"));
        }
        Ok(())
    }

    fn block(&mut self) -> Result<Block, BackupError> {
        let head = self.bytes(BLOCK_HEAD)?;
        let mut fields = Fields::of(&head);
        let parts = (|| {
            let (kind, method) = (fields.u8()?, fields.u8()?);
            let (plain, stored) = (fields.u32()? as usize, fields.u32()? as usize);
            Some((kind, method, plain, stored, fields.u32()?))
        })();
        let Some((kind, method, plain, stored, sum)) = parts else {
            return Err(BackupError::CutOff { at: self.at });
        };
        if plain > MAX_BLOCK || stored > MAX_BLOCK {
            return Err(self.damaged("a block is too long"));
        }
        let bytes = self.bytes(stored)?;
        let covered = head.get(..BLOCK_HEAD - 4).unwrap_or_default();
        if checksum(covered, &bytes) != sum {
            return Err(self.damaged("the checksum of a block does not match"));
        }
        self.hash.update(&head);
        self.hash.update(&bytes);
        let unpacked = match method {
            PLAIN => Ok(bytes),
            LZ4 => lz4_flex::block::decompress(&bytes, plain),
            _ => return Err(self.damaged("a block is packed in no known way")),
        };
        let unpacked = unpacked.map_err(|_| self.damaged("a block cannot be unpacked"))?;
        if unpacked.len() != plain {
            return Err(self.damaged("the length of a block does not match"));
        }
        Ok(Block {
            kind,
            plain: unpacked,
        })
    }

    /// Exactly so many bytes. Memory is taken as they come, not as they are promised.
    fn bytes(&mut self, count: usize) -> Result<Vec<u8>, BackupError> {
        let mut bytes = Vec::new();
        let read = (&mut self.source)
            .take(count as u64)
            .read_to_end(&mut bytes)?;
        self.at += read as u64;
        if read < count {
            return Err(BackupError::CutOff { at: self.at });
        }
        Ok(bytes)
    }

    fn damaged(&self, what: &'static str) -> BackupError {
        BackupError::Damaged { at: self.at, what }
    }
}

/// Key, value, and what follows.
fn record(bytes: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let (key, rest) = field(bytes)?;
    let (value, rest) = field(rest)?;
    Some((key, value, rest))
}

fn field(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<4>()?;
    rest.split_at_checked(u32::from_be_bytes(*length) as usize)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::super::write::BackupWriter;
    use super::*;
    use proptest::collection::btree_map;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    type Records = BTreeMap<Vec<u8>, Vec<u8>>;

    fn header() -> Header {
        Header {
            schema: 1,
            made: 1_700_000_000_000,
            server: "0.1.0".to_owned(),
            engine: "memory".to_owned(),
            spaces: [("vcard".to_owned(), (0xc0, 1))].into(),
        }
    }

    fn written(records: &Records) -> Vec<u8> {
        let mut file = Vec::new();
        let mut writer = BackupWriter::begin(&mut file, &header()).unwrap();
        for (key, value) in records {
            writer.put(key, &value::seal(key, value.clone())).unwrap();
        }
        writer.finish().unwrap();
        file
    }

    fn read(file: &[u8]) -> Result<Records, BackupError> {
        let mut reader = BackupReader::open(file)?;
        let mut records = Records::new();
        while reader.next(|key, value| {
            records.insert(key.to_vec(), value.to_vec());
            Ok(())
        })? {}
        Ok(records)
    }

    fn records() -> impl Strategy<Value = Records> {
        let key = prop::collection::vec(any::<u8>(), 1..40);
        // Some of it compresses, some fills blocks of its own.
        let value = prop_oneof![
            8 => prop::collection::vec(any::<u8>(), 0..200),
            1 => (any::<u8>(), 0..400_000usize).prop_map(|(byte, n)| vec![byte; n]),
        ];
        btree_map(key, value, 0..40)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]

        #[test]
        fn what_was_written_is_read(records in records()) {
            prop_assert_eq!(read(&written(&records)).unwrap(), records);
        }

        #[test]
        fn what_was_cut_off_is_refused(records in records(), at: prop::sample::Index) {
            let file = written(&records);
            let cut = &file[..at.index(file.len())];
            let cut_off = matches!(read(cut), Err(BackupError::CutOff { .. }));
            prop_assert!(cut_off);
        }

        #[test]
        fn a_flipped_bit_is_refused(records in records(), at: prop::sample::Index, bit in 0..8u8) {
            let mut file = written(&records);
            let at = at.index(file.len());
            file[at] ^= 1 << bit;
            prop_assert!(read(&file).is_err());
        }

        #[test]
        fn a_missing_block_is_refused(records in records(), n: prop::sample::Index) {
            let mut file = written(&records);
            let blocks = blocks(&file);
            let (start, end) = blocks[n.index(blocks.len())];
            file.drain(start..end);
            prop_assert!(read(&file).is_err());
        }
    }

    fn blocks(file: &[u8]) -> Vec<(usize, usize)> {
        let (mut at, mut blocks) = (MAGIC.len() + 4, Vec::new());
        while at < file.len() {
            let stored = u32::from_be_bytes(file[at + 6..at + 10].try_into().unwrap());
            let end = at + BLOCK_HEAD + stored as usize;
            blocks.push((at, end));
            at = end;
        }
        blocks
    }

    #[test]
    fn it_is_cut_off_anywhere() {
        let records = (0..20u8).map(|n| (vec![n, 1], vec![n; 50])).collect();
        let file = written(&records);
        for at in 0..file.len() {
            assert!(read(&file[..at]).is_err(), "cut off after {at}");
        }
        let longer = [file.as_slice(), b"x"].concat();
        assert!(matches!(read(&longer), Err(BackupError::Damaged { .. })));
        assert_eq!(read(&file).unwrap(), records);
    }

    #[test]
    fn what_is_no_backup_is_told_from_a_newer_one() {
        assert!(matches!(read(&[b'x'; 100]), Err(BackupError::Foreign)));
        let mut file = written(&Records::new());
        file[MAGIC.len() + 3] = 2;
        assert!(matches!(read(&file), Err(BackupError::Newer { found: 2 })));
    }

    /// Files as version 1 wrote them can be read for ever.
    #[test]
    fn the_first_format_stays_readable() {
        let file = include_bytes!("../../../tests/fixtures/backup-1.waxwing");
        let reader = BackupReader::open(file.as_slice()).unwrap();
        assert_eq!(reader.header(), &header());
        assert_eq!(read(file).unwrap(), fixture());
    }

    fn fixture() -> Records {
        let mut records: Records = (0..100u8)
            .map(|n| (vec![0x20, n], format!("value {n}").into_bytes()))
            .collect();
        records.insert(vec![0x40], vec![b'a'; 300_000]);
        records.insert(vec![0x41], Vec::new());
        records
    }

    #[test]
    fn the_first_format_is_still_what_is_written() {
        let file = written(&fixture());
        if std::env::var_os("WAXWING_WRITE").is_some() {
            std::fs::write("tests/fixtures/backup-1.waxwing", &file).unwrap();
        }
        assert_eq!(read(&file).unwrap(), fixture());
    }
}
