//! Rooms at other servers that an account stays in by its bare address: whose messages are let in and kept.

use std::collections::BTreeSet;

use crate::hooks::Uid;
use crate::proto::jid::Jid;
use crate::store::{Batch, Direction, Fields, Key, Range, Snapshot, Space, StoreError};

/// A part of an account that stays in some.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct RoomsElsewhere(pub BTreeSet<Jid>);

const NAME: &str = "room";

fn all(uid: Uid) -> Key {
    Key::new().u64(uid.0).str(NAME)
}

impl RoomsElsewhere {
    /// Those of an account; bounded by whoever writes them.
    ///
    /// # Errors
    /// The store's.
    pub fn load(view: &dyn Snapshot, uid: Uid) -> Result<Option<Self>, StoreError> {
        let range = Range::prefix(all(uid));
        let rows = view.scan(
            Space::ACCOUNT_CHOICE,
            &range,
            Direction::Forward,
            usize::MAX,
        )?;
        let room = |key: &[u8]| {
            let mut fields = Fields::of(key);
            let room = fields
                .u64()
                .and_then(|_| fields.str())
                .and_then(|_| fields.str())?;
            Jid::parse(room).ok()
        };
        let odd = || StoreError::Format("a room of an account".to_owned());
        let rooms = rows.iter().map(|(key, _)| room(key).ok_or_else(odd));
        let rooms = rooms.collect::<Result<BTreeSet<_>, _>>()?;
        Ok((!rooms.is_empty()).then_some(RoomsElsewhere(rooms)))
    }

    /// Writes whether an account stays in a room.
    pub fn write(batch: &mut Batch, uid: Uid, room: &Jid, stays: bool) {
        let key = all(uid).str(room.as_str());
        match stays {
            true => batch.put(Space::ACCOUNT_CHOICE, &key, ""),
            false => batch.delete(Space::ACCOUNT_CHOICE, &key),
        }
    }
}
