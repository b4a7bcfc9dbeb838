//! How the running server is, for the administrator.

use std::sync::Arc;
use std::time::Duration;

use super::live::Live;
use crate::admin::{Act, ActError, ComponentInfo, End, Ending, Link, Operations, Reloaded, Status};
use crate::config::{Bytes, Log, Period};
use crate::federation::House;
use crate::metrics::Samples;
use crate::proto::datetime;
use crate::proto::jid::Jid;

/// Rates are measured over this time.
const SAMPLE: Duration = Duration::from_secs(1);

impl Operations for Live {
    fn status<'a>(&'a self) -> Act<'a, Status> {
        Box::pin(async move {
            let before = self.metrics.samples();
            let house = self.house().ok();
            let federation = async {
                match &house {
                    Some(house) => Some(house.dane_in_words().await),
                    None => None,
                }
            };
            let (dane, ()) = tokio::join!(federation, tokio::time::sleep(SAMPLE));
            let after = self.metrics.samples();
            let mut facts = self.facts(&before, &after);
            facts.extend(dane.map(|dane| ("certificates by DNS", dane)));
            Ok(Status {
                facts,
                hosts: self.hosts_shown(),
            })
        })
    }

    fn reload<'a>(&'a self) -> Act<'a, Reloaded> {
        Box::pin(async move {
            let Some(live) = self.me() else {
                return Err(ActError::Failed("the server is stopping".to_owned()));
            };
            let done = tokio::task::spawn_blocking(move || live.reload()).await;
            let done = done.map_err(|error| ActError::Failed(error.to_string()))?;
            done.map_err(|what| ActError::Failed(format!("nothing was changed:\n{what}")))
        })
    }

    fn links<'a>(&'a self) -> Act<'a, Vec<Link>> {
        Box::pin(async move {
            let links = self.house()?.list().into_iter();
            let links = links.map(|link| Link {
                local: link.local,
                remote: link.remote,
                state: link.state,
                kept: link.kept,
            });
            Ok(links.collect())
        })
    }

    fn test_link<'a>(&'a self, domain: Jid) -> Act<'a, Vec<String>> {
        Box::pin(async move {
            let hosts = self.router.hosts();
            let local = hosts.values().next().map(|host| host.domain.clone());
            let local = local.ok_or_else(|| ActError::Failed("no domain is served".to_owned()))?;
            Ok(self.house()?.test(local, domain).await)
        })
    }

    fn close_links<'a>(&'a self, domain: Jid) -> Act<'a, usize> {
        Box::pin(async move { Ok(self.house()?.close(&domain)) })
    }

    fn end<'a>(&'a self, ending: Ending) -> Act<'a, ()> {
        Box::pin(async move {
            self.begin_end(&ending);
            Ok(())
        })
    }

    fn cancel_end<'a>(&'a self, announcement: Option<String>) -> Act<'a, Option<End>> {
        Box::pin(async move { Ok(self.take_end_back(announcement.as_deref())) })
    }

    fn components(&self) -> Vec<ComponentInfo> {
        let all = self.components.list().into_iter();
        let told = all.map(|one| ComponentInfo {
            name: one.name,
            domain: one.domain,
            address: one.address,
            kept: one.kept,
        });
        told.collect()
    }

    fn close_component(&self, domain: &Jid) -> bool {
        self.components.close(domain)
    }

    fn configured_level(&self) -> String {
        let state = self.state();
        let loaded = state.loaded.as_ref();
        loaded.map_or_else(
            || Log::default().level,
            |loaded| loaded.config.log.level.clone(),
        )
    }
}

impl Live {
    fn house(&self) -> Result<Arc<House>, ActError> {
        let off = || ActError::Failed("federation is off (federation.enabled)".to_owned());
        self.state().federation.clone().ok_or_else(off)
    }

    /// Whether an end was asked for, and when it comes.
    fn goes_on(&self) -> String {
        match self.ends.pending(self.clock.now()) {
            None => "yes".to_owned(),
            Some((end, left)) => format!("{} in {} s", end.verb(), left.as_secs()),
        }
    }

    fn facts(&self, before: &Samples, after: &Samples) -> Vec<(&'static str, String)> {
        let now = |name: &str| after.sum(name);
        let uptime = self.clock.wall().saturating_sub(self.started) / 1000;
        let latency = self.store.commit_latency().measured();
        let took = |share| {
            let within = latency.quantile(share);
            within.map_or_else(
                || "–".to_owned(),
                |micros| format!("{} ms", micros as f64 / 1e3),
            )
        };
        let components = self.components.list();
        let connected = components.iter().filter(|one| one.address.is_some());
        let components = format!("{} of {} connected", connected.count(), components.len());
        let store = self.store.stats();
        let writes = if store.read_only { "no" } else { "yes" };
        let (used, ceiling) = (self.memory.used(), self.memory.ceiling());
        vec![
            ("version", env!("CARGO_PKG_VERSION").to_owned()),
            ("started", datetime::format(self.started)),
            ("uptime", Period::seconds(uptime).to_string()),
            ("goes on", self.goes_on()),
            ("sessions", now("waxwing_sessions").to_string()),
            ("streams", by_label(after, "waxwing_streams")),
            ("components", components),
            (
                "stanzas in",
                rates(before, after, "waxwing_stanzas_received_total"),
            ),
            (
                "stanzas out",
                rates(before, after, "waxwing_stanzas_sent_total"),
            ),
            ("logins", rates(before, after, "waxwing_logins_total")),
            ("accounts in memory", by_label(after, "waxwing_owners")),
            (
                "waiting for the disk",
                format!("{} changes, {}", store.queued, size(store.queued_bytes)),
            ),
            (
                "commits",
                format!("half within {}, 99 % within {}", took(0.5), took(0.99)),
            ),
            (
                "store",
                format!(
                    "{} on disk, {} free, takes changes: {writes}",
                    size(store.engine.disk_bytes),
                    size(store.free_bytes)
                ),
            ),
            (
                "memory",
                format!(
                    "{} of {} ({} %)",
                    size(used),
                    size(ceiling),
                    used.saturating_mul(100) / ceiling.max(1)
                ),
            ),
            (
                "refused connections",
                by_label(after, "waxwing_connections_refused_total"),
            ),
            (
                "limits reached",
                by_label(after, "waxwing_limits_reached_total"),
            ),
        ]
    }

    fn hosts_shown(&self) -> Vec<[String; 3]> {
        let expiry = |domain: &str| {
            let identities = self.tls.identities();
            let own = identities.iter().find(|one| one.domain == domain);
            let seconds = own.and_then(|own| u64::try_from(own.expires).ok());
            seconds.map_or_else(String::new, |seconds| datetime::format(seconds * 1000))
        };
        let mut hosts: Vec<[String; 3]> = self
            .router
            .hosts()
            .values()
            .map(|host| {
                let domain = host.domain.as_str();
                let modules = host.tables.modules().iter().map(|module| module.name);
                let modules = modules.collect::<Vec<_>>().join(" ");
                [domain.to_owned(), expiry(domain), modules]
            })
            .collect();
        hosts.sort();
        hosts
    }

    fn me(&self) -> Option<Arc<Live>> {
        self.acts.live()
    }
}

/// Each value that is not zero with the value of its label; "none" without any.
fn by_label(samples: &Samples, name: &str) -> String {
    let each = samples.each(name);
    let shown = each
        .iter()
        .map(|(labels, value)| format!("{} {value}", label(labels)));
    let shown = shown.collect::<Vec<_>>().join(", ");
    if shown.is_empty() {
        "none".to_owned()
    } else {
        shown
    }
}

/// How much each value has grown.
fn rates(before: &Samples, after: &Samples, name: &str) -> String {
    let grown = after.sum(name) - before.sum(name);
    let earlier = before.each(name);
    let each = after.each(name).into_iter().filter_map(|(labels, value)| {
        let was = earlier.iter().find(|(known, _)| *known == labels);
        let grown = value - was.map_or(0.0, |(_, was)| *was);
        (grown > 0.0 && !labels.is_empty()).then(|| format!("{} {grown}", label(labels)))
    });
    let each = each.collect::<Vec<_>>().join(", ");
    if each.is_empty() {
        format!("{grown}/s")
    } else {
        format!("{grown}/s ({each})")
    }
}

/// `x` of `{name="x"}`.
fn label(labels: &str) -> &str {
    let value = labels.split_once('"').map_or(labels, |(_, rest)| rest);
    value.split_once('"').map_or(value, |(value, _)| value)
}

/// In a unit that people read: one decimal of the largest that fits.
fn size(bytes: u64) -> String {
    let units = [(1u64 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
    let fitting = units.iter().find(|(size, _)| bytes >= *size);
    match fitting {
        Some((size, unit)) => format!("{:.1} {unit}", bytes as f64 / *size as f64),
        None => Bytes(bytes).to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Registry;

    #[test]
    fn rates_are_shown_by_kind() {
        let registry = Registry::default();
        let of = |kind| registry.counter("a_total", "A.", &[("kind", kind)]);
        let before = registry.samples();
        assert_eq!(by_label(&before, "a_total"), "none");
        of("message").add(3);
        of("iq").add(2);
        let after = registry.samples();
        assert_eq!(rates(&before, &after, "a_total"), "5/s (iq 2, message 3)");
        assert_eq!(rates(&after, &after, "a_total"), "0/s");
        assert_eq!(by_label(&after, "a_total"), "iq 2, message 3");
    }

    #[test]
    fn sizes_are_short() {
        assert_eq!(size(3_400_000_000), "3.2 GiB");
        assert_eq!(size(512), "512B");
    }
}
