//! Nodes come, change and go (XEP-0060 §8.1 to §8.4).

use super::access::Affiliation;
use super::attachments::{self, Beside};
use super::config::Config;
use super::error::{NodeError, exact, unsupported};
use super::form::inside;
use super::reach::What;
use super::record::{self, Bond, Node, Tie, Used};
use super::{Answer, Audience, NAME, Notice, Work, events, garbage, subscription};
use crate::proto::error::{Condition, StanzaError};
use crate::proto::form::FormType;
use crate::proto::jid::Jid;
use crate::proto::ns;
use crate::store::{Space, counter_bytes};
use crate::xml::{El, Element};

/// Longest address of where a node has gone.
const URI: usize = 3_072;

impl Work<'_> {
    /// §8.1: a node is made, under a name of the server's where none is given.
    pub(super) fn create(&mut self, act: El<'_>, configure: Option<El<'_>>) -> Answer {
        if !self.scene.actor.may_create {
            return Err(Condition::Forbidden.into());
        }
        let given = act.attr("node").filter(|name| !name.is_empty());
        if given.is_some_and(|name| name.len() > NAME) {
            let text = format!("A name has at most {NAME} bytes");
            return Err(StanzaError::from(Condition::NotAcceptable)
                .with_text(text)
                .into());
        }
        let name = given.map_or_else(|| self.scene.fresh.id(), str::to_owned);
        if Beside::of(&name).is_some() {
            // XEP-0470 §4.4: it is made when it is needed.
            return Err(Condition::NotAllowed.into());
        }
        let mut config = self.scene.house.defaults.clone();
        if act.attr("type").is_some_and(|kind| kind != "leaf") {
            return Err(unsupported("collections").into());
        }
        if let Some(configure) = configure.filter(|el| el.name() == "configure") {
            if configure.attr("node").is_some() {
                return Err(Condition::BadRequest.into());
            }
            // An empty one asks for the defaults.
            if let Ok(form) = inside(configure) {
                config = config.for_kind_in(form);
                config.take(form)?;
            }
        }
        let found = record::node(self.scene.view, self.scene.house.owner, &name)?;
        if found.is_some_and(|node| node.moved.is_none()) {
            return Err(Condition::Conflict.into());
        }
        self.make_related(&name, config)?;
        let create = Element::new("create", ns::PUBSUB).with_attr("node", &name);
        Ok(Some(Element::new("pubsub", ns::PUBSUB).with_child(create)))
    }

    /// Makes a node with the relations that its configuration says.
    pub(super) fn make_related(&mut self, name: &str, config: Config) -> Result<Node, NodeError> {
        let mut node = self.make(name, config)?;
        let before = self.scene.house.defaults.clone();
        self.relate(name, &before, &mut node)?;
        record::put_node(&mut self.batch, self.scene.house.owner, name, &node);
        if !node.config.parent.is_empty() {
            self.tell_metadata(name, None, &node)?;
        }
        Ok(node)
    }

    /// Makes a node that belongs to who asks, where there is none or one that has moved.
    fn make(&mut self, name: &str, config: Config) -> Result<Node, NodeError> {
        let house = self.scene.house;
        let creator = self.scene.actor.jid.bare();
        let key = record::node_key(house.owner, name);
        match self.scene.view.get(Space::NODE, &key)? {
            Some(moved) => {
                let old: Node = record::read(&moved)?;
                record::use_more(&mut self.batch, house.owner, Used::Nodes, &old.creator, -1);
                self.batch.require_equals(Space::NODE, &key, moved);
            }
            None => self.batch.require_absent(Space::NODE, &key),
        }
        let made = record::used(self.scene.view, house.owner, Used::Nodes, creator.as_str())?;
        if made >= house.limits.nodes {
            let text = format!("At most {} nodes can be made", house.limits.nodes);
            return Err(exact(Condition::Conflict, "max-nodes-exceeded")
                .with_text(text)
                .into());
        }
        // Others are made by the same entity at the same time.
        let counter = record::used_key(house.owner, Used::Nodes, creator.as_str());
        match made {
            0 if self.scene.view.get(Space::NODE_USAGE, &counter)?.is_none() => {
                self.batch.require_absent(Space::NODE_USAGE, &counter);
            }
            _ => {
                let count = i64::try_from(made).unwrap_or(i64::MAX);
                let count = counter_bytes(count).to_vec();
                self.batch
                    .require_equals(Space::NODE_USAGE, &counter, count);
            }
        }
        record::use_more(
            &mut self.batch,
            house.owner,
            Used::Nodes,
            creator.as_str(),
            1,
        );
        let node = Node {
            number: self.scene.fresh.number(),
            created: self.scene.now,
            creator: creator.to_string(),
            config,
            moved: None,
            beside: None,
        };
        record::put_node(&mut self.batch, house.owner, name, &node);
        self.affiliate(name, &node, &creator, Affiliation::Owner);
        Ok(node)
    }

    /// §8.2.1: an owner asks for the configuration.
    pub(super) fn configuration(&mut self, act: El<'_>) -> Answer {
        let (name, node) = self.owned(act)?;
        Ok(Some(configured(&name, &node)))
    }

    /// §8.2.4: an owner changes the configuration, or leaves it.
    pub(super) fn configure(&mut self, act: El<'_>) -> Answer {
        let (name, mut node) = self.owned(act)?;
        let form = inside(act)?;
        if form.attr("type") == Some("cancel") {
            return Ok(None);
        }
        let before = node.config.clone();
        node.config.take(form)?;
        if node.config == before {
            return Ok(None);
        }
        if node.beside.is_some() && !attachments::may_become(&before, &node.config) {
            let text =
                "Its access and what it keeps are as the node needs it whose items it is about";
            return Err(StanzaError::from(Condition::NotAllowed)
                .with_text(text)
                .into());
        }
        self.relate(&name, &before, &mut node)?;
        record::put_node(&mut self.batch, self.scene.house.owner, &name, &node);
        self.tell_metadata(&name, Some(&before), &node)?;
        self.fit(&name, &node)?;
        if node.config.notify_config {
            let mut event =
                Element::new("configuration", ns::PUBSUB_EVENT).with_attr("node", &name);
            if node.config.deliver_payloads {
                let form = node.config.to_form(FormType::Result);
                event = event.with_child(form.to_element());
            }
            self.tell(&name, &node, event)?;
        }
        // XEP-0496 §5: what became of relations is shown.
        match (&before.link, &before.parent) == (&node.config.link, &node.config.parent) {
            true => Ok(None),
            false => Ok(Some(configured(&name, &node))),
        }
    }

    /// Lets items go that a new configuration has no room for.
    fn fit(&mut self, name: &str, node: &Node) -> Result<(), NodeError> {
        if !node.config.persist_items {
            self.empty(node)?;
            return self.detach_all(name, false);
        }
        let shelf = self.shelf(node);
        let before = shelf.totals(self.scene.view)?;
        let mut totals = before;
        let most = node.config.most_items(&self.scene.house.limits);
        self.cut(node, &mut totals, most)?;
        self.trim(node, &mut totals, most, "")?;
        if totals != before {
            let less = record::difference(totals.bytes, before.bytes);
            record::use_more(&mut self.batch, shelf.owner, Used::Bytes, "", less);
            shelf.put_totals(&mut self.batch, &totals);
            self.detach_before(name, node, &totals)?;
        }
        Ok(())
    }

    /// §8.3: how a new node would be configured.
    pub(super) fn default_configuration(&mut self, act: El<'_>) -> Answer {
        if act.attr("type").is_some_and(|kind| kind != "leaf") {
            return Err(unsupported("collections").into());
        }
        let form = self.scene.house.defaults.to_form(FormType::Form);
        let default = Element::new("default", ns::PUBSUB_OWNER).with_child(form.to_element());
        Ok(Some(
            Element::new("pubsub", ns::PUBSUB_OWNER).with_child(default),
        ))
    }

    /// §8.4: a node is deleted, and may say where to go instead.
    pub(super) fn delete(&mut self, act: El<'_>) -> Answer {
        let (name, node) = self.owned(act)?;
        let redirect = act.child("redirect", ns::PUBSUB_OWNER);
        let uri = redirect.and_then(|el| el.attr("uri"));
        match Beside::of(&name) {
            Some(Beside::Attachments { target, item }) if uri.is_none() => {
                self.delete_attachments(&name, &target, item)?;
                return Ok(None);
            }
            Some(_) => return Err(Condition::NotAllowed.into()),
            None => {}
        }
        if uri.is_some_and(|uri| uri.len() > URI || uri.is_empty()) {
            return Err(Condition::NotAcceptable.into());
        }
        // XEP-0496 §4.3, §4.4: what depends on it goes with it.
        for dependent in self.dependent(&node, &[Bond::Link, Bond::Parent])? {
            let found = record::node(self.scene.view, self.scene.house.owner, &dependent)?;
            if let Some(node) = found.filter(|node| node.moved.is_none()) {
                self.unbind(&dependent, &node)?;
                self.remove(&dependent, node, None)?;
            }
        }
        self.unbind(&name, &node)?;
        self.remove(&name, node, uri)?;
        Ok(None)
    }

    /// Removes a node with all it has.
    fn remove(&mut self, name: &str, mut node: Node, uri: Option<&str>) -> Result<(), NodeError> {
        let house = self.scene.house;
        let shelf = house.shelf(&node);
        let totals = shelf.totals(self.scene.view)?;
        let less = record::difference(0, totals.bytes);
        record::use_more(&mut self.batch, house.owner, Used::Bytes, "", less);
        if node.config.notify_delete {
            self.tell_deleted(name, &node, uri)?;
        }
        match uri {
            Some(uri) => {
                // It counts as a node of its maker until another one has its name.
                node.moved = Some(uri.to_owned());
                record::put_node(&mut self.batch, house.owner, name, &node);
            }
            None => {
                let key = record::node_key(house.owner, name);
                self.batch.delete(Space::NODE, &key);
                record::use_more(&mut self.batch, house.owner, Used::Nodes, &node.creator, -1);
            }
        }
        garbage::mark(&mut self.batch, shelf, garbage::ALL);
        self.garbage = true;
        self.detach_all(name, true)
    }

    /// §8.4.2: subscribers of any state hear of it.
    pub(super) fn tell_deleted(
        &mut self,
        name: &str,
        node: &Node,
        uri: Option<&str>,
    ) -> Result<(), NodeError> {
        let mut event = Element::new("delete", ns::PUBSUB_EVENT).with_attr("node", name);
        if let Some(uri) = uri {
            event =
                event.with_child(Element::new("redirect", ns::PUBSUB_EVENT).with_attr("uri", uri));
        }
        let mut to = events::audience(&self.scene, name, node, What::Deletion)?;
        let all = subscription::all(self.scene.view, self.shelf(node))?;
        let (Audience::These(subscribers) | Audience::Interested { subscribers, .. }) = &mut to;
        for (jid, _) in all {
            if !subscribers.contains(&jid) {
                subscribers.push(jid);
            }
        }
        self.notices.push(Notice {
            message: events::message(self.scene.house, &node.config, event),
            to,
            words: None,
        });
        Ok(())
    }

    /// Writes an affiliation.
    pub(super) fn affiliate(
        &mut self,
        name: &str,
        node: &Node,
        jid: &Jid,
        affiliation: Affiliation,
    ) {
        let shelf = self.shelf(node);
        let key = shelf.named(jid.bare_str());
        let tie = record::tie_key(shelf.owner, jid, Tie::Affiliation, node.number);
        if affiliation == Affiliation::Nobody {
            self.batch.delete(Space::NODE_AFFILIATION, &key);
            self.batch.delete(Space::NODE_TIE, &tie);
        } else {
            let value = record::write(&affiliation);
            self.batch.put(Space::NODE_AFFILIATION, &key, value);
            self.batch.put(Space::NODE_TIE, &tie, name.as_bytes());
        }
    }
}

/// How a node is configured, as its owners see it.
fn configured(name: &str, node: &Node) -> Element {
    let form = node.config.to_form(FormType::Form).to_element();
    let configure = Element::new("configure", ns::PUBSUB_OWNER)
        .with_attr("node", name)
        .with_child(form);
    Element::new("pubsub", ns::PUBSUB_OWNER).with_child(configure)
}
