//! The last items of nodes (XEP-0163 §4.3.4): for who has come online, or was let in.

use std::sync::Arc;

use super::Pep;
use super::tell::{deliver, hears};
use crate::hooks::{Account, Envelope, Turn, Verdict};
use crate::proto::jid::Jid;
use crate::proto::stanza::{Kind, PresenceType};
use crate::state::capabilities::{Interests, Noted, Resources};
use crate::state::nodes::last_items;
use crate::state::roster::Roster;

impl Pep {
    /// It is known what a resource wants to hear of whose presence an account has got.
    pub(super) fn interested(self: &Arc<Self>, account: &Jid, who: &Jid) {
        if account.domain() != self.deps.host.domain() {
            return;
        }
        let (this, who) = (self.clone(), who.clone());
        let greet = move |turn: &mut Turn<'_>| {
            let Some(interests) = interests_of(turn.account, &who) else {
                return;
            };
            this.offer(turn, who.clone(), interests.clone());
            if who.bare_str() == turn.account.jid.as_str() {
                this.offers_of_contacts(turn, &who, &interests);
            }
        };
        self.floor().in_turn(account, Box::new(greet));
    }

    /// What the contacts here of whoever came online have published.
    fn offers_of_contacts(
        self: &Arc<Self>,
        turn: &mut Turn<'_>,
        who: &Jid,
        interests: &Arc<Interests>,
    ) {
        let Some(roster) = turn.account.parts.find::<Roster>() else {
            return;
        };
        let (floor, account) = (turn.floor.clone(), &*turn.account);
        let here = |contact: &&Jid| floor.is_local(contact.domain()) && hears(account, contact);
        let contacts: Vec<Jid> = roster.subscriptions().filter(here).cloned().collect();
        for contact in contacts {
            let (this, who, interests) = (self.clone(), who.clone(), interests.clone());
            turn.in_turn_of(contact, move |turn| this.offer(turn, who, interests));
        }
    }

    /// Sends the last items of an account that a resource wants and may see, in the account's turn. Of contacts, only who
    /// may see its presence gets them without having asked.
    fn offer(self: &Arc<Self>, turn: &mut Turn<'_>, who: Jid, interests: Arc<Interests>) {
        let own = who.bare_str() == turn.account.jid.as_str();
        let roster = turn.account.parts.find::<Roster>();
        let state = roster.map(|roster| roster.state(&who.bare()));
        let contact = state.is_some_and(|state| state.subscription.from());
        if !own && (!contact || !hears(turn.account, &who)) {
            return;
        }
        let Some(house) = self.house(turn.account, &who) else {
            return;
        };
        let this = self.clone();
        tokio::spawn(async move {
            let (now, address) = (this.deps.clock.wall(), house.address.clone());
            let owner = address.clone();
            let read = this
                .deps
                .store
                .reading(move |view| last_items(view, &house, interests.nodes(), &who, now));
            let notices = match read.await {
                Ok(notices) if notices.is_empty() => return,
                Ok(notices) => notices,
                Err(error) => {
                    return tracing::warn!(%error, "somebody did not get the last items");
                }
            };
            let tell = move |turn: &mut Turn<'_>| {
                for notice in notices {
                    deliver(turn, notice, &owner);
                }
            };
            this.floor().in_turn(&address, Box::new(tell));
        });
    }

    /// Whoever is let in by a client gets the last items.
    pub(super) fn approves(
        self: &Arc<Self>,
        envelope: &mut Envelope,
        turn: &mut Turn<'_>,
    ) -> Verdict {
        if envelope.stanza.kind != Kind::Presence(PresenceType::Subscribed) {
            return Verdict::Continue;
        }
        let (this, contact) = (self.clone(), envelope.to.bare());
        turn.after_commit(move |turn| {
            if !turn.floor.is_local(contact.domain()) {
                let resources = Resources::of(turn.account);
                let of_contact = resources.filter(|(full, _)| full.bare_str() == contact.as_str());
                let of_contact: Vec<(Jid, Arc<Interests>)> = of_contact
                    .map(|(full, interests)| (full.clone(), interests.clone()))
                    .collect();
                for (full, interests) in of_contact {
                    this.offer(turn, full, interests);
                }
                return;
            }
            let owner = turn.account.jid.clone();
            turn.in_turn_of(contact, move |turn| {
                let available = turn
                    .account
                    .available()
                    .filter(|_| hears(turn.account, &owner));
                let sessions: Vec<(Jid, Arc<Interests>)> = available
                    .filter_map(|s| Some((s.jid.clone(), Noted::interests(s)?.clone())))
                    .collect();
                for (full, interests) in sessions {
                    let this = this.clone();
                    turn.in_turn_of(owner.clone(), move |turn| this.offer(turn, full, interests));
                }
            });
        });
        Verdict::Continue
    }
}

/// What a resource wants to hear of, as far as an account knows.
fn interests_of(account: &Account, who: &Jid) -> Option<Arc<Interests>> {
    if who.bare_str() == account.jid.as_str() {
        let session = account.resource(who).filter(|s| s.presence.is_some())?;
        return Noted::interests(session).cloned();
    }
    let mut resources = Resources::of(account);
    let found = resources.find(|(full, _)| *full == who)?;
    Some(found.1.clone())
}
