//! What a room tells about itself (XEP-0045 §6.4, §6.5, §7.12).

use super::{Refused, Room};
use crate::proto::disco::{Identity, Info};
use crate::proto::error::Condition;
use crate::proto::form::{Field, FieldType, Form, FormType};
use crate::proto::jid::Jid;
use crate::proto::ns;
use crate::state::rooms::Affiliation;
use crate::xml::{El, Element};

/// XEP-0502 §3.1.
const ACTIVITY: &str = "{urn:xmpp:muc-activity}message-activity";

impl Room {
    pub(super) fn info(&self, bare: &Jid, query: El<'_>, wall: u64) -> Result<Element, Refused> {
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
        info.forms.push(self.about(wall));
        info.forms.extend(self.space());
        Ok(info.to_element(None))
    }

    /// The space that it is part of (XEP-0503 §5.5).
    fn space(&self) -> Option<Form> {
        let space = self.options().map(|options| options.space.as_str());
        let space = space.filter(|space| !space.is_empty())?;
        let form = Form::new(FormType::Result).with_form_type(ns::SPACES);
        Some(form.with_field(Field::text("parent", space).with_label("Space")))
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
            ns::VCARD,
            ns::COMMANDS,
            ns::HATS,
            ns::MUC_TOKEN_INVITE,
            ns::MUC_AFFILIATIONS,
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
            features.extend((!options.space.is_empty()).then_some(ns::SPACES));
            features.extend(options.ordered.then_some(ns::MLS));
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
    fn about(&self, wall: u64) -> Form {
        let mut form = Form::new(FormType::Result).with_form_type(ns::MUC_ROOM_INFO);
        let Some(stored) = &self.stored else {
            return form;
        };
        let options = &stored.record.options;
        let contacts = stored.affiliates.iter();
        let contacts = contacts
            .filter(|(_, known)| known.affiliation == Affiliation::Owner && options.non_anonymous);
        // XEP-0503 §5.5: by this older clients find the space.
        let node = match options.pubsub.as_str() {
            "" => options.space.as_str(),
            node => node,
        };
        let texts = [
            (
                "muc#roominfo_description",
                "Description",
                options.description.as_str(),
            ),
            ("muc#roominfo_lang", "Language", options.lang.as_str()),
            ("muc#roomconfig_pubsub", "Associated node", node),
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
        if !stored.record.pictures.is_empty() {
            let hashes = stored.record.pictures.iter().map(String::as_str);
            let field = Field::new(FieldType::TextMulti, "muc#roominfo_avatarhash");
            form = form.with_field(field.with_values(hashes).with_label("Avatar hash"));
        }
        if let Some(hash) = self.hats_hash() {
            form = form.with_field(Field::text("hats#hash", &hash).with_label("Hats hash"));
        }
        if let Some(per_hour) = self.activity(wall) {
            let field = Field::text(ACTIVITY, &format!("{per_hour:.2}"));
            form = form.with_field(field.with_label("Messages per hour"));
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
        let list = Element::new("query", ns::DISCO_ITEMS);
        match query.attr("node").filter(|node| !node.is_empty()) {
            None => {}
            Some(ns::COMMANDS) => {
                let list = list.with_attr("node", ns::COMMANDS);
                let commands = self.commands(bare).into_iter();
                return Ok(list.with_children(commands.chain(self.ban_item(bare))));
            }
            Some(_) => return Err(Condition::ItemNotFound.into()),
        }
        if self.occupants.of_person(bare).next().is_none() {
            return Ok(list);
        }
        let items = self.occupants.iter().map(|occupant| {
            Element::new("item", ns::DISCO_ITEMS).with_attr("jid", occupant.address.as_str())
        });
        Ok(list.with_children(items))
    }
}
