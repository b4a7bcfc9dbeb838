//! Retention: what is too old, or too much, leaves the archives of rooms, the oldest first (XEP-0313 §3.2).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::Service;
use crate::hooks::Registrar;
use crate::state::rooms::{self, archive};
use crate::store::{Mid, StoreError};

/// Between two rounds.
const PERIOD: Duration = Duration::from_secs(900);

/// Rooms read at once.
const STEP: usize = 200;

/// How much of what was said is kept.
#[derive(Clone, Copy, Debug)]
pub struct Retention {
    /// How long; zero: for ever.
    pub age: Duration,
    /// Bytes of one room; zero: no bound.
    pub bytes: u64,
}

/// Has every room looked at in rounds, if anything bounds its archive.
pub(super) fn begin(service: &Arc<Service>, r: &mut Registrar<'_>) {
    let bound = service.retention;
    if bound.age.is_zero() && bound.bytes == 0 {
        return;
    }
    let (service, busy) = (service.clone(), Arc::new(AtomicBool::new(false)));
    r.every(PERIOD, move || {
        if busy.swap(true, Ordering::AcqRel) {
            return;
        }
        let (service, busy) = (service.clone(), busy.clone());
        tokio::spawn(async move {
            if let Err(error) = service.expire().await {
                tracing::warn!(service = %service.domain, %error, "old messages of rooms could not be removed; it is tried again");
            }
            busy.store(false, Ordering::Release);
        });
    });
}

impl Service {
    /// Looks at every room once.
    async fn expire(&self) -> Result<(), StoreError> {
        let Retention { age, bytes } = self.retention;
        let age = u64::try_from(age.as_millis()).unwrap_or(u64::MAX);
        let before = match age {
            0 => Mid::MIN,
            age => Mid::first_of(self.floor.clock().wall().saturating_sub(age)),
        };
        let most = if bytes == 0 { u64::MAX } else { bytes };
        let mut after = None::<String>;
        loop {
            let (domain, from) = (self.domain.clone(), after.take());
            let page = self
                .store
                .reading(move |view| rooms::list(view, domain.domain(), from.as_deref(), STEP))
                .await?;
            let through = page.len() < STEP;
            after = page.last().map(|(name, _)| name.clone());
            for (_, listing) in page {
                archive::expire(&self.store, listing.rid, before, most).await?;
            }
            if through {
                return Ok(());
            }
        }
    }
}
