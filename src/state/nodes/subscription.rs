//! Subscriptions as they are stored, and their options (XEP-0060 §4.2, §6.3, §12.19).

use serde::{Deserialize, Serialize};

use super::access::named_jid;
use super::bounces::Bounced;
use super::error::invalid_options;
use super::form::{inside, submitted};
use super::reach::Reach;
use super::record::{self, Shelf};
use crate::choice;
use crate::proto::datetime;
use crate::proto::error::StanzaError;
use crate::proto::form::{Field, FieldType, Form, FormType};
use crate::proto::jid::Jid;
use crate::store::{Direction, Range, Snapshot, Space, StoreError};
use crate::xml::El;

/// The option to hear in words.
const BODY: &str = "pubsub#include_body";

/// FORM_TYPE of the options.
const OPTIONS: &str = "http://jabber.org/protocol/pubsub#subscribe_options";

choice! {
    /// How far a subscription has come.
    pub enum State {
        /// No owner has approved it yet.
        Pending = "pending",
        /// It is told of events.
        Subscribed = "subscribed",
    }
}

/// A subscription.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subscription {
    /// Its state.
    pub state: State,
    /// Whether events are sent.
    #[serde(default = "yes", skip_serializing_if = "is_yes")]
    pub deliver: bool,
    /// When it ends, Unix milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expire: Option<u64>,
    /// Of what besides the node's own items it hears.
    #[serde(default, skip_serializing_if = "Reach::is_plain")]
    pub reach: Reach,
    /// Whether events say in words what they tell (§12.8), where the node knows how.
    #[serde(default, skip_serializing_if = "is_no")]
    pub body: bool,
    /// Whether events came back lately.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bounced: Option<Bounced>,
}

fn yes() -> bool {
    true
}

fn is_yes(value: &bool) -> bool {
    *value
}

fn is_no(value: &bool) -> bool {
    !*value
}

impl Subscription {
    /// With the default options.
    pub fn new(state: State) -> Self {
        Subscription {
            state,
            deliver: true,
            expire: None,
            reach: Reach::default(),
            body: false,
            bounced: None,
        }
    }

    /// Whether its lease is over.
    pub fn is_over(&self, now: u64) -> bool {
        self.expire.is_some_and(|end| end <= now)
    }

    /// Whether it has ended because events came back.
    pub(super) fn is_given_up(&self) -> bool {
        self.bounced.is_some() && self.expire.is_some()
    }

    /// Whether events are sent to it.
    pub fn is_told(&self, now: u64) -> bool {
        self.state == State::Subscribed && self.deliver && !self.is_over(now)
    }

    /// The form of its options; `words`: whether its node can say in words what it tells.
    pub fn to_form(self, kind: FormType, words: bool) -> Form {
        let mut expire = Field::new(FieldType::TextSingle, "pubsub#expire")
            .with_label("When the subscription ends, as a DateTime");
        if let Some(end) = self.expire {
            expire = expire.with_value(&datetime::format(end));
        }
        let deliver = Field::boolean("pubsub#deliver", self.deliver).with_label("Send events");
        let mut form = Form::new(kind)
            .with_form_type(OPTIONS)
            .with_field(deliver)
            .with_field(expire)
            .with_field(self.reach.kinds())
            .with_field(self.reach.levels());
        if words {
            let body = Field::boolean(BODY, self.body).with_label("Say it in words as well");
            form = form.with_field(body);
        }
        form
    }

    /// Takes the options that were submitted inside an element; a lease is no longer than `longest`
    /// from now on (§12.19). What the form did not offer is passed over.
    pub(super) fn take(
        &mut self,
        options: El<'_>,
        now: u64,
        longest: u64,
        words: bool,
    ) -> Result<(), StanzaError> {
        let form = submitted(inside(options)?, OPTIONS)?;
        if let Some(field) = form.field("pubsub#deliver") {
            self.deliver = match field.value() {
                Some("1" | "true") => true,
                Some("0" | "false") => false,
                _ => return Err(invalid_options("pubsub#deliver is a boolean")),
            };
        }
        let wanted = |var| matches!(form.value(var), Some("1" | "true"));
        for (var, can_be_had) in [("pubsub#digest", false), (BODY, words)] {
            if wanted(var) && !can_be_had {
                return Err(invalid_options(format!("{var} cannot be had")));
            }
        }
        if form.field(BODY).is_some() {
            self.body = wanted(BODY);
        }
        match form.value("pubsub#expire") {
            None if form.field("pubsub#expire").is_some() => self.expire = None,
            None => {}
            Some("") => self.expire = None,
            Some(end) => {
                let end = datetime::parse(end)
                    .ok_or_else(|| invalid_options("pubsub#expire is a DateTime"))?;
                self.expire = Some(end.min(now.saturating_add(longest)));
            }
        }
        self.reach.take(&form)?;
        Ok(())
    }
}

/// One subscription, by the address that is subscribed.
pub(super) fn find(
    view: &dyn Snapshot,
    shelf: Shelf,
    jid: &Jid,
) -> Result<Option<Subscription>, StoreError> {
    let value = view.get(Space::NODE_SUBSCRIPTION, &shelf.named(jid.as_str()))?;
    value.map(|value| record::read(&value)).transpose()
}

/// The subscriptions of an entity: its bare address and its resources.
pub(super) fn of(
    view: &dyn Snapshot,
    shelf: Shelf,
    jid: &Jid,
) -> Result<Vec<(Jid, Subscription)>, StoreError> {
    let bare = jid.bare();
    let mut all: Vec<_> = find(view, shelf, &bare)?
        .map(|subscription| (bare.clone(), subscription))
        .into_iter()
        .collect();
    let resources = Range::prefix(shelf.key().bytes(bare.as_str().as_bytes()).u8(b'/'));
    all.extend(read(view, &resources)?);
    Ok(all)
}

/// All subscriptions of a node.
pub(super) fn all(
    view: &dyn Snapshot,
    shelf: Shelf,
) -> Result<Vec<(Jid, Subscription)>, StoreError> {
    read(view, &Range::prefix(shelf.key()))
}

fn read(view: &dyn Snapshot, range: &Range) -> Result<Vec<(Jid, Subscription)>, StoreError> {
    let rows = view.scan(
        Space::NODE_SUBSCRIPTION,
        range,
        Direction::Forward,
        usize::MAX,
    )?;
    let pair = |(key, value): (Vec<u8>, Vec<u8>)| Ok((named_jid(&key)?, record::read(&value)?));
    rows.into_iter().map(pair).collect()
}
