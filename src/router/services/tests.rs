//! Owners of services are kept over a sleep, a stop, and a disk that fails.
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
            room_bytes: 1000,
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
        inbox_services: 100,
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
    let read =
        |snapshot: &dyn crate::store::Snapshot| snapshot.get(Space::SERVICE_OWNER, b"count.x\0a");
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
