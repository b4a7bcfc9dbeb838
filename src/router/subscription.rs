//! Presence subscriptions on both sides (RFC 6121 §3), by the tables of [`crate::state::subscription`].

use std::sync::Arc;

use super::Router;
use crate::hooks::{Account, Effect, Envelope, Event, Ledger, Outgoing};
use crate::proto::error::{Condition, StanzaError};
use crate::proto::jid::Jid;
use crate::proto::stanza::{PresenceType, Stanza};
use crate::state::roster::{Item, Push, Roster};
pub(super) use crate::state::subscription::Act;
use crate::state::subscription::{Outcome, State, inbound, outbound};

impl Router {
    /// A client sends a subscription stanza (§3.1.2, §3.1.5, §3.2.2, §3.3.2, §3.4.2).
    pub(super) fn sent_subscription(
        self: &Arc<Self>,
        account: &mut Account,
        mut envelope: Box<Envelope>,
        act: Act,
    ) {
        if envelope.stanza.to.is_none() || account.guest {
            return self.bounce(&envelope, &Condition::NotAllowed.into());
        }
        let contact = envelope.to.bare();
        envelope.to = contact.clone();
        if contact == account.jid {
            return self.finish(envelope); // everybody sees his own presence anyway (§4.2.2)
        }
        let before = roster(account)
            .map(|r| r.state(&contact))
            .unwrap_or_default();
        let outcome = outbound(before, act);
        if let Err(error) = self.room_for(account, &contact, &outcome, before) {
            return self.bounce(&envelope, &error);
        }
        if act == Act::Unsubscribed && before.subscription.from() {
            self.hide_presence(account, &contact);
        }
        let pushed = change(account, &mut envelope.ledger, &contact, before, &outcome);
        let shows = !before.subscription.from() && outcome.state.subscription.from();
        let router = self.clone();
        follow(account, &mut envelope.ledger, false, move |account| {
            if let Some(push) = pushed {
                push.send(account);
            }
            if shows {
                router.show_presence(account, &contact);
            }
        });
        if outcome.pass {
            self.route_on(envelope);
        } else {
            self.finish(envelope);
        }
    }

    /// A subscription stanza arrives (§3.1.3, §3.1.6, §3.2.3, §3.3.3).
    pub(super) fn subscription_arrives(
        self: &Arc<Self>,
        account: &mut Account,
        mut envelope: Box<Envelope>,
        act: Act,
    ) {
        let Some(contact) = envelope.from().map(Jid::bare) else {
            return;
        };
        if account.guest || contact == account.jid {
            return self.finish(envelope);
        }
        let before = roster(account)
            .map(|r| r.state(&contact))
            .unwrap_or_default();
        let outcome = inbound(before, act);
        if let Err(error) = self.room_for(account, &contact, &outcome, before) {
            return self.bounce(&envelope, &error);
        }
        let pushed = change(account, &mut envelope.ledger, &contact, before, &outcome);
        if outcome.state.pending_in && !before.pending_in {
            keep_request(account, &mut envelope, &contact);
        }
        let router = self.clone();
        let stanza = envelope.stanza.clone();
        follow(account, &mut envelope.ledger, true, move |account| {
            if outcome.pass {
                deliver(account, &stanza, act);
            }
            if let Some(push) = pushed {
                push.send(account);
            }
            if let Some(reply) = outcome.reply {
                router.reply_for(account, &contact, &stanza, reply);
            }
            match (
                before.subscription.from(),
                outcome.state.subscription.from(),
            ) {
                (false, true) => router.show_presence(account, &contact),
                (true, false) => router.hide_presence(account, &contact),
                _ => {}
            }
        });
        self.finish(envelope);
    }

    fn reply_for(self: &Arc<Self>, account: &Account, contact: &Jid, asked: &Stanza, act: Act) {
        let kind = match act {
            Act::Subscribe => PresenceType::Subscribe,
            Act::Unsubscribe => PresenceType::Unsubscribe,
            Act::Subscribed => PresenceType::Subscribed,
            Act::Unsubscribed => PresenceType::Unsubscribed,
        };
        let mut stanza = Stanza::presence(kind)
            .with_from(account.jid.clone())
            .with_to(contact.clone());
        stanza.id = asked.id.clone();
        self.send(stanza);
    }

    /// A new item must fit into the roster's bound (`limits.roster_items`).
    fn room_for(
        &self,
        account: &Account,
        contact: &Jid,
        outcome: &Outcome,
        before: State,
    ) -> Result<(), StanzaError> {
        let grows = outcome.state != before
            && roster(account).is_some_and(|roster| {
                roster.item(contact).is_none() && roster.len() >= self.limits().roster_items
            });
        if grows {
            self.stats.reached.roster.count();
            return Err(
                StanzaError::from(Condition::ResourceConstraint).with_text("The roster is full")
            );
        }
        Ok(())
    }
}

fn roster(account: &Account) -> Option<&Roster> {
    account.parts.find::<Roster>()
}

/// Writes the new state to the roster; what clients must be told of it.
fn change(
    account: &mut Account,
    ledger: &mut Ledger,
    contact: &Jid,
    before: State,
    outcome: &Outcome,
) -> Option<Push> {
    if outcome.state == before {
        return None;
    }
    let (uid, jid) = (account.uid, account.jid.clone());
    let roster = account.parts.find_mut::<Roster>()?;
    let shown = roster.item(contact).map(seen);
    roster.change(&mut ledger.batch, uid, contact, |item| {
        apply(item, outcome.state);
    });
    let item = roster.item(contact).filter(|item| item.listed)?;
    if shown.is_some_and(|shown| shown == seen(item)) {
        return None;
    }
    ledger
        .effects
        .push(Effect::Event(Event::RosterChanged(jid, contact.clone())));
    Some(Push::new(roster, item))
}

fn seen(item: &Item) -> (State, bool) {
    let mut state = item.state();
    state.pending_in = false;
    (state, item.listed)
}

fn apply(item: &mut Item, state: State) {
    item.subscription = state.subscription;
    item.ask = state.pending_out;
    item.approved = state.approved;
    item.listed |=
        state.subscription.from() || state.subscription.to() || state.pending_out || state.approved;
    if !state.pending_in {
        item.request = None;
    }
}

/// §3.1.3 rule 4: the request is kept whole until it is answered.
fn keep_request(account: &mut Account, envelope: &mut Envelope, contact: &Jid) {
    let uid = account.uid;
    let Ok(xml) = String::from_utf8(envelope.stanza.to_bytes()) else {
        return;
    };
    if let Some(roster) = account.parts.find_mut::<Roster>() {
        roster.change(&mut envelope.ledger.batch, uid, contact, |item| {
            item.request = Some(xml.into());
        });
    }
}

/// Requests go to available resources, answers to interested ones (§3.1.1 note, §3.1.6).
fn deliver(account: &Account, stanza: &Arc<Stanza>, act: Act) {
    for session in &account.sessions {
        let meant = match act {
            Act::Subscribe => session.presence.is_some(),
            _ => session.interested,
        };
        if meant {
            session.outbox.push(Outgoing {
                stanza: stanza.clone(),
                to: None,
                entry: None,
            });
        }
    }
}

/// What follows the commit in this account's turn; `first` puts it before what others follow with.
fn follow(
    account: &Account,
    ledger: &mut Ledger,
    first: bool,
    f: impl FnOnce(&mut Account) + Send + 'static,
) {
    let effect = Effect::InTurn(account.jid.clone(), Box::new(move |turn| f(turn.account)));
    if first {
        ledger.effects.insert(0, effect);
    } else {
        ledger.effects.push(effect);
    }
}
