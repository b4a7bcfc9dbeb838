//! The programs that the configuration names, by the domains they serve.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use crate::config::{Component, ComponentConflict};
use crate::federation::{Bounds, Capacity, Times};
use crate::proto::jid::Jid;
use crate::stream::Secret;

/// First pause after a program was waited for in vain; meanwhile what is not kept goes back at once.
const RETRY: Duration = Duration::from_secs(10);
/// Longest pause. Whoever connects is served at once all the same.
const RETRY_MAX: Duration = Duration::from_secs(60);

/// One program.
pub(super) struct Program {
    /// The name of its section.
    pub name: String,
    pub domains: Vec<Jid>,
    pub secret: Secret,
    /// A second connection takes the place of the first.
    pub replaces: bool,
    /// How long it is waited for when it is away.
    pub patience: Duration,
    pub times: Times,
    pub bounds: Bounds,
    /// Of each of its streams.
    pub capacity: Capacity,
}

/// The programs by domain.
#[derive(Default)]
pub struct Programs(HashMap<Box<str>, Arc<Program>>);

impl Programs {
    /// As configured. Domains that are none are left out; the configuration was checked.
    pub fn new(config: &BTreeMap<String, Component>) -> Programs {
        let mut programs = HashMap::new();
        for (name, component) in config {
            let program = Arc::new(Program::new(name, component));
            for domain in &program.domains {
                programs.insert(domain.domain().into(), program.clone());
            }
        }
        Programs(programs)
    }

    pub(super) fn of(&self, domain: &str) -> Option<Arc<Program>> {
        self.0.get(domain).cloned()
    }

    /// The domains, each with the name of its program, in order.
    pub fn domains(&self) -> Vec<(Jid, String)> {
        let all = self.0.iter();
        let mut all: Vec<_> = all
            .filter_map(|(domain, program)| Some((Jid::parse(domain).ok()?, program.name.clone())))
            .collect();
        all.sort_by(|a, b| a.0.as_str().cmp(b.0.as_str()));
        all
    }
}

impl Program {
    fn new(name: &str, config: &Component) -> Program {
        let domains = config.domains(name).into_iter();
        let bytes = config.queue_bytes.0;
        Program {
            name: name.to_owned(),
            domains: domains
                .filter_map(|domain| Jid::parse(domain).ok())
                .collect(),
            secret: Secret::new(config.secret.as_bytes()),
            replaces: config.conflict == ComponentConflict::Replace,
            patience: config.patience.0,
            times: Times {
                retry: RETRY,
                retry_max: RETRY_MAX,
                give_up_after: config.give_up_after.0,
                lost_after: None,
            },
            bounds: Bounds {
                messages: config.queue_messages.into(),
                bytes,
                bytes_total: u64::MAX,
            },
            capacity: Capacity::new(
                config.stream_stanzas,
                config.stream_bytes,
                config.stream_passing,
                config.stream_window,
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_section_without_domains_is_named_after_its_domain() {
        let bot = Component::default();
        let gateway = Component {
            domains: vec!["irc.a.example".into(), "irc.b.example".into()],
            ..Component::default()
        };
        let config = [("bot.a.example".into(), bot), ("irc".into(), gateway)];
        let programs = Programs::new(&config.into());
        let all: Vec<_> = programs.domains();
        let all: Vec<_> = all.iter().map(|(d, n)| (d.as_str(), &**n)).collect();
        let expected = [
            ("bot.a.example", "bot.a.example"),
            ("irc.a.example", "irc"),
            ("irc.b.example", "irc"),
        ];
        assert_eq!(all, expected);
        assert!(programs.of("irc").is_none());
    }
}
