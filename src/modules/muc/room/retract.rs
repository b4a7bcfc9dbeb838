//! Messages that are taken back, by who said them (XEP-0424 0.4.2) or by moderators (XEP-0425 0.3.0, and its
//! older form), and what is left of them.

use super::occupants::{Occupant, Role};
use super::said::occupant_id;
use super::{Now, Out, Refused, Room};
use crate::proto::error::{Condition, StanzaError};
use crate::proto::jid::Jid;
use crate::proto::stanza::{IqType, Kind, MessageType, Stanza};
use crate::proto::{datetime, ns};
use crate::runtime::random;
use crate::state::rooms::Affiliation;
use crate::state::rooms::archive::{self, Said};
use crate::store::Mid;
use crate::xml::{El, Element};

/// What a moderator asks for, in either form.
struct Moderation<'a> {
    id: &'a str,
    reason: Option<El<'a>>,
}

impl<'a> Moderation<'a> {
    fn read(payload: El<'a>) -> Option<Moderation<'a>> {
        let (id, moderate) = match (payload.ns(), payload.name()) {
            (ns::MODERATE, "moderate") => (payload.attr("id")?, payload),
            (ns::FASTEN, "apply-to") => {
                let moderate = payload.child("moderate", ns::MODERATE_OLD)?;
                (payload.attr("id")?, moderate)
            }
            _ => return None,
        };
        let mut children = moderate.children();
        let retracts = |el: El<'_>| matches!(el.ns(), ns::RETRACT | ns::RETRACT_OLD);
        children.find(|el| el.name() == "retract" && retracts(*el))?;
        let reason = moderate.children().find(|el| el.name() == "reason");
        Some(Moderation { id, reason })
    }
}

/// Who moderates, and why.
struct By<'a> {
    actor: Option<&'a Occupant>,
    reason: Option<&'a str>,
}

impl By<'_> {
    fn moderated(&self, ns: &str) -> Element {
        let mut moderated = Element::new("moderated", ns);
        moderated.set_attr("by", self.actor.map(|actor| actor.address.as_str()));
        match self.actor {
            Some(actor) => moderated.with_child(occupant_id(&actor.id)),
            None => moderated,
        }
    }

    fn with_reason(&self, el: Element, ns: &str) -> Element {
        match self.reason {
            Some(reason) => el.with_child(Element::new("reason", ns).with_text(reason)),
            None => el,
        }
    }
}

impl Room {
    /// The message that a stanza is about and that must be looked up first, as it is too old to be
    /// in memory.
    pub fn wants(&self, from: &Jid, stanza: &Stanza) -> Option<Mid> {
        let mid = match stanza.kind {
            Kind::Message(MessageType::Groupchat) => match retracted(stanza) {
                Some(id) => id.parse().ok()?,
                None => self.wants_winner(from, stanza)?,
            },
            Kind::Iq(IqType::Set) => Moderation::read(stanza.payload()?)?.id.parse().ok()?,
            _ => return None,
        };
        let keeps = self.options().is_some_and(|options| options.archive);
        let known = self.history.iter().any(|said| said.mid == mid);
        (keeps && !known && self.occupants.of(from).is_some()).then_some(mid)
    }

    fn original(&self, id: &str, now: &Now<'_>) -> Option<Said> {
        let mid: Mid = id.parse().ok()?;
        let recent = self.history.iter().find(|said| said.mid == mid);
        recent.or(now.found.filter(|said| said.mid == mid)).cloned()
    }

    /// XEP-0424 §4: who said something takes it back; what others ask is only passed on.
    pub(super) fn take_back(&mut self, full: &Jid, stanza: &Stanza, now: &Now<'_>, out: &mut Out) {
        let original = retracted(stanza).and_then(|id| self.original(id, now));
        let original = original.filter(|said| said.by.bare_str() == full.bare_str());
        if let (Some(original), Some(id)) = (original, &stanza.id) {
            let stone = stone(now).with_attr("id", id);
            self.bury(original, stone, out);
        }
    }

    /// XEP-0425 §3.
    pub(super) fn moderate(
        &mut self,
        full: &Jid,
        payload: El<'_>,
        now: &Now<'_>,
        out: &mut Out,
    ) -> Result<(), Refused> {
        let asked =
            Moderation::read(payload).ok_or_else(|| StanzaError::from(Condition::BadRequest))?;
        let bare = full.bare();
        let actor = self.occupants.of(full);
        let moderates = actor.is_some_and(|actor| actor.role == Role::Moderator);
        if !moderates && self.affiliation(&bare) < Affiliation::Admin {
            return Err(Condition::Forbidden.into());
        }
        let reason = asked.reason.map(|reason| reason.text().trim().to_owned());
        if reason
            .as_ref()
            .is_some_and(|text| text.len() > self.rules.text)
        {
            return Err(Condition::NotAcceptable.into());
        }
        let original = self.original(asked.id, now);
        let original = original.ok_or_else(|| StanzaError::from(Condition::ItemNotFound))?;
        let by = By {
            actor,
            reason: reason.as_deref(),
        };
        let stone = stone(now).with_child(by.moderated(ns::MODERATE));
        let stone = by.with_reason(stone, ns::RETRACT);
        let message = self.moderation(asked.id, &by);
        self.bury(original, stone, out);
        self.say_to_all(full, message, now, out);
        Ok(())
    }

    /// What all are told, in both forms.
    fn moderation(&self, id: &str, by: &By<'_>) -> Stanza {
        let retract = Element::new("retract", ns::RETRACT)
            .with_attr("id", id)
            .with_child(by.moderated(ns::MODERATE));
        let old = by
            .moderated(ns::MODERATE_OLD)
            .with_child(Element::new("retract", ns::RETRACT_OLD));
        let apply = Element::new("apply-to", ns::FASTEN)
            .with_attr("id", id)
            .with_child(by.with_reason(old, ns::MODERATE_OLD));
        Stanza::message(MessageType::Groupchat)
            .with_from(self.jid.clone())
            .with_id(random::id())
            .with_child(by.with_reason(retract, ns::RETRACT))
            .with_child(apply)
    }

    /// Puts a tombstone in the place of a message, in the history and on disk.
    fn bury(&mut self, original: Said, stone: Element, out: &mut Out) {
        if is_stone(&original) {
            return;
        }
        let mut stanza = Stanza::message(MessageType::Groupchat);
        stanza.from = original.stanza.from.clone();
        stanza.id = original.stanza.id.clone();
        if let Some(id) = original.stanza.child("occupant-id", ns::OCCUPANT_ID) {
            stanza = stanza.with_child(id.to_element());
        }
        let buried = Said {
            stanza: stanza.with_child(stone),
            ..original.clone()
        };
        let stored = self.stored.as_ref().filter(|_| !self.locked);
        if let Some(record) = stored.map(|s| &s.record).filter(|r| r.options.archive) {
            archive::replace(&mut out.batch, record.rid, &original, &buried);
        }
        if let Some(place) = self.history.iter_mut().find(|said| said.mid == buried.mid) {
            *place = buried;
        }
    }
}

/// The id that a message takes back.
fn retracted(stanza: &Stanza) -> Option<&str> {
    let retract = stanza.child("retract", ns::RETRACT)?;
    retract.attr("id").filter(|id| !id.is_empty())
}

/// Whether only a tombstone is left of a message.
pub(super) fn is_stone(said: &Said) -> bool {
    said.stanza.child("retracted", ns::RETRACT).is_some()
}

fn stone(now: &Now<'_>) -> Element {
    Element::new("retracted", ns::RETRACT).with_attr("stamp", &datetime::format(now.wall))
}
