//! The encrypted group of a room (`docs/mls.md`): where it is, who takes part by the word of those who changed it, and its
//! state for those who join by themselves.

use std::collections::BTreeSet;

use super::{PAGE, Rid, json, odd};
use crate::proto::jid::Jid;
use crate::state::mls::order::{Changed, Order};
use crate::store::{Batch, Fields, Key, Range, Snapshot, Space, StoreError};

/// The order.
const ORDER: u8 = 0;
/// Who takes part.
const PARTICIPANT: u8 = 1;
/// The state of an epoch.
const INFO: u8 = 2;

/// The group of a room.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// Where it is.
    pub order: Order,
    /// Who takes part.
    pub participants: BTreeSet<Jid>,
    /// As it lies in the store, if it does.
    row: Option<Vec<u8>>,
}

fn key(rid: Rid, what: u8) -> Key {
    rid.key().u8(what)
}

impl Group {
    /// A group that is not in the store before its next epoch.
    pub fn new(order: Order) -> Group {
        Group {
            order,
            participants: BTreeSet::new(),
            row: None,
        }
    }

    /// The next epoch begins, if nobody else began it.
    pub fn advance(&mut self, batch: &mut Batch, rid: Rid, id: String, by: Jid) {
        let key = key(rid, ORDER);
        self.order.advance(id, by);
        let row = json(&self.order);
        match self.row.replace(row.clone()) {
            Some(before) => batch.require_equals(Space::ROOM_GROUP, &key, before),
            None => batch.require_absent(Space::ROOM_GROUP, &key),
        }
        batch.put(Space::ROOM_GROUP, &key, row);
    }

    /// Who takes part changes; of more than `most` only so many are remembered.
    pub fn change(&mut self, batch: &mut Batch, rid: Rid, changed: &Changed, most: usize) {
        for jid in &changed.removed {
            if self.participants.remove(jid) {
                batch.delete(Space::ROOM_GROUP, &participant(rid, jid));
            }
        }
        for jid in &changed.added {
            if self.participants.len() < most && self.participants.insert(jid.clone()) {
                batch.put(Space::ROOM_GROUP, &participant(rid, jid), []);
            }
        }
    }

    /// The room has no group any more.
    pub fn end(self, batch: &mut Batch, rid: Rid) {
        for what in [ORDER, INFO] {
            batch.delete(Space::ROOM_GROUP, &key(rid, what));
        }
        for jid in &self.participants {
            batch.delete(Space::ROOM_GROUP, &participant(rid, jid));
        }
    }

    /// Keeps the state of the epoch that the group is in.
    pub fn keep_info(&self, batch: &mut Batch, rid: Rid, info: &[u8]) {
        let value = [&self.order.epoch.to_be_bytes()[..], info].concat();
        batch.put(Space::ROOM_GROUP, &key(rid, INFO), value);
    }
}

fn participant(rid: Rid, jid: &Jid) -> Key {
    key(rid, PARTICIPANT).str(jid.as_str())
}

/// The state of a group, if it is of this epoch.
///
/// # Errors
/// The store's.
pub fn info(view: &dyn Snapshot, rid: Rid, epoch: u64) -> Result<Option<Vec<u8>>, StoreError> {
    let value = view.get(Space::ROOM_GROUP, &key(rid, INFO))?;
    let info = value.as_deref().and_then(|value| value.split_first_chunk());
    let info = info.filter(|(of, _)| u64::from_be_bytes(**of) == epoch);
    Ok(info.map(|(_, info)| info.to_vec()))
}

/// The group of a room, if it has one.
///
/// # Errors
/// The store's; something that cannot be read.
pub(super) fn read(view: &dyn Snapshot, rid: Rid) -> Result<Option<Group>, StoreError> {
    let Some(row) = view.get(Space::ROOM_GROUP, &key(rid, ORDER))? else {
        return Ok(None);
    };
    let order = serde_json::from_slice(&row).map_err(|_| odd("the group"))?;
    let mut participants = BTreeSet::new();
    let mut range = Range::prefix(key(rid, PARTICIPANT));
    loop {
        let rows = view.page(Space::ROOM_GROUP, &range, PAGE)?;
        let Some((last, _)) = rows.last() else {
            break;
        };
        range = range.after(last.as_slice());
        for (key, _) in rows {
            let mut fields = Fields::of(&key);
            let jid = fields.u64().and_then(|_| fields.u8());
            let jid = jid.and_then(|_| fields.str());
            let jid = jid.and_then(|jid| Jid::parse(jid).ok());
            participants.insert(jid.ok_or_else(|| odd("who takes part in the group"))?);
        }
    }
    Ok(Some(Group {
        order,
        participants,
        row: Some(row),
    }))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::runtime::clock::Clock;
    use crate::store::{CommitError, Options, Store};

    fn jid(text: &str) -> Jid {
        Jid::parse(text).unwrap()
    }

    #[tokio::test]
    async fn of_two_nodes_one_ends_the_epoch() {
        let store = Store::open(Options::memory(), Clock::system()).unwrap();
        let mut here = Group::new(Order::new(b"g", 0, jid("alice@x")));
        let mut there = here.clone();
        let (mut first, mut second) = (Batch::new(), Batch::new());
        here.advance(&mut first, Rid(1), "a".to_owned(), jid("alice@x"));
        there.advance(&mut second, Rid(1), "b".to_owned(), jid("bob@x"));
        store.commit(first).await.unwrap();
        let second = store.commit(second).await;
        assert!(matches!(second, Err(CommitError::Precondition)));

        let mut there = here.clone();
        let (mut first, mut second) = (Batch::new(), Batch::new());
        let added = Changed {
            added: vec![jid("bob@x"), jid("carol@x"), jid("dave@x")],
            removed: Vec::new(),
        };
        here.advance(&mut first, Rid(1), "a".to_owned(), jid("alice@x"));
        here.change(&mut first, Rid(1), &added, 2);
        here.keep_info(&mut first, Rid(1), b"info");
        there.advance(&mut second, Rid(1), "b".to_owned(), jid("bob@x"));
        store.commit(first).await.unwrap();
        let second = store.commit(second).await;
        assert!(matches!(second, Err(CommitError::Precondition)));
        let kept = store.reading(|view| read(view, Rid(1))).await.unwrap();
        assert_eq!(kept.as_ref(), Some(&here));
        assert_eq!(here.participants.len(), 2);
        let of = |epoch| store.reading(move |view| info(view, Rid(1), epoch));
        assert_eq!(of(2).await.unwrap(), Some(b"info".to_vec()));
        assert_eq!(of(3).await.unwrap(), None);

        let mut batch = Batch::new();
        here.end(&mut batch, Rid(1));
        store.commit(batch).await.unwrap();
        let kept = store.reading(|view| read(view, Rid(1))).await.unwrap();
        assert_eq!(kept, None);
    }
}
