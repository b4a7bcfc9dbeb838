//! Publishing (XEP-0060 §7.1).

use super::attachments::Beside;
use super::config::{Config, WhenFull};
use super::error::{NodeError, exact};
use super::form::inside;
use super::items::{self, Head, Span};
use super::record::{self, Node, Totals, Used};
use super::{Answer, NAME, Work, events, name_of, present};
use crate::proto::error::{Condition, StanzaError};
use crate::proto::{ns, uri};
use crate::state::stored_xml;
use crate::store::Space;
use crate::xml::{El, Element};

/// Items that one request removes at most, where a node has more than it may.
pub(super) const TRIM: u64 = 100;

/// What was sent to be published.
pub(super) struct Sent<'a> {
    pub(super) id: Option<&'a str>,
    pub(super) payload: Option<El<'a>>,
}

/// Items that went, by their ids.
#[derive(Default)]
pub(super) struct Trimmed {
    all: Vec<String>,
    /// Those for which there was no room; the time of the others was over.
    retracted: Vec<String>,
}

impl Work<'_> {
    /// §7.1: an item, or a mere notification, is published.
    pub(super) fn publish(&mut self, act: El<'_>, options: Option<El<'_>>) -> Answer {
        let name = name_of(act)?;
        let id = match Beside::of(name) {
            // XEP-0470 §4.3: options are ignored there.
            Some(beside) => Some(self.attach(name, &beside, act)?),
            None => self.publish_to(name, act, options)?,
        };
        let items = id.map(|id| Element::new("item", ns::PUBSUB).with_attr("id", &id));
        let publish = Element::new("publish", ns::PUBSUB)
            .with_attr("node", name)
            .with_children(items);
        Ok(Some(Element::new("pubsub", ns::PUBSUB).with_child(publish)))
    }

    /// Publishes to a node; the id of the item, if there is one.
    fn publish_to(
        &mut self,
        name: &str,
        act: El<'_>,
        options: Option<El<'_>>,
    ) -> Result<Option<String>, NodeError> {
        let found = record::node(self.scene.view, self.scene.house.owner, name)?;
        let options = options.filter(|el| el.name() == "publish-options");
        let options = options.map(inside).transpose()?;
        let node = match found {
            Some(node) => {
                let node = present(Some(node))?;
                if !self.door(&node)?.publish()? {
                    return Err(Condition::Forbidden.into());
                }
                if let Some(options) = options {
                    let demanded = node.config.demanded(options)?;
                    node.config.meets(&demanded, &self.scene.house.limits)?;
                }
                node
            }
            None if self.scene.house.auto_create && name.len() <= NAME => {
                if !self.scene.actor.may_create {
                    return Err(Condition::Forbidden.into());
                }
                let defaults = &self.scene.house.defaults;
                let config = options.map_or(Ok(defaults.clone()), |form| {
                    defaults.for_kind_in(form).demanded(form)
                })?;
                self.make_related(name, config)?
            }
            None => return Err(Condition::ItemNotFound.into()),
        };
        match sent(act, &node.config)? {
            Some(sent) => {
                node.config.takes(sent.payload)?;
                let id = sent.id.map_or_else(|| self.scene.fresh.id(), str::to_owned);
                let address = &self.scene.house.address;
                let link = || uri::item(address, name, &id);
                let linked = sent
                    .payload
                    .and_then(|payload| node.config.linked(payload, link));
                let sent = Sent {
                    id: Some(&id),
                    payload: linked.as_ref().map(Element::root).or(sent.payload),
                };
                self.publish_item(name, &node, &sent).map(Some)
            }
            None => {
                self.tell(name, &node, events::items(name, []))?;
                Ok(None)
            }
        }
    }

    /// Publishes an item that the node can take; its id.
    pub(super) fn publish_item(
        &mut self,
        name: &str,
        node: &Node,
        sent: &Sent<'_>,
    ) -> Result<String, NodeError> {
        let limits = &self.scene.house.limits;
        let payload = sent.payload.map(stored_xml::write).unwrap_or_default();
        if payload.len() as u64 > node.config.max_payload_size.within(limits.payload) {
            return Err(exact(Condition::NotAcceptable, "payload-too-big").into());
        }
        let head = Head {
            id: sent.id.map_or_else(|| self.scene.fresh.id(), str::to_owned),
            publisher: self.scene.actor.jid.bare_str().to_owned(),
            at: self.scene.now,
        };
        let retracted = match node.config.persist_items {
            true => self.keep(name, node, &head, &payload)?,
            false => Vec::new(),
        };
        let mut item = head.to_element(ns::PUBSUB_EVENT, &node.config);
        if let Some(payload) = sent.payload.filter(|_| node.config.deliver_payloads) {
            item.push_child(payload);
        }
        let event = events::items(name, [item]);
        match sent.payload.and_then(|payload| node.config.words(payload)) {
            Some(words) => self.tell_in_words(name, node, event, words)?,
            None => self.tell(name, node, event)?,
        }
        if node.config.notify_retract && node.config.publish_node_full == WhenFull::RetractOldest {
            for id in retracted {
                self.tell(name, node, events::items(name, [events::retract(&id)]))?;
            }
        }
        Ok(head.id)
    }

    /// Writes an item, makes room for it, and says which items went.
    fn keep(
        &mut self,
        name: &str,
        node: &Node,
        head: &Head,
        payload: &[u8],
    ) -> Result<Vec<String>, NodeError> {
        let (view, house) = (self.scene.view, self.scene.house);
        let shelf = house.shelf(node);
        let before = shelf.totals(view)?;
        let mut totals = before;
        let old = items::place(view, shelf, &totals, &head.id)?;
        if let Some(old) = old {
            // It becomes the newest (§12.1).
            self.batch.delete(Space::NODE_ITEM, &shelf.item(old.place));
            totals.items = totals.items.saturating_sub(1);
            totals.bytes = totals.bytes.saturating_sub(old.bytes);
        }
        let most = node.config.most_items(&house.limits);
        if totals.items >= most && node.config.publish_node_full == WhenFull::Reject {
            return Err(exact(Condition::Conflict, "node-full").into());
        }
        let gone = self.trim(node, &mut totals, most.saturating_sub(1), &head.id)?;
        self.detach(name, &gone.all)?;
        let place = totals.next;
        totals.next = place.saturating_add(1);
        totals.items = totals.items.saturating_add(1);
        let bytes = items::put(&mut self.batch, shelf, (place, old), head, payload);
        totals.bytes = totals.bytes.saturating_add(bytes);
        let more = record::difference(totals.bytes, before.bytes);
        let used = record::used(view, house.owner, Used::Bytes, "")?;
        if more > 0 && used.saturating_add_signed(more) > house.limits.bytes {
            return Err(StanzaError::from(Condition::ResourceConstraint)
                .with_text("There is no room for more items; remove some first")
                .into());
        }
        record::use_more(&mut self.batch, house.owner, Used::Bytes, "", more);
        shelf.put_totals(&mut self.batch, &totals);
        Ok(gone.retracted)
    }

    /// Removes the oldest items until there are no more than `most`, and those that have expired, but
    /// only so many at once; `kept` is dealt with elsewhere.
    pub(super) fn trim(
        &mut self,
        node: &Node,
        totals: &mut Totals,
        most: u64,
        kept: &str,
    ) -> Result<Trimmed, NodeError> {
        let shelf = self.shelf(node);
        let since = node.config.expired_before(self.scene.now);
        let excess = totals.items.saturating_sub(most);
        if excess == 0 && since == 0 {
            return Ok(Trimmed::default());
        }
        // One more than has to go, for `kept` may be among them.
        let wanted = match since {
            0 => excess.min(TRIM) + 1,
            _ => TRIM,
        };
        let span = Span::oldest(usize::try_from(wanted).unwrap_or(1));
        let oldest = items::read(self.scene.view, shelf, totals, span, 0)?;
        let mut gone = Trimmed::default();
        for item in oldest.iter().filter(|item| item.head.id != kept) {
            let expired = item.head.at < since;
            if totals.items <= most && !expired {
                break;
            }
            let at = (item.place, item.bytes);
            items::remove(&mut self.batch, shelf, totals, &item.head.id, at);
            // What lies before it is gone, unless it was passed over.
            totals.first = item.place.saturating_add(1);
            gone.all.push(item.head.id.clone());
            if !expired {
                gone.retracted.push(item.head.id.clone());
            }
        }
        Ok(gone)
    }
}

/// What a request publishes, if its node can take it (§4.3, §7.1.3.6, §7.1.3.7).
pub(super) fn sent<'a>(act: El<'a>, config: &Config) -> Result<Option<Sent<'a>>, StanzaError> {
    let wrong = |name| Err(exact(Condition::BadRequest, name));
    let mut items = act.children().filter(|el| el.is("item", ns::PUBSUB));
    let Some(item) = items.next() else {
        return match config.persist_items || config.deliver_payloads {
            true => wrong("item-required"),
            false => Ok(None),
        };
    };
    if !config.persist_items && !config.deliver_payloads {
        return wrong("item-forbidden");
    }
    let mut payloads = item.children();
    let payload = payloads.next();
    if items.next().is_some() || payloads.next().is_some() {
        return wrong("invalid-payload");
    }
    if payload.is_none() && config.deliver_payloads {
        return wrong("payload-required");
    }
    let id = item.attr("id").filter(|id| !id.is_empty());
    if id.is_some_and(|id| id.len() > NAME) {
        let text = format!("An id has at most {NAME} bytes");
        return Err(StanzaError::from(Condition::NotAcceptable).with_text(text));
    }
    Ok(Some(Sent { id, payload }))
}
