//! What is counted of links with other servers, and how they are now.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, Weak};

use super::House;
use super::house::lock;
use super::keeper::Key;
use super::trouble::Trouble;
use crate::metrics::{Counter, Registry};
use crate::session::owners::OwnerKey;

/// What a link can be doing, as metrics and lists say it.
const STATES: [&str; 7] = [
    "resolving",
    "connecting",
    "negotiating",
    "established",
    "broken",
    "waiting",
    "idle",
];

/// How far calls are, and why those that failed did.
pub(super) struct Stats {
    /// By pair.
    calls: Arc<Mutex<HashMap<Box<str>, &'static str>>>,
    failures: [(&'static str, Counter); 6],
}

/// A call under way; dropped when it came through or failed.
pub(super) struct Calling {
    calls: Arc<Mutex<HashMap<Box<str>, &'static str>>>,
    pair: Option<Box<str>>,
}

impl Calling {
    /// One of which nobody is told.
    pub fn unseen() -> Calling {
        Calling {
            calls: Arc::default(),
            pair: None,
        }
    }

    /// What is done now.
    pub fn is(&self, state: &'static str) {
        if let Some(pair) = &self.pair {
            lock(&self.calls).insert(pair.clone(), state);
        }
    }
}

impl Drop for Calling {
    fn drop(&mut self) {
        if let Some(pair) = &self.pair {
            lock(&self.calls).remove(pair);
        }
    }
}

impl Stats {
    pub fn new(metrics: &Registry) -> Stats {
        let reasons = ["nothing", "policy", "dns", "unreachable", "stream", "other"];
        Stats {
            calls: Arc::default(),
            failures: reasons.map(|reason| {
                let counter = metrics.counter(
                    "waxwing_federation_failures_total",
                    "Calls to other servers that did not come through, by reason.",
                    &[("reason", reason)],
                );
                (reason, counter)
            }),
        }
    }

    /// A pair is called.
    pub fn calling(&self, key: &Key) -> Calling {
        let calling = Calling {
            calls: self.calls.clone(),
            pair: Some(key.as_key().into()),
        };
        calling.is("resolving");
        calling
    }

    /// How far the call of a pair is.
    pub fn stage(&self, key: &Key) -> &'static str {
        let stage = lock(&self.calls).get(key.as_key()).copied();
        stage.unwrap_or("connecting")
    }

    pub fn failed(&self, trouble: &Trouble) {
        let reason = match trouble {
            Trouble::Nothing(_) => "nothing",
            Trouble::Policy(_) => "policy",
            Trouble::Dns(_) | Trouble::Unproven(_) => "dns",
            Trouble::Dial(_) => "unreachable",
            Trouble::Stream(_) => "stream",
            _ => "other",
        };
        let counter = self.failures.iter().find(|(name, _)| *name == reason);
        if let Some((_, counter)) = counter {
            counter.count();
        }
    }
}

/// Has the links looked at when somebody looks at the metrics.
pub(super) fn watch(metrics: &Registry, house: Weak<House>) {
    metrics.source(move |samples| {
        let Some(house) = house.upgrade() else {
            return;
        };
        let states = house.states();
        for state in STATES {
            let count = states.iter().filter(|(_, own, _)| *own == state).count();
            samples.gauge(
                "waxwing_federation_links",
                "Pairs of a domain here and another that have something to do with each other, by what their link does.",
                &[("state", state)],
                count as f64,
            );
        }
        let told: Vec<_> = house.lines().iter().map(|line| line.told()).collect();
        for (direction, incoming) in [("in", true), ("out", false)] {
            let count = told.iter().filter(|told| told.incoming == incoming).count();
            samples.gauge(
                "waxwing_federation_streams",
                "Streams with other servers, by who opened them.",
                &[("direction", direction)],
                count as f64,
            );
        }
        let waiting: usize = told.iter().map(|told| told.waiting).sum();
        samples.gauge(
            "waxwing_federation_queued_stanzas",
            "Stanzas in memory that wait to be written to other servers, or to be acknowledged by them.",
            &[],
            waiting as f64,
        );
        let (stanzas, bytes) = house.shelf.kept_in_all();
        samples.gauge(
            "waxwing_federation_kept_stanzas",
            "Stanzas kept on disk for other servers until these have them.",
            &[],
            stanzas as f64,
        );
        samples.gauge(
            "waxwing_federation_kept_bytes",
            "Their bytes.",
            &[],
            bytes as f64,
        );
    });
}
