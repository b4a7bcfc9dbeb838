//! Items that go: one by one, or all of them (XEP-0060 §7.2, §8.5).

use super::access::Affiliation;
use super::attachments::Beside;
use super::error::{NodeError, exact, unsupported};
use super::items;
use super::publish::TRIM;
use super::record::{self, Node, Totals, Used};
use super::{Answer, Work, events, garbage};
use crate::proto::error::Condition;
use crate::proto::ns;
use crate::store::Direction;
use crate::xml::El;
use crate::xml::Element;

/// Items that one request retracts.
const AT_ONCE: usize = 100;

impl Work<'_> {
    /// §7.2: items are retracted, all that are named or none.
    pub(super) fn retract(&mut self, act: El<'_>) -> Answer {
        let (name, node) = self.node(act)?;
        let beside = Beside::of(&name);
        if matches!(beside, Some(Beside::Summary { .. })) {
            return Err(Condition::Forbidden.into());
        }
        let named = act.children().filter(|el| el.is("item", ns::PUBSUB));
        let ids: Vec<&str> = named.filter_map(|item| item.attr("id")).collect();
        if ids.is_empty() || ids.contains(&"") {
            return Err(exact(Condition::BadRequest, "item-required").into());
        }
        if ids.len() > AT_ONCE {
            return Err(Condition::NotAllowed.into());
        }
        if !node.config.persist_items {
            return Err(unsupported("persistent-items").into());
        }
        let retracted = self.remove_items(&node, &ids)?;
        let asked = matches!(act.attr("notify"), Some("1" | "true"));
        if asked || node.config.notify_retract {
            let gone: Vec<Element> = retracted.iter().copied().map(events::retract).collect();
            self.tell(&name, &node, events::items(&name, gone))?;
        }
        match beside {
            Some(beside) => self.taken_back(&beside, &node, &retracted)?,
            None => {
                let gone: Vec<String> = retracted.into_iter().map(str::to_owned).collect();
                self.detach(&name, &gone)?;
            }
        }
        Ok(None)
    }

    fn remove_items<'i>(
        &mut self,
        node: &Node,
        ids: &[&'i str],
    ) -> Result<Vec<&'i str>, NodeError> {
        let (view, house) = (self.scene.view, self.scene.house);
        // Who owns the node or may publish there by name may remove everything, others what is theirs (§4.1).
        let all = matches!(
            self.door(node)?.affiliation,
            Affiliation::Owner | Affiliation::Publisher
        );
        if !all && !self.door(node)?.publish()? {
            return Err(Condition::Forbidden.into());
        }
        let shelf = house.shelf(node);
        let before = shelf.totals(view)?;
        let mut totals = before;
        let mut gone: Vec<&str> = Vec::new();
        for id in ids {
            if gone.contains(id) {
                continue;
            }
            let item = items::find(view, shelf, &totals, id)?.ok_or(Condition::ItemNotFound)?;
            if !all && !item.head.is_by(&self.scene.actor.jid) {
                return Err(Condition::Forbidden.into());
            }
            let at = (item.place, item.bytes);
            items::remove(&mut self.batch, shelf, &mut totals, id, at);
            gone.push(id);
        }
        let less = record::difference(totals.bytes, before.bytes);
        record::use_more(&mut self.batch, house.owner, Used::Bytes, "", less);
        shelf.put_totals(&mut self.batch, &totals);
        Ok(gone)
    }

    /// §8.5: a node is emptied; what it had is erased later.
    pub(super) fn purge(&mut self, act: El<'_>) -> Answer {
        let (name, node) = self.owned(act)?;
        if !node.config.persist_items {
            return Err(unsupported("persistent-items").into());
        }
        let beside = Beside::of(&name);
        if matches!(beside, Some(Beside::Summary { .. })) {
            return Err(Condition::Forbidden.into());
        }
        self.empty(&node)?;
        let purge = Element::new("purge", ns::PUBSUB_EVENT).with_attr("node", &name);
        self.tell(&name, &node, purge)?;
        match beside {
            Some(beside) => self.all_taken_back(&beside)?,
            None => self.detach_all(&name, false)?,
        }
        Ok(None)
    }

    /// Forgets the oldest items of a node where more have to go than one batch should remove; they are
    /// erased later.
    pub(super) fn cut(
        &mut self,
        node: &Node,
        totals: &mut Totals,
        most: u64,
    ) -> Result<(), NodeError> {
        let (view, shelf) = (self.scene.view, self.shelf(node));
        let excess = totals.items.saturating_sub(most);
        if excess <= TRIM {
            return Ok(());
        }
        // From the end that is nearer.
        if excess <= most {
            let (bytes, last) = items::measure(view, shelf, totals, Direction::Forward, excess)?;
            totals.bytes = totals.bytes.saturating_sub(bytes);
            totals.first = last.saturating_add(1);
        } else {
            let (bytes, oldest) = items::measure(view, shelf, totals, Direction::Backward, most)?;
            (totals.bytes, totals.first) = (bytes, oldest);
        }
        totals.items = most;
        garbage::mark(&mut self.batch, shelf, totals.first);
        self.garbage = true;
        Ok(())
    }

    /// Forgets all items of a node.
    pub(super) fn empty(&mut self, node: &Node) -> Result<(), NodeError> {
        let shelf = self.shelf(node);
        let mut totals = shelf.totals(self.scene.view)?;
        let less = record::difference(0, totals.bytes);
        record::use_more(&mut self.batch, shelf.owner, Used::Bytes, "", less);
        totals.first = totals.next;
        (totals.items, totals.bytes) = (0, 0);
        shelf.put_totals(&mut self.batch, &totals);
        garbage::mark(&mut self.batch, shelf, totals.first);
        self.garbage = true;
        Ok(())
    }
}
