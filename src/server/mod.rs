//! The composition root: builds every room in its order, serves, drains, stops.

mod acts;
mod backups;
mod check;
mod desk;
mod ending;
mod federation;
mod hand;
mod live;
mod local;
mod memory;
mod metrics;
mod program;
mod relay;
mod relay_check;
mod reload;
mod run;
mod settings;
mod status;
mod supervisor;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::task::JoinHandle;

use crate::admin::socket::ControlSocket;
use crate::admin::{Acts, End};
use crate::components::{Components, Programs};
use crate::config::{Administration, Config, ListenKind, Loaded};
use crate::federation::House;
use crate::hooks::{Builder, Listed, Tables};
use crate::http::{Client, Front, serve_metrics};
use crate::metrics::Registry;
use crate::modules;
use crate::net::tls::TlsStore;
use crate::net::{Admission, Inherited, NetStats, Surroundings, bind_or_take};
use crate::proto::jid::Jid;
use crate::router::{self, Router};
use crate::runtime::clock::Clock;
use crate::socks::Socks;
use crate::state::accounts::Accounts;
use crate::state::guesses::Guesses;
use crate::state::secret::server_secret;
use crate::store::Store;
use crate::stream::{self, Secret, Settings};

use acts::ServerActs;
use desk::ServerDesk;
use live::{Live, State};
use memory::Memory;
pub use program::Waxwing;
use relay::RelayHand;

/// How often certificates are looked at.
const RENEWALS: Duration = Duration::from_secs(60);

/// Why a server did not start, in words for the administrator.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct StartError(String);

/// A running server.
pub struct Server {
    live: Arc<Live>,
    acts: Arc<dyn Acts>,
    tasks: Vec<JoinHandle<()>>,
}

impl Server {
    /// Starts a server. Clients can connect when this returns.
    ///
    /// # Errors
    /// In words: what is wrong and what to do.
    pub async fn start(config: &Config) -> Result<Server, StartError> {
        Server::start_with(config, &[]).await
    }

    /// Starts a server with modules from outside the list.
    ///
    /// # Errors
    /// As [`Server::start`].
    pub async fn start_with(config: &Config, extra: &[Listed]) -> Result<Server, StartError> {
        let store = open_store(config).await?;
        Server::start_on(store, config, extra).await
    }

    /// Starts a server from files, so that it can be reloaded, with the sockets that the service manager opened for it.
    ///
    /// # Errors
    /// As [`Server::start`].
    pub async fn start_loaded(
        loaded: &Loaded,
        extra: &[Listed],
        inherited: Inherited,
    ) -> Result<Server, StartError> {
        let config = &loaded.config;
        let store = open_store(config).await?;
        let server = Server::build(store, config, extra, inherited).await?;
        server.live.state().started = Some(loaded.clone());
        server.live.state().loaded = Some(loaded.clone());
        Ok(server)
    }

    /// Starts a server on a store that is open already, wherever that keeps its data.
    ///
    /// # Errors
    /// As [`Server::start`].
    pub async fn start_on(
        store: Store,
        config: &Config,
        extra: &[Listed],
    ) -> Result<Server, StartError> {
        Server::build(store, config, extra, Inherited::default()).await
    }

    async fn build(
        store: Store,
        config: &Config,
        extra: &[Listed],
        inherited: Inherited,
    ) -> Result<Server, StartError> {
        let words = |error: &dyn std::fmt::Display| StartError(error.to_string());
        settings::make_private(&config.server.data_dir).map_err(StartError)?;
        let clock = Clock::system();
        let metrics = Registry::default();
        let certificates = settings::certificates(config).map_err(StartError)?;
        let tls = TlsStore::open(settings::tls(config, certificates)).map_err(|e| words(&e))?;
        let tls = Arc::new(tls);
        let secret = server_secret(&store).await.map_err(|e| words(&e))?;
        let accounts = accounts(config, &store, &clock, secret.clone());
        accounts.prepare().await.map_err(|e| words(&e))?;
        let router = Router::new(
            store.clone(),
            clock.clone(),
            settings::router(config),
            metrics.clone(),
        );
        let accounts = accounts.on(router.clone());
        let administration = Arc::new(Administration::of(config));
        let acts = Arc::new(ServerActs::new(
            config,
            store.clone(),
            accounts.clone(),
            Some(router.clone()),
        ));
        let local = local::secret(&config.server.data_dir).map_err(StartError)?;
        let relay = Arc::new(RelayHand::new(&local, store.clone()));
        let socks = Socks::new(settings::socks(config, false), &metrics);
        let offered = Offered {
            acts: &acts,
            administration: &administration,
            local: &local,
            relay: &relay,
            socks: &socks,
        };
        let hosts = hosts(config, &router, offered, extra)?;
        socks.set(settings::socks(config, meet(&hosts)));
        let stream_settings = Arc::new(Settings {
            hosts: Arc::new(stream_hosts(config, &hosts)?),
            limits: settings::stream(config),
            key: secret.clone(),
        });
        let front = Front::new(settings::front(config, &hosts), &metrics);
        router.set_hosts(hosts);
        let taken_over = router.restore_sessions().await.map_err(|e| words(&e))?;
        if taken_over > 0 {
            tracing::info!(sessions = taken_over, "taken over from before the restart");
        }
        let desk = ServerDesk::new(
            router.clone(),
            accounts.clone(),
            Guesses::new(&config.auth),
            clock.clone(),
            guests(config),
        );
        let stats = Arc::new(NetStats::default());
        metrics::attach(&metrics, stats.clone(), store.clone(), tls.clone(), &clock);
        let admission = Admission::new(settings::connections(config), stats.clone());
        let memory = Memory::new(settings::memory(config), &metrics);
        let around = Surroundings {
            desk: Arc::new(desk.clone()),
            tls: tls.clone(),
            admission: admission.clone(),
            stats,
        };
        let tasks = vec![
            tokio::spawn(router.clone().run()),
            tokio::spawn(renewals(tls.clone())),
            tokio::spawn(memory::watch(
                memory.clone(),
                admission.clone(),
                router.clone(),
            )),
            tokio::spawn(removals(accounts.clone())),
        ];
        let programs = Programs::new(&config.components);
        let components = Components::open(router.clone(), programs);
        let components = components.await.map_err(|e| words(&e))?;
        let live = Arc::new(Live {
            extra: extra.to_vec(),
            started: clock.wall(),
            clock,
            store,
            router,
            accounts,
            acts: acts.clone(),
            desk,
            tls,
            admission,
            around,
            front: Arc::new(front),
            socks,
            memory,
            metrics,
            key: secret,
            local,
            relay,
            inherited,
            components,
            state: Mutex::new(State {
                patience: config.server.drain_timeout.0,
                ..State::default()
            }),
            ends: Default::default(),
            stopping: Default::default(),
        });
        acts.operate(&live);
        let mut server = Server { live, acts, tasks };
        let components = server.live.components.clone();
        server.tasks.push(tokio::spawn(components.run()));
        let backups = backups::Backups::new(config, &server.live.store);
        let backups = backups.map(|backups| tokio::spawn(backups.run()));
        server.tasks.extend(backups);
        server.control(config)?;
        server.expose(config)?;
        server.relay_calls(config)?;
        server.listen(config, &stream_settings)?;
        server.federate(config, stream_settings).await?;
        Ok(server)
    }

    fn listen(&self, config: &Config, settings: &Arc<Settings>) -> Result<(), StartError> {
        for listen in &config.listen {
            let sockets = bind_or_take(&[listen.address], &self.live.inherited)
                .map_err(|error| StartError(error.to_string()))?;
            let listeners = self.live.begin(config, listen, sockets, settings);
            let listeners = (listen.clone(), listeners);
            self.live.state().listeners.push(listeners);
        }
        for address in self.live.inherited.addresses() {
            tracing::warn!(%address, "the service manager handed down a socket that no [[listen]] names; it is not served");
        }
        Ok(())
    }

    fn relay_calls(&self, config: &Config) -> Result<(), StartError> {
        let ground = relay::Ground {
            clock: &self.live.clock,
            metrics: &self.live.metrics,
            tls: &self.live.tls,
        };
        self.live.relay.start(config, &ground)
    }

    async fn federate(
        &mut self,
        config: &Config,
        settings: Arc<Settings>,
    ) -> Result<(), StartError> {
        if !config.federation.enabled {
            return Ok(());
        }
        let ground = federation::Ground {
            router: self.live.router.clone(),
            settings,
            tls: self.live.tls.clone(),
            secret: self.live.key.clone(),
        };
        let house = federation::start(config, ground).await?;
        self.tasks.push(tokio::spawn(house.clone().run()));
        self.live.state().federation = Some(house);
        Ok(())
    }

    fn control(&mut self, config: &Config) -> Result<(), StartError> {
        let path = config.in_data_dir(&config.control.socket);
        let socket = ControlSocket::bind(&path).map_err(|error| {
            StartError(format!(
                "cannot bind the control socket {}: {error}",
                path.display()
            ))
        })?;
        self.tasks
            .push(tokio::spawn(socket.serve(self.acts.clone())));
        Ok(())
    }

    fn expose(&self, config: &Config) -> Result<(), StartError> {
        if let Some(address) = config.metrics.listen {
            let exposition =
                serve_metrics(address, self.live.metrics.clone(), self.live.readiness())
                    .map_err(|error| StartError(format!("metrics.listen: {error}")))?;
            self.live.state().exposition = Some((address, exposition));
        }
        Ok(())
    }

    /// Everything that is counted.
    pub fn metrics(&self) -> &Registry {
        &self.live.metrics
    }

    /// Where metrics are read, if anywhere.
    pub fn metrics_address(&self) -> Option<SocketAddr> {
        let state = self.live.state();
        state
            .exposition
            .as_ref()
            .map(|(_, exposition)| exposition.address())
    }

    /// Where clients connect.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.listening(ListenKind::Client)
    }

    /// Where web clients alone connect.
    pub fn http_addresses(&self) -> Vec<SocketAddr> {
        self.listening(ListenKind::Http)
    }

    /// Where components connect.
    pub fn component_addresses(&self) -> Vec<SocketAddr> {
        self.listening(ListenKind::Component)
    }

    /// Where the relay for calls hears its clients by UDP.
    pub fn relay_addresses(&self) -> Vec<SocketAddr> {
        self.live.relay.addresses()
    }

    fn listening(&self, kind: ListenKind) -> Vec<SocketAddr> {
        let state = self.live.state();
        let listeners = state.listeners.iter();
        listeners
            .filter(|(listen, _)| listen.kind == kind)
            .flat_map(|(_, listeners)| listeners.addresses().iter().copied())
            .collect()
    }

    /// Talking to other servers, if it is on.
    pub fn federation(&self) -> Option<Arc<House>> {
        self.live.state().federation.clone()
    }

    /// What administration can do.
    pub fn acts(&self) -> &Arc<dyn Acts> {
        &self.acts
    }

    /// Waits until an administrator's order to end the server is due; what comes after it.
    pub async fn ordered_to_end(&self) -> End {
        self.live.ends.come().await
    }

    /// The certificates in use.
    pub fn tls(&self) -> &Arc<TlsStore> {
        &self.live.tls
    }

    /// Ends all streams with `system-shutdown`, writes everything, and closes the store.
    pub async fn stop(self) {
        let live = &self.live;
        live.stopping.store(true, Ordering::Relaxed);
        let (listeners, patience) = {
            let mut state = live.state();
            (std::mem::take(&mut state.listeners), state.patience)
        };
        live.router.end_jobs();
        live.relay.stop().await;
        live.router.drain();
        live.router.drained(patience).await;
        for (_, listeners) in listeners {
            let left = listeners.stop(patience).await;
            if left > 0 {
                tracing::warn!(left, "connections did not end in time and were cut");
            }
        }
        live.router.stop_services(patience).await;
        let house = live.state().federation.take();
        if let Some(house) = house {
            house.stop(patience).await;
        }
        live.components.stop();
        live.router.suspend_sessions(patience).await;
        live.router.suspend_services(patience).await;
        live.store.close().await;
        for task in &self.tasks {
            task.abort();
        }
        live.router.close();
    }
}

async fn open_store(config: &Config) -> Result<Store, StartError> {
    settings::make_private(&config.server.data_dir).map_err(StartError)?;
    let options = settings::store(config);
    tokio::task::spawn_blocking(move || Store::open(options, Clock::system()))
        .await
        .map_err(|error| StartError(error.to_string()))?
        .map_err(|error| StartError(error.to_string()))
}

/// Takes up renewed certificates without dropping anybody, by looking every so often.
async fn renewals(tls: Arc<TlsStore>) {
    let mut ticks = tokio::time::interval(RENEWALS);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    ticks.tick().await;
    loop {
        ticks.tick().await;
        let tls = tls.clone();
        let Ok(report) = tokio::task::spawn_blocking(move || tls.reload()).await else {
            continue;
        };
        for domain in report.changed {
            tracing::info!(%domain, "a new certificate is in use");
        }
        for error in report.failed {
            tracing::warn!(%error, "a certificate could not be loaded; the one in use stays");
        }
    }
}

/// Goes on with the removal of accounts where a stop or a crash interrupted it.
async fn removals(accounts: Accounts) {
    if let Err(error) = accounts.resume_removals().await {
        tracing::error!(%error, "removed accounts cannot be read; run `waxwing check`");
    }
}

fn accounts(config: &Config, store: &Store, clock: &Clock, secret: Secret) -> Accounts {
    let iterations = config.auth.scram_iterations;
    Accounts::new(store.clone(), clock.clone(), iterations, secret)
}

fn account_hosts(config: &Config) -> Vec<String> {
    config
        .hosts
        .iter()
        .filter(|(_, host)| !host.guests.allowed)
        .map(|(domain, _)| domain.clone())
        .collect()
}

fn guests(config: &Config) -> acts::GuestHosts {
    config
        .hosts
        .iter()
        .filter(|(_, host)| host.guests.allowed)
        .map(|(domain, host)| (domain.clone(), host.guests.clone()))
        .collect()
}

/// What the server has for its hosts.
struct Offered<'s> {
    acts: &'s Arc<ServerActs>,
    administration: &'s Arc<Administration>,
    local: &'s Secret,
    relay: &'s Arc<RelayHand>,
    socks: &'s Socks,
}

/// Whether a host has connections wait for each other.
fn meet(hosts: &router::Hosts) -> bool {
    hosts.values().any(|host| host.tables.meetings())
}

/// Builds the modules of every host and freezes its tables.
fn hosts(
    config: &Config,
    router: &Arc<Router>,
    offered: Offered<'_>,
    extra: &[Listed],
) -> Result<router::Hosts, StartError> {
    let Offered {
        acts,
        administration,
        local,
        relay,
        socks,
    } = offered;
    let offering: Arc<dyn Acts> = acts.clone();
    let ground = router::Ground {
        limits: config.limits.account.clone(),
        administration: administration.clone(),
        local: local.clone(),
        accounts: Arc::new(hand::Hand(acts.clone())),
        web: Arc::new(Client::new(settings::web(config))),
        meetings: Arc::new(socks.clone()),
        calls: relay.clone(),
        disk: settings::disk(config),
    };
    let mut hosts = router::Hosts::new();
    for (domain, host) in &config.hosts {
        let jid = Jid::parse(domain).map_err(|e| StartError(e.to_string()))?;
        let mut deps = router.deps(&jid, &ground, settings::url(config, domain));
        deps.streams = settings::entrances(config, domain);
        deps.port = settings::client_port(config, domain);
        let mut builder = Builder::new(jid.clone());
        for module in modules::LIST.iter().chain(extra) {
            module
                .add(&mut builder, &deps, &config.modules, &host.modules)
                .map_err(|error| StartError(format!("{domain}: {error}")))?;
        }
        for offered in crate::admin::offered(&offering) {
            builder
                .command(offered)
                .map_err(|error| StartError(format!("{domain}: {error}")))?;
        }
        for component in components_below(config, &jid) {
            builder.neighbour(component);
        }
        let tables = builder.freeze();
        check_services(config, &hosts, domain, &tables)?;
        hosts.insert(
            jid.domain().into(),
            Arc::new(router::Host {
                domain: jid,
                tables: Arc::new(tables),
                guests: host.guests.allowed,
                guests_reach: host.guests.reach,
            }),
        );
    }
    Ok(hosts)
}

/// The listed components whose domain belongs to this host and to none of its hosts below.
fn components_below(config: &Config, host: &Jid) -> Vec<Jid> {
    let nearest = |domain: &str| {
        let above = config.hosts.keys().filter(|host| {
            let rest = domain.strip_suffix(host.as_str());
            rest.is_some_and(|rest| rest.ends_with('.'))
        });
        above.max_by_key(|host| host.len())
    };
    let listed = config
        .components
        .iter()
        .filter(|(_, component)| component.listed);
    let domains = listed.flat_map(|(name, component)| component.domains(name));
    domains
        .filter(|domain| nearest(domain).is_some_and(|above| above == host.domain()))
        .filter_map(|domain| Jid::parse(domain).ok())
        .collect()
}

/// A service's address is neither a host nor a service of another host nor that of a component.
fn check_services(
    config: &Config,
    earlier: &router::Hosts,
    domain: &str,
    tables: &Tables,
) -> Result<(), StartError> {
    for service in tables.services() {
        let address = service.domain.as_str();
        let same = |host: &&Arc<router::Host>| {
            let mut services = host.tables.services().iter();
            services.any(|other| other.domain == service.domain)
        };
        let mut components = config.components.iter();
        let taken = if let Some((name, _)) =
            components.find(|(name, component)| component.domains(name).contains(&address))
        {
            format!("belongs to the component {name}")
        } else if config.hosts.contains_key(address) {
            "is a host of its own".to_owned()
        } else if let Some(host) = earlier.values().find(same) {
            format!("is a service of {} already", host.domain)
        } else {
            continue;
        };
        return Err(StartError(format!(
            "{domain}: the address {address} ({}) {taken}; give one of the two another address",
            service.kind
        )));
    }
    Ok(())
}

/// The hosts as the stream machine sees them.
struct StreamHosts {
    hosts: HashMap<String, Arc<stream::Host>>,
    default: Arc<stream::Host>,
}

impl stream::Hosts for StreamHosts {
    fn host(&self, domain: &str) -> Option<Arc<stream::Host>> {
        self.hosts.get(domain).cloned()
    }

    fn default_host(&self) -> Arc<stream::Host> {
        self.default.clone()
    }
}

fn stream_hosts(config: &Config, hosts: &router::Hosts) -> Result<StreamHosts, StartError> {
    let mut known = HashMap::new();
    for (domain, policy) in &config.hosts {
        let jid = Jid::parse(domain).map_err(|e| StartError(e.to_string()))?;
        if let Some(host) = hosts.get(jid.domain()) {
            let host = Arc::new(stream::Host {
                domain: jid.clone(),
                mechanisms: settings::mechanisms(config, policy),
                tables: host.tables.stream().clone(),
            });
            known.insert(jid.domain().to_owned(), host);
        }
    }
    let first = config.hosts.keys().next();
    let default = first
        .and_then(|domain| Jid::parse(domain).ok())
        .and_then(|jid| known.get(jid.domain()).cloned())
        .ok_or_else(|| StartError("no domain is served".to_owned()))?;
    Ok(StreamHosts {
        hosts: known,
        default,
    })
}
