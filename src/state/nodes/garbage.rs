//! What is left of nodes that were emptied or deleted: a mark says so, and it is erased in bounded steps.

use super::access::named_jid;
use super::items::Place;
use super::record::{self, Shelf, Tie, odd};
use crate::hooks::Uid;
use crate::store::{
    Batch, CommitError, Direction, Fields, Key, Range, Snapshot, Space, Store, StoreError,
};

/// Keys that one step erases.
const STEP: usize = 200;
/// The place above all others: everything of a node is to go.
pub(super) const ALL: u64 = u64::MAX;

/// Why erasing stopped; it goes on at the next attempt.
#[derive(Debug, thiserror::Error)]
pub enum EraseError {
    /// The store could not be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The store did not take it.
    #[error(transparent)]
    Commit(#[from] CommitError),
}

/// Marks what a node has below a place as to be erased.
pub(super) fn mark(batch: &mut Batch, shelf: Shelf, below: u64) {
    batch.put(Space::NODE_GONE, &shelf.item(below), Vec::new());
}

/// Erases all that is marked.
pub(super) async fn erase(store: &Store) -> Result<(), EraseError> {
    loop {
        let marks = store
            .reading(|view| view.scan(Space::NODE_GONE, &Range::all(), Direction::Forward, STEP))
            .await?;
        if marks.is_empty() {
            return Ok(());
        }
        for (key, _) in marks {
            let (shelf, below) = marked(&key).ok_or_else(odd)?;
            while step(store, shelf, below).await? {}
            let mut batch = Batch::new().relaxed();
            batch.delete(Space::NODE_GONE, &key);
            store.commit(batch).await?;
        }
    }
}

fn marked(key: &[u8]) -> Option<(Shelf, u64)> {
    let mut fields = Fields::of(key);
    let (owner, node) = (Uid(fields.u64()?), fields.u64()?);
    Some((Shelf { owner, node }, fields.u64()?))
}

/// One step; whether there may be more.
async fn step(store: &Store, shelf: Shelf, below: u64) -> Result<bool, EraseError> {
    let batch = store.reading(move |view| one(view, shelf, below)).await?;
    if batch.is_empty() {
        return Ok(false);
    }
    match store.commit(batch.relaxed()).await {
        // An item of the same id was published meanwhile: what is there is looked at again.
        Ok(_) | Err(CommitError::Precondition) => Ok(true),
        Err(error) => Err(error.into()),
    }
}

/// What the next step removes; nothing when all is gone.
fn one(view: &dyn Snapshot, shelf: Shelf, below: u64) -> Result<Batch, StoreError> {
    let mut batch = Batch::new();
    let old = Range::prefix(shelf.key()).before(shelf.item(below));
    let rows = view.scan(Space::NODE_ITEM, &old, Direction::Forward, STEP)?;
    for (key, value) in &rows {
        batch.delete(Space::NODE_ITEM, key);
        place_of(view, shelf, key, value, &mut batch)?;
    }
    if !rows.is_empty() || below != ALL {
        return Ok(batch);
    }
    let all = Range::prefix(shelf.key());
    for (space, tie) in [
        (Space::NODE_SUBSCRIPTION, Tie::Subscription),
        (Space::NODE_AFFILIATION, Tie::Affiliation),
    ] {
        for (key, _) in view.scan(space, &all, Direction::Forward, STEP)? {
            let jid = named_jid(&key)?;
            let tie = record::tie_key(shelf.owner, &jid, tie, shelf.node);
            batch.delete(space, &key);
            batch.delete(Space::NODE_TIE, &tie);
        }
    }
    for space in [
        Space::NODE_ITEM_PLACE,
        Space::NODE_TOTALS,
        Space::NODE_BELOW,
    ] {
        for (key, _) in view.scan(space, &all, Direction::Forward, STEP)? {
            batch.delete(space, &key);
        }
    }
    Ok(batch)
}

/// Removes the name of an item that goes, if it does not stand for a newer one.
fn place_of(
    view: &dyn Snapshot,
    shelf: Shelf,
    key: &[u8],
    item: &[u8],
    batch: &mut Batch,
) -> Result<(), StoreError> {
    let item = super::items::head(item)?;
    let name: Key = shelf.named(&item.id);
    if let Some(value) = view.get(Space::NODE_ITEM_PLACE, &name)?
        && Some(Place::read(&value)?.place) == Fields::of(key.get(16..).unwrap_or_default()).u64()
    {
        batch.require_equals(Space::NODE_ITEM_PLACE, &name, value);
        batch.delete(Space::NODE_ITEM_PLACE, &name);
    }
    Ok(())
}
