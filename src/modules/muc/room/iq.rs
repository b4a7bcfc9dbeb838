//! Questions to the room, and those that pass through it to an occupant (XEP-0045 §17.4, XEP-0410 1.1.0).

use std::collections::HashMap;
use std::time::{Duration, Instant};

use smallvec::smallvec;

use super::{Actor, Now, Out, Refused, Room};
use crate::proto::error::{Condition, StanzaError};
use crate::proto::jid::Jid;
use crate::proto::ns;
use crate::proto::stanza::{IqType, Stanza};
use crate::runtime::random;
use crate::state::rooms::Affiliation;
use crate::xml::{El, Element};

/// Questions between occupants that are open at the same time in one room.
const OPEN: usize = 500;

/// How long one may stay open.
const PATIENCE: Duration = Duration::from_secs(120);

/// A question that was passed on: whose it is, under which id, and whom it was for.
struct Asked {
    asker: Jid,
    id: Box<str>,
    to: Jid,
    /// Who must answer: a client, or a person.
    of: Jid,
    until: Instant,
}

/// Questions that were passed on, by the ids that the room gave them: nobody learns an address
/// from an answer.
#[derive(Default)]
pub struct Forwarded(HashMap<Box<str>, Asked>);

impl Room {
    pub(super) fn iq(
        &mut self,
        actor: &Actor,
        to: &Jid,
        kind: IqType,
        stanza: &Stanza,
        now: &Now<'_>,
        out: &mut Out,
    ) -> Result<(), Refused> {
        let set = match kind {
            IqType::Get => false,
            IqType::Set => true,
            IqType::Result | IqType::Error => {
                self.answered(&actor.jid, stanza, out);
                return Ok(());
            }
        };
        let payload = stanza.payload();
        let payload = payload.ok_or_else(|| StanzaError::from(Condition::BadRequest))?;
        if to.is_full() {
            return self.ask_occupant(actor, to, stanza, payload, now, out);
        }
        self.record()?;
        let asked = self.ask_archive(&actor.jid.bare(), set, payload)?;
        if asked.is_some() {
            out.asked = asked;
            return Ok(());
        }
        if !set && payload.is("vCard", ns::VCARD) {
            let seen = !self.locked || self.affiliation(&actor.jid.bare()) == Affiliation::Owner;
            let rid = self.record()?.rid;
            out.profile = seen.then_some(rid);
            return match seen {
                true => Ok(()),
                false => Err(Condition::ItemNotFound.into()),
            };
        }
        if !set && payload.is("group-info", ns::MLS) {
            let epoch = self.shows_info(&actor.jid)?;
            out.group_info = Some((self.record()?.rid, epoch));
            return Ok(());
        }
        let answer = self.answer(actor, set, payload, now, out)?;
        let mut result = stanza.reply();
        result.from = Some(to.clone());
        result.to = None;
        if let Some(answer) = answer {
            result = result.with_child(answer);
        }
        // Who is put out learns it first, then who did it, then the others (§8.2).
        out.tell_first(smallvec![actor.jid.clone()], result);
        Ok(())
    }

    /// What the room itself is asked.
    fn answer(
        &mut self,
        actor: &Actor,
        set: bool,
        payload: El<'_>,
        now: &Now<'_>,
        out: &mut Out,
    ) -> Result<Option<Element>, Refused> {
        let bare = actor.jid.bare();
        match (set, payload.ns(), payload.name()) {
            (false, ns::DISCO_INFO, "query") => self.info(&bare, payload, now.wall).map(Some),
            (false, ns::DISCO_ITEMS, "query") => self.items(&bare, payload).map(Some),
            (false, ns::PING, "ping") => Ok(None),
            (false, ns::MUC_OWNER, "query") => self.owner_asks(&bare, payload).map(Some),
            (true, ns::MUC_OWNER, "query") => self.owner_sets(&bare, payload, out).map(|()| None),
            (false, ns::MUC_ADMIN, "query") => self.lists(&bare, payload).map(Some),
            (true, ns::MUC_ADMIN, "query") => self.change_lists(&bare, payload, out).map(|()| None),
            (false, ns::MAM, "query") => {
                self.may_read(&bare)?;
                Ok(Some(self.offer().form()))
            }
            (true, ns::MODERATE, "moderate") | (true, ns::FASTEN, "apply-to") => {
                self.moderate(&actor.jid, payload, now, out).map(|()| None)
            }
            (true, ns::COMMANDS, "command") if Room::is_ban(payload) => {
                self.ban_command(&bare, payload, now, out).map(Some)
            }
            (true, ns::COMMANDS, "command") => self.command(&bare, payload, out).map(Some),
            (_, ns::MLS, _) => self.group_asks(actor, set, payload, out),
            (true, ns::VCARD, "vCard") => self.set_profile(&bare, payload, out).map(|()| None),
            (true, ns::MUC_TOKEN_INVITE, "request") => {
                self.make_token(&bare, payload, now, out).map(Some)
            }
            (true, ns::MUC_TOKEN_INVITE, "revoke") => {
                self.revoke_token(&bare, payload, out).map(|()| None)
            }
            (false, ns::MUC_TOKEN_INVITE, "tokens") => self.list_tokens(&bare, now).map(Some),
            (true, ns::MUC2, "join") => self.stay(actor, payload, now, out).map(Some),
            (true, ns::MUC2, "leave") => self.stay_no_longer(&actor.jid, out).map(|()| None),
            (false, ns::REGISTER, "query") => self.registration(&bare).map(Some),
            (true, ns::REGISTER, "query") => self.register(&bare, payload, out).map(|()| None),
            _ => Err(Condition::ServiceUnavailable.into()),
        }
    }

    /// §6.6, §17.4: a question for an occupant, from another one.
    fn ask_occupant(
        &mut self,
        actor: &Actor,
        to: &Jid,
        stanza: &Stanza,
        payload: El<'_>,
        now: &Now<'_>,
        out: &mut Out,
    ) -> Result<(), Refused> {
        let Some(asker) = self.occupants.of(&actor.jid) else {
            return Err(match payload.ns() {
                ns::DISCO_INFO | ns::DISCO_ITEMS => Condition::BadRequest.into(),
                _ => {
                    StanzaError::from(Condition::NotAcceptable).with_text("You are not in the room")
                }
            });
        };
        let other = self.occupants.by_nick(to.resource().unwrap_or_default());
        let other = other.ok_or_else(|| StanzaError::from(Condition::ItemNotFound))?;
        if payload.is("ping", ns::PING) && other.address == asker.address {
            let mut pong = stanza.reply();
            pong.from = Some(to.clone());
            pong.to = None;
            out.tell(&actor.jid, pong);
            return Ok(());
        }
        let of = match payload.ns() {
            // What a person shows of itself is with its server.
            ns::VCARD | ns::VCARD4 | ns::PUBSUB => other.bare.clone(),
            _ => match other.shown() {
                Some(session) => session.jid.clone(),
                None => return Err(Condition::ItemNotFound.into()),
            },
        };
        let id = self
            .forwarded
            .open(&actor.jid, to, &of, stanza, now.instant)?;
        let mut question = self.passed(asker, stanza);
        question.id = Some(id);
        out.tell(&of, question);
        Ok(())
    }

    /// An answer to a question that was passed on.
    fn answered(&mut self, from: &Jid, stanza: &Stanza, out: &mut Out) {
        let asked = stanza
            .id
            .as_deref()
            .and_then(|id| self.forwarded.close(id, from));
        let Some(asked) = asked else {
            return;
        };
        let mut answer = stanza.clone();
        answer.from = Some(asked.to);
        answer.to = None;
        answer.id = Some(asked.id);
        out.tell(&asked.asker, answer);
    }
}

impl Forwarded {
    fn open(
        &mut self,
        asker: &Jid,
        to: &Jid,
        of: &Jid,
        stanza: &Stanza,
        now: Instant,
    ) -> Result<Box<str>, StanzaError> {
        if self.0.len() >= OPEN {
            self.0.retain(|_, asked| asked.until > now);
        }
        if self.0.len() >= OPEN {
            return Err(Condition::ResourceConstraint.into());
        }
        let id: Box<str> = random::id().into();
        let asked = Asked {
            asker: asker.clone(),
            id: stanza.id.clone().unwrap_or_default(),
            to: to.clone(),
            of: of.clone(),
            until: now + PATIENCE,
        };
        self.0.insert(id.clone(), asked);
        Ok(id)
    }

    /// The question with this id, if it was for who answers.
    fn close(&mut self, id: &str, from: &Jid) -> Option<Asked> {
        if self.0.get(id)?.of != *from {
            return None;
        }
        self.0.remove(id)
    }
}
