//! The registry: every counter by name and labels, and the sources that are asked when somebody looks.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::samples::{Kind, Labels, Samples};
use super::{Counter, Gauge, Latency};

/// Different labels of one name; what comes beyond is counted where nobody sees it.
const MOST_LABELS: usize = 1_000;

/// Gathers the metrics of one server. Clones are the same registry.
#[derive(Clone, Default)]
pub struct Registry(Arc<Inner>);

#[derive(Default)]
struct Inner {
    families: Mutex<BTreeMap<&'static str, Family>>,
    sources: Mutex<Vec<Source>>,
}

type Source = Box<dyn Fn(&mut Samples) + Send + Sync>;

struct Family {
    help: &'static str,
    series: BTreeMap<String, Series>,
}

#[derive(Clone)]
enum Series {
    Counter(Counter),
    Gauge(Gauge),
    Latency(Latency),
}

impl Registry {
    /// The counter of this name (`waxwing_…_total`) with these labels. The same name and labels are the same counter, so
    /// that a module that is built anew goes on counting. Labels have few values: never addresses of people.
    pub fn counter(&self, name: &'static str, help: &'static str, labels: Labels<'_>) -> Counter {
        let new = Series::Counter(Counter::default());
        match self.series(name, help, labels, new) {
            Some(Series::Counter(counter)) => counter,
            _ => Counter::default(),
        }
    }

    /// The gauge of this name with these labels.
    pub fn gauge(&self, name: &'static str, help: &'static str, labels: Labels<'_>) -> Gauge {
        match self.series(name, help, labels, Series::Gauge(Gauge::default())) {
            Some(Series::Gauge(gauge)) => gauge,
            _ => Gauge::default(),
        }
    }

    /// The histogram of this name (`waxwing_…_seconds`) with these labels.
    pub fn latency(&self, name: &'static str, help: &'static str, labels: Labels<'_>) -> Latency {
        match self.series(name, help, labels, Series::Latency(Latency::default())) {
            Some(Series::Latency(latency)) => latency,
            _ => Latency::default(),
        }
    }

    /// How often a bound of the configuration was reached; `key` as in `limits.account.inbox`.
    pub fn limit(&self, key: &'static str) -> Counter {
        self.counter(
            "waxwing_limits_reached_total",
            "Times that a bound was reached, by its key in the configuration.",
            &[("limit", key)],
        )
    }

    /// Has `source` asked for figures whenever somebody looks. It must not wait.
    pub fn source(&self, source: impl Fn(&mut Samples) + Send + Sync + 'static) {
        lock(&self.0.sources).push(Box::new(source));
    }

    /// Everything as it is now.
    pub fn samples(&self) -> Samples {
        let mut samples = Samples::default();
        for (name, family) in lock(&self.0.families).iter() {
            for (labels, series) in &family.series {
                match series {
                    Series::Counter(counter) => {
                        samples.put(
                            name,
                            family.help,
                            Kind::Counter,
                            labels,
                            counter.value() as f64,
                        );
                    }
                    Series::Gauge(gauge) => {
                        samples.put(name, family.help, Kind::Gauge, labels, gauge.value() as f64);
                    }
                    Series::Latency(latency) => {
                        samples.put_latency(name, family.help, labels, &latency.measured());
                    }
                }
            }
        }
        for source in lock(&self.0.sources).iter() {
            source(&mut samples);
        }
        samples
    }

    fn series(
        &self,
        name: &'static str,
        help: &'static str,
        labels: Labels<'_>,
        new: Series,
    ) -> Option<Series> {
        let mut families = lock(&self.0.families);
        let family = families.entry(name).or_insert_with(|| Family {
            help,
            series: BTreeMap::new(),
        });
        let labels = super::samples::labels(labels);
        if !family.series.contains_key(&labels) && family.series.len() >= MOST_LABELS {
            tracing::warn!(name, "too many different labels; the rest is not shown");
            return None;
        }
        Some(family.series.entry(labels).or_insert(new).clone())
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn the_same_name_and_labels_count_together() {
        let registry = Registry::default();
        let one = registry.counter("a_total", "A.", &[("host", "x")]);
        registry.counter("a_total", "A.", &[("host", "x")]).add(2);
        registry.counter("a_total", "A.", &[("host", "y")]).count();
        one.count();
        let samples = registry.samples();
        assert_eq!(samples.value("a_total", &[("host", "x")]), Some(3.0));
        assert_eq!(samples.value("a_total", &[("host", "y")]), Some(1.0));
    }

    #[test]
    fn labels_have_a_bound() {
        let registry = Registry::default();
        for n in 0..2 * MOST_LABELS {
            registry
                .counter("a_total", "A.", &[("n", &n.to_string())])
                .count();
        }
        let text = registry.samples().render();
        assert_eq!(text.lines().count(), MOST_LABELS + 2);
    }

    #[test]
    fn sources_are_asked_when_somebody_looks() {
        let registry = Registry::default();
        let gauge = registry.gauge("now", "Now.", &[]);
        let shared = gauge.clone();
        registry.source(move |samples| {
            samples.gauge("twice", "Twice.", &[], 2.0 * shared.value() as f64);
        });
        gauge.up();
        gauge.up();
        gauge.down();
        assert_eq!(registry.samples().value("twice", &[]), Some(2.0));
        gauge.down();
        gauge.down();
        assert_eq!(registry.samples().value("now", &[]), Some(0.0));
    }

    #[test]
    fn a_histogram_is_written_as_prometheus_reads_it() {
        let registry = Registry::default();
        let latency = registry.latency("t_seconds", "T.", &[("a", "b")]);
        latency.took(Duration::from_micros(200));
        let text = registry.samples().render();
        let expected = [
            "# HELP t_seconds T.",
            "# TYPE t_seconds histogram",
            "t_seconds_bucket{a=\"b\",le=\"0.0001\"} 0",
            "t_seconds_bucket{a=\"b\",le=\"0.00025\"} 1",
        ];
        assert!(text.starts_with(&expected.join("\n")), "{text}");
        let end = "t_seconds_bucket{a=\"b\",le=\"+Inf\"} 1\nt_seconds_sum{a=\"b\"} 0.0002\nt_seconds_count{a=\"b\"} 1\n";
        assert!(text.ends_with(end), "{text}");
    }
}
