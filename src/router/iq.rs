//! Iqs: answered for accounts, passed to resources, never lost (RFC 6120 §8.2.3, RFC 6121 §8.5).

use std::sync::Arc;

use super::Router;
use super::commit::Settled;
use super::commit::Then;
use crate::hooks::{Account, Effect, Envelope, Origin, Outgoing, Pushed, Reply, Request, To, Verb};
use crate::proto::error::{Condition, StanzaError};
use crate::proto::jid::Jid;
use crate::proto::stanza::{IqType, Kind};
use crate::state::roster::Roster;
use crate::xml::Element;

impl Router {
    /// A client sends an iq.
    pub(super) fn sent_iq(self: &Arc<Self>, account: &mut Account, envelope: Box<Envelope>) {
        if envelope.to == account.jid {
            return self.iq_for_account(account, envelope, To::OwnAccount);
        }
        if self.confined(account, &envelope.to) {
            return self.bounce(&envelope, &Condition::NotAllowed.into());
        }
        self.route_on(envelope);
    }

    /// An iq arrives at an account or one of its resources.
    pub(super) fn iq_arrives(self: &Arc<Self>, account: &mut Account, envelope: Box<Envelope>) {
        if envelope.to.is_bare() {
            let own = envelope
                .from()
                .is_some_and(|from| from.bare_str() == account.jid.as_str());
            let to = if own { To::OwnAccount } else { To::Account };
            return self.iq_for_account(account, envelope, to);
        }
        let Settled::Now(envelope) = self.settle(envelope, Then::End) else {
            return;
        };
        let question = verb(&envelope).is_some();
        let Some(session) = account.resource(&envelope.to) else {
            return self.bounce(&envelope, &Condition::ServiceUnavailable.into());
        };
        if question && !shares_presence(account, &envelope) {
            return self.bounce(&envelope, &Condition::ServiceUnavailable.into());
        }
        let other = envelope.stanza.to.as_ref() != Some(&envelope.to);
        let pushed = session.outbox.push(Outgoing {
            stanza: envelope.stanza.clone(),
            to: other.then(|| envelope.to.clone()),
            entry: None,
        });
        match pushed {
            Pushed::Queued => self.run_effects(envelope.ledger.effects, None),
            Pushed::Full => self.bounce(&envelope, &Condition::ResourceConstraint.into()),
            Pushed::Closed => self.bounce(&envelope, &Condition::ServiceUnavailable.into()),
        }
    }

    /// An iq that the server answers for an account (RFC 6121 §8.5.2.1.3).
    fn iq_for_account(
        self: &Arc<Self>,
        account: &mut Account,
        mut envelope: Box<Envelope>,
        to: To,
    ) {
        let Some(verb) = verb(&envelope) else {
            self.questions.answered(&envelope.stanza);
            return self.finish(envelope);
        };
        let stanza = envelope.stanza.clone();
        if let (Some(payload), Some(from)) = (stanza.payload(), stanza.from.as_ref()) {
            let request = Request {
                stanza: &stanza,
                payload,
                from,
                session: None,
            };
            if let Some(reply) = account.tables.divert(to, &request) {
                return self.reply(envelope, reply);
            }
        }
        let handler = stanza
            .payload()
            .and_then(|payload| account.tables.account_iq(to, verb, payload).cloned());
        let Some(handler) = handler else {
            return self.bounce(&envelope, &Condition::ServiceUnavailable.into());
        };
        let reply = self.with_turn(account, &mut envelope, |envelope, turn| {
            let (Some(payload), Some(from)) = (stanza.payload(), stanza.from.as_ref()) else {
                return Reply::Error(Condition::BadRequest.into());
            };
            let session = match envelope.origin {
                Origin::Session(id) if turn.account.session(id).is_some() => Some(id),
                _ => None,
            };
            handler(
                &Request {
                    stanza: &stanza,
                    payload,
                    from,
                    session,
                },
                turn,
            )
        });
        self.reply(envelope, reply);
    }

    /// Sends what a handler answered, after the commit of what it changed.
    pub(super) fn reply(self: &Arc<Self>, mut envelope: Box<Envelope>, reply: Reply) {
        match reply {
            Reply::Result(payload) => self.answer(envelope, payload),
            Reply::DoneThen(then) => {
                envelope.ledger.effects.push(Effect::Free(then));
                self.answer(envelope, None);
            }
            Reply::Error(error) => {
                self.bounce(&envelope, &error);
            }
            Reply::Later(future) => {
                // The sender's next stanzas need not wait for a slow answer.
                envelope.receipt = None;
                let router = self.clone();
                let timeout = self.limits().iq_timeout;
                self.runtime.spawn(async move {
                    let reply = tokio::time::timeout(timeout, future)
                        .await
                        .unwrap_or_else(|_| Reply::Error(Condition::RemoteServerTimeout.into()));
                    router.reply(envelope, reply);
                });
            }
        }
    }

    fn answer(self: &Arc<Self>, mut envelope: Box<Envelope>, payload: Option<Element>) {
        if let Some(answer) = answer(&envelope, payload) {
            // The answer first, then pushes: a client can tell what came of its request.
            let answer = Effect::Send(Box::new(answer));
            envelope.ledger.effects.insert(0, answer);
        }
        self.finish(envelope);
    }
}

/// `get` or `set`; nothing for answers.
pub(super) fn verb(envelope: &Envelope) -> Option<Verb> {
    match envelope.stanza.kind {
        Kind::Iq(IqType::Get) => Some(Verb::Get),
        Kind::Iq(IqType::Set) => Some(Verb::Set),
        _ => None,
    }
}

/// The result, from the address that was asked.
fn answer(envelope: &Envelope, payload: Option<Element>) -> Option<Envelope> {
    let mut stanza = envelope.stanza.reply();
    stanza.from = Some(envelope.to.clone());
    stanza.to = envelope.from().cloned();
    if let Some(payload) = payload {
        stanza = stanza.with_child(payload);
    }
    Envelope::from_server(stanza)
}

/// RFC 6121 §8.5.3.1: a resource is asked only by who may know that it is there.
fn shares_presence(account: &Account, envelope: &Envelope) -> bool {
    let Some(from) = envelope.from() else {
        return false;
    };
    if matches!(envelope.origin, Origin::Server | Origin::Service)
        || from.bare_str() == account.jid.as_str()
    {
        return true;
    }
    let directed = |to: &Jid| to.bare_str() == from.bare_str();
    account
        .parts
        .find::<Roster>()
        .is_some_and(|roster| roster.state(&from.bare()).subscription.from())
        || account
            .resource(&envelope.to)
            .is_some_and(|session| session.directed.iter().any(directed))
}

/// The error of a question nobody here can answer.
pub(super) fn unknown() -> StanzaError {
    Condition::ServiceUnavailable.into()
}
