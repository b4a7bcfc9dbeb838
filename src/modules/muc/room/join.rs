//! Entering a room (XEP-0045 §7.2), which may make it (§10.1).

use std::collections::VecDeque;

use hmac::{Hmac, Mac};
use sha2::Sha256;

use super::occupants::{Occupant, Role, Session, fold, is_visible};
use super::retract::is_stone;
use super::said::{Told, code};
use super::{Actor, Bound, Now, Out, Refused, Room};
use crate::proto::datetime;
use crate::proto::delay::Delay;
use crate::proto::error::{Condition, ErrorType, StanzaError};
use crate::proto::jid::Jid;
use crate::proto::ns;
use crate::proto::stanza::{MessageType, PresenceType, Stanza};
use crate::runtime::random;
use crate::state::rooms::archive::Said;
use crate::state::rooms::{Affiliate, Affiliation, Record, Stored};
use crate::xml::{El, Element};

/// Admins and owners that enter a room which is full (§7.2.9).
const SPARE: usize = 10;

impl Room {
    pub(super) fn join(
        &mut self,
        actor: &Actor,
        to: &Jid,
        x: El<'_>,
        stanza: &Stanza,
        now: &Now<'_>,
        out: &mut Out,
    ) -> Result<(), Refused> {
        let bare = actor.jid.bare();
        let nick = to.resource().unwrap_or_default();
        self.check_nick(nick, &bare)?;
        self.take_join(now)?;
        let mut codes = Vec::new();
        let given = x.child("password", ns::MUC).map(|given| given.text());
        let given = given.as_deref();
        let token = given.filter(|given| self.brings_token(&bare, given, now));
        if self.stored.is_none() {
            self.create(actor, &bare, now)?;
            codes.push(code::CREATED);
        } else if token.is_none() {
            self.may_enter(&bare, given)?;
        }
        self.has_room(&bare)?;
        if let Some(token) = token {
            self.spend_token(&bare, token, now, out);
        }
        self.watch_activity(now.wall);
        let affiliation = self.affiliation(&bare);
        let there = self.occupants.by_nick(nick);
        // A second client of a person shares the nickname as it was first written (§7.2.8).
        let address = there.map_or(to, |there| &there.address).clone();
        if address != *to {
            codes.push(code::NICK_GIVEN);
        }
        let role = there.map_or_else(|| self.first_role(affiliation), |there| there.role);
        self.occupants.enter(Occupant {
            address,
            id: self.occupant_id(&bare),
            bare,
            role,
            sessions: vec![Session {
                jid: actor.jid.clone(),
                presence: stanza.clone(),
            }],
        });
        self.announce_arrival(&actor.jid, out);
        self.welcome(&actor.jid, x, stanza, now, &codes, out);
        Ok(())
    }

    /// How many may enter in a time.
    pub(super) fn take_join(&mut self, now: &Now<'_>) -> Result<(), Refused> {
        match self.joins.try_take(1, now.instant) {
            true => Ok(()),
            false => Err(self.too_many(Bound::Joins, "Too many enter at once; try again")),
        }
    }

    /// §17.1, §7.2.8: whether somebody may have a nickname.
    pub(super) fn check_nick(&self, nick: &str, bare: &Jid) -> Result<(), Refused> {
        if !is_visible(nick) {
            return Err(StanzaError::from(Condition::JidMalformed)
                .with_text("This nickname cannot be seen"));
        }
        if nick.len() > self.rules.nick {
            return Err(StanzaError::from(Condition::NotAcceptable)
                .with_text(format!("A nickname has at most {} bytes", self.rules.nick)));
        }
        let taken = self.occupants.by_nick(nick);
        let taken = taken.is_some_and(|there| there.bare != *bare);
        match taken || self.is_reserved(nick, bare) {
            true => Err(Condition::Conflict.into()),
            false => Ok(()),
        }
    }

    /// Whether a nickname is kept for somebody else (§7.10).
    pub(super) fn is_reserved(&self, nick: &str, bare: &Jid) -> bool {
        let folded = fold(nick);
        let affiliates = self.stored.iter().flat_map(|stored| &stored.affiliates);
        affiliates
            .filter(|(jid, _)| *jid != bare)
            .any(|(_, known)| {
                let kept = known.nick.as_deref();
                kept.is_some_and(|kept| fold(kept) == folded)
            })
    }

    /// §10.1.1: somebody who may makes the room, and it waits for its configuration.
    fn create(&mut self, actor: &Actor, bare: &Jid, now: &Now<'_>) -> Result<(), Refused> {
        actor.may_create.map_err(StanzaError::from)?;
        let owner = Affiliate {
            affiliation: Affiliation::Owner,
            ..Affiliate::default()
        };
        self.stored = Some(Stored {
            record: Record {
                rid: (now.number)(),
                jid: self.jid.clone(),
                creator: bare.clone(),
                created: now.wall,
                secret: random::token(),
                options: self.rules.options.clone(),
                subject: None,
                requests: Vec::new(),
                tokens: Vec::new(),
                pictures: Vec::new(),
                hats: Vec::new(),
                worn: Default::default(),
            },
            affiliates: [(bare.clone(), owner)].into(),
            changes: VecDeque::new(),
            group: None,
        });
        self.locked = true;
        Ok(())
    }

    /// §7.2.5 to §7.2.10.
    pub(super) fn may_enter(&self, bare: &Jid, given: Option<&str>) -> Result<(), Refused> {
        let affiliation = self.affiliation(bare);
        if self.locked && affiliation != Affiliation::Owner {
            return Err(Condition::ItemNotFound.into());
        }
        if affiliation == Affiliation::Outcast {
            return Err(Condition::Forbidden.into());
        }
        let Some(options) = self.options() else {
            return Err(Condition::ItemNotFound.into());
        };
        if let Some(password) = &options.password
            && given != Some(password)
        {
            return Err(Condition::NotAuthorized.into());
        }
        if options.members_only && affiliation == Affiliation::None {
            return Err(match given {
                // XEP-0488 §3.5: it can only be a token that was good once.
                Some(_) if options.password.is_none() => {
                    StanzaError::from(Condition::NotAuthorized)
                        .with_app(Element::new("expired-token", ns::MUC_TOKEN_INVITE))
                }
                _ => Condition::RegistrationRequired.into(),
            });
        }
        Ok(())
    }

    /// §7.2.9, and how many clients one person may have there.
    pub(super) fn has_room(&mut self, bare: &Jid) -> Result<(), Refused> {
        let most = self.rules.sessions;
        let crowded = self
            .occupants
            .of_person(bare)
            .any(|there| there.sessions.len() >= most);
        if crowded {
            let text = "Too many of your clients are in the room";
            return Err(self.too_many(Bound::Clients, text));
        }
        let most = match self.options().map(|options| options.most_occupants) {
            Some(0) | None => self.rules.occupants,
            Some(most) => self.rules.occupants.min(most as usize),
        };
        let spare = match self.affiliation(bare) {
            Affiliation::Admin | Affiliation::Owner => SPARE,
            _ => 0,
        };
        if self.occupants.len() >= most.saturating_add(spare) {
            self.reached = Some(Bound::Occupants);
            return Err(StanzaError::from(Condition::ServiceUnavailable).with_type(ErrorType::Wait));
        }
        Ok(())
    }

    /// §5.1.2.
    pub(super) fn first_role(&self, affiliation: Affiliation) -> Role {
        let moderated = self.options().is_some_and(|options| options.moderated);
        match affiliation {
            Affiliation::Owner | Affiliation::Admin => Role::Moderator,
            Affiliation::Member => Role::Participant,
            Affiliation::None if !moderated => Role::Participant,
            Affiliation::None => Role::Visitor,
            Affiliation::Outcast => Role::None,
        }
    }

    /// XEP-0421 §5: the same for one person under every nickname, and of no use in another room.
    pub(super) fn occupant_id(&self, bare: &Jid) -> Box<str> {
        self.keyed(bare.as_str())
    }

    /// What only this room makes of a text.
    pub(super) fn keyed(&self, text: &str) -> Box<str> {
        let secret = self.stored.as_ref().map(|stored| &stored.record.secret);
        let secret = secret.map(String::as_bytes).unwrap_or_default();
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(secret) else {
            return Box::default();
        };
        mac.update(text.as_bytes());
        let id = mac.finalize().into_bytes();
        id.iter()
            .take(20)
            .map(|byte| format!("{byte:02x}"))
            .collect()
    }

    /// The others see who has come.
    pub(super) fn announce_arrival(&self, full: &Jid, out: &mut Out) {
        if let Some(occupant) = self.occupants.of(full) {
            let (role, kind) = (occupant.role, PresenceType::Available);
            self.show_others(occupant, role, kind, &Told::default(), out);
        }
    }

    /// §7.1: the others, itself, what was said, the subject; in this order.
    pub(super) fn welcome(
        &self,
        full: &Jid,
        x: El<'_>,
        stanza: &Stanza,
        now: &Now<'_>,
        codes: &[u16],
        out: &mut Out,
    ) {
        let (Some(own), Some(stored)) = (self.occupants.of(full), &self.stored) else {
            return;
        };
        let options = &stored.record.options;
        let (open, kind) = (self.sees_jids(own), PresenceType::Available);
        let told = Told::default();
        self.tell_changes(full, x, stanza, out);
        let others = self.occupants.iter();
        for other in others.filter(|other| other.address != own.address) {
            if other.role.is_of(options.broadcast) {
                let shown = self.shown(other, other.role, kind, &told, open, []);
                out.tell(full, shown);
            }
        }
        let mut codes = codes.to_vec();
        codes.push(code::SELF);
        codes.extend(options.non_anonymous.then_some(code::NON_ANONYMOUS));
        codes.extend(options.logged.then_some(code::LOGGED));
        codes.sort_unstable();
        let alone = Occupant {
            sessions: vec![Session {
                jid: full.clone(),
                presence: stanza.clone(),
            }],
            ..own.clone()
        };
        let told = Told {
            version: self.current(&own.bare),
            ..told
        };
        let mut shown = self.shown(&alone, own.role, kind, &told, true, codes);
        shown.id = stanza.id.clone();
        out.tell(full, shown);
        for said in self.wanted_history(x, options.history as usize, now) {
            out.tell(full, self.as_history(said));
        }
        out.tell(full, self.subject());
    }

    /// §7.2.14: the newest messages that all bounds leave.
    fn wanted_history(&self, x: El<'_>, most: usize, now: &Now<'_>) -> Vec<&Said> {
        let asked = x.child("history", ns::MUC);
        let number = |name: &str| asked.and_then(|history| history.attr(name)?.parse::<u64>().ok());
        let most = number("maxstanzas").map_or(most, |asked| {
            most.min(usize::try_from(asked).unwrap_or(usize::MAX))
        });
        let seconds =
            number("seconds").map(|seconds| now.wall.saturating_sub(seconds.saturating_mul(1000)));
        let since = asked
            .and_then(|history| history.attr("since"))
            .and_then(datetime::parse);
        let since = seconds.max(since).unwrap_or(0);
        let mut chars =
            number("maxchars").map(|chars| usize::try_from(chars).unwrap_or(usize::MAX));
        let mut wanted = Vec::new();
        let history = self.history.iter().filter(|said| !is_stone(said));
        for said in history.rev().take(most) {
            if said.at < since {
                break;
            }
            if let Some(left) = &mut chars {
                let size = self.as_history(said).to_bytes().len();
                match left.checked_sub(size) {
                    Some(rest) => *left = rest,
                    None => break,
                }
            }
            wanted.push(said);
        }
        wanted.reverse();
        wanted
    }

    /// §7.2.13: a message that was said before. What an owner brought along from elsewhere keeps its time (§7.9).
    fn as_history(&self, said: &Said) -> Stanza {
        let brought = said.stanza.child("delay", ns::DELAY).is_some()
            && self.affiliation(&said.by.bare()) == Affiliation::Owner;
        let mut stanza = said.stanza.clone();
        stanza.push(self.stanza_id(said.mid));
        if brought {
            return stanza;
        }
        let delay = Delay {
            stamp: said.at,
            from: Some(self.jid.clone()),
        };
        stanza.push(delay.to_element());
        stanza
    }

    /// §7.2.15: the subject; an empty one if there is none.
    pub(super) fn subject(&self) -> Stanza {
        let subject = self.stored.as_ref().and_then(|s| s.record.subject.as_ref());
        let read = subject.and_then(|subject| {
            let stanza = Stanza::from_bytes(subject.xml.as_bytes()).ok()?;
            Some((stanza, subject.at))
        });
        match read {
            Some((mut stanza, at)) => {
                let delay = Delay {
                    stamp: at,
                    from: Some(self.jid.clone()),
                };
                stanza.push(delay.to_element());
                stanza
            }
            None => Stanza::message(MessageType::Groupchat)
                .with_from(self.jid.clone())
                .with_id(random::id())
                .with_child(Element::new("subject", ns::CLIENT)),
        }
    }
}
