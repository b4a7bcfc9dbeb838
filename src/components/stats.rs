//! What is counted of components.

use std::sync::Weak;

use super::Components;
use crate::metrics::{Counter, Registry};

/// Counters of all components together.
pub(super) struct Stats {
    pub received: Counter,
    pub sent: Counter,
    pub refused: Counter,
    pub conflicts: Counter,
}

impl Stats {
    pub fn new(metrics: &Registry) -> Stats {
        let stanzas = |way| {
            metrics.counter(
                "waxwing_component_stanzas_total",
                "Stanzas from and to components.",
                &[("direction", way)],
            )
        };
        let refused = |reason| {
            metrics.counter(
                "waxwing_component_refusals_total",
                "Streams of components that did not come about.",
                &[("reason", reason)],
            )
        };
        Stats {
            received: stanzas("in"),
            sent: stanzas("out"),
            refused: refused("secret"),
            conflicts: refused("conflict"),
        }
    }
}

/// Has the components looked at when somebody looks at the metrics.
pub(super) fn watch(metrics: &Registry, house: Weak<Components>) {
    metrics.source(move |samples| {
        let Some(house) = house.upgrade() else {
            return;
        };
        for one in house.list() {
            let labels = [("component", one.domain.as_str())];
            let connected = f64::from(u8::from(one.address.is_some()));
            samples.gauge(
                "waxwing_component_connected",
                "Whether the component of a domain is connected.",
                &labels,
                connected,
            );
            samples.gauge(
                "waxwing_component_kept",
                "Stanzas kept for a component until it has them.",
                &labels,
                one.kept as f64,
            );
        }
    });
}
