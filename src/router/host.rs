//! Stanzas to a host itself, and to domains that are not served here.

use std::sync::Arc;

use super::commit::{Settled, Then};
use super::iq::{unknown, verb};
use super::{Host, Router};
use crate::hooks::command::Offered;
use crate::hooks::{Elsewhere, Envelope, Event, Origin, Reply, Request, To, Verdict};
use crate::proto::error::Condition;
use crate::proto::jid::Jid;
use crate::proto::stanza::{Kind, MessageType};
use crate::store::Mid;

impl Router {
    /// RFC 6120 §10.5.1, RFC 6121 §8.5: the server is addressed.
    pub(super) fn to_host(self: &Arc<Self>, host: &Arc<Host>, envelope: Box<Envelope>) {
        match envelope.stanza.kind {
            Kind::Iq(_) => self.iq_to_host(host, envelope),
            Kind::Message(MessageType::Error) | Kind::Presence(_) => self.finish(envelope),
            Kind::Message(kind) => self.message_to_host(host, envelope, kind),
        }
    }

    fn message_to_host(self: &Arc<Self>, host: &Host, envelope: Box<Envelope>, kind: MessageType) {
        let handler = host.tables.host_message(&envelope.stanza);
        let verdict = handler.map(|handler| handler(&envelope));
        match verdict {
            Some(Verdict::Consume) => self.finish(envelope),
            Some(Verdict::Bounce(error)) => self.bounce(&envelope, &error),
            // A headline is not given back.
            _ if kind == MessageType::Headline => self.finish(envelope),
            Some(Verdict::Continue | Verdict::Later(_)) | None => {
                self.bounce(&envelope, &unknown());
            }
        }
    }

    fn iq_to_host(self: &Arc<Self>, host: &Arc<Host>, envelope: Box<Envelope>) {
        let Some(verb) = verb(&envelope) else {
            self.questions.answered(&envelope.stanza);
            return self.finish(envelope);
        };
        let stanza = envelope.stanza.clone();
        let reply = match (stanza.payload(), stanza.from.as_ref()) {
            (Some(payload), Some(from)) if envelope.to.is_bare() => {
                let request = Request {
                    stanza: &stanza,
                    payload,
                    from,
                    session: None,
                };
                let handler = || host.tables.host_iq(verb, payload);
                host.tables
                    .divert(To::Host, &request)
                    .or_else(|| handler().map(|handler| handler(&request)))
                    .unwrap_or_else(|| Reply::Error(unknown()))
            }
            _ => Reply::Error(unknown()),
        };
        self.reply(envelope, reply);
    }

    /// To another domain, if there is a way: what is kept for it is on disk before it leaves.
    pub(super) fn to_elsewhere(self: &Arc<Self>, envelope: Box<Envelope>) {
        let Some(elsewhere) = self.elsewhere() else {
            return self.bounce(&envelope, &Condition::RemoteServerNotFound.into());
        };
        if envelope.origin == Origin::Remote {
            // Nobody is passed on from one foreign server to another.
            return self.bounce(&envelope, &Condition::ItemNotFound.into());
        }
        if let Some(envelope) = self.to_remote(envelope) {
            self.leave_by(&*elsewhere, envelope);
        }
    }

    /// Out of the house, this way.
    pub(super) fn leave_by(
        self: &Arc<Self>,
        elsewhere: &dyn Elsewhere,
        mut envelope: Box<Envelope>,
    ) {
        match elsewhere.admit(&mut envelope) {
            Err(error) => self.bounce(&envelope, &error),
            Ok(kept) => {
                if let Settled::Now(envelope) = self.settle(envelope, Then::Leave(kept)) {
                    self.leave(envelope, None, false);
                }
            }
        }
    }

    /// A stanza goes out of the house, after its commit.
    pub(super) fn leave(
        self: &Arc<Self>,
        mut envelope: Box<Envelope>,
        mid: Option<Mid>,
        kept: bool,
    ) {
        let effects = std::mem::take(&mut envelope.ledger.effects);
        let neighbour = self.neighbour(envelope.to.domain());
        if let Some(elsewhere) = neighbour.or_else(|| self.elsewhere()) {
            elsewhere.take(envelope, mid.filter(|_| kept));
        }
        self.run_effects(effects, mid);
    }

    /// The commands of all hosts, each with its host.
    pub fn commands(&self) -> Vec<(Jid, Offered)> {
        let hosts = self.hosts.load();
        let of = |host: &Arc<Host>| {
            let commands = host.tables.commands().iter();
            let pairs = commands.map(|offered| (host.domain.clone(), offered.clone()));
            pairs.collect::<Vec<_>>()
        };
        hosts.values().flat_map(of).collect()
    }

    /// Tells the modules of all hosts what happened.
    pub fn tell(&self, event: &Event) {
        for host in self.hosts.load().values() {
            for hook in host.tables.events() {
                hook(event);
            }
        }
    }
}
