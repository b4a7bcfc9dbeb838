//! A cursor on one element of a tree: reading, comparing, copying.

use super::builder::TreeBuilder;
use super::names::{Name, Names, Span};
use super::node::{Node, View};
use super::tree::{Element, attribute_name, display};
use std::borrow::Cow;
use std::fmt;

/// An element somewhere in a tree; cheap to copy.
#[derive(Clone, Copy)]
pub struct El<'a> {
    tree: &'a Element,
    place: usize,
}

/// What an element holds, in order.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Content<'a, T = &'a str> {
    /// An element.
    Element(El<'a>),
    /// A piece of text; what belongs together may come in several pieces.
    Text(T),
}

impl<'a> El<'a> {
    /// The local name.
    pub fn name(self) -> &'a str {
        self.piece(self.full_name().local)
    }

    /// The namespace, empty if it has none.
    pub fn ns(self) -> &'a str {
        self.piece(self.full_name().ns)
    }

    /// Whether it has this expanded name.
    pub fn is(self, local: &str, ns: &str) -> bool {
        self.name() == local && self.ns() == ns
    }

    /// The value of an attribute without namespace, or of one in the XML namespace by its usual spelling (`xml:lang`).
    pub fn attr(self, name: &str) -> Option<&'a str> {
        let (local, ns) = attribute_name(name);
        self.attr_ns(local, ns)
    }

    /// The value of the attribute with this expanded name.
    pub fn attr_ns(self, local: &str, ns: &str) -> Option<&'a str> {
        self.attrs()
            .find(|&(name, namespace, _)| name == local && namespace == ns)
            .map(|(_, _, value)| value)
    }

    /// Local name, namespace (mostly empty) and value of every attribute, in the order written.
    pub fn attrs(self) -> impl Iterator<Item = (&'a str, &'a str, &'a str)> + 'a {
        self.named_attrs().map(move |(name, value)| {
            (
                self.piece(name.local),
                self.piece(name.ns),
                self.piece(value),
            )
        })
    }

    /// The text directly inside, not that of child elements.
    pub fn text(self) -> Cow<'a, str> {
        let mut pieces = self.contents().filter_map(|content| match content {
            Content::Text(text) => Some(text),
            Content::Element(_) => None,
        });
        let first = pieces.next().unwrap_or_default();
        pieces.fold(Cow::Borrowed(first), |text, piece| text + piece)
    }

    /// The child elements, in order.
    pub fn children(self) -> impl Iterator<Item = El<'a>> + 'a {
        self.contents_places().filter_map(|content| match content {
            Content::Element(el) => Some(el),
            Content::Text(_) => None,
        })
    }

    /// The first child element with this expanded name.
    pub fn child(self, local: &str, ns: &str) -> Option<El<'a>> {
        self.children().find(|child| child.is(local, ns))
    }

    /// Whether there is such a child.
    pub fn has_child(self, local: &str, ns: &str) -> bool {
        self.child(local, ns).is_some()
    }

    /// Elements and text, in order.
    pub fn contents(self) -> impl Iterator<Item = Content<'a>> + 'a {
        self.contents_places().map(move |content| match content {
            Content::Element(el) => Content::Element(el),
            Content::Text(span) => Content::Text(self.piece(span)),
        })
    }

    /// A tree of its own.
    pub fn to_element(self) -> Element {
        if self.place == 0 {
            return self.tree.clone();
        }
        let mut builder = TreeBuilder::new();
        builder.child(self);
        builder.finish().unwrap_or_else(|_| self.tree.clone())
    }

    pub(super) fn at(tree: &'a Element, place: usize) -> Self {
        Self { tree, place }
    }

    /// The element at `offset` on this one's tape.
    pub(super) fn inner(self, offset: usize) -> Self {
        Self {
            tree: self.tree,
            place: self.place + offset,
        }
    }

    /// The nodes of this element.
    pub(super) fn tape(self) -> &'a [Node] {
        let len = match self.view() {
            Some(View::Open { len, .. }) => len as usize,
            _ => 0,
        };
        self.tree
            .nodes
            .get(self.place..self.place + len)
            .unwrap_or_default()
    }

    pub(super) fn names(self) -> &'a Names {
        &self.tree.names
    }

    pub(super) fn piece(self, span: Span) -> &'a str {
        span.of(&self.tree.text)
    }

    pub(super) fn full_name(self) -> Name {
        match self.view() {
            Some(View::Open { name, .. }) => self.tree.names.at(name),
            _ => self.tree.names.at(u32::MAX),
        }
    }

    pub(super) fn attr_count(self) -> usize {
        match self.view() {
            Some(View::Open { attrs, .. }) => attrs as usize,
            _ => 0,
        }
    }

    pub(super) fn named_attrs(self) -> impl Iterator<Item = (Name, Span)> + 'a {
        let start = self.place + 1;
        let nodes = self
            .tree
            .nodes
            .get(start..start + self.attr_count())
            .unwrap_or_default();
        nodes.iter().filter_map(move |node| match node.view() {
            View::Attr { name, value } => Some((self.tree.names.at(name), value)),
            _ => None,
        })
    }

    /// Place on the tape and number of the name of an attribute.
    pub(super) fn attr_place(self, local: &str, ns: &str) -> Option<(usize, u32)> {
        let offset = self
            .attrs()
            .position(|(name, namespace, _)| name == local && namespace == ns)?;
        let place = self.place + 1 + offset;
        match self.tree.nodes.get(place)?.view() {
            View::Attr { name, .. } => Some((place, name)),
            _ => None,
        }
    }

    /// Contents with text as the span it has.
    pub(super) fn contents_places(self) -> impl Iterator<Item = Content<'a, Span>> + 'a {
        let end = self.place + self.tape().len();
        let mut next = self.place + 1 + self.attr_count();
        std::iter::from_fn(move || {
            let node = self.tree.nodes.get(next).filter(|_| next < end)?;
            let place = next;
            match node.view() {
                View::Open { len, .. } => {
                    next += (len as usize).max(1);
                    Some(Content::Element(El {
                        tree: self.tree,
                        place,
                    }))
                }
                View::Text(span) => {
                    next += 1;
                    Some(Content::Text(span))
                }
                View::Attr { .. } => None,
            }
        })
    }

    fn view(self) -> Option<View> {
        self.tree.nodes.get(self.place).map(|node| node.view())
    }
}

impl fmt::Debug for El<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&display(*self))
    }
}

/// The same expanded names, attributes as sets, children, and text however it is cut into pieces. Prefixes do not
/// count.
impl PartialEq for El<'_> {
    fn eq(&self, other: &Self) -> bool {
        let (mut left, mut right) = (Walk::new(*self), Walk::new(*other));
        loop {
            match (left.step(), right.step()) {
                (None, None) => return true,
                (Some(Step::Open(a)), Some(Step::Open(b))) if same_head(a, b) => {}
                (Some(Step::Text(a)), Some(Step::Text(b))) if a == b => {}
                (Some(Step::Close), Some(Step::Close)) => {}
                _ => return false,
            }
        }
    }
}

fn same_head(a: El<'_>, b: El<'_>) -> bool {
    a.name() == b.name()
        && a.ns() == b.ns()
        && a.attr_count() == b.attr_count()
        && a.attrs()
            .zip(b.attrs())
            .all(|(x, y)| x == y || b.attr_ns(x.0, x.1) == Some(x.2))
}

enum Step<'a> {
    Open(El<'a>),
    Text(Cow<'a, str>),
    Close,
}

/// Walks a tree in order, without recursion.
struct Walk<'a> {
    el: El<'a>,
    next: usize,
    end: usize,
    /// Where the open elements end.
    open: Vec<usize>,
}

impl<'a> Walk<'a> {
    fn new(el: El<'a>) -> Self {
        Self {
            el,
            next: el.place,
            end: el.place + el.tape().len(),
            open: Vec::new(),
        }
    }

    fn step(&mut self) -> Option<Step<'a>> {
        if self.open.last() == Some(&self.next) {
            self.open.pop();
            return Some(Step::Close);
        }
        if self.next >= self.end {
            return None;
        }
        let el = El {
            tree: self.el.tree,
            place: self.next,
        };
        if let Some(View::Open { len, attrs, .. }) = el.view() {
            self.open.push(self.next + len as usize);
            self.next += 1 + attrs as usize;
            return Some(Step::Open(el));
        }
        let mut text = Cow::Borrowed("");
        let end = self.open.last().copied().unwrap_or(self.end);
        while self.next < end
            && let Some(View::Text(span)) =
                self.el.tree.nodes.get(self.next).map(|node| node.view())
        {
            text += self.el.piece(span);
            self.next += 1;
        }
        Some(Step::Text(text))
    }
}
