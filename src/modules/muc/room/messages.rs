//! What is said in a room: to all, to one, and the subject (XEP-0045 §7.4, §7.5, §8.1).

use std::sync::Arc;

use super::occupants::{Occupant, Role};
use super::said::{is_claim, occupant_id, user};
use super::{Actor, Now, Out, Refused, Room};
use crate::hooks::{Class, Facts};
use crate::proto::error::{Condition, StanzaError};
use crate::proto::jid::Jid;
use crate::proto::ns;
use crate::proto::stanza::{MessageType, Stanza};
use crate::runtime::random;
use crate::state::rooms::archive::{self, Said};
use crate::state::rooms::{Subject, Talk};
use crate::store::Mid;
use crate::xml::Element;

impl Room {
    pub(super) fn message(
        &mut self,
        actor: &Actor,
        to: &Jid,
        kind: MessageType,
        stanza: &Stanza,
        now: &Now<'_>,
        out: &mut Out,
    ) -> Result<(), Refused> {
        if kind == MessageType::Error {
            if !self.bounced(&actor.jid, stanza, out) {
                self.pass_error(&actor.jid, to, stanza, out);
            }
            return Ok(());
        }
        self.record()?;
        match (to.resource(), kind) {
            (Some(_), MessageType::Groupchat) => Err(Condition::BadRequest.into()),
            (Some(nick), _) => self.whisper(&actor.jid, nick, stanza, out),
            (None, MessageType::Groupchat) => self.say(&actor.jid, stanza, now, out),
            (None, _) if actor.may_all => self.pass_report(stanza, out),
            (None, _) => self.told(&actor.jid, stanza, out),
        }
    }

    /// Who speaks, if it is there.
    pub(super) fn speaker(&self, full: &Jid) -> Result<&Occupant, Refused> {
        let occupant = self.occupants.of(full);
        let stays = || self.occupants.of(&full.bare());
        occupant.or_else(stays).ok_or_else(|| {
            StanzaError::from(Condition::NotAcceptable).with_text("You are not in the room")
        })
    }

    fn say(
        &mut self,
        full: &Jid,
        stanza: &Stanza,
        now: &Now<'_>,
        out: &mut Out,
    ) -> Result<(), Refused> {
        let speaker = self.speaker(full)?;
        if sets_subject(stanza) {
            return self.set_subject(full, stanza, now, out);
        }
        if speaker.role < Role::Participant {
            return Err(Condition::Forbidden.into());
        }
        let reflected = self.reflected(speaker, stanza);
        let step = self.place(full, stanza, now)?;
        self.paced(&full.bare(), stanza, now)?;
        self.count_said(stanza, now.wall);
        self.take_back(full, stanza, now, out);
        match lasts(stanza) || step.stays() {
            true => {
                let mid = self.say_to_all(full, reflected, now, out);
                self.next_epoch(step, mid, full, out);
            }
            false => out.tell_all(self.hearers(), reflected),
        }
        Ok(())
    }

    /// Keeps a message, and tells it to all under the id that it is kept under.
    pub(super) fn say_to_all(
        &mut self,
        full: &Jid,
        stanza: Stanza,
        now: &Now<'_>,
        out: &mut Out,
    ) -> Mid {
        let mid = self.ids.draw(now.wall);
        let mut live = stanza.clone();
        live.push(self.stanza_id(mid));
        self.remember(mid, full, stanza, now, out);
        let live = Arc::new(live.folded());
        let facts = Facts::of(&live);
        out.said = (facts.class == Class::Content && !facts.no_store).then(|| live.clone());
        out.tell_all(self.hearers(), live);
        mid
    }

    /// The history has it from now on, and the disk, if the room keeps what is said there.
    fn remember(&mut self, mid: Mid, full: &Jid, stanza: Stanza, now: &Now<'_>, out: &mut Out) {
        let said = Said {
            mid,
            at: now.wall,
            by: full.clone(),
            stanza,
        };
        let stored = self.stored.as_ref();
        if let Some(record) = stored.map(|s| &s.record).filter(|r| r.options.archive)
            && !self.locked
        {
            archive::keep(&mut out.batch, record.rid, &said);
        }
        self.history.push_back(said);
        while self.history.len() > self.rules.history {
            self.history.pop_front();
        }
    }

    /// The message as everybody sees it: from the nickname, with what came and what the room knows.
    fn reflected(&self, speaker: &Occupant, stanza: &Stanza) -> Stanza {
        let mut reflected = Stanza::message(MessageType::Groupchat)
            .with_from(speaker.address.clone())
            .with_id(match &stanza.id {
                Some(id) => id.clone(),
                None => random::id().into(),
            });
        reflected.lang = stanza.lang.clone();
        for child in stanza.children().filter(|el| !is_claim(*el, &self.jid)) {
            reflected = reflected.with_child(child.to_element());
        }
        reflected.with_child(occupant_id(&speaker.id))
    }

    /// The id of a message in this room (XEP-0359).
    pub(super) fn stanza_id(&self, mid: Mid) -> Element {
        Element::new("stanza-id", ns::STANZA_ID)
            .with_attr("by", self.jid.as_str())
            .with_attr("id", &mid.to_string())
    }

    /// §8.1.
    fn set_subject(
        &mut self,
        full: &Jid,
        stanza: &Stanza,
        now: &Now<'_>,
        out: &mut Out,
    ) -> Result<(), Refused> {
        let speaker = self.speaker(full)?;
        let all_may = self.options().is_some_and(|options| options.change_subject);
        let least = if all_may {
            Role::Participant
        } else {
            Role::Moderator
        };
        if speaker.role < least {
            return Err(Condition::Forbidden.into());
        }
        let subjects = stanza.children().filter(|el| el.is("subject", ns::CLIENT));
        let size: usize = subjects.map(|subject| subject.text().len()).sum();
        if size > self.rules.text {
            return Err(StanzaError::from(Condition::NotAcceptable)
                .with_text(format!("A subject has at most {} bytes", self.rules.text)));
        }
        let reflected = self.reflected(speaker, stanza);
        if let Some(stored) = &mut self.stored {
            stored.record.subject = Some(Subject {
                xml: String::from_utf8_lossy(&reflected.to_bytes()).into_owned(),
                at: now.wall,
            });
        }
        self.save(out);
        out.tell_all(self.hearers(), reflected);
        Ok(())
    }

    /// §7.5: a private message, to all clients of the other.
    fn whisper(
        &self,
        full: &Jid,
        nick: &str,
        stanza: &Stanza,
        out: &mut Out,
    ) -> Result<(), Refused> {
        let speaker = self.speaker(full)?;
        let may = match self.record()?.options.private_messages {
            Talk::Anyone => true,
            Talk::Participants => speaker.role >= Role::Participant,
            Talk::Moderators => speaker.role == Role::Moderator,
            Talk::None => false,
        };
        if !may {
            return Err(Condition::Forbidden.into());
        }
        let other = self.occupants.by_nick(nick);
        let other = other.ok_or_else(|| StanzaError::from(Condition::ItemNotFound))?;
        let message = self.passed(speaker, stanza).with_child(user("x"));
        let message = message.with_child(occupant_id(&speaker.id));
        // One of the other's clients has it for its account; the rest see the same message.
        let Some(first) = other.shown() else {
            return Err(Condition::ItemNotFound.into());
        };
        out.tell(&first.jid, message.clone());
        let mut rest = Room::clients(other);
        rest.retain(|client| *client != first.jid);
        let copy = message.with_child(Element::new("no-store", ns::HINTS));
        out.tell_all(rest, copy);
        Ok(())
    }

    /// An error of one client goes to who sent it a private message.
    fn pass_error(&self, full: &Jid, to: &Jid, stanza: &Stanza, out: &mut Out) {
        let other = to.resource().and_then(|nick| self.occupants.by_nick(nick));
        if let (Some(speaker), Some(other)) = (self.occupants.of(full), other) {
            out.tell_all(Room::clients(other), self.passed(speaker, stanza));
        }
    }

    /// A stanza as it came, from the nickname, without what a client may not say.
    pub(super) fn passed(&self, speaker: &Occupant, stanza: &Stanza) -> Stanza {
        let mut passed = stanza.clone();
        passed.from = Some(speaker.address.clone());
        passed.to = None;
        passed.retain_children(|el| !is_claim(el, &self.jid));
        passed
    }
}

/// A subject and neither text nor thread (§8.1).
fn sets_subject(stanza: &Stanza) -> bool {
    let has = |name: &str| stanza.child(name, ns::CLIENT).is_some();
    has("subject") && !has("body") && !has("thread")
}

/// Whether the room's archive keeps a message: it means something later (XEP-0313 §6.1.1, XEP-0334).
fn lasts(stanza: &Stanza) -> bool {
    let facts = Facts::of(stanza);
    let meant = match facts.class {
        Class::Content | Class::Marker | Class::Call | Class::Follow => true,
        Class::Other | Class::ChatState => facts.store,
        Class::Error | Class::None => false,
    };
    meant && !facts.no_store && !facts.no_archive
}
