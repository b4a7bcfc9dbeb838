//! Key packages are handed out: of each device one, and each that is for one use once, whoever asks at the same time.

use super::devices::{self, ATTEMPTS, Found, MlsError};
use super::packages::{by_end, of_suite};
use super::{Desk, LAST};
use crate::hooks::Uid;
use crate::mls::SUITES;
use crate::store::{Batch, CommitError, Direction, Snapshot, StoreError};

/// Which packages somebody wants.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    /// Of this cipher suite.
    pub suite: Option<u16>,
    /// Of this device alone.
    pub device: Option<String>,
    /// Not of this device.
    pub except: Option<String>,
}

/// A package that was handed out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Taken {
    /// Of which device.
    pub device: String,
    /// Its cipher suite.
    pub suite: u16,
    /// Whether it was the one for when no other is left.
    pub last_resort: bool,
    /// The message.
    pub bytes: Vec<u8>,
    /// Packages for one use that the device has left.
    pub left: usize,
}

/// Packages that ended and are removed on the way to one that did not.
const ENDED: usize = 16;

impl Desk {
    /// Hands out packages.
    ///
    /// # Errors
    /// See [`MlsError`]; [`MlsError::Nothing`] when no device has one that fits.
    pub async fn take(&self, uid: Uid, wanted: Wanted, now: u64) -> Result<Vec<Taken>, MlsError> {
        for _ in 0..ATTEMPTS {
            let (this, wanted) = (self.clone(), wanted.clone());
            let plan = self
                .store
                .reading(move |view| this.choose(view, uid, &wanted, now));
            let (batch, taken) = plan.await?;
            if taken.is_empty() {
                return Err(MlsError::Nothing);
            }
            // Nothing to write: only packages that may be handed out again.
            if batch.is_empty() {
                return Ok(taken);
            }
            match self.store.commit(batch).await {
                Ok(_) => return Ok(taken),
                Err(CommitError::Precondition) => {}
                Err(error) => return Err(MlsError::Commit(error)),
            }
        }
        Err(MlsError::Busy)
    }

    fn choose(
        &self,
        view: &dyn Snapshot,
        uid: Uid,
        wanted: &Wanted,
        now: u64,
    ) -> Result<(Batch, Vec<Taken>), StoreError> {
        let found = match &wanted.device {
            Some(name) => vec![devices::find(view, self.space, uid, name)?],
            None => devices::all(view, self.space, uid, self.bounds.devices)?,
        };
        let (mut batch, mut all) = (Batch::new(), Vec::new());
        for found in found.iter().filter(|found| found.row.is_some()) {
            if wanted.except.as_deref() != Some(&found.name) {
                all.extend(self.one_of(view, uid, found, wanted.suite, now, &mut batch)?);
            }
        }
        Ok((batch, all))
    }

    /// One package of a device.
    fn one_of(
        &self,
        view: &dyn Snapshot,
        uid: Uid,
        found: &Found,
        suite: Option<u16>,
        now: u64,
        batch: &mut Batch,
    ) -> Result<Option<Taken>, StoreError> {
        let name = found.name.as_str();
        let mut device = found.device.clone();
        let suites = SUITES
            .into_iter()
            .filter(|s| suite.is_none_or(|suite| suite == *s));
        let mut taken = None;
        for suite in suites.clone() {
            let (good, ended) = by_end(uid, name, suite, now);
            for (key, _) in view.scan(self.space, &ended, Direction::Forward, ENDED)? {
                batch.delete(self.space, &key);
                device.packages = device.packages.saturating_sub(1);
            }
            let first = view.scan(self.space, &good, Direction::Forward, 1)?;
            if let Some((key, bytes)) = first.into_iter().next() {
                batch.require_equals(self.space, &key, bytes.clone());
                batch.delete(self.space, &key);
                device.packages = device.packages.saturating_sub(1);
                taken = Some((suite, false, bytes));
                break;
            }
        }
        if device != found.device {
            found.change(&device, self.space, uid, batch);
        }
        if taken.is_none() {
            taken = self.last_of(view, uid, name, suites, now)?;
        }
        Ok(taken.map(|(suite, last_resort, bytes)| Taken {
            device: name.to_owned(),
            suite,
            last_resort,
            bytes,
            left: device.packages,
        }))
    }

    /// The package for when no other is left.
    fn last_of(
        &self,
        view: &dyn Snapshot,
        uid: Uid,
        name: &str,
        suites: impl Iterator<Item = u16>,
        now: u64,
    ) -> Result<Option<(u16, bool, Vec<u8>)>, StoreError> {
        for suite in suites {
            let row = view.get(self.space, &of_suite(uid, LAST, name, suite))?;
            if let Some((end, bytes)) = row.as_deref().and_then(|row| row.split_first_chunk())
                && u64::from_be_bytes(*end) > now
            {
                return Ok(Some((suite, true, bytes.to_vec())));
            }
        }
        Ok(None)
    }
}
