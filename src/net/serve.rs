//! Client listeners put together: sockets, limits, TLS, and a driver for every connection.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use super::accept;
use super::closing::Closing;
use super::driver::{Connection, Place};
use super::limits::Admission;
use super::listen::{self, ListenError};
use super::options::ListenerOptions;
use super::stats::NetStats;
use super::tls::TlsStore;
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

/// Listeners for clients, at work until [`ClientListeners::stop`] or until dropped (which leaves connections alone).
pub struct ClientListeners {
    shared: Arc<Shared>,
    live: Arc<ArcSwap<Live>>,
    addresses: Vec<SocketAddr>,
    accepting: Vec<JoinHandle<()>>,
}

/// Listens on all addresses of `options`. Call it on the runtime.
pub fn serve_client(
    options: ListenerOptions,
    settings: Arc<Settings>,
    around: Surroundings,
) -> Result<ClientListeners, ListenError> {
    let sockets = listen::bind(&options.addresses)?;
    Ok(serve_bound(sockets, options, settings, around))
}

/// Accepts from sockets that are bound already; the addresses in `options` are not looked at. Call it on the runtime.
pub fn serve_bound(
    sockets: Vec<TcpListener>,
    options: ListenerOptions,
    settings: Arc<Settings>,
    around: Surroundings,
) -> ClientListeners {
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
    let live = Arc::new(ArcSwap::from_pointee(Live { settings, options }));
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
    ClientListeners {
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
            tokio::spawn(connection);
        }
        Err(refused) => tracing::debug!(%peer, %refused, "refused"),
    }
}

impl ClientListeners {
    /// Where they listen; with port 0 configured, the port the system gave.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// How many connections there are.
    pub fn connections(&self) -> usize {
        self.shared.closing.count()
    }

    /// New settings for connections from now on. The addresses in them change nothing: those need a restart.
    pub fn reload(&self, options: ListenerOptions, settings: Arc<Settings>) {
        self.live.store(Arc::new(Live { settings, options }));
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

impl Drop for ClientListeners {
    fn drop(&mut self) {
        self.accepting.iter().for_each(JoinHandle::abort);
    }
}
