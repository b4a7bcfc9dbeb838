//! Hats: what people are in a room beside their roles (XEP-0317 0.3.1).

use sha1::{Digest, Sha1};

use super::{Bound, Out, Refused, Room};
use crate::proto::error::{Condition, StanzaError};
use crate::proto::form::{Field, FieldType, Form, FormType};
use crate::proto::jid::Jid;
use crate::proto::ns;
use crate::runtime::random;
use crate::state::rooms::{Affiliation, Hat};
use crate::xml::{El, Element};

const JID: &str = "hats#jid";
const URI: &str = "hats#uri";
const TITLE: &str = "hats#title";
const HUE: &str = "hats#hue";
const COMMANDS: &str = "urn:xmpp:hats:commands";

/// What is done with hats.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Command {
    Create,
    Destroy,
    List,
    Assign,
    Unassign,
    ListAssigned,
}

use Command::{Assign, Create, Destroy, List, ListAssigned, Unassign};

/// The commands with the ends of their nodes and their names.
const ALL: [(Command, &str, &str); 6] = [
    (Create, "create", "Create or change a hat"),
    (Destroy, "destroy", "Destroy a hat"),
    (List, "list", "List hats"),
    (Assign, "assign", "Give somebody a hat"),
    (Unassign, "unassign", "Take a hat from somebody"),
    (ListAssigned, "list-assigned", "List who has which hat"),
];

fn node(end: &str) -> String {
    format!("{COMMANDS}:{end}")
}

impl Room {
    /// The commands that somebody may use, as items (XEP-0050 §2.2).
    pub(super) fn commands(&self, bare: &Jid) -> Vec<Element> {
        let may = ALL.iter().filter(|(it, ..)| self.may_command(bare, *it));
        let item = |(_, end, name): &(Command, &str, &str)| {
            Element::new("item", ns::DISCO_ITEMS)
                .with_attr("jid", self.jid.as_str())
                .with_attr("node", &node(end))
                .with_attr("name", name)
        };
        may.map(item).collect()
    }

    /// §4: admins give hats; who is there, or on a list, may know which there are.
    fn may_command(&self, bare: &Jid, command: Command) -> bool {
        let own = self.affiliation(bare);
        own >= Affiliation::Admin
            || command == List
                && (own == Affiliation::Member || self.occupants.of_person(bare).next().is_some())
    }

    /// A command, which has one form at the most.
    pub(super) fn command(
        &mut self,
        bare: &Jid,
        asked: El<'_>,
        out: &mut Out,
    ) -> Result<Element, Refused> {
        let named = asked.attr("node").unwrap_or_default();
        let known = ALL.iter().find(|(_, end, _)| node(end) == named);
        let (command, _, title) = *known.ok_or_else(|| refused(Condition::ItemNotFound, ""))?;
        if !self.may_command(bare, command) {
            return Err(Condition::Forbidden.into());
        }
        let session = asked.attr("sessionid").map(str::to_owned);
        let session = session.unwrap_or_else(random::id);
        let answer = |status: &str| {
            Element::new("command", ns::COMMANDS)
                .with_attr("node", named)
                .with_attr("sessionid", &session)
                .with_attr("status", status)
        };
        if asked.attr("action") == Some("cancel") {
            return Ok(answer("canceled"));
        }
        let submitted = match Form::of(asked) {
            Some(form) => Some(form.map_err(|error| StanzaError::from(&error))?),
            None => None,
        };
        match (command, submitted) {
            (List, _) => Ok(answer("completed").with_child(self.hat_list().to_element())),
            (ListAssigned, _) => Ok(answer("completed").with_child(self.worn_list().to_element())),
            (_, Some(form)) if form.kind == FormType::Cancel => Ok(answer("canceled")),
            (_, Some(form)) => {
                self.change_hats(command, &form, out)?;
                Ok(answer("completed"))
            }
            (_, None) => {
                let actions = Element::new("actions", ns::COMMANDS)
                    .with_attr("execute", "complete")
                    .with_child(Element::new("complete", ns::COMMANDS));
                let form = self.hat_form(command).with_title(title).to_element();
                Ok(answer("executing").with_child(actions).with_child(form))
            }
        }
    }

    fn hats(&self) -> &[Hat] {
        self.stored
            .as_ref()
            .map_or(&[], |stored| &stored.record.hats)
    }

    /// The form of a command that changes something.
    fn hat_form(&self, command: Command) -> Form {
        let form = Form::new(FormType::Form).with_form_type(COMMANDS);
        if command == Create {
            return form
                .with_field(
                    Field::new(FieldType::TextSingle, TITLE)
                        .with_label("Title")
                        .required(),
                )
                .with_field(
                    Field::new(FieldType::TextSingle, URI)
                        .with_label("URI")
                        .required(),
                )
                .with_field(Field::new(FieldType::TextSingle, HUE).with_label("Hue"));
        }
        let mut which = Field::new(FieldType::ListSingle, URI)
            .with_label("The hat")
            .required();
        let options = self.hats().iter();
        which.options = options
            .map(|hat| (Some(hat.title.clone()), hat.uri.clone()))
            .collect();
        match command {
            Assign | Unassign => {
                let who = Field::new(FieldType::JidSingle, JID).with_label("Who");
                form.with_field(who.required()).with_field(which)
            }
            _ => form.with_field(which),
        }
    }

    fn change_hats(
        &mut self,
        command: Command,
        submitted: &Form,
        out: &mut Out,
    ) -> Result<(), Refused> {
        let checked = self.hat_form(command).check(submitted);
        let form = checked.map_err(|error| StanzaError::from(&error))?;
        let uri = form.value(URI).unwrap_or_default();
        match command {
            Create => self.create_hat(&form, uri, out),
            Destroy => {
                let wearers = self.wearers(uri);
                if let Some(stored) = &mut self.stored {
                    let record = &mut stored.record;
                    record.hats.retain(|hat| hat.uri != uri);
                    let worn = record.worn.values_mut();
                    worn.for_each(|hats| hats.retain(|hat| hat != uri));
                    record.worn.retain(|_, hats| !hats.is_empty());
                }
                self.hats_changed(&wearers, true, out);
                Ok(())
            }
            Assign => self.wear(&form, uri, true, out),
            _ => self.wear(&form, uri, false, out),
        }
    }

    /// §3.2.
    fn create_hat(&mut self, form: &Form, uri: &str, out: &mut Out) -> Result<(), Refused> {
        let (most, text) = (self.rules.hats, self.rules.text);
        let hue = form.value(HUE).filter(|hue| !hue.is_empty());
        let angle = |hue: &str| {
            hue.parse::<f64>()
                .is_ok_and(|hue| (0.0..=360.0).contains(&hue))
        };
        if hue.is_some_and(|hue| !angle(hue)) {
            return Err(refused(
                Condition::NotAcceptable,
                "A hue is an angle, 0 to 360",
            ));
        }
        let title = form.value(TITLE).unwrap_or_default();
        if uri.len() > text || title.len() > text {
            return Err(refused(Condition::NotAcceptable, "This is too long"));
        }
        let hat = Hat {
            uri: uri.to_owned(),
            title: title.to_owned(),
            hue: hue.map(str::to_owned),
        };
        let Some(stored) = &mut self.stored else {
            return Err(Condition::ItemNotFound.into());
        };
        let hats = &mut stored.record.hats;
        let full = hats.len() >= most;
        match hats.iter_mut().find(|known| known.uri == uri) {
            Some(known) => *known = hat,
            None if full => {
                return Err(self.too_many(Bound::Hats, "The room has too many hats"));
            }
            None => hats.push(hat),
        }
        let wearers = self.wearers(uri);
        self.hats_changed(&wearers, true, out);
        Ok(())
    }

    /// §3.5, §3.6.
    fn wear(&mut self, form: &Form, uri: &str, on: bool, out: &mut Out) -> Result<(), Refused> {
        let who = form.value(JID).and_then(|jid| Jid::parse(jid).ok());
        let who = who
            .ok_or_else(|| refused(Condition::JidMalformed, ""))?
            .bare();
        let most = self.rules.affiliations;
        let Some(stored) = &mut self.stored else {
            return Err(Condition::ItemNotFound.into());
        };
        let worn = &mut stored.record.worn;
        if on && !worn.contains_key(&who) && worn.len() >= most {
            return Err(self.too_many(Bound::Affiliations, "Too many people have hats"));
        }
        let hats = worn.entry(who.clone()).or_default();
        hats.retain(|hat| hat != uri);
        if on {
            hats.push(uri.to_owned());
        } else if hats.is_empty() {
            worn.remove(&who);
        }
        self.hats_changed(&[who], false, out);
        Ok(())
    }

    fn wearers(&self, uri: &str) -> Vec<Jid> {
        let worn = self.stored.iter().flat_map(|stored| &stored.record.worn);
        worn.filter(|(_, hats)| hats.iter().any(|hat| hat == uri))
            .map(|(jid, _)| jid.clone())
            .collect()
    }

    /// It is written down, and all see it.
    fn hats_changed(&self, of: &[Jid], list: bool, out: &mut Out) {
        self.save(out);
        for there in self
            .occupants
            .iter()
            .filter(|there| of.contains(&there.bare))
        {
            self.announce(there.nick(), &super::said::Told::default(), out);
        }
        if list {
            self.tell_codes([super::said::code::CONFIGURED], out);
        }
    }

    /// §3.1: what somebody wears, for its presence.
    pub(super) fn hats_of(&self, bare: &Jid) -> Option<Element> {
        let record = &self.stored.as_ref()?.record;
        let worn = record.worn.get(bare)?;
        let hats = worn
            .iter()
            .filter_map(|uri| record.hats.iter().find(|hat| hat.uri == *uri));
        let hat = |hat: &Hat| {
            let mut el = Element::new("hat", ns::HATS)
                .with_attr("title", &hat.title)
                .with_attr("uri", &hat.uri);
            el.set_attr("hue", hat.hue.as_deref());
            el
        };
        Some(Element::new("hats", ns::HATS).with_children(hats.map(hat)))
    }

    /// §2: changes with the list of hats.
    pub(super) fn hats_hash(&self) -> Option<String> {
        let hats = self.hats();
        let mut hash = Sha1::new();
        for hat in hats {
            for part in [
                &hat.uri,
                &hat.title,
                hat.hue.as_ref().unwrap_or(&String::new()),
            ] {
                hash.update(part.as_bytes());
                hash.update([0]);
            }
        }
        let hash = hash.finalize();
        (!hats.is_empty()).then(|| hash.iter().map(|byte| format!("{byte:02x}")).collect())
    }

    fn hat_list(&self) -> Form {
        let row = |hat: &Hat| about(hat, None);
        listed("Hats", &[TITLE, URI, HUE], self.hats().iter().map(row))
    }

    fn worn_list(&self) -> Form {
        let worn = self.stored.iter().flat_map(|stored| &stored.record.worn);
        let rows = worn.flat_map(|(jid, hats)| {
            let hats = hats.iter();
            let hats = hats.filter_map(|uri| self.hats().iter().find(|hat| hat.uri == *uri));
            hats.map(move |hat| about(hat, Some(jid)))
        });
        listed("Who has which hat", &[JID, URI, TITLE, HUE], rows)
    }
}

fn refused(condition: Condition, text: &str) -> Refused {
    match text {
        "" => condition.into(),
        text => StanzaError::from(condition).with_text(text),
    }
}

fn about(hat: &Hat, jid: Option<&Jid>) -> Vec<Field> {
    let plain = |var: &str, value: &str| Field {
        kind: None,
        ..Field::text(var, value)
    };
    let mut row: Vec<Field> = jid.iter().map(|jid| plain(JID, jid.as_str())).collect();
    row.push(plain(URI, &hat.uri));
    row.push(plain(TITLE, &hat.title));
    row.extend(hat.hue.as_deref().map(|hue| plain(HUE, hue)));
    row
}

fn listed(title: &str, vars: &[&str], rows: impl Iterator<Item = Vec<Field>>) -> Form {
    let mut form = Form::new(FormType::Result).with_title(title);
    form.reported = vars
        .iter()
        .map(|var| Field::new(FieldType::TextSingle, var))
        .collect();
    form.items = rows.collect();
    form
}
