//! Asks the DNS what a domain publishes.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use hickory_resolver::config::{NameServerConfig, ResolverConfig};
use hickory_resolver::net::NetError;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::proto::rr::{RData, RecordType};
use hickory_resolver::{Resolver, TokioResolver};
use tokio::task::JoinSet;

use super::publish::{Published, Wanted, ascii};

/// For one answer, and for all of them.
const PATIENCE: Duration = Duration::from_secs(3);
const LONGEST: Duration = Duration::from_secs(15);

/// Looks up everything that is wanted, within 15 seconds. `server` is asked instead of those of the system.
///
/// # Errors
/// In words: this machine says not whom to ask.
pub async fn look_up(wanted: &[Wanted], server: Option<SocketAddr>) -> Result<Published, String> {
    let resolver = resolver(server).map_err(|error| error.to_string())?;
    let mut published = Published::default();
    let mut tasks = JoinSet::new();
    for name in wanted.iter().map(|wanted| wanted.name.clone()) {
        let resolver = resolver.clone();
        tasks.spawn(async move { (name.clone(), services(&resolver, &name).await) });
    }
    let deadline = tokio::time::Instant::now() + LONGEST;
    while let Ok(Some(done)) = tokio::time::timeout_at(deadline, tasks.join_next()).await {
        if let Ok((name, answer)) = done {
            published.services.insert(name, answer);
        }
    }
    let targets = published.services.values().flatten().flatten();
    let targets = targets.map(|(target, _)| target.clone());
    let domains = wanted.iter().map(|wanted| wanted.domain.clone());
    let names: BTreeSet<String> = targets.chain(domains).filter(|name| name != ".").collect();
    let mut tasks = JoinSet::new();
    for name in names {
        let resolver = resolver.clone();
        tasks.spawn(async move { (name.clone(), addresses(&resolver, &name).await) });
    }
    while let Ok(Some(done)) = tokio::time::timeout_at(deadline, tasks.join_next()).await {
        if let Ok((name, answer)) = done {
            published.addresses.insert(name, answer);
        }
    }
    Ok(published)
}

fn resolver(server: Option<SocketAddr>) -> Result<TokioResolver, NetError> {
    let provider = TokioRuntimeProvider::default();
    let mut builder = match server {
        None => Resolver::builder(provider)?,
        Some(server) => {
            let mut config = NameServerConfig::udp(server.ip());
            for connection in &mut config.connections {
                connection.port = server.port();
            }
            let config = ResolverConfig::from_parts(None, Vec::new(), vec![config]);
            Resolver::builder_with_config(config, provider)
        }
    };
    builder.options_mut().timeout = PATIENCE;
    builder.options_mut().attempts = 2;
    builder.build()
}

async fn services(resolver: &TokioResolver, name: &str) -> Result<Vec<(String, u16)>, String> {
    let answer = resolver.lookup(absolute(name), RecordType::SRV).await;
    let Some(answer) = found(answer)? else {
        return Ok(Vec::new());
    };
    let services = answer
        .answers()
        .iter()
        .filter_map(|record| match &record.data {
            RData::SRV(service) => {
                let target = service.target.to_utf8();
                let target = match target.trim_end_matches('.') {
                    "" => ".".to_owned(),
                    target => target.to_owned(),
                };
                Some((target, service.port))
            }
            _ => None,
        });
    Ok(services.collect())
}

async fn addresses(resolver: &TokioResolver, name: &str) -> Result<Vec<IpAddr>, String> {
    let answer = resolver.lookup_ip(absolute(name)).await;
    Ok(found(answer)?.map_or_else(Vec::new, |answer| answer.iter().collect()))
}

/// `None` when there is surely nothing.
fn found<T>(answer: Result<T, NetError>) -> Result<Option<T>, String> {
    match answer {
        Ok(answer) => Ok(Some(answer)),
        Err(error) if error.is_no_records_found() => Ok(None),
        Err(error) => Err(error.to_string()),
    }
}

/// Never below a search domain of this machine.
fn absolute(name: &str) -> String {
    format!("{}.", ascii(name))
}
