//! XEP-0470: Pubsub Attachments (0.2.0): nodes that the service keeps beside others.
//!
//! What is attached to an item lies in a node of its own, which is made with the first attachment and goes
//! with the item. Of all that is attached to the items of a node there is a summary, with an item for
//! each of them that has such a node. Who may see and publish is looked up at the node they stand beside,
//! so that it cannot differ (§4.3).

mod detach;
mod summary;

use self::summary::{Attached, Summary};
use super::config::{AccessModel, Amount, Config, WhenFull};
use super::error::{NodeError, exact};
use super::items;
use super::publish::{Sent, sent};
use super::record::{self, Node};
use super::{NAME, Work, present};
use crate::hooks::Uid;
use crate::proto::error::{Condition, StanzaError};
use crate::proto::{ns, uri};
use crate::store::{Snapshot, StoreError};
use crate::xml::El;

/// A node beside another one, by its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Beside {
    /// What is attached to an item of the target (§4.1.1).
    Attachments {
        /// The name of the target.
        target: String,
        /// The id of the item.
        item: String,
    },
    /// A summary for every item of the target (§4.6).
    Summary {
        /// The name of the target.
        target: String,
    },
}

impl Beside {
    /// What a name says.
    pub(super) fn of(name: &str) -> Option<Beside> {
        let below = |prefix| name.strip_prefix(prefix)?.strip_prefix('/');
        if let Some(target) = below(ns::ATTACHMENTS_SUMMARY) {
            let target = target.to_owned();
            return Some(Beside::Summary { target });
        }
        let (target, item) = uri::read_item(below(ns::ATTACHMENTS)?)?;
        Some(Beside::Attachments { target, item })
    }

    fn target(&self) -> &str {
        match self {
            Beside::Attachments { target, .. } | Beside::Summary { target } => target,
        }
    }
}

/// The node whose requests come one after the other with those of this one.
pub fn line_of(name: String) -> String {
    match Beside::of(&name) {
        Some(beside) => beside.target().to_owned(),
        None => name,
    }
}

/// Gives a node beside another one the access of that; there is none beside nothing.
pub(super) fn follow(
    view: &dyn Snapshot,
    owner: Uid,
    name: &str,
    mut node: Node,
) -> Result<Option<Node>, StoreError> {
    let Some(beside) = Beside::of(name) else {
        return Ok(Some(node));
    };
    let target = record::stored(view, owner, beside.target())?;
    Ok(target
        .filter(|target| target.moved.is_none())
        .map(|target| {
            node.config.access_model = target.config.access_model;
            node.config.roster_groups_allowed = target.config.roster_groups_allowed;
            node.config.publish_model = target.config.publish_model;
            node.config.link = beside.target().to_owned();
            node.config.parent = target.config.parent;
            node.beside = Some(target.number);
            node
        }))
}

/// Whether a node beside another one may be configured so: what it keeps, and for whom, is the service's.
pub(super) fn may_become(before: &Config, after: &Config) -> bool {
    let kept = |config: &Config| {
        let access: (AccessModel, _) = (config.access_model, config.publish_model);
        let items = (config.persist_items, config.max_items, config.item_expire);
        let room = (config.max_payload_size, config.publish_node_full);
        let bonds = (config.link.clone(), config.parent.clone());
        (
            access,
            config.roster_groups_allowed.clone(),
            items,
            room,
            bonds,
        )
    };
    kept(before) == kept(after)
}

fn summary_of(target: &str) -> String {
    format!("{}/{target}", ns::ATTACHMENTS_SUMMARY)
}

impl Work<'_> {
    /// Something is published to a node beside another one; the id of its item.
    pub(super) fn attach(
        &mut self,
        name: &str,
        beside: &Beside,
        act: El<'_>,
    ) -> Result<String, NodeError> {
        let Beside::Attachments { target, item } = beside else {
            // §4.6: nobody publishes to a summary.
            return Err(Condition::Forbidden.into());
        };
        let found = record::node(self.scene.view, self.scene.house.owner, target)?;
        let beside = present(found)?;
        let node = self.attachable(name, target, &beside, item)?;
        let sent = sent(act, &node.config)?
            .ok_or_else(|| exact(Condition::BadRequest, "item-required"))?;
        let new = self.attachments(&sent)?;
        let own = self.scene.actor.jid.bare();
        let old = self.attached(&node, [own.as_str()])?;
        let id = self.publish_item(name, &node, &sent)?;
        self.sum_up(target, &beside, item, |summary| {
            old.iter().for_each(|old| summary.remove(old));
            summary.add(&new);
        })?;
        Ok(id)
    }

    /// The node of attachments of an item, if who asks may publish to it; made if it is the first (§4.3).
    fn attachable(
        &mut self,
        name: &str,
        target: &str,
        beside: &Node,
        item: &str,
    ) -> Result<Node, NodeError> {
        let (view, house) = (self.scene.view, self.scene.house);
        let node = record::node(view, house.owner, name)?;
        if !self.door(node.as_ref().unwrap_or(beside))?.publish()? {
            return Err(Condition::Forbidden.into());
        }
        if let Some(node) = node {
            return Ok(node);
        }
        let canonical = self.attachments_of(target, item);
        let shelf = house.shelf(beside);
        let there = items::find(view, shelf, &shelf.totals(view)?, item)?;
        let since = beside.config.expired_before(self.scene.now);
        let there = there.filter(|item| item.head.at >= since);
        if name != canonical || name.len() > NAME || there.is_none() || Beside::of(target).is_some()
        {
            let text = "There is no such item, or it has another URI";
            return Err(StanzaError::from(Condition::ItemNotFound)
                .with_text(text)
                .into());
        }
        let most = house.limits.related.attached;
        if let Some(summary) = record::node(view, house.owner, &summary_of(target))?
            && house.shelf(&summary).totals(view)?.items >= most.into()
        {
            let text = format!("At most {most} items of a node have attachments");
            return Err(StanzaError::from(Condition::ResourceConstraint)
                .with_text(text)
                .into());
        }
        Ok(self.make_beside(name, beside, ns::ATTACHMENTS))
    }

    fn attachments_of(&self, target: &str, item: &str) -> String {
        let uri = uri::item(&self.scene.house.address, target, item);
        format!("{}/{uri}", ns::ATTACHMENTS)
    }

    /// Makes a node beside another one. It counts for nobody: there are only so many.
    fn make_beside(&mut self, name: &str, beside: &Node, kind: &str) -> Node {
        let house = self.scene.house;
        let payload = (kind == ns::ATTACHMENTS).then_some(house.limits.related.attachment.0);
        let node = Node {
            number: self.scene.fresh.number(),
            created: self.scene.now,
            creator: beside.creator.clone(),
            config: Config {
                kind: kind.to_owned(),
                access_model: beside.config.access_model,
                roster_groups_allowed: beside.config.roster_groups_allowed.clone(),
                publish_model: beside.config.publish_model,
                max_items: Amount::MAX,
                max_payload_size: Amount(payload),
                publish_node_full: WhenFull::Reject,
                ..house.defaults.clone()
            },
            moved: None,
            beside: Some(beside.number),
        };
        let key = record::node_key(house.owner, name);
        self.batch.require_absent(crate::store::Space::NODE, &key);
        record::put_node(&mut self.batch, house.owner, name, &node);
        node
    }

    /// §4.5: what is attached, under the address of who attaches it.
    fn attachments(&self, sent: &Sent<'_>) -> Result<Attached, StanzaError> {
        let bad = |text: &str| StanzaError::from(Condition::BadRequest).with_text(text);
        if sent.id != Some(self.scene.actor.jid.bare_str()) {
            return Err(bad(
                "The id of the item is the bare address of who publishes it",
            ));
        }
        let payload = sent
            .payload
            .filter(|el| el.is("attachments", ns::ATTACHMENTS));
        let payload = payload.ok_or_else(|| bad("The payload is <attachments/>"))?;
        let attached = Attached::read(payload);
        match attached.fits(&self.scene.house.limits.related) {
            true => Ok(attached),
            false => Err(StanzaError::from(Condition::NotAcceptable)
                .with_text("There are too many reactions, or one is too long")),
        }
    }

    /// Items of a node of attachments are retracted.
    pub(super) fn taken_back(
        &mut self,
        beside: &Beside,
        node: &Node,
        ids: &[&str],
    ) -> Result<(), NodeError> {
        let old = self.attached(node, ids.iter().copied())?;
        self.sum_again(beside, |summary| {
            old.iter().for_each(|old| summary.remove(old));
        })
    }

    /// A node of attachments is emptied.
    pub(super) fn all_taken_back(&mut self, beside: &Beside) -> Result<(), NodeError> {
        self.sum_again(beside, |summary| *summary = Summary::default())
    }

    fn sum_again(
        &mut self,
        beside: &Beside,
        change: impl FnOnce(&mut Summary),
    ) -> Result<(), NodeError> {
        let Beside::Attachments { target, item } = beside else {
            return Ok(());
        };
        let found = record::node(self.scene.view, self.scene.house.owner, target)?;
        self.sum_up(target, &present(found)?, item, change)
    }

    /// What these items of a node of attachments hold.
    fn attached<'i>(
        &self,
        node: &Node,
        ids: impl IntoIterator<Item = &'i str>,
    ) -> Result<Vec<Attached>, NodeError> {
        let (view, shelf) = (self.scene.view, self.shelf(node));
        let totals = shelf.totals(view)?;
        let mut all = Vec::new();
        for id in ids {
            let item = items::find(view, shelf, &totals, id)?;
            let payload = item.and_then(|item| item.payload);
            all.extend(payload.map(|payload| Attached::read(payload.root())));
        }
        Ok(all)
    }

    /// §4.6: the summary of an item changes, and its subscribers hear of it.
    fn sum_up(
        &mut self,
        target: &str,
        beside: &Node,
        item: &str,
        change: impl FnOnce(&mut Summary),
    ) -> Result<(), NodeError> {
        let (view, house) = (self.scene.view, self.scene.house);
        let name = summary_of(target);
        let node = match record::node(view, house.owner, &name)? {
            Some(node) => node,
            None => self.make_beside(&name, beside, ns::ATTACHMENTS_SUMMARY),
        };
        let shelf = house.shelf(&node);
        let old = items::find(view, shelf, &shelf.totals(view)?, item)?;
        let old = old.and_then(|item| item.payload);
        let mut summary = old.map_or_else(Summary::default, |old| Summary::read(old.root()));
        change(&mut summary);
        if !summary.fits(&house.limits.related) {
            return Err(StanzaError::from(Condition::ResourceConstraint)
                .with_text("The item has too many different reactions")
                .into());
        }
        let payload = summary.to_element();
        let sent = Sent {
            id: Some(item),
            payload: Some(payload.root()),
        };
        self.publish_item(&name, &node, &sent)?;
        Ok(())
    }
}
