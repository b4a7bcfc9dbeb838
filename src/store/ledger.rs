//! What the store keeps about itself in [`Space::META`]: the last id, sequences, the registry of module spaces.
//!
//! Nothing here is written on its own: whatever has changed rides in the next group, which is the one that
//! first uses it or an earlier one.

use super::{Direction, Fields, Key, Mid, Range, Snapshot, Space, StoreError};
use std::collections::BTreeMap;

pub(crate) const LAST_MID: &str = "last-mid";
pub(crate) const SCHEMA: &str = "schema";
const SEQUENCE: &str = "sequence/";
const SPACE: &str = "space/";

/// Numbers of a sequence reserved at once: so many are skipped when the process ends.
const BLOCK: u64 = 32;

#[derive(Debug, Default)]
pub(crate) struct Ledger {
    sequences: BTreeMap<String, Sequence>,
    spaces: BTreeMap<String, (Space, u32)>,
    dirty: Vec<(Key, Vec<u8>)>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Sequence {
    last: u64,
    /// No number up to this one is given out after a restart.
    reserved: u64,
}

impl Ledger {
    /// Reads everything back.
    pub(crate) fn load(view: &dyn Snapshot) -> Result<Ledger, StoreError> {
        let mut ledger = Ledger::default();
        for (name, value) in rows(view, SEQUENCE)? {
            let last = Fields::of(&value).u64().ok_or_else(|| unreadable(&name))?;
            ledger.sequences.insert(
                name,
                Sequence {
                    last,
                    reserved: last,
                },
            );
        }
        for (name, value) in rows(view, SPACE)? {
            let mut fields = Fields::of(&value);
            let (number, version) = fields
                .u8()
                .zip(fields.u32())
                .ok_or_else(|| unreadable(&name))?;
            ledger.spaces.insert(name, (Space(number), version));
        }
        Ok(ledger)
    }

    /// The next number of the sequence `what`, from 1.
    pub(crate) fn allocate(&mut self, what: &str) -> u64 {
        let sequence = match self.sequences.get_mut(what) {
            Some(sequence) => sequence,
            None => self.sequences.entry(what.to_owned()).or_default(),
        };
        sequence.last += 1;
        if sequence.last > sequence.reserved {
            sequence.reserved = sequence.last + BLOCK - 1;
            let value = sequence.reserved.to_be_bytes().to_vec();
            self.dirty
                .push((Key::from(SEQUENCE).bytes(what.as_bytes()), value));
        }
        sequence.last
    }

    /// The space registered under `name`, or the next free one.
    pub(crate) fn space(&mut self, name: &str, version: u32) -> Result<Space, StoreError> {
        if let Some(&(space, found)) = self.spaces.get(name) {
            let wrong = || StoreError::SpaceVersion {
                name: name.to_owned(),
                found,
                wanted: version,
            };
            return if found == version {
                Ok(space)
            } else {
                Err(wrong())
            };
        }
        let taken = |number: &u8| self.spaces.values().any(|(space, _)| space.0 == *number);
        let number = Space::MODULES
            .clone()
            .find(|number| !taken(number))
            .ok_or(StoreError::NoSpace)?;
        self.spaces
            .insert(name.to_owned(), (Space(number), version));
        let value = Key::new().u8(number).u32(version).to_vec();
        self.dirty
            .push((Key::from(SPACE).bytes(name.as_bytes()), value));
        Ok(Space(number))
    }

    /// The registered module spaces.
    pub(crate) fn spaces(&self) -> Vec<(String, Space)> {
        self.spaces
            .iter()
            .map(|(name, (space, _))| (name.clone(), *space))
            .collect()
    }

    /// Number and schema version of each.
    pub(crate) fn versions(&self) -> BTreeMap<String, (u8, u32)> {
        let spaces = self.spaces.iter();
        spaces
            .map(|(name, (space, version))| (name.clone(), (space.0, *version)))
            .collect()
    }

    /// What the next group has to carry; put back with [`Ledger::keep`] if it fails.
    pub(crate) fn dirty(&mut self) -> Vec<(Key, Vec<u8>)> {
        std::mem::take(&mut self.dirty)
    }

    /// Takes back what a failed group carried. Older than what is dirty now, so it goes in front.
    pub(crate) fn keep(&mut self, mut older: Vec<(Key, Vec<u8>)>) {
        older.append(&mut self.dirty);
        self.dirty = older;
    }
}

/// The last id that is on disk.
pub(crate) fn last_mid(view: &dyn Snapshot) -> Result<Mid, StoreError> {
    match view.get(Space::META, LAST_MID.as_bytes())? {
        Some(value) => Fields::of(&value).mid().ok_or_else(|| unreadable(LAST_MID)),
        None => Ok(Mid::MIN),
    }
}

fn rows(view: &dyn Snapshot, prefix: &str) -> Result<Vec<(String, Vec<u8>)>, StoreError> {
    let rows = view.scan(
        Space::META,
        &Range::prefix(prefix),
        Direction::Forward,
        usize::MAX,
    )?;
    let named = rows.into_iter().map(|(key, value)| {
        let name = key.get(prefix.len()..).unwrap_or_default();
        (String::from_utf8_lossy(name).into_owned(), value)
    });
    Ok(named.collect())
}

fn unreadable(name: &str) -> StoreError {
    StoreError::Format(format!("the store's own entry {name:?}"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_sequence_writes_once_per_block() {
        let mut ledger = Ledger::default();
        assert_eq!(
            (
                ledger.allocate("uid"),
                ledger.allocate("uid"),
                ledger.allocate("rid")
            ),
            (1, 2, 1)
        );
        assert_eq!(ledger.dirty().len(), 2);
        (3..=BLOCK).for_each(|n| assert_eq!(ledger.allocate("uid"), n));
        assert!(ledger.dirty().is_empty());
        assert_eq!(ledger.allocate("uid"), BLOCK + 1);
        assert_eq!(ledger.dirty().len(), 1);
    }

    #[test]
    fn module_spaces_run_out_with_an_error() {
        let mut ledger = Ledger::default();
        let room = Space::MODULES.count();
        for n in 0..room {
            assert!(ledger.space(&n.to_string(), 1).is_ok());
        }
        assert!(matches!(
            ledger.space("one more", 1),
            Err(StoreError::NoSpace)
        ));
        assert_eq!(
            ledger.space("0", 1).unwrap(),
            Space(*Space::MODULES.start())
        );
        assert!(matches!(
            ledger.space("0", 2),
            Err(StoreError::SpaceVersion {
                found: 1,
                wanted: 2,
                ..
            })
        ));
    }
}
