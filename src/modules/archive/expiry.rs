//! Retention: what is too old, or too much, leaves the archives, the oldest first (XEP-0313 §3.2).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::Archive;
use crate::hooks::{Registrar, Uid};
use crate::state::{accounts, log};
use crate::store::{Direction, Key, Mid, Range, Snapshot, Space, StoreError};

/// Between two rounds.
const PERIOD: Duration = Duration::from_secs(900);

/// Accounts looked up at once.
const ACCOUNTS: usize = 100;

/// Has every archive of the host looked at in rounds, if anything bounds it.
pub(super) fn begin(archive: &Arc<Archive>, r: &mut Registrar<'_>) {
    let config = &archive.config;
    if config.age.0.is_zero() && config.bytes.get() == 0 {
        return;
    }
    let (archive, busy) = (archive.clone(), Arc::new(AtomicBool::new(false)));
    r.every(PERIOD, move || {
        if busy.swap(true, Ordering::AcqRel) {
            return;
        }
        let (archive, busy) = (archive.clone(), busy.clone());
        tokio::spawn(async move {
            if let Err(error) = archive.round().await {
                tracing::warn!(host = %archive.deps.host, %error, "old messages could not be removed; it is tried again");
            }
            busy.store(false, Ordering::Release);
        });
    });
}

impl Archive {
    /// Looks at every account once.
    pub(super) async fn round(&self) -> Result<(), StoreError> {
        let prefix = Key::new().str(self.deps.host.domain());
        let mut after: Option<Vec<u8>> = None;
        loop {
            let mut range = Range::prefix(prefix.clone());
            if let Some(after) = &after {
                range = range.after(after.as_slice());
            }
            let (last, accounts) = self
                .deps
                .store
                .reading(move |snapshot| some_accounts(snapshot, &range))
                .await?;
            for uid in accounts {
                self.expire(uid).await?;
            }
            match last {
                Some(last) => after = Some(last),
                None => return Ok(()),
            }
        }
    }

    async fn expire(&self, uid: Uid) -> Result<(), StoreError> {
        let store = &self.deps.store;
        let age = u64::try_from(self.config.age.0.as_millis()).unwrap_or(u64::MAX);
        if age > 0 {
            let eldest = self.deps.clock.wall().saturating_sub(age);
            log::remove(store, uid, Mid::first_of(eldest).before(), u64::MAX).await?;
        }
        let most = self.config.bytes.get();
        if most > 0 {
            let excess = log::measure(store, uid).await?.saturating_sub(most);
            log::remove(store, uid, Mid::MAX, excess).await?;
        }
        Ok(())
    }
}

/// Some accounts, and where to go on.
fn some_accounts(
    snapshot: &dyn Snapshot,
    range: &Range,
) -> Result<(Option<Vec<u8>>, Vec<Uid>), StoreError> {
    let rows = snapshot.scan(Space::ACCOUNT, range, Direction::Forward, ACCOUNTS)?;
    let last = rows.last().map(|(key, _)| key.clone());
    let mut accounts = Vec::with_capacity(rows.len());
    for (key, _) in rows {
        if let Some(record) = accounts::read(snapshot, &Key::from(key.as_slice()))? {
            accounts.push(Uid(record.uid));
        }
    }
    Ok((last, accounts))
}
