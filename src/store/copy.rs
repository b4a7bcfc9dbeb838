//! Filling a new store from records of whatever origin: another engine's store, or a backup.

use super::engine::RawOp;
use super::open::{self, Opened};
use super::snapshot::Checked;
use super::{Key, OpenError, Options, Range, Snapshot, Space, value};
use std::path::Path;

/// Rows and bytes written at once, whichever is reached first.
const ROWS: usize = 500;
const BYTES: usize = 4 << 20;
/// Bytes read at once.
const PAGE: usize = 1 << 20;

/// What has been moved.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Copied {
    /// Records.
    pub records: u64,
    /// Bytes of keys and values.
    pub bytes: u64,
}

/// Copies everything in the store of `from` into the empty store of `to`, verifying every checksum. The
/// source is only read. Neither may be open elsewhere. `progress` hears how far it has come.
pub fn copy(
    from: &Options,
    to: &Options,
    mut progress: impl FnMut(Copied),
) -> Result<Copied, OpenError> {
    let mut filling = Filling::begin(to)?;
    let source = open::open(from)?;
    let unreadable = |source| OpenError::Read {
        path: from.path.clone(),
        source,
    };
    let snapshot = source.engine.snapshot().map_err(unreadable)?;
    let view = Checked(&*snapshot);
    for space in Space::all() {
        let mut range = Range::all();
        loop {
            let rows = view.page(space, &range, PAGE).map_err(unreadable)?;
            let Some((last, _)) = rows.last() else { break };
            range = range.after(&**last);
            for (key, value) in rows {
                filling.put(space, &key, value)?;
            }
            progress(filling.copied);
        }
    }
    drop(snapshot);
    source.engine.close().map_err(|source| OpenError::Engine {
        path: from.path.clone(),
        source,
    })?;
    filling.finish()
}

/// A new store while it is filled. The records must be all of a store's, [`Space::META`] included; nothing is durable, and
/// the store is not to be used, before [`Filling::finish`].
pub struct Filling {
    opened: Opened,
    options: Options,
    ops: Vec<RawOp>,
    waiting: usize,
    copied: Copied,
}

impl Filling {
    /// Begins a store in a directory that is empty or not there.
    pub fn begin(options: &Options) -> Result<Filling, OpenError> {
        let occupied =
            std::fs::read_dir(&options.path).is_ok_and(|mut entries| entries.next().is_some());
        if occupied {
            return Err(OpenError::NotEmpty {
                path: options.path.clone(),
            });
        }
        let opened = open::open(options)?;
        Ok(Filling {
            opened,
            options: options.clone(),
            ops: Vec::new(),
            waiting: 0,
            copied: Copied::default(),
        })
    }

    /// Adds one record.
    pub fn put(&mut self, space: Space, key: &[u8], value: Vec<u8>) -> Result<(), OpenError> {
        let key = Key::in_space(space, key);
        let bytes = key.len() + value.len();
        self.copied.records += 1;
        self.copied.bytes += bytes as u64;
        self.waiting += bytes;
        let value = Some(value::seal(&key, value));
        self.ops.push(RawOp { key, value });
        if self.ops.len() >= ROWS || self.waiting >= BYTES {
            self.flush(false)?;
        }
        Ok(())
    }

    /// Makes it durable and closes it.
    pub fn finish(mut self) -> Result<Copied, OpenError> {
        self.close()?;
        Ok(self.copied)
    }

    /// The same, and moves it to another directory of the same file system in which no store is, while it is still locked.
    pub(crate) fn finish_as(mut self, path: &Path) -> Result<Copied, OpenError> {
        self.close()?;
        open::put_in_place(&self.options.path, path).map_err(open::directory(path))?;
        Ok(self.copied)
    }

    fn close(&mut self) -> Result<(), OpenError> {
        self.flush(true)?;
        let closed = self.opened.engine.close();
        closed.map_err(|source| OpenError::Engine {
            path: self.options.path.clone(),
            source,
        })
    }

    fn flush(&mut self, durable: bool) -> Result<(), OpenError> {
        let written = self.opened.engine.write(&self.ops, durable);
        self.ops.clear();
        self.waiting = 0;
        written.map_err(|source| OpenError::Engine {
            path: self.options.path.clone(),
            source,
        })
    }
}
