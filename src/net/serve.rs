//! Listeners put together, for clients and for other servers: sockets, limits, TLS, and a driver for every connection.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use super::accept;
use super::closing::Closing;
use super::driver::{Connection, Place, drive};
use super::limits::Admission;
use super::listen::{self, ListenError};
use super::options::{ConnectionLimits, ListenerOptions};
use super::stats::NetStats;
use super::tls::{Side, TlsStore};
use super::web::Front;
use crate::stream::component::Porter;
use crate::stream::server::{Call, Office};
use crate::stream::{Desk, Settings};

/// What all connections of one set of listeners share.
pub(super) struct Shared {
    pub(super) desk: Arc<dyn Desk>,
    pub(super) tls: Arc<TlsStore>,
    pub(super) admission: Arc<Admission>,
    pub(super) stats: Arc<NetStats>,
    pub(super) closing: Arc<Closing>,
}

/// What may be reloaded; a connection keeps what it began with.
pub(super) struct Live {
    pub(super) settings: Arc<Settings>,
    pub(super) options: ListenerOptions,
    pub(super) role: Role,
}

/// Who connects.
#[derive(Clone)]
pub(super) enum Role {
    /// Also those that speak otherwise.
    Client(Fronts),
    Server(Arc<dyn Office>),
    Component(Arc<dyn Porter>),
    Web(Arc<dyn Front>),
}

/// Who serves those that connect where clients do and speak no XMPP.
#[derive(Clone, Default)]
pub struct Fronts {
    /// HTTP.
    pub web: Option<Arc<dyn Front>>,
    /// SOCKS5, without TLS.
    pub socks: Option<Arc<dyn Front>>,
    /// STUN and TURN, within TLS.
    pub relay: Option<Arc<dyn Front>>,
}

impl Live {
    /// Who serves HTTP beside XMPP here.
    pub(super) fn front(&self) -> Option<&Arc<dyn Front>> {
        match &self.role {
            Role::Client(fronts) if self.options.web => fronts.web.as_ref(),
            _ => None,
        }
    }

    /// Who serves SOCKS beside XMPP here.
    pub(super) fn socks(&self) -> Option<&Arc<dyn Front>> {
        match &self.role {
            Role::Client(fronts) => fronts.socks.as_ref(),
            _ => None,
        }
    }

    /// Who serves STUN and TURN beside XMPP here.
    pub(super) fn relay(&self) -> Option<&Arc<dyn Front>> {
        match &self.role {
            Role::Client(fronts) => fronts.relay.as_ref(),
            _ => None,
        }
    }

    /// Who is at the other end of a TLS handshake.
    pub(super) fn side(&self) -> Side {
        match &self.role {
            Role::Client(_) if self.front().is_some() => Side::Any,
            Role::Client(_) | Role::Component(_) => Side::Client,
            Role::Server(_) => Side::Server,
            Role::Web(_) => Side::Web,
        }
    }
}

/// What the listeners need of the rest of the server.
#[derive(Clone)]
pub struct Surroundings {
    /// Answers the questions of logins.
    pub desk: Arc<dyn Desk>,
    /// The certificates.
    pub tls: Arc<TlsStore>,
    /// The limits on connections.
    pub admission: Arc<Admission>,
    /// The counters.
    pub stats: Arc<NetStats>,
}

/// Listeners, at work until [`Listeners::stop`] or until dropped (which leaves connections alone).
pub struct Listeners {
    shared: Arc<Shared>,
    live: Arc<ArcSwap<Live>>,
    addresses: Vec<SocketAddr>,
    accepting: Vec<JoinHandle<()>>,
}

/// Listens for clients on all addresses of `options`. Call it on the runtime.
pub fn serve_client(
    options: ListenerOptions,
    settings: Arc<Settings>,
    around: Surroundings,
) -> Result<Listeners, ListenError> {
    serve(options, settings, around, Role::Client(Fronts::default()))
}

/// Listens for other servers on all addresses of `options`, which may be none, and calls them. Call it on the runtime.
pub fn serve_servers(
    options: ListenerOptions,
    settings: Arc<Settings>,
    office: Arc<dyn Office>,
    around: Surroundings,
) -> Result<Listeners, ListenError> {
    serve(options, settings, around, Role::Server(office))
}

fn serve(
    options: ListenerOptions,
    settings: Arc<Settings>,
    around: Surroundings,
    role: Role,
) -> Result<Listeners, ListenError> {
    let sockets = listen::bind(&options.addresses)?;
    Ok(serve_sockets(sockets, options, settings, around, role))
}

/// Accepts clients from sockets that are bound already, also those that speak SOCKS, or HTTP if `options` say so; the addresses
/// in them are not looked at. Call it on the runtime.
pub fn serve_bound(
    sockets: Vec<TcpListener>,
    options: ListenerOptions,
    settings: Arc<Settings>,
    fronts: Fronts,
    around: Surroundings,
) -> Listeners {
    serve_sockets(sockets, options, settings, around, Role::Client(fronts))
}

/// Accepts web clients from sockets that are bound already; the addresses in `options` are not looked at. Call it on the
/// runtime.
pub fn serve_web(
    sockets: Vec<TcpListener>,
    options: ListenerOptions,
    settings: Arc<Settings>,
    front: Arc<dyn Front>,
    around: Surroundings,
) -> Listeners {
    serve_sockets(sockets, options, settings, around, Role::Web(front))
}

/// Accepts components from sockets that are bound already, where `porter` lets them in; the addresses in `options` are not
/// looked at. Call it on the runtime.
pub fn serve_components(
    sockets: Vec<TcpListener>,
    options: ListenerOptions,
    settings: Arc<Settings>,
    porter: Arc<dyn Porter>,
    around: Surroundings,
) -> Listeners {
    serve_sockets(sockets, options, settings, around, Role::Component(porter))
}

fn serve_sockets(
    sockets: Vec<TcpListener>,
    options: ListenerOptions,
    settings: Arc<Settings>,
    around: Surroundings,
    role: Role,
) -> Listeners {
    let addresses: Vec<SocketAddr> = sockets
        .iter()
        .filter_map(|socket| socket.local_addr().ok())
        .collect();
    for address in &addresses {
        if options.plaintext && !address.ip().is_loopback() && options.trusted_proxies.is_empty() {
            tracing::warn!(%address, "plaintext is allowed only on loopback addresses and from trusted proxies: here TLS is demanded");
        }
    }
    let Surroundings {
        desk,
        tls,
        admission,
        stats,
    } = around;
    let shared = Arc::new(Shared {
        desk,
        tls,
        admission,
        stats,
        closing: Arc::default(),
    });
    let live = Arc::new(ArcSwap::from_pointee(Live {
        settings,
        options,
        role,
    }));
    let accepting = sockets
        .into_iter()
        .map(|socket| {
            let loopback = socket
                .local_addr()
                .is_ok_and(|address| address.ip().is_loopback());
            let (shared, live) = (shared.clone(), live.clone());
            tokio::spawn(async move {
                let start =
                    |stream, peer| start(&shared, &live.load_full(), (stream, peer), loopback);
                accept::run(socket, &shared.stats, start).await;
            })
        })
        .collect();
    Listeners {
        shared,
        live,
        addresses,
        accepting,
    }
}

fn start(
    shared: &Arc<Shared>,
    live: &Arc<Live>,
    (stream, peer): (TcpStream, SocketAddr),
    loopback: bool,
) {
    let proxy = live
        .options
        .trusted_proxies
        .iter()
        .any(|net| net.contains(peer.ip()));
    let (place, address) = match (proxy, loopback) {
        (true, _) => (Place::Proxy, None),
        (false, true) => (Place::Loopback, Some(peer.ip())),
        (false, false) => (Place::Anywhere, Some(peer.ip())),
    };
    match shared.admission.admit(address) {
        Ok(ticket) => {
            listen::tune(&stream);
            let connection =
                Connection::new(shared.clone(), live.clone(), (stream, peer), place, ticket);
            tokio::spawn(drive(connection));
        }
        Err(refused) => tracing::debug!(%peer, %refused, "refused"),
    }
}

impl Listeners {
    /// Where they listen; with port 0 configured, the port the system gave.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// How many connections there are.
    pub fn connections(&self) -> usize {
        self.shared.closing.count()
    }

    /// Drives a connection that was opened to another server; `direct`: it begins with TLS (XEP-0368).
    pub fn call(&self, (stream, peer): (TcpStream, SocketAddr), direct: bool, call: Call) {
        match self.shared.admission.admit(None) {
            Ok(ticket) => {
                let (shared, live) = (self.shared.clone(), self.live.load_full());
                let connection =
                    Connection::calling(shared, live, (stream, peer), ticket, (call, direct));
                tokio::spawn(drive(connection));
            }
            Err(refused) => {
                tracing::warn!(%peer, %refused, "a connection to another server had no place")
            }
        }
    }

    /// New settings for connections from now on. The addresses in them change nothing: those need a restart.
    pub fn reload(&self, options: ListenerOptions, settings: Arc<Settings>) {
        let role = self.live.load().role.clone();
        self.live.store(Arc::new(Live {
            settings,
            options,
            role,
        }));
    }

    /// Other limits on connections from now on.
    pub fn set_limits(&self, limits: ConnectionLimits) {
        self.shared.admission.set_limits(limits);
    }

    /// Accepts no more, ends every stream with `system-shutdown` once what is queued for it is written, and waits for
    /// that, at most `patience`. Returns how many connections were left then.
    pub async fn stop(mut self, patience: Duration) -> usize {
        for task in self.accepting.drain(..) {
            task.abort();
            // Cancelled, as was just asked for; now the socket is closed.
            let _ = task.await;
        }
        self.shared.closing.stop();
        let _ = tokio::time::timeout(patience, self.shared.closing.empty()).await;
        self.shared.closing.count()
    }
}

impl Drop for Listeners {
    fn drop(&mut self) {
        self.accepting.iter().for_each(JoinHandle::abort);
    }
}
