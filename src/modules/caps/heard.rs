//! What presence claims, of sessions and of contacts at other servers.

use std::sync::Arc;

use super::Caps;
use crate::hooks::{Account, Envelope, Event, Origin, SessionId, Turn, Verdict};
use crate::proto::caps::{Claim, claims};
use crate::proto::jid::Jid;
use crate::proto::stanza::{Kind, PresenceType};
use crate::state::capabilities::{Claimant, Interests, Noted, Resources};
use crate::state::roster::Roster;

impl Caps {
    /// A session tells everybody what it is.
    pub(super) fn sent(&self, envelope: &mut Envelope, turn: &mut Turn<'_>) -> Verdict {
        if envelope.stanza.to.is_some() {
            return Verdict::Continue;
        }
        let Some(full) = envelope.from().cloned() else {
            return Verdict::Continue;
        };
        match envelope.stanza.kind {
            Kind::Presence(PresenceType::Available) => {
                self.note(turn, full, claims(&envelope.stanza));
            }
            Kind::Presence(PresenceType::Unavailable) => forget(turn.account, &full),
            _ => {}
        }
        Verdict::Continue
    }

    /// A session of before a restart is there again: what its last presence said counts.
    pub(super) fn back(&self, session: SessionId, turn: &mut Turn<'_>) {
        let session = turn.account.session(session);
        let silent = session.filter(|session| session.slots.find::<Noted>().is_none());
        let said = silent.and_then(|s| Some((s.jid.clone(), claims(s.presence.as_deref()?))));
        if let Some((full, claims)) = said {
            self.note(turn, full, claims);
        }
    }

    /// A contact elsewhere tells what it is.
    pub(super) fn arrives(&self, envelope: &mut Envelope, turn: &mut Turn<'_>) -> Verdict {
        let Some(from) = envelope.from().cloned() else {
            return Verdict::Continue;
        };
        if envelope.origin != Origin::Remote {
            return Verdict::Continue;
        }
        match envelope.stanza.kind {
            Kind::Presence(PresenceType::Available) if from.is_full() => {
                let roster = turn.account.parts.find::<Roster>();
                let state = roster.map(|roster| roster.state(&from.bare()));
                if state.is_some_and(|state| state.subscription.from() || state.subscription.to()) {
                    self.note(turn, from, claims(&envelope.stanza));
                }
            }
            Kind::Presence(PresenceType::Unavailable | PresenceType::Error) => {
                forget(turn.account, &from);
            }
            _ => {}
        }
        Verdict::Continue
    }

    fn note(&self, turn: &mut Turn<'_>, full: Jid, claims: Vec<Claim>) {
        if claims.is_empty() {
            return forget(turn.account, &full);
        }
        let before = noted(turn.account, &full);
        if before.is_some_and(|before| before.claims == claims) {
            return;
        }
        let interests = self.known.find(&claims);
        let noted = Noted {
            claims: claims.clone(),
            interests: interests.clone(),
        };
        if !self.put(turn.account, &full, noted) {
            return;
        }
        match interests {
            Some(interests) => tell(turn, full, &interests),
            None => self.ask(turn, full, claims),
        }
    }

    /// It is not known what this stands for.
    fn ask(&self, turn: &mut Turn<'_>, full: Jid, claims: Vec<Claim>) {
        let asker = turn.account.jid.clone();
        let (floor, claimed) = (self.floor.clone(), claims.clone());
        let (account, who) = (asker.clone(), full.clone());
        let then = move |found: Option<Arc<Interests>>| {
            let learnt = move |turn: &mut Turn<'_>| learnt(turn, who, &claimed, found);
            floor.in_turn(&account, Box::new(learnt));
        };
        let claimant = Claimant {
            claims,
            who: full,
            asker,
            then: Box::new(then),
        };
        let (known, floor) = (self.known.clone(), self.floor.clone());
        // When its presence is through: who asks before the contact has heard of the account gets no answer.
        turn.after_commit(move |_| known.learn(&floor, claimant));
    }

    fn put(&self, account: &mut Account, full: &Jid, noted: Noted) -> bool {
        if full.bare_str() == account.jid.as_str() {
            let session = account.sessions.iter_mut().find(|s| s.jid == *full);
            return session.map(|session| session.slots.put(noted)).is_some();
        }
        let resources = account.parts.of::<Resources>();
        let room = resources.is_some_and(|known| known.put(full, noted, self.resources));
        if !room {
            self.full.count();
        }
        room
    }
}

/// What a claim stands for has become known, or has not: then it is asked again with the next presence.
fn learnt(turn: &mut Turn<'_>, full: Jid, claims: &[Claim], found: Option<Arc<Interests>>) {
    let Some(noted) = noted(turn.account, &full).filter(|noted| noted.claims == claims) else {
        return;
    };
    match found {
        Some(found) => {
            noted.interests = Some(found.clone());
            tell(turn, full, &found);
        }
        // That it is there stays known.
        None => noted.claims.clear(),
    }
}

fn tell(turn: &mut Turn<'_>, full: Jid, interests: &Interests) {
    if !interests.is_empty() {
        let account = turn.account.jid.clone();
        turn.event(Event::Interested(account, full));
    }
}

fn noted<'a>(account: &'a mut Account, full: &Jid) -> Option<&'a mut Noted> {
    if full.bare_str() == account.jid.as_str() {
        let session = account.sessions.iter_mut().find(|s| s.jid == *full)?;
        return session.slots.find_mut();
    }
    account.parts.find_mut::<Resources>()?.get_mut(full)
}

fn forget(account: &mut Account, who: &Jid) {
    if who.bare_str() == account.jid.as_str() {
        if let Some(session) = account.sessions.iter_mut().find(|s| s.jid == *who) {
            session.slots.take::<Noted>();
        }
    } else if let Some(resources) = account.parts.find_mut::<Resources>() {
        resources.remove(who);
    }
}
