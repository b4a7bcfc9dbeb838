//! Retracted messages leave a tombstone (XEP-0424 0.4.2 §4).

use super::{Raw, encode, foreign_id, key, measure};
use crate::hooks::Uid;
use crate::proto::jid::Jid;
use crate::proto::ns;
use crate::proto::stanza::Stanza;
use crate::store::{Batch, Direction, Mid, Range, Snapshot, Space, StoreError};
use crate::xml::Element;

/// A message that is to be buried.
#[derive(Debug)]
pub struct Original {
    mid: Mid,
    value: Vec<u8>,
}

impl Original {
    /// The message as it was.
    ///
    /// # Errors
    /// An entry that cannot be read.
    pub fn stanza(&self, uid: Uid) -> Result<Stanza, StoreError> {
        Raw::read(&key(uid, self.mid), &self.value)?.stanza()
    }
}

/// Finds the newest message of an account's archive to which its sender, by bare address, gave an id.
///
/// # Errors
/// The store's.
pub fn find(
    snapshot: &dyn Snapshot,
    uid: Uid,
    id: &str,
    from: &Jid,
) -> Result<Option<Original>, StoreError> {
    let prefix = foreign_id(uid, id, from);
    let range = Range::prefix(prefix);
    let rows = snapshot.scan(Space::LOG_BY_FOREIGN_ID, &range, Direction::Backward, 1)?;
    let mid = rows.first().and_then(|(key, _)| key.last_chunk::<16>());
    let Some(mid) = mid.map(|mid| Mid::from_bytes(*mid)) else {
        return Ok(None);
    };
    let value = snapshot.get(Space::LOG, &key(uid, mid))?;
    Ok(value.map(|value| Original { mid, value }))
}

/// Puts a tombstone, which says `retracted`, in the place of a message, if that is as it was found.
///
/// # Errors
/// An entry that cannot be read.
pub fn bury(
    batch: &mut Batch,
    uid: Uid,
    original: Original,
    retracted: Element,
) -> Result<(), StoreError> {
    let place = key(uid, original.mid);
    let raw = Raw::read(&place, &original.value)?;
    let stone = tombstone(raw.stanza()?, retracted);
    let value = encode(&stone, raw.at, raw.flags);
    batch.require_equals(Space::LOG, &place, original.value);
    batch.put(Space::LOG, &place, value);
    measure::changed(batch, uid);
    Ok(())
}

/// The header stays, and the origin-id, by which the message is found.
fn tombstone(mut stanza: Stanza, retracted: Element) -> Stanza {
    stanza.retain_children(|child| child.is("origin-id", ns::STANZA_ID));
    stanza.push(retracted);
    stanza
}
