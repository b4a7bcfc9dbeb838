//! Finding the servers of a domain: SRV, then addresses (RFC 6120 §3.2, XEP-0368 1.2.0). Answers are kept as long as they say.

use std::net::{IpAddr, SocketAddr};

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{NameServerConfig, ResolverConfig};
use hickory_resolver::net::NetError;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::proto::rr::RData;

use super::policy::Found;
use super::targets::{Record, order};
use super::trouble::Trouble;
use crate::proto::jid::Jid;
use crate::runtime::random;

/// The port of servers without an SRV record (RFC 6120 §3.2.2).
const PORT: u16 = 5269;
/// Addresses tried for one domain.
const MOST: usize = 16;

/// Asks DNS.
pub struct Resolver {
    /// Whom; empty: as the system is configured.
    servers: Vec<SocketAddr>,
    dns: Option<TokioResolver>,
}

/// A server of a domain, with its addresses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Target {
    pub addresses: Vec<SocketAddr>,
    pub direct: bool,
}

impl Resolver {
    /// Asks these servers; without any as the system is configured.
    pub fn new(servers: &[SocketAddr]) -> Resolver {
        let builder = match servers {
            [] => TokioResolver::builder_tokio(),
            _ => Ok(TokioResolver::builder_with_config(
                asking(servers),
                TokioRuntimeProvider::default(),
            )),
        };
        let built = builder.and_then(|builder| builder.build());
        if let Err(error) = &built {
            tracing::warn!(%error, "DNS cannot be asked: only servers that the configuration names are found");
        }
        Resolver {
            servers: servers.to_vec(),
            dns: built.ok(),
        }
    }

    /// Whom it asks; nobody: as the system is configured.
    pub fn servers(&self) -> &[SocketAddr] {
        &self.servers
    }

    /// The servers of a domain, in the order in which they are to be tried. `told`: where the configuration says it is.
    pub(super) async fn find(
        &self,
        domain: &Jid,
        told: Option<&Found>,
    ) -> Result<Vec<Target>, Trouble> {
        if let Some(found) = told {
            let addresses = self.addresses(&found.host, found.port).await?;
            return Ok(vec![Target {
                addresses,
                direct: found.direct,
            }]);
        }
        let name = idna::domain_to_ascii(domain.domain())
            .map_err(|_| Trouble::Nothing(format!("{domain} is no name that DNS knows")))?;
        if let Some(ip) = literal(&name) {
            return Ok(plain(vec![SocketAddr::new(ip, PORT)]));
        }
        let (direct, starttls) = tokio::join!(self.srv(&name, true), self.srv(&name, false));
        let any = direct.is_ok() || starttls.is_ok();
        let failure = direct.as_ref().err().or(starttls.as_ref().err()).cloned();
        let records: Vec<Record> = [direct, starttls].into_iter().flatten().flatten().collect();
        if records.is_empty() {
            return match failure {
                Some(failure) if !any => Err(failure),
                _ => Ok(plain(self.addresses(&name, PORT).await?)),
            };
        }
        let ordered = order(records, |below| {
            u32::from_le_bytes(random::bytes()) % below.max(1)
        });
        if ordered.is_empty() {
            return Err(Trouble::Nothing(
                "the domain says that it has no XMPP server".to_owned(),
            ));
        }
        self.targets(ordered).await
    }

    /// What DNS says of the services of a domain, in words.
    pub(super) async fn services(&self, domain: &Jid) -> Vec<String> {
        let Ok(name) = idna::domain_to_ascii(domain.domain()) else {
            return Vec::new();
        };
        let mut told = Vec::new();
        for (direct, service) in [(true, "_xmpps-server"), (false, "_xmpp-server")] {
            match self.srv(&name, direct).await {
                Ok(records) if records.is_empty() => told.push(format!("SRV {service}: none")),
                Ok(records) => told.extend(records.iter().map(|record| {
                    format!(
                        "SRV {service}: priority {}, weight {}, {} port {}",
                        record.priority, record.weight, record.host, record.port
                    )
                })),
                Err(trouble) => told.push(format!("SRV {service}: {trouble}")),
            }
        }
        told
    }

    async fn targets(&self, records: Vec<Record>) -> Result<Vec<Target>, Trouble> {
        let mut targets = Vec::new();
        let mut failure = None;
        for record in records {
            match self.addresses(&record.host, record.port).await {
                Ok(addresses) => targets.push(Target {
                    addresses,
                    direct: record.direct,
                }),
                Err(trouble) => failure = Some(trouble),
            }
        }
        match failure {
            // The record is there: what it points to may come back.
            Some(trouble) if targets.is_empty() => Err(Trouble::Dns(trouble.to_string())),
            _ => Ok(targets),
        }
    }

    /// The SRV records of one service; none is no failure.
    async fn srv(&self, name: &str, direct: bool) -> Result<Vec<Record>, Trouble> {
        let service = if direct {
            "_xmpps-server"
        } else {
            "_xmpp-server"
        };
        let answer = self
            .resolver()?
            .srv_lookup(format!("{service}._tcp.{name}."))
            .await;
        let lookup = match answer {
            Ok(lookup) => lookup,
            Err(error) if is_nothing(&error) => return Ok(Vec::new()),
            Err(error) => return Err(no_answer(name, &error)),
        };
        let records = lookup
            .answers()
            .iter()
            .filter_map(|record| match &record.data {
                RData::SRV(srv) => Some(Record {
                    priority: srv.priority,
                    weight: srv.weight,
                    host: srv.target.to_ascii(),
                    port: srv.port,
                    direct,
                }),
                _ => None,
            });
        Ok(records.collect())
    }

    async fn addresses(&self, host: &str, port: u16) -> Result<Vec<SocketAddr>, Trouble> {
        if let Some(ip) = literal(host) {
            return Ok(vec![SocketAddr::new(ip, port)]);
        }
        let full = format!("{}.", host.trim_end_matches('.'));
        match self.resolver()?.lookup_ip(full).await {
            Ok(found) => {
                let found: Vec<IpAddr> = found.iter().take(MOST).collect();
                Ok(alternating(found, port))
            }
            Err(error) if is_nothing(&error) => Err(Trouble::Nothing(format!(
                "DNS knows no address of {}",
                host.trim_end_matches('.')
            ))),
            Err(error) => Err(no_answer(host, &error)),
        }
    }

    fn resolver(&self) -> Result<&TokioResolver, Trouble> {
        let none = || Trouble::Dns("this server has no DNS configured".to_owned());
        self.dns.as_ref().ok_or_else(none)
    }
}

fn asking(servers: &[SocketAddr]) -> ResolverConfig {
    let server = |address: &SocketAddr| {
        let mut server = NameServerConfig::udp_and_tcp(address.ip());
        for connection in &mut server.connections {
            connection.port = address.port();
        }
        server
    };
    ResolverConfig::from_name_servers(servers.iter().map(server).collect())
}

fn plain(addresses: Vec<SocketAddr>) -> Vec<Target> {
    vec![Target {
        addresses,
        direct: false,
    }]
}

fn literal(host: &str) -> Option<IpAddr> {
    host.trim_matches(['[', ']']).parse().ok()
}

/// IPv6 first, then the families by turns (RFC 8305 §4).
fn alternating(found: Vec<IpAddr>, port: u16) -> Vec<SocketAddr> {
    let (six, four): (Vec<IpAddr>, Vec<IpAddr>) = found.into_iter().partition(IpAddr::is_ipv6);
    let most = six.len().max(four.len());
    let turns = (0..most).flat_map(|turn| [six.get(turn), four.get(turn)]);
    turns
        .flatten()
        .map(|ip| SocketAddr::new(*ip, port))
        .collect()
}

fn is_nothing(error: &NetError) -> bool {
    error.is_nx_domain() || error.is_no_records_found()
}

fn no_answer(name: &str, error: &NetError) -> Trouble {
    Trouble::Dns(format!("DNS gave no answer about {name}: {error}"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn families_take_turns() {
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        let found = vec![ip("192.0.2.1"), ip("192.0.2.2"), ip("2001:db8::1")];
        let ordered: Vec<IpAddr> = alternating(found, 1).iter().map(SocketAddr::ip).collect();
        assert_eq!(
            ordered,
            [ip("2001:db8::1"), ip("192.0.2.1"), ip("192.0.2.2")]
        );
    }

    #[tokio::test]
    async fn what_the_configuration_says_needs_no_dns() {
        let told = Found {
            host: "127.0.0.1".into(),
            port: 7,
            direct: true,
        };
        let domain = Jid::parse("x.example").unwrap();
        let none = Resolver {
            servers: Vec::new(),
            dns: None,
        };
        let found = none.find(&domain, Some(&told)).await.unwrap();
        let expected = Target {
            addresses: vec!["127.0.0.1:7".parse().unwrap()],
            direct: true,
        };
        assert_eq!(found, [expected]);
        assert!(matches!(
            none.find(&domain, None).await,
            Err(Trouble::Dns(_))
        ));
    }
}
