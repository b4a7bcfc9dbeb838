//! What an account has published and keeps, asked for and changed in its own name: for what the server converts between
//! the forms that clients know. It takes the way of everybody's requests, so that limits, order and notifications are theirs.

use std::collections::hash_map::RandomState;
use std::convert::Infallible;
use std::hash::BuildHasher;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Mutex, MutexGuard};

use crate::hooks::{AskError, Floor, Question, Shared};
use crate::proto::error::Condition;
use crate::proto::form::{Field, Form, FormType};
use crate::proto::jid::Jid;
use crate::proto::ns;
use crate::state::nodes::PUBLISH_OPTIONS;
use crate::xml::{El, Element};

/// How long an answer of one's own account may take.
const PATIENCE: Duration = Duration::from_secs(20);
/// Pages of items that are read of one node.
const PAGES: usize = 100;

/// An account, as it speaks to itself.
#[derive(Clone)]
pub struct OwnNodes {
    floor: Arc<dyn Floor>,
    account: Jid,
}

/// Conversions of one account come one after the other: each reads what it changes.
pub struct Lines {
    locks: [Mutex<()>; 32],
    hasher: RandomState,
}

impl Lines {
    /// Those of a host, for all who convert.
    pub fn of(shared: &Shared, host: &Jid) -> Arc<Lines> {
        let made = shared.of(host, || {
            Ok::<_, Infallible>(Lines {
                locks: Default::default(),
                hasher: RandomState::new(),
            })
        });
        match made {
            Ok(lines) => lines,
            Err(never) => match never {},
        }
    }

    /// Waits for those who came before.
    pub async fn enter(&self, account: &Jid) -> Option<MutexGuard<'_, ()>> {
        let at = self.hasher.hash_one(account.bare_str()) as usize % self.locks.len();
        match self.locks.get(at) {
            Some(lock) => Some(lock.lock().await),
            None => None,
        }
    }
}

/// An item: its id, and what it holds.
pub type Item = (String, Element);

impl OwnNodes {
    /// The nodes of an account.
    pub fn new(floor: &Arc<dyn Floor>, account: &Jid) -> Self {
        OwnNodes {
            floor: floor.clone(),
            account: account.bare(),
        }
    }

    /// Asks the account something; the payload of its answer.
    ///
    /// # Errors
    /// Its error, or that there was no answer.
    pub async fn get(&self, payload: Element) -> Result<Option<Element>, AskError> {
        self.ask(Question::Get(payload)).await
    }

    /// Has the account changed.
    ///
    /// # Errors
    /// Its error, or that there was no answer.
    pub async fn set(&self, payload: Element) -> Result<(), AskError> {
        self.ask(Question::Set(payload)).await.map(drop)
    }

    async fn ask(&self, question: Question) -> Result<Option<Element>, AskError> {
        let (from, to) = (self.account.clone(), self.account.clone());
        self.floor.ask(from, to, question, PATIENCE).await
    }

    /// All items of a node; none when it is not there.
    ///
    /// # Errors
    /// As of [`OwnNodes::get`].
    pub async fn items(&self, node: &str) -> Result<Vec<Item>, AskError> {
        let mut all: Vec<Item> = Vec::new();
        for _ in 0..PAGES {
            let mut set = Element::new("set", ns::RSM);
            if let Some((last, _)) = all.last() {
                set = set.with_child(Element::new("after", ns::RSM).with_text(last));
            }
            let (page, count) = self.read(items_of(node, []).with_child(set)).await?;
            let empty = page.is_empty();
            all.extend(page);
            if empty || count.is_some_and(|count| count <= all.len()) {
                break;
            }
        }
        Ok(all)
    }

    /// One item of a node, by its id.
    ///
    /// # Errors
    /// As of [`OwnNodes::get`].
    pub async fn item(&self, node: &str, id: &str) -> Result<Option<Element>, AskError> {
        let (items, _) = self.read(items_of(node, [id])).await?;
        Ok(items.into_iter().next().map(|(_, payload)| payload))
    }

    /// Items, and how many there are in all.
    async fn read(&self, question: Element) -> Result<(Vec<Item>, Option<usize>), AskError> {
        let answer = match self.get(question).await {
            Err(AskError::Refused(error)) if error.condition == Condition::ItemNotFound => None,
            answer => answer?,
        };
        let Some(answer) = answer else {
            return Ok((Vec::new(), None));
        };
        let count = answer
            .child("set", ns::RSM)
            .and_then(|set| set.child("count", ns::RSM));
        let count = count.and_then(|count| count.text().trim().parse().ok());
        let items = answer.child("items", ns::PUBSUB);
        let item = |item: El<'_>| {
            let payload = item.children().next()?;
            Some((item.attr("id")?.to_owned(), payload.to_element()))
        };
        let items = items.map_or_else(Vec::new, |items| {
            items.children().filter_map(item).collect()
        });
        Ok((items, count))
    }

    /// Publishes an item; `options` say how its node must be configured, and is if it is new.
    ///
    /// # Errors
    /// As of [`OwnNodes::get`].
    pub async fn publish(
        &self,
        node: &str,
        id: &str,
        payload: Element,
        options: &[(&str, &str)],
    ) -> Result<(), AskError> {
        let item = Element::new("item", ns::PUBSUB).with_attr("id", id);
        let publish = Element::new("publish", ns::PUBSUB)
            .with_attr("node", node)
            .with_child(item.with_child(payload));
        let pubsub = Element::new("pubsub", ns::PUBSUB).with_child(publish);
        if options.is_empty() {
            return self.set(pubsub).await;
        }
        let form = Form::new(FormType::Submit).with_form_type(PUBLISH_OPTIONS);
        let form = options.iter().fold(form, |form, (name, value)| {
            form.with_field(Field::text(&format!("pubsub#{name}"), value))
        });
        let options = Element::new("publish-options", ns::PUBSUB).with_child(form.to_element());
        self.set(pubsub.with_child(options)).await
    }

    /// Whether everybody may see a node (XEP-0060 §5.4).
    ///
    /// # Errors
    /// That there was no answer.
    pub async fn is_open(&self, node: &str) -> Result<bool, AskError> {
        let query = Element::new("query", ns::DISCO_INFO).with_attr("node", node);
        match self.get(query).await {
            Ok(answer) => Ok(answer.is_some_and(|answer| is_open(answer.root()))),
            Err(AskError::Refused(_)) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// The account's vCard in the old form (XEP-0054); an empty one if it has none.
    ///
    /// # Errors
    /// As of [`OwnNodes::get`].
    pub async fn vcard(&self) -> Result<Element, AskError> {
        let empty = Element::new("vCard", ns::VCARD);
        Ok(self.get(empty.clone()).await?.unwrap_or(empty))
    }

    /// Takes an item back, and says so to who hears of the node.
    ///
    /// # Errors
    /// As of [`OwnNodes::get`].
    pub async fn retract(&self, node: &str, id: &str) -> Result<(), AskError> {
        let item = Element::new("item", ns::PUBSUB).with_attr("id", id);
        let retract = Element::new("retract", ns::PUBSUB)
            .with_attr("node", node)
            .with_attr("notify", "true")
            .with_child(item);
        let pubsub = Element::new("pubsub", ns::PUBSUB).with_child(retract);
        self.set(pubsub).await
    }
}

fn is_open(query: El<'_>) -> bool {
    let forms = query.children().filter(|child| child.ns() == ns::DATA_FORM);
    let mut forms = forms.filter_map(|x| Form::parse(x).ok());
    forms.any(|form| form.value("pubsub#access_model") == Some("open"))
}

fn items_of<'a>(node: &str, ids: impl IntoIterator<Item = &'a str>) -> Element {
    let ids = ids.into_iter();
    let items = Element::new("items", ns::PUBSUB)
        .with_attr("node", node)
        .with_children(ids.map(|id| Element::new("item", ns::PUBSUB).with_attr("id", id)));
    Element::new("pubsub", ns::PUBSUB).with_child(items)
}

/// How a node is made that nobody else may see, and that keeps everything (XEP-0223).
pub const PRIVATE: &[(&str, &str)] = &[
    ("persist_items", "true"),
    ("max_items", "max"),
    ("send_last_published_item", "never"),
    ("access_model", "whitelist"),
];
