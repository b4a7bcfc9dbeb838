//! Whom an account wrote to, with when, as far as it is remembered; and how many messages of strangers wait.

use std::collections::{HashMap, HashSet};

use crate::hooks::Uid;
use crate::proto::jid::Jid;
use crate::store::{Batch, Direction, Fields, Key, Range, Snapshot, Space, StoreError};

/// In a key after the account's number: whom it wrote to.
const WROTE: u8 = 0;
/// In a key after the account's number: a message that waits.
pub(super) const HELD: u8 = 1;

/// A part of an account that wrote to strangers, or for which messages of strangers wait.
#[derive(Default)]
pub(super) struct Known {
    wrote: HashMap<Jid, u64>,
    /// Messages that wait.
    pub(super) held: u32,
    /// Whose messages are on their way already.
    pub(super) released: HashSet<Jid>,
    /// Those of everybody are.
    pub(super) all_released: bool,
}

impl Known {
    pub(super) fn load(
        view: &dyn Snapshot,
        space: Space,
        uid: Uid,
    ) -> Result<Option<Self>, StoreError> {
        let mut known = Known::default();
        let all = Range::prefix(Key::new().u64(uid.0));
        for (key, value) in view.scan(space, &all, Direction::Forward, usize::MAX)? {
            let mut fields = Fields::of(&key);
            let (_, what) = (fields.u64(), fields.u8());
            match what {
                Some(WROTE) => {
                    let jid = fields.str().and_then(|jid| Jid::parse(jid).ok());
                    if let (Some(jid), Some(at)) = (jid, Fields::of(&value).u64()) {
                        known.wrote.insert(jid, at);
                    }
                }
                Some(HELD) => known.held = known.held.saturating_add(1),
                _ => {}
            }
        }
        let empty = known.wrote.is_empty() && known.held == 0;
        Ok((!empty).then_some(known))
    }

    pub(super) fn wrote_to(&self, bare: &str) -> bool {
        self.wrote.contains_key(bare)
    }

    /// Remembers somebody, and forgets who was first remembered when there are too many.
    pub(super) fn note(
        &mut self,
        batch: &mut Batch,
        space: Space,
        uid: Uid,
        who: &Jid,
        now: u64,
        most: usize,
    ) {
        while self.wrote.len() >= most {
            let oldest = self.wrote.iter().min_by_key(|(_, at)| **at);
            let Some(oldest) = oldest.map(|(jid, _)| jid.clone()) else {
                break;
            };
            self.wrote.remove(&oldest);
            batch.delete(space, &key(uid, &oldest));
        }
        self.wrote.insert(who.clone(), now);
        batch.put(space, &key(uid, who), now.to_be_bytes().to_vec());
    }
}

fn key(uid: Uid, who: &Jid) -> Key {
    Key::new().u64(uid.0).u8(WROTE).str(who.as_str())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_first_is_forgotten_first() {
        let mut known = Known::default();
        for (at, who) in ["a@x", "b@x", "c@x"].into_iter().enumerate() {
            let who = Jid::parse(who).unwrap();
            known.note(&mut Batch::new(), Space(0xc0), Uid(1), &who, at as u64, 2);
        }
        assert!(!known.wrote_to("a@x"));
        assert!(known.wrote_to("b@x") && known.wrote_to("c@x"));
    }
}
