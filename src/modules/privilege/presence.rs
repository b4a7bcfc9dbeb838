//! Presence for privileged components: of accounts, and of their contacts (XEP-0356 §7, §8).

use std::collections::{HashMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Mutex, PoisonError};

use super::Privilege;
use super::rights::{PresenceAccess, Rights};
use crate::hooks::{Envelope, SessionId, Turn};
use crate::proto::jid::Jid;
use crate::proto::stanza::{Kind, PresenceType, Stanza};
use crate::state::roster::Roster;

/// Contacts whose last presence is remembered; beyond it one may be told of twice.
const REMEMBERED: usize = 50_000;
/// Contacts that are asked for their presence when a component connects.
const ASKED: usize = 50_000;

/// What was told last of each contact's resource, so that contacts of many accounts are told of once (§8 rule 2).
#[derive(Default)]
pub(super) struct Seen(Mutex<HashMap<Jid, u64>>);

impl Seen {
    /// Whether this is news.
    fn is_new(&self, stanza: &Stanza, from: &Jid) -> bool {
        let mut hasher = DefaultHasher::new();
        stanza.kind.type_attr().hash(&mut hasher);
        stanza.body_bytes().hash(&mut hasher);
        let print = hasher.finish();
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.len() >= REMEMBERED {
            seen.clear();
        }
        seen.insert(from.clone(), print) != Some(print)
    }

    fn forget(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = HashMap::new();
    }
}

impl Privilege {
    fn watching(&self, least: PresenceAccess) -> impl Iterator<Item = &Arc<Rights>> {
        let all = self.rights.iter();
        all.filter(move |rights| rights.presence >= least)
    }

    /// §7.1: the first presence of a session, and its end.
    pub(super) fn managed_presence(&self, session: SessionId, turn: &mut Turn<'_>, there: bool) {
        let Some(info) = turn.account.session(session) else {
            return;
        };
        let stanza = match (&info.presence, there) {
            (Some(presence), true) => Stanza::clone(presence),
            _ => Stanza::presence(PresenceType::Unavailable).with_from(info.jid.clone()),
        };
        let from = info.jid.clone();
        self.seen.is_new(&stanza, &from);
        for rights in self.watching(PresenceAccess::ManagedEntity) {
            turn.send(stanza.clone().with_to(rights.domain.clone()));
        }
    }

    /// §7.4: presence of a contact that an account sees, or would see if it were there.
    pub(super) fn contact_presence(&self, envelope: &Envelope, turn: &mut Turn<'_>) {
        let told = matches!(
            envelope.stanza.kind,
            Kind::Presence(PresenceType::Available | PresenceType::Unavailable)
        );
        let Some(from) = envelope.from().filter(|_| told) else {
            return;
        };
        if self.watching(PresenceAccess::Roster).next().is_none() {
            return;
        }
        let roster = turn.account.parts.find::<Roster>();
        let sees = roster.is_some_and(|roster| roster.state(&from.bare()).subscription.to());
        let managed = from.domain() == self.deps.host.domain();
        // That an account of the host is gone is told of already.
        let gone = envelope.stanza.kind == Kind::Presence(PresenceType::Unavailable);
        if !sees || managed && gone || !self.seen.is_new(&envelope.stanza, from) {
            return;
        }
        for rights in self.watching(PresenceAccess::Roster) {
            let copy = Stanza::clone(&envelope.stanza);
            turn.send(copy.with_to(rights.domain.clone()));
        }
    }

    /// §8 rule 1: who connects later hears what it would have heard. Contacts elsewhere are asked, each once.
    pub(super) fn show_everybody(self: &Arc<Self>, rights: &Arc<Rights>) {
        if rights.presence == PresenceAccess::None {
            return;
        }
        self.seen.forget();
        let asked: Arc<Mutex<HashSet<Jid>>> = Arc::default();
        for account in self.deps.floor.online(self.deps.host.domain()) {
            let (this, rights, asked) = (self.clone(), rights.clone(), asked.clone());
            let show = move |turn: &mut Turn<'_>| {
                let sessions = turn.account.available();
                let there = sessions.filter_map(|info| info.presence.clone());
                let there: Vec<Arc<Stanza>> = there.collect();
                for presence in there {
                    let copy = Stanza::clone(&presence);
                    turn.send(copy.with_to(rights.domain.clone()));
                }
                if rights.presence == PresenceAccess::Roster {
                    this.ask_contacts(turn, &asked);
                }
            };
            self.deps.floor.in_turn(&account, Box::new(show));
        }
    }

    fn ask_contacts(&self, turn: &mut Turn<'_>, asked: &Mutex<HashSet<Jid>>) {
        let account = turn.account.jid.clone();
        let Some(roster) = turn.account.parts.find::<Roster>() else {
            return;
        };
        let elsewhere = roster.subscriptions();
        let elsewhere = elsewhere.filter(|jid| jid.domain() != self.deps.host.domain());
        let contacts: Vec<Jid> = {
            let mut asked = asked.lock().unwrap_or_else(PoisonError::into_inner);
            let new = elsewhere.filter(|jid| asked.len() < ASKED && asked.insert((*jid).clone()));
            new.cloned().collect()
        };
        for contact in contacts {
            let probe = Stanza::presence(PresenceType::Probe).with_from(account.clone());
            turn.send(probe.with_to(contact));
        }
    }
}
