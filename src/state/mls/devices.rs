//! Devices of accounts: what is counted of each, how that changes, and how one is withdrawn.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{DEVICE, Desk, KNOWN, LAST, PACKAGE, WELCOME, of_device, of_kind};
use crate::hooks::{Device as Client, Uid};
use crate::state::owned::Owner;
use crate::store::{Batch, CommitError, Direction, Fields, Range, Snapshot, Space, StoreError};

/// What is counted of a device.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Device {
    /// Key packages for one use.
    pub packages: usize,
    /// Ends of those for when no other is left, Unix seconds, by suite.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub last: BTreeMap<u16, u64>,
    /// The client that it is (XEP-0388 user-agent), if it said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client: Option<Box<str>>,
    /// The resource of one that did not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource: Option<Box<str>>,
    /// Packages remembered.
    #[serde(default)]
    pub(super) known: usize,
    /// Welcomes that wait.
    #[serde(default)]
    pub(super) welcomes: usize,
    /// Their bytes.
    #[serde(default)]
    pub(super) welcome_bytes: usize,
}

impl Device {
    /// The client that it is, by which it can be woken.
    pub fn client(&self) -> Option<Client> {
        let resource = self.resource.clone().map(Client::Resource);
        resource.or_else(|| self.client.clone().map(Client::Client))
    }

    /// It is this client now; a client that told its id once may be shut out by that.
    pub(super) fn sits(&mut self, client: Option<&Client>) {
        match client {
            Some(Client::Client(id)) => (self.client, self.resource) = (Some(id.clone()), None),
            Some(Client::Resource(resource)) => self.resource = Some(resource.clone()),
            None => {}
        }
    }
}

/// Why something was not done.
#[derive(Debug, thiserror::Error)]
pub enum MlsError {
    /// There is no such device, or nothing of what was asked for.
    #[error("there is nothing of the kind")]
    Nothing,
    /// It would be more than may be.
    #[error("there are as many as may be")]
    Full,
    /// The package of this number is there, or was handed out.
    #[error("package {0} was published before")]
    Repeated(usize),
    /// There is one.
    #[error("there is one already")]
    Exists,
    /// Others changed the same all the time.
    #[error("too many changes at once")]
    Busy,
    /// The store could not be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The store did not take it.
    #[error(transparent)]
    Commit(CommitError),
}

/// Attempts at a change that others come before.
pub(super) const ATTEMPTS: usize = 16;
/// Bytes of the name of a device.
const NAME: usize = 64;

/// Whether a device may be called so.
pub fn is_device(name: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    (1..=NAME).contains(&name.len()) && name.bytes().all(fits)
}

/// A device as it was found: its row, by which it is known whether another change came before.
pub(super) struct Found {
    pub(super) name: String,
    pub(super) device: Device,
    pub(super) row: Option<Vec<u8>>,
}

impl Found {
    /// Puts what has become of it into a batch that is taken only if it is still as it was found.
    pub(super) fn change(&self, device: &Device, space: Space, uid: Uid, batch: &mut Batch) {
        let key = of_device(uid, DEVICE, &self.name);
        match &self.row {
            Some(row) => batch.require_equals(space, &key, row.clone()),
            None => batch.require_absent(space, &key),
        }
        let row = serde_json::to_vec(device).unwrap_or_default();
        batch.put(space, &key, row);
    }
}

fn decode(row: &[u8]) -> Result<Device, StoreError> {
    let odd = |_| StoreError::Format("a device with key packages".to_owned());
    serde_json::from_slice(row).map_err(odd)
}

/// One device.
pub(super) fn find(
    view: &dyn Snapshot,
    space: Space,
    uid: Uid,
    name: &str,
) -> Result<Found, StoreError> {
    let row = view.get(space, &of_device(uid, DEVICE, name))?;
    let device = row.as_deref().map(decode).transpose()?;
    Ok(Found {
        name: name.to_owned(),
        device: device.unwrap_or_default(),
        row,
    })
}

/// All devices of an account.
pub(super) fn all(
    view: &dyn Snapshot,
    space: Space,
    uid: Uid,
    most: usize,
) -> Result<Vec<Found>, StoreError> {
    let range = Range::prefix(of_kind(uid, DEVICE));
    let rows = view.scan(space, &range, Direction::Forward, most)?;
    let read = |(key, row): (Vec<u8>, Vec<u8>)| {
        let mut fields = Fields::of(&key);
        let name = fields.u64().and_then(|_| fields.u8());
        let name = name.and_then(|_| fields.str()).unwrap_or_default();
        Ok(Found {
            name: name.to_owned(),
            device: decode(&row)?,
            row: Some(row),
        })
    };
    rows.into_iter().map(read).collect()
}

/// Demands that an account is there.
pub(super) fn require_owner(batch: &mut Batch, owner: &Owner) {
    let name = owner.jid().as_str().as_bytes();
    batch.require_equals(Space::ACCOUNT_BY_ID, &owner.uid().to_key(), name);
}

impl Desk {
    /// The devices of an account, by name.
    ///
    /// # Errors
    /// The store's.
    pub async fn devices(&self, uid: Uid) -> Result<Vec<(String, Device)>, StoreError> {
        let (space, most) = (self.space, self.bounds.devices);
        let found = self.store.reading(move |view| all(view, space, uid, most));
        let found = found.await?.into_iter();
        Ok(found.map(|found| (found.name, found.device)).collect())
    }

    /// A device says which client it is; what it has. One of which nothing is known has nothing.
    ///
    /// # Errors
    /// See [`MlsError`].
    pub async fn here(
        &self,
        owner: &Owner,
        name: &str,
        client: Option<&Client>,
    ) -> Result<Device, MlsError> {
        let (space, uid) = (self.space, owner.uid());
        for _ in 0..ATTEMPTS {
            let device = name.to_owned();
            let found = self
                .store
                .reading(move |view| find(view, space, uid, &device));
            let found = found.await?;
            let mut device = found.device.clone();
            device.sits(client);
            if found.row.is_none() || device == found.device {
                return Ok(found.device);
            }
            let mut batch = Batch::new();
            require_owner(&mut batch, owner);
            found.change(&device, space, uid, &mut batch);
            match self.store.commit(batch).await {
                Ok(_) => return Ok(device),
                Err(CommitError::Precondition) => {}
                Err(error) => return Err(MlsError::Commit(error)),
            }
        }
        Err(MlsError::Busy)
    }

    /// Forgets a device with all that is kept for it; whether there was one.
    ///
    /// # Errors
    /// See [`MlsError`].
    pub async fn withdraw(&self, uid: Uid, name: &str) -> Result<bool, MlsError> {
        let there = {
            let (space, key) = (self.space, of_device(uid, DEVICE, name));
            self.store
                .reading(move |view| view.get(space, &key))
                .await?
        };
        if there.is_none() {
            return Ok(false);
        }
        // With its row nobody is handed anything of it any more, so that goes with the packages.
        let mut batch = Batch::new().making_room();
        batch.delete(self.space, &of_device(uid, DEVICE, name));
        for kind in [PACKAGE, LAST, WELCOME] {
            batch.delete_range(self.space, Range::prefix(of_device(uid, kind, name)));
        }
        self.store.commit(batch).await.map_err(MlsError::Commit)?;
        let known = Range::prefix(of_device(uid, KNOWN, name));
        let erased = self.store.erase(self.space, known).await;
        erased.map(|_| true).map_err(MlsError::Commit)
    }

    /// Forgets the devices of a client; their names.
    ///
    /// # Errors
    /// See [`MlsError`].
    pub async fn withdraw_client(&self, uid: Uid, client: &str) -> Result<Vec<String>, MlsError> {
        let mut gone = Vec::new();
        for (name, device) in self.devices(uid).await? {
            if device.client.as_deref() == Some(client) && self.withdraw(uid, &name).await? {
                gone.push(name);
            }
        }
        Ok(gone)
    }
}
