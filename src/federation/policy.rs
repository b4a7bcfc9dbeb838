//! Which domains are talked to, what they must show, and where they are if not DNS says so.

use std::collections::HashMap;

use crate::config::{Federation, FederationDane, FederationDemand, FederationTls};
use crate::proto::jid::Jid;
use crate::stream::server::Demand;

/// The administrator's word on other domains.
pub struct Policy {
    allow: Vec<Pattern>,
    block: Vec<Pattern>,
    demand: FederationDemand,
    dane: FederationDane,
    peers: HashMap<String, Peer>,
}

/// Where the configuration says that a server is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// A name or an address.
    pub host: String,
    /// The port.
    pub port: u16,
    /// TLS at once.
    pub direct: bool,
}

struct Peer {
    found: Option<Found>,
    demand: Option<FederationDemand>,
    dane: Option<FederationDane>,
}

enum Pattern {
    Domain(String),
    /// What follows `*.`.
    Below(String),
}

impl Pattern {
    fn read(text: &str) -> Option<Pattern> {
        let (name, below) = match text.strip_prefix("*.") {
            Some(rest) => (rest, true),
            None => (text, false),
        };
        let name = Jid::parse(name).ok()?.domain().to_owned();
        Some(match below {
            true => Pattern::Below(name),
            false => Pattern::Domain(name),
        })
    }

    fn fits(&self, domain: &str) -> bool {
        match self {
            Pattern::Domain(name) => name == domain,
            Pattern::Below(parent) => domain
                .strip_suffix(parent.as_str())
                .is_some_and(|rest| rest.ends_with('.')),
        }
    }
}

impl Policy {
    /// As configured. Names that are none fit nothing.
    pub fn new(config: &Federation) -> Policy {
        let patterns = |texts: &[String]| {
            texts
                .iter()
                .filter_map(|text| Pattern::read(text))
                .collect()
        };
        let peers = config.peers.iter().filter_map(|peer| {
            let domain = Jid::parse(&peer.domain).ok()?.domain().to_owned();
            let found = peer.address.as_ref().map(|host| Found {
                host: host.clone(),
                port: peer.port,
                direct: peer.tls == FederationTls::Direct,
            });
            let (demand, dane) = (peer.demand, peer.dane);
            Some((
                domain,
                Peer {
                    found,
                    demand,
                    dane,
                },
            ))
        });
        Policy {
            allow: patterns(&config.allow),
            block: patterns(&config.block),
            demand: config.demand,
            dane: config.dane,
            peers: peers.collect(),
        }
    }

    /// What a domain must show.
    pub fn demand(&self, remote: &Jid) -> Demand {
        let domain = remote.domain();
        let among = |patterns: &[Pattern]| patterns.iter().any(|pattern| pattern.fits(domain));
        if among(&self.block) || !self.allow.is_empty() && !among(&self.allow) {
            return Demand::Refused(format!("this server does not talk to {domain}"));
        }
        let named = self.peers.get(domain).and_then(|peer| peer.demand);
        match named.unwrap_or(self.demand) {
            FederationDemand::Certificate => Demand::Certificate,
            FederationDemand::Dialback => Demand::Dialback,
        }
    }

    /// What is made of what DNS says of its certificate.
    pub fn dane(&self, remote: &Jid) -> FederationDane {
        let named = self.peers.get(remote.domain()).and_then(|peer| peer.dane);
        named.unwrap_or(self.dane)
    }

    /// What is made of it where nothing else is said.
    pub fn general_dane(&self) -> FederationDane {
        self.dane
    }

    /// Where the configuration says that it is.
    pub fn find(&self, remote: &Jid) -> Option<&Found> {
        self.peers.get(remote.domain())?.found.as_ref()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn demand(config: &Federation, domain: &str) -> Demand {
        Policy::new(config).demand(&Jid::parse(domain).unwrap())
    }

    #[test]
    fn lists_and_exceptions() {
        let mut config = Federation {
            block: vec!["spam.example".into(), "*.bad.example".into()],
            ..Federation::default()
        };
        assert_eq!(demand(&config, "good.example"), Demand::Certificate);
        for blocked in ["spam.example", "SPAM.example", "a.b.bad.example"] {
            assert!(
                matches!(demand(&config, blocked), Demand::Refused(_)),
                "{blocked}"
            );
        }
        for open in ["bad.example", "notbad.example", "x.spam.example"] {
            assert_eq!(demand(&config, open), Demand::Certificate, "{open}");
        }
        config.allow = vec!["friend.example".into()];
        assert!(matches!(
            demand(&config, "good.example"),
            Demand::Refused(_)
        ));
        assert_eq!(demand(&config, "friend.example"), Demand::Certificate);
        config.peers = vec![crate::config::FederationPeer {
            domain: "friend.example".into(),
            demand: Some(FederationDemand::Dialback),
            ..Default::default()
        }];
        assert_eq!(demand(&config, "friend.example"), Demand::Dialback);
    }
}
