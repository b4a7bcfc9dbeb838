//! From the configuration to what each room is given.

use std::path::Path;
use std::time::Duration;

use crate::config::{
    self, Config, Host, Listen, ListenKind, ListenTls, Mechanism, Network, StoreEngine, TlsVersion,
};
use crate::hooks::{Disk, Entrance};
use crate::http::{BoshOptions, ClientOptions, FrontOptions, ProxyHeader, WebHost};
use crate::net::tls::{CertificateSource, TlsOptions, self_signed};
use crate::net::{ConnectionLimits, ListenerOptions, Rates, Subnet, Timeouts};
use crate::proto::jid::Jid;
use crate::router;
use crate::session::seat::SeatLimits;
use crate::socks::SocksOptions;
use crate::store::{EngineKind, Options};
use crate::stream::{Mechanisms, ScramHash, StreamLimits};
use crate::xml;

/// Questions the server may have open at once.
const OPEN_QUESTIONS: usize = 100_000;
/// How long a stanza may wait for a hook, and an iq for its answer.
const IQ_TIMEOUT: Duration = Duration::from_secs(60);
/// How long a message is recognised when a client sends it again.
const RESEND_WINDOW: Duration = Duration::from_secs(600);

pub(super) fn store(config: &Config) -> Options {
    let engine = match config.store.engine {
        StoreEngine::Fjall => EngineKind::Fjall,
        StoreEngine::Sled => EngineKind::Sled,
    };
    let path = config.in_data_dir(&config.store.path);
    Options {
        cache_bytes: config.store.cache.0,
        sync_interval: config.store.sync_interval.get(),
        reserve_bytes: config.store.reserve.0,
        readers: config.store.readers as usize,
        ..Options::new(engine, path)
    }
}

pub(super) fn disk(config: &Config) -> Disk {
    Disk {
        files: config.in_data_dir(&config.store.files),
        reserve: config.store.reserve.0,
    }
}

pub(super) fn router(config: &Config) -> router::Limits {
    let (session, account) = (&config.limits.session, &config.limits.account);
    let resume = &config.limits.resume;
    let seconds = |period: Duration| u32::try_from(period.as_secs()).unwrap_or(u32::MAX);
    router::Limits {
        seat: SeatLimits {
            queue_bytes: session.outgoing.as_usize(),
            queue_stanzas: session.unacknowledged as usize,
            room_bytes: session.outgoing_rooms.as_usize(),
            window: session.uncommitted,
            unacked_bytes: session.unacknowledged_bytes.as_usize(),
            resume: seconds(resume.time.0),
            patience: seconds(config.limits.stream.ping_timeout.0),
            detached_bytes: resume.bytes.as_usize(),
        },
        detached: resume.sessions as usize,
        detached_per_account: resume.sessions_per_account as usize,
        sessions_per_account: account.sessions as usize,
        inbox: account.inbox as usize,
        inbox_services: account.inbox_services as usize,
        undelivered: account.offline_messages,
        undelivered_bytes: account.offline_bytes.0,
        roster_items: account.roster_items as usize,
        directed: session.directed_presence as usize,
        questions: OPEN_QUESTIONS,
        iq_timeout: IQ_TIMEOUT,
        resend_window: RESEND_WINDOW,
    }
}

pub(super) fn stream(config: &Config) -> StreamLimits {
    let limits = &config.limits.stream;
    let xml = |bytes: usize| xml::Limits {
        stanza_bytes: bytes,
        depth: limits.depth as usize,
        attributes: limits.attributes as usize,
        namespaces: limits.namespaces as usize,
        name_bytes: limits.name_bytes.as_usize(),
        parsed_factor: limits.parsed_factor as usize,
    };
    StreamLimits {
        before_login: xml(limits.stanza_bytes_before_login.as_usize()),
        after_login: xml(limits.stanza_bytes.as_usize()),
        header: limits.header_timeout.0,
        login: limits.login_timeout.0,
        bind: limits.bind_timeout.0,
        close: limits.close_timeout.0,
        idle: limits.ping_after.0,
    }
}

pub(super) fn mechanisms(config: &Config, host: &Host) -> Mechanisms {
    let chosen = host.mechanisms.as_ref().unwrap_or(&config.auth.mechanisms);
    let guests = host.guests.allowed;
    let scram: Vec<ScramHash> = chosen
        .iter()
        .filter_map(|mechanism| match mechanism {
            Mechanism::ScramSha512 => Some(ScramHash::Sha512),
            Mechanism::ScramSha256 => Some(ScramHash::Sha256),
            Mechanism::ScramSha1 => Some(ScramHash::Sha1),
            Mechanism::Plain => None,
        })
        .collect();
    let upgrades = [ScramHash::Sha512, ScramHash::Sha256]
        .into_iter()
        .filter(|hash| scram.contains(hash))
        .collect();
    Mechanisms {
        scram: if guests { Vec::new() } else { scram },
        plain: !guests && chosen.contains(&Mechanism::Plain),
        anonymous: guests,
        upgrades,
        iterations: config.auth.scram_iterations,
    }
}

pub(super) fn connections(config: &Config) -> ConnectionLimits {
    let limits = &config.limits.connections;
    let descriptors = crate::net::raise_descriptor_limit();
    if descriptors < limits.total {
        tracing::warn!(
            allowed = descriptors,
            configured = limits.total,
            "the system allows fewer connections than configured; raise LimitNOFILE (or `ulimit -n`)"
        );
    }
    ConnectionLimits {
        total: limits.total.min(descriptors),
        per_address: limits.per_address,
        half_open: limits.unauthenticated,
        half_open_per_address: limits.unauthenticated_per_address,
        pace_lag: limits.pace_lag.0,
        exempt: limits.exempt.iter().filter_map(subnet).collect(),
    }
}

pub(super) fn web(config: &Config) -> ClientOptions {
    let wishes = &config.web;
    let networks = wishes.private_addresses.iter();
    let private: Vec<Subnet> = networks.filter_map(subnet).collect();
    ClientOptions {
        authorities: wishes.authorities.clone(),
        private: Box::new(move |ip| private.iter().any(|subnet| subnet.contains(ip))),
        timeout: wishes.timeout.0,
        connections: wishes.connections as usize,
    }
}

/// How web clients are served.
pub(super) fn front(config: &Config, hosts: &router::Hosts) -> FrontOptions {
    let http = &config.http;
    let web_host = |(domain, host): (&String, &Host)| {
        let known = hosts.get(Jid::parse(domain).ok()?.domain())?;
        let url = host.url.as_deref();
        Some(WebHost {
            domain: known.domain.clone(),
            alias: url.and_then(crate::config::web_name).map(str::to_owned),
            tables: known.tables.clone(),
        })
    };
    FrontOptions {
        hosts: config.hosts.iter().filter_map(web_host).collect(),
        proxies: http.proxies.iter().filter_map(subnet).collect(),
        proxy_header: match http.proxy_header {
            config::ProxyHeader::XForwardedFor => ProxyHeader::XForwardedFor,
            config::ProxyHeader::Forwarded => ProxyHeader::Forwarded,
        },
        exempt: config
            .limits
            .connections
            .exempt
            .iter()
            .filter_map(subnet)
            .collect(),
        connections: http.connections as usize,
        requests: http.requests as usize,
        requests_per_address: http.requests_per_address as usize,
        websocket: http.websocket.enabled.then(|| http.websocket.path.clone()),
        bosh: http.bosh.enabled.then(|| BoshOptions {
            path: http.bosh.path.clone(),
            body_bytes: config
                .limits
                .stream
                .stanza_bytes
                .as_usize()
                .saturating_mul(2),
            wait: http.bosh.wait.0,
            inactivity: http.bosh.inactivity.0,
            pause: http.bosh.pause.0,
        }),
        origins: http.websocket.origins.clone(),
        streams: http.http2_requests,
        header_bytes: http.header_bytes.as_usize(),
        header_timeout: http.header_timeout.0,
        idle_timeout: http.idle_timeout.0,
        body_timeout: http.body_timeout.0,
    }
}

/// How connections of SOCKS5 are served, if they are at all.
pub(super) fn socks(config: &Config, open: bool) -> SocksOptions {
    let limits = &config.limits;
    SocksOptions {
        open,
        waiting: limits.bytestreams.waiting as usize,
        waiting_per_address: limits.bytestreams.waiting_per_address as usize,
        exempt: limits
            .connections
            .exempt
            .iter()
            .filter_map(subnet)
            .collect(),
        hello: limits.stream.header_timeout.0,
        wait: limits.bytestreams.wait.0,
    }
}

/// The port on which clients of a domain reach this server by TCP, where the listeners tell.
pub(super) fn client_port(config: &Config, domain: &str) -> Option<u16> {
    let reached = |listen: &&Listen| {
        let local = listen.address.ip().is_loopback() && domain != "localhost";
        listen.kind == ListenKind::Client && listen.proxies.is_empty() && !local
    };
    let mut ports = config.listen.iter().filter(reached);
    let port = ports.next().map(|listen| listen.address.port());
    port.filter(|port| *port != 0)
}

/// Where web clients of a domain reach this server; `None` if they do not.
pub(super) fn url(config: &Config, domain: &str) -> Option<String> {
    let host = config.hosts.get(domain)?;
    if let Some(url) = &host.url {
        return Some(url.clone());
    }
    let serves = |listen: &&Listen| match (listen.kind, listen.tls) {
        (_, ListenTls::None) | (ListenKind::Component, _) => false,
        (ListenKind::Client, _) => config.http.on_client_ports,
        (ListenKind::Http, _) => true,
    };
    let local = |listen: &&Listen| listen.address.ip().is_loopback() && domain != "localhost";
    let mut listeners = config.listen.iter().filter(serves).filter(|l| !local(l));
    let listen = listeners
        .clone()
        .find(|listen| listen.kind == ListenKind::Http)
        .or_else(|| listeners.next())?;
    let name = idna::domain_to_ascii(domain).unwrap_or_else(|_| domain.to_owned());
    match listen.address.port() {
        0 => None,
        443 => Some(format!("https://{name}")),
        port => Some(format!("https://{name}:{port}")),
    }
}

/// Where accounts of a domain log in over HTTPS; what others could read along is not told.
pub(super) fn entrances(config: &Config, domain: &str) -> Vec<Entrance> {
    let url = url(config, domain);
    let Some(place) = url.as_deref().and_then(|url| url.strip_prefix("https://")) else {
        return Vec::new();
    };
    let websocket = &config.http.websocket;
    let websocket = websocket.enabled.then(|| Entrance {
        kind: "websocket",
        url: format!("wss://{place}{}", websocket.path),
    });
    let bosh = &config.http.bosh;
    let bosh = bosh.enabled.then(|| Entrance {
        kind: "xbosh",
        url: format!("https://{place}{}", bosh.path),
    });
    websocket.into_iter().chain(bosh).collect()
}

/// The ceiling over memory, bytes.
pub(super) fn memory(config: &Config) -> u64 {
    let set = config.limits.memory.map(|memory| memory.0);
    set.unwrap_or_else(super::memory::default_ceiling)
}

pub(super) fn subnet(network: &Network) -> Option<Subnet> {
    network.to_string().parse().ok()
}

pub(super) fn listener(config: &Config, listen: &Listen) -> ListenerOptions {
    let (stream, session) = (&config.limits.stream, &config.limits.session);
    let narrow = |n: u64| u32::try_from(n).unwrap_or(u32::MAX);
    ListenerOptions {
        addresses: vec![listen.address],
        // What comes from this machine needs no TLS to be a component.
        plaintext: listen.tls == ListenTls::None
            || listen.kind == ListenKind::Component && listen.address.ip().is_loopback(),
        trusted_proxies: listen.proxies.iter().filter_map(subnet).collect(),
        web: config.http.on_client_ports,
        timeouts: Timeouts {
            first_byte: stream.header_timeout.0,
            handshake: stream.tls_timeout.0,
            dead_after: stream.ping_timeout.0,
            write: stream.write_timeout.0,
        },
        rates: match listen.kind {
            ListenKind::Client | ListenKind::Http => Rates {
                bytes: narrow(session.bytes_per_second.0),
                bytes_burst: narrow(session.bytes_burst.0),
                stanzas: session.stanzas_per_second,
                stanzas_burst: session.stanzas_burst,
            },
            ListenKind::Component => {
                let component = &config.limits.component;
                let bytes = narrow(component.bytes_per_second.0);
                Rates {
                    bytes,
                    bytes_burst: bytes.saturating_mul(4),
                    stanzas: component.stanzas_per_second,
                    stanzas_burst: component.stanzas_per_second.saturating_mul(4),
                }
            }
        },
    }
}

/// Where the certificate of each host lies; one for `localhost` is made if none is configured.
///
/// # Errors
/// In words: the self-signed certificate could not be made.
pub(super) fn certificates(config: &Config) -> Result<Vec<CertificateSource>, String> {
    let hosts = config
        .hosts
        .keys()
        .map(|domain| certificate(config, domain));
    hosts.chain(of_components(config).map(Ok)).collect()
}

/// Components may have certificates of their own, where those of hosts are looked for; others are covered by that of a host.
fn of_components(config: &Config) -> impl Iterator<Item = CertificateSource> {
    let components = config.components.iter();
    let domains = components.flat_map(|(name, component)| component.domains(name));
    domains.filter_map(|domain| {
        let (chain, key) = config.certificate(domain);
        chain.exists().then(|| CertificateSource {
            domain: domain.to_owned(),
            chain,
            key,
        })
    })
}

pub(super) fn certificate(config: &Config, domain: &str) -> Result<CertificateSource, String> {
    let (chain, key) = config.certificate(domain);
    if makes_its_own(config, domain) {
        let folder = config.in_data_dir(&config.tls.directory);
        make_private(&folder)?;
        return self_signed(&folder, domain)
            .map(|made| made.source)
            .map_err(|error| error.to_string());
    }
    Ok(CertificateSource {
        domain: domain.to_owned(),
        chain,
        key,
    })
}

/// Certificates with the versions that are offered.
pub(super) fn tls(config: &Config, certificates: Vec<CertificateSource>) -> TlsOptions {
    TlsOptions {
        tls12: config.tls.minimum_version == TlsVersion::Tls12,
        ..TlsOptions::new(certificates)
    }
}

/// For `localhost`, unless a certificate was put where it is looked for, or named.
fn makes_its_own(config: &Config, domain: &str) -> bool {
    let named = |host: &Host| host.certificate.is_some();
    let named = config.hosts.get(domain).is_some_and(named);
    domain == "localhost" && !named && !config.certificate(domain).0.exists()
}

/// Whether the next start makes a certificate for the domain.
pub(super) fn made_at_start(config: &Config, domain: &str) -> bool {
    let folder = config.in_data_dir(&config.tls.directory);
    makes_its_own(config, domain) && !folder.join("localhost.crt").exists()
}

/// Makes a directory that belongs to the server alone.
pub(super) fn make_private(path: &Path) -> Result<(), String> {
    use std::os::unix::fs::DirBuilderExt;
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(|error| format!("cannot make the directory {}: {error}", path.display()))
}
