//! Messages on their way to an account: recorded, committed, delivered (RFC 6121 §8.5.2–8.5.4).

use std::sync::Arc;

use super::Router;
use super::backlog::waits_for_room;
use super::commit::{Settled, Then};
use super::pipeline::Passed;
use super::resend::{Gone, Recent};
use crate::hooks::{
    Account, Backlog, Entry, Envelope, Origin, Outgoing, Path, Phase, Pushed, Sent, SessionInfo,
    Taken, Turn, Which,
};
use crate::proto::error::{Condition, StanzaError};
use crate::proto::jid::Jid;
use crate::proto::stanza::{Kind, MessageType, Stanza};
use crate::session::owners::{After, Slot};
use crate::session::work::Position;
use crate::state::log::{self, Waiting, Way};
use crate::store::{Batch, Mid};

impl Router {
    /// A stanza arrives at this account.
    pub(super) fn arriving(
        self: &Arc<Self>,
        slot: &Arc<Slot<Router>>,
        account: &mut Account,
        envelope: Box<Envelope>,
    ) -> After {
        self.to_client(slot, account, envelope, Position::default())
    }

    /// Runs the path ToClient from a position, then what the server itself does.
    pub(super) fn to_client(
        self: &Arc<Self>,
        slot: &Arc<Slot<Router>>,
        account: &mut Account,
        mut envelope: Box<Envelope>,
        position: Position,
    ) -> After {
        match self.pass(account, &mut envelope, Path::ToClient, position) {
            Passed::Go => match envelope.stanza.kind {
                Kind::Message(kind) => self.message_arrives(account, envelope, kind),
                Kind::Presence(_) => self.presence_arrives(account, envelope),
                Kind::Iq(_) => self.iq_arrives(account, envelope),
            },
            Passed::Consumed => self.finish(envelope),
            Passed::Bounced(error) => self.bounce(&envelope, &error),
            Passed::Later(waiting, next) => {
                return self.wait_for_verdict(slot, envelope, Path::ToClient, waiting, next);
            }
        }
        After::Continue
    }

    fn message_arrives(
        self: &Arc<Self>,
        account: &mut Account,
        mut envelope: Box<Envelope>,
        kind: MessageType,
    ) {
        if kind == MessageType::Error
            && let Some(gone) = account.parts.find_mut::<Gone>()
        {
            gone.0.refused(&envelope.stanza);
        }
        if let Some(refusal) = refused_at_once(account, &envelope, kind) {
            return match refusal {
                Some(error) => self.bounce(&envelope, &error),
                None => self.finish(envelope),
            };
        }
        let mut recorded = None;
        if envelope.facts.storable(kind) && !account.guest {
            if self.is_resend(account, &envelope) {
                // Its sender's account has it too.
                envelope.sent = None;
                return self.finish(envelope);
            }
            match self.record(account, &mut envelope) {
                Ok(keep) => recorded = Some(keep),
                Err(error) => {
                    forget_resend(account, &envelope.stanza);
                    return self.bounce(&envelope, &error);
                }
            }
        }
        if recorded.is_none() && envelope.keep && !account.guest {
            let (uid, now) = (account.uid, self.clock.wall());
            let envelope = &mut *envelope;
            if let Some(from) = envelope.stanza.from.as_ref() {
                let batch = &mut envelope.ledger.batch;
                log::keep(batch, uid, Way::Received, from, &envelope.stanza, now);
                recorded = Some(true);
            }
        }
        if recorded == Some(true) && from_self(account, &envelope) {
            // One entry in one log.
            envelope
                .sent
                .iter_mut()
                .for_each(|sent| sent.batch = Batch::new());
        }
        if let Settled::Now(envelope) = self.settle(envelope, Then::Deliver(recorded)) {
            self.deliver(account, *envelope, None);
        }
    }

    /// Puts a message into the account's log and marks it as undelivered.
    fn record(
        self: &Arc<Self>,
        account: &mut Account,
        envelope: &mut Envelope,
    ) -> Result<bool, StanzaError> {
        let keep = envelope.keep;
        let uid = account.uid;
        let Some(waiting) = account.parts.find_mut::<Waiting>() else {
            return Err(Condition::InternalServerError.into());
        };
        if waiting.entries >= self.limits().undelivered
            || waiting.bytes >= self.limits().undelivered_bytes
        {
            self.stats.reached.offline.count();
            return Err(StanzaError::from(Condition::ResourceConstraint)
                .with_text("The recipient has too many messages waiting"));
        }
        let now = self.clock.wall();
        let bytes = log::record(&mut envelope.ledger.batch, uid, &envelope.stanza, now, keep);
        waiting.add(bytes);
        Ok(keep)
    }

    fn is_resend(self: &Arc<Self>, account: &mut Account, envelope: &Envelope) -> bool {
        let now = self.clock.now();
        let window = self.limits().resend_window;
        account
            .parts
            .of::<Recent>()
            .is_some_and(|recent| recent.seen(&envelope.stanza, now, window))
    }

    /// Whether a client sends a message to another domain again: one whose id is its client's own, and made once (XEP-0359).
    /// What is sent again to an account here its account knows.
    pub(super) fn went_before(&self, account: &mut Account, envelope: &Envelope) -> bool {
        let (domain, now) = (envelope.to.domain(), self.clock.now());
        let Kind::Message(kind) = envelope.stanza.kind else {
            return false;
        };
        let here = self.host(domain).is_some() || self.service_entries.load().contains_key(domain);
        let named = log::origin_id(&envelope.stanza).is_some();
        if here || !named || account.guest || !envelope.facts.storable(kind) {
            return false;
        }
        let window = self.limits().resend_window;
        let gone = account.parts.of::<Gone>();
        gone.is_some_and(|gone| gone.0.seen(&envelope.stanza, now, window))
    }

    /// Hands a message that is on disk, or needs no disk, to the sessions it is for, and tells
    /// the hooks who took it.
    pub(super) fn deliver(
        self: &Arc<Self>,
        account: &mut Account,
        mut envelope: Envelope,
        entry: Option<Entry>,
    ) {
        let Kind::Message(kind) = envelope.stanza.kind else {
            return;
        };
        let effects = std::mem::take(&mut envelope.ledger.effects);
        envelope.entry = entry;
        if let Some(entry) = entry.filter(|entry| entry.keep) {
            let id = log::stanza_id(&account.jid, entry.mid);
            envelope.amend().push(id);
        }
        // What nobody waits for is handed out like any other stanza.
        let entry = entry.filter(|_| envelope.facts.storable(kind));
        let taken = hand_out(account, &mut envelope, kind, entry);
        if taken == Taken::None
            && envelope.entry.is_none()
            && let Some(error) = unstored_refusal(account, &envelope, kind)
        {
            self.bounce(&envelope, &error);
        }
        self.follow(account, &mut envelope, taken);
        self.run_effects(effects, None);
    }

    /// What a message leaves with the account that sends it; it joins the batch when the message
    /// has found its way.
    pub(super) fn leave_with_sender(self: &Arc<Self>, account: &Account, envelope: &mut Envelope) {
        let keep = std::mem::take(&mut envelope.keep) && !account.guest;
        let hooks = account
            .tables
            .transit(Which::Message, Path::FromClient, Phase::Mirror);
        let Origin::Session(session) = envelope.origin else {
            return;
        };
        if hooks.is_empty() && !keep {
            return;
        }
        let mut batch = Batch::new();
        if keep {
            let (way, now) = (Way::Sent, self.clock.wall());
            let (to, stanza) = (&envelope.to, &envelope.stanza);
            log::keep(&mut batch, account.uid, way, to, stanza, now);
        }
        envelope.sent = Some(Box::new(Sent {
            stanza: envelope.stanza.clone(),
            to: envelope.to.clone(),
            facts: envelope.facts,
            session,
            keep,
            batch,
        }));
    }

    /// The phase after the commit on the sender's side.
    pub(super) fn mirror(self: &Arc<Self>, sent: Sent, mid: Option<Mid>) {
        let Some(account) = sent.stanza.from.as_ref().map(Jid::bare) else {
            return;
        };
        let entry = mid
            .filter(|_| sent.keep)
            .map(|mid| Entry { mid, keep: true });
        let mut envelope = sent.into_envelope(entry);
        let run = move |turn: &mut Turn<'_>| {
            let tables = turn.account.tables.clone();
            for hook in tables.transit(Which::Message, Path::FromClient, Phase::Mirror) {
                hook(&mut envelope, turn);
            }
        };
        self.in_account(&account, Box::new(run));
    }

    /// The phases after the commit.
    fn follow(self: &Arc<Self>, account: &mut Account, envelope: &mut Envelope, taken: Taken) {
        let tables = account.tables.clone();
        let hooks = tables.transit(Which::Message, Path::ToClient, Phase::Mirror);
        let absent: &[_] = if taken == Taken::Live {
            &[]
        } else {
            tables.transit(Which::Message, Path::ToClient, Phase::Absent)
        };
        if hooks.is_empty() && absent.is_empty() && tables.delivered().is_empty() {
            return;
        }
        self.with_turn(account, envelope, |envelope, turn| {
            for hook in hooks.iter().chain(absent) {
                hook(envelope, turn);
            }
            for hook in tables.delivered() {
                hook(envelope, taken, turn);
            }
        });
        let ledger = std::mem::take(&mut envelope.ledger);
        self.finish_act(ledger, &account.jid);
    }
}

fn from_self(account: &Account, envelope: &Envelope) -> bool {
    let from = envelope.from();
    from.is_some_and(|from| from.bare_str() == account.jid.as_str())
}

/// The message was not stored: when it comes again it is new.
pub(super) fn forget_resend(account: &mut Account, stanza: &Stanza) {
    if let Some(recent) = account.parts.find_mut::<Recent>() {
        recent.forget(stanza);
    }
}

/// What the tables of RFC 6121 §8.5 refuse before anything is stored: `Some(None)` is silence.
fn refused_at_once(
    account: &Account,
    envelope: &Envelope,
    kind: MessageType,
) -> Option<Option<StanzaError>> {
    let unavailable = || Some(Some(Condition::ServiceUnavailable.into()));
    if envelope.to.is_full() {
        if account.resource(&envelope.to).is_some() {
            return None;
        }
        return match kind {
            MessageType::Chat => None,
            MessageType::Normal | MessageType::Groupchat => unavailable(),
            MessageType::Headline | MessageType::Error => Some(None),
        };
    }
    match kind {
        MessageType::Normal | MessageType::Chat | MessageType::Headline => None,
        MessageType::Groupchat => unavailable(),
        MessageType::Error => Some(None),
    }
}

/// A message for people that could neither be stored nor handed over goes back; what is not for
/// people, or asked not to be kept, is dropped.
fn unstored_refusal(
    account: &Account,
    envelope: &Envelope,
    kind: MessageType,
) -> Option<StanzaError> {
    let speaks = matches!(kind, MessageType::Normal | MessageType::Chat)
        && envelope.facts.class == crate::hooks::Class::Content;
    (speaks && (account.guest || envelope.facts.no_store))
        .then(|| Condition::ServiceUnavailable.into())
}

/// Offers a message to every session it is for.
fn hand_out(
    account: &mut Account,
    envelope: &mut Envelope,
    kind: MessageType,
    entry: Option<Entry>,
) -> Taken {
    let matched = envelope.to.is_full() && account.resource(&envelope.to).is_some();
    if envelope.to.is_full() && !matched && kind != MessageType::Chat && entry.is_none() {
        return Taken::None;
    }
    let mut taken = Taken::None;
    if let Some(entry) = entry {
        account.offered = account.offered.max(entry.mid);
    }
    for session in &mut account.sessions {
        // A page had it before its turn came.
        let before = entry.and_then(|entry| session.ahead.iter().position(|mid| *mid == entry.mid));
        if let Some(at) = before {
            session.ahead.swap_remove(at);
        }
        let meant = if matched {
            session.jid == envelope.to
        } else {
            session.presence.is_some() && session.priority >= 0
        };
        if !meant {
            continue;
        }
        envelope.reached.push(session.id);
        if before.is_some() || offer(session, envelope, entry, matched) {
            taken = match session.detached {
                true if taken == Taken::None => Taken::Detached,
                true => taken,
                false => Taken::Live,
            };
        }
    }
    taken
}

/// Messages a session may hold back while its backlog is read.
const HELD: usize = 64;

/// Offers a message to one session. What it cannot take now it gets from the log.
fn offer(
    session: &mut SessionInfo,
    envelope: &Envelope,
    entry: Option<Entry>,
    by_name: bool,
) -> bool {
    let other = envelope.stanza.to.as_ref() != Some(&envelope.to);
    let item = Outgoing {
        stanza: envelope.stanza.clone(),
        to: other.then(|| envelope.to.clone()),
        entry,
    };
    let Some(entry) = entry else {
        let from = envelope.stanza.from.as_ref().filter(|_| by_name);
        let is_in = || from.is_some_and(|from| session.is_in(from));
        return session.outbox.push_of_room(item, &is_in) == Pushed::Queued;
    };
    match session.intake {
        Backlog::Reading {
            busy,
            ref mut missed,
            ..
        } => {
            if busy || *missed || session.held.len() >= HELD {
                *missed = true;
                session.held = Vec::new();
            } else {
                session.held.push(item);
            }
            true
        }
        Backlog::Closed => by_name && session.outbox.push(item) == Pushed::Queued,
        Backlog::Live { after } => match session.outbox.push(item) {
            Pushed::Queued => {
                session.intake = Backlog::Live {
                    after: after.max(Some(entry.mid)),
                };
                true
            }
            Pushed::Full => {
                session.intake = waits_for_room(after);
                true
            }
            Pushed::Closed => false,
        },
    }
}
