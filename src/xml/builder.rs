//! Builds a tree step by step; the parser and everything that copies trees goes through it.

use super::names::{Names, Span};
use super::node::{Node, View};
use super::{El, Element, XMLNS, XmlError, chars};
use smallvec::SmallVec;
use std::collections::BTreeMap;

/// Builds an [`Element`] from events: `open`, its `attr`s, its contents, `close`.
///
/// Events out of order and names that cannot be written are remembered and make [`finish`](Self::finish) fail.
#[derive(Debug, Default)]
pub struct TreeBuilder {
    nodes: Vec<Node>,
    names: Names,
    text: String,
    /// The innermost open element: its place on the tape. While it is open its `len` holds its parent's place.
    current: u32,
    depth: usize,
    /// The last node is a text of the element that is open.
    in_text: bool,
    failed: Option<XmlError>,
}

impl TreeBuilder {
    /// An empty builder.
    pub fn new() -> Self {
        Self::default()
    }

    /// A builder with room for what `bytes` bytes of ordinary XML hold.
    pub(super) fn for_bytes(bytes: usize) -> Self {
        Self {
            nodes: Vec::with_capacity(bytes / 20 + 4),
            names: Names::with_capacity((bytes / 32 + 2).min(16)),
            text: String::with_capacity(bytes),
            ..Self::default()
        }
    }

    /// Opens an element inside the one that is open. `prefix_hint` is not used: elements are written without prefixes.
    pub fn open(&mut self, local: &str, ns: &str, _prefix_hint: &str) {
        if !chars::is_ncname(local) || ns == XMLNS {
            self.fail("element name");
        }
        let ns = self.namespace(ns);
        self.open_in(local, ns);
    }

    /// Gives the open element an attribute; only before its contents. `ns` is empty for most attributes;
    /// `prefix_hint` is the prefix to write it with if that is free.
    pub fn attr(&mut self, local: &str, ns: &str, prefix_hint: &str, value: &str) {
        if !chars::is_ncname(local) || ns == XMLNS || (ns.is_empty() && local == "xmlns") {
            self.fail("attribute name");
        }
        let ns = self.namespace(ns);
        let prefix = if chars::is_ncname(prefix_hint) {
            prefix_hint
        } else {
            ""
        };
        if !self.attr_in(local, ns, prefix, value) {
            self.fail("attribute given twice");
        }
    }

    /// Adds text to the open element, joined with text directly before it.
    pub fn text(&mut self, text: &str) {
        if text.is_empty() {
            return;
        }
        if self.depth == 0 {
            return self.fail("text outside of the element");
        }
        let piece = Span::append(&mut self.text, text);
        match self.nodes.last_mut() {
            Some(last) if self.in_text => {
                if let View::Text(span) = last.view() {
                    *last = Node::text(Span {
                        start: span.start,
                        len: span.len + piece.len,
                    });
                }
            }
            _ => self.nodes.push(Node::text(piece)),
        }
        self.in_text = true;
    }

    /// Adds a copy of `child` to the open element.
    pub fn child(&mut self, child: El<'_>) {
        if self.depth == 0 && !self.nodes.is_empty() {
            return self.fail("a second element");
        }
        self.in_text = false;
        copy(child, &mut self.nodes, &mut self.names, &mut self.text);
    }

    /// Closes the open element.
    pub fn close(&mut self) {
        if self.depth == 0 {
            return self.fail("an end without a start");
        }
        self.depth -= 1;
        self.in_text = false;
        let place = self.current;
        let end = number(self.nodes.len());
        if let Some(node) = self.nodes.get_mut(place as usize)
            && let View::Open {
                name,
                len: parent,
                attrs,
            } = node.view()
        {
            *node = Node::open(name, end.saturating_sub(place), attrs);
            self.current = parent;
        }
    }

    /// The finished tree; an error if it is not exactly one closed element, or if a name or attribute was wrong.
    pub fn finish(mut self) -> Result<Element, XmlError> {
        if self.depth != 0 || self.nodes.is_empty() {
            self.fail("an element is missing or not closed");
        }
        if let Some(error) = self.failed {
            return Err(error);
        }
        self.names.finish();
        if self.nodes.capacity() - self.nodes.len() > SPARE_NODES {
            self.nodes.shrink_to_fit();
        }
        if self.text.capacity() - self.text.len() > SPARE_BYTES {
            self.text.shrink_to_fit();
        }
        Ok(Element {
            nodes: self.nodes,
            names: self.names,
            text: self.text,
        })
    }

    /// How many elements are open.
    pub fn depth(&self) -> usize {
        self.depth
    }

    /// Bytes on the heap, spare capacity included.
    pub fn heap_bytes(&self) -> usize {
        self.nodes.capacity() * size_of::<Node>() + self.names.heap_bytes() + self.text.capacity()
    }

    /// Bytes in use, spare capacity left out.
    pub(super) fn used_bytes(&self) -> usize {
        self.nodes.len() * size_of::<Node>() + self.names.used_bytes() + self.text.len()
    }

    /// Stores a namespace for [`open_in`](Self::open_in) and [`attr_in`](Self::attr_in).
    pub(super) fn namespace(&mut self, ns: &str) -> Span {
        self.names.namespace(ns, &mut self.text)
    }

    /// The namespace of the open element.
    pub(super) fn current_namespace(&self) -> Span {
        match self
            .nodes
            .get(self.current as usize)
            .map(|node| node.view())
        {
            Some(View::Open { name, .. }) if self.depth > 0 => self.names.at(name).ns,
            _ => Span::default(),
        }
    }

    /// [`open`](Self::open) for a name that was checked.
    pub(super) fn open_in(&mut self, local: &str, ns: Span) {
        if self.depth == 0 && !self.nodes.is_empty() {
            return self.fail("a second element");
        }
        let name = self.names.intern(local, ns, "", &mut self.text);
        let place = number(self.nodes.len());
        self.nodes.push(Node::open(name, self.current, 0));
        self.current = place;
        self.depth += 1;
        self.in_text = false;
    }

    /// [`attr`](Self::attr) for a name that was checked; false if the element has it already.
    pub(super) fn attr_in(&mut self, local: &str, ns: Span, prefix: &str, value: &str) -> bool {
        let name = self.names.intern(local, ns, prefix, &mut self.text);
        let place = self.current;
        let count = number(self.nodes.len());
        match self
            .nodes
            .get_mut(place as usize)
            .map(|node| (node.view(), node))
        {
            Some((View::Open { name, len, attrs }, node))
                if self.depth > 0 && count == place + 1 + attrs =>
            {
                *node = Node::open(name, len, attrs + 1);
            }
            _ => {
                self.fail("attribute after contents");
                return true;
            }
        }
        let value = Span::append(&mut self.text, value);
        self.nodes.push(Node::attr(name, value));
        self.names.first_on(name, place)
    }

    fn fail(&mut self, why: &'static str) {
        self.failed.get_or_insert(XmlError::NotWellFormed(why));
    }
}

/// Spare capacity a finished tree may keep.
const SPARE_NODES: usize = 64;
const SPARE_BYTES: usize = 1024;

/// A place on the tape as it is stored. What is read is far smaller than 2^32 nodes.
pub(super) fn number(len: usize) -> u32 {
    u32::try_from(len).unwrap_or(u32::MAX)
}

/// Appends a copy of `from` to a tape.
pub(super) fn copy(from: El<'_>, nodes: &mut Vec<Node>, names: &mut Names, text: &mut String) {
    let mut map = NameMap::default();
    nodes.reserve(from.tape().len());
    for node in from.tape() {
        nodes.push(match node.view() {
            View::Open { name, len, attrs } => {
                Node::open(map.name(name, from, names, text), len, attrs)
            }
            View::Attr { name, value } => {
                let name = map.name(name, from, names, text);
                Node::attr(name, Span::append(text, from.piece(value)))
            }
            View::Text(span) => Node::text(Span::append(text, from.piece(span))),
        });
    }
}

/// The numbers names have in the tree they are copied to.
#[derive(Default)]
struct NameMap {
    names: SmallVec<[Option<u32>; 32]>,
    /// By where they are stored in the tree copied from.
    namespaces: BTreeMap<u32, Span>,
}

impl NameMap {
    fn name(&mut self, name: u32, from: El<'_>, names: &mut Names, text: &mut String) -> u32 {
        let place = name as usize;
        if let Some(Some(known)) = self.names.get(place) {
            return *known;
        }
        let old = from.names().at(name);
        let ns = match self.namespaces.get(&old.ns.start) {
            Some(ns) if old.ns.len > 0 => *ns,
            _ => {
                let ns = names.namespace(from.piece(old.ns), text);
                if old.ns.len > 0 {
                    self.namespaces.insert(old.ns.start, ns);
                }
                ns
            }
        };
        let new = names.intern(from.piece(old.local), ns, from.piece(old.prefix), text);
        if self.names.len() <= place {
            self.names.resize(place + 1, None);
        }
        if let Some(slot) = self.names.get_mut(place) {
            *slot = Some(new);
        }
        new
    }
}
