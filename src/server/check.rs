//! What is to be said about certificates before the server runs: those of hosts, and whether they cover their services.

use std::sync::Arc;

use super::acts::ServerActs;
use super::relay::RelayHand;
use super::{Offered, accounts, hosts, settings};
use crate::admin::{Finding, Level};
use crate::config::{Administration, Loaded};
use crate::hooks::Listed;
use crate::metrics::Registry;
use crate::net::tls::{self, TlsOptions, TlsStore};
use crate::router::{Hosts, Router};
use crate::runtime::clock::Clock;
use crate::socks::Socks;
use crate::store::{Options, Store};
use crate::stream::Secret;

/// Everything about the certificates of every host and of the services on addresses of their own.
pub(super) fn certificates(loaded: &Loaded, extra: &[Listed]) -> Vec<Finding> {
    let domains = loaded.config.hosts.keys();
    let mut findings: Vec<Finding> = domains.flat_map(|domain| of_host(loaded, domain)).collect();
    match built(loaded, extra) {
        Ok(hosts) => findings.extend(of_services(loaded, &hosts)),
        Err(text) => findings.push(Finding::new(Level::Error, text)),
    }
    findings
}

fn of_host(loaded: &Loaded, domain: &str) -> Vec<Finding> {
    if settings::made_at_start(&loaded.config, domain) {
        let text = format!("certificate of {domain}: a self-signed one is made at the first start");
        return vec![Finding::new(Level::Note, text)];
    }
    let source = settings::certificate(&loaded.config, domain);
    let opened = source.and_then(|source| {
        TlsStore::open(TlsOptions::new(vec![source])).map_err(|error| error.to_string())
    });
    let found = match opened {
        Ok(tls) => tls.check(Clock::system().wall()),
        Err(text) => return vec![Finding::new(Level::Error, text)],
    };
    if found.is_empty() {
        let text = format!("certificate of {domain}");
        return vec![Finding::new(Level::Good, text)];
    }
    found.into_iter().map(translate).collect()
}

/// The hosts with their modules, over a store that keeps nothing.
fn built(loaded: &Loaded, extra: &[Listed]) -> Result<Hosts, String> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| error.to_string())?;
    let _inside = runtime.enter();
    let (config, clock) = (&loaded.config, Clock::system());
    let store = Store::open(Options::memory(), clock.clone()).map_err(|error| error.to_string())?;
    let accounts = accounts(config, &store, &clock, Secret::new(Vec::new()));
    let router = Router::new(
        store.clone(),
        clock,
        settings::router(config),
        Registry::default(),
    );
    let acts = ServerActs::new(config, store.clone(), accounts, Some(router.clone()));
    let acts = Arc::new(acts);
    let administration = Arc::new(Administration::of(config));
    let none = Secret::new(Vec::new());
    let offered = Offered {
        acts: &acts,
        administration: &administration,
        local: &none,
        relay: &Arc::new(RelayHand::new(&none, store.clone())),
        socks: &Socks::new(settings::socks(config, false), &Registry::default()),
    };
    let hosts = hosts(config, &router, offered, extra);
    let hosts = hosts.map_err(|error| error.to_string());
    router.close();
    hosts
}

/// Other servers look for a service under its own name.
fn of_services(loaded: &Loaded, hosts: &Hosts) -> Vec<Finding> {
    let mut findings = Vec::new();
    for host in hosts.values() {
        let domain = host.domain.as_str();
        let source = settings::certificate(&loaded.config, domain);
        let opened = source.ok().filter(|_| domain != "localhost");
        let opened = opened.and_then(|source| TlsStore::open(TlsOptions::new(vec![source])).ok());
        let Some(tls) = opened else {
            continue;
        };
        let identity = tls.choose(None, None);
        let services = host.tables.services().iter();
        let services = services.map(|service| (service.domain.as_str(), service.kind));
        let components = host.tables.neighbours().iter();
        // One with a certificate of its own needs no other.
        let components = components
            .map(|domain| (domain.as_str(), "component"))
            .filter(|(name, _)| !loaded.config.certificate(name).0.exists());
        for (name, kind) in services.chain(components) {
            findings.push(if identity.names.cover(name, "xmpp-server") {
                Finding::new(
                    Level::Good,
                    format!("the certificate of {domain} covers {name} ({kind})"),
                )
            } else {
                Finding::new(
                    Level::Warning,
                    format!(
                        "the certificate of {domain} does not cover {name} ({kind}): other servers may refuse it; get one that names both"
                    ),
                )
            });
        }
    }
    findings
}

fn translate(finding: tls::Finding) -> Finding {
    let level = match finding.level {
        tls::Level::Note => Level::Note,
        tls::Level::Warning => Level::Warning,
        tls::Level::Error => Level::Error,
    };
    Finding::new(
        level,
        format!("certificate of {}: {}", finding.domain, finding.text),
    )
}
