//! The tree of settings: one struct per section of `waxwing.toml`.

mod components;
mod federation;
mod hosts;
mod http;
mod limits;
mod relay;
mod web;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

pub use components::{Component, ComponentConflict};
pub use federation::{Federation, FederationDane, FederationDemand, FederationPeer, FederationTls};
pub use hosts::{Guests, Host, Modules, Reach};
pub use http::{Bosh, Http, ProxyHeader, WebSocket};
pub use limits::{AccountLimits, ConnectionLimits, Limits, SessionLimits, StreamLimits};
pub use relay::Relay;
pub use web::Web;

use super::network::Network;
use super::units::{Bytes, Period};
use crate::proto::jid::Jid;
use crate::{choice, settings};

settings! {
    /// The whole configuration.
    pub struct Config {
        /// The server as a process.
        pub server: Server = Server::default();
        /// The domains served here. Accounts, certificates and policies belong to one of them.
        pub hosts: BTreeMap<String, Host> = BTreeMap::new();
        /// Where clients connect. Without any: one listener on all addresses, port 5222.
        pub listen: Vec<Listen> = vec![Listen::default()];
        /// Talking to other servers.
        pub federation: Federation = Federation::default();
        /// Web clients.
        pub http: Http = Http::default();
        /// Requests that features send to the web.
        pub web: Web = Web::default();
        /// STUN and TURN.
        pub relay: Relay = Relay::default();
        /// A program beside the server that serves domains of its own: a gateway, a bot (XEP-0114). It connects to a [[listen]]
        /// of the kind "component".
        pub components: BTreeMap<String, Component> = BTreeMap::new();
        /// Certificates and TLS.
        pub tls: Tls = Tls::default();
        /// How accounts log in.
        pub auth: Auth = Auth::default();
        /// What a stream, an address or an account may use.
        pub limits: Limits = Limits::default();
        /// Where messages and accounts are kept.
        pub store: Store = Store::default();
        /// Copies of the store.
        pub backup: Backup = Backup::default();
        /// What is logged.
        pub log: Log = Log::default();
        /// Figures for Prometheus and its like.
        pub metrics: Metrics = Metrics::default();
        /// The socket for `waxwing user …` and other commands.
        pub control: Control = Control::default();
        /// Who administers the server over XMPP, and the record of what was done.
        pub admin: Admin = Admin::default();
        /// Features.
        pub modules: Modules = Modules::default();
    }

    /// The server as a process.
    pub struct Server {
        /// Everything the server writes is below this directory; it belongs to the server alone (mode 0700).
        pub data_dir: PathBuf = PathBuf::from("/var/lib/waxwing") => restart();
        /// Threads for the network; 0 means one per processor.
        pub threads: u32 = 0 => within(0..=1024), restart();
        /// How long a shutdown may take to write everything and close the streams.
        pub drain_timeout: Period = Period::seconds(10) => within(Period::seconds(1)..=Period::minutes(10));
    }

    /// One listener.
    pub struct Listen {
        /// Who connects here: "client"; "http" for web clients alone, on a port of its own such as 443; or "component" for the
        /// programs of [components], on a port of its own such as 5347.
        pub kind: ListenKind = ListenKind::Client;
        /// Address and port; [::] takes IPv4 as well.
        pub address: SocketAddr = SocketAddr::from(([0u16; 8], 5222));
        /// "starttls-and-direct": the first byte tells which; "none": no TLS, allowed on loopback addresses or behind `proxies` only.
        /// Web clients and components begin with TLS or have none; components may have none on loopback addresses only.
        pub tls: ListenTls = ListenTls::StarttlsAndDirect;
        /// Who announces clients with the PROXY protocol, and must.
        pub proxies: Vec<Network> = Vec::new() => example("[\"192.0.2.7\", \"10.0.0.0/8\"]");
    }

    /// Certificates and TLS.
    pub struct Tls {
        /// Oldest version offered.
        pub minimum_version: TlsVersion = TlsVersion::Tls12;
        /// Certificates are looked for here as DOMAIN/fullchain.pem and DOMAIN/privkey.pem unless the host names its own; relative to `server.data_dir`.
        pub directory: PathBuf = PathBuf::from("certificates");
    }

    /// How accounts log in.
    pub struct Auth {
        /// SCRAM is offered also in its -PLUS form, bound to the TLS channel. "PLAIN" may be added for clients that know
        /// nothing better; whoever offers it gives up protection against downgrades.
        pub mechanisms: Vec<Mechanism> = vec![Mechanism::ScramSha512, Mechanism::ScramSha256, Mechanism::ScramSha1];
        /// PBKDF2 rounds for new passwords: more make a stolen database harder to guess and each login slower for the client.
        pub scram_iterations: u32 = 10_000 => within(4_096..=1_000_000);
        /// Failed logins of one address or account before further ones are delayed.
        pub failures_free: u32 = 5 => within(1..=1_000);
        /// First delay; it doubles with every further failure. An address from which an account logged in before does not wait for it.
        pub delay: Period = Period::seconds(1) => within(Period::seconds(0)..=Period::minutes(10));
        /// Longest delay.
        pub delay_max: Period = Period::seconds(60) => within(Period::seconds(0)..=Period::minutes(60));
        /// Failures are forgotten after this time.
        pub memory: Period = Period::minutes(60) => within(Period::minutes(1)..=Period::days(30));
    }

    /// Where messages and accounts are kept.
    pub struct Store {
        /// fjall keeps every acknowledged message over a power cut. sled does not: after a cut it may refuse to open
        /// (9 to 18 of 30 simulated cuts), and it needs two to four times the processor and disk. Both survive a crash of the server.
        pub engine: StoreEngine = StoreEngine::Fjall => restart();
        /// Directory of the store; relative to `server.data_dir`.
        pub path: PathBuf = PathBuf::from("store") => restart();
        /// Directory of the files that people upload; relative to `server.data_dir`. A backup of the store does not have them.
        pub files: PathBuf = PathBuf::from("files") => restart();
        /// Memory for recently used data.
        pub cache: Bytes = Bytes::mib(64) => within(Bytes::mib(4)..=Bytes::gib(256)), restart();
        /// Time between two syncs of the disk when messages come steadily: those that come meanwhile share one, which saves most of
        /// what a message costs and makes it at most so much later. A few in a row, or many at once, do not wait. "0s": each is synced at once.
        pub sync_interval: Period = Period::millis(20) => within(Period::millis(0)..=Period::millis(100)), restart();
        /// Free disk space below which nothing new is accepted; reading goes on, and removing, which makes room.
        pub reserve: Bytes = Bytes::mib(256) => within(Bytes(0)..=Bytes::gib(1024)), restart();
        /// Threads that read from the store.
        pub readers: u32 = 2 => within(2..=64), restart();
    }

    /// Copies of the store, made while the server runs. `waxwing restore` makes a store of one.
    pub struct Backup {
        /// Bytes of the store read in a second at most, so that nobody has to wait for a backup.
        pub rate: Bytes = Bytes::mib(32) => within(Bytes::mib(1)..=Bytes::gib(16));
        /// Where backups are made by themselves; relative to `server.data_dir`. Better another disk. Without it none are.
        pub directory: Option<PathBuf> = None => restart(), example("\"/mnt/other-disk/waxwing\"");
        /// Time from one to the next.
        pub every: Period = Period::days(1) => within(Period::minutes(1)..=Period::days(60)), restart();
        /// Backups that stay; older ones are removed when a new one is whole.
        pub keep: u32 = 7 => within(1..=10_000), restart();
    }

    /// What is logged. Never contents of messages, never secrets.
    pub struct Log {
        /// Level, and levels for parts of the server: "info", "warn,waxwing::net=debug".
        pub level: String = "info".to_owned();
        /// One line of text or one JSON object per event, on standard error.
        pub format: LogFormat = LogFormat::Text => restart();
    }

    /// Figures for Prometheus and its like, at http://ADDRESS/metrics. They name no accounts; docs/metrics.md lists them. At
    /// /healthz is said whether the server lives, at /readyz whether it takes work.
    pub struct Metrics {
        /// Where to listen; without it nowhere. There is no password: use a loopback address or a private network.
        pub listen: Option<SocketAddr> = None => example("\"127.0.0.1:5280\"");
    }

    /// The socket for administrative commands: only the server's own user and root may use it.
    pub struct Control {
        /// Relative to `server.data_dir`.
        pub socket: PathBuf = PathBuf::from("control.sock") => restart();
    }

    /// Who administers the server over XMPP, and the record of what was done (`waxwing audit list`).
    pub struct Admin {
        /// Accounts that may administer every domain; a domain may name its own besides.
        pub admins: Vec<Jid> = Vec::new() => example("[\"juliet@example.org\"]");
        /// How long it is kept who did what.
        pub audit_age: Period = Period::days(365) => within(Period::days(1)..=Period::days(36_500));
        /// Acts that are kept in the record; beyond it the oldest go.
        pub audit_entries: u32 = 10_000 => within(100..=1_000_000);
    }
}

impl Config {
    /// A path of the configuration, from the data directory unless it is absolute.
    pub fn in_data_dir(&self, path: &Path) -> PathBuf {
        self.server.data_dir.join(path)
    }

    /// Where the certificate of a domain is: the file with the chain, and that with the key unless it is the same.
    pub fn certificate(&self, domain: &str) -> (PathBuf, Option<PathBuf>) {
        if let Some(host) = self.hosts.get(domain)
            && let Some(chain) = &host.certificate
        {
            return (chain.clone(), host.key.clone());
        }
        let directory = self.in_data_dir(&self.tls.directory).join(domain);
        (
            directory.join("fullchain.pem"),
            Some(directory.join("privkey.pem")),
        )
    }
}

choice! {
    /// Who connects to a listener.
    pub enum ListenKind {
        /// Clients (RFC 6120).
        Client = "client",
        /// Web clients.
        Http = "http",
        /// Components of this server (XEP-0114).
        Component = "component",
    }

    /// How a listener does TLS.
    pub enum ListenTls {
        /// STARTTLS and direct TLS (XEP-0368) on one port.
        StarttlsAndDirect = "starttls-and-direct",
        /// None: loopback or trusted proxies only.
        None = "none",
    }

    /// TLS versions.
    pub enum TlsVersion {
        /// TLS 1.2 (RFC 5246)
        Tls12 = "1.2",
        /// TLS 1.3 (RFC 8446)
        Tls13 = "1.3",
    }

    /// SASL mechanisms for accounts.
    pub enum Mechanism {
        /// SCRAM-SHA-512 and SCRAM-SHA-512-PLUS
        ScramSha512 = "SCRAM-SHA-512",
        /// SCRAM-SHA-256 and SCRAM-SHA-256-PLUS (RFC 7677)
        ScramSha256 = "SCRAM-SHA-256",
        /// SCRAM-SHA-1 and SCRAM-SHA-1-PLUS (RFC 5802)
        ScramSha1 = "SCRAM-SHA-1",
        /// PLAIN (RFC 4616)
        Plain = "PLAIN",
    }

    /// Embedded store engines.
    pub enum StoreEngine {
        /// fjall
        Fjall = "fjall",
        /// sled
        Sled = "sled",
    }

    /// Form of log lines.
    pub enum LogFormat {
        /// One line of text per event.
        Text = "text",
        /// One JSON object per event.
        Json = "json",
    }
}
