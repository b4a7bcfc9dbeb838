//! An XML element with all it holds, on one flat tape: nothing here recurses, however deep the tree is.

use super::builder::{copy, number};
use super::names::{Names, Span};
use super::node::{Node, View};
use super::{Content, El, XML, XMLNS, chars, write};
use std::borrow::Cow;
use std::fmt;

/// An element with its attributes and contents, owning all of it.
///
/// Names given here are constants of the program: one that XML does not allow is a bug, caught by an assertion in
/// debug builds and written with `_` for what is wrong in it otherwise. Text and values may be anything; what XML
/// cannot carry is written as U+FFFD.
#[derive(Clone)]
pub struct Element {
    pub(super) nodes: Vec<Node>,
    pub(super) names: Names,
    pub(super) text: String,
}

impl Element {
    /// An empty element `local` in the namespace `ns`.
    pub fn new(local: &str, ns: &str) -> Self {
        debug_assert!(
            chars::is_ncname(local) && ns != XMLNS,
            "no element name: {{{ns}}}{local}"
        );
        let mut names = Names::with_capacity(2);
        let mut text = String::with_capacity(local.len() + ns.len());
        let ns = names.namespace(if ns == XMLNS { "" } else { ns }, &mut text);
        let name = names.intern(&allowed(local), ns, "", &mut text);
        Self {
            nodes: vec![Node::open(name, 1, 0)],
            names,
            text,
        }
    }

    /// With an attribute without namespace, or `xml:lang` by that spelling, on the root.
    #[must_use]
    pub fn with_attr(mut self, name: &str, value: &str) -> Self {
        self.set_attr(name, Some(value));
        self
    }

    /// With `text` appended to the root's contents.
    #[must_use]
    pub fn with_text(mut self, text: &str) -> Self {
        self.push_text(text);
        self
    }

    /// With `child` appended to the root's contents.
    #[must_use]
    pub fn with_child(mut self, child: Self) -> Self {
        self.push_child(child.root());
        self
    }

    /// With `children` appended to the root's contents.
    #[must_use]
    pub fn with_children(mut self, children: impl IntoIterator<Item = Self>) -> Self {
        for child in children {
            self.push_child(child.root());
        }
        self
    }

    /// Appends `text` to the root's contents.
    pub fn push_text(&mut self, text: &str) {
        if !text.is_empty() {
            let span = Span::append(&mut self.text, text);
            self.nodes.push(Node::text(span));
            self.root_changed(0);
        }
    }

    /// Appends a copy of `child` to the root's contents.
    pub fn push_child(&mut self, child: El<'_>) {
        copy(child, &mut self.nodes, &mut self.names, &mut self.text);
        self.root_changed(0);
    }

    /// Sets or removes an attribute without namespace, or `xml:lang` by that spelling, on the root.
    pub fn set_attr(&mut self, name: &str, value: Option<&str>) {
        let (local, ns) = attribute_name(name);
        debug_assert!(
            chars::is_ncname(local) && name != "xmlns",
            "no attribute name: {name}"
        );
        let place = self.root().attr_place(local, ns);
        match (place, value) {
            (Some((place, name)), Some(value)) => {
                let value = Span::append(&mut self.text, value);
                if let Some(node) = self.nodes.get_mut(place) {
                    *node = Node::attr(name, value);
                }
            }
            (Some((place, _)), None) => {
                self.nodes.remove(place);
                self.root_changed(-1);
            }
            (None, Some(_)) if name == "xmlns" => {}
            (None, Some(value)) => {
                let ns = self.names.namespace(ns, &mut self.text);
                let name = self.names.intern(&allowed(local), ns, "", &mut self.text);
                let value = Span::append(&mut self.text, value);
                let end = 1 + self.root().attr_count();
                self.nodes
                    .insert(end.min(self.nodes.len()), Node::attr(name, value));
                self.root_changed(1);
            }
            (None, None) => {}
        }
    }

    /// Keeps the root's element children for which `keep` is true, and all its text; true if something was removed.
    pub fn retain_children(&mut self, mut keep: impl FnMut(El<'_>) -> bool) -> bool {
        let root = self.root();
        let mut nodes: Vec<Node> = Vec::new();
        let mut removed = false;
        nodes.extend(self.nodes.iter().take(1 + root.attr_count()));
        for content in root.contents_places() {
            match content {
                Content::Element(child) if !keep(child) => removed = true,
                Content::Element(child) => nodes.extend_from_slice(child.tape()),
                Content::Text(text) => nodes.push(Node::text(text)),
            }
        }
        if removed {
            self.nodes = nodes;
            self.root_changed(0);
        }
        removed
    }

    /// The cursor on the root.
    pub fn root(&self) -> El<'_> {
        El::at(self, 0)
    }

    /// Bytes on the heap, spare capacity included.
    pub fn heap_bytes(&self) -> usize {
        self.nodes.capacity() * size_of::<Node>() + self.names.heap_bytes() + self.text.capacity()
    }

    /// The root's local name.
    pub fn name(&self) -> &str {
        self.root().name()
    }

    /// The root's namespace, empty if it has none.
    pub fn ns(&self) -> &str {
        self.root().ns()
    }

    /// Whether the root has this expanded name.
    pub fn is(&self, local: &str, ns: &str) -> bool {
        self.root().is(local, ns)
    }

    /// See [`El::attr`].
    pub fn attr(&self, name: &str) -> Option<&str> {
        self.root().attr(name)
    }

    /// See [`El::attr_ns`].
    pub fn attr_ns(&self, local: &str, ns: &str) -> Option<&str> {
        self.root().attr_ns(local, ns)
    }

    /// See [`El::attrs`].
    pub fn attrs(&self) -> impl Iterator<Item = (&str, &str, &str)> {
        self.root().attrs()
    }

    /// See [`El::text`].
    pub fn text(&self) -> Cow<'_, str> {
        self.root().text()
    }

    /// See [`El::children`].
    pub fn children(&self) -> impl Iterator<Item = El<'_>> {
        self.root().children()
    }

    /// See [`El::contents`].
    pub fn contents(&self) -> impl Iterator<Item = Content<'_>> {
        self.root().contents()
    }

    /// See [`El::child`].
    pub fn child(&self, local: &str, ns: &str) -> Option<El<'_>> {
        self.root().child(local, ns)
    }

    /// Whether the root has such a child.
    pub fn has_child(&self, local: &str, ns: &str) -> bool {
        self.root().has_child(local, ns)
    }

    /// Brings the root's counts up to date after nodes and `attrs` attributes came or went.
    fn root_changed(&mut self, attrs: i32) {
        let len = number(self.nodes.len());
        if let Some(node) = self.nodes.first_mut()
            && let View::Open {
                name, attrs: old, ..
            } = node.view()
        {
            *node = Node::open(name, len, old.saturating_add_signed(attrs));
        }
    }
}

/// The expanded name meant by `name`: only `xml:` is known as a prefix.
pub(super) fn attribute_name(name: &str) -> (&str, &str) {
    name.strip_prefix("xml:")
        .map_or((name, ""), |local| (local, XML))
}

/// `local` itself when it is an `NCName`, as it always should be; else with `_` for what is wrong.
fn allowed(local: &str) -> Cow<'_, str> {
    if chars::is_ncname(local) {
        return Cow::Borrowed(local);
    }
    let fits = |c: char| chars::is_ncname(c.encode_utf8(&mut [0; 4]));
    Cow::Owned(
        std::iter::once('_')
            .chain(local.chars().map(|c| if fits(c) { c } else { '_' }))
            .collect(),
    )
}

impl fmt::Debug for Element {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.root().fmt(f)
    }
}

impl PartialEq for Element {
    fn eq(&self, other: &Self) -> bool {
        self.root() == other.root()
    }
}

impl Eq for Element {}

impl PartialEq<El<'_>> for Element {
    fn eq(&self, other: &El<'_>) -> bool {
        self.root() == *other
    }
}

/// The element as text, for `Debug`.
pub(super) fn display(el: El<'_>) -> String {
    let mut out = Vec::new();
    write::element(el, "", &mut out);
    String::from_utf8_lossy(&out).into_owned()
}
