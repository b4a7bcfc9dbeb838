//! What changed on the lists of a room, one after the other, as far as it is remembered (XEP-0463).

use serde::{Deserialize, Serialize};

use super::{Affiliation, PAGE, Rid, json, odd};
use crate::proto::jid::Jid;
use crate::store::{Batch, Fields, Key, Range, Snapshot, Space, StoreError};

/// Somebody became something else to a room.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// Its number: they rise by one.
    #[serde(skip)]
    pub number: u64,
    /// Who.
    pub jid: Jid,
    /// What it was.
    pub before: Affiliation,
    /// What it became.
    pub after: Affiliation,
}

fn key(rid: Rid, number: u64) -> Key {
    rid.key().u64(number)
}

/// Keeps a change.
pub fn keep(batch: &mut Batch, rid: Rid, change: &Change) {
    batch.put(Space::ROOM_CHANGE, &key(rid, change.number), json(change));
}

/// Forgets a change.
pub fn forget(batch: &mut Batch, rid: Rid, number: u64) {
    batch.delete(Space::ROOM_CHANGE, &key(rid, number));
}

/// All changes that are remembered, in their order.
///
/// # Errors
/// The store's; something that cannot be read.
pub(super) fn read(view: &dyn Snapshot, rid: Rid) -> Result<Vec<Change>, StoreError> {
    let (mut changes, mut range) = (Vec::new(), Range::prefix(rid.key()));
    loop {
        let rows = view.page(Space::ROOM_CHANGE, &range, PAGE)?;
        let Some((last, _)) = rows.last() else {
            return Ok(changes);
        };
        range = range.after(last.as_slice());
        for (key, value) in rows {
            let mut fields = Fields::of(&key);
            let number = fields.u64().and_then(|_| fields.u64());
            let change: Option<Change> = serde_json::from_slice(&value).ok();
            let (number, change) = number.zip(change).ok_or_else(|| odd("a change"))?;
            changes.push(Change { number, ..change });
        }
    }
}
