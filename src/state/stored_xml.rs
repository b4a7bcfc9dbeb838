//! XML as it lies in the store: an element by itself, with every namespace it needs.

use crate::store::Key;
use crate::xml::{self, Context, El, Element, Limits};

/// Where an element of private XML (XEP-0049) lies in `Space::PRIVATE_XML`, after the number of its account.
pub fn private_key(ns: &str, name: &str) -> Key {
    Key::new().str(ns).str(name)
}

/// An element as bytes.
pub fn write(element: El<'_>) -> Vec<u8> {
    let mut bytes = Vec::new();
    xml::write::element(element, crate::proto::ns::CLIENT, &mut bytes);
    bytes
}

/// Reads what [`write()`] wrote; `None` if it is something else.
pub fn read(bytes: &[u8]) -> Option<Element> {
    xml::parse(bytes, &Context::client(), &Limits::STORED).ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn there_and_back() {
        let inner = Element::new("b", "urn:b")
            .with_text("<&>")
            .with_attr("c", "'\"");
        let element = Element::new("a", "urn:a").with_child(inner);
        assert_eq!(read(&write(element.root())).unwrap(), element);
        assert_eq!(read(b"<a"), None);
    }
}
