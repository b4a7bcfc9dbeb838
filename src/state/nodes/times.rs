//! When somebody published something, first and last: for who looks after accounts.

use super::items::{self, Span};
use super::record::{self, Shelf};
use crate::hooks::Uid;
use crate::store::{Snapshot, StoreError};

/// When an item was published, Unix milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Times {
    /// First, under the same id; unknown for what is from before this was kept.
    pub first: Option<u64>,
    /// Last.
    pub last: u64,
}

/// When the item of an id was published at a node of an account; without an id the newest, and first is when the node was made.
///
/// # Errors
/// The store's.
pub fn times(
    view: &dyn Snapshot,
    owner: Uid,
    name: &str,
    id: Option<&str>,
) -> Result<Option<Times>, StoreError> {
    let node = record::node(view, owner, name)?;
    let Some(node) = node.filter(|node| node.moved.is_none()) else {
        return Ok(None);
    };
    let shelf = Shelf {
        owner,
        node: node.number,
    };
    let totals = shelf.totals(view)?;
    let Some(id) = id else {
        let newest = items::read(view, shelf, &totals, Span::newest(1), 0)?;
        return Ok(newest.into_iter().next().map(|item| Times {
            first: Some(node.created),
            last: item.head.at,
        }));
    };
    let Some(place) = items::place(view, shelf, &totals, id)? else {
        return Ok(None);
    };
    let item = items::at(view, shelf, &totals, place.place)?;
    Ok(item.map(|item| Times {
        first: place.since,
        last: item.head.at,
    }))
}
