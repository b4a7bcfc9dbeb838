//! Whose address is this: the pipeline of phases, the commit, delivery, and bounces.

mod ask;
mod backlog;
mod binding;
mod border;
mod bounce;
mod commit;
mod detached;
mod domains;
mod floor;
mod gate;
mod host;
mod inbound;
mod iq;
mod keeper;
mod message;
mod online;
mod pipeline;
mod presence;
mod resend;
mod restart;
mod services;
mod stats;
mod subscription;

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock, PoisonError, RwLock, Weak};
use std::time::Duration;

use arc_swap::ArcSwap;

use crate::config::Reach;
use crate::hooks::{Elsewhere, Envelope, Tables};
use crate::metrics::Registry;
use crate::proto::jid::Jid;
use crate::runtime::clock::Clock;
use crate::session::owners::Owners;
use crate::session::seat::{SeatLimits, Shared};
use crate::session::work::Work;
use crate::store::Store;

pub use commit::Completions;
pub use stats::Ground;

/// Bounds the router keeps.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Bounds of every session's queues.
    pub seat: SeatLimits,
    /// Sessions that may wait for their clients, all together.
    pub detached: usize,
    /// And of one account.
    pub detached_per_account: usize,
    /// Sessions an account may have bound.
    pub sessions_per_account: usize,
    /// Pieces of work in one owner's inbox.
    pub inbox: usize,
    /// The same, where a service of this server brings one more to an account.
    pub inbox_services: usize,
    /// Undelivered messages of an account.
    pub undelivered: u32,
    /// Their bytes.
    pub undelivered_bytes: u64,
    /// Items of a roster, requests included.
    pub roster_items: usize,
    /// Entities one session may have sent directed presence to.
    pub directed: usize,
    /// Questions the server has open.
    pub questions: usize,
    /// How long an iq answered later may take.
    pub iq_timeout: Duration,
    /// Memory of messages a client may send again after a broken stream.
    pub resend_window: Duration,
}

/// One domain served here.
pub struct Host {
    /// The domain.
    pub domain: Jid,
    /// Its hooks.
    pub tables: Arc<Tables>,
    /// Whether guests (SASL ANONYMOUS) live here, who have no accounts.
    pub guests: bool,
    /// Whom guests may reach.
    pub guests_reach: Reach,
}

/// The hosts by domain.
pub type Hosts = HashMap<Box<str>, Arc<Host>>;

/// The domains of this server that other processes serve, and the ways to them.
pub type Neighbours = HashMap<Box<str>, Arc<dyn Elsewhere>>;

/// When a job is due, how often, and the job.
type Due = (std::time::Instant, Duration, crate::hooks::kinds::Job);

/// The router of one server.
pub struct Router {
    hosts: ArcSwap<Hosts>,
    accounts: OnceLock<Owners<Router>>,
    services: OnceLock<Owners<services::ServiceKeeper>>,
    service_entries: ArcSwap<HashMap<Box<str>, crate::hooks::service::ServiceEntry>>,
    elsewhere: RwLock<Option<Arc<dyn Elsewhere>>>,
    gates: gate::Gates,
    border: border::Border,
    shared: Arc<crate::hooks::Shared>,
    neighbours: ArcSwap<Neighbours>,
    store: Store,
    clock: Clock,
    limits: ArcSwap<Limits>,
    stats: stats::Stats,
    seats: Arc<Shared>,
    questions: ask::Questions,
    completions: Arc<Completions>,
    detached: detached::Detached,
    stopping: AtomicBool,
    runtime: tokio::runtime::Handle,
    me: Weak<Router>,
}

impl Router {
    /// A router without hosts, counting into `metrics`; must be called within the runtime that will run it.
    pub fn new(store: Store, clock: Clock, limits: Limits, metrics: Registry) -> Arc<Self> {
        let router = Arc::new_cyclic(|me| Router {
            hosts: ArcSwap::default(),
            accounts: OnceLock::new(),
            services: OnceLock::new(),
            service_entries: ArcSwap::default(),
            elsewhere: RwLock::default(),
            gates: Default::default(),
            border: Default::default(),
            shared: Arc::default(),
            neighbours: ArcSwap::default(),
            clock: clock.clone(),
            limits: ArcSwap::from_pointee(limits),
            seats: Arc::new(Shared {
                limits: ArcSwap::from_pointee(limits.seat),
                stats: crate::session::stats::Stats::new(&metrics),
                short_of_memory: AtomicBool::new(false),
                detached_bytes: Default::default(),
                clock: clock.clone(),
                nudge: Default::default(),
                pressure: Default::default(),
                store: store.clone(),
            }),
            store,
            questions: ask::Questions::new(limits.questions),
            stats: stats::Stats::new(metrics),
            completions: Arc::default(),
            detached: Default::default(),
            stopping: AtomicBool::new(false),
            runtime: tokio::runtime::Handle::current(),
            me: me.clone(),
        });
        let _ = router.accounts.set(Owners::new(router.clone()));
        let keeper = Arc::new(services::ServiceKeeper::new(router.clone()));
        let _ = router.services.set(Owners::new(keeper));
        router.stats.watch(router.me.clone());
        router
    }

    /// The bounds now.
    fn limits(&self) -> Limits {
        **self.limits.load()
    }

    /// Other bounds from now on, for sessions that are there as well.
    pub fn set_limits(&self, limits: Limits) {
        self.seats.limits.store(Arc::new(limits.seat));
        self.limits.store(Arc::new(limits));
    }

    /// While memory is short, queues to clients are kept small: what does not fit waits in the store or goes back.
    pub fn set_short_of_memory(&self, short: bool) {
        self.seats.short_of_memory.store(short, Ordering::Relaxed);
    }

    /// Puts the hosts in place, at start and at reload; running sessions keep the tables they had.
    pub fn set_hosts(&self, hosts: Hosts) {
        let services = hosts
            .values()
            .flat_map(|host| host.tables.services())
            .map(|entry| (entry.domain.as_str().into(), entry.clone()))
            .collect();
        self.gates.set(&hosts);
        self.border.set(&hosts);
        self.service_entries.store(Arc::new(services));
        self.hosts.store(Arc::new(hosts));
    }

    /// The hosts there are now.
    pub fn hosts(&self) -> Arc<Hosts> {
        self.hosts.load_full()
    }

    /// Opens the way to other domains.
    pub fn set_elsewhere(&self, elsewhere: Arc<dyn Elsewhere>) {
        *self
            .elsewhere
            .write()
            .unwrap_or_else(PoisonError::into_inner) = Some(elsewhere);
    }

    /// Puts the ways to domains in place that other processes serve; they count as served here.
    pub fn set_neighbours(&self, neighbours: Neighbours) {
        self.neighbours.store(Arc::new(neighbours));
    }

    /// The way to a domain that another process serves.
    fn neighbour(&self, domain: &str) -> Option<Arc<dyn Elsewhere>> {
        self.neighbours.load().get(domain).cloned()
    }

    /// The way to other domains, if there is one.
    fn elsewhere(&self) -> Option<Arc<dyn Elsewhere>> {
        let elsewhere = self.elsewhere.read();
        elsewhere.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The host with this domain.
    pub fn host(&self, domain: &str) -> Option<Arc<Host>> {
        self.hosts.load().get(domain).cloned()
    }

    /// Runs what the router does beside the sockets, until dropped: completions in commit order,
    /// acknowledgement nudges, forgetting idle owners, jobs of modules.
    pub async fn run(self: Arc<Self>) {
        tokio::join!(
            commit::run(self.clone()),
            crate::session::nudge::run(self.seats.clone()),
            crate::session::pressure::run(self.seats.clone()),
            self.clone().sweep(),
            self.clone().end_late(),
            self.clone().tidy_sessions(),
            self.clone().jobs(),
        );
    }

    async fn sweep(self: Arc<Self>) {
        let mut ticks = tokio::time::interval(Duration::from_secs(15));
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            self.sweep_once();
        }
    }

    async fn end_late(self: Arc<Self>) {
        let mut ticks = tokio::time::interval(Duration::from_secs(1));
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            self.expire_detached();
        }
    }

    fn sweep_once(&self) {
        self.owners().sweep();
        if let Some(services) = self.services.get() {
            services.sweep();
        }
        self.questions.expire(self.clock.now());
    }

    /// Until the server begins to stop: a job would find a part of it gone and take that for a change.
    async fn jobs(self: Arc<Self>) {
        let mut of = self.hosts.load_full();
        let mut due = self.due(&of);
        let mut ticks = tokio::time::interval(Duration::from_secs(1));
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            if self.stopping.load(Ordering::Relaxed) {
                return;
            }
            if !Arc::ptr_eq(&of, &self.hosts.load()) {
                of = self.hosts.load_full();
                due = self.due(&of);
            }
            let now = self.clock.now();
            for (at, period, job) in &mut due {
                if *at <= now {
                    *at = now + *period;
                    job();
                }
            }
        }
    }

    /// When each job of these hosts is to be done first.
    fn due(&self, hosts: &Hosts) -> Vec<Due> {
        let jobs = hosts.values().flat_map(|host| host.tables.jobs());
        let now = self.clock.now();
        jobs.map(|(period, job)| (now + *period, *period, job.clone()))
            .collect()
    }

    /// Forgets all owners, so that nothing keeps the router alive.
    pub fn close(&self) {
        self.owners().clear();
        self.neighbours.store(Arc::default());
        *self
            .elsewhere
            .write()
            .unwrap_or_else(PoisonError::into_inner) = None;
        if let Some(services) = self.services.get() {
            services.clear();
        }
    }

    fn owners(&self) -> &Owners<Router> {
        match self.accounts.get() {
            Some(owners) => owners,
            None => unreachable!("set before the router is handed out"),
        }
    }

    /// Sends an envelope on to its owner: an account, a service, a host, or another domain.
    fn route_on(self: &Arc<Self>, envelope: Box<Envelope>) {
        let passes = self.let_pass(envelope);
        let Some(envelope) = passes.and_then(|envelope| self.from_remote(envelope)) else {
            return;
        };
        let domain = envelope.to.domain();
        if let Some(host) = self.host(domain) {
            match envelope.to.node() {
                Some(_) => {
                    let account = envelope.to.clone();
                    self.owners().post(&account, Work::Arriving(envelope));
                }
                None => self.to_host(&host, envelope),
            }
        } else if let Some(entry) = self.service_entries.load().get(domain).cloned() {
            self.to_service(entry, envelope);
        } else if let Some(way) = self.neighbour(domain) {
            self.leave_by(&*way, envelope);
        } else {
            self.to_elsewhere(envelope);
        }
    }
}
