//! Reading everything to see whether it can be read.

use super::backup::Pace;
use super::{Copied, Frozen, Key, Range, Space, StoreError, value};

/// Bytes read at once.
const PAGE: usize = 1 << 20;

/// Reads every record and verifies its checksum; what cannot be read is told to `problem`, and it goes on with what follows, or
/// with the next space. At most `rate` bytes a second if it is given. `progress` ends it by returning `false`, and then there
/// is no answer.
///
/// # Errors
/// [`StoreError::Closed`].
pub fn survey(
    view: &Frozen,
    rate: Option<u64>,
    mut problem: impl FnMut(StoreError),
    mut progress: impl FnMut(Copied) -> bool,
) -> Result<Option<Copied>, StoreError> {
    let (mut read, pace) = (Copied::default(), Pace::new(rate));
    for space in Space::all() {
        let mut range = Range::all();
        loop {
            let rows = match view.raw(space, &range, PAGE) {
                Ok(rows) => rows,
                Err(StoreError::Closed) => return Err(StoreError::Closed),
                Err(error) => {
                    problem(StoreError::Engine(format!(
                        "{space}: after {} records: {error}",
                        read.records
                    )));
                    break;
                }
            };
            let Some((last, _)) = rows.last() else { break };
            range = range.after(&**last);
            for (key, sealed) in &rows {
                let key = Key::in_space(space, key);
                if let Err(error) = value::check(&key, sealed) {
                    problem(error);
                }
                read.records += 1;
                read.bytes += (key.len() + sealed.len()) as u64;
            }
            if !progress(read) {
                return Ok(None);
            }
            pace.keep(read.bytes);
        }
    }
    Ok(Some(read))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::runtime::clock::Clock;
    use crate::store::{Batch, Options, RawOp, Store, testing};

    #[tokio::test]
    async fn every_damaged_record_is_told() {
        let engine = testing::memory();
        let store = Store::with_engine(engine.clone(), Options::memory(), Clock::system()).unwrap();
        let mut batch = Batch::new();
        (0..100u8).for_each(|n| batch.put(Space::ROSTER, &[n], vec![n; 9]));
        store.commit(batch).await.unwrap();
        let damaged: Vec<Key> = [3, 99].map(|n| Key::in_space(Space::ROSTER, &[n])).into();
        let op = |key: &Key| RawOp {
            key: key.clone(),
            value: Some(vec![1; 20]),
        };
        let ops: Vec<RawOp> = damaged.iter().map(op).collect();
        engine.write(&ops, true).unwrap();
        let (view, mut found) = (store.frozen().unwrap(), Vec::new());
        let problem = |error| match error {
            StoreError::Damaged { key } => found.push(key),
            other => unreachable!("{other}"),
        };
        let read = survey(&view, None, problem, |_| true).unwrap().unwrap();
        assert!(read.records >= 100);
        assert_eq!(found, damaged);
        assert_eq!(survey(&view, None, |_| (), |_| false).unwrap(), None);
    }
}
