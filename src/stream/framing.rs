//! How a stream begins, ends and carries elements on its transport. The one place that knows.

use crate::proto::{Jid, Stanza, ns};
use crate::xml::{Element, write};
use smallvec::{SmallVec, smallvec};

/// The transport's framing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Framing {
    /// One long XML document in each direction (RFC 6120 §4).
    #[default]
    Tcp,
    /// The same between servers: in `jabber:server`, with the prefix of dialback (XEP-0220 §2.4.1).
    Server,
    /// The same with components: in `jabber:component:accept`, without version and language, which it does not know (XEP-0114 §3).
    Component,
    /// Each element a WebSocket message and a document by itself (RFC 7395 §3.3).
    WebSocket,
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
        if self == Framing::WebSocket {
            return self.framed(out, |out| open_framed(opening, out));
        }
        out.extend_from_slice(b"<?xml version='1.0'?><stream:stream");
        match self {
            Framing::Tcp | Framing::WebSocket => attribute("xmlns", ns::CLIENT, out),
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
            Framing::WebSocket => self.text(&format!("<close xmlns='{}'/>", ns::FRAMING), out),
        }
    }

    /// Writes a first-level element.
    pub(super) fn element(self, element: &Element, out: &mut Vec<u8>) {
        self.framed(out, |out| match (self, element.ns()) {
            (_, ns::STREAM) => prefixed(self, "stream", element, out),
            (Framing::Server, ns::DIALBACK) => prefixed(self, "db", element, out),
            (Framing::WebSocket, _) => write::element(element.root(), "", out),
            // What is `jabber:client` here is the content namespace on every stream.
            (_, _) => write::element(element.root(), ns::CLIENT, out),
        });
    }

    /// Writes a stanza, to another recipient than it names if there is one.
    pub fn stanza(self, stanza: &Stanza, to: Option<&Jid>, out: &mut Vec<u8>) {
        let xmlns = (self == Framing::WebSocket).then_some(ns::CLIENT);
        self.framed(out, |out| match to {
            Some(to) => stanza.write_to(to, xmlns, out),
            None => stanza.write(xmlns, out),
        });
    }

    /// Writes a first-level element that declares its namespace, as it stands here.
    pub fn text(self, element: &str, out: &mut Vec<u8>) {
        self.framed(out, |out| out.extend_from_slice(element.as_bytes()));
    }

    /// Writes what is one element, as it has to be carried.
    fn framed(self, out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
        if self != Framing::WebSocket {
            return write(out);
        }
        let start = out.len();
        // Nearly every element needs a head of four bytes, or of two: then the rest moves up.
        out.extend_from_slice(&[0; 4]);
        write(out);
        let length = out.len().saturating_sub(start).saturating_sub(4);
        let head = websocket_head(length);
        drop(out.splice(start..start + 4, head));
    }
}

/// Features and errors carry the prefix `stream`, because clients look for it (RFC 6120 §4.8.5); dialback carries `db`,
/// because some servers know no other (XEP-0220 §2.4.1).
fn prefixed(framing: Framing, prefix: &str, element: &Element, out: &mut Vec<u8>) {
    let name = |out: &mut Vec<u8>| {
        out.extend_from_slice(prefix.as_bytes());
        out.push(b':');
        out.extend_from_slice(element.name().as_bytes());
    };
    out.push(b'<');
    name(out);
    if framing == Framing::WebSocket {
        attribute("xmlns:stream", ns::STREAM, out);
    }
    for (local, _, value) in element.attrs().filter(|(_, ns, _)| ns.is_empty()) {
        attribute(local, value, out);
    }
    out.push(b'>');
    let default = match framing {
        Framing::WebSocket => "",
        _ => ns::CLIENT,
    };
    write::contents(element.root(), default, out);
    out.extend_from_slice(b"</");
    name(out);
    out.push(b'>');
}

/// The header of a framed stream (RFC 7395 §3.4).
fn open_framed(opening: &Opening<'_>, out: &mut Vec<u8>) {
    out.extend_from_slice(b"<open");
    attribute("xmlns", ns::FRAMING, out);
    attribute("version", "1.0", out);
    attribute("xml:lang", "en", out);
    attribute("from", opening.from, out);
    for (name, value) in [("id", opening.id), ("to", opening.to)] {
        if let Some(value) = value {
            attribute(name, value, out);
        }
    }
    out.extend_from_slice(b"/>");
}

/// The head of the only frame of a text message that is not masked (RFC 6455 §5.2).
fn websocket_head(length: usize) -> SmallVec<[u8; 10]> {
    let mut head = smallvec![0x81];
    match (u8::try_from(length), u16::try_from(length)) {
        (Ok(short @ ..=125), _) => head.push(short),
        (_, Ok(middle)) => {
            head.push(126);
            head.extend(middle.to_be_bytes());
        }
        _ => {
            head.push(127);
            head.extend((length as u64).to_be_bytes());
        }
    }
    head
}

fn attribute(name: &str, value: &str, out: &mut Vec<u8>) {
    out.push(b' ');
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"='");
    write::attr_value(value, out);
    out.push(b'\'');
}
