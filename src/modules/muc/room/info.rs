//! What a room tells about itself (XEP-0045 §6.4, §6.5, §7.12).

use super::{Refused, Room};
use crate::proto::disco::{Identity, Info};
use crate::proto::error::Condition;
use crate::proto::form::{Field, FieldType, Form, FormType};
use crate::proto::jid::Jid;
use crate::proto::ns;
use crate::state::rooms::Affiliation;
use crate::xml::{El, Element};

impl Room {
    pub(super) fn info(&self, bare: &Jid, query: El<'_>) -> Result<Element, Refused> {
        let affiliation = self.affiliation(bare);
        if self.locked && affiliation != Affiliation::Owner {
            return Err(Condition::ItemNotFound.into());
        }
        let record = self.record()?;
        let mut info = Info::default();
        let name = match record.options.name.as_str() {
            "" => self.jid.node().unwrap_or_default(),
            name => name,
        };
        let identity = Identity::new("conference", "text");
        match query.attr("node").filter(|node| !node.is_empty()) {
            None => {}
            Some("x-roomuser-item") => {
                let nick = self.reserved_nick(bare);
                let reserved = nick.map(|nick| identity.with_name(nick));
                info.identities.extend(reserved);
                return Ok(info.to_element(Some("x-roomuser-item")));
            }
            // §18.1.1: everything passes.
            Some("http://jabber.org/protocol/muc#traffic") => {
                return Err(Condition::ServiceUnavailable.into());
            }
            Some(_) => return Err(Condition::ItemNotFound.into()),
        }
        info.identities.push(identity.with_name(name));
        info.features = self.features();
        info.forms.push(self.about());
        Ok(info.to_element(None))
    }

    /// The nickname that is kept for somebody (§7.12).
    pub(super) fn reserved_nick(&self, bare: &Jid) -> Option<&str> {
        let affiliate = self.stored.as_ref()?.affiliates.get(bare)?;
        affiliate.nick.as_deref()
    }

    /// §16.3.
    fn features(&self) -> Vec<String> {
        let mut features: Vec<&str> = vec![
            ns::DISCO_INFO,
            ns::DISCO_ITEMS,
            ns::MUC,
            ns::MUC_STABLE_ID,
            ns::MUC_SELF_PING,
            ns::MUC_ROOM_CONFIG,
            ns::MUC_ROOM_INFO,
            ns::MUC_REGISTER,
            ns::MUC_REQUEST,
            ns::REGISTER,
            ns::OCCUPANT_ID,
            ns::STANZA_ID,
            ns::PING,
        ];
        if let Some(options) = self.options() {
            let either = |yes: bool, a: &'static str, b: &'static str| if yes { a } else { b };
            if options.archive {
                features.extend([
                    ns::MAM,
                    ns::MAM_EXTENDED,
                    ns::RETRACT,
                    ns::RETRACT_TOMBSTONE,
                ]);
                features.extend([ns::MODERATE, ns::MODERATE_OLD]);
            }
            features.extend([
                either(options.public, "muc_public", "muc_hidden"),
                either(options.persistent, "muc_persistent", "muc_temporary"),
                either(options.members_only, "muc_membersonly", "muc_open"),
                either(options.moderated, "muc_moderated", "muc_unmoderated"),
                either(
                    options.non_anonymous,
                    "muc_nonanonymous",
                    "muc_semianonymous",
                ),
                either(
                    options.password.is_some(),
                    "muc_passwordprotected",
                    "muc_unsecured",
                ),
            ]);
        }
        features.into_iter().map(str::to_owned).collect()
    }

    /// §16.5.4.
    fn about(&self) -> Form {
        let mut form = Form::new(FormType::Result).with_form_type(ns::MUC_ROOM_INFO);
        let Some(stored) = &self.stored else {
            return form;
        };
        let options = &stored.record.options;
        let contacts = stored.affiliates.iter();
        let contacts = contacts
            .filter(|(_, known)| known.affiliation == Affiliation::Owner && options.non_anonymous);
        let texts = [
            (
                "muc#roominfo_description",
                "Description",
                options.description.as_str(),
            ),
            ("muc#roominfo_lang", "Language", options.lang.as_str()),
            (
                "muc#roomconfig_pubsub",
                "Associated node",
                options.pubsub.as_str(),
            ),
        ];
        for (var, label, value) in texts {
            if !value.is_empty() {
                form = form.with_field(Field::text(var, value).with_label(label));
            }
        }
        let contacts: Vec<&str> = contacts.map(|(jid, _)| jid.as_str()).collect();
        if !contacts.is_empty() {
            let field = Field::new(FieldType::JidMulti, "muc#roominfo_contactjid");
            form = form.with_field(field.with_values(contacts).with_label("Owners"));
        }
        if options.slow_mode > 0 {
            let seconds = options.slow_mode.to_string();
            let field = Field::text("muc#roominfo_slow_mode_duration", &seconds);
            form = form.with_field(field.with_label("Seconds between two messages"));
        }
        let occupants = self.occupants.len().to_string();
        let most = self.rules.history.min(options.history as usize).to_string();
        form.with_field(Field::text("muc#roominfo_occupants", &occupants).with_label("Occupants"))
            .with_field(
                Field::boolean("muc#roominfo_changesubject", options.change_subject)
                    .with_label("Occupants may change the subject"),
            )
            .with_field(Field::text("muc#maxhistoryfetch", &most).with_label("Messages of history"))
    }

    /// §6.5: nicknames are shown to who is there.
    pub(super) fn items(&self, bare: &Jid, query: El<'_>) -> Result<Element, Refused> {
        if query.attr("node").is_some_and(|node| !node.is_empty()) {
            return Err(Condition::ItemNotFound.into());
        }
        let list = Element::new("query", ns::DISCO_ITEMS);
        if self.occupants.of_person(bare).next().is_none() {
            return Ok(list);
        }
        let items = self.occupants.iter().map(|occupant| {
            Element::new("item", ns::DISCO_ITEMS).with_attr("jid", occupant.address.as_str())
        });
        Ok(list.with_children(items))
    }
}
