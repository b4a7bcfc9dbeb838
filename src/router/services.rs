//! Services under their own addresses, with owners sharded by key and kept over a restart.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::Router;
use super::iq::verb;
use crate::hooks::service::{ServiceEntry, ServiceOwner, ServiceTurn};
use crate::hooks::{Effect, Envelope, Floor, Ledger};
use crate::proto::error::Condition;
use crate::proto::jid::Jid;
use crate::proto::stanza::Kind;
use crate::session::owners::{After, Keeper, OwnerKey, Refusal, Rest, Slot};
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
    /// The server stops.
    Stop,
    /// Write down what it keeps.
    Suspend,
    /// What it kept after so many turns is on disk.
    Written(u64),
    /// A commit failed: what was not written down for certain is read again.
    Doubt,
}

/// A service's owner in memory.
pub struct Awake {
    owner: Box<dyn ServiceOwner>,
    /// Whether the disk holds a state of it.
    stored: bool,
    /// Turns it had since it woke.
    turns: u64,
    /// Turns after which its state was handed to the committer, and those it is on disk for.
    handed_in: u64,
    written: u64,
    /// Whether it was told that the server stops.
    stopped: bool,
}

impl Awake {
    /// Whether it has something to write down.
    fn owes(&self) -> bool {
        self.written < self.turns
    }

    /// Puts its state into a batch; a note follows the commit.
    fn write_down(&mut self, slot: &Arc<Slot<ServiceKeeper>>, ledger: &mut Ledger) {
        let key = slot.key().full.as_bytes();
        self.handed_in = self.turns;
        match self.owner.suspend() {
            Some(state) => ledger.batch.put(Space::SERVICE_OWNER, key, state),
            None if self.stored => ledger.batch.delete(Space::SERVICE_OWNER, key),
            None => {}
        }
        self.stored = true;
        let (slot, turns) = (slot.clone(), self.turns);
        let note = move || slot.post(ServiceWork::Written(turns));
        ledger.effects.push(Effect::Free(Box::new(note)));
    }
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
    type State = Awake;
    type Work = ServiceWork;
    type Loaded = Awake;

    fn load(&self, slot: &Arc<Slot<Self>>) {
        let Some(entry) = self.entry(&slot.key().domain) else {
            return slot.loaded(Err(Refusal::Unknown));
        };
        let (slot, store) = (slot.clone(), self.router.store.clone());
        let again = slot.look(|_| ()).is_some();
        self.router.runtime.spawn(async move {
            if again {
                // What later turns handed in is on disk before it is read, or never will be.
                let _ = store.commit(Batch::new()).await;
            }
            let key = slot.key().clone();
            let loaded = store
                .reading(move |snapshot| {
                    let state = snapshot.get(Space::SERVICE_OWNER, key.full.as_bytes())?;
                    let owner = entry.service.load(&key.key, state.as_deref(), snapshot)?;
                    Ok((owner, state.is_some()))
                })
                .await;
            match loaded {
                Ok((owner, stored)) => {
                    slot.loaded(Ok(Awake {
                        owner,
                        stored,
                        turns: 0,
                        handed_in: 0,
                        written: 0,
                        stopped: false,
                    }));
                }
                Err(error) => {
                    tracing::error!(owner = %slot.key(), %error, "a service's state cannot be read; run `waxwing check`");
                    slot.loaded(Err(Refusal::Unreadable));
                }
            }
        });
    }

    fn install(&self, state: &mut Option<Self::State>, mut loaded: Self::Loaded) {
        if let Some(kept) = state.as_mut().and_then(|awake| awake.owner.hand_over()) {
            loaded.owner.take_over(kept);
        }
        *state = Some(loaded);
    }

    fn handle(&self, slot: &Arc<Slot<Self>>, awake: &mut Awake, work: ServiceWork) -> After {
        match work {
            ServiceWork::Stanza(envelope) => self.stanza(slot, awake, envelope),
            ServiceWork::Stop => {
                let mut ledger = Ledger::default();
                self.turn(slot, awake, &mut ledger, |owner, turn| owner.stop(turn));
                self.router.finish_act(ledger, &slot.key().domain);
                awake.stopped = true;
            }
            ServiceWork::Suspend => {
                let mut ledger = Ledger::default();
                awake.write_down(slot, &mut ledger);
                self.router.finish_act(ledger, &slot.key().domain);
            }
            ServiceWork::Written(turns) => awake.written = awake.written.max(turns),
            ServiceWork::Doubt if awake.owner.writes() || awake.written < awake.handed_in => {
                return After::Reload;
            }
            ServiceWork::Doubt => {}
        }
        After::Continue
    }

    fn refuse(&self, _: &ServiceKey, work: ServiceWork, why: Refusal) {
        if let ServiceWork::Stanza(envelope) = work {
            if why == Refusal::Full {
                self.router.stats.reached.inbox.count();
            }
            let condition = match why {
                Refusal::Unknown => Condition::ServiceUnavailable,
                Refusal::Unreadable => Condition::InternalServerError,
                Refusal::Full => Condition::ResourceConstraint,
            };
            self.router.bounce(&envelope, &condition.into());
        }
    }

    fn rest(&self, awake: &Awake) -> Rest<ServiceWork> {
        match awake.owner.idle() {
            false => Rest::Stay,
            true if awake.owes() => Rest::First(ServiceWork::Suspend),
            true => Rest::Leave,
        }
    }

    fn bound(&self, work: &ServiceWork) -> Option<usize> {
        matches!(work, ServiceWork::Stanza(_)).then(|| self.router.limits().inbox)
    }
}

impl ServiceKeeper {
    fn stanza(&self, slot: &Arc<Slot<Self>>, awake: &mut Awake, mut envelope: Box<Envelope>) {
        let mut ledger = std::mem::take(&mut envelope.ledger);
        self.turn(slot, awake, &mut ledger, |owner, turn| {
            owner.handle(&mut envelope, turn);
        });
        envelope.ledger = ledger;
        self.router.finish(envelope);
    }

    fn turn(
        &self,
        slot: &Arc<Slot<Self>>,
        awake: &mut Awake,
        ledger: &mut Ledger,
        f: impl FnOnce(&mut dyn ServiceOwner, &mut ServiceTurn<'_>),
    ) {
        let floor: Arc<dyn Floor> = self.router.clone();
        let mut written_down = false;
        let mut turn = ServiceTurn {
            domain: &slot.key().domain,
            key: &slot.key().key,
            ledger,
            floor: &floor,
            written_down: &mut written_down,
        };
        awake.turns += 1;
        f(awake.owner.as_mut(), &mut turn);
        if written_down {
            awake.write_down(slot, ledger);
        }
    }
}

impl Router {
    pub(super) fn to_service(self: &Arc<Self>, entry: ServiceEntry, envelope: Box<Envelope>) {
        let answer = matches!(envelope.stanza.kind, Kind::Iq(_)) && verb(&envelope).is_none();
        if answer && self.questions.answered(&envelope.stanza) {
            return self.finish(envelope);
        }
        let key = ServiceKey::new(&entry.domain, entry.service.key(&envelope));
        if let Some(services) = self.services.get() {
            services.post(&key, ServiceWork::Stanza(envelope));
        }
    }

    /// The state of the service's owner that a stanza was for may differ from the disk.
    pub(super) fn doubt_service(&self, envelope: &Envelope) {
        let entries = self.service_entries.load();
        let Some(entry) = entries.get(envelope.to.domain()) else {
            return;
        };
        let key = ServiceKey::new(&entry.domain, entry.service.key(envelope));
        if let Some(slot) = self.services.get().and_then(|all| all.awake(&key)) {
            slot.post(ServiceWork::Doubt);
        }
    }

    /// Tells every service owner in memory that the server stops, and waits until each has said what it
    /// has to say, at most `patience`.
    pub async fn stop_services(&self, patience: Duration) {
        let Some(services) = self.services.get() else {
            return;
        };
        let awake = || {
            let keys = services.keys();
            let slots: Vec<_> = keys.iter().filter_map(|key| services.awake(key)).collect();
            slots
        };
        awake().iter().for_each(|slot| slot.post(ServiceWork::Stop));
        let start = std::time::Instant::now();
        let told = |slot: &Arc<Slot<_>>| slot.look(|awake: &Awake| awake.stopped) != Some(false);
        while start.elapsed() < patience && !awake().iter().all(told) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Has every service owner in memory write down what it keeps, and waits until it is on disk,
    /// at most `patience`.
    pub async fn suspend_services(&self, patience: Duration) {
        let Some(services) = self.services.get() else {
            return;
        };
        let start = std::time::Instant::now();
        loop {
            let mut owing = 0_usize;
            let keys = services.keys();
            for slot in keys.iter().filter_map(|key| services.awake(key)) {
                let told = |awake: &Awake| awake.handed_in == awake.turns;
                match slot.look(|awake| awake.owes().then(|| told(awake))) {
                    None | Some(None) => continue,
                    Some(Some(true)) => {}
                    Some(Some(false)) => slot.post(ServiceWork::Suspend),
                }
                owing += 1;
            }
            if owing == 0 {
                return;
            }
            if start.elapsed() >= patience {
                tracing::warn!(owing, "services could not write down what they keep");
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

#[cfg(test)]
mod tests;
