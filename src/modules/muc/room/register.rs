//! Registration with a room: membership, and a nickname that is kept (XEP-0045 §7.10, §9.9).

use super::said::Told;
use super::{Bound, Out, Refused, Room};
use crate::proto::error::{Condition, StanzaError};
use crate::proto::form::{Field, FieldType, Form, FormType};
use crate::proto::jid::Jid;
use crate::proto::ns;
use crate::proto::stanza::{MessageType, Stanza};
use crate::runtime::random;
use crate::state::rooms::{Affiliation, Request};
use crate::xml::{El, Element};

const NICK: &str = "muc#register_roomnick";
const ALLOW: &str = "muc#register_allow";

/// Who asks; the form of the specification does not tell.
const WHO: &str = "muc#jid";

impl Room {
    /// What somebody is who may register.
    fn may_register(&self, bare: &Jid) -> Result<Affiliation, Refused> {
        let options = &self.record()?.options;
        match self.affiliation(bare) {
            Affiliation::Outcast => Err(Condition::Forbidden.into()),
            Affiliation::None if !options.registration => Err(Condition::NotAllowed.into()),
            own => Ok(own),
        }
    }

    /// Whether members may do what others may not: then nobody makes itself one.
    fn asks_admins(&self) -> bool {
        self.options()
            .is_some_and(|options| options.members_only || options.moderated)
    }

    pub(super) fn registration(&self, bare: &Jid) -> Result<Element, Refused> {
        let own = self.may_register(bare)?;
        let query = Element::new("query", ns::REGISTER);
        if let Some(nick) = self.reserved_nick(bare) {
            return Ok(query
                .with_child(Element::new("registered", ns::REGISTER))
                .with_child(Element::new("username", ns::REGISTER).with_text(nick)));
        }
        let text = match own == Affiliation::None && self.asks_admins() {
            true => {
                "Choose a nickname; then an admin of this room decides whether you become a member."
            }
            false => "Choose the nickname that is kept for you in this room.",
        };
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
        if own == Affiliation::None && self.asks_admins() {
            return self.ask_admins(bare, nick, out);
        }
        self.enlist(bare, own, nick, out)
    }

    /// Somebody becomes a member, if it is less than that, with a nickname.
    fn enlist(
        &mut self,
        bare: &Jid,
        own: Affiliation,
        nick: &str,
        out: &mut Out,
    ) -> Result<(), Refused> {
        let stored = self.stored.as_ref();
        let full = stored.map_or(0, |stored| stored.affiliates.len());
        if own == Affiliation::None && full >= self.rules.affiliations {
            return Err(self.too_many(Bound::Affiliations, "The lists of the room are full"));
        }
        let member = own.max(Affiliation::Member);
        self.change_affiliation(bare, member, Some(nick), &Told::default(), out);
        Ok(())
    }

    /// §9.9: admins and owners are asked; who asks again for the same is not passed on.
    fn ask_admins(&mut self, bare: &Jid, nick: &str, out: &mut Out) -> Result<(), Refused> {
        let most = self.rules.requests;
        let stored = self.stored.as_mut();
        let stored = stored.ok_or_else(|| StanzaError::from(Condition::ItemNotFound))?;
        let requests = &mut stored.record.requests;
        let full = requests.len() >= most;
        match requests.iter_mut().find(|asks| asks.jid == *bare) {
            Some(asks) if asks.nick == nick => return Ok(()),
            Some(asks) => nick.clone_into(&mut asks.nick),
            None if full => {
                let text = "Too many ask to become members; try again later";
                return Err(self.too_many(Bound::Requests, text));
            }
            None => requests.push(Request {
                jid: bare.clone(),
                nick: nick.to_owned(),
            }),
        }
        self.save(out);
        let admins = self.stored.iter().flat_map(|stored| &stored.affiliates);
        let admins = admins.filter(|(_, known)| known.affiliation >= Affiliation::Admin);
        let message = Stanza::message(MessageType::Normal)
            .with_from(self.jid.clone())
            .with_id(random::id())
            .with_child(approval(bare, nick).to_element())
            .with_child(Element::new("store", ns::HINTS));
        out.tell_all(admins.map(|(jid, _)| jid.clone()).collect(), message);
        Ok(())
    }

    /// §9.9: the answer of an admin.
    pub(super) fn approve(
        &mut self,
        full: &Jid,
        form: &Form,
        out: &mut Out,
    ) -> Result<(), Refused> {
        let admin = full.bare();
        if self.affiliation(&admin) < Affiliation::Admin {
            return Err(Condition::Forbidden.into());
        }
        let allowed = match (form.kind, form.boolean(ALLOW)) {
            (FormType::Submit, Some(allowed)) => allowed,
            _ => return Ok(()),
        };
        let who = form.value(WHO).and_then(|jid| Jid::parse(jid).ok());
        let requests = &self.record()?.requests;
        let asked = requests.iter().find(|asks| Some(&asks.jid) == who.as_ref());
        let asked = asked.cloned();
        let Request { jid, nick } =
            asked.ok_or_else(|| StanzaError::from(Condition::ItemNotFound))?;
        if allowed {
            self.check_nick(&nick, &jid)?;
            let before = self.standing(&jid);
            self.enlist(&jid, before.0, &nick, out)?;
            self.tell_absent(&jid, before, &admin, None, out);
        } else {
            self.set_affiliate(&jid, None, out);
        }
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

/// What admins are asked (Example 151).
fn approval(who: &Jid, nick: &str) -> Form {
    let jid = Field::new(FieldType::JidSingle, WHO)
        .with_label("Who asks")
        .with_value(who.as_str());
    let allow = "Allow this person to register with the room?";
    Form::new(FormType::Form)
        .with_title("Registration request")
        .with_instructions("To make this person a member, say so and send the form back.")
        .with_form_type(ns::MUC_REGISTER)
        .with_field(jid)
        .with_field(Field::text(NICK, nick).with_label("Desired nickname"))
        .with_field(Field::boolean(ALLOW, false).with_label(allow))
}
