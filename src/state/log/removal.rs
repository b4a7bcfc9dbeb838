//! What leaves an archive: the oldest first, never from the middle (XEP-0313 §3.2).

use std::collections::BTreeSet;

use super::measure::Noted;
use super::{KEEP, Raw, account, key, listing};
use crate::hooks::Uid;
use crate::store::{Batch, CommitError, Direction, Mid, Range, Snapshot, Space, Store, StoreError};

/// Entries removed in one batch.
const STEP: usize = 256;

/// What one call removed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Removed {
    /// Messages.
    pub messages: u64,
    /// Their bytes in the log.
    pub bytes: u64,
}

/// Removes the oldest messages of an archive, up to and including `upto`, until `bytes` are gone. What
/// still waits for a client only leaves the archive. Takes small batches, one at a time.
///
/// # Errors
/// The store's; what was removed before stays removed.
pub async fn remove(store: &Store, uid: Uid, upto: Mid, bytes: u64) -> Result<Removed, StoreError> {
    let (mut upto, mut listed_anew) = (upto, false);
    let mut removed = Removed::default();
    let mut after = None;
    while removed.bytes < bytes {
        let left = bytes - removed.bytes;
        let step = store
            .reading(move |snapshot| step(snapshot, uid, after, upto, left))
            .await?;
        if step.removed.messages > 0 && !listed_anew {
            // There is something to remove: what comes from now on must not be listed by it.
            upto = upto.min(list_anew(store, uid).await?);
            listed_anew = true;
            continue;
        }
        if step.removed.messages > 0 {
            match store.commit(step.batch).await {
                Ok(_) => {}
                // Others removed something: what is there now?
                Err(CommitError::Precondition) => continue,
                Err(_) => return Err(StoreError::Busy),
            }
        }
        removed.messages += step.removed.messages;
        removed.bytes += step.removed.bytes;
        match step.last {
            Some(last) => after = Some(last),
            None => break,
        }
    }
    Ok(removed)
}

/// Has what comes after the returned id listed by marks after it.
async fn list_anew(store: &Store, uid: Uid) -> Result<Mid, StoreError> {
    let mut batch = Batch::new().relaxed().making_room();
    batch.forget_marks(Space::LOG, &account(uid));
    store.commit(batch).await.map_err(|_| StoreError::Busy)
}

struct Step {
    batch: Batch,
    removed: Removed,
    /// Where the next step goes on.
    last: Option<Mid>,
}

fn step(
    snapshot: &dyn Snapshot,
    uid: Uid,
    after: Option<Mid>,
    upto: Mid,
    bytes: u64,
) -> Result<Step, StoreError> {
    let range = Range::mids(&account(uid), after, Some(upto.after()));
    let rows = snapshot.scan(Space::LOG, &range, Direction::Forward, STEP)?;
    let mut step = Step {
        batch: Batch::new().relaxed().making_room(),
        removed: Removed::default(),
        last: None,
    };
    let full = rows.len() == STEP;
    let (noted, mut counted) = (Noted::load(snapshot, uid)?, 0);
    let (mut contacts, mut last) = (BTreeSet::new(), Mid::MIN);
    for (at, value) in rows {
        let raw = Raw::read(&at, &value)?;
        step.last = full.then_some(raw.mid);
        if !raw.kept() {
            continue;
        }
        forget(&mut step.batch, snapshot, uid, &raw, &value)?;
        contacts.extend(raw.listed(uid)?);
        last = raw.mid;
        step.removed.messages += 1;
        step.removed.bytes += value.len() as u64;
        if raw.mid <= noted.note.through {
            counted += value.len() as u64;
        }
        if step.removed.bytes >= bytes {
            step.last = None;
            break;
        }
    }
    if step.removed.messages > 0 {
        listing::unlist(&mut step.batch, snapshot, uid, contacts, last)?;
        noted.removed(&mut step.batch, uid, counted);
    }
    Ok(step)
}

/// Takes one entry out of the archive.
fn forget(
    batch: &mut Batch,
    snapshot: &dyn Snapshot,
    uid: Uid,
    raw: &Raw<'_>,
    value: &[u8],
) -> Result<(), StoreError> {
    let place = key(uid, raw.mid);
    if snapshot.get(Space::UNDELIVERED, &place)?.is_some() {
        let mut value = value.to_vec();
        if let Some(flags) = value.get_mut(1) {
            *flags &= !KEEP;
        }
        batch.put(Space::LOG, &place, value);
    } else {
        batch.delete(Space::LOG, &place);
    }
    Ok(())
}
