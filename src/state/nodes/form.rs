//! Forms of a node's configuration: shown, filled in, and as preconditions of publishing (XEP-0060 §8.2, §7.1.5).

use super::Limits;
use super::config::{
    AccessModel, Amount, Config, Delivery, ItemReply, PublishModel, SendLast, WhenFull,
};
use super::error::{exact, invalid_options, unsupported};
use super::relations;
use crate::proto::error::{Condition, StanzaError};
use crate::proto::form::{Field, FieldType, Form, FormType};
use crate::proto::jid::Jid;
use crate::proto::ns;
use crate::xml::El;

/// FORM_TYPE of a node's configuration.
pub const NODE_CONFIG: &str = "http://jabber.org/protocol/pubsub#node_config";
/// FORM_TYPE of preconditions of publishing.
pub const PUBLISH_OPTIONS: &str = "http://jabber.org/protocol/pubsub#publish-options";

/// Longest text of a field, in bytes, and most values of one.
const TEXT: usize = 2_048;
const VALUES: usize = 100;

/// What a field that was sent came to.
#[derive(Debug, PartialEq, Eq)]
enum Taken {
    /// The configuration has it.
    Yes,
    /// It is not a field of a configuration.
    Unknown,
}

impl Config {
    /// The form with the present values: to be filled in, or as a result.
    pub fn to_form(&self, kind: FormType) -> Form {
        let mut form = Form::new(kind).with_form_type(NODE_CONFIG);
        form.fields.extend(texts(self));
        form.fields.extend(switches(self));
        form.fields.extend(amounts(self));
        form.fields.extend(choices(self));
        if kind == FormType::Result {
            form.fields.iter_mut().for_each(|field| {
                field.options = Vec::new();
                field.label = None;
            });
        }
        form
    }

    /// Takes what a submitted form says. Fields it does not know are passed over (XEP-0004 §3.2), and what
    /// was left out stays as it was.
    ///
    /// # Errors
    /// `bad-request` for a form of another kind, `not-acceptable` for a value that cannot be.
    pub fn take(&mut self, x: El<'_>) -> Result<(), StanzaError> {
        let form = submitted(x, NODE_CONFIG)?;
        for field in &form.fields {
            self.set(field)?;
        }
        Ok(())
    }

    /// Takes what it can of a configuration that comes from another server (XEP-0227 §4.10.1).
    pub(super) fn adopt(&mut self, form: &Form) {
        for field in &form.fields {
            // What cannot be here is as it is by default.
            let _ = self.set(field);
        }
    }

    /// What preconditions demand (§7.1.5): this configuration with their fields in it.
    ///
    /// # Errors
    /// `bad-request` for fields that are none of a configuration.
    pub fn demanded(&self, x: El<'_>) -> Result<Config, StanzaError> {
        let form = submitted(x, PUBLISH_OPTIONS)?;
        let mut demanded = self.clone();
        for field in &form.fields {
            if field.var != "FORM_TYPE" && demanded.set(field)? == Taken::Unknown {
                return Err(invalid_options(format!("Unknown field {}", field.var)));
            }
        }
        Ok(demanded)
    }

    /// Whether what preconditions demand is so.
    ///
    /// # Errors
    /// `conflict` with `<precondition-not-met/>`.
    pub fn meets(&self, demanded: &Config, limits: &Limits) -> Result<(), StanzaError> {
        if self.same(demanded, limits) {
            return Ok(());
        }
        let differing = fields(self).into_iter().zip(fields(demanded));
        let names: Vec<_> = differing
            .filter(|(is, wanted)| is.values != wanted.values)
            .map(|(is, _)| is.var)
            .collect();
        Err(exact(Condition::Conflict, "precondition-not-met")
            .with_text(format!("The node has another {}", names.join(", "))))
    }

    fn set(&mut self, field: &Field) -> Result<Taken, StanzaError> {
        if field.values.len() > VALUES || field.values.iter().any(|value| value.len() > TEXT) {
            return Err(unfit(field));
        }
        let Some(name) = field.var.strip_prefix("pubsub#") else {
            let node = || field.value().unwrap_or_default().to_owned();
            match field.var.as_str() {
                relations::LINK => self.link = node(),
                relations::PARENT => self.parent = node(),
                _ => return Ok(Taken::Unknown),
            }
            return Ok(Taken::Yes);
        };
        if self.set_text(name, field)? || self.set_switch(name, field)? {
            return Ok(Taken::Yes);
        }
        match name {
            "max_items" => self.max_items = amount(field, 1)?,
            "item_expire" => self.item_expire = amount(field, 1)?,
            "max_payload_size" => self.max_payload_size = amount(field, 1)?,
            "access_model" => {
                self.access_model = word(field)
                    .map_err(|_| exact(Condition::NotAcceptable, "unsupported-access-model"))?;
            }
            "publish_model" => self.publish_model = word(field)?,
            "publish_node_full" => self.publish_node_full = word(field)?,
            "send_last_published_item" => self.send_last_published_item = word(field)?,
            "notification_type" => self.notification_type = word(field)?,
            "itemreply" => self.itemreply = word(field)?,
            // XEP-0248 is not spoken.
            "node_type" if field.value() != Some("leaf") => return Err(unsupported("collections")),
            "collection" if field.value().is_some_and(|v| !v.is_empty()) => {
                return Err(unsupported("collections"));
            }
            "node_type" | "collection" => {}
            _ => return Ok(Taken::Unknown),
        }
        Ok(Taken::Yes)
    }

    fn set_text(&mut self, name: &str, field: &Field) -> Result<bool, StanzaError> {
        let text = || field.value().unwrap_or_default().to_owned();
        match name {
            "title" => self.title = text(),
            "description" => self.description = text(),
            "language" => self.language = text(),
            "type" => self.kind = text(),
            "contact" => {
                let bare = |value: &String| Jid::parse(value).map(|jid| jid.bare().to_string());
                let all: Result<_, _> = field.values.iter().map(bare).collect();
                self.contact = all.map_err(|_| unfit(field))?;
            }
            "roster_groups_allowed" => {
                self.roster_groups_allowed = field.values.clone();
                self.roster_groups_allowed.sort_unstable();
                self.roster_groups_allowed.dedup();
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn set_switch(&mut self, name: &str, field: &Field) -> Result<bool, StanzaError> {
        let switch = match name {
            "deliver_notifications" => &mut self.deliver_notifications,
            "deliver_payloads" => &mut self.deliver_payloads,
            "notify_config" => &mut self.notify_config,
            "notify_delete" => &mut self.notify_delete,
            "notify_retract" => &mut self.notify_retract,
            "notify_sub" => &mut self.notify_sub,
            "persist_items" => &mut self.persist_items,
            "subscribe" => &mut self.subscribe,
            // They are as they are, but many clients send all they know.
            "presence_based_delivery" => return fixed(field, self.presence_based_delivery),
            "purge_offline" | "tempsub" => return fixed(field, false),
            _ => return Ok(false),
        };
        *switch = boolean(field)?;
        Ok(true)
    }
}

/// Reads a form that was filled in for this FORM_TYPE.
pub(super) fn submitted(x: El<'_>, form_type: &str) -> Result<Form, StanzaError> {
    let form = Form::parse(x).map_err(|error| StanzaError::from(&error))?;
    match form.form_type() {
        _ if form.kind != FormType::Submit => Err(invalid_options("The form is not submitted")),
        Some(theirs) if theirs == form_type => Ok(form),
        // Some clients leave it out where the place of the form says it.
        None if form_type == NODE_CONFIG => Ok(form),
        _ => Err(invalid_options(format!("FORM_TYPE is not {form_type}"))),
    }
}

/// The form inside an element.
pub(super) fn inside(el: El<'_>) -> Result<El<'_>, StanzaError> {
    el.child("x", ns::DATA_FORM)
        .ok_or_else(|| invalid_options("There is no form"))
}

fn unfit(field: &Field) -> StanzaError {
    let text = format!("The field {} cannot have this value", field.var);
    StanzaError::from(Condition::NotAcceptable).with_text(text)
}

fn boolean(field: &Field) -> Result<bool, StanzaError> {
    match field.value() {
        Some("1" | "true") => Ok(true),
        Some("0" | "false") => Ok(false),
        _ => Err(unfit(field)),
    }
}

fn fixed(field: &Field, value: bool) -> Result<bool, StanzaError> {
    if boolean(field)? == value {
        return Ok(true);
    }
    Err(unfit(field))
}

fn amount(field: &Field, least: u64) -> Result<Amount, StanzaError> {
    match field.value().map(str::trim) {
        Some("max") => Ok(Amount::MAX),
        Some(number) => match number.parse() {
            Ok(number) if number >= least => Ok(Amount(Some(number))),
            _ => Err(unfit(field)),
        },
        None => Err(unfit(field)),
    }
}

fn word<T: serde::de::DeserializeOwned>(field: &Field) -> Result<T, StanzaError> {
    use serde::de::IntoDeserializer;
    use serde::de::value::{Error, StrDeserializer};
    let word: StrDeserializer<'_, Error> = field.value().unwrap_or_default().into_deserializer();
    T::deserialize(word).map_err(|_| unfit(field))
}

/// All fields, in one order.
fn fields(config: &Config) -> Vec<Field> {
    config.to_form(FormType::Result).fields
}

fn texts(config: &Config) -> Vec<Field> {
    let text = |var: &str, value: &str, label: &str| {
        let field = Field::new(FieldType::TextSingle, var).with_label(label);
        match value.is_empty() {
            true => field,
            false => field.with_value(value),
        }
    };
    vec![
        text("pubsub#title", &config.title, "A short name"),
        text(
            "pubsub#description",
            &config.description,
            "What it is about",
        ),
        text(
            "pubsub#language",
            &config.language,
            "The language of its items",
        ),
        text("pubsub#type", &config.kind, "What its payloads mean"),
        Field::new(FieldType::JidMulti, "pubsub#contact")
            .with_label("Whom to ask")
            .with_values(config.contact.iter()),
        text(relations::LINK, &config.link, "The node that it extends"),
        text(relations::PARENT, &config.parent, "The node above it"),
    ]
}

fn switches(config: &Config) -> Vec<Field> {
    [
        (
            "pubsub#deliver_notifications",
            config.deliver_notifications,
            "Tell of events",
        ),
        (
            "pubsub#deliver_payloads",
            config.deliver_payloads,
            "Tell payloads with events",
        ),
        (
            "pubsub#notify_config",
            config.notify_config,
            "Tell of changes of this configuration",
        ),
        (
            "pubsub#notify_delete",
            config.notify_delete,
            "Tell that the node is deleted",
        ),
        (
            "pubsub#notify_retract",
            config.notify_retract,
            "Tell of items that are removed",
        ),
        (
            "pubsub#notify_sub",
            config.notify_sub,
            "Tell owners of new and lost subscribers",
        ),
        ("pubsub#persist_items", config.persist_items, "Keep items"),
        ("pubsub#subscribe", config.subscribe, "Allow subscriptions"),
    ]
    .into_iter()
    .map(|(var, value, label)| Field::boolean(var, value).with_label(label))
    .collect()
}

fn amounts(config: &Config) -> Vec<Field> {
    [
        (
            "pubsub#max_items",
            config.max_items,
            "Items to keep, or \"max\"",
        ),
        (
            "pubsub#item_expire",
            config.item_expire,
            "Seconds to keep them, or \"max\"",
        ),
        (
            "pubsub#max_payload_size",
            config.max_payload_size,
            "Bytes of a payload, or \"max\"",
        ),
    ]
    .into_iter()
    .map(|(var, value, label)| Field::text(var, &value.to_string()).with_label(label))
    .collect()
}

fn choices(config: &Config) -> Vec<Field> {
    let choice = |var: &str, value: &str, words: &[&str], label: &str| {
        let field = Field::new(FieldType::ListSingle, var)
            .with_label(label)
            .with_value(value);
        words
            .iter()
            .fold(field, |field, word| field.with_option(word))
    };
    let groups = &config.roster_groups_allowed;
    vec![
        choice(
            "pubsub#access_model",
            config.access_model.as_str(),
            AccessModel::WORDS,
            "Who may subscribe and retrieve items",
        ),
        Field::new(FieldType::ListMulti, "pubsub#roster_groups_allowed")
            .with_label("Groups of the roster that may, if it goes by groups")
            .with_values(groups.iter()),
        choice(
            "pubsub#publish_model",
            config.publish_model.as_str(),
            PublishModel::WORDS,
            "Who may publish",
        ),
        choice(
            "pubsub#publish_node_full",
            config.publish_node_full.as_str(),
            WhenFull::WORDS,
            "What happens when an item comes and the node is full",
        ),
        choice(
            "pubsub#send_last_published_item",
            config.send_last_published_item.as_str(),
            SendLast::WORDS,
            "When the last item is sent without being asked for",
        ),
        choice(
            "pubsub#notification_type",
            config.notification_type.as_str(),
            Delivery::WORDS,
            "The type of messages that tell of events",
        ),
        choice(
            "pubsub#itemreply",
            config.itemreply.as_str(),
            ItemReply::WORDS,
            "Whose address items tell",
        ),
    ]
}
