//! What the machine is configured with: limits, hosts, login policy.

use std::sync::Arc;
use std::time::Duration;

use super::sasl::hash::ScramHash;
use super::sasl::secret::Secret;
use super::tables::Tables;
use crate::proto::Jid;
use crate::xml::Limits;

/// Shared by all streams of a listener.
pub struct Settings {
    /// The domains served.
    pub hosts: Arc<dyn Hosts>,
    /// Sizes and times.
    pub limits: StreamLimits,
    /// A server secret of at least 32 bytes that outlives restarts: stable resources are made of it.
    pub key: Secret,
}

/// Sizes and times of a stream.
#[derive(Clone, Debug)]
pub struct StreamLimits {
    /// For everything before authentication (10 kB).
    pub before_login: Limits,
    /// For everything after it (256 kB).
    pub after_login: Limits,
    /// From the connection to the first header.
    pub header: Duration,
    /// From the connection to authentication, everything included (30 s).
    pub login: Duration,
    /// From authentication to the bound resource.
    pub bind: Duration,
    /// How long to wait for the peer's footer after ours (RFC 6120 §4.4).
    pub close: Duration,
    /// Silence after which the driver looks whether the peer is alive; announced by XEP-0478.
    pub idle: Duration,
}

/// The domains served here.
pub trait Hosts: Send + Sync {
    /// The host called `domain` (canonical form).
    fn host(&self, domain: &str) -> Option<Arc<Host>>;

    /// Whose name stands in the header before an error that concerns no host (RFC 6120 §4.9.1.3).
    fn default_host(&self) -> Arc<Host>;
}

/// One domain.
pub struct Host {
    /// The domain.
    pub domain: Jid,
    /// How one logs in.
    pub mechanisms: Mechanisms,
    /// What the modules registered.
    pub tables: Arc<Tables>,
}

/// Which SASL mechanisms a host offers. None is offered before TLS, unless the peer is secure by place.
#[derive(Clone, Debug)]
pub struct Mechanisms {
    /// Hashes for SCRAM, each also as -PLUS where the connection can be bound to.
    pub scram: Vec<ScramHash>,
    /// SASL PLAIN. Whoever offers it gives up downgrade protection (XEP-0474 §7).
    pub plain: bool,
    /// SASL ANONYMOUS (XEP-0175).
    pub anonymous: bool,
    /// Hashes to which accounts without them are upgraded (XEP-0480).
    pub upgrades: Vec<ScramHash>,
    /// PBKDF2 rounds for new keys; at least 4096 (RFC 7677 §4).
    pub iterations: u32,
}
