//! On what terms other servers are talked to: everything a reload may change.

use std::sync::Arc;
use std::time::Duration;

use super::flow::Capacity;
use super::meters::Rates;
use super::pair::Times;
use super::policy::Policy;
use super::resolve::Resolver;
use super::shelf::Bounds;
use crate::config::Federation;
use crate::net::tls::Trust;

/// What holds until the next reload.
pub struct Terms {
    /// Which domains, and how.
    pub policy: Policy,
    /// The authorities.
    pub trust: Trust,
    /// DNS.
    pub resolver: Arc<Resolver>,
    /// Streams both ways.
    pub bidi: bool,
    /// How much is kept for those that are away.
    pub(crate) bounds: Bounds,
    /// When they are called, and given up.
    pub(crate) times: Times,
    /// To reach one server.
    pub connect_timeout: Duration,
    /// Silence after which a stream is closed.
    pub idle_after: Duration,
    /// How long a stream that lost its connection may be resumed; zero: never.
    pub resume_for: Duration,
    /// How many such streams there may be.
    pub resumable: u64,
    /// Connections of one domain.
    pub connections_per_domain: u32,
    /// What one domain may send.
    pub(super) rates: Rates,
    /// How much one stream holds.
    pub(crate) capacity: Capacity,
}

impl Terms {
    /// As configured.
    pub fn new(config: &Federation, trust: Trust, resolver: Arc<Resolver>) -> Terms {
        Terms {
            policy: Policy::new(config),
            trust,
            resolver,
            bidi: config.bidi,
            bounds: Bounds {
                messages: config.queue_messages.into(),
                bytes: config.queue_bytes.0,
                bytes_total: config.queue_bytes_total.0,
            },
            times: Times {
                retry: config.retry.0,
                retry_max: config.retry_max.0,
                give_up_after: config.give_up_after.0,
                lost_after: Some(config.lost_after.0),
            },
            connect_timeout: config.connect_timeout.0,
            idle_after: config.idle_after.0,
            resume_for: config.resume_for.0,
            resumable: config.resumable.into(),
            connections_per_domain: config.connections_per_domain,
            rates: Rates::new(config),
            capacity: Capacity::new(
                config.stream_stanzas,
                config.stream_bytes,
                config.stream_passing,
                config.stream_window,
            ),
        }
    }
}
