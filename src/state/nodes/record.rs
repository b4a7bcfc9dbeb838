//! How nodes lie in the store. Every key begins with the number of their owner: an account, or a host of
//! nodes. A node's number is never used again, so what a deleted one leaves is out of reach of a later
//! one of the same name and can be erased at leisure.

use serde::{Deserialize, Serialize};

use super::attachments;
use super::config::Config;
use crate::hooks::Uid;
use crate::proto::jid::Jid;
use crate::store::{Batch, Direction, Fields, Key, Range, Snapshot, Space, StoreError};

/// A node as it is stored under its name.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Node {
    /// Its number.
    pub number: u64,
    /// When it was made, Unix milliseconds.
    pub created: u64,
    /// Who made it (bare JID).
    pub creator: String,
    /// Its configuration.
    #[serde(default)]
    pub config: Config,
    /// It is no more, and this is where to go instead (XEP-0060 §8.4.1).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub moved: Option<String>,
    /// The number of the node beside which it stands, whose access it has ([`attachments`]).
    #[serde(skip)]
    pub beside: Option<u64>,
}

/// What a node holds; written anew with every change, so that nothing has to be counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Totals {
    /// The place the next item gets.
    pub next: u64,
    /// Items below this place count as gone.
    pub first: u64,
    /// Items.
    pub items: u64,
    /// Their payloads and ids, in bytes.
    pub bytes: u64,
    /// Subscriptions of any state.
    pub subscriptions: u64,
}

/// Which rows belong together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shelf {
    /// The owner's number.
    pub owner: Uid,
    /// The node's number.
    pub node: u64,
}

impl Shelf {
    /// What all keys of the node begin with.
    pub fn key(self) -> Key {
        Key::new().u64(self.owner.0).u64(self.node)
    }

    /// The item at a place.
    pub fn item(self, place: u64) -> Key {
        self.key().u64(place)
    }

    /// Something under a name: the place of an item, a subscription, an affiliation.
    pub fn named(self, name: &str) -> Key {
        self.key().str(name)
    }

    /// Reads what it holds.
    pub fn totals(self, view: &dyn Snapshot) -> Result<Totals, StoreError> {
        let value = view.get(Space::NODE_TOTALS, &self.key())?;
        value.map_or(Ok(Totals::default()), |value| read(&value))
    }

    /// Writes what it holds.
    pub fn put_totals(self, batch: &mut Batch, totals: &Totals) {
        batch.put(Space::NODE_TOTALS, &self.key(), write(totals));
    }
}

/// Key of a node by its name.
pub fn node_key(owner: Uid, name: &str) -> Key {
    Key::new().u64(owner.0).str(name)
}

/// Whether there is a node of this name.
///
/// # Errors
/// The store's.
pub fn exists(view: &dyn Snapshot, owner: Uid, name: &str) -> Result<bool, StoreError> {
    Ok(view.get(Space::NODE, &node_key(owner, name))?.is_some())
}

/// Reads a node; there is none whose name is too long.
pub fn node(view: &dyn Snapshot, owner: Uid, name: &str) -> Result<Option<Node>, StoreError> {
    match stored(view, owner, name)? {
        Some(node) => attachments::follow(view, owner, name, node),
        None => Ok(None),
    }
}

/// Reads a node as it is stored.
pub(super) fn stored(
    view: &dyn Snapshot,
    owner: Uid,
    name: &str,
) -> Result<Option<Node>, StoreError> {
    if name.len() > super::NAME {
        return Ok(None);
    }
    let value = view.get(Space::NODE, &node_key(owner, name))?;
    value.map(|value| read(&value)).transpose()
}

/// Writes a node.
pub fn put_node(batch: &mut Batch, owner: Uid, name: &str, node: &Node) {
    batch.put(Space::NODE, &node_key(owner, name), write(node));
}

/// At most `limit` nodes of an owner in the order of their names, after one of them, as they are stored.
pub fn nodes(
    view: &dyn Snapshot,
    owner: Uid,
    after: Option<&str>,
    limit: usize,
) -> Result<Vec<(String, Node)>, StoreError> {
    let mut range = Range::prefix(Key::new().u64(owner.0));
    if let Some(after) = after {
        range = range.after(node_key(owner, after));
    }
    let rows = view.scan(Space::NODE, &range, Direction::Forward, limit)?;
    let named = |(key, value): (Vec<u8>, Vec<u8>)| {
        let mut fields = Fields::of(&key);
        fields.u64();
        let name = fields.str().ok_or_else(odd)?.to_owned();
        Ok((name, read(&value)?))
    };
    rows.into_iter().map(named).collect()
}

/// What ties an address to a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tie {
    /// A subscription of it or of one of its resources.
    Subscription = 0,
    /// An affiliation.
    Affiliation = 1,
}

/// Key of what ties a bare address to a node.
pub fn tie_key(owner: Uid, jid: &Jid, tie: Tie, node: u64) -> Key {
    ties_of(owner, jid, tie).u64(node)
}

fn ties_of(owner: Uid, jid: &Jid, tie: Tie) -> Key {
    let key = Key::new().u64(owner.0).str(jid.bare_str());
    key.u8(tie as u8)
}

/// The nodes that an address is tied to, at most `limit`, each with its name; a node that is gone may be among them.
pub fn ties(
    view: &dyn Snapshot,
    owner: Uid,
    jid: &Jid,
    tie: Tie,
    limit: usize,
) -> Result<Vec<(u64, String)>, StoreError> {
    let prefix = ties_of(owner, jid, tie);
    let range = Range::prefix(prefix.clone());
    let rows = view.scan(Space::NODE_TIE, &range, Direction::Forward, limit)?;
    let tie = |(key, value): (Vec<u8>, Vec<u8>)| {
        let number = key.get(prefix.len()..).unwrap_or_default();
        let number = Fields::of(number).u64().ok_or_else(odd)?;
        Ok((number, String::from_utf8(value).map_err(|_| odd())?))
    };
    rows.into_iter().map(tie).collect()
}

/// How a node is bound to another one (XEP-0496 §4.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bond {
    /// It extends it.
    Link = 0,
    /// It is below it.
    Parent = 1,
}

/// Key of what says that the node of a name is bound to another one, by the number of that.
pub fn bond_key(to: Shelf, bond: Bond, name: &str) -> Key {
    to.key().u8(bond as u8).str(name)
}

/// The names of the nodes that are bound so to one, at most `limit`.
pub fn bound(
    view: &dyn Snapshot,
    to: Shelf,
    bond: Bond,
    limit: usize,
) -> Result<Vec<String>, StoreError> {
    let prefix = to.key().u8(bond as u8);
    let range = Range::prefix(prefix.clone());
    let rows = view.scan(Space::NODE_BELOW, &range, Direction::Forward, limit)?;
    let name = |(key, _): (Vec<u8>, Vec<u8>)| {
        let name = key.get(prefix.len()..).unwrap_or_default();
        Ok(Fields::of(name).str().ok_or_else(odd)?.to_owned())
    };
    rows.into_iter().map(name).collect()
}

/// What an owner uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Used {
    /// Bytes of items.
    Bytes = 0,
    /// Nodes, by who made them.
    Nodes = 1,
}

/// Key of a counter of what is used; `by` for what is counted for each maker.
pub fn used_key(owner: Uid, what: Used, by: &str) -> Key {
    Key::new().u64(owner.0).u8(what as u8).str(by)
}

/// Reads such a counter.
pub fn used(view: &dyn Snapshot, owner: Uid, what: Used, by: &str) -> Result<u64, StoreError> {
    let value = view.get(Space::NODE_USAGE, &used_key(owner, what, by))?;
    let count = value.and_then(|value| crate::store::counter(&value));
    Ok(count.map_or(0, |count| u64::try_from(count).unwrap_or(0)))
}

/// Changes such a counter.
pub fn use_more(batch: &mut Batch, owner: Uid, what: Used, by: &str, more: i64) {
    if more != 0 {
        batch.add(Space::NODE_USAGE, &used_key(owner, what, by), more);
    }
}

/// The difference of two sizes, for a counter.
pub fn difference(after: u64, before: u64) -> i64 {
    let signed = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
    signed(after).saturating_sub(signed(before))
}

pub(super) fn write<T: Serialize>(value: &T) -> Vec<u8> {
    serde_json::to_vec(value).unwrap_or_default()
}

pub(super) fn read<T: serde::de::DeserializeOwned>(value: &[u8]) -> Result<T, StoreError> {
    serde_json::from_slice(value).map_err(|_| odd())
}

pub(super) fn odd() -> StoreError {
    StoreError::Format("a node".to_owned())
}
