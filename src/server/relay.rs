//! The relay for calls: started, told of changes, stopped; and what the rest of the server has of it.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::task::JoinHandle;

use super::StartError;
use super::settings::subnet;
use crate::config::{Config, ListenKind, ListenTls};
use crate::hooks::{Calls, Door, RelayPass, Uid};
use crate::metrics::{Registry, Samples};
use crate::net::tls::TlsStore;
use crate::net::{Front, Subnet};
use crate::proto::jid::Jid;
use crate::relay::{
    self, Admitted, Bounds, Counts, Gate, Options, Policy, Relay, RelayAddress, credentials,
};
use crate::runtime::clock::Clock;
use crate::state::calls::{Names, account, relay_secret};
use crate::store::Store;
use crate::stream::Secret;

/// Where STUN and TURN are expected (RFC 8489 §18.6, RFC 8656 §18.8).
const PORT: u16 = 3478;
const TLS_PORT: u16 = 5349;
/// Where everybody expects TLS.
const HTTPS: u16 = 443;

/// The relay, if there is one, and who may use it.
pub(super) struct RelayHand {
    names: Names,
    secret: Secret,
    store: Store,
    running: Mutex<Option<Running>>,
}

/// The relay at work.
struct Running {
    relay: Arc<Relay>,
    doors: Vec<Door>,
    addresses: Vec<SocketAddr>,
    accepting: Vec<JoinHandle<()>>,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.accepting.iter().for_each(JoinHandle::abort);
    }
}

/// What is bound, or why it is not.
struct Bound {
    udp: Vec<std::net::UdpSocket>,
    tcp: Vec<tokio::net::TcpListener>,
    tls: Vec<tokio::net::TcpListener>,
}

/// What else of the server the relay needs.
pub(super) struct Ground<'a> {
    pub(super) clock: &'a Clock,
    pub(super) metrics: &'a Registry,
    pub(super) tls: &'a Arc<TlsStore>,
}

impl RelayHand {
    pub(super) fn new(local: &Secret, store: Store) -> RelayHand {
        RelayHand {
            names: Names::new(local),
            secret: relay_secret(local),
            store,
            running: Mutex::default(),
        }
    }

    fn running(&self) -> MutexGuard<'_, Option<Running>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts the relay, if there shall be one. Where its ports were not chosen, and another program has them, there is none.
    ///
    /// # Errors
    /// In words: an address cannot be listened on.
    pub(super) fn start(&self, config: &Config, ground: &Ground<'_>) -> Result<(), StartError> {
        if !config.relay.enabled {
            return Ok(());
        }
        let wishes = &config.relay;
        let bound = match bind(&listening(config), &listening_tls(config)) {
            Ok(bound) => bound,
            Err(error) if wishes.listen.is_empty() && wishes.tls_listen.is_empty() => {
                tracing::warn!(%error, "there is no relay for calls; give it ports (relay.listen, relay.tls_listen), or set relay.enabled = false");
                return Ok(());
            }
            Err(error) => return Err(StartError(format!("relay: {error}"))),
        };
        let gate = Arc::new(Accounts {
            names: self.names.clone(),
            store: self.store.clone(),
        });
        let (doors, addresses) = (doors(config, &bound), of_udp(&bound.udp));
        let options = self.options(config);
        let relay = Relay::start(options, bound.udp, gate, ground.clock.clone());
        let relay = relay.map_err(|error| StartError(format!("relay: {error}")))?;
        let relay = Arc::new(relay);
        let counting = relay.counting();
        ground
            .metrics
            .source(move |samples| show(samples, &counting()));
        let tcp = bound.tcp.into_iter();
        let tcp = tcp.map(|listener| tokio::spawn(relay::accept(listener, relay.clone())));
        let tls = bound.tls.into_iter().map(|listener| {
            let accepting = relay::accept_tls(listener, relay.clone(), ground.tls.clone());
            tokio::spawn(accepting)
        });
        *self.running() = Some(Running {
            accepting: tcp.chain(tls).collect(),
            doors,
            addresses,
            relay,
        });
        Ok(())
    }

    /// Works by another configuration from now on.
    pub(super) fn reload(&self, config: &Config) {
        if let Some(running) = &mut *self.running() {
            running.relay.set_options(self.options(config));
            for door in &mut running.doors {
                door.host = config.relay.host.clone();
            }
        }
    }

    /// Where it hears clients by UDP.
    pub(super) fn addresses(&self) -> Vec<SocketAddr> {
        let running = self.running();
        let addresses = running.as_ref().map(|running| running.addresses.clone());
        addresses.unwrap_or_default()
    }

    /// Who serves its clients that connect where those of XMPP do.
    pub(super) fn front(&self) -> Option<Arc<dyn Front>> {
        let running = self.running();
        let relay = running.as_ref().map(|running| running.relay.clone());
        relay.map(|relay| relay as Arc<dyn Front>)
    }

    pub(super) async fn stop(&self) {
        let running = self.running().take();
        if let Some(running) = running {
            running.relay.stop().await;
        }
    }

    fn options(&self, config: &Config) -> Options {
        let wishes = &config.relay;
        let realm = config.hosts.keys().next();
        let private: Vec<Subnet> = wishes.private_addresses.iter().filter_map(subnet).collect();
        let narrow = |n: u64| u32::try_from(n).unwrap_or(u32::MAX);
        Options {
            realm: realm.cloned().unwrap_or_default(),
            secret: self.secret.expose().to_vec(),
            addresses: relay_addresses(config),
            ports: wishes.first_port..=wishes.last_port,
            policy: Policy {
                allowed: Box::new(move |ip| private.iter().any(|subnet| subnet.contains(ip))),
                own: Box::new(relay::own_addresses()),
            },
            bounds: Bounds {
                allocations: wishes.allocations as usize,
                allocations_per_owner: wishes.allocations_per_account as usize,
                lifetime: wishes.lifetime.0,
                permissions: wishes.permissions as usize,
                channels: wishes.channels as usize,
                rate: narrow(wishes.bytes_per_second.0),
                rate_total: narrow(wishes.bytes_per_second_total.0),
                unproven: wishes.answers_per_second,
                connections: wishes.connections as usize,
                connections_per_address: wishes.connections_per_address as usize,
                queue: wishes.queue.as_usize(),
            },
        }
    }
}

impl Calls for RelayHand {
    fn doors(&self) -> Vec<Door> {
        let running = self.running();
        let doors = running.as_ref().map(|running| running.doors.clone());
        doors.unwrap_or_default()
    }

    fn pass(&self, account: Uid, until: u64, secret: Option<&str>) -> RelayPass {
        let username = credentials::name(until, &self.names.make(account));
        let secret = secret.map_or(self.secret.expose(), str::as_bytes);
        RelayPass {
            password: credentials::password(secret, &username),
            username,
        }
    }

    fn end(&self, account: &Jid) {
        if let Some(running) = &*self.running() {
            running.relay.end(account.bare_str());
        }
    }
}

/// Lets in whoever has an account.
struct Accounts {
    names: Names,
    store: Store,
}

impl Gate for Accounts {
    fn admit(&self, holder: &str) -> Admitted {
        let (uid, store) = (self.names.read(holder), self.store.clone());
        Box::pin(async move {
            let found = account(&store, uid?).await;
            let found = found.unwrap_or_else(|error| {
                tracing::error!(%error, "who wants to use the relay cannot be looked up");
                None
            });
            found.map(|jid| jid.bare_str().into())
        })
    }
}

/// Where clients are heard by UDP and TCP.
pub(super) fn listening(config: &Config) -> Vec<SocketAddr> {
    match config.relay.listen.is_empty() {
        true => beside_clients(config, PORT),
        false => config.relay.listen.clone(),
    }
}

/// Where they begin with TLS.
pub(super) fn listening_tls(config: &Config) -> Vec<SocketAddr> {
    match config.relay.tls_listen.is_empty() {
        true => beside_clients(config, TLS_PORT),
        false => config.relay.tls_listen.clone(),
    }
}

/// This port of the addresses where clients connect.
fn beside_clients(config: &Config, port: u16) -> Vec<SocketAddr> {
    let mut addresses = Vec::new();
    let clients = config.listen.iter();
    for listen in clients.filter(|listen| listen.kind == ListenKind::Client) {
        // Whoever lets the system choose the one lets it choose the other.
        let port = if listen.address.port() == 0 { 0 } else { port };
        let address = SocketAddr::new(listen.address.ip(), port);
        if !addresses.contains(&address) {
            addresses.push(address);
        }
    }
    addresses
}

fn bind(addresses: &[SocketAddr], with_tls: &[SocketAddr]) -> Result<Bound, String> {
    let udp = addresses.iter().map(|address| {
        let socket = relay::listen(*address, addresses);
        socket.map_err(|error| format!("cannot listen on {address} (UDP): {error}"))
    });
    let udp = udp.collect::<Result<_, _>>()?;
    let tcp = |addresses| crate::net::bind(addresses).map_err(|error| error.to_string());
    Ok(Bound {
        udp,
        tcp: tcp(addresses)?,
        tls: tcp(with_tls)?,
    })
}

fn of_udp(sockets: &[std::net::UdpSocket]) -> Vec<SocketAddr> {
    let addresses = sockets.iter().map(std::net::UdpSocket::local_addr);
    addresses.filter_map(Result::ok).collect()
}

fn of_tcp(sockets: &[tokio::net::TcpListener]) -> Vec<SocketAddr> {
    let addresses = sockets.iter().map(tokio::net::TcpListener::local_addr);
    addresses.filter_map(Result::ok).collect()
}

fn doors(config: &Config, bound: &Bound) -> Vec<Door> {
    let mut doors = Vec::new();
    for (addresses, transport, tls) in [
        (of_udp(&bound.udp), "udp", false),
        (of_tcp(&bound.tcp), "tcp", false),
        (of_tcp(&bound.tls), "tcp", true),
    ] {
        for address in addresses {
            let door = Door {
                host: config.relay.host.clone(),
                port: address.port(),
                transport,
                tls,
            };
            if !doors.contains(&door) {
                doors.push(door);
            }
        }
    }
    doors.extend(web_door(config));
    doors
}

/// The port of the web, if clients connect there: the one that nearly every network lets out.
fn web_door(config: &Config) -> Option<Door> {
    let mut clients = config.listen.iter();
    let open = clients.any(|listen| {
        let tls = listen.tls != ListenTls::None;
        listen.kind == ListenKind::Client && tls && listen.address.port() == HTTPS
    });
    open.then(|| Door {
        host: config.relay.host.clone(),
        port: HTTPS,
        transport: "tcp",
        tls: true,
    })
}

/// The addresses that are given to clients, one of each family.
pub(super) fn relay_addresses(config: &Config) -> Vec<RelayAddress> {
    let listened = listening(config).into_iter().map(|address| address.ip());
    let named: Vec<IpAddr> = match config.relay.addresses.is_empty() {
        true => listened.filter(|ip| !ip.is_unspecified()).collect(),
        false => config.relay.addresses.clone(),
    };
    let found = match named.is_empty() {
        true => [false, true].into_iter().filter_map(relay::route).collect(),
        false => named,
    };
    let mut addresses: Vec<RelayAddress> = Vec::new();
    for local in found {
        let mut known = addresses.iter();
        if known.any(|known| known.local.is_ipv6() == local.is_ipv6()) {
            continue;
        }
        let mut external = config.relay.external.iter();
        let external = external.find(|ip| ip.is_ipv6() == local.is_ipv6());
        addresses.push(RelayAddress {
            local,
            external: external.copied().unwrap_or(local),
        });
    }
    addresses
}

fn show(samples: &mut Samples, counts: &Counts) {
    let mut gauge = |name, help, value: u64| samples.gauge(name, help, &[], value as f64);
    gauge(
        "waxwing_relay_allocations",
        "Addresses that clients have at the relay for calls.",
        counts.allocations,
    );
    gauge(
        "waxwing_relay_connections",
        "Connections of clients to the relay, by TCP and TLS.",
        counts.connections,
    );
    let mut total = |name, help, label, value, count| {
        samples.counter(name, help, &[(label, value)], count);
    };
    for (way, traffic) in [
        ("to_peers", counts.to_peers),
        ("to_clients", counts.to_clients),
    ] {
        let help = "Packets relayed.";
        total(
            "waxwing_relay_packets_total",
            help,
            "way",
            way,
            traffic.packets,
        );
        let help = "Bytes relayed, without headers.";
        total("waxwing_relay_bytes_total", help, "way", way, traffic.bytes);
    }
    let help = "Packets that were not relayed, by reason.";
    for (reason, count) in [
        ("rate", counts.dropped_rate),
        ("unpermitted", counts.dropped_unpermitted),
        ("full", counts.dropped_full),
        ("malformed", counts.malformed),
    ] {
        total("waxwing_relay_dropped_total", help, "reason", reason, count);
    }
    let help = "Requests to the relay that were refused, by reason.";
    for (reason, count) in [
        ("credentials", counts.unauthorized),
        ("flood", counts.floods),
        ("account", counts.refused_owner),
        ("capacity", counts.refused_capacity),
        ("forbidden", counts.forbidden),
    ] {
        total("waxwing_relay_refused_total", help, "reason", reason, count);
    }
    let help = "Addresses given to clients of the relay.";
    samples.counter(
        "waxwing_relay_allocations_total",
        help,
        &[],
        counts.allocated,
    );
}
