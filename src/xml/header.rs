//! The stream header: XML declaration and start tag (RFC 6120 §4.7, §11.5; XML 1.0 §2.8).

use super::attributes::Attributes;
use super::chars::{self, is_space};
use super::context::{Content, Context};
use super::parse::{parse, start_tag};
use super::{Element, Limits, STREAMS, XmlError};

/// A stream header as it was read.
#[derive(Debug, Clone)]
pub struct Header {
    /// The stream element with its attributes; it has no contents.
    pub element: Element,
    /// What it declares for the elements that follow.
    pub context: Context,
}

/// Reads an optional XML declaration and the start tag of the stream, from the first byte to the last.
///
/// # Errors
/// Whatever is wrong with the bytes; [`XmlError::InvalidNamespace`] and [`XmlError::BadPrefix`] if the element is not the
/// stream element or its default namespace is no content namespace.
pub fn parse_header(bytes: &[u8], limits: &Limits) -> Result<Header, XmlError> {
    if bytes.len() > limits.stanza_bytes {
        return Err(XmlError::TooLarge {
            limit: limits.stanza_bytes,
        });
    }
    let input = chars::text(bytes)?;
    let tag =
        after_declaration(input)?.trim_start_matches(|c: char| u8::try_from(c).is_ok_and(is_space));
    let whole = tag.starts_with('<') && tag.ends_with('>') && !tag.ends_with("/>");
    if !whole {
        return Err(XmlError::NotWellFormed("no stream header"));
    }
    let (element, scope) = start_tag(tag, &NOTHING, limits)?;
    let context = Context::new(scope.declarations());
    let default = scope
        .declarations()
        .find(|(prefix, _)| prefix.is_empty())
        .map_or("", |(_, ns)| ns);
    if element.name() != "stream" {
        return Err(XmlError::BadFormat("not a stream header"));
    }
    if element.ns() != STREAMS {
        let prefix_missing = scope
            .declarations()
            .any(|(prefix, ns)| !prefix.is_empty() && ns == STREAMS);
        return Err(if prefix_missing {
            XmlError::BadPrefix
        } else {
            XmlError::InvalidNamespace
        });
    }
    if !matches!(default, "" | STREAMS) && Content::of(default).is_none() {
        return Err(XmlError::InvalidNamespace);
    }
    Ok(Header { element, context })
}

/// Reads a document: exactly one element, after an XML declaration if there is one; `jabber:client` is the default
/// namespace. The first byte begins the one or the other (RFC 7395 §3.3.3).
///
/// # Errors
/// As [`parse`].
pub fn parse_document(bytes: &[u8], limits: &Limits) -> Result<Element, XmlError> {
    let end = bytes.iter().rposition(|byte| !is_space(*byte));
    let bytes = end.and_then(|end| bytes.get(..=end)).unwrap_or_default();
    if !bytes.starts_with(b"<?xml") {
        return parse(bytes, &Context::client(), limits);
    }
    let document = after_declaration(chars::text(bytes)?)?;
    let document = document.trim_start_matches(|c: char| u8::try_from(c).is_ok_and(is_space));
    parse(document.as_bytes(), &Context::client(), limits)
}

/// The context of a header.
static NOTHING: Context = Context::nothing();

/// What follows the XML declaration, if there is one.
fn after_declaration(input: &str) -> Result<&str, XmlError> {
    let Some(inside) = input.strip_prefix("<?xml") else {
        return Ok(input);
    };
    let (inside, rest) = inside
        .split_once("?>")
        .ok_or(XmlError::NotWellFormed("XML declaration without an end"))?;
    let mut attributes = Attributes::new(inside);
    match attributes.next()? {
        Some(("version", "1.0")) => {}
        _ => return Err(XmlError::NotWellFormed("not XML 1.0")),
    }
    let mut next = attributes.next()?;
    if let Some(("encoding", encoding)) = next {
        if !encoding.eq_ignore_ascii_case("utf-8") {
            return Err(XmlError::UnsupportedEncoding);
        }
        next = attributes.next()?;
    }
    match next {
        Some(("standalone", "no")) => {
            return Err(XmlError::Restricted("standalone document declaration"));
        }
        Some(("standalone", "yes")) => next = attributes.next()?,
        _ => {}
    }
    match next {
        None => Ok(rest),
        Some(_) => Err(XmlError::NotWellFormed("malformed XML declaration")),
    }
}
