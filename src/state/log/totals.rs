//! How much an archive holds, and where its entries are listed.

use super::{Raw, SENT, account, contact, foreign};
use crate::hooks::Uid;
use crate::store::{
    Batch, CommitError, Key, Range, Snapshot, Space, Store, StoreError, counter, counter_bytes,
};

/// Bytes read at once.
const PAGE: usize = 256 << 10;

/// Bytes of an account's archive.
///
/// # Errors
/// The store's.
pub fn bytes_of(snapshot: &dyn Snapshot, uid: Uid) -> Result<u64, StoreError> {
    let total = snapshot.get(Space::LOG_TOTALS, &account(uid))?;
    let total = total.and_then(|total| counter(&total)).unwrap_or(0);
    Ok(u64::try_from(total).unwrap_or(0))
}

/// Adds up what an archive holds and notes it, for an account that is not in use yet.
///
/// # Errors
/// The store's.
pub async fn recount(store: &Store, uid: Uid) -> Result<(), CommitError> {
    let (mut total, mut range) = (0_u64, Range::prefix(account(uid)));
    loop {
        let step = range.clone();
        let read = store.reading(move |view| {
            let rows = view.page(Space::LOG, &step, PAGE)?;
            let mut bytes = 0;
            for (key, value) in &rows {
                bytes += kept_bytes(key, value)?;
            }
            Ok((bytes, rows.last().map(|(key, _)| key.clone())))
        });
        let (bytes, last) = read.await.map_err(|_| CommitError::Failed)?;
        total = total.saturating_add(bytes);
        let Some(last) = last else { break };
        range = range.after(last.as_slice());
    }
    let mut batch = Batch::new().relaxed();
    let total = counter_bytes(i64::try_from(total).unwrap_or(i64::MAX));
    batch.put(Space::LOG_TOTALS, &account(uid), total.to_vec());
    store.commit(batch).await?;
    Ok(())
}

/// What an entry adds to the bytes of its archive.
///
/// # Errors
/// An entry that cannot be read.
pub fn kept_bytes(key: &[u8], value: &[u8]) -> Result<u64, StoreError> {
    let kept = Raw::read(key, value)?.kept();
    Ok(if kept { value.len() as u64 } else { 0 })
}

/// Where an entry is listed, if an archive keeps it.
///
/// # Errors
/// An entry that cannot be read.
pub fn listed(uid: Uid, key: &[u8], value: &[u8]) -> Result<Vec<(Space, Key)>, StoreError> {
    let raw = Raw::read(key, value)?;
    if raw.kept() {
        raw.places(uid)
    } else {
        Ok(Vec::new())
    }
}

impl Raw<'_> {
    /// Where an entry of an archive is listed: by its contact, and by the ids its sender gave it.
    pub(super) fn places(&self, uid: Uid) -> Result<Vec<(Space, Key)>, StoreError> {
        let stanza = self.stanza()?;
        let peer = if self.flags & SENT != 0 {
            stanza.to.as_ref().or(stanza.from.as_ref())
        } else {
            stanza.from.as_ref()
        };
        let peer = peer.map(|peer| (Space::LOG_BY_CONTACT, contact(uid, peer)));
        let ids = foreign(uid, &stanza).into_iter();
        let ids = ids.map(|id| (Space::LOG_BY_FOREIGN_ID, id));
        let places = peer.into_iter().chain(ids);
        Ok(places
            .map(|(space, place)| (space, place.mid(self.mid)))
            .collect())
    }
}
