//! From a client: the stanza is read, stamped with its true sender, and sent on its path.

use std::sync::Arc;

use super::Router;
use super::pipeline::Passed;
use crate::config::Reach;
use crate::hooks::{
    Account, Envelope, Ledger, Origin, Outgoing, Path, SessionId, SessionInfo, Verdict,
};
use crate::proto::error::{Condition, StreamCondition, StreamError};
use crate::proto::jid::Jid;
use crate::proto::stanza::{Kind, PresenceType, Stanza};
use crate::session::owners::{After, Slot};
use crate::session::work::{Inbound, Judged, Position};
use crate::xml::Element;

impl Router {
    /// A stanza from a session of this account.
    pub(super) fn inbound(
        self: &Arc<Self>,
        slot: &Arc<Slot<Router>>,
        account: &mut Account,
        inbound: Inbound,
    ) -> After {
        let Some(session) = account.session(inbound.session) else {
            // The session was ended meanwhile: its client sends this again.
            inbound.receipt.void();
            return After::Continue;
        };
        if inbound.receipt.is_stale() {
            // Its client resumed on another connection, and sends this again.
            inbound.receipt.void();
            return After::Continue;
        }
        let mut stanza = match Stanza::from_element(inbound.element) {
            Ok(stanza) => stanza,
            Err(rejected) => {
                if let Some(mut answer) = rejected.answer() {
                    answer.to = Some(session.jid.clone());
                    push_direct(session, answer);
                }
                return After::Continue;
            }
        };
        self.stats.received.count(stanza.kind);
        if !may_claim(&stanza, session) {
            session
                .outbox
                .end(StreamError::from(StreamCondition::InvalidFrom));
            return After::Continue;
        }
        let to = address(&mut stanza, session, account);
        let origin = Origin::Session(inbound.session);
        let mut envelope = Box::new(Envelope::new(Arc::new(stanza), to, origin));
        envelope.receipt = Some(inbound.receipt);
        self.from_client(slot, account, envelope, Position::default())
    }

    /// Runs the path FromClient from a position, then what the server itself does.
    pub(super) fn from_client(
        self: &Arc<Self>,
        slot: &Arc<Slot<Router>>,
        account: &mut Account,
        mut envelope: Box<Envelope>,
        position: Position,
    ) -> After {
        match self.pass(account, &mut envelope, Path::FromClient, position) {
            Passed::Go => self.sent(account, envelope),
            Passed::Consumed => self.finish(envelope),
            Passed::Bounced(error) => self.bounce(&envelope, &error),
            Passed::Later(waiting, next) => {
                return self.wait_for_verdict(slot, envelope, Path::FromClient, waiting, next);
            }
        }
        After::Continue
    }

    /// A stanza goes on after one of its hooks made up its mind.
    pub(super) fn judged(
        self: &Arc<Self>,
        slot: &Arc<Slot<Router>>,
        account: &mut Account,
        judged: Judged,
    ) -> After {
        let Judged {
            envelope,
            path,
            position,
            verdict,
        } = judged;
        match verdict {
            Verdict::Continue if path == Path::FromClient => {
                self.from_client(slot, account, envelope, position)
            }
            Verdict::Continue => self.to_client(slot, account, envelope, position),
            Verdict::Consume => {
                self.finish(envelope);
                After::Continue
            }
            Verdict::Bounce(error) => {
                self.bounce(&envelope, &error);
                After::Continue
            }
            Verdict::Later(waiting) => {
                self.wait_for_verdict(slot, envelope, path, waiting, position)
            }
        }
    }

    /// The hooks let it pass: what a stanza from a client does.
    fn sent(self: &Arc<Self>, account: &mut Account, envelope: Box<Envelope>) {
        match envelope.stanza.kind {
            Kind::Message(_) => self.sent_message(account, envelope),
            Kind::Presence(_) => self.sent_presence(account, envelope),
            Kind::Iq(_) => self.sent_iq(account, envelope),
        }
    }

    /// A nonza that a module claimed.
    pub(super) fn nonza(
        self: &Arc<Self>,
        account: &mut Account,
        session: SessionId,
        element: &Element,
    ) {
        if let Some(hook) = account.tables.nonza(element.root()).cloned() {
            let mut ledger = Ledger::default();
            self.turn(account, &mut ledger, |turn| hook(element, session, turn));
            self.finish_act(ledger, &account.jid);
        }
    }

    /// Asks a silent client whether it is there, as the module for it says.
    pub(super) fn probe_client(&self, account: &Account, session: SessionId) {
        if let (Some(probe), Some(info)) = (account.tables.probe(), account.session(session)) {
            push_direct(info, probe(&info.jid));
        }
    }

    fn sent_message(self: &Arc<Self>, account: &mut Account, mut envelope: Box<Envelope>) {
        if self.confined(account, &envelope.to) {
            return self.bounce(&envelope, &Condition::NotAllowed.into());
        }
        if self.went_before(account, &envelope) {
            return self.finish(envelope);
        }
        self.leave_with_sender(account, &mut envelope);
        self.route_on(envelope);
    }

    /// Guests stay on their host unless its policy lets them roam (XEP-0175 §4).
    pub(super) fn confined(&self, account: &Account, to: &Jid) -> bool {
        if !account.guest || to.domain() == account.jid.domain() {
            return false;
        }
        match self
            .host(account.jid.domain())
            .map(|host| host.guests_reach)
        {
            Some(Reach::Everybody) => false,
            Some(Reach::Domain) | None => true,
        }
    }
}

/// RFC 6120 §8.1.2.1: a client may name its full or bare JID as sender, nobody else.
fn may_claim(stanza: &Stanza, session: &SessionInfo) -> bool {
    match &stanza.from {
        None => true,
        Some(from) if from.is_full() => *from == session.jid,
        Some(from) => from.as_str() == session.jid.bare_str(),
    }
}

/// Stamps the true sender and settles the recipient. Subscription stanzas go between bare JIDs
/// (RFC 6121 §3); a stanza without `to` is for the sender's own account.
fn address(stanza: &mut Stanza, session: &SessionInfo, account: &Account) -> Jid {
    let subscription = matches!(
        stanza.kind,
        Kind::Presence(
            PresenceType::Subscribe
                | PresenceType::Subscribed
                | PresenceType::Unsubscribe
                | PresenceType::Unsubscribed
                | PresenceType::Probe
        )
    );
    if subscription {
        stanza.from = Some(account.jid.clone());
        if let Some(to) = stanza.to.take() {
            stanza.to = Some(
                if matches!(stanza.kind, Kind::Presence(PresenceType::Probe)) {
                    to
                } else {
                    to.bare()
                },
            );
        }
    } else {
        stanza.from = Some(session.jid.clone());
    }
    stanza.to.clone().unwrap_or_else(|| account.jid.clone())
}

/// Answers a session directly, without a way through the server.
fn push_direct(session: &SessionInfo, stanza: Stanza) {
    session.outbox.push(Outgoing {
        stanza: Arc::new(stanza),
        to: None,
        entry: None,
    });
}
