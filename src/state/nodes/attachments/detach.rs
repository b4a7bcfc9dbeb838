//! Attachments go with the items they were attached to.

use super::{Beside, summary_of};
use crate::proto::ns;
use crate::state::nodes::error::NodeError;
use crate::state::nodes::items::{self, Span};
use crate::state::nodes::record::{self, Node, Totals, Used};
use crate::state::nodes::{Work, events, garbage};
use crate::store::{Direction, Space};
use crate::xml::Element;

/// Items that one message says are gone, and that are read at once.
const AT_ONCE: usize = 100;

impl Work<'_> {
    /// Items of a node are gone.
    pub(crate) fn detach(&mut self, target: &str, ids: &[String]) -> Result<(), NodeError> {
        if ids.is_empty() {
            return Ok(());
        }
        let Some((name, summary)) = self.summary(target)? else {
            return Ok(());
        };
        for id in self.unsum(&name, &summary, ids)? {
            self.unmake(&self.attachments_of(target, &id))?;
        }
        Ok(())
    }

    /// Removes the summaries of items; those that there were.
    fn unsum(
        &mut self,
        name: &str,
        summary: &Node,
        ids: &[String],
    ) -> Result<Vec<String>, NodeError> {
        let (view, shelf) = (self.scene.view, self.shelf(summary));
        let before = shelf.totals(view)?;
        let mut totals = before;
        let mut gone = Vec::new();
        for id in ids {
            if let Some(at) = items::place(view, shelf, &totals, id)? {
                let at = (at.place, at.bytes);
                items::remove(&mut self.batch, shelf, &mut totals, id, at);
                gone.push(id.clone());
            }
        }
        let less = record::difference(totals.bytes, before.bytes);
        record::use_more(&mut self.batch, shelf.owner, Used::Bytes, "", less);
        shelf.put_totals(&mut self.batch, &totals);
        let told = gone
            .chunks(AT_ONCE)
            .filter(|_| summary.config.notify_retract);
        for some in told {
            let retracted = some.iter().map(|id| events::retract(id));
            self.tell(name, summary, events::items(name, retracted))?;
        }
        Ok(gone)
    }

    /// A node of attachments is deleted.
    pub(crate) fn delete_attachments(
        &mut self,
        name: &str,
        target: &str,
        item: String,
    ) -> Result<(), NodeError> {
        self.unmake(name)?;
        if let Some((name, summary)) = self.summary(target)? {
            self.unsum(&name, &summary, &[item])?;
        }
        Ok(())
    }

    /// Items of a node are gone: those that its totals do not count any more.
    pub(crate) fn detach_before(
        &mut self,
        target: &str,
        node: &Node,
        totals: &Totals,
    ) -> Result<(), NodeError> {
        let Some((_, summary)) = self.summary(target)? else {
            return Ok(());
        };
        let mut gone = Vec::new();
        for id in self.summed(&summary)? {
            if items::place(self.scene.view, self.shelf(node), totals, &id)?.is_none() {
                gone.push(id);
            }
        }
        self.detach(target, &gone)
    }

    /// All items of a node are gone, and so is the node itself if it is `deleted`.
    pub(crate) fn detach_all(&mut self, target: &str, deleted: bool) -> Result<(), NodeError> {
        let Some((name, summary)) = self.summary(target)? else {
            return Ok(());
        };
        for id in self.summed(&summary)? {
            self.unmake(&self.attachments_of(target, &id))?;
        }
        if deleted {
            return self.unmake(&name);
        }
        self.empty(&summary)?;
        let purge = Element::new("purge", ns::PUBSUB_EVENT).with_attr("node", &name);
        self.tell(&name, &summary, purge)?;
        Ok(())
    }

    /// The names of the nodes beside one.
    pub(crate) fn beside(&self, target: &str) -> Result<Vec<String>, NodeError> {
        let Some((name, summary)) = self.summary(target)? else {
            return Ok(Vec::new());
        };
        let ids = self.summed(&summary)?.into_iter();
        let nodes = ids.map(|id| self.attachments_of(target, &id));
        Ok(std::iter::once(name).chain(nodes).collect())
    }

    /// The summary beside a node, if it has one.
    fn summary(&self, target: &str) -> Result<Option<(String, Node)>, NodeError> {
        if Beside::of(target).is_some() {
            return Ok(None);
        }
        let name = summary_of(target);
        let node = record::node(self.scene.view, self.scene.house.owner, &name)?;
        Ok(node.map(|node| (name, node)))
    }

    /// The items that have a summary.
    fn summed(&self, summary: &Node) -> Result<Vec<String>, NodeError> {
        let (view, shelf) = (self.scene.view, self.shelf(summary));
        let totals = shelf.totals(view)?;
        let mut ids = Vec::new();
        let mut after = None;
        loop {
            let span = Span {
                after,
                from: Direction::Forward,
                ..Span::oldest(AT_ONCE)
            };
            let some = items::read(view, shelf, &totals, span, 0)?;
            let Some(last) = some.last() else {
                return Ok(ids);
            };
            after = Some(last.place);
            ids.extend(some.into_iter().map(|item| item.head.id));
        }
    }

    /// Removes a node beside another one; who subscribed to it hears of it.
    fn unmake(&mut self, name: &str) -> Result<(), NodeError> {
        let owner = self.scene.house.owner;
        let Some(node) = record::node(self.scene.view, owner, name)? else {
            return Ok(());
        };
        let shelf = self.shelf(&node);
        let totals = shelf.totals(self.scene.view)?;
        let less = record::difference(0, totals.bytes);
        record::use_more(&mut self.batch, owner, Used::Bytes, "", less);
        if node.config.notify_delete && totals.subscriptions > 0 {
            self.tell_deleted(name, &node, None)?;
        }
        self.batch
            .delete(Space::NODE, &record::node_key(owner, name));
        garbage::mark(&mut self.batch, shelf, garbage::ALL);
        self.garbage = true;
        Ok(())
    }
}
