//! Key packages are published: all of a request or none, within bounds, and none that there was before.

use super::devices::{self, ATTEMPTS, Device, Found, MlsError};
use super::{Desk, KNOWN, LAST, PACKAGE, of_device};
use crate::hooks::{Device as Client, Uid};
use crate::mls::SUITES;
use crate::state::owned::Owner;
use crate::store::{Batch, CommitError, Direction, Key, Range, Snapshot, Space, StoreError};

/// A key package that was found good.
#[derive(Debug, Clone)]
pub struct Offered {
    /// By this it is the same as another one.
    pub id: [u8; 32],
    /// Its cipher suite.
    pub suite: u16,
    /// Its end, Unix seconds.
    pub until: u64,
    /// Whether it is for when no other is left.
    pub last_resort: bool,
    /// The message.
    pub bytes: Vec<u8>,
}

/// Where a package for one use lies: those that end first are the first of their suite.
pub(super) fn package_key(uid: Uid, device: &str, suite: u16, until: u64, id: &[u8]) -> Key {
    of_suite(uid, PACKAGE, device, suite).u64(until).bytes(id)
}

pub(super) fn of_suite(uid: Uid, kind: u8, device: &str, suite: u16) -> Key {
    of_device(uid, kind, device).bytes(&suite.to_be_bytes())
}

fn known_key(uid: Uid, device: &str, id: &[u8]) -> Key {
    of_device(uid, KNOWN, device).bytes(id)
}

/// The packages of a suite that are good still, and those that have ended.
pub(super) fn by_end(uid: Uid, device: &str, suite: u16, now: u64) -> (Range, Range) {
    let all = of_suite(uid, PACKAGE, device, suite);
    let good = all.clone().u64(now.saturating_add(1));
    let range = Range::prefix(all);
    (range.clone().from(good.clone()), range.before(good))
}

/// A request that was looked at: what is to be written.
enum Plan {
    Write(Batch, Device),
    Refused(MlsError),
}

struct Publishing<'a> {
    space: Space,
    uid: Uid,
    found: &'a Found,
    now: u64,
}

impl Desk {
    /// Publishes packages of a device; what it has then.
    ///
    /// # Errors
    /// See [`MlsError`]; nothing is published then.
    pub async fn publish(
        &self,
        owner: &Owner,
        (name, client): (&str, Option<&Client>),
        packages: Vec<Offered>,
        now: u64,
    ) -> Result<Device, MlsError> {
        let packages = std::sync::Arc::new(packages);
        for _ in 0..ATTEMPTS {
            let (this, packages) = (self.clone(), packages.clone());
            let (uid, name, client) = (owner.uid(), name.to_owned(), client.cloned());
            let plan = self.store.reading(move |view| {
                let found = devices::find(view, this.space, uid, &name)?;
                if found.row.is_none() {
                    let most = this.bounds.devices;
                    if devices::all(view, this.space, uid, most)?.len() >= most {
                        return Ok(Plan::Refused(MlsError::Full));
                    }
                }
                let publishing = Publishing {
                    space: this.space,
                    uid,
                    found: &found,
                    now,
                };
                this.plan(view, &publishing, client, &packages)
            });
            let (mut batch, device) = match plan.await? {
                Plan::Write(batch, device) => (batch, device),
                Plan::Refused(error) => return Err(error),
            };
            devices::require_owner(&mut batch, owner);
            match self.store.commit(batch).await {
                Ok(_) => return Ok(device),
                Err(CommitError::Precondition) => {}
                Err(error) => return Err(MlsError::Commit(error)),
            }
        }
        Err(MlsError::Busy)
    }

    fn plan(
        &self,
        view: &dyn Snapshot,
        at: &Publishing<'_>,
        client: Option<Client>,
        packages: &[Offered],
    ) -> Result<Plan, StoreError> {
        let (mut batch, mut device) = (Batch::new(), at.found.device.clone());
        let name = at.found.name.as_str();
        device.sits(client.as_ref());
        device.last.retain(|_, until| *until > at.now);
        for suite in SUITES {
            let (_, ended) = by_end(at.uid, name, suite, at.now);
            for (key, _) in view.scan(at.space, &ended, Direction::Forward, usize::MAX)? {
                batch.delete(at.space, &key);
                device.packages = device.packages.saturating_sub(1);
            }
        }
        let mut seen = std::collections::HashSet::new();
        for (number, package) in packages.iter().enumerate() {
            let end = package.until.to_be_bytes();
            if package.last_resort {
                let value = [&end[..], &package.bytes].concat();
                batch.put(
                    at.space,
                    &of_suite(at.uid, LAST, name, package.suite),
                    value,
                );
                device.last.insert(package.suite, package.until);
                continue;
            }
            let known = known_key(at.uid, name, &package.id);
            if !seen.insert(package.id) || view.get(at.space, &known)?.is_some() {
                return Ok(Plan::Refused(MlsError::Repeated(number)));
            }
            let key = package_key(at.uid, name, package.suite, package.until, &package.id);
            batch.put(at.space, &key, package.bytes.clone());
            batch.put(at.space, &known, end.to_vec());
            device.packages += 1;
            device.known += 1;
        }
        if device.packages > self.bounds.packages {
            return Ok(Plan::Refused(MlsError::Full));
        }
        if device.known > self.bounds.remembered {
            self.forget(view, at, &mut batch, &mut device)?;
        }
        at.found.change(&device, at.space, at.uid, &mut batch);
        Ok(Plan::Write(batch, device))
    }

    /// Forgets that there were packages that have ended; of too many, those that end first.
    fn forget(
        &self,
        view: &dyn Snapshot,
        at: &Publishing<'_>,
        batch: &mut Batch,
        device: &mut Device,
    ) -> Result<(), StoreError> {
        let range = Range::prefix(of_device(at.uid, KNOWN, &at.found.name));
        let rows = view.scan(at.space, &range, Direction::Forward, usize::MAX)?;
        let end = |value: &[u8]| {
            value
                .first_chunk()
                .map_or(0, |end| u64::from_be_bytes(*end))
        };
        let mut rows: Vec<_> = rows.iter().map(|(key, value)| (end(value), key)).collect();
        rows.sort_unstable();
        // A tenth more, so that this is seldom done.
        let new = device.known.saturating_sub(rows.len());
        let keep = (self.bounds.remembered / 10 * 9).saturating_sub(new);
        let more = rows.len().saturating_sub(keep);
        let ended = rows.iter().take_while(|(end, _)| *end <= at.now).count();
        let gone = more.max(ended);
        for (_, key) in rows.iter().take(gone) {
            batch.delete(at.space, key);
        }
        device.known = (rows.len() + new).saturating_sub(gone);
        Ok(())
    }
}
