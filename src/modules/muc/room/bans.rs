//! Bans that end by themselves: an admin makes one by a command of the room (XEP-0050).

use super::said::Told;
use super::{Bound, Now, Out, Refused, Room};
use crate::proto::error::{Condition, StanzaError};
use crate::proto::form::{Field, FieldType, Form, FormType};
use crate::proto::jid::Jid;
use crate::proto::ns;
use crate::runtime::random;
use crate::state::rooms::Affiliation;
use crate::xml::{El, Element};

/// The node of the command, and its name.
const NODE: &str = "waxwing:room#ban";
const NAME: &str = "Ban somebody for some time";

const JID: &str = "jid";
const REASON: &str = "reason";
const HOURS: &str = "hours";

/// Ten years.
const LONGEST: u64 = 87_600;

/// Milliseconds of an hour.
const HOUR: u64 = 3_600_000;

impl Room {
    /// The command, for who may use it.
    pub(super) fn ban_item(&self, bare: &Jid) -> Option<Element> {
        let item = Element::new("item", ns::DISCO_ITEMS)
            .with_attr("jid", self.jid.as_str())
            .with_attr("node", NODE)
            .with_attr("name", NAME);
        (self.affiliation(bare) >= Affiliation::Admin).then_some(item)
    }

    /// Whether this is the command.
    pub(super) fn is_ban(asked: El<'_>) -> bool {
        asked.attr("node") == Some(NODE)
    }

    /// A form, and what is done as it says.
    pub(super) fn ban_command(
        &mut self,
        bare: &Jid,
        asked: El<'_>,
        now: &Now<'_>,
        out: &mut Out,
    ) -> Result<Element, Refused> {
        if self.affiliation(bare) < Affiliation::Admin {
            return Err(Condition::Forbidden.into());
        }
        let session = asked.attr("sessionid").map(str::to_owned);
        let answer = |status: &str| {
            Element::new("command", ns::COMMANDS)
                .with_attr("node", NODE)
                .with_attr("sessionid", &session.clone().unwrap_or_else(random::id))
                .with_attr("status", status)
        };
        let submitted = Form::of(asked).transpose();
        let submitted = submitted.map_err(|error| StanzaError::from(&error))?;
        match submitted {
            _ if asked.attr("action") == Some("cancel") => Ok(answer("canceled")),
            Some(submitted) if submitted.kind == FormType::Cancel => Ok(answer("canceled")),
            Some(submitted) => {
                self.ban(bare, &submitted, now, out)?;
                Ok(answer("completed"))
            }
            None => {
                let actions = Element::new("actions", ns::COMMANDS)
                    .with_attr("execute", "complete")
                    .with_child(Element::new("complete", ns::COMMANDS));
                let form = form().to_element();
                Ok(answer("executing").with_child(actions).with_child(form))
            }
        }
    }

    fn ban(
        &mut self,
        bare: &Jid,
        submitted: &Form,
        now: &Now<'_>,
        out: &mut Out,
    ) -> Result<(), Refused> {
        let checked = form().check(submitted);
        let checked = checked.map_err(|error| StanzaError::from(&error))?;
        let who = checked.value(JID).and_then(|jid| Jid::parse(jid).ok());
        let who = who.ok_or(Condition::JidMalformed)?.bare();
        self.may_set_affiliation(bare, &who, Affiliation::Outcast)?;
        let reason = checked.value(REASON).map(str::trim);
        let reason = reason.filter(|reason| !reason.is_empty());
        if reason.is_some_and(|reason| reason.len() > self.rules.text) {
            return Err(Condition::NotAcceptable.into());
        }
        let known = self.stored.as_ref();
        let known = known.map_or(0, |stored| stored.affiliates.len());
        if self.listed_as(&who) == Affiliation::None && known >= self.rules.affiliations {
            return Err(self.too_many(Bound::Affiliations, "The lists of the room are full"));
        }
        let hours = checked.value(HOURS).and_then(|hours| hours.parse().ok());
        let hours: u64 = hours.ok_or(Condition::NotAcceptable)?;
        let actor = self.occupants.of_person(bare).next();
        let actor = actor.map(|there| there.nick().to_owned());
        let before = self.standing(&who);
        let told = Told {
            actor: actor.as_deref(),
            reason,
            until: Some(now.wall.saturating_add(hours.saturating_mul(HOUR))),
            ..Told::default()
        };
        self.change_affiliation(&who, Affiliation::Outcast, None, &told, out);
        self.tell_absent(&who, before, bare, reason, out);
        Ok(())
    }

    /// Bans whose time is over end, as if somebody had lifted them.
    pub(super) fn end_bans(&mut self, wall: u64, out: &mut Out) {
        if self.first_end.is_none_or(|end| end > wall) {
            return;
        }
        let affiliates = self.stored.iter().flat_map(|stored| &stored.affiliates);
        let over = affiliates.filter(|(_, known)| known.until.is_some_and(|end| end <= wall));
        let over: Vec<Jid> = over.map(|(jid, _)| jid.clone()).collect();
        for jid in over {
            self.change_affiliation(&jid, Affiliation::None, None, &Told::default(), out);
        }
        self.find_first_end();
    }

    /// When the next ban ends.
    pub(super) fn find_first_end(&mut self) {
        let affiliates = self.stored.iter().flat_map(|stored| &stored.affiliates);
        self.first_end = affiliates.filter_map(|(_, known)| known.until).min();
    }
}

fn form() -> Form {
    let mut hours = Field::text(HOURS, "24").with_label("For how many hours");
    hours.whole = Some((1, LONGEST));
    Form::new(FormType::Form)
        .with_title(NAME)
        .with_field(
            Field::new(FieldType::JidSingle, JID)
                .with_label("Whom: an address, or a domain with all its people")
                .required(),
        )
        .with_field(Field::text(REASON, "").with_label("Why"))
        .with_field(hours.required())
}
