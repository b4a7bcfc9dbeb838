//! XEP-0499: Pubsub Extended Discovery (0.1.0): lists of a node's items together with what depends on it.

use super::disco::META_DATA;
use super::error::NodeError;
use super::items::{self, Span};
use super::kinds::Filter;
use super::record::{self, Bond, Node};
use super::relations::{self, DEEPEST};
use super::{Work, present};
use crate::proto::error::{Condition, StanzaError};
use crate::proto::form::{Form, FormType};
use crate::proto::{ns, rsm, uri};
use crate::xml::{El, Element};

/// What a list is to hold (§3.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Extended {
    items: bool,
    nodes: bool,
    linked: bool,
    whole: bool,
    depth: usize,
}

impl Extended {
    /// What a question says of it, if it says something.
    pub(super) fn of(query: El<'_>) -> Result<Option<Extended>, StanzaError> {
        let Some(Ok(form)) = Form::of(query) else {
            return Ok(None);
        };
        if form.form_type() != Some(ns::EXTENDED_DISCO) {
            return Ok(None);
        }
        let bad = || StanzaError::from(Condition::BadRequest);
        let flag = |var: &str| match form.value(var) {
            Some(_) => form.boolean(var).ok_or_else(bad),
            None => Ok(false),
        };
        let kinds = form.values("type");
        let wanted = |kind: &str| kinds.is_empty() || kinds.iter().any(|named| named == kind);
        let depth: i64 = match form.value("depth") {
            Some(depth) => depth.trim().parse().map_err(|_| bad())?,
            None => 0,
        };
        Ok(Some(Extended {
            items: wanted("items"),
            nodes: wanted("nodes"),
            linked: flag("linked_nodes")?,
            whole: flag("full_metadata")?,
            depth: usize::try_from(depth).map_or(DEEPEST, |depth| depth.min(DEEPEST)),
        }))
    }
}

/// An entry of a list, with what it is called in pages.
type Entry = (String, Element);

impl Work<'_> {
    /// The list below a node, or of the whole house.
    pub(super) fn list_extended(
        &self,
        name: Option<&str>,
        wanted: &Extended,
        filter: &Filter,
        request: &rsm::Request,
    ) -> Result<(Vec<Element>, Option<rsm::Page>), NodeError> {
        let found = match name {
            Some(name) => self.below(name, wanted)?,
            None => self.roots(wanted)?,
        };
        let mut entries: Vec<Entry> = Vec::new();
        for (name, node, asked) in found {
            let door = self.door(&node)?;
            if !door.notice()? {
                continue;
            }
            if wanted.nodes && !asked && filter.lists(&node.config.kind) {
                entries.push((
                    uri::encoded(&name),
                    self.node_entry(&name, &node, wanted.whole)?,
                ));
            }
            if wanted.items && door.retrieve()?.is_ok() {
                self.item_entries(&name, &node, &mut entries)?;
            }
        }
        let most = self.scene.house.limits.page;
        let (page, about) = request.select(&entries, |(id, _)| id, most)?;
        let whole = page.len() == entries.len();
        let about = rsm::Page {
            // One without a count is sent though nobody asked for pages: there is more.
            count: (whole || request.max.is_some()).then_some(entries.len()),
            ..about
        };
        let elements = page.iter().map(|(_, element)| element.clone()).collect();
        Ok((elements, Some(about)))
    }

    /// Nodes looked at for one list, and items of one node in it.
    fn looked_at(&self) -> usize {
        self.scene.house.limits.related.listed as usize
    }

    /// A node, what extends it and what is below it, level by level; the node itself is marked as asked for.
    fn below(&self, name: &str, wanted: &Extended) -> Result<Vec<(String, Node, bool)>, NodeError> {
        let (view, owner, most) = (self.scene.view, self.scene.house.owner, self.looked_at());
        let node = present(record::node(view, owner, name)?)?;
        self.door(&node)?.retrieve()??;
        let mut found = vec![(name.to_owned(), node, true)];
        let (mut next, mut level) = (0, 0);
        loop {
            let end = found.len();
            let mut names = Vec::new();
            for (name, node, _) in found.get(next..end).unwrap_or_default() {
                let shelf = self.shelf(node);
                if wanted.linked {
                    names.extend(record::bound(view, shelf, Bond::Link, most)?);
                    names.extend(self.beside(name)?);
                }
                if level < wanted.depth {
                    names.extend(record::bound(view, shelf, Bond::Parent, most)?);
                }
            }
            for name in names {
                let known = found.iter().any(|(there, ..)| *there == name);
                if known || found.len() >= most {
                    continue;
                }
                let node = record::node(view, owner, &name)?;
                let node = node.filter(|node| node.moved.is_none());
                let node = node.filter(|node| wanted.linked || node.config.link.is_empty());
                found.extend(node.map(|node| (name, node, false)));
            }
            if found.len() == end {
                return Ok(found);
            }
            (next, level) = (end, level + 1);
        }
    }

    /// The nodes that are below none, with so many levels of what is below them.
    fn roots(&self, wanted: &Extended) -> Result<Vec<(String, Node, bool)>, NodeError> {
        let (view, owner) = (self.scene.view, self.scene.house.owner);
        let mut found = Vec::new();
        for (name, _) in record::nodes(view, owner, None, self.looked_at())? {
            let node = record::node(view, owner, &name)?;
            let Some(node) = node.filter(|node| node.moved.is_none()) else {
                continue;
            };
            let fits = wanted.linked || node.config.link.is_empty();
            if fits && self.level(&node)? <= wanted.depth {
                found.push((name, node, false));
            }
        }
        Ok(found)
    }

    fn level(&self, node: &Node) -> Result<usize, NodeError> {
        let (view, owner) = (self.scene.view, self.scene.house.owner);
        let mut parent = node.config.parent.clone();
        let mut level = 0;
        while !parent.is_empty() && level <= DEEPEST {
            level += 1;
            let above = record::stored(view, owner, &parent)?;
            parent = above.map(|above| above.config.parent).unwrap_or_default();
        }
        Ok(level)
    }

    fn node_entry(&self, name: &str, node: &Node, whole: bool) -> Result<Element, NodeError> {
        let form = match whole {
            true => self.meta_data(node, &self.door(node)?)?,
            false => {
                let mut form = Form::new(FormType::Result).with_form_type(META_DATA);
                form.fields.extend(relations::fields(&node.config));
                form
            }
        };
        let mut item = Element::new("item", ns::DISCO_ITEMS)
            .with_attr("jid", self.scene.house.address.as_str())
            .with_attr("node", name);
        let title = Some(node.config.title.as_str()).filter(|title| !title.is_empty());
        item.set_attr("name", title);
        Ok(item.with_child(form.to_element()))
    }

    fn item_entries(
        &self,
        name: &str,
        node: &Node,
        entries: &mut Vec<Entry>,
    ) -> Result<(), NodeError> {
        let (view, shelf) = (self.scene.view, self.shelf(node));
        let totals = shelf.totals(view)?;
        let since = node.config.expired_before(self.scene.now);
        for item in items::read(view, shelf, &totals, Span::oldest(self.looked_at()), since)? {
            let id = format!("{};{}", uri::encoded(name), uri::encoded(&item.head.id));
            let element = Element::new("item", ns::DISCO_ITEMS)
                .with_attr("jid", self.scene.house.address.as_str())
                .with_attr("node", name)
                .with_attr("name", &item.head.id);
            entries.push((id, element));
        }
        Ok(())
    }
}
