//! XEP-0497: Pubsub Extended Subscriptions (0.1.0): subscriptions that hear of what extends a node, of the tree below it,
//! and of what is said of all these.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::config::Config;
use super::disco::META_DATA;
use super::error::invalid_options;
use super::events;
use super::record::{self, Node};
use super::relations::{DEEPEST, LINK, PARENT};
use super::subscription::{self, Subscription};
use super::{Notice, Scene, Work};
use crate::proto::error::StanzaError;
use crate::proto::form::{Field, FieldType, Form, FormType};
use crate::proto::jid::Jid;
use crate::proto::ns;
use crate::store::StoreError;
use crate::xml::Element;

const KINDS: &str = "{urn:xmpp:pubsub-ext-sub:0}type";
const LEVELS: &str = "{urn:xmpp:pubsub-ext-sub:0}depth";
/// §6: how deep a tree may be.
pub(super) const MAX_DEPTH: &str = "{urn:xmpp:pubsub-ext-sub:0}max-depth";

/// Of what a subscription hears (§3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reach {
    items: bool,
    metadata: bool,
    linked: bool,
    /// So many levels of the tree below the node; all, if it is negative.
    depth: i64,
}

impl Default for Reach {
    fn default() -> Self {
        Reach {
            items: true,
            metadata: false,
            linked: false,
            depth: 0,
        }
    }
}

/// What happened at a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum What {
    /// Something of its items or its configuration.
    Items,
    /// Something else is said of it.
    Metadata,
    /// It is gone.
    Deletion,
}

impl Reach {
    /// Whether it is a subscription as they all were (XEP-0060).
    pub(super) fn is_plain(&self) -> bool {
        *self == Reach::default()
    }

    pub(super) fn kinds(self) -> Field {
        let chosen = self.choices().into_iter().filter(|(_, chosen)| *chosen);
        let field = Field::new(FieldType::ListMulti, KINDS)
            .with_label("Hear of")
            .with_values(chosen.map(|(name, _)| name.to_owned()));
        let all = self.choices().into_iter();
        all.fold(field, |field, (name, _)| field.with_option(name))
    }

    pub(super) fn levels(self) -> Field {
        Field::text(LEVELS, &self.depth.to_string()).with_label("Levels of the tree below the node")
    }

    fn choices(self) -> [(&'static str, bool); 3] {
        [
            ("items", self.items),
            ("metadata", self.metadata),
            ("linked items", self.linked),
        ]
    }

    /// Takes what a form says of it.
    pub(super) fn take(&mut self, form: &Form) -> Result<(), StanzaError> {
        if let Some(field) = form.field(KINDS) {
            let named = |name: &str| field.values.iter().any(|value| value == name);
            if field
                .values
                .iter()
                .any(|value| !self.choices().iter().any(|(name, _)| name == value))
            {
                return Err(invalid_options("There is no such type of subscription"));
            }
            self.items = named("items");
            self.metadata = named("metadata");
            self.linked = named("linked items");
        }
        if let Some(levels) = form.value(LEVELS) {
            let levels = levels.trim().parse();
            self.depth = levels.map_err(|_| invalid_options("The depth is a whole number"))?;
        }
        Ok(())
    }

    fn hears(self, what: What) -> bool {
        match what {
            What::Items => self.items,
            What::Metadata => self.metadata,
            What::Deletion => self.items || self.metadata,
        }
    }

    fn is_as_deep(self, steps: usize) -> bool {
        u64::try_from(self.depth).is_ok_and(|depth| steps as u64 <= depth) || self.depth < 0
    }
}

/// Whose subscriptions hear of something, each once, whether or not they may see the node.
pub(super) fn hearers(scene: &Scene<'_>, node: &Node, what: What) -> Result<Vec<Jid>, StoreError> {
    let Scene {
        view, house, now, ..
    } = *scene;
    let named = |name: &str| match name {
        "" => Ok(None),
        name => record::node(view, house.owner, name),
    };
    let of = |node: &Node, wanted: &dyn Fn(&Subscription) -> bool| {
        let all = subscription::all(view, house.shelf(node))?;
        let told = all
            .into_iter()
            .filter(|(_, sub)| sub.is_told(now) && wanted(sub));
        Ok::<_, StoreError>(told.map(|(jid, _)| jid).collect::<Vec<Jid>>())
    };
    let mut hearers = of(node, &|sub| sub.reach.hears(what))?;
    if node.config.link.is_empty() && node.config.parent.is_empty() {
        return Ok(hearers);
    }
    let mut known: BTreeSet<String> = hearers.iter().map(Jid::to_string).collect();
    let mut others = Vec::new();
    if let Some(linked) = named(&node.config.link)?.filter(|_| what == What::Items) {
        others.extend(of(&linked, &|sub| sub.reach.linked)?);
    }
    let extends = !node.config.link.is_empty();
    let mut above = named(&node.config.parent)?;
    for steps in 1..=DEEPEST {
        let Some(node) = above else { break };
        let wanted = |sub: &Subscription| {
            let reach = sub.reach;
            reach.hears(what) && reach.is_as_deep(steps) && (!extends || reach.linked)
        };
        others.extend(of(&node, &wanted)?);
        above = named(&node.config.parent)?;
    }
    hearers.extend(
        others
            .into_iter()
            .filter(|jid| known.insert(jid.to_string())),
    );
    Ok(hearers)
}

impl Work<'_> {
    /// §4.2.2: what is said of a node has changed, or it has come into a tree. Who hears of the tree that it leaves hears
    /// of that too.
    pub(super) fn tell_metadata(
        &mut self,
        name: &str,
        before: Option<&Config>,
        node: &Node,
    ) -> Result<(), StoreError> {
        let changed = changed(before, &node.config);
        if changed.is_empty() || !node.config.deliver_notifications {
            return Ok(());
        }
        let mut form = Form::new(FormType::Result).with_form_type(META_DATA);
        form.fields.extend(changed);
        let event = Element::new("configuration", ns::PUBSUB_EVENT)
            .with_attr("node", name)
            .with_child(form.to_element());
        let message = events::message(self.scene.house, &node.config, event);
        let mut to = events::audience(&self.scene, name, node, What::Metadata)?;
        if let Some(before) = before.filter(|before| before.parent != node.config.parent) {
            let left = Node {
                config: before.clone(),
                ..node.clone()
            };
            let (super::Audience::These(told)
            | super::Audience::Interested {
                subscribers: told, ..
            }) = &mut to;
            let (super::Audience::These(old)
            | super::Audience::Interested {
                subscribers: old, ..
            }) = events::audience(&self.scene, name, &left, What::Metadata)?;
            let more: Vec<Jid> = old.into_iter().filter(|jid| !told.contains(jid)).collect();
            told.extend(more);
        }
        self.notices.push(Notice {
            message,
            to,
            words: None,
        });
        Ok(())
    }
}

/// The fields of what is told of a node that are others now.
fn changed(before: Option<&Config>, after: &Config) -> Vec<Field> {
    let values = |config: &Config| {
        let text = |var: &str, value: &str| (var.to_owned(), value.to_owned());
        [
            text("pubsub#type", &config.kind),
            text("pubsub#title", &config.title),
            text("pubsub#description", &config.description),
            text("pubsub#language", &config.language),
            text("pubsub#access_model", config.access_model.as_str()),
            text("pubsub#publish_model", config.publish_model.as_str()),
            text("pubsub#max_items", &config.max_items.to_string()),
            text(PARENT, &config.parent),
            text(LINK, &config.link),
        ]
    };
    let before = before.map(values);
    let mut changed = Vec::new();
    for (index, (var, value)) in values(after).into_iter().enumerate() {
        let old = before.as_ref().and_then(|old| old.get(index));
        let same = match old {
            Some((_, old)) => *old == value,
            None => value.is_empty(),
        };
        if !same {
            let field = Field::new(FieldType::TextSingle, &var);
            changed.push(match value.is_empty() {
                true => field,
                false => field.with_value(&value),
            });
        }
    }
    changed
}
