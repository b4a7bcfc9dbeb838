//! Which prefix stands for which namespace while an element is read (Namespaces in XML §2–6).

use super::builder::TreeBuilder;
use super::context::Context;
use super::names::{Span, same};
use super::{XML, XMLNS, XmlError};
use smallvec::SmallVec;
use std::borrow::Cow;

/// The declarations in force, innermost last.
pub(super) struct Scope<'a> {
    bindings: SmallVec<[Binding<'a>; 8]>,
    /// How many of them are the context's.
    outer: usize,
}

struct Binding<'a> {
    prefix: &'a str,
    ns: Cow<'a, str>,
    /// Where elements find the namespace in the tree, stored there when it is used first; attributes likewise.
    element: Option<Span>,
    attribute: Option<Span>,
    depth: usize,
}

impl<'a> Scope<'a> {
    /// What `context` declares, and `xml`.
    pub(super) fn new(context: &'a Context) -> Self {
        let bindings: SmallVec<_> = context
            .bindings()
            .map(|(prefix, ns)| Binding::new(prefix, Cow::Borrowed(ns), 0))
            .collect();
        let outer = bindings.len();
        Self { bindings, outer }
    }

    /// Takes the declaration of `prefix` (empty: default) on the element at `depth`.
    pub(super) fn declare(
        &mut self,
        prefix: &'a str,
        ns: Cow<'a, str>,
        depth: usize,
        limit: usize,
    ) -> Result<(), XmlError> {
        if self.bindings.len() - self.outer >= limit {
            return Err(XmlError::Limit("namespace declarations"));
        }
        match prefix {
            "xml" if ns == XML => {}
            "xml" | "xmlns" => return Err(XmlError::NotWellFormed("reserved prefix declared")),
            _ if ns == XML || ns == XMLNS => {
                return Err(XmlError::NotWellFormed("reserved namespace declared"));
            }
            _ if ns.is_empty() && !prefix.is_empty() => {
                return Err(XmlError::NotWellFormed("prefix undeclared"));
            }
            _ => {}
        }
        let here = |binding: &&Binding<'_>| binding.depth == depth;
        if self
            .bindings
            .iter()
            .rev()
            .take_while(here)
            .any(|binding| same(binding.prefix, prefix))
        {
            return Err(XmlError::NotWellFormed("namespace declared twice"));
        }
        self.bindings.push(Binding::new(prefix, ns, depth));
        Ok(())
    }

    /// Forgets what elements deeper than `depth` declared.
    pub(super) fn leave(&mut self, depth: usize) {
        while self
            .bindings
            .last()
            .is_some_and(|binding| binding.depth > depth)
        {
            self.bindings.pop();
        }
    }

    /// The namespace of an element with `prefix`. At the top level of a stream only its own content namespace is one
    /// of stanzas (RFC 6120 §4.8.3).
    pub(super) fn element(
        &mut self,
        prefix: &str,
        top: bool,
        context: &Context,
        tree: &mut TreeBuilder,
    ) -> Result<Span, XmlError> {
        match self
            .bindings
            .iter_mut()
            .rev()
            .find(|binding| same(binding.prefix, prefix))
        {
            Some(binding) => {
                let ns = &binding.ns;
                if top && context.is_foreign(ns) {
                    return Err(XmlError::InvalidNamespace);
                }
                Ok(*binding
                    .element
                    .get_or_insert_with(|| tree.namespace(context.canonical(ns))))
            }
            None if prefix.is_empty() => Ok(Span::default()),
            None => reserved(prefix, tree),
        }
    }

    /// The namespace of an attribute with `prefix`; without one it has none.
    pub(super) fn attribute(
        &mut self,
        prefix: &str,
        tree: &mut TreeBuilder,
    ) -> Result<Span, XmlError> {
        if prefix.is_empty() {
            return Ok(Span::default());
        }
        match self
            .bindings
            .iter_mut()
            .rev()
            .find(|binding| same(binding.prefix, prefix))
        {
            Some(binding) => {
                let ns = &binding.ns;
                Ok(*binding.attribute.get_or_insert_with(|| tree.namespace(ns)))
            }
            None => reserved(prefix, tree),
        }
    }

    /// Prefix and namespace of everything declared.
    pub(super) fn declarations(&self) -> impl Iterator<Item = (&str, &str)> + Clone {
        self.bindings
            .iter()
            .map(|binding| (binding.prefix, &*binding.ns))
    }
}

impl<'a> Binding<'a> {
    fn new(prefix: &'a str, ns: Cow<'a, str>, depth: usize) -> Self {
        Self {
            prefix,
            ns,
            element: None,
            attribute: None,
            depth,
        }
    }
}

fn reserved(prefix: &str, tree: &mut TreeBuilder) -> Result<Span, XmlError> {
    match prefix {
        "xml" => Ok(tree.namespace(XML)),
        _ => Err(XmlError::NotWellFormed("undeclared prefix")),
    }
}
