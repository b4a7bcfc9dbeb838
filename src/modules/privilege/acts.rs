//! What a privileged component does for accounts: rosters, messages, questions (XEP-0356 §4.3, §5.3, §6.3).

use std::sync::Arc;
use std::time::Duration;

use super::Privilege;
use crate::hooks::{AskError, Envelope, Question, Reply, Request, To, Turn, Verb, Verdict};
use crate::proto::error::{Condition, StanzaError};
use crate::proto::jid::Jid;
use crate::proto::stanza::{IqType, Kind, Stanza};
use crate::proto::{forward, ns};
use crate::xml::Element;

/// How long a question in somebody's name may wait for its answer.
const PATIENCE: Duration = Duration::from_secs(50);

fn forbidden() -> StanzaError {
    Condition::Forbidden.into()
}

fn verb(kind: Kind) -> Option<Verb> {
    match kind {
        Kind::Iq(IqType::Get) => Some(Verb::Get),
        Kind::Iq(IqType::Set) => Some(Verb::Set),
        _ => None,
    }
}

impl Privilege {
    /// A roster get or set of a component to an account is answered as if the account had sent it.
    pub(super) fn roster(&self, envelope: &mut Envelope, turn: &mut Turn<'_>) -> Verdict {
        let stanza = envelope.stanza.clone();
        let (Some(verb), Some(payload)) = (verb(stanza.kind), stanza.payload()) else {
            return Verdict::Continue;
        };
        let Some(rights) = self.rights(stanza.from.as_ref()) else {
            return Verdict::Continue;
        };
        if !payload.is("query", ns::ROSTER) || !envelope.to.is_bare() {
            return Verdict::Continue;
        }
        let granted = match verb {
            Verb::Get => rights.roster.gets(),
            Verb::Set => rights.roster.sets(),
        };
        if !granted {
            return Verdict::Bounce(forbidden());
        }
        tracing::info!(component = %rights.domain, account = %turn.account.jid, ?verb, "a roster, by privilege");
        let handler = turn.account.tables.clone();
        let Some(handler) = handler.account_iq(To::OwnAccount, verb, payload) else {
            return Verdict::Bounce(Condition::ServiceUnavailable.into());
        };
        let account = turn.account.jid.clone();
        let request = Request {
            stanza: &stanza,
            payload,
            from: &account,
            session: None,
        };
        match handler(&request, turn) {
            Reply::Result(payload) => {
                let mut answer = stanza.reply();
                answer.from = Some(account);
                if let Some(payload) = payload {
                    answer = answer.with_child(payload);
                }
                turn.send(answer);
                Verdict::Consume
            }
            Reply::Error(error) => Verdict::Bounce(error),
            Reply::Later(_) | Reply::DoneThen(_) => {
                Verdict::Bounce(Condition::InternalServerError.into())
            }
        }
    }

    /// A message for the host that carries one of an account, or of the host itself.
    pub(super) fn message(&self, envelope: &Envelope) -> Verdict {
        let Some(rights) = self.rights(envelope.from()).filter(|rights| rights.message) else {
            return Verdict::Bounce(forbidden());
        };
        match self.carried(&envelope.stanza) {
            Ok(message) => {
                tracing::info!(component = %rights.domain, from = message.from.as_ref().map(Jid::as_str), "a message, by privilege");
                self.send_for(message);
                Verdict::Consume
            }
            Err(error) => Verdict::Bounce(error),
        }
    }

    /// §5.1: from a bare JID of the host, or the host.
    fn carried(&self, outer: &Stanza) -> Result<Stanza, StanzaError> {
        let bad = || StanzaError::from(Condition::BadRequest);
        let privilege = outer.child("privilege", ns::PRIVILEGE).ok_or_else(bad)?;
        let forwarded = privilege.child("forwarded", ns::FORWARD);
        let inner = forwarded.and_then(forward::unwrap);
        let inner = inner.map(|(inner, _)| inner.to_element()).ok_or_else(bad)?;
        let message = Stanza::from_element(inner).map_err(|_| bad())?;
        if !matches!(message.kind, Kind::Message(_)) || message.to.is_none() {
            return Err(bad());
        }
        let from = message.from.as_ref().ok_or_else(forbidden)?;
        match from.is_bare() && from.domain() == self.deps.host.domain() {
            true => Ok(message),
            false => Err(forbidden()),
        }
    }

    /// An iq of an account, by the word of a component.
    pub(super) fn question(
        self: &Arc<Self>,
        verb: Verb,
        request: &Request<'_>,
        turn: &mut Turn<'_>,
    ) -> Reply {
        let account = turn.account.jid.clone();
        match self.asked(verb, request, &account) {
            Ok((inner, payload)) => self.ask(verb, (inner, payload), account),
            Err(error) => error.into(),
        }
    }

    /// The encapsulated iq and its payload, if all that §6.3 demands holds.
    fn asked(
        &self,
        verb: Verb,
        request: &Request<'_>,
        account: &Jid,
    ) -> Result<(Stanza, Element), StanzaError> {
        let rights = self.rights(Some(request.from)).ok_or_else(forbidden)?;
        let inner = request.payload.child("iq", ns::CLIENT);
        let inner = inner.ok_or_else(forbidden)?.to_element();
        let inner = Stanza::from_element(inner);
        let inner = inner.map_err(|_| StanzaError::from(Condition::BadRequest))?;
        let payload = inner.payload().ok_or(Condition::BadRequest)?;
        let granted = rights.iq.get(payload.ns()).copied();
        let granted = granted.is_some_and(|access| match verb {
            Verb::Get => access.gets(),
            Verb::Set => access.sets(),
        });
        let same = self::verb(inner.kind) == Some(verb);
        let own = inner.from.as_ref().is_none_or(|from| from == account);
        if !granted || !same || !own {
            return Err(forbidden());
        }
        tracing::info!(component = %rights.domain, %account, namespace = payload.ns(), ?verb, "a question, by privilege");
        let payload = payload.to_element();
        Ok((inner, payload))
    }

    fn ask(&self, verb: Verb, (inner, payload): (Stanza, Element), account: Jid) -> Reply {
        let to = inner.to.clone().unwrap_or_else(|| account.clone());
        let question = match verb {
            Verb::Get => Question::Get(payload),
            Verb::Set => Question::Set(payload),
        };
        let floor = self.deps.floor.clone();
        Reply::Later(Box::pin(async move {
            let told = floor
                .ask(account.clone(), to.clone(), question, PATIENCE)
                .await;
            let mut answer = match told {
                Ok(payload) => {
                    let result = inner.reply();
                    match payload {
                        Some(payload) => result.with_child(payload),
                        None => result,
                    }
                }
                Err(AskError::Refused(error)) => match inner.error(&error) {
                    Some(refusal) => refusal,
                    None => return Condition::InternalServerError.reply(),
                },
                Err(AskError::TimedOut) => return Condition::RemoteServerTimeout.reply(),
                Err(AskError::Busy) => return Condition::ResourceConstraint.reply(),
            };
            answer.from = Some(to);
            answer.to = Some(account);
            let forwarded = forward::wrap(&answer, None);
            let privilege = Element::new("privilege", ns::PRIVILEGE);
            privilege.with_child(forwarded).into()
        }))
    }
}

/// A condition as the answer.
trait AsReply {
    fn reply(self) -> Reply;
}

impl AsReply for Condition {
    fn reply(self) -> Reply {
        Reply::Error(self.into())
    }
}
