//! From a stanza to its bytes: a header of its own, a body rendered once, a tail.

use std::cell::RefCell;

use super::Stanza;
use crate::proto::{Jid, ns};
use crate::xml::{self, Element};

impl Stanza {
    /// Appends the stanza to `out`; `with_xmlns` declares a default namespace on it, for places
    /// outside a stream. The body is rendered at most once, however many share it.
    pub fn write(&self, with_xmlns: Option<&str>, out: &mut Vec<u8>) {
        self.write_addressed(self.to.as_ref(), with_xmlns, out);
    }

    /// Like [`Stanza::write`] with another `to`, for many recipients of one stanza.
    pub fn write_to(&self, to: &Jid, with_xmlns: Option<&str>, out: &mut Vec<u8>) {
        self.write_addressed(Some(to), with_xmlns, out);
    }

    /// The stanza by itself, in `jabber:client`: the form it is stored in.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.size_hint());
        self.write(Some(ns::CLIENT), &mut out);
        out
    }

    /// The bytes of the children as they came, without what the server appended.
    pub fn body_bytes(&self) -> &[u8] {
        self.contents()
    }

    /// About how many bytes the stanza takes on the wire; close once the body is rendered.
    pub fn size_hint(&self) -> usize {
        let addresses = [&self.from, &self.to].into_iter().flatten();
        let header: usize = addresses.map(|jid| jid.as_str().len()).sum();
        let tail: usize = self.tail.iter().map(Element::heap_bytes).sum();
        let body = match self.body.contents.get() {
            Some(contents) => contents.len(),
            None => self.body.root.heap_bytes(),
        };
        96 + header + body + tail
    }

    /// The stanza as one tree, for wrapping it into another.
    pub fn to_element(&self) -> Element {
        let mut el = self.body.root.clone();
        el.set_attr("from", self.from.as_ref().map(Jid::as_str));
        el.set_attr("to", self.to.as_ref().map(Jid::as_str));
        el.set_attr("id", self.id.as_deref());
        el.set_attr("type", self.kind.type_attr());
        el.set_attr("xml:lang", self.lang.as_deref());
        for child in &self.tail {
            el.push_child(child.root());
        }
        el
    }

    fn write_addressed(&self, to: Option<&Jid>, with_xmlns: Option<&str>, out: &mut Vec<u8>) {
        let name = self.kind.name().as_bytes();
        out.push(b'<');
        out.extend_from_slice(name);
        write_attr("xmlns", with_xmlns, out);
        write_attr("from", self.from.as_ref().map(Jid::as_str), out);
        write_attr("to", to.map(Jid::as_str), out);
        write_attr("id", self.id.as_deref(), out);
        write_attr("type", self.kind.type_attr(), out);
        write_attr("xml:lang", self.lang.as_deref(), out);
        if self.body.others {
            self.write_others(out);
        }
        let contents = self.contents();
        if contents.is_empty() && self.tail.is_empty() {
            out.extend_from_slice(b"/>");
            return;
        }
        out.push(b'>');
        out.extend_from_slice(contents);
        self.write_tail(out);
        out.extend_from_slice(b"</");
        out.extend_from_slice(name);
        out.push(b'>');
    }

    /// What the server appended.
    pub(super) fn write_tail(&self, out: &mut Vec<u8>) {
        for child in &self.tail {
            xml::write::element(child.root(), ns::CLIENT, out);
        }
    }

    /// The bytes of the body's children, rendered by whoever comes first.
    fn contents(&self) -> &[u8] {
        self.body.contents.get_or_init(|| {
            DESK.with_borrow_mut(|desk| {
                desk.clear();
                xml::write::contents(self.body.root.root(), ns::CLIENT, desk);
                let contents = Box::from(desk.as_slice());
                if desk.capacity() > DESK_BYTES {
                    *desk = Vec::new();
                }
                contents
            })
        })
    }

    /// The attributes of the root that came with the stanza and mean nothing here.
    fn write_others(&self, out: &mut Vec<u8>) {
        for (number, (local, namespace, value)) in self.body.root.attrs().enumerate() {
            match (namespace, local) {
                ("", "from" | "to" | "id" | "type") | (xml::XML, "lang") => {}
                ("", _) => write_attr(local, Some(value), out),
                (xml::XML, _) => write_attr(&format!("xml:{local}"), Some(value), out),
                _ => {
                    write_attr(&format!("xmlns:a{number}"), Some(namespace), out);
                    write_attr(&format!("a{number}:{local}"), Some(value), out);
                }
            }
        }
    }
}

/// What of [`DESK`] a thread keeps, in bytes.
const DESK_BYTES: usize = 16 << 10;

thread_local! {
    /// Where a body is rendered whose size is not known before.
    static DESK: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

fn write_attr(name: &str, value: Option<&str>, out: &mut Vec<u8>) {
    if let Some(value) = value {
        out.push(b' ');
        out.extend_from_slice(name.as_bytes());
        out.extend_from_slice(b"='");
        xml::write::attr_value(value, out);
        out.push(b'\'');
    }
}
