//! The gate: what may pass between an address here and another, asked of every stanza at the one point that all pass.

use std::collections::HashMap;
use std::sync::Arc;

use arc_swap::ArcSwap;

use super::{Hosts, Router};
use crate::hooks::{Envelope, Origin, Tables};
use crate::proto::error::{Condition, StanzaError};
use crate::proto::jid::Jid;
use crate::proto::stanza::{IqType, Kind, PresenceType, Stanza};

/// The hooks to ask, by the domains of hosts and of their services; only of hosts that have some.
#[derive(Default)]
pub(super) struct Gates(ArcSwap<HashMap<Box<str>, Arc<Tables>>>);

impl Gates {
    pub(super) fn set(&self, hosts: &Hosts) {
        let mut gates = HashMap::new();
        for host in hosts
            .values()
            .filter(|host| !host.tables.gates().is_empty())
        {
            let services = host.tables.services().iter().map(|entry| &entry.domain);
            for domain in services.chain([&host.domain]) {
                gates.insert(domain.as_str().into(), host.tables.clone());
            }
        }
        self.0.store(Arc::new(gates));
    }

    /// Whether nothing passes between two addresses.
    fn are_shut(&self, one: &Jid, other: &Jid) -> bool {
        if one.bare_str() == other.bare_str() {
            return false;
        }
        let gates = self.0.load();
        let shut = |here: &Jid, there: &Jid| {
            let tables = gates.get(here.domain());
            tables.is_some_and(|tables| tables.gates().iter().any(|gate| gate(here, there)))
        };
        shut(one, other) || (one.domain() != other.domain() && shut(other, one))
    }
}

impl Router {
    /// Whether nothing passes between two addresses.
    pub fn is_shut(&self, one: &Jid, other: &Jid) -> bool {
        self.gates.are_shut(one, other)
    }

    /// The stanza, if it may pass. Who asks something from here is told that it may not; who is
    /// elsewhere hears nothing, and what is an answer or only tells something ends without a word.
    pub(super) fn let_pass(self: &Arc<Self>, envelope: Box<Envelope>) -> Option<Box<Envelope>> {
        let shut = |from: &Jid| self.gates.are_shut(from, &envelope.to);
        let from = envelope.from().filter(|from| shut(from));
        let Some(from) = from else {
            return Some(envelope);
        };
        let own_word = envelope.origin == Origin::Server && envelope.stanza.kind.is_error();
        if own_word && self.is_here(&envelope.to) {
            return Some(envelope);
        }
        self.stats.shut.count();
        if asks(&envelope.stanza) && self.is_here(from) {
            let error = StanzaError::from(Condition::NotAllowed)
                .with_text("The administrator of this server does not allow this");
            self.bounce(&envelope, &error);
        } else {
            self.finish(envelope);
        }
        None
    }

    fn is_here(&self, jid: &Jid) -> bool {
        self.hosts.load().contains_key(jid.domain())
            || self.service_entries.load().contains_key(jid.domain())
    }
}

/// Whether its sender waits for what comes of it.
fn asks(stanza: &Stanza) -> bool {
    matches!(
        stanza.kind,
        Kind::Message(_)
            | Kind::Iq(IqType::Get | IqType::Set)
            | Kind::Presence(PresenceType::Subscribe)
    ) && !stanza.kind.is_error()
}
