//! Rooms as they lie in the store: what they are, who is affiliated, what was said.

mod affiliation;
pub mod archive;
pub mod changes;
pub mod group;
pub mod guests;
mod occupied;
mod options;
pub mod stays;

use std::collections::{BTreeMap, VecDeque};

use serde::{Deserialize, Serialize};

pub use affiliation::{Affiliate, Affiliation};
pub use changes::Change;
pub use occupied::Occupied;
pub use options::{Options, Roles, Talk};

use crate::proto::jid::Jid;
use crate::store::{
    Batch, CommitError, Direction, Fields, Key, Range, Snapshot, Space, Store, StoreError,
};

/// The number of a room, never given out again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Rid(pub u64);

impl Rid {
    /// The next number; durable with the next batch.
    pub fn allocate(store: &Store) -> Rid {
        Rid(store.allocate("room"))
    }

    fn key(self) -> Key {
        Key::new().u64(self.0)
    }
}

/// What the list of rooms shows of one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listing {
    /// Its number.
    pub rid: Rid,
    /// Its name for people.
    #[serde(default)]
    pub name: String,
    /// Whether the public list has it.
    #[serde(default)]
    pub public: bool,
    /// Whether it stays when it is empty.
    #[serde(default)]
    pub persistent: bool,
    /// Who made it, by bare address.
    #[serde(default)]
    pub creator: String,
}

/// A subject that was set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subject {
    /// The message that set it, as written by itself.
    pub xml: String,
    /// When, Unix milliseconds.
    pub at: u64,
}

/// Somebody who asks to become a member.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// Who.
    pub jid: Jid,
    /// The nickname that is to be kept.
    pub nick: String,
}

/// What lets somebody in who is on no list (XEP-0488).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Token {
    /// The token.
    pub token: String,
    /// Who made it.
    pub by: Jid,
    /// Its end, Unix milliseconds.
    pub until: u64,
    /// For how many people it is good, if not for any number.
    pub left: Option<u32>,
}

impl Token {
    /// Whether this is it, and its time is not over.
    pub fn is(&self, given: &str, wall: u64) -> bool {
        self.token == given && self.until > wall
    }
}

/// What people are beside their roles (XEP-0317).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hat {
    /// What it is known by.
    pub uri: String,
    /// Its name for people.
    pub title: String,
    /// Its colour, an angle.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hue: Option<String>,
}

/// All of a room but its lists and its messages.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// Its number.
    pub rid: Rid,
    /// Its address.
    pub jid: Jid,
    /// Who made it.
    pub creator: Jid,
    /// When, Unix milliseconds.
    pub created: u64,
    /// What makes its occupants' ids (XEP-0421).
    pub secret: String,
    /// What its owners set.
    pub options: Options,
    /// Its subject, if one was set.
    #[serde(default)]
    pub subject: Option<Subject>,
    /// Who asks to become a member, and was not answered.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub requests: Vec<Request>,
    /// Tokens that let people in.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tokens: Vec<Token>,
    /// Hashes of the forms of its picture (XEP-0486 §5.1); the picture lies beside.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pictures: Vec<String>,
    /// Hats that there are.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hats: Vec<Hat>,
    /// Who has which of them, by their URIs.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub worn: BTreeMap<Jid, Vec<String>>,
}

/// A room read as a whole.
#[derive(Clone, Debug)]
pub struct Stored {
    /// What it is.
    pub record: Record,
    /// Who is affiliated.
    pub affiliates: BTreeMap<Jid, Affiliate>,
    /// What changed of that, as far as it is remembered.
    pub changes: VecDeque<Change>,
    /// Its encrypted group, if it has one.
    pub group: Option<group::Group>,
}

fn odd(what: &str) -> StoreError {
    StoreError::Format(format!("{what} of a room"))
}

fn json<T: Serialize>(value: &T) -> Vec<u8> {
    serde_json::to_vec(value).unwrap_or_default()
}

/// Where the rooms of a service are listed.
fn of_service(domain: &str) -> Key {
    Key::new().str(domain)
}

fn name_key(room: &Jid) -> Key {
    of_service(room.domain()).str(room.node().unwrap_or_default())
}

/// Reads a room, if there is one.
///
/// # Errors
/// The store's; something that cannot be read.
pub fn read(view: &dyn Snapshot, room: &Jid) -> Result<Option<Stored>, StoreError> {
    let Some(listing) = listing(view, room)? else {
        return Ok(None);
    };
    let record = record(view, listing.rid)?.ok_or_else(|| odd("the configuration"))?;
    let mut affiliates = BTreeMap::new();
    let mut range = Range::prefix(listing.rid.key());
    loop {
        let rows = view.page(Space::ROOM_MEMBER, &range, PAGE)?;
        let Some((last, _)) = rows.last() else {
            break;
        };
        range = range.after(last.as_slice());
        for (key, value) in rows {
            let mut fields = Fields::of(&key);
            let jid = fields.u64().and_then(|_| fields.str());
            let jid = jid.and_then(|jid| Jid::parse(jid).ok());
            let affiliate = serde_json::from_slice(&value).ok();
            let (jid, affiliate) = jid.zip(affiliate).ok_or_else(|| odd("an affiliation"))?;
            affiliates.insert(jid, affiliate);
        }
    }
    let changes = changes::read(view, record.rid)?.into();
    let group = group::read(view, record.rid)?;
    Ok(Some(Stored {
        record,
        affiliates,
        changes,
        group,
    }))
}

/// Bytes of rows read at once.
const PAGE: usize = 256 << 10;

/// What the list of rooms has of one.
///
/// # Errors
/// The store's; something that cannot be read.
pub fn listing(view: &dyn Snapshot, room: &Jid) -> Result<Option<Listing>, StoreError> {
    let value = view.get(Space::ROOM, &name_key(room))?;
    value
        .map(|value| serde_json::from_slice(&value).map_err(|_| odd("the entry in the list")))
        .transpose()
}

/// What a room is, by its number.
///
/// # Errors
/// The store's; something that cannot be read.
pub fn record(view: &dyn Snapshot, rid: Rid) -> Result<Option<Record>, StoreError> {
    let value = view.get(Space::ROOM_CONFIG, &rid.key())?;
    let read = |value: Vec<u8>| serde_json::from_slice(&value);
    value
        .map(read)
        .transpose()
        .map_err(|_| odd("the configuration"))
}

/// Writes what a room is.
pub fn write(batch: &mut Batch, record: &Record) {
    let listing = Listing {
        rid: record.rid,
        name: record.options.name.clone(),
        public: record.options.public,
        persistent: record.options.persistent,
        creator: record.creator.to_string(),
    };
    batch.put(Space::ROOM, &name_key(&record.jid), json(&listing));
    batch.put(Space::ROOM_CONFIG, &record.rid.key(), json(record));
}

/// Writes what somebody is to a room; `None` takes the entry away.
pub fn affiliate(batch: &mut Batch, rid: Rid, jid: &Jid, affiliate: Option<&Affiliate>) {
    let key = rid.key().str(jid.as_str());
    match affiliate {
        Some(affiliate) => batch.put(Space::ROOM_MEMBER, &key, json(affiliate)),
        None => batch.delete(Space::ROOM_MEMBER, &key),
    }
}

/// Whether somebody is on a list of a room, but that of who is banned.
///
/// # Errors
/// The store's; something that cannot be read.
pub fn is_affiliated(view: &dyn Snapshot, rid: Rid, jid: &Jid) -> Result<bool, StoreError> {
    let value = view.get(Space::ROOM_MEMBER, &rid.key().str(jid.as_str()))?;
    let Some(value) = value else {
        return Ok(false);
    };
    let affiliate: Affiliate = serde_json::from_slice(&value).map_err(|_| odd("an affiliation"))?;
    Ok(affiliate.affiliation > Affiliation::None)
}

/// Writes the vCard of a room; `None` takes it away.
pub fn profile(batch: &mut Batch, rid: Rid, vcard: Option<Vec<u8>>) {
    match vcard {
        Some(vcard) => batch.put(Space::ROOM_PROFILE, &rid.key(), vcard),
        None => batch.delete(Space::ROOM_PROFILE, &rid.key()),
    }
}

/// The vCard of a room.
///
/// # Errors
/// The store's.
pub fn read_profile(view: &dyn Snapshot, rid: Rid) -> Result<Option<Vec<u8>>, StoreError> {
    view.get(Space::ROOM_PROFILE, &rid.key())
}

/// Takes a room off the list: it is no more, and what it holds is for [`clear`].
pub fn remove(batch: &mut Batch, record: &Record) {
    batch.delete(Space::ROOM, &name_key(&record.jid));
}

/// Removes what a room held; its record goes last, so that [`left_over`] finds one that was begun.
///
/// # Errors
/// The store's.
pub async fn clear(store: &Store, rid: Rid) -> Result<(), CommitError> {
    for space in [
        Space::ROOM_LOG,
        Space::ROOM_TOTALS,
        Space::ROOM_PROFILE,
        Space::ROOM_CHANGE,
        Space::ROOM_GROUP,
        Space::ROOM_STAY,
        Space::ROOM_MEMBER,
        Space::ROOM_CONFIG,
    ] {
        store.erase(space, Range::prefix(rid.key())).await?;
    }
    Ok(())
}

/// Rooms of a service in the order of their names, after one of them, at most `limit`.
///
/// # Errors
/// The store's; something that cannot be read.
pub fn list(
    view: &dyn Snapshot,
    domain: &str,
    after: Option<&str>,
    limit: usize,
) -> Result<Vec<(String, Listing)>, StoreError> {
    let mut range = Range::prefix(of_service(domain));
    if let Some(after) = after {
        range = range.after(of_service(domain).str(after));
    }
    let rows = view.scan(Space::ROOM, &range, Direction::Forward, limit)?;
    let read = |(key, value): (Vec<u8>, Vec<u8>)| {
        let mut fields = Fields::of(&key);
        let name = fields.str().and_then(|_| fields.str()).map(str::to_owned);
        let listing = serde_json::from_slice(&value).ok();
        name.zip(listing)
            .ok_or_else(|| odd("the entry in the list"))
    };
    rows.into_iter().map(read).collect()
}

/// Rooms of a service whose removal was begun and not ended.
///
/// # Errors
/// The store's; something that cannot be read.
pub fn left_over(view: &dyn Snapshot, domain: &str) -> Result<Vec<Rid>, StoreError> {
    let (mut found, mut range) = (Vec::new(), Range::all());
    loop {
        let rows = view.page(Space::ROOM_CONFIG, &range, PAGE)?;
        let Some((last, _)) = rows.last() else {
            return Ok(found);
        };
        range = range.after(last.as_slice());
        for (_, value) in rows {
            let record: Record =
                serde_json::from_slice(&value).map_err(|_| odd("the configuration"))?;
            if record.jid.domain() == domain
                && listing(view, &record.jid)?.is_none_or(|there| there.rid != record.rid)
            {
                found.push(record.rid);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;
    use crate::proto::jid::Jid;
    use crate::runtime::clock::Clock;
    use crate::store::Options as StoreOptions;

    fn record(rid: Rid, room: &str) -> Record {
        Record {
            rid,
            jid: Jid::parse(room).unwrap(),
            creator: Jid::parse("crone1@x").unwrap(),
            created: 7,
            secret: "s".to_owned(),
            options: Options::default(),
            subject: None,
            requests: Vec::new(),
            tokens: Vec::new(),
            pictures: Vec::new(),
            hats: Vec::new(),
            worn: BTreeMap::new(),
        }
    }

    fn change(number: u64) -> Change {
        Change {
            number,
            jid: Jid::parse("hag66@x").unwrap(),
            before: Affiliation::None,
            after: Affiliation::Member,
        }
    }

    #[tokio::test]
    async fn a_room_is_written_read_listed_and_removed() {
        let store = Store::open(StoreOptions::memory(), Clock::system()).unwrap();
        let rooms = ["coven@chat.x", "heath@chat.x", "coven@chat.y"];
        let mut rids = Vec::new();
        let mut batch = Batch::new();
        for room in rooms {
            let rid = Rid::allocate(&store);
            rids.push(rid);
            write(&mut batch, &record(rid, room));
            let owner = Affiliate {
                affiliation: Affiliation::Owner,
                ..Affiliate::default()
            };
            affiliate(
                &mut batch,
                rid,
                &Jid::parse("crone1@x").unwrap(),
                Some(&owner),
            );
            changes::keep(&mut batch, rid, &change(7));
            changes::keep(&mut batch, rid, &change(8));
        }
        changes::forget(&mut batch, rids[0], 7);
        store.commit(batch).await.unwrap();
        let coven = Jid::parse("coven@chat.x").unwrap();
        let stored = store
            .reading(move |view| read(view, &coven))
            .await
            .unwrap()
            .unwrap();
        assert_eq!(stored.record, record(rids[0], "coven@chat.x"));
        let rid = rids[0];
        let affiliated = |jid: &'static str| {
            let jid = Jid::parse(jid).unwrap();
            store.reading(move |view| is_affiliated(view, rid, &jid))
        };
        assert!(affiliated("crone1@x").await.unwrap());
        assert!(!affiliated("hag66@x").await.unwrap());
        let (jid, owner) = stored.affiliates.first_key_value().unwrap();
        assert_eq!(
            (jid.as_str(), owner.affiliation),
            ("crone1@x", Affiliation::Owner)
        );
        assert_eq!(stored.changes, [change(8)]);
        let names = |after: Option<&'static str>| {
            store.reading(move |view| {
                let rooms = list(view, "chat.x", after, 10)?;
                Ok(rooms.into_iter().map(|(name, _)| name).collect::<Vec<_>>())
            })
        };
        assert_eq!(names(None).await.unwrap(), ["coven", "heath"]);
        assert_eq!(names(Some("coven")).await.unwrap(), ["heath"]);

        let mut batch = Batch::new();
        remove(&mut batch, &stored.record);
        store.commit(batch).await.unwrap();
        let left = || store.reading(|view| left_over(view, "chat.x"));
        assert_eq!(left().await.unwrap(), [rids[0]]);
        clear(&store, rids[0]).await.unwrap();
        assert_eq!(left().await.unwrap(), []);
        assert_eq!(names(None).await.unwrap(), ["heath"]);
    }
}
