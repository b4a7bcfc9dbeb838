//! Finding the servers of a domain: SRV, then addresses (RFC 6120 §3.2, XEP-0368 1.2.0), and, where DNS is signed, their
//! certificates (RFC 7673); or, if that is wished, by their web servers. Answers are kept as long as they say.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{NameServerConfig, ResolverConfig};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use tokio::task::JoinSet;

use super::dns::{Dns, RESOLUTION_DELAY};
use super::host_meta::HostMeta;
use super::policy::Found;
use super::targets::{Record, order};
use super::trouble::Trouble;
use super::validating::{NotValidating, Validating};
use crate::config::FederationDane as Dane;
use crate::hooks::Web;
use crate::net::tls::Tlsa;
use crate::proto::jid::Jid;
use crate::runtime::random;

/// The port of servers without an SRV record (RFC 6120 §3.2.2).
const PORT: u16 = 5269;

/// Who asks whether signatures are checked waits no longer.
const ASKED: Duration = Duration::from_secs(3);

/// Asks DNS.
pub struct Resolver {
    /// Whom; empty: as the system is configured.
    servers: Vec<SocketAddr>,
    plain: Option<TokioResolver>,
    validating: Result<Validating, NotValidating>,
    host_meta: Option<HostMeta>,
}

/// A server of a domain, with its addresses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Target {
    pub addresses: Vec<SocketAddr>,
    pub direct: bool,
    /// Those of a lower number come first.
    pub priority: u16,
    /// What TLS is told, if not the domain.
    pub name: Option<String>,
    pub signed: Signed,
}

/// What DNS, where it is signed, says of a server's certificate.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Signed {
    /// Which it may be; where it names none authorities decide.
    pub records: Vec<Tlsa>,
    /// A name that it may be for, as well as the domain (RFC 7673 §4.1).
    pub host: Option<String>,
}

impl Resolver {
    /// Asks these servers; without any as the system is configured. With `web` the web servers of domains are asked where DNS
    /// names no service.
    pub fn new(servers: &[SocketAddr], web: Option<Arc<dyn Web>>) -> Resolver {
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
            plain: built.ok(),
            validating: Validating::new(servers),
            host_meta: web.map(HostMeta::new),
        }
    }

    /// Whom it asks; nobody: as the system is configured.
    pub fn servers(&self) -> &[SocketAddr] {
        &self.servers
    }

    /// Whether the web servers of domains are asked.
    pub fn reads_host_meta(&self) -> bool {
        self.host_meta.is_some()
    }

    /// The servers of a domain, in the order in which they are to be tried. `told`: where the configuration says it is.
    pub(super) async fn find(
        self: &Arc<Self>,
        domain: &Jid,
        told: Option<&Found>,
        dane: Dane,
    ) -> Result<Vec<Target>, Trouble> {
        if let Some(found) = told {
            let record = Record {
                host: found.host.clone(),
                port: found.port,
                direct: found.direct,
                // What the administrator says needs no signature; whether DNS is asked beyond that is said there too.
                signed: dane == Dane::Require,
                ..Record::default()
            };
            let dane = if record.signed { dane } else { Dane::Off };
            return Ok(vec![self.target(record, dane).await?]);
        }
        let name = idna::domain_to_ascii(domain.domain())
            .map_err(|_| Trouble::Nothing(format!("{domain} is no name that DNS knows")))?;
        let itself = Record {
            host: name.clone(),
            port: PORT,
            signed: true,
            ..Record::default()
        };
        if literal(&name).is_some() {
            return Ok(vec![self.target(itself, dane).await?]);
        }
        let dns = self.dns(dane)?;
        let (direct, starttls) = tokio::join!(dns.srv(&name, true), dns.srv(&name, false));
        let records = match (dns, direct, starttls) {
            // Whoever keeps one answer back must not decide which is used.
            (Dns::Validating(_), direct, starttls) => [direct?, starttls?],
            (Dns::Plain(_), Err(trouble), Err(_)) => return Err(trouble),
            (Dns::Plain(_), direct, starttls) => [direct, starttls].map(Result::unwrap_or_default),
        };
        let records: Vec<Record> = records.into_iter().flatten().collect();
        if records.is_empty() {
            let named = self.by_host_meta(&name, dane).await;
            if !named.is_empty() {
                return Ok(named);
            }
            return Ok(vec![self.target(itself, dane).await?]);
        }
        let ordered = order(records, chance);
        if ordered.is_empty() {
            return Err(Trouble::Nothing(
                "the domain says that it has no XMPP server".to_owned(),
            ));
        }
        self.targets(ordered, dane).await
    }

    /// What DNS says of the services of a domain, in words.
    pub(super) async fn services(&self, domain: &Jid, dane: Dane) -> Vec<String> {
        let Ok(name) = idna::domain_to_ascii(domain.domain()) else {
            return Vec::new();
        };
        let dns = match self.dns(dane) {
            Ok(dns) => dns,
            Err(trouble) => return vec![format!("DNS: {trouble}")],
        };
        let mut told = Vec::new();
        for (direct, service) in [(true, "_xmpps-server"), (false, "_xmpp-server")] {
            match dns.srv(&name, direct).await {
                Ok(records) if records.is_empty() => told.push(format!("SRV {service}: none")),
                Ok(records) => told.extend(records.iter().map(|record| {
                    let signed = if record.signed { ", signed" } else { "" };
                    format!(
                        "SRV {service}: priority {}, weight {}, {} port {}{signed}",
                        record.priority, record.weight, record.host, record.port
                    )
                })),
                Err(trouble) => told.push(format!("SRV {service}: {trouble}")),
            }
        }
        told
    }

    /// Whether certificates can be compared with DNS, in words.
    pub async fn dane_in_words(&self, dane: Dane) -> String {
        let validating = match (dane, &self.validating) {
            (Dane::Off, _) => return "off".to_owned(),
            (Dane::Prefer, Err(why)) => return format!("prefer, without effect: {why}"),
            (Dane::Require, Err(why)) => return format!("require, nobody can be reached: {why}"),
            (_, Ok(validating)) => validating,
        };
        let servers = validating.servers().iter().map(ToString::to_string);
        let servers = servers.collect::<Vec<_>>().join(", ");
        let validates = tokio::time::timeout(ASKED, validating.validates()).await;
        match (dane, validates.unwrap_or(false)) {
            (_, true) => format!("{dane}, signatures are checked by {servers}"),
            (Dane::Require, false) => {
                format!(
                    "require, nobody can be reached: {servers} checks no signatures, or does not answer"
                )
            }
            (_, false) => {
                format!(
                    "{dane}, without effect: {servers} checks no signatures, or does not answer"
                )
            }
        }
    }

    /// What the web server of a domain names (XEP-0487), where nothing more is demanded than authorities vouch for.
    async fn by_host_meta(&self, name: &str, dane: Dane) -> Vec<Target> {
        let Some(host_meta) = self.host_meta.as_ref().filter(|_| dane != Dane::Require) else {
            return Vec::new();
        };
        let named = host_meta.find(name, Instant::now()).await;
        let records = named.iter().enumerate().map(|(place, one)| Record {
            priority: one.priority,
            weight: one.weight,
            host: place.to_string(),
            port: 1,
            direct: true,
            signed: false,
        });
        let ordered = order(records.collect(), chance).into_iter();
        let ordered = ordered.filter_map(|record| named.get(record.host.parse::<usize>().ok()?));
        let targets = ordered.map(|one| Target {
            addresses: one.addresses.clone(),
            direct: true,
            priority: one.priority,
            name: Some(one.name.clone()),
            signed: Signed {
                records: Vec::new(),
                host: Some(one.name.clone()),
            },
        });
        targets.collect()
    }

    /// All at once (XEP-0495 §4.2), in their order. Once one of the best priority is found those beside it have not long.
    async fn targets(
        self: &Arc<Self>,
        records: Vec<Record>,
        dane: Dane,
    ) -> Result<Vec<Target>, Trouble> {
        let mut awaited: BTreeMap<usize, u16> = BTreeMap::new();
        let mut asking = JoinSet::new();
        for (place, record) in records.into_iter().enumerate() {
            awaited.insert(place, record.priority);
            let own = self.clone();
            asking.spawn(async move { (place, own.target(record, dane).await) });
        }
        let (mut targets, mut failure) = (BTreeMap::new(), None);
        let mut until = None;
        while let Some(turned_out) = before(until, asking.join_next()).await {
            let Ok((place, found)) = turned_out else {
                continue;
            };
            awaited.remove(&place);
            match found {
                Ok(target) => drop(targets.insert(place, target)),
                Err(trouble) => failure = Some(trouble),
            }
            if until.is_none() && is_best(&targets, &awaited) {
                until = Some(tokio::time::Instant::now() + RESOLUTION_DELAY);
            }
        }
        match failure {
            // The record is there: what it points to may come back.
            Some(Trouble::Nothing(why)) if targets.is_empty() => Err(Trouble::Dns(why)),
            Some(trouble) if targets.is_empty() => Err(trouble),
            _ => Ok(targets.into_values().collect()),
        }
    }

    /// Where one server is, and what is known of its certificate.
    async fn target(&self, record: Record, dane: Dane) -> Result<Target, Trouble> {
        let (addresses, signed) = match literal(&record.host) {
            Some(ip) => (vec![SocketAddr::new(ip, record.port)], Signed::default()),
            None => {
                let dns = self.dns(dane)?;
                let at = dns.addresses(&record.host, record.port).await?;
                let records = match record.signed && at.signed {
                    true => dns.tlsa(&record.host, &at, record.port).await?,
                    false => Vec::new(),
                };
                let host = record.host.trim_end_matches('.').to_owned();
                let host = (dane != Dane::Off && record.signed).then_some(host);
                (at.all, Signed { records, host })
            }
        };
        if dane == Dane::Require && signed.records.is_empty() {
            return Err(Trouble::Unproven(format!(
                "no signed record in DNS names the certificate of {} port {}, which this server demands",
                record.host.trim_end_matches('.'),
                record.port
            )));
        }
        Ok(Target {
            addresses,
            direct: record.direct,
            priority: record.priority,
            name: None,
            signed,
        })
    }

    /// Who is asked.
    fn dns(&self, dane: Dane) -> Result<Dns<'_>, Trouble> {
        let none = || Trouble::Dns("this server has no DNS configured".to_owned());
        match (dane, &self.validating) {
            (Dane::Prefer | Dane::Require, Ok(validating)) => Ok(Dns::Validating(validating)),
            (Dane::Require, Err(why)) => Err(Trouble::Unproven(why.to_string())),
            (Dane::Off | Dane::Prefer, _) => self.plain.as_ref().map(Dns::Plain).ok_or_else(none),
        }
    }
}

/// Whether one of those found comes before all that are awaited of other priorities.
fn is_best(targets: &BTreeMap<usize, Target>, awaited: &BTreeMap<usize, u16>) -> bool {
    let best = targets.values().map(|target| target.priority).min();
    best.is_some_and(|best| awaited.values().all(|priority| *priority >= best))
}

/// What comes before a time, if there is one.
async fn before<T>(
    until: Option<tokio::time::Instant>,
    next: impl Future<Output = Option<T>>,
) -> Option<T> {
    match until {
        None => next.await,
        Some(until) => tokio::time::timeout_at(until, next).await.ok().flatten(),
    }
}

/// A number below this one.
fn chance(below: u32) -> u32 {
    u32::from_le_bytes(random::bytes()) % below.max(1)
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

fn literal(host: &str) -> Option<IpAddr> {
    host.trim_matches(['[', ']']).parse().ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;
    use hickory_resolver::proto::op::Message;
    use hickory_resolver::proto::rr::rdata::A;
    use hickory_resolver::proto::rr::{self, RData, RecordType};
    use tokio::net::UdpSocket;

    /// DNS that knows IPv4 addresses, and answers nothing else: neither about IPv6 nor about one host.
    async fn forgetful() -> SocketAddr {
        let udp = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let address = udp.local_addr().unwrap();
        tokio::spawn(async move {
            let mut buffer = [0; 512];
            loop {
                let (length, from) = udp.recv_from(&mut buffer).await.unwrap();
                let question = Message::from_vec(&buffer[..length]).unwrap();
                let asked = question.queries[0].clone();
                let silent = asked.name().to_ascii().starts_with("silent.");
                let mut answer = question.into_response();
                let data = match asked.query_type() {
                    RecordType::A if !silent => RData::A(A::new(127, 0, 0, 9)),
                    _ => continue,
                };
                answer.add_answer(rr::Record::from_rdata(asked.name().clone(), 60, data));
                udp.send_to(&answer.to_vec().unwrap(), from).await.unwrap();
            }
        });
        address
    }

    #[tokio::test]
    async fn what_dns_does_not_answer_holds_up_nobody() {
        let resolver = Arc::new(Resolver::new(&[forgetful().await], None));
        let record = |host: &str, priority| Record {
            priority,
            host: host.to_owned(),
            port: 5269,
            ..Record::default()
        };
        let records = vec![record("silent.example.", 1), record("xmpp.example.", 1)];
        let found = resolver.targets(records, Dane::Off);
        // Half of what a question is waited for.
        let found = tokio::time::timeout(Duration::from_millis(2_500), found).await;
        let found = found.unwrap().unwrap();
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].addresses, ["127.0.0.9:5269".parse().unwrap()]);
    }

    #[test]
    fn a_worse_priority_does_not_do() {
        let target = Target {
            addresses: Vec::new(),
            direct: false,
            priority: 2,
            name: None,
            signed: Signed::default(),
        };
        let targets = BTreeMap::from([(1, target)]);
        assert!(!is_best(&targets, &BTreeMap::from([(0, 1)])));
        assert!(is_best(&targets, &BTreeMap::from([(0, 2), (2, 3)])));
        assert!(!is_best(&BTreeMap::new(), &BTreeMap::new()));
    }

    #[tokio::test]
    async fn what_the_configuration_says_needs_no_dns() {
        let told = Found {
            host: "127.0.0.1".into(),
            port: 7,
            direct: true,
        };
        let domain = Jid::parse("x.example").unwrap();
        let none = Arc::new(Resolver {
            servers: Vec::new(),
            plain: None,
            validating: Err(NotValidating::Nobody),
            host_meta: None,
        });
        let found = none.find(&domain, Some(&told), Dane::Prefer).await.unwrap();
        let expected = Target {
            addresses: vec!["127.0.0.1:7".parse().unwrap()],
            direct: true,
            priority: 0,
            name: None,
            signed: Signed::default(),
        };
        assert_eq!(found, [expected]);
        let lost = none.find(&domain, None, Dane::Off).await;
        assert!(matches!(lost, Err(Trouble::Dns(_))));
        for told in [Some(&told), None] {
            let unproven = none.find(&domain, told, Dane::Require).await;
            assert!(matches!(unproven, Err(Trouble::Unproven(_))));
        }
    }
}
