//! Bytes of one element to a tree, with every rule of XML 1.0, Namespaces in XML and RFC 6120 §11.
//!
//! quick-xml says where markup begins and ends and matches end tags; it lets much through, so all else is checked here.

use super::attributes::{Attributes, normalise, resolve};
use super::builder::TreeBuilder;
use super::context::Context;
use super::scope::Scope;
use super::{Element, Limits, XmlError, chars};
use quick_xml::Reader;
use quick_xml::errors::IllFormedError;
use quick_xml::events::Event;
use smallvec::SmallVec;

/// Reads exactly one element, from the first byte to the last.
///
/// # Errors
/// Whatever is wrong with the bytes, or the limit they pass; see [`XmlError`].
pub fn parse(bytes: &[u8], context: &Context, limits: &Limits) -> Result<Element, XmlError> {
    if bytes.len() > limits.stanza_bytes {
        return Err(XmlError::TooLarge {
            limit: limits.stanza_bytes,
        });
    }
    if bytes.first() != Some(&b'<') {
        return Err(XmlError::NotWellFormed("no element"));
    }
    let input = chars::text(bytes)?;
    let mut parser = Parser::new(input, context, limits);
    let mut reader = Reader::from_str(input);
    let mut start = 0;
    loop {
        let event = reader.read_event().map_err(|error| refused(&error))?;
        let end = usize::try_from(reader.buffer_position()).unwrap_or(usize::MAX);
        let piece = input.get(start..end).unwrap_or_default();
        start = end;
        if parser.done != matches!(event, Event::Eof) {
            return Err(XmlError::NotWellFormed("not exactly one element"));
        }
        match event {
            Event::Start(_) => parser.start(inside(piece, 1, 1), false)?,
            Event::Empty(_) => parser.start(inside(piece, 1, 2), true)?,
            Event::End(_) => parser.end(),
            Event::Text(_) => parser.text(piece)?,
            Event::CData(_) => parser.raw_text(inside(piece, 9, 3)),
            Event::GeneralRef(_) => parser.reference(inside(piece, 1, 1))?,
            Event::Eof => return parser.tree.finish(),
            Event::Comment(_) => return Err(XmlError::Restricted("comment")),
            Event::DocType(_) => return Err(XmlError::Restricted("DTD")),
            Event::PI(_) | Event::Decl(_) => {
                return Err(XmlError::Restricted("processing instruction"));
            }
        }
        parser.check_size()?;
    }
}

/// Reads the start tag that `input` is, `<` and `>` included: element and namespaces of a stream header.
pub(super) fn start_tag<'a>(
    input: &'a str,
    context: &'a Context,
    limits: &'a Limits,
) -> Result<(Element, Scope<'a>), XmlError> {
    let mut parser = Parser::new(input, context, limits);
    parser.start(inside(input, 1, 1), false)?;
    parser.check_size()?;
    parser.tree.close();
    Ok((parser.tree.finish()?, parser.scope))
}

struct Parser<'a> {
    context: &'a Context,
    limits: &'a Limits,
    tree: TreeBuilder,
    scope: Scope<'a>,
    attributes: SmallVec<[(&'a str, &'a str); 12]>,
    /// What the tree may take.
    budget: usize,
    /// What namespace declarations will take when the tree is written, and may take.
    declarations: usize,
    declarations_budget: usize,
    done: bool,
}

/// Bytes of tree and of declarations that are free.
const FREE_BYTES: usize = 4096;

impl<'a> Parser<'a> {
    fn new(input: &str, context: &'a Context, limits: &'a Limits) -> Self {
        let budget = input.len().saturating_mul(limits.parsed_factor);
        Self {
            context,
            limits,
            tree: TreeBuilder::for_bytes(input.len()),
            scope: Scope::new(context),
            attributes: SmallVec::new(),
            budget: budget.saturating_add(FREE_BYTES),
            declarations: 0,
            declarations_budget: budget.saturating_mul(2).saturating_add(FREE_BYTES),
            done: false,
        }
    }

    /// A start tag without its brackets, or an empty-element tag.
    fn start(&mut self, tag: &'a str, empty: bool) -> Result<(), XmlError> {
        let depth = self.tree.depth() + 1;
        if depth > self.limits.depth {
            return Err(XmlError::Limit("depth"));
        }
        let end = tag.bytes().position(chars::is_space).unwrap_or(tag.len());
        let (name, rest) = tag.split_at_checked(end).unwrap_or((tag, ""));
        let (prefix, local) = self.split(name)?;
        self.attributes(rest, depth)?;

        let parent = self.tree.current_namespace();
        let ns = self
            .scope
            .element(prefix, depth == 1, self.context, &mut self.tree)?;
        if ns != parent {
            self.declarations += ns.len as usize + DECLARATION;
        }
        self.tree.open_in(local, ns);
        for at in 0..self.attributes.len() {
            let (name, value) = self.attributes.get(at).copied().unwrap_or_default();
            let (prefix, local) = self.split(name)?;
            let value = normalise(value)?;
            let ns = self.scope.attribute(prefix, &mut self.tree)?;
            if ns.len > 0 && prefix != "xml" {
                self.declarations += ns.len as usize + 2 * prefix.len() + DECLARATION;
            }
            let hint = if prefix == "xml" { "" } else { prefix };
            if !self.tree.attr_in(local, ns, hint, &value) {
                return Err(XmlError::NotWellFormed("attribute given twice"));
            }
        }
        self.attributes.clear();
        if empty {
            self.end();
        }
        Ok(())
    }

    /// Sorts the attributes of a tag into declarations, which take effect, and others, which wait.
    fn attributes(&mut self, rest: &'a str, depth: usize) -> Result<(), XmlError> {
        let mut attributes = Attributes::new(rest);
        let mut count = 0;
        while let Some((name, value)) = attributes.next()? {
            count += 1;
            if count > self.limits.attributes {
                return Err(XmlError::Limit("attributes"));
            }
            let declared = match name.strip_prefix("xmlns") {
                Some("") => "",
                Some(prefixed) if prefixed.starts_with(':') => self.split(name)?.1,
                _ => {
                    self.attributes.push((name, value));
                    continue;
                }
            };
            self.scope
                .declare(declared, normalise(value)?, depth, self.limits.namespaces)?;
        }
        Ok(())
    }

    fn end(&mut self) {
        self.tree.close();
        let depth = self.tree.depth();
        self.scope.leave(depth);
        self.done = depth == 0;
    }

    /// Character data between markup and references.
    fn text(&mut self, piece: &str) -> Result<(), XmlError> {
        if memchr::memchr_iter(b'>', piece.as_bytes())
            .any(|at| piece.get(..at).is_some_and(|p| p.ends_with("]]")))
        {
            return Err(XmlError::NotWellFormed("']]>' in text"));
        }
        self.raw_text(piece);
        Ok(())
    }

    /// Characters as they come, line ends made one (XML 1.0 §2.11).
    fn raw_text(&mut self, piece: &str) {
        let mut pieces = piece.split('\r');
        self.tree.text(pieces.next().unwrap_or_default());
        for piece in pieces {
            if !piece.starts_with('\n') {
                self.tree.text("\n");
            }
            self.tree.text(piece);
        }
    }

    fn reference(&mut self, name: &str) -> Result<(), XmlError> {
        let c = resolve(name)?;
        self.tree.text(c.encode_utf8(&mut [0; 4]));
        Ok(())
    }

    fn split(&self, name: &'a str) -> Result<(&'a str, &'a str), XmlError> {
        if name.len() > self.limits.name_bytes {
            return Err(XmlError::Limit("name length"));
        }
        chars::split_qname(name)
    }

    fn check_size(&self) -> Result<(), XmlError> {
        if self.tree.used_bytes() > self.budget {
            Err(XmlError::Limit("size of the tree"))
        } else if self.declarations > self.declarations_budget {
            Err(XmlError::Limit("namespace declarations to write"))
        } else {
            Ok(())
        }
    }
}

/// What a declaration takes besides its names.
const DECLARATION: usize = " xmlns:=''".len();

/// `piece` without `before` bytes in front and `after` bytes at the end.
fn inside(piece: &str, before: usize, after: usize) -> &str {
    piece
        .get(before..piece.len().saturating_sub(after))
        .unwrap_or_default()
}

fn refused(error: &quick_xml::Error) -> XmlError {
    XmlError::NotWellFormed(match error {
        quick_xml::Error::IllFormed(IllFormedError::MismatchedEndTag { .. }) => {
            "end tag does not match"
        }
        quick_xml::Error::IllFormed(IllFormedError::UnclosedReference) => {
            "reference without an end"
        }
        quick_xml::Error::IllFormed(_) => "ill-formed markup",
        _ => "markup without an end",
    })
}
