//! What one other domain may do, on however many streams: connections, and stanzas and bytes a second.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, Weak};
use std::time::{Duration, Instant};

use super::house::lock;
use crate::config::Federation;
use crate::metrics::{Counter, Registry};
use crate::proto::jid::Jid;
use crate::runtime::bucket::Bucket;

/// What may be saved up, in seconds of the rate.
const BURST: u32 = 4;

/// How much a second.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Rates {
    pub stanzas: u32,
    pub bytes: u32,
}

impl Rates {
    pub fn new(config: &Federation) -> Rates {
        let bytes = config.domain_bytes_per_second.0;
        Rates {
            stanzas: config.domain_stanzas_per_second,
            bytes: u32::try_from(bytes).unwrap_or(u32::MAX),
        }
    }

    fn buckets(self) -> (Bucket, Bucket) {
        let bucket = |rate: u32| Bucket::new(rate, rate.saturating_mul(BURST));
        (bucket(self.stanzas), bucket(self.bytes))
    }
}

/// One domain, as long as there is a stream with it.
pub(super) struct Meter {
    buckets: Mutex<(Bucket, Bucket)>,
    /// Streams that it opened, by the domain of ours that they were opened to.
    incoming: Mutex<HashMap<Jid, u32>>,
}

impl Meter {
    /// A stanza of so many bytes came; how long to wait before more is read.
    pub fn charge(&self, bytes: usize, now: Instant) -> Duration {
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        let mut buckets = lock(&self.buckets);
        let stanzas = buckets.0.take(1, now);
        stanzas.max(buckets.1.take(bytes, now))
    }

    /// One more stream that it opened to a domain of ours; how many there are.
    pub fn enter(&self, local: &Jid) -> u32 {
        let mut incoming = lock(&self.incoming);
        let count = incoming.entry(local.clone()).or_default();
        *count = count.saturating_add(1);
        *count
    }

    /// One less.
    pub fn leave(&self, local: &Jid) {
        let mut incoming = lock(&self.incoming);
        if let Some(count) = incoming.get_mut(local) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                incoming.remove(local);
            }
        }
    }
}

/// The meters of all domains there are streams with.
pub(super) struct Meters {
    domains: Mutex<HashMap<Box<str>, Weak<Meter>>>,
    pub too_many: Counter,
    pub too_fast: Counter,
}

impl Meters {
    pub fn new(metrics: &Registry) -> Meters {
        Meters {
            domains: Mutex::default(),
            too_many: metrics.limit("federation.connections_per_domain"),
            too_fast: metrics.limit("federation.domain_stanzas_per_second"),
        }
    }

    /// That of a domain.
    pub fn of(&self, domain: &str, rates: Rates) -> Arc<Meter> {
        let mut domains = lock(&self.domains);
        if let Some(meter) = domains.get(domain).and_then(Weak::upgrade) {
            return meter;
        }
        let meter = Arc::new(Meter {
            buckets: Mutex::new(rates.buckets()),
            incoming: Mutex::default(),
        });
        domains.insert(domain.into(), Arc::downgrade(&meter));
        meter
    }

    /// Other rates, for streams that are there as well.
    pub fn renew(&self, rates: Rates) {
        for meter in lock(&self.domains).values().filter_map(Weak::upgrade) {
            *lock(&meter.buckets) = rates.buckets();
        }
    }

    /// Forgets domains there are no streams with.
    pub fn sweep(&self) {
        lock(&self.domains).retain(|_, meter| meter.strong_count() > 0);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn connections_are_counted_for_each_domain_of_ours() {
        let meters = Meters::new(&Registry::default());
        let rates = Rates {
            stanzas: 10,
            bytes: 1_000,
        };
        let meter = meters.of("a.example", rates);
        let [one, other] = ["one.example", "other.example"].map(|name| Jid::parse(name).unwrap());
        assert_eq!((meter.enter(&one), meter.enter(&one)), (1, 2));
        assert_eq!(meter.enter(&other), 1);
        meter.leave(&one);
        meter.leave(&one);
        meter.leave(&one);
        assert_eq!(meter.enter(&one), 1);
    }

    #[test]
    fn all_streams_of_a_domain_share_its_rate() {
        let meters = Meters::new(&Registry::default());
        let rates = Rates {
            stanzas: 10,
            bytes: 1_000,
        };
        let (one, other) = (meters.of("a.example", rates), meters.of("a.example", rates));
        let now = Instant::now();
        for _ in 0..20 {
            assert_eq!(one.charge(1, now), Duration::ZERO);
            assert_eq!(other.charge(1, now), Duration::ZERO);
        }
        assert_eq!(other.charge(1, now), Duration::from_millis(100));
        let elsewhere = meters.of("b.example", rates);
        assert_eq!(elsewhere.charge(4_000, now), Duration::ZERO);
        assert_eq!(elsewhere.charge(500, now), Duration::from_millis(500));
        drop((one, other));
        meters.sweep();
        let again = meters.of("a.example", rates);
        assert_eq!(again.charge(1, now), Duration::ZERO, "it was forgotten");
    }
}
