//! From the configuration to federation at work.

use std::sync::Arc;

use sha2::{Digest, Sha256};

use super::{StartError, settings};
use crate::config::Config;
use crate::federation::{House, Resolver, Streams, Terms};
use crate::hooks::Web;
use crate::http::Client;
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
    let resolver = resolver(config);
    let secret = dialback_secret(&ground.secret);
    let house = House::open(
        ground.router.clone(),
        secret,
        Terms::new(wishes, trust, resolver),
    )
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

/// What a reload needs for federation. Reads files.
///
/// # Errors
/// The authorities cannot be read.
pub(super) fn terms_again(config: &Config, house: &House) -> Result<Terms, String> {
    let wishes = &config.federation;
    let trust = Trust::load(&wishes.authorities)
        .map_err(|error| format!("federation.authorities: {error}"))?;
    let known = house.resolver();
    let same = known.servers() == wishes.dns_servers && known.reads_host_meta() == wishes.host_meta;
    let resolver = match same {
        true => known,
        false => resolver(config),
    };
    Ok(Terms::new(wishes, trust, resolver))
}

fn resolver(config: &Config) -> Arc<Resolver> {
    let wishes = &config.federation;
    let web = || -> Arc<dyn Web> { Arc::new(Client::new(settings::web(config))) };
    let web = wishes.host_meta.then(web);
    Arc::new(Resolver::new(&wishes.dns_servers, web))
}

/// Keys outlive a restart, and tell nothing of the secret they come from.
fn dialback_secret(secret: &Secret) -> Secret {
    let mut hasher = Sha256::new();
    hasher.update(b"dialback");
    hasher.update(secret.expose());
    Secret::new(hasher.finalize().to_vec())
}

/// What a reload changes of streams.
pub(super) fn streams(config: &Config, clients: &Settings) -> Streams {
    Streams {
        options: listener(config),
        settings: stream(config, clients),
        limits: limits(config),
    }
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

fn listener(config: &Config) -> ListenerOptions {
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
fn stream(config: &Config, clients: &Settings) -> Arc<Settings> {
    let mut limits = settings::stream(config);
    limits.login = config.federation.connect_timeout.0;
    // What is left of the time after the header must be enough for the rest.
    limits.header = limits.header.min(limits.login / 2);
    Arc::new(Settings {
        hosts: clients.hosts.clone(),
        limits,
        key: clients.key.clone(),
    })
}
