//! The border: what modules make of stanzas that leave for other servers, and of those that come from there.

use std::collections::HashMap;
use std::sync::Arc;

use arc_swap::ArcSwap;

use super::{Hosts, Router};
use crate::hooks::{Crossing, Envelope, Origin, Tables, Toll};
use crate::proto::jid::Jid;

/// The hooks to ask, by the domains of hosts and of their services; only of hosts that have some.
#[derive(Default)]
pub(super) struct Border(ArcSwap<HashMap<Box<str>, Arc<Tables>>>);

impl Border {
    pub(super) fn set(&self, hosts: &Hosts) {
        let watched = hosts.values().filter(|host| host.tables.watches_border());
        let of = watched.flat_map(|host| {
            let services = host.tables.services().iter().map(|entry| &entry.domain);
            let domains = services.chain([&host.domain]);
            domains.map(|domain| (domain.as_str().into(), host.tables.clone()))
        });
        self.0.store(Arc::new(of.collect()));
    }
}

impl Router {
    /// A stanza leaves for another server: as the hooks of its sender's host leave it, if they let it go.
    pub(super) fn to_remote(self: &Arc<Self>, envelope: Box<Envelope>) -> Option<Box<Envelope>> {
        let from = envelope.from().cloned();
        self.cross(Crossing::ToRemote, from.as_ref(), envelope)
    }

    /// A stanza came from another server, if it did: as the hooks of the host that it is for leave it.
    pub(super) fn from_remote(self: &Arc<Self>, envelope: Box<Envelope>) -> Option<Box<Envelope>> {
        if envelope.origin != Origin::Remote {
            return Some(envelope);
        }
        let to = envelope.to.clone();
        self.cross(Crossing::FromRemote, Some(&to), envelope)
    }

    fn cross(
        self: &Arc<Self>,
        crossing: Crossing,
        here: Option<&Jid>,
        mut envelope: Box<Envelope>,
    ) -> Option<Box<Envelope>> {
        let border = self.border.0.load();
        let tables = here.and_then(|here| border.get(here.domain()));
        for hook in tables.map_or(&[][..], |tables| tables.border(crossing)) {
            match hook(&mut envelope) {
                Toll::Pass => {}
                Toll::Consume => {
                    self.finish(envelope);
                    return None;
                }
                Toll::Bounce(error) => {
                    self.bounce(&envelope, &error);
                    return None;
                }
            }
        }
        Some(envelope)
    }
}
