//! What leaves the archive of a room: the oldest first, never from the middle (XEP-0313 §3.2).

use super::bytes_of;
use crate::state::rooms::Rid;
use crate::store::{Batch, Direction, Mid, Range, Snapshot, Space, Store, StoreError};

/// Messages removed in one batch.
const STEP: usize = 256;

/// Removes the oldest messages, those below `before`, and then as many as it takes until the archive has
/// at most `most` bytes. Takes small batches, one at a time.
///
/// # Errors
/// The store's; what was removed before stays removed.
pub async fn expire(store: &Store, rid: Rid, before: Mid, most: u64) -> Result<(), StoreError> {
    loop {
        let step = store
            .reading(move |view| step(view, rid, before, most))
            .await?;
        let Some((batch, more)) = step else {
            return Ok(());
        };
        if store.commit(batch).await.is_err() {
            return Err(StoreError::Busy);
        }
        if !more {
            return Ok(());
        }
    }
}

/// One batch, and whether another may follow; nothing if all may stay.
fn step(
    view: &dyn Snapshot,
    rid: Rid,
    before: Mid,
    most: u64,
) -> Result<Option<(Batch, bool)>, StoreError> {
    let mut excess = bytes_of(view, rid)?.saturating_sub(most);
    let rows = view.scan(
        Space::ROOM_LOG,
        &Range::prefix(rid.key()),
        Direction::Forward,
        STEP,
    )?;
    let full = rows.len() == STEP;
    let (mut batch, mut less, mut gone) = (Batch::new().relaxed(), 0_u64, 0_usize);
    for (key, value) in rows {
        let mid = key.last_chunk::<16>().map(|mid| Mid::from_bytes(*mid));
        let old = mid.is_some_and(|mid| mid < before);
        if !old && excess == 0 {
            break;
        }
        let size = value.len() as u64;
        excess = excess.saturating_sub(size);
        less = less.saturating_add(size);
        gone += 1;
        batch.delete(Space::ROOM_LOG, &key);
    }
    if gone == 0 {
        return Ok(None);
    }
    let less = i64::try_from(less).unwrap_or(i64::MAX);
    batch.add(Space::ROOM_TOTALS, &rid.key(), -less);
    Ok(Some((batch, full && gone == STEP)))
}
