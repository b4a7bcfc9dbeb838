//! Welcomes wait for the device that they are for until it says that it has them.

use super::devices::{self, ATTEMPTS, MlsError};
use super::{Desk, WELCOME, of_device};
use crate::hooks::{Device as Client, Uid};
use crate::state::owned::Owner;
use crate::store::{Batch, CommitError, Direction, Mid, Range, StoreError};

/// A welcome that waits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waiting {
    /// Its number.
    pub mid: Mid,
    /// The stanza, as written by itself.
    pub stanza: Vec<u8>,
}

impl Desk {
    /// Keeps a welcome for a device; under which number, and which client that is.
    ///
    /// # Errors
    /// See [`MlsError`]; [`MlsError::Nothing`] when there is no such device.
    pub async fn keep_welcome(
        &self,
        owner: &Owner,
        name: &str,
        stanza: Vec<u8>,
    ) -> Result<(Mid, Option<Client>), MlsError> {
        let (space, uid) = (self.space, owner.uid());
        for _ in 0..ATTEMPTS {
            let device = name.to_owned();
            let found = self
                .store
                .reading(move |view| devices::find(view, space, uid, &device));
            let found = found.await?;
            if found.row.is_none() {
                return Err(MlsError::Nothing);
            }
            let mut device = found.device.clone();
            device.welcomes += 1;
            device.welcome_bytes = device.welcome_bytes.saturating_add(stanza.len());
            if device.welcomes > self.bounds.welcomes
                || device.welcome_bytes > self.bounds.welcome_bytes
            {
                return Err(MlsError::Full);
            }
            let mut batch = Batch::new();
            devices::require_owner(&mut batch, owner);
            found.change(&device, space, uid, &mut batch);
            batch.append(space, &of_device(uid, WELCOME, name), stanza.clone());
            match self.store.commit(batch).await {
                Ok(mid) => return Ok((mid, device.client())),
                Err(CommitError::Precondition) => {}
                Err(error) => return Err(MlsError::Commit(error)),
            }
        }
        Err(MlsError::Busy)
    }

    /// What waits for a device, oldest first.
    ///
    /// # Errors
    /// The store's.
    pub async fn welcomes(&self, uid: Uid, name: &str) -> Result<Vec<Waiting>, StoreError> {
        let (space, most) = (self.space, self.bounds.welcomes);
        let range = Range::prefix(of_device(uid, WELCOME, name));
        let rows = self
            .store
            .reading(move |view| view.scan(space, &range, Direction::Forward, most));
        let read = |(key, stanza): (Vec<u8>, Vec<u8>)| {
            let mid = Mid::from_bytes(*key.last_chunk::<16>()?);
            Some(Waiting { mid, stanza })
        };
        Ok(rows.await?.into_iter().filter_map(read).collect())
    }

    /// The device has a welcome; whether it waited.
    ///
    /// # Errors
    /// See [`MlsError`].
    pub async fn welcomed(&self, uid: Uid, name: &str, mid: Mid) -> Result<bool, MlsError> {
        let space = self.space;
        let key = of_device(uid, WELCOME, name).mid(mid);
        for _ in 0..ATTEMPTS {
            let (device, at) = (name.to_owned(), key.clone());
            let read = self.store.reading(move |view| {
                let found = devices::find(view, space, uid, &device)?;
                Ok((found, view.get(space, &at)?))
            });
            let (found, Some(stanza)) = read.await? else {
                return Ok(false);
            };
            let mut device = found.device.clone();
            device.welcomes = device.welcomes.saturating_sub(1);
            device.welcome_bytes = device.welcome_bytes.saturating_sub(stanza.len());
            let mut batch = Batch::new().making_room();
            found.change(&device, space, uid, &mut batch);
            batch.delete(space, &key);
            match self.store.commit(batch).await {
                Ok(_) => return Ok(true),
                Err(CommitError::Precondition) => {}
                Err(error) => return Err(MlsError::Commit(error)),
            }
        }
        Err(MlsError::Busy)
    }
}
