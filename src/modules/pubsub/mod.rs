//! XEP-0060: Publish-Subscribe (1.30), at a domain of its own

mod deliver;
mod owner;
mod pending;
mod questions;

use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::{OnceCell, Semaphore};

use crate::config::{Bytes, Period};
use crate::hooks::command::Rights;
use crate::hooks::service::{Service, ServiceOwner};
use crate::hooks::{AccountActs, Deps, Envelope, Floor, Info, Module, ModuleError, Registrar};
use crate::proto::jid::Jid;
use crate::state::admins::Admins;
use crate::state::nodes::{self, Actor, Config as NodeConfig, Desk, House, Kind, Limits, Related};
use crate::store::{CommitError, Store};
use crate::{choice, settings};

settings! {
    /// Nodes at a domain of their own, to which people publish and subscribe: news, feeds, communities.
    pub struct Config {
        /// The domain; if none is given, "pubsub." before the host's. Other servers find it by DNS, and want
        /// a certificate that names it.
        pub domain: String = String::new() => example("\"pubsub.example.org\"");
        /// Who may make nodes: "local" accounts of the host, "admins", or "anyone".
        pub create: Creators = Creators::Local;
        /// Whether publishing to a node that is not there makes it.
        pub auto_create: bool = false;
        /// Nodes that one account may make.
        pub nodes: u32 = 100 => within(1..=1_000_000);
        /// Items that a node keeps at most.
        pub items: u32 = 100_000 => within(1..=10_000_000);
        /// One item.
        pub item_bytes: Bytes = Bytes::kib(64) => within(Bytes::kib(1)..=Bytes::mib(1));
        /// All items of all nodes.
        pub bytes: Bytes = Bytes::mib(1024) => within(Bytes::kib(64)..=Bytes::mib(1 << 20));
        /// Subscriptions of a node.
        pub subscriptions: u32 = 20_000 => within(1..=1_000_000);
        /// Nodes that one entity may be subscribed to.
        pub subscriptions_each: u32 = 500 => within(1..=100_000);
        /// Affiliations of a node.
        pub affiliations: u32 = 500 => within(1..=10_000);
        /// Items, or nodes, in one answer.
        pub page: u32 = 100 => within(1..=1_000);
        /// Longest lease of a subscription that has an end.
        pub lease: Period = Period::days(365) => within(Period::days(1)..=Period::days(3650));
        /// Days on which events came back from a subscriber, after which its subscriptions end; they end at once if it is gone.
        pub bounces: u32 = 7 => within(1..=365);
        /// Requests that may wait at one node.
        pub waiting: u32 = 256 => within(1..=10_000);
        /// Questions to archives of nodes that are answered at the same time.
        pub queries: u32 = 64 => within(1..=10_000);
        /// Bounds of nodes that are about others.
        pub related: Related = Related::default();
    }
}

choice! {
    /// Who may make nodes.
    pub enum Creators {
        /// Accounts of the host.
        Local = "local",
        /// Administrators of the host.
        Admins = "admins",
        /// Anyone.
        Anyone = "anyone",
    }
}

/// How often what deleted nodes left is looked for.
const ERASE: Duration = Duration::from_secs(60);

/// Serves nodes.
pub struct PubSub {
    shared: Arc<Shared>,
}

/// What all owners of the service use.
struct Shared {
    host: Jid,
    domain: Jid,
    create: Creators,
    auto_create: bool,
    limits: Limits,
    waiting: u32,
    queries: Semaphore,
    store: Store,
    desk: Desk,
    admins: Admins,
    accounts: Arc<dyn AccountActs>,
    floor: Arc<dyn Floor>,
    runtime: Handle,
    house: OnceCell<Arc<House>>,
}

impl Module for PubSub {
    const INFO: Info = Info {
        name: "pubsub",
        specs: &[
            ("XEP-0060", "1.30"),
            ("XEP-0442", "0.2.0"),
            ("XEP-0462", "0.1.1"),
            ("XEP-0470", "0.2.0"),
            ("XEP-0472", "0.2.1"),
            ("XEP-0496", "0.1.0"),
            ("XEP-0497", "0.1.0"),
            ("XEP-0499", "0.1.0"),
            ("XEP-0503", "0.3.0"),
        ],
        doc: "A service of nodes to publish to and subscribe to, at a domain of its own.",
        on_by_default: false,
    };
    type Config = Config;

    fn build(config: Config, deps: &Deps) -> Result<Self, ModuleError> {
        let wrong = |reason: String| ModuleError {
            module: Self::INFO.name,
            reason,
        };
        let domain = deps.service_domain(Self::INFO.name, ("domain", &config.domain), "pubsub")?;
        let runtime = Handle::try_current().map_err(|error| wrong(error.to_string()))?;
        let admins = Admins::new(deps.administration.clone(), deps.store.clone());
        let shared = Shared {
            host: deps.host.clone(),
            domain,
            create: config.create,
            auto_create: config.auto_create,
            limits: limits(&config),
            waiting: config.waiting,
            queries: Semaphore::new(config.queries as usize),
            store: deps.store.clone(),
            desk: Desk::new(deps.store.clone(), deps.clock.clone()),
            admins,
            accounts: deps.accounts.clone(),
            floor: deps.floor.clone(),
            runtime,
            house: OnceCell::new(),
        };
        Ok(PubSub {
            shared: Arc::new(shared),
        })
    }

    fn register(self: Arc<Self>, r: &mut Registrar<'_>) {
        let domain = self.shared.domain.clone();
        r.service(domain, "pubsub", self.clone());
        r.every(ERASE, move || {
            let desk = self.shared.desk.clone();
            self.shared.runtime.spawn(async move { desk.erase().await });
        });
    }
}

impl Service for PubSub {
    fn key(&self, envelope: &Envelope) -> String {
        let named = questions::node_of(&envelope.stanza);
        // No node has a longer name.
        let named = named.filter(|name| name.len() <= nodes::NAME);
        nodes::line_of(named.unwrap_or_default())
    }

    fn wake(&self, _: &str, _: Option<&[u8]>) -> Box<dyn ServiceOwner> {
        Box::new(owner::Owner::new(self.shared.clone()))
    }
}

fn limits(config: &Config) -> Limits {
    Limits {
        nodes: config.nodes.into(),
        items: config.items.into(),
        payload: config.item_bytes.0,
        bytes: config.bytes.0,
        subscriptions: config.subscriptions.into(),
        subscriptions_each: config.subscriptions_each as usize,
        affiliations: config.affiliations as usize,
        page: config.page as usize,
        lease: u64::try_from(config.lease.0.as_millis()).unwrap_or(u64::MAX),
        bounces: config.bounces,
        related: config.related.clone(),
    }
}

impl Shared {
    async fn house(&self) -> Result<Arc<House>, CommitError> {
        let house = self.house.get_or_try_init(|| async {
            let owner = nodes::number_of(&self.store, &self.domain).await?;
            Ok::<_, CommitError>(Arc::new(House {
                owner,
                address: self.domain.clone(),
                kind: Kind::Service,
                defaults: NodeConfig::service(),
                limits: self.limits.clone(),
                auto_create: self.auto_create,
                archives: true,
            }))
        });
        house.await.cloned()
    }

    /// Who asks, and what he may do here.
    async fn actor(&self, jid: &Jid) -> Arc<Actor> {
        let own = jid.domain() == self.host.domain();
        let guest = own && !self.accounts.has_accounts(self.host.domain());
        let may_create = match self.create {
            Creators::Anyone => true,
            Creators::Local => own && !guest,
            Creators::Admins => {
                let caller = self.admins.caller(&jid.bare(), &self.host).await;
                caller.is_ok_and(|caller| caller.rights != Rights::None)
            }
        };
        Arc::new(Actor {
            jid: jid.clone(),
            may_create,
            guest,
        })
    }
}
