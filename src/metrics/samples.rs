//! Figures at one moment, and how they are written.

use std::collections::BTreeMap;
use std::fmt::Write;

use super::latency::{BOUNDS_MICROS, Measured};

/// Names and values that tell the figures of one name apart.
pub type Labels<'a> = &'a [(&'static str, &'a str)];

/// What a figure means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Only grows, from the start of the server.
    Counter,
    /// How it is now.
    Gauge,
    /// How often what took how long.
    Histogram,
}

impl Kind {
    /// As Prometheus calls it.
    pub fn as_str(self) -> &'static str {
        match self {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        }
    }
}

/// All figures at one moment, by name.
#[derive(Debug, Default)]
pub struct Samples(BTreeMap<&'static str, Family>);

#[derive(Debug)]
struct Family {
    help: &'static str,
    kind: Kind,
    /// Suffix of the name, labels as they are written, value; in the order in which they are written.
    rows: Vec<(&'static str, String, f64)>,
}

impl Samples {
    /// A figure that only grows.
    pub fn counter(&mut self, name: &'static str, help: &'static str, of: Labels<'_>, value: u64) {
        self.put(name, help, Kind::Counter, &labels(of), value as f64);
    }

    /// A figure that only grows and is no whole number.
    pub fn total(&mut self, name: &'static str, help: &'static str, value: f64) {
        self.put(name, help, Kind::Counter, "", value);
    }

    /// How it is now.
    pub fn gauge(&mut self, name: &'static str, help: &'static str, of: Labels<'_>, value: f64) {
        self.put(name, help, Kind::Gauge, &labels(of), value);
    }

    /// A histogram of times.
    pub fn latency(
        &mut self,
        name: &'static str,
        help: &'static str,
        of: Labels<'_>,
        measured: &Measured,
    ) {
        self.put_latency(name, help, &labels(of), measured);
    }

    /// The figure of this name and these labels.
    pub fn value(&self, name: &str, of: Labels<'_>) -> Option<f64> {
        let wanted = labels(of);
        let mut rows = self.0.get(name)?.rows.iter();
        let (_, _, value) =
            rows.find(|(suffix, labels, _)| suffix.is_empty() && *labels == wanted)?;
        Some(*value)
    }

    /// The sum over all labels of this name.
    pub fn sum(&self, name: &str) -> f64 {
        let rows = self.0.get(name).into_iter().flat_map(|family| &family.rows);
        // The sum of nothing would be -0.
        rows.fold(0.0, |sum, (_, _, value)| sum + value)
    }

    /// Label text and value of every figure of this name that is not zero, such as (`{limit="x"}`, 3).
    pub fn each(&self, name: &str) -> Vec<(&str, f64)> {
        let rows = self.0.get(name).into_iter().flat_map(|family| &family.rows);
        rows.filter(|(_, _, value)| *value != 0.0)
            .map(|(_, labels, value)| (labels.as_str(), *value))
            .collect()
    }

    /// The Prometheus text format, version 0.0.4.
    pub fn render(&self) -> String {
        let mut out = String::new();
        for (name, family) in &self.0 {
            let _ = writeln!(out, "# HELP {name} {}", family.help);
            let _ = writeln!(out, "# TYPE {name} {}", family.kind.as_str());
            for (suffix, labels, value) in &family.rows {
                let _ = writeln!(out, "{name}{suffix}{labels} {value}");
            }
        }
        out
    }

    /// A table of what there is, in Markdown: name, kind, labels, meaning.
    pub fn table(&self) -> String {
        let mut out = String::from("| name | kind | labels | meaning |\n|---|---|---|---|\n");
        for (name, family) in &self.0 {
            let labels = family
                .rows
                .first()
                .map(|(_, labels, _)| label_names(labels));
            let _ = writeln!(
                out,
                "| `{name}` | {} | {} | {} |",
                family.kind.as_str(),
                labels.unwrap_or_default(),
                family.help.replace('|', "\\|")
            );
        }
        out
    }

    pub(super) fn put(
        &mut self,
        name: &'static str,
        help: &'static str,
        kind: Kind,
        labels: &str,
        value: f64,
    ) {
        let family = self.family(name, help, kind);
        family.rows.push(("", labels.to_owned(), value));
    }

    pub(super) fn put_latency(
        &mut self,
        name: &'static str,
        help: &'static str,
        labels: &str,
        measured: &Measured,
    ) {
        let family = self.family(name, help, Kind::Histogram);
        for (bound, within) in BOUNDS_MICROS.iter().zip(&measured.within) {
            let labels = with(labels, &(*bound as f64 / 1e6).to_string());
            family.rows.push(("_bucket", labels, *within as f64));
        }
        let count = measured.count as f64;
        family.rows.push(("_bucket", with(labels, "+Inf"), count));
        family
            .rows
            .push(("_sum", labels.to_owned(), measured.micros as f64 / 1e6));
        family.rows.push(("_count", labels.to_owned(), count));
    }

    fn family(&mut self, name: &'static str, help: &'static str, kind: Kind) -> &mut Family {
        self.0.entry(name).or_insert_with(|| Family {
            help,
            kind,
            rows: Vec::new(),
        })
    }
}

/// `{name="value",…}`; empty without any.
pub(super) fn labels(labels: Labels<'_>) -> String {
    if labels.is_empty() {
        return String::new();
    }
    let pairs = labels
        .iter()
        .map(|(name, value)| format!("{name}=\"{}\"", escaped(value)));
    format!("{{{}}}", pairs.collect::<Vec<_>>().join(","))
}

fn escaped(value: &str) -> String {
    value
        .replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace('\n', "\\n")
}

fn with(labels: &str, bound: &str) -> String {
    match labels.strip_suffix('}') {
        Some(labels) => format!("{labels},le=\"{bound}\"}}"),
        None => format!("{{le=\"{bound}\"}}"),
    }
}

fn label_names(labels: &str) -> String {
    let inner = labels.trim_start_matches('{').trim_end_matches('}');
    let names = inner.split("\",").filter_map(|pair| pair.split_once('='));
    let names = names.map(|(name, _)| name).filter(|name| *name != "le");
    names.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_in_a_label_cannot_end_it() {
        let mut samples = Samples::default();
        samples.counter("x_total", "X.", &[("a", "b\"c\\d\ne"), ("f", "g")], 1);
        assert_eq!(
            samples.render(),
            "# HELP x_total X.\n# TYPE x_total counter\nx_total{a=\"b\\\"c\\\\d\\ne\",f=\"g\"} 1\n"
        );
        assert!(
            samples
                .table()
                .contains("| `x_total` | counter | a, f | X. |")
        );
    }
}
