//! What accounts own: the spaces whose keys begin with an account's number, and the quotas of some of them.
//!
//! Whatever is in one of these spaces goes with its account and is part of its export. A module
//! takes one by name ([`AccountSpace::named`]); its name stays in the store, so that what it holds
//! is found also when the module is off.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use tokio::sync::oneshot;

use crate::hooks::{Account, Uid};
use crate::proto::error::{Condition, StanzaError};
use crate::proto::jid::Jid;
use crate::store::{Batch, CommitError, Key, Snapshot, Space, Store, StoreError, counter};

/// The server's own spaces that accounts own.
pub const BUILT_IN: &[Space] = &[
    Space::ACCOUNT_USAGE,
    Space::ACCOUNT_CHOICE,
    Space::LAST_ACTIVITY,
    Space::ROSTER,
    Space::ROSTER_VERSION,
    Space::ROSTER_LOG,
    Space::BLOCK_LIST,
    Space::PRIVATE_XML,
    Space::PROFILE,
    Space::UNDELIVERED,
    Space::LOG,
    Space::LOG_BY_CONTACT,
    Space::LOG_PREFERENCES,
    Space::LOG_MEASURED,
    Space::NODE,
    Space::NODE_ITEM,
    Space::NODE_ITEM_PLACE,
    Space::NODE_SUBSCRIPTION,
    Space::NODE_AFFILIATION,
    Space::NODE_TOTALS,
    Space::NODE_TIE,
    Space::NODE_GONE,
    Space::NODE_BELOW,
    Space::NODE_USAGE,
    Space::UPLOAD_USAGE,
    Space::PUSH,
    Space::INVITE_BY_ACCOUNT,
    Space::AUTH_TOKEN,
    Space::RESUME,
];

/// What the names of modules' account-owned spaces begin with in the store's list of spaces.
const PREFIX: &str = "account/";

/// Every space that accounts own, with its name: the server's, and those that modules took.
pub fn spaces(store: &Store) -> Vec<(String, Space)> {
    let built_in = BUILT_IN.iter().map(|space| (space.to_string(), *space));
    let named = store.spaces().into_iter();
    let named =
        named.filter_map(|(name, space)| Some((name.strip_prefix(PREFIX)?.to_owned(), space)));
    built_in.chain(named).collect()
}

/// How much of a space one account may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quota {
    /// Keys and values together.
    pub bytes: u64,
    /// Entries.
    pub entries: u64,
}

impl Quota {
    /// No bound: for what is bounded in another way.
    pub const NONE: Quota = Quota {
        bytes: u64::MAX,
        entries: u64::MAX,
    };
}

/// Whose space is written.
#[derive(Debug, Clone)]
pub struct Owner {
    uid: Uid,
    jid: Jid,
}

impl Owner {
    /// The account of this turn; `None` for a guest, who owns nothing.
    pub fn of(account: &Account) -> Option<Owner> {
        (!account.guest).then(|| Owner {
            uid: account.uid,
            jid: account.jid.bare(),
        })
    }

    /// An account by number and address.
    pub fn new(uid: Uid, jid: &Jid) -> Owner {
        Owner {
            uid,
            jid: jid.bare(),
        }
    }

    /// Its number.
    pub fn uid(&self) -> Uid {
        self.uid
    }

    /// Its address.
    pub fn jid(&self) -> &Jid {
        &self.jid
    }
}

/// Why something was not written.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// It would be more than the quota.
    #[error("the quota is used up")]
    Full,
    /// The account has been removed.
    #[error("the account is gone")]
    Gone,
    /// Too many changes of one account wait.
    #[error("too many changes at once")]
    Busy,
    /// The store could not be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The store did not take it.
    #[error(transparent)]
    Commit(CommitError),
}

impl From<WriteError> for StanzaError {
    fn from(error: WriteError) -> Self {
        match error {
            WriteError::Full => StanzaError::from(Condition::ResourceConstraint)
                .with_text("There is no room for this; remove something first"),
            WriteError::Busy => StanzaError::from(Condition::ResourceConstraint)
                .with_text("Too many changes at once"),
            WriteError::Gone => Condition::ServiceUnavailable.into(),
            WriteError::Commit(CommitError::Full | CommitError::ReadOnly | CommitError::Closed) => {
                StanzaError::from(Condition::ResourceConstraint)
                    .with_text("The server cannot store this now; try again later")
            }
            WriteError::Commit(CommitError::TooLarge) => Condition::NotAcceptable.into(),
            WriteError::Store(_) | WriteError::Commit(_) => Condition::InternalServerError.into(),
        }
    }
}

/// One entry to be written, or removed.
#[derive(Debug, Clone)]
pub struct Change {
    /// The key after the account's number.
    pub key: Key,
    /// The new value; `None` removes the entry.
    pub value: Option<Vec<u8>>,
}

/// An account-owned space whose use by each account is counted and bounded.
#[derive(Clone)]
pub struct AccountSpace {
    store: Store,
    space: Space,
    quota: Quota,
}

impl AccountSpace {
    /// One of the server's own spaces, of [`BUILT_IN`].
    pub fn built_in(store: &Store, space: Space, quota: Quota) -> Self {
        AccountSpace {
            store: store.clone(),
            space,
            quota,
        }
    }

    /// The space of this name and schema version; made when it is first asked for.
    ///
    /// # Errors
    /// [`StoreError::SpaceVersion`] when the store has it in another version, [`StoreError::NoSpace`].
    pub fn named(
        store: &Store,
        name: &str,
        version: u32,
        quota: Quota,
    ) -> Result<Self, StoreError> {
        let space = store.space(&format!("{PREFIX}{name}"), version)?;
        Ok(AccountSpace::built_in(store, space, quota))
    }

    /// Its space, for batches of a turn. What is written that way is not counted.
    pub fn space(&self) -> Space {
        self.space
    }

    /// Reads an entry.
    ///
    /// # Errors
    /// The store's.
    pub async fn find(&self, uid: Uid, key: &Key) -> Result<Option<Vec<u8>>, StoreError> {
        let (space, key) = (self.space, entry(uid, key));
        self.store
            .reading(move |snapshot| snapshot.get(space, &key))
            .await
    }

    /// Makes changes, all or none, within the quota; what makes it smaller is always taken. Changes
    /// of one account must come one after the other: see [`Line`].
    ///
    /// # Errors
    /// See [`WriteError`].
    pub async fn write(&self, owner: &Owner, changes: Vec<Change>) -> Result<(), WriteError> {
        let (space, uid) = (self.space, owner.uid);
        let (changes, before, delta) = self
            .store
            .reading(move |snapshot| {
                let before = Usage::read(snapshot, space, uid)?;
                let delta = delta(snapshot, space, uid, &changes)?;
                Ok((changes, before, delta))
            })
            .await?;
        let after = before.plus(delta);
        if (delta.bytes > 0 && after.bytes as u64 > self.quota.bytes)
            || (delta.entries > 0 && after.entries as u64 > self.quota.entries)
        {
            return Err(WriteError::Full);
        }
        let mut batch = Batch::new();
        if changes.iter().all(|change| change.value.is_none()) {
            batch = batch.making_room();
        }
        let name = owner.jid.as_str().as_bytes().to_vec();
        batch.require_equals(Space::ACCOUNT_BY_ID, &uid.to_key(), name);
        for change in changes {
            let key = entry(uid, &change.key);
            match change.value {
                Some(value) => batch.put(space, &key, value),
                None => batch.delete(space, &key),
            }
        }
        delta.add_to(&mut batch, space, uid);
        match self.store.commit(batch).await {
            Ok(_) => Ok(()),
            Err(CommitError::Precondition) => Err(WriteError::Gone),
            Err(error) => Err(WriteError::Commit(error)),
        }
    }
}

/// What an account uses of a space, or how that changes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Usage {
    bytes: i64,
    entries: i64,
}

const BYTES: u8 = 0;
const ENTRIES: u8 = 1;

impl Usage {
    fn read(snapshot: &dyn Snapshot, space: Space, uid: Uid) -> Result<Usage, StoreError> {
        let read = |what| -> Result<i64, StoreError> {
            let value = snapshot.get(Space::ACCOUNT_USAGE, &usage(uid, space, what))?;
            Ok(value.and_then(|value| counter(&value)).unwrap_or(0).max(0))
        };
        Ok(Usage {
            bytes: read(BYTES)?,
            entries: read(ENTRIES)?,
        })
    }

    fn plus(self, other: Usage) -> Usage {
        Usage {
            bytes: self.bytes.saturating_add(other.bytes).max(0),
            entries: self.entries.saturating_add(other.entries).max(0),
        }
    }

    fn add_to(self, batch: &mut Batch, space: Space, uid: Uid) {
        for (what, by) in [(BYTES, self.bytes), (ENTRIES, self.entries)] {
            if by != 0 {
                batch.add(Space::ACCOUNT_USAGE, &usage(uid, space, what), by);
            }
        }
    }
}

/// How much more (or less) there is after the changes.
fn delta(
    snapshot: &dyn Snapshot,
    space: Space,
    uid: Uid,
    changes: &[Change],
) -> Result<Usage, StoreError> {
    let mut delta = Usage::default();
    let size = |key: &Key, value: &[u8]| i64::try_from(key.len() + value.len()).unwrap_or(i64::MAX);
    for change in changes {
        if let Some(old) = snapshot.get(space, &entry(uid, &change.key))? {
            delta.bytes = delta.bytes.saturating_sub(size(&change.key, &old));
            delta.entries -= 1;
        }
        if let Some(new) = &change.value {
            delta.bytes = delta.bytes.saturating_add(size(&change.key, new));
            delta.entries += 1;
        }
    }
    Ok(delta)
}

fn entry(uid: Uid, key: &Key) -> Key {
    Key::new().u64(uid.0).bytes(key)
}

fn usage(uid: Uid, space: Space, what: u8) -> Key {
    Key::new().u64(uid.0).u8(space.0).u8(what)
}

/// Changes of one account that may wait for their turn.
const WAITING: u32 = 32;

/// The line in which what an account reads and writes outside of its turns waits; a part of the account. Requests are
/// answered as if each was done before the next was read.
#[derive(Default)]
pub struct Line {
    last: Option<oneshot::Receiver<()>>,
    waiting: Arc<AtomicU32>,
}

impl Line {
    /// Takes a place behind all that took one before.
    ///
    /// # Errors
    /// [`WriteError::Busy`] when the line is too long.
    pub fn enter(account: &mut Account) -> Result<Place, WriteError> {
        let line = account.parts.of::<Line>().ok_or(WriteError::Busy)?;
        line.join(WAITING)
    }

    /// Takes a place behind all that took one before, of at most so many.
    ///
    /// # Errors
    /// [`WriteError::Busy`] when the line is too long.
    pub fn join(&mut self, most: u32) -> Result<Place, WriteError> {
        if self.waiting.load(Ordering::Relaxed) >= most {
            return Err(WriteError::Busy);
        }
        self.waiting.fetch_add(1, Ordering::Relaxed);
        let (done, next) = oneshot::channel();
        Ok(Place {
            before: self.last.replace(next),
            waiting: self.waiting.clone(),
            _done: done,
        })
    }

    /// Whether nobody waits in it.
    pub fn is_empty(&self) -> bool {
        self.waiting.load(Ordering::Relaxed) == 0
    }
}

/// A place in a [`Line`]; whoever drops it lets the next one go on.
pub struct Place {
    before: Option<oneshot::Receiver<()>>,
    waiting: Arc<AtomicU32>,
    _done: oneshot::Sender<()>,
}

impl Place {
    /// Waits until all that was before is done.
    pub async fn reached(&mut self) {
        if let Some(before) = self.before.take() {
            // The one before ends by dropping its end.
            let _ = before.await;
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use super::*;
    use crate::runtime::clock::Clock;
    use crate::store::{Options, testing};

    fn store() -> Store {
        Store::with_engine(testing::memory(), Options::memory(), Clock::system()).unwrap()
    }

    async fn owner(store: &Store, uid: u64, name: &str) -> Owner {
        let owner = Owner::new(Uid(uid), &Jid::parse(name).unwrap());
        let mut batch = Batch::new();
        batch.put(Space::ACCOUNT_BY_ID, &owner.uid.to_key(), name.as_bytes());
        store.commit(batch).await.unwrap();
        owner
    }

    fn put(key: &str, bytes: usize) -> Vec<Change> {
        vec![Change {
            key: Key::from(key),
            value: Some(vec![b'x'; bytes]),
        }]
    }

    fn remove(key: &str) -> Vec<Change> {
        vec![Change {
            key: Key::from(key),
            value: None,
        }]
    }

    #[tokio::test]
    async fn an_account_fills_its_own_quota_and_no_other() {
        let store = store();
        let quota = Quota {
            bytes: 100,
            entries: 3,
        };
        let space = AccountSpace::named(&store, "notes", 1, quota).unwrap();
        let (a, b) = (owner(&store, 1, "a@x").await, owner(&store, 2, "b@x").await);
        space.write(&a, put("k", 90)).await.unwrap();
        let full = space.write(&a, put("l", 20)).await;
        assert!(matches!(full, Err(WriteError::Full)));
        space.write(&b, put("l", 20)).await.unwrap();
        // What replaces counts for what it replaces, and what goes makes room.
        space.write(&a, put("k", 50)).await.unwrap();
        space.write(&a, put("l", 20)).await.unwrap();
        space.write(&a, remove("k")).await.unwrap();
        space.write(&a, put("m", 10)).await.unwrap();
        space.write(&a, put("n", 10)).await.unwrap();
        let many = space.write(&a, put("o", 1)).await;
        assert!(matches!(many, Err(WriteError::Full)));
        let left = space.find(a.uid, &Key::from("k")).await.unwrap();
        assert_eq!(left, None);
        assert_eq!(
            space
                .find(b.uid, &Key::from("l"))
                .await
                .unwrap()
                .unwrap()
                .len(),
            20
        );
    }

    #[tokio::test]
    async fn nothing_is_written_for_an_account_that_is_gone() {
        let store = store();
        let space = AccountSpace::built_in(&store, Space::PROFILE, Quota::NONE);
        let gone = Owner::new(Uid(9), &Jid::parse("a@x").unwrap());
        let refused = space.write(&gone, put("k", 1)).await;
        assert!(matches!(refused, Err(WriteError::Gone)));
    }

    #[tokio::test]
    async fn a_module_s_space_is_known_as_owned() {
        let store = store();
        let notes = AccountSpace::named(&store, "notes", 1, Quota::NONE).unwrap();
        store.space("rooms", 1).unwrap();
        let named: Vec<_> = spaces(&store).split_off(BUILT_IN.len());
        assert_eq!(named, [("notes".to_owned(), notes.space())]);
    }
}
