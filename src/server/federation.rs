//! From the configuration to federation at work.

use std::sync::Arc;

use sha2::{Digest, Sha256};

use super::{StartError, settings};
use crate::config::Config;
use crate::federation::{House, Options, Policy, Resolver};
use crate::net::tls::{TlsStore, Trust};
use crate::net::{
    Admission, ConnectionLimits, ListenerOptions, NetStats, Rates, Surroundings, serve_servers,
};
use crate::router::Router;
use crate::stream::{Secret, Settings};

/// What federation stands on.
pub(super) struct Ground {
    pub router: Arc<Router>,
    pub settings: Arc<Settings>,
    pub tls: Arc<TlsStore>,
    pub secret: Secret,
}

/// Starts to listen for other servers, and to call them.
pub(super) async fn start(config: &Config, ground: Ground) -> Result<Arc<House>, StartError> {
    let words = |error: &dyn std::fmt::Display| StartError(format!("federation: {error}"));
    let wishes = &config.federation;
    let authorities = wishes.authorities.clone();
    let trust = tokio::task::spawn_blocking(move || Trust::load(&authorities))
        .await
        .map_err(|error| words(&error))?
        .map_err(|error| words(&error))?;
    let options = Options {
        policy: Policy::new(wishes),
        trust,
        resolver: Resolver::system(),
        secret: dialback_secret(&ground.secret),
        bidi: wishes.bidi,
        queue_messages: wishes.queue_messages.into(),
        queue_bytes: wishes.queue_bytes.0,
        queue_bytes_total: wishes.queue_bytes_total.0,
        connect_timeout: wishes.connect_timeout.0,
        retry: wishes.retry.0,
        retry_max: wishes.retry_max.0,
        give_up_after: wishes.give_up_after.0,
        idle_after: wishes.idle_after.0,
    };
    let house = House::open(ground.router.clone(), options)
        .await
        .map_err(|error| words(&error))?;
    let stats = Arc::new(NetStats::default());
    let around = Surroundings {
        desk: house.clone(),
        tls: ground.tls,
        admission: Admission::new(limits(config), stats.clone()),
        stats,
    };
    let listeners = serve_servers(
        listener(config),
        stream(config, &ground.settings),
        house.clone(),
        around,
    )
    .map_err(|error| words(&error))?;
    ground.router.set_elsewhere(house.clone());
    house.begin(listeners);
    Ok(house)
}

/// Keys outlive a restart, and tell nothing of the secret they come from.
fn dialback_secret(secret: &Secret) -> Secret {
    let mut hasher = Sha256::new();
    hasher.update(b"dialback");
    hasher.update(secret.expose());
    Secret::new(hasher.finalize().to_vec())
}

fn limits(config: &Config) -> ConnectionLimits {
    let wishes = &config.federation;
    ConnectionLimits {
        total: wishes.connections,
        per_address: wishes.connections_per_address,
        half_open: wishes.connections,
        half_open_per_address: wishes.connections_per_address,
        ..settings::connections(config)
    }
}

pub(super) fn listener(config: &Config) -> ListenerOptions {
    let wishes = &config.federation;
    let narrow = |n: u64| u32::try_from(n).unwrap_or(u32::MAX);
    let bytes = narrow(wishes.bytes_per_second.0);
    ListenerOptions {
        addresses: wishes.listen.clone(),
        plaintext: false,
        trusted_proxies: Vec::new(),
        rates: Rates {
            bytes,
            bytes_burst: bytes.saturating_mul(4),
            stanzas: wishes.stanzas_per_second,
            stanzas_burst: wishes.stanzas_per_second.saturating_mul(4),
        },
        ..settings::listener(config, &crate::config::Listen::default())
    }
}

/// The limits of streams, with the time to convince another server.
pub(super) fn stream(config: &Config, clients: &Settings) -> Arc<Settings> {
    let mut limits = settings::stream(config);
    limits.login = config.federation.connect_timeout.0;
    Arc::new(Settings {
        hosts: clients.hosts.clone(),
        limits,
        key: clients.key.clone(),
    })
}
