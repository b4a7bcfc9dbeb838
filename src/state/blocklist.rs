//! Whom an account does not want to hear of (XEP-0191 §6): the truth for all who have to know.

use std::collections::HashSet;

use crate::hooks::{Account, Uid};
use crate::proto::jid::Jid;
use crate::store::{Batch, Direction, Key, Range, Snapshot, Space, StoreError};

/// The block list of an account, a part of it while it is not empty.
#[derive(Debug, Default)]
pub struct BlockList {
    entries: HashSet<Jid>,
    kinds: Kinds,
}

/// How many entries there are of each kind: no look-up for what cannot be found.
#[derive(Debug, Default)]
struct Kinds {
    /// With a resource.
    full: usize,
    /// Bare JIDs of accounts.
    bare: usize,
    domains: usize,
}

impl Kinds {
    fn of(&mut self, entry: &Jid) -> &mut usize {
        match (entry.is_full(), entry.node()) {
            (true, _) => &mut self.full,
            (false, Some(_)) => &mut self.bare,
            (false, None) => &mut self.domains,
        }
    }
}

impl BlockList {
    /// Reads the list of an account; `None` when it is empty.
    ///
    /// # Errors
    /// The store's.
    pub fn load(snapshot: &dyn Snapshot, uid: Uid) -> Result<Option<Self>, StoreError> {
        let all = Range::prefix(Key::new().u64(uid.0));
        let rows = snapshot.scan(Space::BLOCK_LIST, &all, Direction::Forward, usize::MAX)?;
        let entry = |(key, _): &(Vec<u8>, Vec<u8>)| {
            let name = key.get(8..key.len().saturating_sub(1))?;
            Jid::parse(std::str::from_utf8(name).ok()?).ok()
        };
        let entries: Option<HashSet<Jid>> = rows.iter().map(entry).collect();
        let entries = entries.ok_or_else(|| StoreError::Format("a block list".to_owned()))?;
        let mut kinds = Kinds::default();
        for entry in &entries {
            *kinds.of(entry) += 1;
        }
        Ok((!entries.is_empty()).then_some(BlockList { entries, kinds }))
    }

    /// Whether an entity is blocked. An entry is a full JID, which is that resource alone; a bare JID,
    /// with all its resources; a domain with a resource, which is that alone; or a domain, with all
    /// there is. At most three look-ups, however long the list.
    pub fn blocks(&self, entity: &Jid) -> bool {
        let Kinds {
            full,
            bare,
            domains,
        } = self.kinds;
        let node = entity.node().is_some();
        (full > 0 && entity.is_full() && self.entries.contains(entity.as_str()))
            || (bare > 0 && node && self.entries.contains(entity.bare_str()))
            || (domains > 0 && self.entries.contains(entity.domain()))
    }

    /// Whether this very entry is there.
    pub fn contains(&self, entry: &Jid) -> bool {
        self.entries.contains(entry)
    }

    /// The entries, in no order.
    pub fn entries(&self) -> impl Iterator<Item = &Jid> {
        self.entries.iter()
    }

    /// How many entries there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Adds an entry; whether it is new.
    pub fn add(&mut self, batch: &mut Batch, uid: Uid, entry: &Jid) -> bool {
        let new = self.entries.insert(entry.clone());
        if new {
            *self.kinds.of(entry) += 1;
            batch.put(Space::BLOCK_LIST, &key(uid, entry), Vec::new());
        }
        new
    }

    /// Removes an entry; whether it was there.
    pub fn remove(&mut self, batch: &mut Batch, uid: Uid, entry: &Jid) -> bool {
        let was = self.entries.remove(entry);
        if was {
            let kind = self.kinds.of(entry);
            *kind = kind.saturating_sub(1);
            batch.delete(Space::BLOCK_LIST, &key(uid, entry));
        }
        was
    }
}

/// Whether an account has blocked an entity. Never its own sessions nor the server itself.
pub fn blocks(account: &Account, entity: &Jid) -> bool {
    account
        .parts
        .find::<BlockList>()
        .is_some_and(|list| list.blocks(entity))
        && entity.bare_str() != account.jid.as_str()
        && entity.as_str() != account.jid.domain()
}

fn key(uid: Uid, entry: &Jid) -> Key {
    Key::new().u64(uid.0).str(entry.as_str())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn jid(s: &str) -> Jid {
        Jid::parse(s).unwrap()
    }

    #[test]
    fn the_four_kinds_of_entries() {
        // XEP-0191 §6: entry, what it matches, what it does not.
        type Case = (
            &'static str,
            &'static [&'static str],
            &'static [&'static str],
        );
        let cases: [Case; 4] = [
            ("u@d/r", &["u@d/r"], &["u@d", "u@d/s", "d", "d/r", "v@d/r"]),
            (
                "u@d",
                &["u@d", "u@d/r", "U@D/s"],
                &["d", "v@d", "u@d.e", "d/r"],
            ),
            ("d/r", &["d/r"], &["d", "u@d/r", "d/s", "u@d"]),
            (
                "d",
                &["d", "d/r", "u@d", "u@d/r", "U@D"],
                &["e", "x.d", "u@x.d", "d.x"],
            ),
        ];
        for (entry, matched, others) in cases {
            let mut list = BlockList::default();
            list.add(&mut Batch::new(), Uid(1), &jid(entry));
            for who in matched {
                assert!(list.blocks(&jid(who)), "{entry} should block {who}");
            }
            for who in others {
                assert!(!list.blocks(&jid(who)), "{entry} should not block {who}");
            }
        }
    }

    #[test]
    fn two_spellings_are_one_entry() {
        let mut list = BlockList::default();
        let mut batch = Batch::new();
        assert!(list.add(&mut batch, Uid(1), &jid("Romeo@Montague.NET")));
        assert!(!list.add(&mut batch, Uid(1), &jid("romeo@montague.net")));
        assert!(list.blocks(&jid("ROMEO@montague.net/Orchard")));
        assert!(list.remove(&mut batch, Uid(1), &jid("romeo@MONTAGUE.net")));
        assert!(list.is_empty());
    }
}
