//! Presence in a room: who comes, goes, and is away (XEP-0045 §7.2, §7.7, §7.14, §17.3).

use smallvec::SmallVec;

use super::occupants::{Occupant, Rest, Role, Session};
use super::said::{self, Told, code};
use super::{Actor, Now, Out, Refused, Room};
use crate::proto::error::{Condition, StanzaError};
use crate::proto::jid::Jid;
use crate::proto::ns;
use crate::proto::stanza::{PresenceType, Stanza};
use crate::state::rooms::Affiliation;
use crate::xml::Element;

impl Room {
    pub(super) fn presence(
        &mut self,
        actor: &Actor,
        to: &Jid,
        kind: PresenceType,
        stanza: &Stanza,
        now: &Now<'_>,
        out: &mut Out,
    ) -> Result<(), Refused> {
        match kind {
            PresenceType::Available => self.available(actor, to, stanza, now, out),
            PresenceType::Unavailable => {
                self.leaves(&actor.jid, Some(stanza), &Told::default(), out);
                Ok(())
            }
            PresenceType::Error => {
                self.bounced(&actor.jid, stanza, out);
                Ok(())
            }
            // A probe does not enter, and nobody subscribes (§17.3).
            PresenceType::Probe
            | PresenceType::Subscribe
            | PresenceType::Subscribed
            | PresenceType::Unsubscribe
            | PresenceType::Unsubscribed => Ok(()),
        }
    }

    fn available(
        &mut self,
        actor: &Actor,
        to: &Jid,
        stanza: &Stanza,
        now: &Now<'_>,
        out: &mut Out,
    ) -> Result<(), Refused> {
        let joins = stanza.child("x", ns::MUC);
        let Some(nick) = to.resource() else {
            return Err(Condition::JidMalformed.into());
        };
        let there = self.occupants.of(&actor.jid).map(|o| o.nick() == nick);
        match (there, joins) {
            (None, Some(x)) => self.join(actor, to, x, stanza, now, out),
            (None, None) => {
                self.not_there(&actor.jid, to, out);
                Ok(())
            }
            (Some(false), _) => self.change_nick(&actor.jid, to, stanza, out),
            (Some(true), None) => {
                self.update(&actor.jid, stanza, out);
                Ok(())
            }
            // §7.2.1: it lost what it knew, and gets all again.
            (Some(true), Some(x)) => {
                self.take_join(now)?;
                self.update(&actor.jid, stanza, out);
                out.tells.retain(|tell| !tell.to.contains(&actor.jid));
                self.welcome(&actor.jid, x, stanza, now, &[], out);
                Ok(())
            }
        }
    }

    /// §7.2.18: who is not there and believes to be is told so.
    fn not_there(&self, full: &Jid, to: &Jid, out: &mut Out) {
        let told = Told {
            reason: Some("You are not in the room."),
            codes: &[code::SELF, code::KICKED, code::ERROR],
            ..Told::default()
        };
        let x = said::extension(Affiliation::None, Role::None, None, &told, []);
        let stanza = Stanza::presence(PresenceType::Unavailable)
            .with_from(to.clone())
            .with_child(x);
        out.tell(full, stanza);
    }

    /// §7.7: other words of somebody who is there.
    fn update(&mut self, full: &Jid, stanza: &Stanza, out: &mut Out) {
        let Some(occupant) = self.occupants.of(full) else {
            return;
        };
        let occupant = Occupant {
            sessions: vec![Session {
                jid: full.clone(),
                presence: stanza.clone(),
            }],
            ..occupant.clone()
        };
        let nick = occupant.nick().to_owned();
        self.occupants.enter(occupant);
        self.announce(&nick, &Told::default(), out);
    }

    /// Shows the presence of an occupant to all, itself included.
    pub(super) fn announce(&self, nick: &str, told: &Told<'_>, out: &mut Out) {
        if let Some(occupant) = self.occupants.by_nick(nick) {
            let role = occupant.role;
            self.broadcast(occupant, role, PresenceType::Available, told, out);
        }
    }

    /// Shows presence of an occupant, there or gone, to all others as they may see it, and to itself.
    pub(super) fn broadcast(
        &self,
        occupant: &Occupant,
        role: Role,
        kind: PresenceType,
        told: &Told<'_>,
        out: &mut Out,
    ) {
        self.show_others(occupant, role, kind, told, out);
        self.show_itself(occupant, role, kind, told, out);
    }

    /// The part of [`Room::broadcast`] for others: a few forms, each shared by all who get it.
    pub(super) fn show_others(
        &self,
        occupant: &Occupant,
        role: Role,
        kind: PresenceType,
        told: &Told<'_>,
        out: &mut Out,
    ) {
        let shown = match kind {
            PresenceType::Available => self
                .options()
                .is_some_and(|options| role.is_of(options.broadcast)),
            _ => true,
        };
        if !shown {
            return;
        }
        for (open, sight) in [true, false].into_iter().flat_map(|open| {
            let sights = Room::sights(told).iter();
            sights.map(move |sight| (open, *sight))
        }) {
            let to = self.sessions(|other| {
                other.address != occupant.address
                    && self.sees_jids(other) == open
                    && self.has_sight(other, sight)
            });
            if !to.is_empty() {
                let told = sight.map_or_else(|| told.clone(), |sight| self.dated(told, sight));
                out.tell_all(to, self.shown(occupant, role, kind, &told, open, []));
            }
        }
    }

    /// Each client of an occupant sees itself, with its own address.
    pub(super) fn show_itself(
        &self,
        occupant: &Occupant,
        role: Role,
        kind: PresenceType,
        told: &Told<'_>,
        out: &mut Out,
    ) {
        let told = match told.change {
            Some(_) => &self.dated(told, self.sight(&occupant.bare)),
            None => told,
        };
        // Who stays hears nothing of itself but its end.
        let ends = kind == PresenceType::Unavailable && told.next_nick.is_none();
        let hears = |session: &&Session| session.jid.is_full() || ends;
        for session in occupant.sessions.iter().filter(hears) {
            let own = told.own_codes.iter().copied();
            let own = std::iter::once(code::SELF).chain(own);
            let alone = Occupant {
                sessions: vec![session.clone()],
                ..occupant.clone()
            };
            let mut stanza = self.shown(&alone, role, kind, told, true, own);
            stanza.id = session.presence.id.clone();
            out.tell(&session.jid, stanza);
        }
    }

    /// How an occupant is shown; `open` with its address.
    pub(super) fn shown(
        &self,
        occupant: &Occupant,
        role: Role,
        kind: PresenceType,
        told: &Told<'_>,
        open: bool,
        codes: impl IntoIterator<Item = u16>,
    ) -> Stanza {
        let session = occupant.shown();
        let jid = session.map(|session| &session.jid).filter(|_| open);
        let affiliation = self.affiliation(&occupant.bare);
        let x: Element = said::extension(affiliation, role, jid, told, codes);
        let shown = said::presence(occupant, kind, session.map(|s| &s.presence), x);
        let there = kind == PresenceType::Available;
        match self.hats_of(&occupant.bare).filter(|_| there) {
            Some(hats) => shown.with_child(hats),
            None => shown,
        }
    }

    /// §7.14: a client leaves; the last one of an occupant takes it along, the last occupant a
    /// temporary room.
    pub(super) fn leaves(
        &mut self,
        full: &Jid,
        words: Option<&Stanza>,
        told: &Told<'_>,
        out: &mut Out,
    ) {
        self.part(full, words, told, out);
        self.end_if_empty(out);
    }

    fn part(&mut self, full: &Jid, words: Option<&Stanza>, told: &Told<'_>, out: &mut Out) {
        if let Some((gone, rest)) = self.occupants.leave(full) {
            self.end_stay(full, out);
            self.tell_parted(gone, rest, words, told, out);
        }
    }

    /// A client and the others learn that it left, and what is left of its occupant.
    fn tell_parted(
        &self,
        mut gone: Occupant,
        rest: Rest,
        words: Option<&Stanza>,
        told: &Told<'_>,
        out: &mut Out,
    ) {
        for session in &mut gone.sessions {
            session.presence = match words {
                Some(words) => words.clone(),
                None => Stanza::presence(PresenceType::Unavailable),
            };
        }
        let kind = PresenceType::Unavailable;
        self.show_itself(&gone, Role::None, kind, told, out);
        match rest {
            Rest::Same => {}
            Rest::Others => {
                let nick = gone.nick().to_owned();
                self.announce(&nick, &Told::default(), out);
            }
            Rest::Nobody => self.show_others(&gone, Role::None, kind, told, out),
        }
    }

    /// §11.2: the service stops, and whose session it does not keep is no occupant any more; they do not hear of each other.
    pub fn stop(&mut self, keeps: impl Fn(&Jid) -> bool) -> Out {
        let mut out = Out::default();
        let told = Told {
            own_codes: &[code::SHUTDOWN],
            ..Told::default()
        };
        let mut parted = Vec::new();
        for client in self.sessions(|_| true).iter().filter(|jid| !keeps(jid)) {
            if let Some(left) = self.occupants.leave(client) {
                self.end_stay(client, &mut out);
                parted.push(left);
            }
        }
        for (gone, rest) in parted {
            self.tell_parted(gone, rest, None, &told, &mut out);
        }
        out
    }

    /// A temporary room ends with its last occupant, a locked one as well (§7.14, §10.1.3).
    pub(super) fn end_if_empty(&mut self, out: &mut Out) {
        let persistent = self.options().is_some_and(|options| options.persistent);
        if (self.locked || !persistent) && self.clients_there() == 0 {
            self.end(out);
        }
    }

    /// Puts an occupant out with all its clients: it learns it first, then the others.
    pub(super) fn put_out(&mut self, nick: &str, told: &Told<'_>, out: &mut Out) {
        self.put_out_all(&[(nick.to_owned(), told.clone())], out);
    }

    /// The same for many, who do not hear of each other.
    pub(super) fn put_out_all(&mut self, who: &[(String, Told<'_>)], out: &mut Out) {
        let gone = who.iter().filter_map(|(nick, told)| {
            let gone = self.occupants.remove(nick)?;
            Some((gone, told))
        });
        let mut gone: Vec<_> = gone.collect();
        let kind = PresenceType::Unavailable;
        for (gone, told) in &mut gone {
            if gone.sessions.iter().any(|session| session.jid == gone.bare) {
                self.end_stay(&gone.bare, out);
            }
            for session in &mut gone.sessions {
                session.presence = Stanza::presence(kind);
            }
            let before = out.tells.len();
            self.show_itself(gone, Role::None, kind, told, out);
            let itself = out.tells.drain(before..).collect::<Vec<_>>();
            out.first.extend(itself);
        }
        for (gone, told) in &gone {
            self.show_others(gone, Role::None, kind, told, out);
        }
    }

    /// §11.1, §18.1.2: what was sent to a client came back; if it is not there any more, it is no
    /// occupant.
    pub(super) fn bounced(&mut self, full: &Jid, stanza: &Stanza, out: &mut Out) -> bool {
        let error = stanza.child("error", ns::CLIENT).map(StanzaError::parse);
        let gone = error.is_some_and(|error| {
            let gone = matches!(
                error.condition,
                Condition::Gone
                    | Condition::ItemNotFound
                    | Condition::RecipientUnavailable
                    | Condition::Redirect
                    | Condition::RemoteServerNotFound
                    | Condition::RemoteServerTimeout
                    | Condition::ServiceUnavailable
            );
            gone && self.is_final(full, error.condition)
        });
        if gone {
            let told = Told {
                codes: &[code::ERROR],
                ..Told::default()
            };
            self.leaves(full, None, &told, out);
        }
        gone
    }

    /// The clients of one occupant; itself if it has none there.
    pub(super) fn clients(occupant: &Occupant) -> SmallVec<[Jid; 1]> {
        let any = occupant.has_client();
        let sessions = occupant.sessions.iter().map(|session| &session.jid);
        sessions
            .filter(|jid| jid.is_full() || !any)
            .cloned()
            .collect()
    }
}
