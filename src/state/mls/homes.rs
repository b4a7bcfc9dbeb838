//! Groups whose home is an account: their order, who takes part in them, and what is on its way to these.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::devices::{self, ATTEMPTS, MlsError};
use super::order::{Changed, Order, OutOfOrder, Terms};
use super::{Desk, Info, of_kind};
use crate::hooks::Uid;
use crate::mls::framing::{Content, Framed};
use crate::proto::jid::Jid;
use crate::state::owned::Owner;
use crate::store::{
    Batch, CommitError, Direction, Fields, Key, Mid, Range, Snapshot, Space, StoreError,
};

/// Groups: hash of the id → order, who takes part.
const HOME: u8 = 5;
/// Commits that were first: group, epoch → the message.
const WON: u8 = 6;
/// States: group → epoch, the message.
const INFO: u8 = 7;

/// A group at its home.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Home {
    /// Where it is.
    pub order: Order,
    /// The accounts that take part.
    pub participants: BTreeSet<Jid>,
}

/// What is on its way to several.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parcel {
    /// The home.
    pub home: Jid,
    /// For whom it is.
    pub to: Vec<Jid>,
    /// The stanza, as written by itself.
    pub stanza: String,
}

/// A parcel that has not been handed to all: where it lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Place {
    /// The home.
    pub uid: Uid,
    /// Its number.
    pub mid: Mid,
}

impl Place {
    fn key(self) -> Key {
        Key::new().u64(self.uid.0).mid(self.mid)
    }
}

/// A message that was taken into the order of its group.
#[derive(Debug)]
pub struct Accepted {
    /// The epoch that the group is in now.
    pub epoch: u64,
    /// Where the parcel lies until all have it.
    pub place: Place,
    /// What they get.
    pub parcel: Parcel,
}

/// Why one was not.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    /// It has no place in the order; with the commit that was there first, if that is why.
    #[error("it has no place in the order of its group")]
    Order(OutOfOrder, Option<Vec<u8>>),
    /// The store, or too many changes.
    #[error(transparent)]
    Mls(#[from] MlsError),
}

impl From<StoreError> for SendError {
    fn from(error: StoreError) -> Self {
        SendError::Mls(error.into())
    }
}

/// A message for a group.
pub struct Letter<'a> {
    /// Who sends it.
    pub from: &'a Jid,
    /// What can be told of it.
    pub framed: Framed<'a>,
    /// The message.
    pub bytes: &'a [u8],
    /// Who comes and goes with it, if it is a commit.
    pub changed: &'a Changed,
    /// Its number.
    pub id: &'a str,
    /// The stanza that all get.
    pub stanza: &'a str,
}

fn group_key(uid: Uid, kind: u8, group: &[u8]) -> Key {
    of_kind(uid, kind).bytes(&Sha256::digest(group))
}

fn won_key(uid: Uid, group: &[u8], epoch: u64) -> Key {
    group_key(uid, WON, group).u64(epoch)
}

type Found = Option<(Home, Vec<u8>)>;

fn read(view: &dyn Snapshot, space: Space, uid: Uid, group: &[u8]) -> Result<Found, StoreError> {
    let row = view.get(space, &group_key(uid, HOME, group))?;
    let read = |row: Vec<u8>| match serde_json::from_slice(&row) {
        Ok(home) => Ok((home, row)),
        Err(_) => Err(StoreError::Format("a group of an account".to_owned())),
    };
    row.map(read).transpose()
}

impl Desk {
    /// An account becomes the home of a group.
    ///
    /// # Errors
    /// [`MlsError::Exists`] if it is already, and others.
    pub async fn found(&self, owner: &Owner, group: &[u8], home: Home) -> Result<(), MlsError> {
        let (space, uid, most) = (self.space, owner.uid(), self.bounds.groups);
        if home.participants.len() > self.bounds.members {
            return Err(MlsError::Full);
        }
        let range = Range::prefix(of_kind(uid, HOME));
        let groups = self
            .store
            .reading(move |view| view.scan(space, &range, Direction::Forward, most));
        if groups.await?.len() >= most {
            return Err(MlsError::Full);
        }
        let key = group_key(uid, HOME, group);
        let mut batch = Batch::new();
        devices::require_owner(&mut batch, owner);
        batch.require_absent(space, &key);
        batch.put(space, &key, serde_json::to_vec(&home).unwrap_or_default());
        match self.store.commit(batch).await {
            Ok(_) => Ok(()),
            Err(CommitError::Precondition) => Err(MlsError::Exists),
            Err(error) => Err(MlsError::Commit(error)),
        }
    }

    /// An account is the home of a group no longer; whether it was.
    ///
    /// # Errors
    /// See [`MlsError`].
    pub async fn disband(&self, uid: Uid, group: &[u8]) -> Result<bool, MlsError> {
        if self.home(uid, group).await?.is_none() {
            return Ok(false);
        }
        let mut batch = Batch::new().making_room();
        batch.delete(self.space, &group_key(uid, HOME, group));
        batch.delete(self.space, &group_key(uid, INFO, group));
        batch.delete_range(self.space, Range::prefix(group_key(uid, WON, group)));
        let done = self.store.commit(batch).await;
        done.map(|_| true).map_err(MlsError::Commit)
    }

    /// A group at its home.
    ///
    /// # Errors
    /// The store's.
    pub async fn home(&self, uid: Uid, group: &[u8]) -> Result<Option<Home>, StoreError> {
        let (space, group) = (self.space, group.to_owned());
        let read = self
            .store
            .reading(move |view| read(view, space, uid, &group));
        Ok(read.await?.map(|(home, _)| home))
    }

    /// Takes a message into the order of its group.
    ///
    /// # Errors
    /// See [`SendError`].
    pub async fn accept(
        &self,
        owner: &Owner,
        letter: &Letter<'_>,
        terms: Terms,
    ) -> Result<Accepted, SendError> {
        let (space, uid) = (self.space, owner.uid());
        let sender = letter.from.bare();
        for _ in 0..ATTEMPTS {
            let group = letter.framed.group.to_owned();
            let found = self
                .store
                .reading(move |view| read(view, space, uid, &group));
            let Some((home, row)) = found.await? else {
                return Err(SendError::Order(OutOfOrder::NoGroup, None));
            };
            if !home.participants.contains(&sender) {
                return Err(SendError::Order(OutOfOrder::NoGroup, None));
            }
            if let Err(refused) = home.order.judge(&letter.framed, terms) {
                let winner = self.winner(uid, &letter.framed, &refused).await?;
                return Err(SendError::Order(refused, winner));
            }
            let mut batch = Batch::new();
            devices::require_owner(&mut batch, owner);
            let mut epoch = home.order.epoch;
            if letter.framed.content == Content::Commit {
                epoch = self.advance(owner, letter, &home, row, &mut batch)?;
            }
            let parcel = Parcel {
                home: owner.jid().clone(),
                to: home.participants.into_iter().collect(),
                stanza: letter.stanza.to_owned(),
            };
            let value = serde_json::to_vec(&parcel).unwrap_or_default();
            batch.append(self.parcels, &Key::new().u64(uid.0), value);
            match self.store.commit(batch).await {
                Ok(mid) => {
                    let place = Place { uid, mid };
                    return Ok(Accepted {
                        epoch,
                        place,
                        parcel,
                    });
                }
                Err(CommitError::Precondition) => {}
                Err(error) => return Err(MlsError::Commit(error).into()),
            }
        }
        Err(MlsError::Busy.into())
    }

    /// The next epoch begins, if nobody else began it; which one that is.
    fn advance(
        &self,
        owner: &Owner,
        letter: &Letter<'_>,
        home: &Home,
        row: Vec<u8>,
        batch: &mut Batch,
    ) -> Result<u64, MlsError> {
        let (space, uid, group) = (self.space, owner.uid(), letter.framed.group);
        let mut next = home.clone();
        let forgotten = next.order.oldest();
        next.order.advance(letter.id.to_owned(), letter.from.bare());
        if let Some(epoch) = forgotten.filter(|epoch| next.order.oldest() != Some(*epoch)) {
            batch.delete(space, &won_key(uid, group, epoch));
        }
        batch.put(space, &won_key(uid, group, home.order.epoch), letter.bytes);
        // Its home is always there.
        let removed = letter
            .changed
            .removed
            .iter()
            .filter(|jid| *jid != owner.jid());
        for jid in removed {
            next.participants.remove(jid);
        }
        next.participants
            .extend(letter.changed.added.iter().cloned());
        if next.participants.len() > self.bounds.members {
            return Err(MlsError::Full);
        }
        let key = group_key(uid, HOME, group);
        batch.require_equals(space, &key, row);
        batch.put(space, &key, serde_json::to_vec(&next).unwrap_or_default());
        Ok(next.order.epoch)
    }

    async fn winner(
        &self,
        uid: Uid,
        framed: &Framed<'_>,
        refused: &OutOfOrder,
    ) -> Result<Option<Vec<u8>>, StoreError> {
        if !matches!(refused, OutOfOrder::Taken { .. }) {
            return Ok(None);
        }
        let (space, key) = (self.space, won_key(uid, framed.group, framed.epoch));
        self.store.reading(move |view| view.get(space, &key)).await
    }

    /// Keeps the state of the epoch that a group is in.
    ///
    /// # Errors
    /// See [`MlsError`].
    pub async fn keep_info(&self, owner: &Owner, info: &Info) -> Result<(), MlsError> {
        let mut batch = Batch::new();
        devices::require_owner(&mut batch, owner);
        let value = [&info.epoch.to_be_bytes()[..], &info.kept].concat();
        let key = group_key(owner.uid(), INFO, &info.group);
        batch.put(self.space, &key, value);
        self.store
            .commit(batch)
            .await
            .map(drop)
            .map_err(MlsError::Commit)
    }

    /// The state of a group, if it is of this epoch.
    ///
    /// # Errors
    /// The store's.
    pub async fn info(
        &self,
        uid: Uid,
        group: &[u8],
        epoch: u64,
    ) -> Result<Option<Vec<u8>>, StoreError> {
        let (space, key) = (self.space, group_key(uid, INFO, group));
        let value = self
            .store
            .reading(move |view| view.get(space, &key))
            .await?;
        let info = value.as_deref().and_then(|value| value.split_first_chunk());
        let info = info.filter(|(of, _)| u64::from_be_bytes(**of) == epoch);
        Ok(info.map(|(_, info)| info.to_vec()))
    }

    /// Parcels that have not been handed to all, after one of them, at most so many.
    ///
    /// # Errors
    /// The store's.
    pub async fn parcels(
        &self,
        after: Option<Place>,
        most: usize,
    ) -> Result<Vec<(Place, Parcel)>, StoreError> {
        let space = self.parcels;
        let range = match after {
            Some(place) => Range::all().after(place.key()),
            None => Range::all(),
        };
        let rows = self
            .store
            .reading(move |view| view.scan(space, &range, Direction::Forward, most));
        let read = |(key, value): (Vec<u8>, Vec<u8>)| {
            let place = Place {
                uid: Uid(Fields::of(&key).u64()?),
                mid: Mid::from_bytes(*key.last_chunk::<16>()?),
            };
            Some((place, serde_json::from_slice(&value).ok()?))
        };
        Ok(rows.await?.into_iter().filter_map(read).collect())
    }

    /// All have a parcel.
    ///
    /// # Errors
    /// See [`MlsError`].
    pub async fn delivered(&self, place: Place) -> Result<(), MlsError> {
        let mut batch = Batch::new().relaxed().making_room();
        batch.delete(self.parcels, &place.key());
        self.store
            .commit(batch)
            .await
            .map(drop)
            .map_err(MlsError::Commit)
    }
}
