//! Reading: a consistent view, and ranges over it.

use super::{Key, Mid, Space, StoreError, value};
use std::ops::Bound;

/// Keys without their space, and values, in the order of the scan.
pub type Rows = Vec<(Vec<u8>, Vec<u8>)>;

/// Which end a scan begins at.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Direction {
    /// From the lowest key up.
    Forward,
    /// From the highest key down.
    Backward,
}

/// A consistent view of the store. Every value's checksum is verified on the way.
///
/// On the sled engine, which has no versions, each single call is consistent, but two calls may see
/// two states.
pub trait Snapshot: Send + Sync {
    /// The value under a key.
    fn get(&self, space: Space, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError>;

    /// The values under several keys, in their order.
    fn multi_get(&self, space: Space, keys: &[&[u8]]) -> Result<Vec<Option<Vec<u8>>>, StoreError> {
        keys.iter().map(|key| self.get(space, key)).collect()
    }

    /// At most `limit` rows of `range`.
    fn scan(
        &self,
        space: Space,
        range: &Range,
        direction: Direction,
        limit: usize,
    ) -> Result<Rows, StoreError>;

    /// The first rows of `range`, up to the one that makes them `bytes` of keys and values or more. None means that there are
    /// none: for going through more than memory should hold.
    fn page(&self, space: Space, range: &Range, bytes: usize) -> Result<Rows, StoreError>;
}

/// Takes rows until they make up `bytes`.
pub(crate) fn up_to(
    bytes: usize,
    rows: impl Iterator<Item = Result<(Vec<u8>, Vec<u8>), StoreError>>,
) -> Result<Rows, StoreError> {
    let (mut page, mut held) = (Rows::new(), 0);
    for row in rows {
        let (key, value) = row?;
        held += key.len() + value.len() + ROW;
        page.push((key, value));
        if held >= bytes {
            break;
        }
    }
    Ok(page)
}

/// What a row takes besides its bytes.
const ROW: usize = 48;

/// A range of keys in one space.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Range {
    pub(crate) start: Bound<Key>,
    pub(crate) end: Bound<Key>,
}

impl Range {
    /// Every key of the space.
    pub fn all() -> Range {
        Range {
            start: Bound::Unbounded,
            end: Bound::Unbounded,
        }
    }

    /// Every key that begins with `prefix`.
    pub fn prefix(prefix: impl Into<Key>) -> Range {
        let prefix = prefix.into();
        let end = prefix
            .clone()
            .successor()
            .map_or(Bound::Unbounded, Bound::Excluded);
        Range {
            start: Bound::Included(prefix),
            end,
        }
    }

    /// From `start` to `end`.
    pub fn between(start: Bound<Key>, end: Bound<Key>) -> Range {
        Range { start, end }
    }

    /// The part above `key`.
    #[must_use]
    pub fn after(self, key: impl Into<Key>) -> Range {
        let start = later(self.start, Bound::Excluded(key.into()));
        Range { start, ..self }
    }

    /// The part from `key` on.
    #[must_use]
    pub fn from(self, key: impl Into<Key>) -> Range {
        let start = later(self.start, Bound::Included(key.into()));
        Range { start, ..self }
    }

    /// The part below `key`.
    #[must_use]
    pub fn before(self, key: impl Into<Key>) -> Range {
        let end = sooner(self.end, Bound::Excluded(key.into()));
        Range { end, ..self }
    }

    /// The messages of one owner with an id above `after` and below `before`.
    pub fn mids(prefix: &Key, after: Option<Mid>, before: Option<Mid>) -> Range {
        let mut range = Range::prefix(prefix.clone());
        if let Some(mid) = after {
            range = range.after(prefix.clone().mid(mid));
        }
        match before {
            Some(mid) => range.before(prefix.clone().mid(mid)),
            None => range,
        }
    }

    pub(crate) fn contains(&self, key: &[u8]) -> bool {
        let above = match &self.start {
            Bound::Included(start) => key >= &**start,
            Bound::Excluded(start) => key > &**start,
            Bound::Unbounded => true,
        };
        above
            && match &self.end {
                Bound::Included(end) => key <= &**end,
                Bound::Excluded(end) => key < &**end,
                Bound::Unbounded => true,
            }
    }

    /// The same range as engines see it, with the space in front; `None` if nothing can lie in it.
    pub(crate) fn in_space(&self, space: Space) -> Option<(Bound<Key>, Bound<Key>)> {
        let whole = Key::new().u8(space.0);
        let start = match &self.start {
            Bound::Included(key) => Bound::Included(Key::in_space(space, key)),
            Bound::Excluded(key) => Bound::Excluded(Key::in_space(space, key)),
            Bound::Unbounded => Bound::Included(whole.clone()),
        };
        let end = match &self.end {
            Bound::Included(key) => Bound::Included(Key::in_space(space, key)),
            Bound::Excluded(key) => Bound::Excluded(Key::in_space(space, key)),
            Bound::Unbounded => whole.successor().map_or(Bound::Unbounded, Bound::Excluded),
        };
        // The ordered maps of engines panic on a start above the end, or on one excluded point.
        let possible = match (&start, &end) {
            (Bound::Included(a), Bound::Included(b)) => a <= b,
            (Bound::Included(a) | Bound::Excluded(a), Bound::Included(b) | Bound::Excluded(b)) => {
                a < b
            }
            _ => true,
        };
        possible.then_some((start, end))
    }
}

fn later(a: Bound<Key>, b: Bound<Key>) -> Bound<Key> {
    let rank = |bound: &Bound<Key>| match bound {
        Bound::Unbounded => None,
        Bound::Included(key) => Some((key.clone(), false)),
        Bound::Excluded(key) => Some((key.clone(), true)),
    };
    if rank(&a) >= rank(&b) { a } else { b }
}

fn sooner(a: Bound<Key>, b: Bound<Key>) -> Bound<Key> {
    let rank = |bound: &Bound<Key>| match bound {
        Bound::Unbounded => (true, Key::new(), false),
        Bound::Included(key) => (false, key.clone(), true),
        Bound::Excluded(key) => (false, key.clone(), false),
    };
    if rank(&a) <= rank(&b) { a } else { b }
}

/// An engine's snapshot as the rest of the server sees it: checksums verified and cut off.
pub(crate) struct Checked<'a>(pub(crate) &'a dyn Snapshot);

impl Snapshot for Checked<'_> {
    fn get(&self, space: Space, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        match self.0.get(space, key)? {
            Some(sealed) => value::open(&Key::in_space(space, key), sealed).map(Some),
            None => Ok(None),
        }
    }

    fn scan(
        &self,
        space: Space,
        range: &Range,
        direction: Direction,
        limit: usize,
    ) -> Result<Rows, StoreError> {
        let rows = self.0.scan(space, range, direction, limit)?;
        rows.into_iter()
            .map(|(key, sealed)| {
                let value = value::open(&Key::in_space(space, &key), sealed)?;
                Ok((key, value))
            })
            .collect()
    }

    fn page(&self, space: Space, range: &Range, bytes: usize) -> Result<Rows, StoreError> {
        let rows = self.0.page(space, range, bytes)?;
        rows.into_iter()
            .map(|(key, sealed)| {
                let value = value::open(&Key::in_space(space, &key), sealed)?;
                Ok((key, value))
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_narrow_and_never_widen() {
        let range = Range::prefix("b").after("a").before("d");
        assert_eq!(range, Range::prefix("b"));
        let range = Range::prefix("b").after("b1").before("b5");
        assert!(!range.contains(b"b1") && range.contains(b"b2") && !range.contains(b"b5"));
        assert!(Range::all().contains(b"") && Range::all().from("x").contains(b"x"));
    }

    #[test]
    fn an_impossible_range_is_none() {
        assert_eq!(Range::prefix("b").after("c").in_space(Space::META), None);
        assert_eq!(
            Range::all().after("b").before("b").in_space(Space::META),
            None
        );
        assert!(Range::all().in_space(Space(255)).is_some());
    }
}
