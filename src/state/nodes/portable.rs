//! The nodes of an account on their way to another server and from one (XEP-0227 §4.10).

use std::collections::{HashMap, HashSet};

use super::access::{Affiliation, affiliations, named_affiliation};
use super::attachments::Beside;
use super::config::Config;
use super::items::{self, Head, Span};
use super::record::{self, Bond, Node, Shelf, Tie, Totals, Used};
use super::subscription::{self, State, Subscription};
use crate::hooks::Uid;
use crate::proto::form::{Form, FormType};
use crate::proto::jid::Jid;
use crate::proto::ns;
use crate::state::stored_xml;
use crate::store::{Batch, Direction, Snapshot, Space, Store, StoreError};
use crate::xml::{El, Element};

/// Nodes of one account, and entries of a list of one of them.
const NODES: usize = 10_000;
const ENTRIES: usize = 20_000;

/// What of a node leaves: its name, and the elements that say how it is set up.
pub struct Leaving {
    /// Its name.
    pub name: String,
    /// `<configure/>`, and `<affiliations/>` and `<subscriptions/>` where there are any.
    pub settings: Vec<Element>,
    shelf: Shelf,
    totals: Totals,
}

/// The next node of an account after this one, by name.
///
/// # Errors
/// The store's.
pub fn leaving(
    view: &dyn Snapshot,
    owner: Uid,
    jid: &Jid,
    after: Option<&str>,
) -> Result<Option<Leaving>, StoreError> {
    let mut after = after.map(str::to_owned);
    loop {
        let found = record::nodes(view, owner, after.as_deref(), 1)?;
        let Some((name, node)) = found.into_iter().next() else {
            return Ok(None);
        };
        if node.moved.is_none() {
            let shelf = Shelf {
                owner,
                node: node.number,
            };
            return Ok(Some(Leaving {
                settings: settings(view, shelf, jid, &name, &node)?,
                totals: shelf.totals(view)?,
                name,
                shelf,
            }));
        }
        after = Some(name);
    }
}

fn settings(
    view: &dyn Snapshot,
    shelf: Shelf,
    own: &Jid,
    name: &str,
    node: &Node,
) -> Result<Vec<Element>, StoreError> {
    let named = |local: &str| Element::new(local, ns::PUBSUB_OWNER).with_attr("node", name);
    let form = node.config.to_form(FormType::Result).to_element();
    let mut all = vec![named("configure").with_child(form)];
    let mut entries = affiliations(view, shelf)?;
    // Whose account it is, owns its nodes.
    entries.retain(|(jid, _)| jid != own);
    if !entries.is_empty() {
        all.push(
            named("affiliations").with_children(entries.iter().map(|(jid, what)| {
                Element::new("affiliation", ns::PUBSUB_OWNER)
                    .with_attr("jid", jid.as_str())
                    .with_attr("affiliation", what.as_str())
            })),
        );
    }
    let mut entries = subscription::all(view, shelf)?;
    entries.retain(|(_, sub)| !sub.is_given_up());
    if !entries.is_empty() {
        all.push(
            named("subscriptions").with_children(entries.iter().map(|(jid, sub)| {
                Element::new("subscription", ns::PUBSUB_OWNER)
                    .with_attr("jid", jid.as_str())
                    .with_attr("subscription", sub.state.as_str())
            })),
        );
    }
    Ok(all)
}

impl Leaving {
    /// The next items, oldest first, each with its place; none when there are no more.
    ///
    /// # Errors
    /// The store's.
    pub fn items(
        &self,
        view: &dyn Snapshot,
        after: Option<u64>,
    ) -> Result<Vec<(u64, Element)>, StoreError> {
        let span = Span {
            after,
            from: Direction::Forward,
            ..Span::oldest(usize::MAX)
        };
        let items = items::read(view, self.shelf, &self.totals, span, 0)?;
        let element = |item: &items::Item| {
            let mut element = Element::new("item", ns::PUBSUB)
                .with_attr("id", &item.head.id)
                .with_attr("publisher", &item.head.publisher);
            if let Some(payload) = &item.payload {
                element.push_child(payload.root());
            }
            element
        };
        Ok(items
            .iter()
            .map(|item| (item.place, element(item)))
            .collect())
    }
}

/// The nodes of an account that comes in.
pub struct Arriving {
    store: Store,
    owner: Uid,
    jid: Jid,
    now: u64,
    nodes: HashMap<String, (Node, Totals)>,
    /// The ids of the items of the node that comes now.
    current: (String, HashSet<String>),
}

impl Arriving {
    /// None has come yet.
    pub fn new(store: &Store, owner: Uid, jid: &Jid, now: u64) -> Self {
        Arriving {
            store: store.clone(),
            owner,
            jid: jid.bare(),
            now,
            nodes: HashMap::new(),
            current: Default::default(),
        }
    }

    /// Takes how a node is set up; `None` if it cannot be read.
    pub fn setting(&mut self, batch: &mut Batch, setting: El<'_>) -> Option<()> {
        let name = setting.attr("node")?;
        let (node, mut totals) = self.node(batch, name)?;
        let shelf = self.shelf(&node);
        match setting.name() {
            "configure" => {
                let mut node = node;
                let form = Form::parse(setting.child("x", ns::DATA_FORM)?).ok()?;
                node.config.adopt(&form);
                self.bind(batch, name, &node.config)?;
                record::put_node(batch, self.owner, name, &node);
                self.nodes.insert(name.to_owned(), (node, totals));
                return Some(());
            }
            "affiliations" => {
                for entry in setting.children().take(ENTRIES) {
                    let jid = Jid::parse(entry.attr("jid")?).ok()?.bare();
                    let what = named_affiliation(entry.attr("affiliation")?)?;
                    // The account owns its nodes, under whatever name it had before.
                    if jid != self.jid && !matches!(what, Affiliation::Nobody) {
                        let key = shelf.named(jid.as_str());
                        let tie = record::tie_key(self.owner, &jid, Tie::Affiliation, node.number);
                        batch.put(Space::NODE_AFFILIATION, &key, record::write(&what));
                        batch.put(Space::NODE_TIE, &tie, name.as_bytes());
                    }
                }
            }
            "subscriptions" => {
                for entry in setting.children().take(ENTRIES) {
                    let jid = Jid::parse(entry.attr("jid")?).ok()?;
                    let state = match entry.attr("subscription")? {
                        "pending" => State::Pending,
                        "subscribed" | "unconfigured" => State::Subscribed,
                        _ => continue,
                    };
                    let sub = record::write(&Subscription::new(state));
                    let tie = record::tie_key(self.owner, &jid, Tie::Subscription, node.number);
                    batch.put(Space::NODE_SUBSCRIPTION, &shelf.named(jid.as_str()), sub);
                    batch.put(Space::NODE_TIE, &tie, name.as_bytes());
                    totals.subscriptions += 1;
                }
            }
            _ => return None,
        }
        self.keep(batch, name, node, totals);
        Some(())
    }

    /// Takes an item; `None` if it cannot be read, or if there was one of its id.
    pub fn item(&mut self, batch: &mut Batch, name: &str, item: El<'_>) -> Option<()> {
        let id = item.attr("id").filter(|id| !id.is_empty())?;
        let (node, mut totals) = self.node(batch, name)?;
        if self.current.0 != name {
            self.current = (name.to_owned(), HashSet::new());
        }
        if !self.current.1.insert(id.to_owned()) {
            return None;
        }
        let publisher = item.attr("publisher").and_then(|jid| Jid::parse(jid).ok());
        let head = Head {
            id: id.to_owned(),
            publisher: publisher.map_or_else(|| self.jid.to_string(), |jid| jid.bare().to_string()),
            at: self.now,
        };
        let payload = item.children().next().map(stored_xml::write);
        let shelf = self.shelf(&node);
        let payload = payload.unwrap_or_default();
        let bytes = items::put(batch, shelf, (totals.next, None), &head, &payload);
        totals.next = totals.next.saturating_add(1);
        totals.items = totals.items.saturating_add(1);
        totals.bytes = totals.bytes.saturating_add(bytes);
        let more = record::difference(bytes, 0);
        record::use_more(batch, self.owner, Used::Bytes, "", more);
        self.keep(batch, name, node, totals);
        Some(())
    }

    /// Writes down on which nodes one depends (XEP-0496), which may come later.
    fn bind(&mut self, batch: &mut Batch, name: &str, config: &Config) -> Option<()> {
        if Beside::of(name).is_some() {
            return Some(());
        }
        for (bond, on) in [(Bond::Link, &config.link), (Bond::Parent, &config.parent)] {
            if !on.is_empty() {
                let (node, _) = self.node(batch, on)?;
                let key = record::bond_key(self.shelf(&node), bond, name);
                batch.put(Space::NODE_BELOW, &key, Vec::new());
            }
        }
        Some(())
    }

    fn shelf(&self, node: &Node) -> Shelf {
        Shelf {
            owner: self.owner,
            node: node.number,
        }
    }

    /// The node of a name, made if it is new.
    fn node(&mut self, batch: &mut Batch, name: &str) -> Option<(Node, Totals)> {
        if let Some(known) = self.nodes.get(name) {
            return Some(known.clone());
        }
        if self.nodes.len() >= NODES || name.is_empty() || name.len() > super::NAME {
            return None;
        }
        let node = Node {
            number: self.store.allocate("node"),
            created: self.now,
            creator: self.jid.to_string(),
            config: Config::personal(),
            moved: None,
            beside: None,
        };
        record::put_node(batch, self.owner, name, &node);
        if Beside::of(name).is_none() {
            record::use_more(batch, self.owner, Used::Nodes, self.jid.as_str(), 1);
        }
        let made = (node, Totals::default());
        self.nodes.insert(name.to_owned(), made.clone());
        Some(made)
    }

    fn keep(&mut self, batch: &mut Batch, name: &str, node: Node, totals: Totals) {
        self.shelf(&node).put_totals(batch, &totals);
        self.nodes.insert(name.to_owned(), (node, totals));
    }
}
