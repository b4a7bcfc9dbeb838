//! What an entity is to the nodes of a house: its subscriptions and affiliations (XEP-0060 §5.6, §5.7).

use super::access::Affiliation;
use super::error::NodeError;
use super::record::{self, Node, Tie};
use super::{Answer, Work, subscription};
use crate::proto::ns;
use crate::store::Space;
use crate::xml::{El, Element};

impl Work<'_> {
    /// §5.6: its subscriptions, at all nodes or at one.
    pub(super) fn own_subscriptions(&mut self, act: El<'_>) -> Answer {
        let mut list = Element::new("subscriptions", ns::PUBSUB);
        list.set_attr("node", act.attr("node"));
        for (name, node) in self.tied(act, Tie::Subscription)? {
            let shelf = self.shelf(&node);
            for (jid, sub) in subscription::of(self.scene.view, shelf, &self.scene.actor.jid)? {
                if sub.is_over(self.scene.now) {
                    continue;
                }
                list = list.with_child(
                    Element::new("subscription", ns::PUBSUB)
                        .with_attr("node", &name)
                        .with_attr("jid", jid.as_str())
                        .with_attr("subscription", sub.state.as_str()),
                );
            }
        }
        Ok(Some(Element::new("pubsub", ns::PUBSUB).with_child(list)))
    }

    /// §5.7: its affiliations, with all nodes or with one.
    pub(super) fn own_affiliations(&mut self, act: El<'_>) -> Answer {
        let mut list = Element::new("affiliations", ns::PUBSUB);
        list.set_attr("node", act.attr("node"));
        for (name, node) in self.tied(act, Tie::Affiliation)? {
            let rules = self.scene.house.rules(&node);
            let key = rules.named(self.scene.actor.jid.bare_str());
            let Some(value) = self.scene.view.get(Space::NODE_AFFILIATION, &key)? else {
                continue;
            };
            let affiliation: Affiliation = record::read(&value)?;
            list = list.with_child(
                Element::new("affiliation", ns::PUBSUB)
                    .with_attr("node", &name)
                    .with_attr("affiliation", affiliation.as_str()),
            );
        }
        Ok(Some(Element::new("pubsub", ns::PUBSUB).with_child(list)))
    }

    /// The nodes that who asks is tied to: the one that is named, or all.
    fn tied(&self, act: El<'_>, tie: Tie) -> Result<Vec<(String, Node)>, NodeError> {
        if act.attr("node").is_some() {
            return Ok(vec![self.node(act)?]);
        }
        self.tied_nodes(tie)
    }

    /// All nodes that who asks is tied to.
    pub(super) fn tied_nodes(&self, tie: Tie) -> Result<Vec<(String, Node)>, NodeError> {
        let (view, owner) = (self.scene.view, self.scene.house.owner);
        let most = self.scene.house.limits.subscriptions_each;
        let mut nodes = Vec::new();
        for (number, name) in record::ties(view, owner, &self.scene.actor.jid, tie, most)? {
            let node = record::node(view, owner, &name)?;
            // What a node of the past left is erased later.
            if let Some(node) = node.filter(|node| node.number == number && node.moved.is_none()) {
                nodes.push((name, node));
            }
        }
        Ok(nodes)
    }
}
