//! XEP-0496: Pubsub Node Relationships (0.1.0): nodes that extend others, and trees of them.
//!
//! Who may see a node and publish to it may do so at all nodes above it ([`Access`](super::Access)); here are the rules
//! of who may be above whom, and what goes with what.

use super::Work;
use super::attachments::Beside;
use super::config::Config;
use super::error::{NodeError, exact};
use super::record::{self, Bond, Node, Shelf};
use crate::proto::error::{Condition, StanzaError};
use crate::proto::form::Field;
use crate::store::{Space, StoreError};

/// The fields of a configuration.
pub(super) const LINK: &str = "{urn:xmpp:pubsub-relationships:0}link";
pub(super) const PARENT: &str = "{urn:xmpp:pubsub-relationships:0}parent";

/// What a node depends on, where it does.
pub(super) fn fields(config: &Config) -> Vec<Field> {
    [(PARENT, &config.parent), (LINK, &config.link)]
        .into_iter()
        .filter(|(_, node)| !node.is_empty())
        .map(|(var, node)| Field::text(var, node))
        .collect()
}

/// Levels that a tree of nodes can have, whatever was configured when it grew.
pub(super) const DEEPEST: usize = 100;

impl Work<'_> {
    /// §4.2: a node is about to get another configuration; its relations are checked, and follow those of the node that it
    /// extends.
    pub(super) fn relate(
        &mut self,
        name: &str,
        before: &Config,
        node: &mut Node,
    ) -> Result<(), NodeError> {
        let config = &mut node.config;
        if (&config.link, &config.parent) == (&before.link, &before.parent) {
            return Ok(());
        }
        if !config.link.is_empty() {
            let linked = self.depended(&config.link)?.config.parent;
            // What it has from a node that it extended before was not set by anybody.
            let own = !config.parent.is_empty()
                && (before.link.is_empty() || config.parent != before.parent);
            if own && config.parent != linked {
                return Err(invalid(
                    "It is below what the node is below that it extends",
                ));
            }
            config.parent = linked;
        }
        if !config.parent.is_empty() {
            self.depended(&config.parent)?;
        }
        let above = self.check_no_cycle(name, config)?;
        let below = self.levels_below(node)?;
        if above.saturating_add(below) > self.scene.house.limits.related.depth as usize {
            return Err(invalid(
                "Too many nodes would depend on each other in a row",
            ));
        }
        let config = node.config.clone();
        for (bond, old, new) in [
            (Bond::Link, &before.link, &config.link),
            (Bond::Parent, &before.parent, &config.parent),
        ] {
            self.bind(name, bond, old, new)?;
        }
        if before.parent != config.parent {
            self.take_along(node, &before.parent, &config.parent)?;
        }
        Ok(())
    }

    /// A node that another one may depend on: who asks owns it. It must not change meanwhile.
    fn depended(&mut self, name: &str) -> Result<Node, NodeError> {
        let found = record::node(self.scene.view, self.scene.house.owner, name)?;
        let node = found.filter(|node| node.moved.is_none() && Beside::of(name).is_none());
        let node = node.ok_or_else(|| invalid("There is no such node to depend on"))?;
        if self.door(&node)?.owner().is_err() {
            return Err(invalid("The node to depend on belongs to somebody else"));
        }
        self.hold(name)?;
        Ok(node)
    }

    /// Has the request done again if a node changes meanwhile.
    fn hold(&mut self, name: &str) -> Result<(), StoreError> {
        let key = record::node_key(self.scene.house.owner, name);
        if let Some(row) = self.scene.view.get(Space::NODE, &key)? {
            self.batch.require_equals(Space::NODE, &key, row);
        }
        Ok(())
    }

    /// Whoever follows relations never comes back; the nodes on the way.
    fn check_no_cycle(&mut self, name: &str, config: &Config) -> Result<usize, NodeError> {
        let (view, owner) = (self.scene.view, self.scene.house.owner);
        let mut waiting = vec![config.link.clone(), config.parent.clone()];
        let mut seen: Vec<String> = Vec::new();
        while let Some(next) = waiting.pop() {
            if next.is_empty() || seen.contains(&next) {
                continue;
            }
            if next == name {
                return Err(invalid("It would depend on itself"));
            }
            if seen.len() >= DEEPEST {
                return Err(invalid("It would depend on too many nodes"));
            }
            if let Some(node) = record::stored(view, owner, &next)? {
                self.hold(&next)?;
                waiting.extend([node.config.link, node.config.parent]);
            }
            seen.push(next);
        }
        Ok(seen.len())
    }

    /// How many levels of nodes depend on one.
    fn levels_below(&self, node: &Node) -> Result<usize, NodeError> {
        let (view, owner, most) = (self.scene.view, self.scene.house.owner, self.most());
        let (mut level, mut levels, mut seen) = (vec![self.shelf(node)], 0_usize, 0_usize);
        loop {
            let mut next = Vec::new();
            for shelf in level {
                for bond in [Bond::Link, Bond::Parent] {
                    for name in record::bound(view, shelf, bond, most)? {
                        seen = seen.saturating_add(1);
                        let found = record::stored(view, owner, &name)?;
                        next.extend(found.map(|node| self.shelf(&node)));
                    }
                }
            }
            // What extends a node is found below its parent as well.
            if seen > most.saturating_mul(2) {
                return Err(too_many());
            }
            if next.is_empty() {
                return Ok(levels);
            }
            (level, levels) = (next, levels.saturating_add(1));
        }
    }

    /// Nodes that may depend on one.
    fn most(&self) -> usize {
        self.scene.house.limits.related.dependent as usize
    }

    /// Writes down that a node depends on another one than before.
    fn bind(&mut self, name: &str, bond: Bond, old: &str, new: &str) -> Result<(), NodeError> {
        if old == new {
            return Ok(());
        }
        if let Some(shelf) = self.shelf_of(old)? {
            let key = record::bond_key(shelf, bond, name);
            self.batch.delete(Space::NODE_BELOW, &key);
        }
        if let Some(shelf) = self.shelf_of(new)? {
            let there = record::bound(self.scene.view, shelf, bond, self.most())?;
            if there.len() >= self.most() {
                return Err(invalid("Too many nodes depend on that one"));
            }
            let key = record::bond_key(shelf, bond, name);
            self.batch.put(Space::NODE_BELOW, &key, Vec::new());
        }
        Ok(())
    }

    fn shelf_of(&self, name: &str) -> Result<Option<Shelf>, StoreError> {
        let node = record::stored(self.scene.view, self.scene.house.owner, name)?;
        Ok(node.map(|node| self.shelf(&node)))
    }

    /// §4.3: nodes that extend one are below what it is below.
    fn take_along(&mut self, node: &Node, old: &str, new: &str) -> Result<(), NodeError> {
        let (view, owner) = (self.scene.view, self.scene.house.owner);
        for name in self.dependent(node, &[Bond::Link])? {
            let Some(mut linking) = record::stored(view, owner, &name)? else {
                continue;
            };
            self.hold(&name)?;
            linking.config.parent = new.to_owned();
            record::put_node(&mut self.batch, owner, &name, &linking);
            self.bind(&name, Bond::Parent, old, new)?;
        }
        Ok(())
    }

    /// What depends on a node by these relations, and what depends on that.
    pub(super) fn dependent(&self, node: &Node, bonds: &[Bond]) -> Result<Vec<String>, NodeError> {
        let (view, owner, most) = (self.scene.view, self.scene.house.owner, self.most());
        let mut names: Vec<String> = Vec::new();
        let mut waiting = vec![self.shelf(node)];
        while let Some(shelf) = waiting.pop() {
            for bond in bonds {
                for name in record::bound(view, shelf, *bond, most)? {
                    if names.contains(&name) {
                        continue;
                    }
                    if names.len() >= most {
                        return Err(too_many());
                    }
                    let found = record::stored(view, owner, &name)?;
                    waiting.extend(found.map(|node| self.shelf(&node)));
                    names.push(name);
                }
            }
        }
        Ok(names)
    }

    /// A node that is deleted depends on nothing any more.
    pub(super) fn unbind(&mut self, name: &str, node: &Node) -> Result<(), NodeError> {
        self.bind(name, Bond::Link, &node.config.link, "")?;
        self.bind(name, Bond::Parent, &node.config.parent, "")
    }
}

/// §4.2: a relation that cannot be.
fn invalid(text: &str) -> NodeError {
    exact(Condition::NotAllowed, "invalid-option")
        .with_text(text)
        .into()
}

fn too_many() -> NodeError {
    StanzaError::from(Condition::PolicyViolation)
        .with_text("So many nodes depend on it that they must be dealt with first")
        .into()
}
