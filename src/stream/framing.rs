//! How a stream begins, ends and carries elements on its transport. The one place that knows.

use crate::proto::ns;
use crate::xml::{Element, write};

/// The transport's framing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// One long XML document in each direction (RFC 6120 §4).
    Tcp,
    /// The same between servers: in `jabber:server`, with the prefix of dialback (XEP-0220 §2.4.1).
    Server,
    /// The same with components: in `jabber:component:accept`, without version and language, which it does not know (XEP-0114 §3).
    Component,
}

/// Our stream header (RFC 6120 §4.7).
pub(super) struct Opening<'a> {
    pub from: &'a str,
    pub to: Option<&'a str>,
    /// Of the receiving end alone (RFC 6120 §4.7.3).
    pub id: Option<&'a str>,
}

impl Framing {
    /// Writes our header. The language is that of our error texts; the version the one that is.
    pub(super) fn open(self, opening: &Opening<'_>, out: &mut Vec<u8>) {
        out.extend_from_slice(b"<?xml version='1.0'?><stream:stream");
        match self {
            Framing::Tcp => attribute("xmlns", ns::CLIENT, out),
            Framing::Server => {
                attribute("xmlns", ns::SERVER, out);
                attribute("xmlns:db", ns::DIALBACK, out);
            }
            Framing::Component => attribute("xmlns", ns::COMPONENT, out),
        }
        attribute("xmlns:stream", ns::STREAM, out);
        if self != Framing::Component {
            attribute("version", "1.0", out);
            attribute("xml:lang", "en", out);
        }
        attribute("from", opening.from, out);
        if let Some(id) = opening.id {
            attribute("id", id, out);
        }
        if let Some(to) = opening.to {
            attribute("to", to, out);
        }
        out.push(b'>');
    }

    /// Writes our footer.
    pub(super) fn close(self, out: &mut Vec<u8>) {
        match self {
            Framing::Tcp | Framing::Server | Framing::Component => {
                out.extend_from_slice(b"</stream:stream>")
            }
        }
    }

    /// Writes a first-level element.
    pub(super) fn element(self, element: &Element, out: &mut Vec<u8>) {
        match (self, element.ns()) {
            (_, ns::STREAM) => prefixed("stream", element, out),
            (Framing::Server, ns::DIALBACK) => prefixed("db", element, out),
            // What is `jabber:client` here is the content namespace on every stream.
            (_, _) => {
                write::element(element.root(), ns::CLIENT, out);
            }
        }
    }
}

/// Features and errors carry the prefix `stream`, because clients look for it (RFC 6120 §4.8.5); dialback carries `db`,
/// because some servers know no other (XEP-0220 §2.4.1).
fn prefixed(prefix: &str, element: &Element, out: &mut Vec<u8>) {
    let name = |out: &mut Vec<u8>| {
        out.extend_from_slice(prefix.as_bytes());
        out.push(b':');
        out.extend_from_slice(element.name().as_bytes());
    };
    out.push(b'<');
    name(out);
    for (local, _, value) in element.attrs().filter(|(_, ns, _)| ns.is_empty()) {
        attribute(local, value, out);
    }
    out.push(b'>');
    write::contents(element.root(), ns::CLIENT, out);
    out.extend_from_slice(b"</");
    name(out);
    out.push(b'>');
}

fn attribute(name: &str, value: &str, out: &mut Vec<u8>) {
    out.push(b' ');
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"='");
    write::attr_value(value, out);
    out.push(b'\'');
}
