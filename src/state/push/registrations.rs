//! What clients registered to be woken by: in the store, by account; in memory is no more than which devices did.

use std::marker::PhantomData;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

pub use crate::hooks::Device;
use crate::hooks::Uid;
use crate::metrics::Counter;
use crate::proto::jid::Jid;
use crate::state::accounts;
use crate::state::by_client::{self, PutError};
use crate::store::{Batch, CommitError, Direction, Key, Range, Snapshot, Space, Store, StoreError};

/// What a client registers.
pub trait Target: Serialize + DeserializeOwned + Clone + PartialEq + Send + Sync + 'static {
    /// Which kind it is of; those of others are not looked at.
    const KIND: u8;
    /// What tells it from others of the account.
    fn key(&self) -> Key;
}

/// One registration.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(bound = "")]
pub struct Registration<T: Target> {
    /// Whose client it is.
    pub device: Device,
    /// Since when, Unix milliseconds.
    pub since: u64,
    /// Since when nothing arrives, if nothing does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failing: Option<u64>,
    /// Where notifications go.
    pub target: T,
}

/// A registration as it was found.
#[derive(Debug, Clone)]
pub struct Found<T: Target> {
    /// Its key in the store.
    pub key: Vec<u8>,
    /// The registration.
    pub registration: Registration<T>,
    value: Vec<u8>,
}

/// A registration that is renewed when it is not older than this is not written again, in milliseconds.
const FRESH: u64 = 24 * 3_600_000;
/// Attempts when another change comes between.
const ATTEMPTS: usize = 8;

/// The registrations of one kind of all accounts.
pub struct Registrations<T> {
    store: Store,
    most: usize,
    full: Counter,
    of: PhantomData<fn() -> T>,
}

impl<T: Target> Registrations<T> {
    /// Over a store; an account may have `most`, and `full` counts those that go for others.
    pub fn new(store: Store, most: usize, full: Counter) -> Self {
        Registrations {
            store,
            most,
            full,
            of: PhantomData,
        }
    }

    /// The devices that an account has some for.
    ///
    /// # Errors
    /// The store's.
    pub fn devices(view: &dyn Snapshot, uid: Uid) -> Result<Vec<Device>, StoreError> {
        let rows = view.scan(
            Space::PUSH,
            &range::<T>(uid),
            Direction::Forward,
            usize::MAX,
        )?;
        let mut devices = Vec::new();
        for (_, value) in rows {
            let registration: Registration<T> = by_client::decode(&value)?;
            if !devices.contains(&registration.device) {
                devices.push(registration.device);
            }
        }
        Ok(devices)
    }

    /// Those of an account.
    ///
    /// # Errors
    /// The store's.
    pub async fn of_account(&self, uid: Uid) -> Result<Vec<Found<T>>, StoreError> {
        let rows = self.store.reading(move |view| {
            view.scan(
                Space::PUSH,
                &range::<T>(uid),
                Direction::Forward,
                usize::MAX,
            )
        });
        let read = |(key, value): (Vec<u8>, Vec<u8>)| {
            let registration = by_client::decode(&value)?;
            Ok(Found {
                key,
                registration,
                value,
            })
        };
        rows.await?.into_iter().map(read).collect()
    }

    /// Adds one, in the place of what was there for the same target. One beyond those an account may have takes the place of
    /// the oldest.
    ///
    /// # Errors
    /// The store's; [`CommitError::Precondition`] when the account is gone.
    pub async fn put(
        &self,
        account: &Jid,
        uid: Uid,
        registration: &Registration<T>,
    ) -> Result<(), PutError> {
        let key = key(uid, &registration.target);
        let mut others = self.of_account(uid).await?;
        if let Some(known) = others.iter().find(|found| *found.key == *key)
            && known.registration.renewed_by(registration)
        {
            return Ok(());
        }
        others.retain(|found| *found.key != *key);
        others.sort_by_key(|found| found.registration.since);
        let too_many = others.len().saturating_sub(self.most.saturating_sub(1));
        let mut batch = Batch::new();
        let name = account.bare_str().as_bytes();
        batch.require_equals(Space::ACCOUNT_BY_ID, &uid.to_key(), name);
        for found in others.iter().take(too_many) {
            self.full.count();
            batch.delete(Space::PUSH, &found.key);
        }
        batch.put(Space::PUSH, &key, by_client::encode(registration));
        self.store.commit(batch).await?;
        Ok(())
    }

    /// Removes those that are meant; how many there were.
    ///
    /// # Errors
    /// The store's.
    pub async fn remove(
        &self,
        uid: Uid,
        meant: impl Fn(&Registration<T>) -> bool,
    ) -> Result<usize, PutError> {
        for _ in 0..ATTEMPTS {
            let mut found = self.of_account(uid).await?;
            found.retain(|found| meant(&found.registration));
            if found.is_empty() {
                return Ok(0);
            }
            let mut batch = Batch::new();
            for found in &found {
                batch.require_equals(Space::PUSH, &found.key, found.value.as_slice());
                batch.delete(Space::PUSH, &found.key);
            }
            match self.store.commit(batch).await {
                Ok(_) => return Ok(found.len()),
                Err(CommitError::Precondition) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(CommitError::Precondition.into())
    }

    /// Removes one, if it is as it was found.
    ///
    /// # Errors
    /// The store's.
    pub async fn end(&self, found: &Found<T>) -> Result<(), PutError> {
        self.change(found, None).await
    }

    /// Says since when nothing arrives, if the registration is as it was found.
    ///
    /// # Errors
    /// The store's.
    pub async fn note(&self, found: &Found<T>, failing: Option<u64>) -> Result<(), PutError> {
        let mut noted = found.registration.clone();
        noted.failing = failing;
        self.change(found, Some(by_client::encode(&noted))).await
    }

    async fn change(&self, found: &Found<T>, to: Option<Vec<u8>>) -> Result<(), PutError> {
        let mut batch = Batch::new();
        batch.require_equals(Space::PUSH, &found.key, found.value.as_slice());
        match to {
            Some(value) => batch.put(Space::PUSH, &found.key, value),
            None => batch.delete(Space::PUSH, &found.key),
        }
        match self.store.commit(batch.relaxed()).await {
            // It was made anew, or is gone.
            Ok(_) | Err(CommitError::Precondition) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

impl<T: Target> Registration<T> {
    /// Whether this one need not be written again for that one.
    fn renewed_by(&self, other: &Registration<T>) -> bool {
        self.device == other.device
            && self.target == other.target
            && self.failing == other.failing
            && other.since.saturating_sub(self.since) < FRESH
    }
}

fn of_kind<T: Target>(uid: Uid) -> Key {
    Key::new().u64(uid.0).u8(T::KIND)
}

/// Whether a device of an account registered to be woken, in whatever way.
///
/// # Errors
/// The store's.
pub fn has_devices(view: &dyn Snapshot, account: &Jid) -> Result<bool, StoreError> {
    let Some(record) = accounts::read(view, &accounts::account_key(account))? else {
        return Ok(false);
    };
    let all = Range::prefix(Key::new().u64(record.uid));
    let rows = view.scan(Space::PUSH, &all, Direction::Forward, 1)?;
    Ok(!rows.is_empty())
}

fn range<T: Target>(uid: Uid) -> Range {
    Range::prefix(of_kind::<T>(uid))
}

fn key<T: Target>(uid: Uid, target: &T) -> Key {
    of_kind::<T>(uid).bytes(&target.key())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::runtime::clock::Clock;
    use crate::state::accounts::Accounts;
    use crate::store::{Options, testing};
    use crate::stream::Secret;

    #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
    struct Place(String);

    impl Target for Place {
        const KIND: u8 = 7;
        fn key(&self) -> Key {
            Key::new().str(&self.0)
        }
    }

    struct Setup {
        all: Registrations<Place>,
        accounts: Accounts,
        jid: Jid,
        uid: Uid,
    }

    async fn setup(most: usize) -> Setup {
        let store = Store::with_engine(testing::memory(), Options::memory(), Clock::system());
        let store = store.unwrap();
        let secret = Secret::new(vec![1; 32]);
        let accounts = Accounts::new(store.clone(), Clock::system(), 4096, secret);
        let jid = Jid::parse("juliet@example.org").unwrap();
        accounts.create(&jid, "pencil").await.unwrap();
        let name = crate::state::accounts::account_key(&jid);
        let record = store.reading(move |view| crate::state::accounts::read(view, &name));
        let uid = Uid(record.await.unwrap().unwrap().uid);
        Setup {
            all: Registrations::new(store, most, Counter::default()),
            accounts,
            jid,
            uid,
        }
    }

    fn phone(place: &str, since: u64) -> Registration<Place> {
        Registration {
            device: Device::Client("phone".into()),
            since,
            failing: None,
            target: Place(place.to_owned()),
        }
    }

    async fn places(setup: &Setup) -> String {
        let found = setup.all.of_account(setup.uid).await.unwrap();
        found
            .into_iter()
            .map(|found| found.registration.target.0)
            .collect()
    }

    #[tokio::test]
    async fn the_oldest_goes_when_there_are_too_many() {
        let setup = setup(2).await;
        for (place, since) in [("a", 2), ("b", 1), ("a", 2 * FRESH), ("c", 3)] {
            let made = phone(place, since);
            setup.all.put(&setup.jid, setup.uid, &made).await.unwrap();
        }
        assert_eq!(
            (places(&setup).await.as_str(), setup.all.full.value()),
            ("ac", 1)
        );
        let removed = setup.all.remove(setup.uid, |it| it.target.0 == "a").await;
        assert_eq!((removed.unwrap(), places(&setup).await.as_str()), (1, "c"));
        setup.accounts.delete(&setup.jid).await.unwrap();
        assert_eq!(places(&setup).await, "");
        let late = setup.all.put(&setup.jid, setup.uid, &phone("d", 4)).await;
        assert!(matches!(
            late,
            Err(PutError::Commit(CommitError::Precondition))
        ));
    }

    #[tokio::test]
    async fn what_was_made_anew_does_not_end_with_the_old_one() {
        let setup = setup(2).await;
        let put = |since| {
            let (all, jid, made) = (&setup.all, &setup.jid, phone("a", since));
            async move { all.put(jid, setup.uid, &made).await.unwrap() }
        };
        put(1).await;
        let found = setup.all.of_account(setup.uid).await.unwrap().remove(0);
        setup.all.note(&found, Some(5)).await.unwrap();
        setup.all.end(&found).await.unwrap();
        let noted = setup.all.of_account(setup.uid).await.unwrap().remove(0);
        assert_eq!(noted.registration.failing, Some(5));
        // Who registers again is believed to be there again.
        put(2).await;
        let found = setup.all.of_account(setup.uid).await.unwrap().remove(0);
        assert_eq!(found.registration, phone("a", 2));
        setup.all.end(&found).await.unwrap();
        assert_eq!(places(&setup).await, "");
    }
}
