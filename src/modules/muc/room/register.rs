//! Registration with a room: membership, and a nickname that is kept (XEP-0045 §7.10).

use super::said::Told;
use super::{Bound, Out, Refused, Room};
use crate::proto::error::{Condition, StanzaError};
use crate::proto::form::{Field, Form, FormType};
use crate::proto::jid::Jid;
use crate::proto::ns;
use crate::state::rooms::Affiliation;
use crate::xml::{El, Element};

const NICK: &str = "muc#register_roomnick";

impl Room {
    /// Whether somebody may make itself a member: not where members may do what others may not.
    fn may_register(&self, bare: &Jid) -> Result<Affiliation, Refused> {
        let options = &self.record()?.options;
        let own = self.affiliation(bare);
        match own {
            Affiliation::Outcast => Err(Condition::Forbidden.into()),
            Affiliation::None
                if !options.registration || options.members_only || options.moderated =>
            {
                Err(Condition::NotAllowed.into())
            }
            own => Ok(own),
        }
    }

    pub(super) fn registration(&self, bare: &Jid) -> Result<Element, Refused> {
        self.may_register(bare)?;
        let query = Element::new("query", ns::REGISTER);
        if let Some(nick) = self.reserved_nick(bare) {
            return Ok(query
                .with_child(Element::new("registered", ns::REGISTER))
                .with_child(Element::new("username", ns::REGISTER).with_text(nick)));
        }
        let text = "Choose the nickname that is kept for you in this room.";
        Ok(query
            .with_child(Element::new("instructions", ns::REGISTER).with_text(text))
            .with_child(form(text).to_element()))
    }

    pub(super) fn register(
        &mut self,
        bare: &Jid,
        query: El<'_>,
        out: &mut Out,
    ) -> Result<(), Refused> {
        let own = self.may_register(bare)?;
        let none = Told::default();
        if query.has_child("remove", ns::REGISTER) {
            let after = match own {
                Affiliation::Member => Affiliation::None,
                own => own,
            };
            self.change_affiliation(bare, after, Some(""), &none, out);
            return Ok(());
        }
        let submitted = Form::of(query).ok_or_else(|| StanzaError::from(Condition::BadRequest))?;
        let submitted = submitted.map_err(|error| StanzaError::from(&error))?;
        let checked = form("")
            .check(&submitted)
            .map_err(|_| StanzaError::from(Condition::BadRequest))?;
        let wanted = checked.value(NICK).unwrap_or_default();
        let nick = self.jid.with_resource(wanted);
        let nick = nick.map_err(|_| StanzaError::from(Condition::NotAcceptable))?;
        let nick = nick.resource().unwrap_or_default();
        self.check_nick(nick, bare)?;
        let full = self
            .stored
            .as_ref()
            .map_or(0, |stored| stored.affiliates.len());
        if own == Affiliation::None && full >= self.rules.affiliations {
            return Err(self.too_many(Bound::Affiliations, "The lists of the room are full"));
        }
        self.change_affiliation(bare, own.max(Affiliation::Member), Some(nick), &none, out);
        Ok(())
    }
}

fn form(instructions: &str) -> Form {
    Form::new(FormType::Form)
        .with_title("Registration")
        .with_instructions(instructions)
        .with_form_type(ns::MUC_REGISTER)
        .with_field(
            Field::text(NICK, "")
                .with_label("Desired nickname")
                .required(),
        )
}
