//! One question to DNS, by either way to ask it.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use hickory_resolver::TokioResolver;
use hickory_resolver::net::NetError;
use hickory_resolver::proto::rr::{Name, RData, RecordType};

use super::targets::Record;
use super::trouble::Trouble;
use super::validating::Validating;
use crate::net::tls::Tlsa;

/// Addresses tried for one name.
const MOST: usize = 16;
/// Once one answer is of use, those that would be preferred have so long yet (XEP-0495 §4.2). Longer than RFC 8305 §8 says:
/// what is late is left out this time.
pub(super) const RESOLUTION_DELAY: Duration = Duration::from_millis(250);
/// TLSA records that are looked at for one server.
const MOST_NAMED: usize = 32;

/// Who is asked.
#[derive(Clone, Copy)]
pub(super) enum Dns<'a> {
    /// Whoever; nothing is known to be signed.
    Plain(&'a TokioResolver),
    /// Who knows what is signed.
    Validating(&'a Validating),
}

/// What DNS has under a name.
pub(super) struct Answer {
    pub data: Vec<RData>,
    /// Whether DNSSEC proves it.
    pub signed: bool,
    /// Where aliases led.
    pub name: Name,
}

/// Where a server is.
pub(super) struct Addresses {
    pub all: Vec<SocketAddr>,
    pub signed: bool,
    /// Its name behind aliases.
    name: Name,
}

impl Dns<'_> {
    /// The SRV records of one service, and whether no answer at all came; none is no failure.
    pub async fn srv(self, name: &str, direct: bool) -> Result<Vec<Record>, Trouble> {
        let service = if direct {
            "_xmpps-server"
        } else {
            "_xmpp-server"
        };
        let asked = format!("{service}._tcp.{name}.");
        let answer = self.ask(&asked, name, RecordType::SRV).await?;
        let signed = answer.signed;
        let records = answer.data.into_iter().filter_map(|data| match data {
            RData::SRV(srv) => Some(Record {
                priority: srv.priority,
                weight: srv.weight,
                host: srv.target.to_ascii(),
                port: srv.port,
                direct,
                signed,
            }),
            _ => None,
        });
        Ok(records.collect())
    }

    /// The addresses of a host, of both families. If something is wrong with one of them, or it is late, the other is enough,
    /// but not where signatures count (RFC 7673 §3.2).
    pub async fn addresses(self, host: &str, port: u16) -> Result<Addresses, Trouble> {
        let full = format!("{}.", host.trim_end_matches('.'));
        let six = self.ask(&full, host, RecordType::AAAA);
        let four = self.ask(&full, host, RecordType::A);
        let answers = match self {
            Dns::Plain(_) => at_least_one(beside(six, four).await)?,
            Dns::Validating(_) => {
                let (six, four) = tokio::join!(six, four);
                vec![six?, four?]
            }
        };
        let found = answers.iter().filter(|answer| !answer.data.is_empty());
        let Some(first) = found.clone().next() else {
            return Err(Trouble::Nothing(format!(
                "DNS knows no address of {}",
                host.trim_end_matches('.')
            )));
        };
        let ips = found.clone().flat_map(|answer| &answer.data);
        let ips = ips.filter_map(|data| data.ip_addr()).take(MOST).collect();
        Ok(Addresses {
            all: alternating(ips, port),
            signed: found.clone().any(|answer| answer.signed),
            name: first.name.clone(),
        })
    }

    /// The signed TLSA records of a server that can be used: behind aliases, else under the name that SRV gave (RFC 7671 §7).
    pub async fn tlsa(self, host: &str, at: &Addresses, port: u16) -> Result<Vec<Tlsa>, Trouble> {
        let host = format!("{}.", host.trim_end_matches('.'));
        let behind = at.name.to_ascii();
        let aliased = !behind.eq_ignore_ascii_case(&host);
        for base in [aliased.then_some(behind), Some(host)]
            .into_iter()
            .flatten()
        {
            let name = format!("_{port}._tcp.{base}");
            let answer = self.ask(&name, &name, RecordType::TLSA).await?;
            if !answer.signed || answer.data.is_empty() {
                continue;
            }
            let records = answer.data.into_iter().filter_map(|data| match data {
                RData::TLSA(tlsa) => Tlsa::new(
                    tlsa.cert_usage.into(),
                    tlsa.selector.into(),
                    tlsa.matching.into(),
                    tlsa.cert_data.clone(),
                ),
                _ => None,
            });
            return Ok(records.take(MOST_NAMED).collect());
        }
        Ok(Vec::new())
    }

    /// Asks; nothing there is an empty answer. `about` is what failures are told about.
    async fn ask(self, name: &str, about: &str, kind: RecordType) -> Result<Answer, Trouble> {
        let no_answer = |why: &dyn std::fmt::Display| {
            Trouble::Dns(format!("DNS gave no answer about {about}: {why}"))
        };
        let name = Name::from_ascii(name).map_err(|error| no_answer(&error))?;
        let resolver = match self {
            Dns::Validating(validating) => {
                let asked = validating.ask(&name, kind).await;
                return asked.map_err(|why| no_answer(&why));
            }
            Dns::Plain(resolver) => resolver,
        };
        let looked = match kind {
            // It goes on when nobody waits for it any more: the next one to ask finds the answer.
            RecordType::A | RecordType::AAAA => {
                let (asking, asked) = (resolver.clone(), name.clone());
                let looking = tokio::spawn(async move { asking.lookup(asked, kind).await });
                looking.await.map_err(|error| no_answer(&error))?
            }
            _ => resolver.lookup(name.clone(), kind).await,
        };
        let data = match looked {
            Ok(lookup) => {
                let of =
                    |record: &&hickory_resolver::proto::rr::Record| record.record_type() == kind;
                let records = lookup.answers().iter().filter(of);
                records.map(|record| record.data.clone()).collect()
            }
            Err(error) if is_nothing(&error) => Vec::new(),
            Err(error) => return Err(no_answer(&error)),
        };
        Ok(Answer {
            data,
            signed: false,
            name,
        })
    }
}

/// Two answers; once the one is of use the other is not waited for much longer.
async fn beside<F>(one: F, other: F) -> [Option<F::Output>; 2]
where
    F: Future<Output = Result<Answer, Trouble>>,
{
    let (mut first, mut second) = (None, None);
    tokio::pin!(one, other);
    tokio::select! {
        answer = &mut one => first = Some(answer),
        answer = &mut other => second = Some(answer),
    }
    let has_data = |answer: &F::Output| matches!(answer, Ok(answer) if !answer.data.is_empty());
    let useful = first.iter().chain(&second).any(has_data);
    let rest = async {
        match first {
            None => first = Some(one.await),
            Some(_) => second = Some(other.await),
        }
    };
    match useful {
        true => drop(tokio::time::timeout(RESOLUTION_DELAY, rest).await),
        false => rest.await,
    }
    [first, second]
}

/// What was answered; that nothing was only if nothing was.
fn at_least_one(answers: [Option<Result<Answer, Trouble>>; 2]) -> Result<Vec<Answer>, Trouble> {
    let (mut found, mut failure) = (Vec::new(), None);
    for answer in answers.into_iter().flatten() {
        match answer {
            Ok(answer) => found.push(answer),
            Err(trouble) => failure = failure.or(Some(trouble)),
        }
    }
    match failure {
        Some(trouble) if found.is_empty() => Err(trouble),
        _ => Ok(found),
    }
}

fn is_nothing(error: &NetError) -> bool {
    error.is_nx_domain() || error.is_no_records_found()
}

/// IPv6 first, then the families by turns (RFC 8305 §4).
pub(super) fn alternating(found: Vec<IpAddr>, port: u16) -> Vec<SocketAddr> {
    let (six, four): (Vec<IpAddr>, Vec<IpAddr>) = found.into_iter().partition(IpAddr::is_ipv6);
    let most = six.len().max(four.len());
    let turns = (0..most).flat_map(|turn| [six.get(turn), four.get(turn)]);
    turns
        .flatten()
        .map(|ip| SocketAddr::new(*ip, port))
        .collect()
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
}
