//! Services under their own addresses, with owners sharded by key and kept over a restart.

use std::fmt;
use std::sync::Arc;

use super::Router;
use crate::hooks::service::{ServiceEntry, ServiceOwner, ServiceTurn};
use crate::hooks::{Envelope, Floor, Ledger};
use crate::proto::error::Condition;
use crate::proto::jid::Jid;
use crate::session::owners::{After, Keeper, OwnerKey, Refusal, Slot};
use crate::store::{Batch, Space};

/// Names one owner of one service.
#[derive(Clone)]
pub struct ServiceKey {
    domain: Jid,
    key: String,
    /// Domain and key, parted by a zero byte.
    full: Arc<str>,
}

impl ServiceKey {
    fn new(domain: &Jid, key: String) -> Self {
        let full = format!("{domain}\0{key}").into();
        ServiceKey {
            domain: domain.clone(),
            key,
            full,
        }
    }
}

impl fmt::Display for ServiceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {}", self.key, self.domain)
    }
}

impl OwnerKey for ServiceKey {
    fn as_key(&self) -> &str {
        &self.full
    }
}

/// What a service's owner is given to do.
pub enum ServiceWork {
    /// A stanza for it.
    Stanza(Box<Envelope>),
    /// Write down what it keeps.
    Suspend,
}

/// Keeps the owners of all services.
pub struct ServiceKeeper {
    router: Arc<Router>,
}

impl ServiceKeeper {
    pub(super) fn new(router: Arc<Router>) -> Self {
        ServiceKeeper { router }
    }

    fn entry(&self, domain: &Jid) -> Option<ServiceEntry> {
        let entries = self.router.service_entries.load();
        entries.get(domain.as_str()).cloned()
    }
}

impl Keeper for ServiceKeeper {
    type Key = ServiceKey;
    type State = Box<dyn ServiceOwner>;
    type Work = ServiceWork;
    type Loaded = Box<dyn ServiceOwner>;

    fn load(&self, slot: &Arc<Slot<Self>>) {
        let Some(entry) = self.entry(&slot.key().domain) else {
            return slot.loaded(Err(Refusal::Unknown));
        };
        let (slot, store) = (slot.clone(), self.router.store.clone());
        self.router.runtime.spawn(async move {
            let key = slot.key().full.clone();
            let suspended = store
                .reading(move |snapshot| snapshot.get(Space::SERVICE_OWNER, key.as_bytes()))
                .await;
            match suspended {
                Ok(state) => {
                    let owner = entry.service.wake(&slot.key().key, state.as_deref());
                    slot.loaded(Ok(owner));
                }
                Err(error) => {
                    tracing::error!(owner = %slot.key(), %error, "a service's state cannot be read; run `waxwing check`");
                    slot.loaded(Err(Refusal::Unreadable));
                }
            }
        });
    }

    fn install(&self, state: &mut Option<Self::State>, loaded: Self::Loaded) {
        *state = Some(loaded);
    }

    fn handle(
        &self,
        slot: &Arc<Slot<Self>>,
        owner: &mut Box<dyn ServiceOwner>,
        work: ServiceWork,
    ) -> After {
        match work {
            ServiceWork::Stanza(mut envelope) => {
                let mut ledger = std::mem::take(&mut envelope.ledger);
                let receipt = envelope.receipt.take();
                let floor: Arc<dyn Floor> = self.router.clone();
                let mut turn = ServiceTurn {
                    key: &slot.key().key,
                    ledger: &mut ledger,
                    floor: &floor,
                };
                owner.handle(envelope, &mut turn);
                self.router.finish_act(ledger, &slot.key().domain);
                drop(receipt);
            }
            ServiceWork::Suspend => {
                let mut ledger = Ledger::default();
                write_down(&mut ledger.batch, slot.key(), owner.suspend());
                self.router.finish_act(ledger, &slot.key().domain);
            }
        }
        After::Continue
    }

    fn refuse(&self, _: &ServiceKey, work: ServiceWork, why: Refusal) {
        if let ServiceWork::Stanza(envelope) = work {
            let condition = match why {
                Refusal::Unknown => Condition::ServiceUnavailable,
                Refusal::Unreadable => Condition::InternalServerError,
                Refusal::Full => Condition::ResourceConstraint,
            };
            self.router.bounce(&envelope, &condition.into());
        }
    }

    fn idle(&self, owner: &Box<dyn ServiceOwner>) -> bool {
        owner.idle()
    }

    fn is_bounded(&self, work: &ServiceWork) -> bool {
        matches!(work, ServiceWork::Stanza(_))
    }

    fn inbox_limit(&self) -> usize {
        self.router.limits.inbox
    }
}

fn write_down(batch: &mut Batch, key: &ServiceKey, state: Option<Vec<u8>>) {
    match state {
        Some(state) => batch.put(Space::SERVICE_OWNER, key.full.as_bytes(), state),
        None => batch.delete(Space::SERVICE_OWNER, key.full.as_bytes()),
    }
}

impl Router {
    pub(super) fn to_service(self: &Arc<Self>, entry: ServiceEntry, envelope: Box<Envelope>) {
        let key = ServiceKey::new(&entry.domain, entry.service.key(&envelope));
        if let Some(services) = self.services.get() {
            services.post(&key, ServiceWork::Stanza(envelope));
        }
    }

    /// Has every service owner in memory write down what it keeps, before a stop.
    pub(super) fn suspend_services(&self) {
        if let Some(services) = self.services.get() {
            for key in services.keys() {
                services.post(&key, ServiceWork::Suspend);
            }
        }
    }
}
