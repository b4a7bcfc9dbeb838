//! What the end of the process before this one left over is cleared up.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::Service;
use crate::hooks::{Envelope, Registrar};
use crate::proto::jid::Jid;
use crate::proto::ns;
use crate::proto::stanza::{IqType, Stanza};
use crate::runtime::random;
use crate::state::rooms::{self, Rid, guests};
use crate::store::{CommitError, StoreError};
use crate::xml::Element;

/// When, after the start.
const SOON: Duration = Duration::from_secs(20);

/// When people of other servers are told that they are not in a room any more.
const AT_ONCE: Duration = Duration::from_secs(1);

/// Rooms read at once.
const STEP: usize = 500;

#[derive(Debug, thiserror::Error)]
enum SweepError {
    #[error(transparent)]
    Read(#[from] StoreError),
    #[error(transparent)]
    Write(#[from] CommitError),
}

/// Has it done once.
pub(super) fn begin(service: &Arc<Service>, r: &mut Registrar<'_>) {
    let this = service.clone();
    once(r, AT_ONCE, move || {
        let service = this.clone();
        tokio::spawn(async move {
            match service.wake_left().await {
                // The server stops; the next one has it done.
                Ok(()) | Err(StoreError::Closed) => {}
                Err(error) => {
                    tracing::error!(service = %service.domain, %error, "who was in rooms cannot be read; run `waxwing check`");
                }
            }
        });
    });
    let this = service.clone();
    once(r, SOON, move || {
        let service = this.clone();
        tokio::spawn(async move {
            if let Err(error) = service.sweep().await {
                tracing::warn!(service = %service.domain, %error, "rooms that are no more were not cleared up; it is tried again at the next start");
            }
        });
    });
}

fn once(r: &mut Registrar<'_>, after: Duration, f: impl Fn() + Send + Sync + 'static) {
    let begun = AtomicBool::new(false);
    r.every(after, move || {
        if !begun.swap(true, Ordering::AcqRel) {
            f();
        }
    });
}

impl Service {
    /// Wakes rooms whose guests do not know that the process before this one is gone. Who is in a room has woken it.
    async fn wake_left(&self) -> Result<(), StoreError> {
        let mut after = None::<String>;
        loop {
            let (domain, from) = (self.domain.clone(), after.take());
            let next = self
                .store
                .reading(move |view| guests::room_after(view, domain.domain(), from.as_deref()));
            let Some(name) = next.await? else {
                return Ok(());
            };
            if !self.live.occupied.has(&name) {
                self.nudge(&name);
            }
            after = Some(name);
        }
    }

    async fn sweep(&self) -> Result<(), SweepError> {
        let domain = self.domain.clone();
        let left = self
            .store
            .reading(move |view| rooms::left_over(view, domain.domain()));
        for rid in left.await? {
            rooms::clear(&self.store, rid).await?;
        }
        self.look_at_all().await
    }

    /// Counts rooms by who made them. A temporary room that nobody is in ends when it wakes; one that
    /// people are in is seen again.
    async fn look_at_all(&self) -> Result<(), SweepError> {
        let counts = self.live.begin_count();
        let mut after = None::<String>;
        loop {
            let (domain, from) = (self.domain.clone(), after.take());
            let page = self
                .store
                .reading(move |view| rooms::list(view, domain.domain(), from.as_deref(), STEP))
                .await?;
            let through = page.len() < STEP;
            after = page.last().map(|(name, _)| name.clone());
            for (name, listing) in page {
                if counts && listing.rid < self.live.first_new {
                    self.live.made(&listing.creator);
                }
                if !listing.persistent && !self.live.occupied.has(&name) {
                    self.nudge(&name);
                }
            }
            if through {
                return Ok(());
            }
        }
    }

    /// Has a room look after itself.
    pub(super) fn nudge(&self, name: &str) {
        let Ok(room) = Jid::new(Some(name), self.domain.domain(), None) else {
            return;
        };
        let ping = Stanza::iq(IqType::Get)
            .with_from(self.domain.clone())
            .with_to(room)
            .with_id(random::id())
            .with_child(Element::new("ping", ns::PING));
        let envelope = Envelope::from_server(ping);
        envelope
            .into_iter()
            .for_each(|envelope| self.floor.route(Box::new(envelope)));
    }
}

impl Service {
    /// Removes what is left of a room.
    pub(super) fn clear(self: &Arc<Self>, rid: Rid) {
        let service = self.clone();
        tokio::spawn(async move {
            if let Err(error) = rooms::clear(&service.store, rid).await {
                tracing::warn!(service = %service.domain, %error, "what a room held was not removed; it is tried again at the next start");
            }
        });
    }
}
