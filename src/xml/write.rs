//! Trees to bytes. Everything written is well formed by itself (RFC 6120 §11.3): namespaces are declared where they are
//! used, and what XML cannot carry becomes U+FFFD.

use super::cursor::El;
use super::names::{Name, Span};
use super::node::View;
use super::{XML, chars};
use smallvec::SmallVec;

/// Appends `el` to `out`. `inherited_ns` is the default namespace where it is put; `xmlns` is written where an
/// element's namespace differs from its parent's.
pub fn element(el: El<'_>, inherited_ns: &str, out: &mut Vec<u8>) {
    run(el, 0, inherited_ns, out);
}

/// Appends what `el` holds, without `el` itself. `inherited_ns` is the default namespace where it is put.
pub fn contents(el: El<'_>, inherited_ns: &str, out: &mut Vec<u8>) {
    run(el, 1 + el.attr_count(), inherited_ns, out);
}

/// Appends `text` as character data.
pub fn text(text: &str, out: &mut Vec<u8>) {
    escape(
        text,
        |b| matches!(b, b'&' | b'<' | b'>' | 0xEF) | (b < b' '),
        |b| !matches!(b, b'\t' | b'\n'),
        out,
    );
}

/// Appends `value` as it stands between single or double quotes.
pub fn attr_value(value: &str, out: &mut Vec<u8>) {
    escape(
        value,
        |b| matches!(b, b'&' | b'<' | b'\'' | b'"' | 0xEF) | (b < b' '),
        |_| true,
        out,
    );
}

/// An element whose end tag is still to come.
struct Open<'a> {
    /// Offset of its end on the tape.
    end: usize,
    name: Name,
    /// The default namespace inside of it.
    default: &'a str,
}

/// Writes the nodes of `el` from offset `start` on.
fn run<'a>(el: El<'a>, start: usize, inherited_ns: &'a str, out: &mut Vec<u8>) {
    let mut open: SmallVec<[Open<'a>; 12]> = SmallVec::new();
    let tape = el.tape();
    let mut place = start;
    while let Some(node) = tape.get(place) {
        match node.view() {
            View::Open { name, len, attrs } => {
                let name = el.names().at(name);
                let inherited = open.last().map_or(inherited_ns, |open| open.default);
                let default = start_tag(el, place, name, inherited, out);
                if len == 1 + attrs {
                    out.extend_from_slice(b"/>");
                } else {
                    out.push(b'>');
                    open.push(Open {
                        end: place + len as usize,
                        name,
                        default,
                    });
                }
                place += 1 + attrs as usize;
            }
            View::Text(span) => {
                text(el.piece(span), out);
                place += 1;
            }
            View::Attr { .. } => place += 1,
        }
        while let Some(last) = open.last().filter(|last| last.end <= place) {
            out.extend_from_slice(b"</");
            tag_name(el, last.name, out);
            out.push(b'>');
            open.pop();
        }
    }
}

/// Writes a start tag without its end; the default namespace inside the element.
fn start_tag<'a>(
    el: El<'a>,
    place: usize,
    name: Name,
    inherited: &'a str,
    out: &mut Vec<u8>,
) -> &'a str {
    let ns = el.piece(name.ns);
    out.push(b'<');
    tag_name(el, name, out);
    // The XML namespace cannot be a default namespace (Namespaces in XML §3): such an element keeps its prefix.
    let default = if ns == XML { inherited } else { ns };
    if default != inherited {
        declaration("", default, out);
    }
    let mut prefixes = Prefixes::default();
    for (name, value) in el.inner(place).named_attrs() {
        let ns = el.piece(name.ns);
        if ns.is_empty() {
            out.push(b' ');
        } else if ns == XML {
            out.extend_from_slice(b" xml:");
        } else {
            let (prefix, new) = prefixes.of(name.ns, el.piece(name.prefix));
            if new {
                declaration(prefix, ns, out);
            }
            out.push(b' ');
            out.extend_from_slice(prefix.as_bytes());
            out.push(b':');
        }
        out.extend_from_slice(el.piece(name.local).as_bytes());
        quoted(el.piece(value), out);
    }
    default
}

fn tag_name(el: El<'_>, name: Name, out: &mut Vec<u8>) {
    if el.piece(name.ns) == XML {
        out.extend_from_slice(b"xml:");
    }
    out.extend_from_slice(el.piece(name.local).as_bytes());
}

/// Writes ` xmlns='ns'` or ` xmlns:prefix='ns'`.
fn declaration(prefix: &str, ns: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(b" xmlns");
    if !prefix.is_empty() {
        out.push(b':');
        out.extend_from_slice(prefix.as_bytes());
    }
    quoted(ns, out);
}

fn quoted(value: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(b"='");
    attr_value(value, out);
    out.push(b'\'');
}

/// The prefixes of one element's attributes.
#[derive(Default)]
struct Prefixes {
    taken: SmallVec<[(Span, SmallVec<[u8; 16]>); 2]>,
}

impl Prefixes {
    /// The prefix for `ns`, and whether it has to be declared: `hint` if that is free.
    fn of(&mut self, ns: Span, hint: &str) -> (&str, bool) {
        let known = self.taken.iter().position(|(taken, _)| *taken == ns);
        let place = known.unwrap_or_else(|| {
            let prefix = self.free(hint);
            self.taken.push((ns, prefix));
            self.taken.len() - 1
        });
        let prefix = self.taken.get(place).map_or("", |(_, prefix)| {
            std::str::from_utf8(prefix).unwrap_or_default()
        });
        (prefix, known.is_none())
    }

    fn free(&self, hint: &str) -> SmallVec<[u8; 16]> {
        let is_free = |wish: &[u8]| !self.taken.iter().any(|(_, taken)| taken.as_slice() == wish);
        if !matches!(hint, "" | "xml" | "xmlns") && is_free(hint.as_bytes()) {
            return SmallVec::from_slice(hint.as_bytes());
        }
        let mut number = self.taken.len();
        loop {
            let wish = format!("ns{number}");
            if is_free(wish.as_bytes()) {
                return SmallVec::from_slice(wish.as_bytes());
            }
            number += 1;
        }
    }
}

/// Appends `text` with references for what is `special`; `control` says which of the white space controls need one.
fn escape(
    text: &str,
    special: impl Fn(u8) -> bool,
    control: impl Fn(u8) -> bool,
    out: &mut Vec<u8>,
) {
    let bytes = text.as_bytes();
    if !bytes.iter().fold(false, |seen, &b| seen | special(b)) {
        out.extend_from_slice(bytes);
        return;
    }
    let mut copied = 0;
    for (at, &byte) in bytes.iter().enumerate().filter(|&(_, &b)| special(b)) {
        let (reference, width): (&[u8], usize) = match byte {
            b'&' => (b"&amp;", 1),
            b'<' => (b"&lt;", 1),
            b'>' => (b"&gt;", 1),
            b'\'' => (b"&apos;", 1),
            b'"' => (b"&quot;", 1),
            b'\t' if control(byte) => (b"&#9;", 1),
            b'\n' if control(byte) => (b"&#10;", 1),
            b'\r' => (b"&#13;", 1),
            b'\t' | b'\n' => continue,
            0xEF if !chars::has_illegal(bytes.get(at..at + 3).unwrap_or_default()) => continue,
            0xEF => ("\u{FFFD}".as_bytes(), 3),
            _ => ("\u{FFFD}".as_bytes(), 1),
        };
        out.extend_from_slice(bytes.get(copied..at).unwrap_or_default());
        out.extend_from_slice(reference);
        copied = at + width;
    }
    out.extend_from_slice(bytes.get(copied..).unwrap_or_default());
}
