//! Copying a store into a new one of any engine, offline.

use super::engine::{EngineError, RawOp};
use super::snapshot::Checked;
use super::{Direction, Key, OpenError, Options, Range, Snapshot, Space, open, value};

/// Rows and bytes written at once, whichever is reached first.
const ROWS: usize = 500;

/// What a copy has moved.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Copied {
    /// Records.
    pub records: u64,
    /// Bytes of keys and values.
    pub bytes: u64,
}

/// Copies everything in the store of `from` into the empty store of `to`, verifying every checksum. The
/// source is only read. Neither may be open elsewhere.
pub fn copy(from: &Options, to: &Options) -> Result<Copied, OpenError> {
    let occupied = std::fs::read_dir(&to.path).is_ok_and(|mut entries| entries.next().is_some());
    if occupied {
        return Err(OpenError::NotEmpty {
            path: to.path.clone(),
        });
    }
    let source = open::open(from)?;
    let target = open::open(to)?;
    let written = |source| OpenError::Engine {
        path: to.path.clone(),
        source,
    };
    let unreadable = |source| OpenError::Read {
        path: from.path.clone(),
        source,
    };
    let snapshot = source.engine.snapshot().map_err(unreadable)?;
    let view = Checked(&*snapshot);
    let mut copied = Copied::default();
    for space in Space::all() {
        let mut range = Range::all();
        loop {
            let rows = view
                .scan(space, &range, Direction::Forward, ROWS)
                .map_err(unreadable)?;
            let Some((last, _)) = rows.last() else { break };
            range = range.after(&**last);
            let mut ops = Vec::with_capacity(rows.len());
            for (key, value) in rows {
                let key = Key::in_space(space, &key);
                copied.records += 1;
                copied.bytes += (key.len() + value.len()) as u64;
                let value = Some(value::seal(&key, value));
                ops.push(RawOp { key, value });
            }
            target.engine.write(&ops, false).map_err(written)?;
        }
    }
    let closed: Result<(), EngineError> = target
        .engine
        .write(&[], true)
        .and_then(|()| target.engine.close());
    closed.map_err(written)?;
    drop(snapshot);
    source.engine.close().map_err(|source| OpenError::Engine {
        path: from.path.clone(),
        source,
    })?;
    Ok(copied)
}
