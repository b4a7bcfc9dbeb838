//! The running server as it can be changed: everything that a reload reaches.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::acts::ServerActs;
use super::desk::ServerDesk;
use super::ending::Ends;
use super::memory::Memory;
use super::relay::RelayHand;
use crate::components::Components;
use crate::config::{Listen, Loaded};
use crate::federation::House;
use crate::hooks::Listed;
use crate::http::{Exposition, Front, Readiness};
use crate::metrics::Registry;
use crate::net::tls::TlsStore;
use crate::net::{Admission, Inherited, Listeners, Surroundings};
use crate::router::Router;
use crate::runtime::clock::Clock;
use crate::socks::Socks;
use crate::state::accounts::Accounts;
use crate::store::Store;
use crate::stream::Secret;

/// The parts of a running server.
pub(super) struct Live {
    pub(super) extra: Vec<Listed>,
    pub(super) clock: Clock,
    pub(super) store: Store,
    pub(super) router: Arc<Router>,
    pub(super) accounts: Accounts,
    pub(super) acts: Arc<ServerActs>,
    pub(super) desk: ServerDesk,
    pub(super) tls: Arc<TlsStore>,
    pub(super) admission: Arc<Admission>,
    pub(super) around: Surroundings,
    pub(super) front: Arc<Front>,
    pub(super) socks: Socks,
    pub(super) memory: Arc<Memory>,
    pub(super) metrics: Registry,
    /// Of stream settings.
    pub(super) key: Secret,
    /// Of modules.
    pub(super) local: Secret,
    pub(super) relay: Arc<RelayHand>,
    /// Sockets of the service manager.
    pub(super) inherited: Inherited,
    pub(super) components: Arc<Components>,
    /// When it started.
    pub(super) started: u64,
    pub(super) state: Mutex<State>,
    pub(super) ends: Ends,
    /// Once the server stops.
    pub(super) stopping: Arc<AtomicBool>,
}

/// What a reload exchanges.
#[derive(Default)]
pub(super) struct State {
    /// What is in force; `None` for a server that was not started from files.
    pub(super) loaded: Option<Loaded>,
    /// What it was started with, for what only a restart changes.
    pub(super) started: Option<Loaded>,
    pub(super) listeners: Vec<(Listen, Listeners)>,
    /// The address as configured, and the listener for metrics.
    pub(super) exposition: Option<(SocketAddr, Exposition)>,
    pub(super) patience: Duration,
    pub(super) federation: Option<Arc<House>>,
}

impl Live {
    /// Whether it takes work, for whoever asks from outside.
    pub(super) fn readiness(&self) -> Readiness {
        let (stopping, store) = (self.stopping.clone(), self.store.clone());
        Arc::new(move || match () {
            () if stopping.load(Ordering::Relaxed) => Err("the server stops"),
            () if store.read_only() => Err("the store takes no changes"),
            () => Ok(()),
        })
    }

    /// The state; held while a reload is under way, so that one follows the other.
    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
