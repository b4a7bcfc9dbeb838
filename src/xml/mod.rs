//! Bytes to elements and back: framer, strict parser, limits, writer. No socket, no clock, no `async`.
//!
//! What comes in is cut by [`Framer`], checked and turned into an [`Element`] by [`parse()`], and what goes out is always
//! written from the tree by [`write`](mod@write), never copied from bytes that came in (RFC 6120 §11; XML 1.0, fifth
//! edition; Namespaces in XML 1.0, third edition).

mod attributes;
mod builder;
mod chars;
mod context;
mod cursor;
mod error;
mod framer;
mod header;
mod limits;
mod names;
mod node;
mod parse;
mod scope;
mod tree;
pub mod write;

pub use builder::TreeBuilder;
pub use context::{Content as StreamContent, Context};
pub use cursor::{Content, El};
pub use error::XmlError;
pub use framer::{Frame, Framer};
pub use header::{Header, parse_document, parse_header};
pub use limits::Limits;
pub use parse::parse;
pub use tree::Element;

/// The namespace the prefix `xml` is always bound to (Namespaces in XML §3).
pub const XML: &str = "http://www.w3.org/XML/1998/namespace";
/// The namespace the prefix `xmlns` is always bound to; no element or attribute may be in it (Namespaces in XML §3).
pub const XMLNS: &str = "http://www.w3.org/2000/xmlns/";
/// The stream namespace (RFC 6120 §4.8.1).
pub const STREAMS: &str = "http://etherx.jabber.org/streams";

#[cfg(test)]
mod tests;
