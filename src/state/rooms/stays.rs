//! Who stays in a room by its bare address, whether or not a client of it is there; and since when, for who may read what was
//! said meanwhile in the archive of an account.

use serde::{Deserialize, Serialize};

use super::{PAGE, Rid, json, odd};
use crate::proto::jid::Jid;
use crate::store::{Batch, Fields, Key, Mid, Range, Snapshot, Space, StoreError};

/// Somebody stays, as the room knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stay {
    /// The nickname.
    pub nick: String,
    /// What was said behind this is for it to read.
    pub since: Mid,
}

/// A room that somebody stays in, or stayed in last, as the account knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stayed {
    /// The room.
    pub room: Jid,
    /// Its number.
    pub rid: Rid,
    /// What was said behind this is for it to read.
    pub since: Mid,
    /// If it is not there any more, only what was said before this.
    pub until: Option<Mid>,
}

#[derive(Serialize, Deserialize)]
struct OfRoom {
    nick: String,
    since: String,
}

#[derive(Serialize, Deserialize)]
struct OfPerson {
    rid: Rid,
    since: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    until: Option<String>,
}

fn of_person_key(who: &Jid) -> Key {
    Key::new().str(who.as_str())
}

/// Somebody stays, or has another nickname.
pub fn keep(batch: &mut Batch, (rid, room): (Rid, &Jid), who: &Jid, stay: &Stay) {
    let since = stay.since.to_string();
    let of_room = OfRoom {
        nick: stay.nick.clone(),
        since: since.clone(),
    };
    let key = rid.key().str(who.as_str());
    batch.put(Space::ROOM_STAY, &key, json(&of_room));
    let of_person = OfPerson {
        rid,
        since,
        until: None,
    };
    let key = of_person_key(who).str(room.as_str());
    batch.put(Space::PERSON_STAY, &key, json(&of_person));
}

/// It stays no longer: what was said from `until` on is not for it.
pub fn end(batch: &mut Batch, (rid, room): (Rid, &Jid), who: &Jid, stay: &Stay, until: Mid) {
    batch.delete(Space::ROOM_STAY, &rid.key().str(who.as_str()));
    let of_person = OfPerson {
        rid,
        since: stay.since.to_string(),
        until: Some(until.to_string()),
    };
    let key = of_person_key(who).str(room.as_str());
    batch.put(Space::PERSON_STAY, &key, json(&of_person));
}

/// The room is no more, or the account is not.
pub fn forget(batch: &mut Batch, room: &Jid, who: &Jid) {
    let key = of_person_key(who).str(room.as_str());
    batch.delete(Space::PERSON_STAY, &key);
}

/// All who stay in a room.
///
/// # Errors
/// The store's; something that cannot be read.
pub fn of_room(view: &dyn Snapshot, rid: Rid) -> Result<Vec<(Jid, Stay)>, StoreError> {
    let (mut stays, mut range) = (Vec::new(), Range::prefix(rid.key()));
    loop {
        let rows = view.page(Space::ROOM_STAY, &range, PAGE)?;
        let Some((last, _)) = rows.last() else {
            return Ok(stays);
        };
        range = range.after(last.as_slice());
        for (key, value) in rows {
            let read = || {
                let mut fields = Fields::of(&key);
                let who = fields.u64().and_then(|_| fields.str())?;
                let stay: OfRoom = serde_json::from_slice(&value).ok()?;
                let since = stay.since.parse().ok()?;
                let nick = stay.nick;
                Some((Jid::parse(who).ok()?, Stay { nick, since }))
            };
            stays.push(read().ok_or_else(|| odd("who stays"))?);
        }
    }
}

/// All rooms that somebody stays in or stayed in.
///
/// # Errors
/// The store's; something that cannot be read.
pub fn of_person(view: &dyn Snapshot, who: &Jid) -> Result<Vec<Stayed>, StoreError> {
    let (mut stays, mut range) = (Vec::new(), Range::prefix(of_person_key(who)));
    loop {
        let rows = view.page(Space::PERSON_STAY, &range, PAGE)?;
        let Some((last, _)) = rows.last() else {
            return Ok(stays);
        };
        range = range.after(last.as_slice());
        for (key, value) in rows {
            let read = || {
                let mut fields = Fields::of(&key);
                let room = fields.str().and_then(|_| fields.str())?;
                let stay: OfPerson = serde_json::from_slice(&value).ok()?;
                Some(Stayed {
                    room: Jid::parse(room).ok()?,
                    rid: stay.rid,
                    since: stay.since.parse().ok()?,
                    until: match stay.until {
                        Some(until) => Some(until.parse().ok()?),
                        None => None,
                    },
                })
            };
            stays.push(read().ok_or_else(|| odd("who stays"))?);
        }
    }
}

impl Stayed {
    /// Whether something that the room's archive has is for it to read.
    pub fn covers(&self, mid: Mid) -> bool {
        mid > self.since && self.until.is_none_or(|until| mid < until)
    }
}
