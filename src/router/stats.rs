//! What is counted of the router.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};

use super::Router;
use crate::hooks::Deps;
use crate::metrics::{Counter, Registry};
use crate::session::stats::PerKind;

/// Counters of one router.
pub(super) struct Stats {
    /// Where they are, and where modules put theirs.
    pub(super) metrics: Registry,
    /// Stanzas from clients.
    pub(super) received: PerKind,
    /// Errors given back to senders.
    pub(super) bounced: Counter,
    /// Stanzas between two of whom nothing passes.
    pub(super) shut: Counter,
    /// Sessions that a client took up again.
    pub(super) resumed: Counter,
    /// Wishes to resume that found no session.
    pub(super) not_resumed: Counter,
    /// Detached sessions whose client did not come back in time.
    pub(super) expired: Counter,
    /// Sessions taken over from the process before this one.
    pub(super) restored: Counter,
    /// Bounds that were reached.
    pub(super) reached: Reached,
}

/// Bounds of accounts and of the server that were reached.
pub(super) struct Reached {
    pub(super) inbox: Counter,
    pub(super) sessions: Counter,
    pub(super) offline: Counter,
    pub(super) roster: Counter,
    pub(super) directed: Counter,
    pub(super) detached: Counter,
    pub(super) detached_per_account: Counter,
}

impl Stats {
    pub(super) fn new(metrics: Registry) -> Self {
        Stats {
            received: PerKind::new(
                &metrics,
                "waxwing_stanzas_received_total",
                "Stanzas that came from clients.",
            ),
            bounced: metrics.counter(
                "waxwing_stanzas_bounced_total",
                "Stanzas given back to their sender with an error.",
                &[],
            ),
            shut: metrics.counter(
                "waxwing_stanzas_shut_out_total",
                "Stanzas that did not pass because the administrator does not allow it.",
                &[],
            ),
            resumed: resumption(&metrics, "resumed"),
            not_resumed: resumption(&metrics, "not_found"),
            expired: resumption(&metrics, "expired"),
            restored: resumption(&metrics, "restored"),
            reached: Reached {
                inbox: metrics.limit("limits.account.inbox"),
                sessions: metrics.limit("limits.account.sessions"),
                offline: metrics.limit("limits.account.offline_messages"),
                roster: metrics.limit("limits.account.roster_items"),
                directed: metrics.limit("limits.session.directed_presence"),
                detached: metrics.limit("limits.resume.sessions"),
                detached_per_account: metrics.limit("limits.resume.sessions_per_account"),
            },
            metrics,
        }
    }

    /// Has the router looked at when somebody looks at the metrics.
    pub(super) fn watch(&self, router: Weak<Router>) {
        self.metrics.source(move |samples| {
            let Some(router) = router.upgrade() else {
                return;
            };
            let services = router.services.get().map_or(0, |services| services.len());
            let help = "Accounts and services that are in memory.";
            let mut owners = |kind, count: usize| {
                samples.gauge("waxwing_owners", help, &[("kind", kind)], count as f64);
            };
            owners("account", router.owners().len());
            owners("service", services);
            samples.gauge(
                "waxwing_sessions_detached",
                "Sessions without a connection that wait for their client.",
                &[],
                router.detached.count() as f64,
            );
            samples.gauge(
                "waxwing_sessions_detached_bytes",
                "Bytes that they hold for their clients.",
                &[],
                router.seats.detached_bytes.load(Ordering::Relaxed) as f64,
            );
            samples.gauge(
                "waxwing_questions_open",
                "Questions of the server to clients and others that are not answered yet.",
                &[],
                router.questions.count() as f64,
            );
        });
    }
}

fn resumption(metrics: &Registry, what: &str) -> Counter {
    metrics.counter(
        "waxwing_resumptions_total",
        "What became of sessions without a connection, and of wishes to resume one.",
        &[("outcome", what)],
    )
}

/// What the modules of all hosts stand on, besides the router.
pub struct Ground {
    /// Bounds of accounts.
    pub limits: crate::config::AccountLimits,
    /// Who administers what.
    pub administration: Arc<crate::config::Administration>,
    /// A secret of this installation.
    pub local: crate::stream::Secret,
    /// What may be done with accounts.
    pub accounts: Arc<dyn crate::hooks::AccountActs>,
    /// The way to the web.
    pub web: Arc<dyn crate::hooks::Web>,
    /// Where connections meet.
    pub meetings: Arc<dyn crate::hooks::Meetings>,
    /// Relays for calls.
    pub calls: Arc<dyn crate::hooks::Calls>,
    /// Where files lie.
    pub disk: crate::hooks::Disk,
}

impl Router {
    /// The metrics of this server.
    pub fn metrics(&self) -> &Registry {
        &self.stats.metrics
    }

    /// What a module of this host is built with, but for where its accounts log in over HTTPS.
    pub fn deps(
        self: &Arc<Self>,
        host: &crate::proto::jid::Jid,
        ground: &Ground,
        url: Option<String>,
    ) -> Deps {
        let Ground {
            limits,
            administration,
            local,
            accounts,
            web,
            meetings,
            calls,
            disk,
        } = ground;
        Deps {
            host: host.clone(),
            store: self.store.clone(),
            clock: self.clock.clone(),
            limits: limits.clone(),
            administration: administration.clone(),
            local: local.clone(),
            accounts: accounts.clone(),
            metrics: self.stats.metrics.clone(),
            floor: self.clone(),
            web: web.clone(),
            meetings: meetings.clone(),
            port: None,
            calls: calls.clone(),
            url,
            streams: Vec::new(),
            shared: self.shared.clone(),
            disk: disk.clone(),
        }
    }
}
