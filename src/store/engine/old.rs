//! What was overwritten since a view was frozen, for an engine without versions of its own.

use super::RawOp;
use crate::store::{Key, StoreError};
use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::iter::Peekable;
use std::ops::Deref;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Bytes of overwritten keys and values that one view may hold.
const MOST: usize = 64 << 20;
/// What an entry takes besides its bytes.
const ENTRY: usize = 96;

/// A key without its space, and its value.
pub(super) type Row = Result<(Vec<u8>, Vec<u8>), StoreError>;

#[derive(Default)]
pub(super) struct Old(Mutex<Kept>);

#[derive(Default)]
pub(super) struct Kept {
    /// The values as they were; `None` where there was none.
    pub(super) values: BTreeMap<Key, Option<Vec<u8>>>,
    bytes: usize,
}

impl Old {
    /// Keeps what `ops` are about to overwrite.
    pub(super) fn keep<V: Deref<Target = [u8]>, E>(
        &self,
        ops: &[RawOp],
        now: impl Fn(&[u8]) -> Result<Option<V>, E>,
    ) -> Result<(), E> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for op in ops {
            if kept.bytes > MOST || kept.values.contains_key(&op.key) {
                continue;
            }
            let value = now(&op.key)?.map(|value| value.to_vec());
            kept.bytes += op.key.len() + value.as_ref().map_or(0, Vec::len) + ENTRY;
            kept.values.insert(op.key.clone(), value);
        }
        if kept.bytes > MOST {
            kept.values.clear();
        }
        Ok(())
    }

    /// What was kept.
    pub(super) fn lock(&self) -> Result<MutexGuard<'_, Kept>, StoreError> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.bytes > MOST {
            let text = "too much was written meanwhile; try again when less goes on";
            return Err(StoreError::Engine(text.to_owned()));
        }
        Ok(kept)
    }
}

/// Rows of today with what was kept laid over them. Both come in one order, in which what is `first` goes ahead.
pub(super) fn overlaid<'a>(
    now: impl Iterator<Item = Row> + 'a,
    kept: impl Iterator<Item = (&'a [u8], Option<&'a [u8]>)> + 'a,
    first: Ordering,
) -> impl Iterator<Item = Row> + 'a {
    let (mut now, mut kept) = (now.peekable(), kept.peekable());
    std::iter::from_fn(move || {
        loop {
            match kept.peek() {
                Some((key, _)) if !goes_ahead(&mut now, key, first) => {
                    let (key, value) = kept.next()?;
                    if matches!(now.peek(), Some(Ok((same, _))) if same == key) {
                        now.next();
                    }
                    if let Some(value) = value {
                        return Some(Ok((key.to_vec(), value.to_vec())));
                    }
                }
                _ => return now.next(),
            }
        }
    })
}

/// Whether the next row of today comes before `key`; an error always does.
fn goes_ahead(now: &mut Peekable<impl Iterator<Item = Row>>, key: &[u8], first: Ordering) -> bool {
    match now.peek() {
        Some(Ok((next, _))) => next.as_slice().cmp(key) == first,
        Some(Err(_)) => true,
        None => false,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    type Map = BTreeMap<u8, u8>;

    proptest! {
        #[test]
        fn the_view_stays_as_it_was(before: Map, writes: Vec<(u8, Option<u8>)>) {
            let old = Old::default();
            let mut now = before.clone();
            for (key, value) in writes {
                let op = RawOp { key: Key::new().u8(1).u8(key), value: value.map(|v| vec![v]) };
                old.keep(&[op], |key| Ok::<_, ()>(now.get(key.last().unwrap()).map(|v| vec![*v]))).unwrap();
                match value {
                    Some(value) => now.insert(key, value),
                    None => now.remove(&key),
                };
            }
            let kept = old.lock().unwrap();
            let kept = || kept.values.iter().map(|(key, value)| (key.get(1..).unwrap(), value.as_deref()));
            let today = || now.iter().map(|(key, value)| Ok((vec![*key], vec![*value])));
            let then: Vec<_> = before.iter().map(|(key, value)| (vec![*key], vec![*value])).collect();
            let seen: Result<Vec<_>, _> = overlaid(today(), kept(), Ordering::Less).collect();
            prop_assert_eq!(&seen.unwrap(), &then);
            let seen: Result<Vec<_>, _> = overlaid(today().rev(), kept().rev(), Ordering::Greater).collect();
            prop_assert!(seen.unwrap().into_iter().rev().eq(then));
        }
    }
}
