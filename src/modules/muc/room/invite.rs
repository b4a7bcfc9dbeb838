//! Invitations through the room, their refusal, and requests for voice (XEP-0045 §7.8.2, §7.13, §8.6).

use super::occupants::Role;
use super::said::{Told, user};
use super::{Out, Refused, Room};
use crate::proto::error::{Condition, StanzaError};
use crate::proto::form::{Field, FieldType, Form, FormType};
use crate::proto::jid::Jid;
use crate::proto::ns;
use crate::proto::stanza::{MessageType, Stanza};
use crate::runtime::random;
use crate::state::rooms::Affiliation;
use crate::xml::{El, Element};

/// Invitations of one message.
const MOST: usize = 10;

impl Room {
    /// A message to the room that is not for all.
    pub(super) fn told(
        &mut self,
        full: &Jid,
        stanza: &Stanza,
        out: &mut Out,
    ) -> Result<(), Refused> {
        if let Some(x) = stanza.child("x", ns::MUC_USER) {
            let invites: Vec<El<'_>> = named(x, "invite").collect();
            if !invites.is_empty() {
                return self.invite(full, &invites, out);
            }
            if let Some(decline) = named(x, "decline").next() {
                return self.decline(full, decline, out);
            }
        }
        let form = stanza.child("x", ns::DATA_FORM).map(Form::parse);
        if let Some(Ok(form)) = form {
            match form.form_type() {
                Some(ns::MUC_REQUEST) => return self.voice(full, &form, out),
                Some(ns::MUC_REGISTER) => return self.approve(full, &form, out),
                _ => {}
            }
        }
        self.speaker(full).and(Err(Condition::BadRequest.into()))
    }

    /// §7.8.2, §9.5.
    fn invite(&mut self, full: &Jid, invites: &[El<'_>], out: &mut Out) -> Result<(), Refused> {
        let speaker = self.speaker(full)?;
        let bare = speaker.bare.clone();
        let options = &self.record()?.options;
        let own = self.affiliation(&bare);
        let may = !options.members_only
            || own >= Affiliation::Admin
            || own == Affiliation::Member && options.allow_invites;
        let members_only = options.members_only;
        if !may {
            return Err(Condition::Forbidden.into());
        }
        if invites.len() > MOST {
            return Err(
                StanzaError::from(Condition::PolicyViolation).with_text("Too many invitations")
            );
        }
        let mut guests = Vec::new();
        for invite in invites {
            let guest = invite.attr("to").map(Jid::parse);
            let Some(Ok(guest)) = guest else {
                return Err(Condition::JidMalformed.into());
            };
            if self.affiliation(&guest.bare()) == Affiliation::Outcast {
                return Err(Condition::NotAllowed.into());
            }
            guests.push((guest, self.copied(*invite, "invite", &["continue"])?));
        }
        for (guest, mut invite) in guests {
            if members_only && self.affiliation(&guest.bare()) == Affiliation::None {
                let none = Told::default();
                self.change_affiliation(&guest.bare(), Affiliation::Member, None, &none, out);
            }
            invite.set_attr("from", Some(bare.as_str()));
            out.tell(&guest, self.invitation(invite));
        }
        Ok(())
    }

    /// §7.8.2: to who invited, if he is still there.
    fn decline(&self, full: &Jid, decline: El<'_>, out: &mut Out) -> Result<(), Refused> {
        let to = decline.attr("to").map(Jid::parse);
        let Some(Ok(to)) = to else {
            return Err(Condition::JidMalformed.into());
        };
        let bare = to.bare();
        let host = match bare == self.jid {
            true => to.resource().and_then(|nick| self.occupants.by_nick(nick)),
            false => self.occupants.of_person(&bare).next(),
        };
        let host = host.ok_or_else(|| StanzaError::from(Condition::ItemNotFound))?;
        let mut decline = self.copied(decline, "decline", &[])?;
        decline.set_attr("from", Some(full.bare_str()));
        let message = Stanza::message(MessageType::Normal)
            .with_from(self.jid.clone())
            .with_id(random::id())
            .with_child(user("x").with_child(decline));
        out.tell_all(Room::clients(host), message);
        Ok(())
    }

    /// The reason of an invitation or refusal, and the children that are carried.
    fn copied(&self, el: El<'_>, name: &str, carried: &[&str]) -> Result<Element, Refused> {
        let mut copy = user(name);
        if let Some(reason) = named(el, "reason").next() {
            let text = reason.text();
            if text.len() > self.rules.text {
                return Err(Condition::NotAcceptable.into());
            }
            copy = copy.with_child(user("reason").with_text(&text));
        }
        for name in carried {
            let children = named(el, name).take(1);
            copy = copy.with_children(children.map(|child| {
                let mut child_copy = user(name);
                child_copy.set_attr("thread", child.attr("thread"));
                child_copy
            }));
        }
        Ok(copy)
    }

    /// §7.13 from a visitor, §8.6 from a moderator.
    fn voice(&mut self, full: &Jid, form: &Form, out: &mut Out) -> Result<(), Refused> {
        let speaker = self.speaker(full)?;
        if form.kind != FormType::Submit {
            return Ok(());
        }
        match (speaker.role, form.boolean("muc#request_allow")) {
            (Role::Moderator, Some(true)) => {
                let nick = form.value("muc#roomnick").unwrap_or_default();
                let asking = self.occupants.by_nick(nick);
                let asking = asking.filter(|there| there.role == Role::Visitor);
                let asking = asking.ok_or_else(|| StanzaError::from(Condition::ItemNotFound))?;
                let nick = asking.nick().to_owned();
                self.change_role(&nick, Role::Participant, &Told::default(), out);
            }
            (Role::Moderator, _) => {}
            (Role::Visitor, None) if form.value("muc#role") == Some("participant") => {
                let to = self.sessions(|there| there.role == Role::Moderator);
                let message = Stanza::message(MessageType::Normal)
                    .with_from(self.jid.clone())
                    .with_id(random::id())
                    .with_child(approval(full, speaker.nick()).to_element());
                out.tell_all(to, message);
            }
            _ => return Err(Condition::NotAllowed.into()),
        }
        Ok(())
    }
}

fn named<'a>(el: El<'a>, name: &'a str) -> impl Iterator<Item = El<'a>> + 'a {
    el.children()
        .filter(move |child| child.is(name, ns::MUC_USER))
}

/// What moderators are asked (§8.6).
fn approval(full: &Jid, nick: &str) -> Form {
    let jid = Field::new(FieldType::JidSingle, "muc#jid")
        .with_label("User ID")
        .with_value(full.as_str());
    Form::new(FormType::Form)
        .with_title("Voice request")
        .with_instructions("To let this person speak, say so and send the form back.")
        .with_form_type(ns::MUC_REQUEST)
        .with_field(
            Field::choice("muc#role", "participant", &[("participant", "Participant")])
                .with_label("Requested role"),
        )
        .with_field(jid)
        .with_field(Field::text("muc#roomnick", nick).with_label("Room nickname"))
        .with_field(Field::boolean("muc#request_allow", false).with_label("Let this person speak?"))
}
