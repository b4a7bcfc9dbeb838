//! What is counted of sessions.

use crate::metrics::{Counter, Gauge, Registry};
use crate::proto::stanza::Kind;

/// Counters of all sessions of a server.
pub struct Stats {
    /// Sessions there are.
    pub sessions: Gauge,
    /// Stanzas queued for clients.
    pub sent: PerKind,
    /// Times that a session's queue had no room.
    pub full: Counter,
    /// Sessions ended because their client never acknowledged.
    pub unacknowledged: Counter,
}

impl Stats {
    /// Counts into `metrics`.
    pub fn new(metrics: &Registry) -> Self {
        Stats {
            sessions: metrics.gauge(
                "waxwing_sessions",
                "Sessions that are bound, those waiting for their client to come back included.",
                &[],
            ),
            sent: PerKind::new(
                metrics,
                "waxwing_stanzas_sent_total",
                "Stanzas queued for clients.",
            ),
            full: metrics.limit("limits.session.outgoing"),
            unacknowledged: metrics.limit("limits.session.unacknowledged"),
        }
    }
}

/// A counter for each kind of stanza.
pub struct PerKind {
    message: Counter,
    presence: Counter,
    iq: Counter,
}

impl PerKind {
    /// Counters of this name in `metrics`, with the label `kind`.
    pub fn new(metrics: &Registry, name: &'static str, help: &'static str) -> Self {
        let of = |kind| metrics.counter(name, help, &[("kind", kind)]);
        PerKind {
            message: of("message"),
            presence: of("presence"),
            iq: of("iq"),
        }
    }

    /// Counts one.
    pub fn count(&self, kind: Kind) {
        match kind {
            Kind::Message(_) => self.message.count(),
            Kind::Presence(_) => self.presence.count(),
            Kind::Iq(_) => self.iq.count(),
        }
    }
}
