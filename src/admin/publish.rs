//! What a domain must publish so that others find it (RFC 6120 §3.2, XEP-0368), and what of it is published.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::{IpAddr, SocketAddr};

use super::finding::{Finding, Level};
use crate::config::{Config, ListenKind, ListenTls};

/// How long others may remember a record, seconds.
const TTL: u32 = 3600;

/// One SRV record that should be there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// `_xmpp-client._tcp.example.org`
    pub name: String,
    /// The domain it is for.
    pub domain: String,
    /// The ports at which the service can be reached.
    pub ports: BTreeSet<u16>,
    /// Where it is looked for if there is no such record; none for direct TLS.
    pub fallback: Option<u16>,
}

/// As a zone file has it.
impl fmt::Display for Wanted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, port) in self.ports.iter().enumerate() {
            if at > 0 {
                f.write_str("\n")?;
            }
            let (name, target) = (ascii(&self.name), ascii(&self.domain));
            write!(f, "{name}. {TTL} IN SRV 0 5 {port} {target}.")?;
        }
        Ok(())
    }
}

/// What was found for one name.
#[derive(Clone, Debug, Default)]
pub struct Published {
    /// Target and port of each SRV record by name; why there is no answer.
    pub services: BTreeMap<String, Result<Vec<(String, u16)>, String>>,
    /// Addresses of targets and domains; why there is no answer.
    pub addresses: BTreeMap<String, Result<Vec<IpAddr>, String>>,
}

/// What each host should publish. What listens on this machine only is not to be found by others.
pub fn wanted(config: &Config) -> Vec<Wanted> {
    let mut all = Vec::new();
    for domain in config.hosts.keys() {
        if !is_public(domain) {
            continue;
        }
        let kinds = [
            ("client", 5222, clients(config)),
            ("server", 5269, servers(config)),
        ];
        for (kind, usual, ports) in kinds {
            for (service, direct) in [("xmpp", false), ("xmpps", true)] {
                if !ports.is_empty() {
                    all.push(Wanted {
                        name: format!("_{service}-{kind}._tcp.{domain}"),
                        domain: domain.clone(),
                        ports: ports.clone(),
                        fallback: (!direct).then_some(usual),
                    });
                }
            }
        }
    }
    all
}

fn clients(config: &Config) -> BTreeSet<u16> {
    let with_tls = config
        .listen
        .iter()
        .filter(|listen| listen.kind == ListenKind::Client && listen.tls != ListenTls::None);
    reachable(with_tls.map(|listen| listen.address))
}

fn servers(config: &Config) -> BTreeSet<u16> {
    let listen = config.federation.listen.iter().copied();
    reachable(listen.filter(|_| config.federation.enabled))
}

fn reachable(addresses: impl Iterator<Item = SocketAddr>) -> BTreeSet<u16> {
    addresses
        .filter(|address| !address.ip().is_loopback())
        .map(|address| address.port())
        .collect()
}

/// Names that the public DNS cannot have (RFC 6761, RFC 6762).
fn is_public(domain: &str) -> bool {
    let last = domain.rsplit('.').next().unwrap_or(domain);
    !["localhost", "local", "test", "invalid", "onion"].contains(&last)
}

/// As the DNS has names.
pub fn ascii(name: &str) -> String {
    idna::domain_to_ascii(name).unwrap_or_else(|_| name.to_owned())
}

/// What is published of what should be.
pub fn compare(wanted: &[Wanted], published: &Published) -> Vec<Finding> {
    wanted
        .iter()
        .flat_map(|wanted| compare_one(wanted, published))
        .collect()
}

fn compare_one(wanted: &Wanted, published: &Published) -> Vec<Finding> {
    let name = &wanted.name;
    let services = match published.services.get(name) {
        Some(Ok(services)) => services,
        Some(Err(why)) => {
            let text = format!("DNS: {name} cannot be looked up: {why}");
            return vec![Finding::new(Level::Warning, text)];
        }
        None => {
            let text = format!("DNS: {name} cannot be looked up: no answer in time");
            return vec![Finding::new(Level::Warning, text)];
        }
    };
    if services.is_empty() {
        return vec![without(wanted, published)];
    }
    services
        .iter()
        .map(|(target, port)| service(wanted, target, *port, published))
        .collect()
}

/// There is no such record.
fn without(wanted: &Wanted, published: &Published) -> Finding {
    let (name, domain) = (&wanted.name, &wanted.domain);
    let found =
        matches!(published.addresses.get(domain), Some(Ok(addresses)) if !addresses.is_empty());
    match wanted.fallback {
        Some(port) if found && wanted.ports.contains(&port) => Finding::new(
            Level::Note,
            format!("DNS: {name} is not published; it works all the same, at {domain}:{port}"),
        ),
        Some(_) => Finding::new(
            Level::Error,
            format!(
                "DNS: {name} is not published: nobody finds {domain}. Publish the record below"
            ),
        ),
        None => Finding::new(
            Level::Note,
            format!(
                "DNS: {name} is not published; with it, connections need one step less and pass more firewalls"
            ),
        ),
    }
}

fn service(wanted: &Wanted, target: &str, port: u16, published: &Published) -> Finding {
    let name = &wanted.name;
    if target.is_empty() || target == "." {
        let text = format!("DNS: {name} says that there is no such service (target \".\")");
        return Finding::new(Level::Error, text);
    }
    match published.addresses.get(target) {
        Some(Ok(addresses)) if addresses.is_empty() => {
            let text = format!(
                "DNS: {name} names {target}, which has no address: publish an A or AAAA record for it"
            );
            return Finding::new(Level::Error, text);
        }
        Some(Err(why)) => {
            let text =
                format!("DNS: {name} names {target}, whose address cannot be looked up: {why}");
            return Finding::new(Level::Warning, text);
        }
        _ => {}
    }
    if wanted.ports.contains(&port) {
        return Finding::new(Level::Good, format!("DNS: {name} → {target}:{port}"));
    }
    let ports: Vec<String> = wanted.ports.iter().map(u16::to_string).collect();
    let text = format!(
        "DNS: {name} names port {port} of {target}, the server listens on {}: right only if something forwards it",
        ports.join(", ")
    );
    Finding::new(Level::Warning, text)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;
    use crate::config::{Host, Listen};

    fn config(domain: &str, address: &str) -> Config {
        Config {
            hosts: BTreeMap::from([(domain.to_owned(), Host::default())]),
            listen: vec![Listen {
                address: address.parse().unwrap(),
                ..Listen::default()
            }],
            ..Config::default()
        }
    }

    #[test]
    fn records_are_ready_to_be_pasted() {
        let all = wanted(&config("bücher.example", "[::]:5222"));
        let shown: Vec<String> = all.iter().map(Wanted::to_string).collect();
        let expected = [
            "_xmpp-client._tcp.xn--bcher-kva.example. 3600 IN SRV 0 5 5222 xn--bcher-kva.example.",
            "_xmpps-client._tcp.xn--bcher-kva.example. 3600 IN SRV 0 5 5222 xn--bcher-kva.example.",
        ];
        assert_eq!(shown, expected);
        let mut federated = config("a.example", "[::]:5222");
        federated.federation.enabled = true;
        let all = wanted(&federated);
        let last = "_xmpps-server._tcp.a.example. 3600 IN SRV 0 5 5269 a.example.";
        assert_eq!((all.len(), all[3].to_string().as_str()), (4, last));
        assert!(wanted(&config("localhost", "[::]:5222")).is_empty());
        assert!(wanted(&config("a.example", "127.0.0.1:5222")).is_empty());
    }

    #[test]
    fn what_differs_is_told() {
        let own = wanted(&config("a.example", "[::]:5222"));
        let (plain, direct) = (own[0].name.clone(), own[1].name.clone());
        let address: IpAddr = "192.0.2.1".parse().unwrap();
        let ask = |plain_answer: &[(&str, u16)], known: &[&str]| {
            let answer = plain_answer
                .iter()
                .map(|(t, p)| ((*t).to_owned(), *p))
                .collect();
            let addresses = ["a.example", "b.example"].map(|name| {
                let has = known.contains(&name);
                (
                    name.to_owned(),
                    Ok(has.then_some(address).into_iter().collect()),
                )
            });
            let published = Published {
                services: BTreeMap::from([
                    (plain.clone(), Ok(answer)),
                    (direct.clone(), Ok(Vec::new())),
                ]),
                addresses: addresses.into(),
            };
            let found = compare(&own, &published);
            (found[0].level, found[0].text.clone())
        };
        for (answer, known, level, text) in [
            (
                &[("b.example", 5222)][..],
                &["b.example"][..],
                Level::Good,
                "→ b.example:5222",
            ),
            (
                &[("b.example", 5223)],
                &["b.example"],
                Level::Warning,
                "listens on 5222",
            ),
            (&[("b.example", 5222)], &[], Level::Error, "has no address"),
            (&[(".", 0)], &[], Level::Error, "no such service"),
            (
                &[],
                &["a.example"],
                Level::Note,
                "it works all the same, at a.example:5222",
            ),
            (&[], &[], Level::Error, "nobody finds a.example"),
        ] {
            let found = ask(answer, known);
            assert!(found.0 == level && found.1.contains(text), "{found:?}");
        }
    }
}
