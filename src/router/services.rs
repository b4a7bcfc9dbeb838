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

    fn is_bounded(&self, work: &ServiceWork) -> bool {
        matches!(work, ServiceWork::Stanza(_))
    }

    fn inbox_limit(&self) -> usize {
        self.router.limits().inbox
    }
}

impl ServiceKeeper {
    fn stanza(&self, slot: &Arc<Slot<Self>>, awake: &mut Awake, mut envelope: Box<Envelope>) {
        let mut ledger = std::mem::take(&mut envelope.ledger);
        let floor: Arc<dyn Floor> = self.router.clone();
        let mut written_down = false;
        let mut turn = ServiceTurn {
            domain: &slot.key().domain,
            key: &slot.key().key,
            ledger: &mut ledger,
            floor: &floor,
            written_down: &mut written_down,
        };
        awake.turns += 1;
        awake.owner.handle(&mut envelope, &mut turn);
        if written_down {
            awake.write_down(slot, &mut ledger);
        }
        envelope.ledger = ledger;
        self.router.finish(envelope);
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
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::hooks::service::Service;
    use crate::hooks::{Builder, Info, Module, ModuleError, Origin, Registrar};
    use crate::proto::stanza::{MessageType, Stanza};
    use crate::router::{Host, Hosts, Limits, commit};
    use crate::runtime::clock::Clock;
    use crate::session::seat::SeatLimits;
    use crate::store::testing::{Faulty, memory};
    use crate::store::{EngineError, Options, Store};

    crate::settings! {
        /// Nothing.
        struct Config {}
    }

    /// Each owner counts its messages.
    struct Counting;
    struct Count(u8);

    impl Service for Counting {
        fn key(&self, envelope: &Envelope) -> String {
            envelope.to.node().unwrap_or_default().to_owned()
        }
        fn wake(&self, _: &str, suspended: Option<&[u8]>) -> Box<dyn ServiceOwner> {
            let count = suspended.and_then(|state| state.first().copied());
            Box::new(Count(count.unwrap_or(0)))
        }
    }

    impl ServiceOwner for Count {
        fn handle(&mut self, envelope: &mut Envelope, turn: &mut ServiceTurn<'_>) {
            self.0 += 1;
            if envelope.stanza.id.as_deref() == Some("certain") {
                turn.write_down();
            }
        }
        fn suspend(&self) -> Option<Vec<u8>> {
            Some(vec![self.0])
        }
        fn idle(&self) -> bool {
            self.0 != 1
        }
    }

    impl Module for Counting {
        const INFO: Info = Info {
            name: "counting",
            specs: &[],
            doc: "Counts.",
            on_by_default: true,
        };
        type Config = Config;
        fn build(_: Config, _: &crate::hooks::Deps) -> Result<Self, ModuleError> {
            Ok(Counting)
        }
        fn register(self: Arc<Self>, r: &mut Registrar<'_>) {
            r.service(Jid::parse("count.x").unwrap(), "count", self.clone());
        }
    }

    fn router(store: &Store) -> Arc<Router> {
        let limits = Limits {
            seat: SeatLimits {
                queue_bytes: 1000,
                queue_stanzas: 10,
                window: 10,
                unacked_bytes: 1000,
                resume: 60,
                patience: 60,
                detached_bytes: 10_000,
            },
            detached: 10,
            detached_per_account: 10,
            sessions_per_account: 1,
            inbox: 100,
            undelivered: 10,
            undelivered_bytes: 1000,
            roster_items: 10,
            directed: 10,
            questions: 10,
            iq_timeout: Duration::from_secs(1),
            resend_window: Duration::from_secs(1),
        };
        let router = Router::new(store.clone(), Clock::system(), limits, Default::default());
        let domain = Jid::parse("x").unwrap();
        let mut builder = Builder::new(domain.clone());
        builder.add(Arc::new(Counting)).unwrap();
        let host = Host {
            domain,
            tables: Arc::new(builder.freeze()),
            guests: false,
            guests_reach: crate::config::Reach::Domain,
        };
        router.set_hosts(Hosts::from([("x".into(), Arc::new(host))]));
        tokio::spawn(commit::run(router.clone()));
        router
    }

    fn say(router: &Arc<Router>, id: &str) {
        let to = Jid::parse("a@count.x").unwrap();
        let stanza = Stanza::message(MessageType::Chat)
            .with_to(to.clone())
            .with_id(id);
        let envelope = Envelope::new(Arc::new(stanza), to, Origin::Server);
        router.route_on(Box::new(envelope));
    }

    async fn stored(store: &Store) -> Option<Vec<u8>> {
        store.commit(Batch::new()).await.unwrap();
        let read = |snapshot: &dyn crate::store::Snapshot| {
            snapshot.get(Space::SERVICE_OWNER, b"count.x\0a")
        };
        store.reading(read).await.unwrap()
    }

    /// Waits until something is so.
    async fn until(what: impl Fn() -> bool) {
        while !what() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    #[tokio::test]
    async fn an_idle_owner_is_written_down_before_it_is_forgotten() {
        let store = Store::open(Options::memory(), Clock::system()).unwrap();
        let router = router(&store);
        let services = router.services.get().unwrap();
        for _ in 0..3 {
            say(&router, "m");
        }
        let key = ServiceKey::new(&Jid::parse("count.x").unwrap(), "a".to_owned());
        let owner = services.awake(&key).unwrap();
        until(|| owner.look(|awake| awake.turns) == Some(3)).await;
        assert_eq!(stored(&store).await, None);
        (0..3).for_each(|_| router.sweep_once());
        assert_eq!(services.len(), 1, "it goes only when its state is on disk");
        until(|| owner.look(Awake::owes) == Some(false)).await;
        assert_eq!(stored(&store).await, Some(vec![3]));
        router.sweep_once();
        assert_eq!(services.len(), 0);

        say(&router, "m");
        let owner = services.awake(&key).unwrap();
        until(|| owner.look(|awake| awake.turns) == Some(1)).await;
        router.suspend_services(Duration::from_secs(5)).await;
        assert_eq!(stored(&store).await, Some(vec![4]));
    }

    #[tokio::test]
    async fn a_busy_owner_stays_and_a_turn_can_write_its_owner_down() {
        let store = Store::open(Options::memory(), Clock::system()).unwrap();
        let router = router(&store);
        say(&router, "certain");
        let services = router.services.get().unwrap();
        let key = ServiceKey::new(&Jid::parse("count.x").unwrap(), "a".to_owned());
        let owner = services.awake(&key).unwrap();
        until(|| owner.look(|awake| awake.written) == Some(1)).await;
        assert_eq!(stored(&store).await, Some(vec![1]));
        (0..5).for_each(|_| router.sweep_once());
        assert_eq!(services.len(), 1);
    }

    /// A turn that wrote its owner down and could not be committed never was.
    #[tokio::test]
    async fn a_failed_commit_takes_the_owner_back() {
        let engine = Arc::new(Faulty::new(memory()));
        let store = Store::with_engine(engine.clone(), Options::memory(), Clock::system()).unwrap();
        let router = router(&store);
        let services = router.services.get().unwrap();
        let key = ServiceKey::new(&Jid::parse("count.x").unwrap(), "a".to_owned());
        say(&router, "certain");
        let owner = services.awake(&key).unwrap();
        until(|| owner.look(|awake| awake.written) == Some(1)).await;
        engine.fail(1, EngineError::Refused("no".to_owned()));
        say(&router, "certain");
        // Read again: no turn since then, and the count of before.
        until(|| owner.look(|awake| awake.turns) == Some(0)).await;
        say(&router, "certain");
        until(|| owner.look(|awake| awake.written) == Some(1)).await;
        assert_eq!(stored(&store).await, Some(vec![2]));
    }
}
