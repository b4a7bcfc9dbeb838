//! What the figures were in the last hour.

use std::collections::VecDeque;

use crate::metrics::Samples;

/// Looks that are remembered: an hour.
const LOOKS: usize = 360;

/// What a figure is to be shown as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// As it is.
    Level,
    /// By how much it grows in a second.
    Rate,
}

/// What numbers count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unit {
    Number,
    Bytes,
}

/// One chart: a line for each of its figures, of which all have the same kind and unit.
pub(super) struct Chart {
    pub(super) title: &'static str,
    pub(super) kind: Kind,
    pub(super) unit: Unit,
    /// What a line is called, and the metric that it is of.
    pub(super) lines: &'static [(&'static str, &'static str)],
}

const fn chart(
    title: &'static str,
    kind: Kind,
    unit: Unit,
    lines: &'static [(&'static str, &'static str)],
) -> Chart {
    Chart {
        title,
        kind,
        unit,
        lines,
    }
}

/// All charts, in their order.
pub(super) const CHARTS: &[Chart] = &[
    chart(
        "Sessions",
        Kind::Level,
        Unit::Number,
        &[
            ("all", "waxwing_sessions"),
            ("waiting for their client", "waxwing_sessions_detached"),
        ],
    ),
    chart(
        "Stanzas in a second",
        Kind::Rate,
        Unit::Number,
        &[
            ("received", "waxwing_stanzas_received_total"),
            ("sent", "waxwing_stanzas_sent_total"),
        ],
    ),
    chart(
        "Bytes in a second",
        Kind::Rate,
        Unit::Bytes,
        &[
            ("received", "waxwing_received_bytes_total"),
            ("sent", "waxwing_sent_bytes_total"),
        ],
    ),
    chart(
        "Store, in a second",
        Kind::Rate,
        Unit::Number,
        &[
            ("changes", "waxwing_store_commits_total"),
            ("reads", "waxwing_store_reads_total"),
        ],
    ),
    chart(
        "Memory",
        Kind::Level,
        Unit::Bytes,
        &[
            ("in use", "waxwing_memory_bytes"),
            ("ceiling", "waxwing_memory_ceiling_bytes"),
        ],
    ),
    chart(
        "Web requests in a second",
        Kind::Rate,
        Unit::Number,
        &[("answered", "waxwing_http_requests_total")],
    ),
    chart(
        "For other servers",
        Kind::Level,
        Unit::Number,
        &[
            ("stanzas kept", "waxwing_federation_kept_stanzas"),
            ("stanzas queued", "waxwing_federation_queued_stanzas"),
        ],
    ),
];

/// One look: when, and every figure of every chart.
struct Look {
    at: u64,
    values: Vec<f64>,
}

/// The looks of the last hour.
#[derive(Default)]
pub(super) struct History(VecDeque<Look>);

impl History {
    /// Looks once more, at this time in milliseconds.
    pub(super) fn look(&mut self, samples: &Samples, at: u64) {
        let figures = CHARTS.iter().flat_map(|chart| chart.lines);
        let values = figures.map(|(_, metric)| samples.sum(metric)).collect();
        if self.0.len() >= LOOKS {
            self.0.pop_front();
        }
        self.0.push_back(Look { at, values });
    }

    /// What a line of a chart shows: a number for each look, or each time between two.
    pub(super) fn line(&self, chart: &Chart, metric: &str) -> Vec<f64> {
        let mut figures = CHARTS.iter().flat_map(|chart| chart.lines);
        let Some(at) = figures.position(|(_, known)| *known == metric) else {
            return Vec::new();
        };
        let value = |look: &Look| look.values.get(at).copied().unwrap_or(0.0);
        match chart.kind {
            Kind::Level => self.0.iter().map(value).collect(),
            Kind::Rate => {
                let pairs = self.0.iter().zip(self.0.iter().skip(1));
                let rate = |(before, after): (&Look, &Look)| {
                    let seconds = after.at.saturating_sub(before.at) as f64 / 1000.0;
                    let grown = (value(after) - value(before)).max(0.0);
                    if seconds > 0.0 { grown / seconds } else { 0.0 }
                };
                pairs.map(rate).collect()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn samples(sessions: f64, received: u64) -> Samples {
        let mut samples = Samples::default();
        samples.gauge("waxwing_sessions", "", &[], sessions);
        for kind in ["message", "iq"] {
            let kind = [("kind", kind)];
            samples.counter("waxwing_stanzas_received_total", "", &kind, received);
        }
        samples
    }

    #[test]
    fn levels_are_as_they_are_and_rates_by_the_second() {
        let mut history = History::default();
        for (at, sessions, received) in [(0, 1.0, 0), (10_000, 2.0, 50), (10_000, 3.0, 60)] {
            history.look(&samples(sessions, received), at);
        }
        let [sessions, stanzas, ..] = CHARTS else {
            return;
        };
        assert_eq!(history.line(sessions, "waxwing_sessions"), [1.0, 2.0, 3.0]);
        let received = history.line(stanzas, "waxwing_stanzas_received_total");
        assert_eq!(received, [10.0, 0.0]);
        for at in 0..1_000 {
            history.look(&samples(0.0, 0), at);
        }
        assert_eq!(history.line(sessions, "waxwing_sessions").len(), LOOKS);
    }
}
