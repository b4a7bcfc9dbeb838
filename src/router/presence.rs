//! Presence: broadcast, probes, directed presence, and its end (RFC 6121 §4).

use std::sync::Arc;

use super::Router;
use super::subscription::Act;
use crate::hooks::{
    Account, Backlog, Effect, Entry, Envelope, Origin, Outgoing, SessionEvent, SessionId,
    SessionInfo, Turn,
};
use crate::proto::error::{Condition, StanzaError};
use crate::proto::jid::Jid;
use crate::proto::ns;
use crate::proto::stanza::{Kind, PresenceType, Stanza};
use crate::state::roster::Roster;

impl Router {
    /// A client sends presence.
    pub(super) fn sent_presence(self: &Arc<Self>, account: &mut Account, envelope: Box<Envelope>) {
        let (Kind::Presence(kind), Origin::Session(session)) =
            (envelope.stanza.kind, &envelope.origin)
        else {
            return;
        };
        let session = *session;
        let directed = envelope.stanza.to.is_some();
        if directed && self.confined(account, &envelope.to) {
            return self.bounce(&envelope, &Condition::NotAllowed.into());
        }
        match kind {
            PresenceType::Available if !directed => self.broadcast(account, session, envelope),
            PresenceType::Unavailable if !directed => {
                let stanza = envelope.stanza.clone();
                self.go_unavailable(account, session, stanza);
                self.finish(envelope);
            }
            PresenceType::Available | PresenceType::Unavailable => {
                self.direct(account, session, envelope, kind);
            }
            PresenceType::Probe | PresenceType::Error if directed => self.route_on(envelope),
            PresenceType::Probe | PresenceType::Error => self.finish(envelope),
            PresenceType::Subscribe => self.sent_subscription(account, envelope, Act::Subscribe),
            PresenceType::Unsubscribe => {
                self.sent_subscription(account, envelope, Act::Unsubscribe);
            }
            PresenceType::Subscribed => self.sent_subscription(account, envelope, Act::Subscribed),
            PresenceType::Unsubscribed => {
                self.sent_subscription(account, envelope, Act::Unsubscribed);
            }
        }
    }

    /// Initial and later available presence (§4.2.2, §4.4.2).
    fn broadcast(
        self: &Arc<Self>,
        account: &mut Account,
        session: SessionId,
        envelope: Box<Envelope>,
    ) {
        let stanza = envelope.stanza.clone();
        let priority = priority(&stanza);
        let Some(info) = account.session_mut(session) else {
            return;
        };
        let initial = info.presence.replace(stanza.clone()).is_none();
        info.priority = priority;
        let opens = priority >= 0 && info.intake == Backlog::Closed;
        if priority < 0 {
            info.intake = Backlog::Closed;
            info.held = Vec::new();
        }
        self.to_own_sessions(account, &stanza, None);
        self.to_subscribers(account, &stanza, session);
        if initial {
            self.greet(account, session);
        }
        if opens {
            self.open_backlog(account, session);
        }
        self.finish(envelope);
    }

    /// What a session gets when it becomes available: the presence of its account's other
    /// sessions, probes for its contacts', and requests that wait for an answer (§3.1.3).
    fn greet(self: &Arc<Self>, account: &mut Account, session: SessionId) {
        for other in account.available().filter(|other| other.id != session) {
            if let (Some(presence), Some(info)) = (&other.presence, account.session(session)) {
                push(info, presence, Some(&account.jid));
            }
        }
        if let Some(roster) = account.parts.find::<Roster>() {
            for contact in roster.subscriptions().filter(|jid| !account.bars(jid)) {
                self.probe(&account.jid, contact);
            }
            for request in roster.requests() {
                if let (Ok(stanza), Some(info)) = (
                    Stanza::from_bytes(request.as_bytes()),
                    account.session(session),
                ) && !stanza.from.as_ref().is_some_and(|from| account.bars(from))
                {
                    push(info, &Arc::new(stanza), None);
                }
            }
        }
        self.live(account, session, SessionEvent::Available);
    }

    /// Tells hooks of a point in a session's life.
    pub(super) fn live(
        self: &Arc<Self>,
        account: &mut Account,
        session: SessionId,
        event: SessionEvent,
    ) {
        let tables = account.tables.clone();
        if tables.life().is_empty() {
            return;
        }
        self.act(
            account,
            Box::new(move |turn: &mut Turn<'_>| {
                for hook in tables.life() {
                    hook(event, session, turn);
                }
            }),
        );
    }

    /// Tells hooks what a client may not have got.
    pub(super) fn unconfirmed(
        self: &Arc<Self>,
        account: &mut Account,
        session: SessionId,
        entries: Vec<Entry>,
    ) {
        let tables = account.tables.clone();
        if entries.is_empty() || tables.unconfirmed().is_empty() {
            return;
        }
        self.act(
            account,
            Box::new(move |turn: &mut Turn<'_>| {
                for hook in tables.unconfirmed() {
                    hook(session, &entries, turn);
                }
            }),
        );
    }

    /// A session is no longer available: by its word, or by its end (§4.5.2).
    pub(super) fn go_unavailable(
        self: &Arc<Self>,
        account: &mut Account,
        session: SessionId,
        stanza: Arc<Stanza>,
    ) {
        let Some(info) = account.session_mut(session) else {
            return;
        };
        let was = info.presence.take().is_some();
        info.priority = 0;
        info.intake = Backlog::Closed;
        info.held = Vec::new();
        let directed = std::mem::take(&mut info.directed);
        if was {
            self.to_subscribers(account, &stanza, session);
            self.to_own_sessions(account, &stanza, Some(session));
            self.live(account, session, SessionEvent::Unavailable);
        }
        let roster = account.parts.find::<Roster>();
        for entity in directed {
            let subscribed = roster.is_some_and(|r| r.state(&entity.bare()).subscription.from());
            if (!was || !subscribed) && !account.bars(&entity) {
                self.send_copy(&stanza, &entity, session);
            }
        }
    }

    /// Directed presence (§4.6.3).
    fn direct(
        self: &Arc<Self>,
        account: &mut Account,
        session: SessionId,
        envelope: Box<Envelope>,
        kind: PresenceType,
    ) {
        let limit = self.limits().directed;
        let to = envelope.to.clone();
        let Some(info) = account.session_mut(session) else {
            return;
        };
        info.directed.retain(|known| *known != to);
        if kind == PresenceType::Available {
            if info.directed.len() >= limit {
                self.stats.reached.directed.count();
                let error = StanzaError::from(Condition::ResourceConstraint)
                    .with_text("Presence was sent to too many at once");
                return self.bounce(&envelope, &error);
            }
            info.directed.push(to);
        }
        self.route_on(envelope);
    }

    /// Presence arrives at an account.
    pub(super) fn presence_arrives(
        self: &Arc<Self>,
        account: &mut Account,
        envelope: Box<Envelope>,
    ) {
        let Kind::Presence(kind) = envelope.stanza.kind else {
            return;
        };
        match kind {
            PresenceType::Available | PresenceType::Unavailable | PresenceType::Error => {
                self.presence_in(account, envelope, kind);
            }
            PresenceType::Probe => self.answer_probe(account, envelope),
            PresenceType::Subscribe => self.subscription_arrives(account, envelope, Act::Subscribe),
            PresenceType::Unsubscribe => {
                self.subscription_arrives(account, envelope, Act::Unsubscribe);
            }
            PresenceType::Subscribed => {
                self.subscription_arrives(account, envelope, Act::Subscribed);
            }
            PresenceType::Unsubscribed => {
                self.subscription_arrives(account, envelope, Act::Unsubscribed);
            }
        }
    }

    /// §4.2.3, §4.4.3, §4.5.3: to all available resources, or to the one addressed.
    fn presence_in(
        self: &Arc<Self>,
        account: &mut Account,
        mut envelope: Box<Envelope>,
        kind: PresenceType,
    ) {
        let (stanza, to) = (envelope.stanza.clone(), envelope.to.clone());
        let must_queue = envelope.receipt.as_ref().is_some_and(|r| r.must_queue());
        if must_queue || !envelope.ledger.batch.is_empty() {
            // It follows what its sender said before, which is being written.
            let show = move |turn: &mut Turn<'_>| show(turn.account, &stanza, &to, kind);
            let effect = Effect::InTurn(account.jid.clone(), Box::new(show));
            envelope.ledger.effects.push(effect);
        } else {
            show(account, &stanza, &to, kind);
        }
        self.finish(envelope);
    }

    /// §4.3.2, §4.6.6.
    fn answer_probe(self: &Arc<Self>, account: &mut Account, envelope: Box<Envelope>) {
        let Some(from) = envelope.from().cloned() else {
            return;
        };
        let state = account
            .parts
            .find::<Roster>()
            .map(|roster| roster.state(&from.bare()))
            .unwrap_or_default();
        let own = from.bare_str() == account.jid.as_str();
        if state.subscription.from() || own {
            self.tell_presence(account, &envelope, &from);
        } else if !self.answer_directed(account, &envelope, &from) {
            self.send_unsubscribed(&account.jid, &envelope);
        }
        self.finish(envelope);
    }

    fn tell_presence(self: &Arc<Self>, account: &Account, envelope: &Envelope, from: &Jid) {
        if envelope.to.is_full() {
            if let Some(info) = account
                .resource(&envelope.to)
                .filter(|info| info.presence.is_some())
            {
                self.send_mere(&info.jid, from, envelope, PresenceType::Available);
            }
            return;
        }
        let mut any = false;
        for info in account.available() {
            if let Some(presence) = &info.presence {
                any = true;
                self.send_copy(presence, from, info.id);
            }
        }
        if !any {
            self.send_mere(&account.jid, from, envelope, PresenceType::Unavailable);
        }
    }

    /// A resource that sent directed presence to the prober admits that it is there, no more.
    fn answer_directed(
        self: &Arc<Self>,
        account: &Account,
        envelope: &Envelope,
        from: &Jid,
    ) -> bool {
        let Some(info) = account.resource(&envelope.to) else {
            return false;
        };
        let knows = info
            .directed
            .iter()
            .any(|known| known == from || known.as_str() == from.bare_str());
        if knows {
            self.send_mere(&info.jid, from, envelope, PresenceType::Available);
        }
        knows
    }

    fn send_mere(self: &Arc<Self>, from: &Jid, to: &Jid, probe: &Envelope, kind: PresenceType) {
        let mut stanza = Stanza::presence(kind)
            .with_from(from.clone())
            .with_to(to.clone());
        stanza.id = probe.stanza.id.clone();
        self.send(stanza);
    }

    /// Tells a prober that there is no subscription (any more).
    pub(super) fn send_unsubscribed(self: &Arc<Self>, account: &Jid, probe: &Envelope) {
        if let Some(from) = probe.from() {
            self.send_mere(
                &account.bare(),
                &from.bare(),
                probe,
                PresenceType::Unsubscribed,
            );
        }
    }

    /// Asks for the presence of a contact (§4.3).
    pub(super) fn probe(self: &Arc<Self>, account: &Jid, contact: &Jid) {
        let stanza = Stanza::presence(PresenceType::Probe)
            .with_from(account.clone())
            .with_to(contact.clone());
        self.send(stanza);
    }

    /// Sends the last presence of all available sessions to a contact (§3.1.5).
    pub(super) fn show_presence(self: &Arc<Self>, account: &Account, contact: &Jid) {
        if account.bars(contact) {
            return;
        }
        for info in account.available() {
            if let Some(presence) = &info.presence {
                self.send_copy(presence, contact, info.id);
            }
        }
    }

    /// Sends unavailable presence from all available sessions to a contact (§3.2.2, §3.3.3).
    pub(super) fn hide_presence(self: &Arc<Self>, account: &Account, contact: &Jid) {
        if account.bars(contact) {
            return;
        }
        for info in account.available() {
            let stanza = Stanza::presence(PresenceType::Unavailable)
                .with_from(info.jid.clone())
                .with_to(contact.clone());
            self.send(stanza);
        }
    }

    fn to_subscribers(
        self: &Arc<Self>,
        account: &Account,
        stanza: &Arc<Stanza>,
        session: SessionId,
    ) {
        if let Some(roster) = account.parts.find::<Roster>() {
            for contact in roster.subscribers().filter(|jid| !account.bars(jid)) {
                self.send_copy(stanza, contact, session);
            }
        }
    }

    fn to_own_sessions(
        self: &Arc<Self>,
        account: &Account,
        stanza: &Arc<Stanza>,
        also: Option<SessionId>,
    ) {
        for info in &account.sessions {
            if info.presence.is_some() || Some(info.id) == also {
                push(info, stanza, Some(&account.jid));
            }
        }
    }

    /// A copy of a session's presence for one recipient; the body's bytes are shared.
    fn send_copy(self: &Arc<Self>, stanza: &Arc<Stanza>, to: &Jid, session: SessionId) {
        let envelope = Envelope::new(stanza.clone(), to.clone(), Origin::Session(session));
        self.route_on(Box::new(envelope));
    }

    /// Routes a stanza of the server's own now.
    pub(super) fn send(self: &Arc<Self>, stanza: Stanza) {
        if let Some(envelope) = Envelope::from_server(stanza) {
            self.route_on(Box::new(envelope));
        }
    }
}

/// Hands presence to the sessions it is for.
fn show(account: &mut Account, stanza: &Arc<Stanza>, to: &Jid, kind: PresenceType) {
    if let Some(from) = &stanza.from
        && kind != PresenceType::Available
    {
        for info in &mut account.sessions {
            info.directed.retain(|known| known != from);
        }
    }
    let other = (stanza.to.as_ref() != Some(to)).then_some(to);
    if to.is_full() {
        let Some(info) = account.resource(to) else {
            return;
        };
        let is_in = || stanza.from.as_ref().is_some_and(|from| info.is_in(from));
        info.outbox.push_of_room(outgoing(stanza, other), &is_in);
    } else {
        for info in account.available() {
            push(info, stanza, other);
        }
    }
}

/// The unavailable presence the server sends when a session ends without a word.
pub(super) fn farewell(session: &SessionInfo) -> Arc<Stanza> {
    Arc::new(Stanza::presence(PresenceType::Unavailable).with_from(session.jid.clone()))
}

fn push(info: &SessionInfo, stanza: &Arc<Stanza>, to: Option<&Jid>) {
    info.outbox.push(outgoing(stanza, to));
}

fn outgoing(stanza: &Arc<Stanza>, to: Option<&Jid>) -> Outgoing {
    Outgoing {
        stanza: stanza.clone(),
        to: to.cloned(),
        entry: None,
    }
}

/// RFC 6121 §4.7.2.3: −128 to 127, zero when absent or nonsense.
fn priority(stanza: &Stanza) -> i8 {
    stanza
        .child("priority", ns::CLIENT)
        .and_then(|priority| priority.text().trim().parse().ok())
        .unwrap_or(0)
}
