//! What subscribers are told (XEP-0060 §7.1.2, §12.2).

use std::collections::HashSet;

use super::access::Access;
use super::config::{Config, Delivery};
use super::reach::{self, What};
use super::record::Node;
use super::subscription;
use super::{Audience, House, Kind, Notice, Scene, Words, Work};
use crate::proto::jid::Jid;
use crate::proto::ns;
use crate::proto::stanza::{MessageType, Stanza};
use crate::store::StoreError;
use crate::xml::Element;

/// The message that tells of an event.
pub(super) fn message(house: &House, config: &Config, event: Element) -> Stanza {
    let kind = match config.notification_type {
        Delivery::Normal => MessageType::Normal,
        Delivery::Headline => MessageType::Headline,
    };
    Stanza::message(kind)
        .with_from(house.address.clone())
        .with_child(Element::new("event", ns::PUBSUB_EVENT).with_child(event))
}

/// An `<items/>` of an event.
pub(super) fn items(node: &str, inside: impl IntoIterator<Item = Element>) -> Element {
    Element::new("items", ns::PUBSUB_EVENT)
        .with_attr("node", node)
        .with_children(inside)
}

/// The `<retract/>` of an item that went.
pub(super) fn retract(id: &str) -> Element {
    Element::new("retract", ns::PUBSUB_EVENT).with_attr("id", id)
}

/// §12.14: the state of a subscription.
pub(super) fn subscription(node: &str, jid: &Jid, state: &str) -> Element {
    Element::new("subscription", ns::PUBSUB_EVENT)
        .with_attr("node", node)
        .with_attr("jid", jid.as_str())
        .with_attr("subscription", state)
}

/// Who is told of what happens at a node: subscribers who still may see it.
pub(super) fn audience(
    scene: &Scene<'_>,
    name: &str,
    node: &Node,
    what: What,
) -> Result<Audience, StoreError> {
    let Scene { view, house, .. } = *scene;
    let access = Access::of(view, house, node)?;
    let mut subscribers = Vec::new();
    for jid in reach::hearers(scene, node, what)? {
        if access.lets_in(view, house, &jid)? {
            subscribers.push(jid);
        }
    }
    Ok(match (house.kind, what) {
        // Only who asked for it hears what is said of a node.
        (Kind::Service, _) | (_, What::Metadata) => Audience::These(subscribers),
        (Kind::Personal, _) => Audience::Interested {
            node: name.into(),
            access,
            subscribers,
        },
    })
}

impl Work<'_> {
    /// Tells whom an event of a node concerns, if the node tells of events.
    pub(super) fn tell(
        &mut self,
        name: &str,
        node: &Node,
        event: Element,
    ) -> Result<(), StoreError> {
        if node.config.deliver_notifications {
            let to = audience(&self.scene, name, node, What::Items)?;
            self.notices.push(Notice {
                message: message(self.scene.house, &node.config, event),
                to,
                words: None,
            });
        }
        Ok(())
    }

    /// Tells of an item, and in these words to those who asked for that (§12.8).
    pub(super) fn tell_in_words(
        &mut self,
        name: &str,
        node: &Node,
        event: Element,
        text: String,
    ) -> Result<(), StoreError> {
        let first = self.notices.len();
        self.tell(name, node, event)?;
        let shelf = self.shelf(node);
        if let Some(notice) = self.notices.get_mut(first) {
            let all = subscription::all(self.scene.view, shelf)?.into_iter();
            let wanted = all.filter(|(_, sub)| sub.body).map(|(jid, _)| jid);
            let wanted: HashSet<Jid> = wanted.collect();
            notice.words = (!wanted.is_empty()).then_some(Words { text, wanted });
        }
        Ok(())
    }

    /// §12.14: tells an entity of its subscription.
    pub(super) fn tell_subscriber(&mut self, name: &str, node: &Node, jid: &Jid, state: &str) {
        let event = subscription(name, jid, state);
        self.notices.push(Notice {
            message: message(self.scene.house, &node.config, event),
            to: Audience::These(vec![jid.clone()]),
            words: None,
        });
    }

    /// Tells the owners of a subscription that came or went, if they want to hear of it.
    pub(super) fn tell_owners(
        &mut self,
        name: &str,
        node: &Node,
        access: &Access,
        jid: &Jid,
        state: &str,
    ) {
        if node.config.notify_sub {
            let event = subscription(name, jid, state);
            self.notices.push(Notice {
                message: message(self.scene.house, &node.config, event),
                to: Audience::These(access.owners().cloned().collect()),
                words: None,
            });
        }
    }
}
