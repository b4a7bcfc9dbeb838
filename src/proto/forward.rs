//! XEP-0297: Stanza Forwarding (1.0).

use super::delay::Delay;
use super::ns;
use super::stanza::{MessageType, Stanza};
use crate::xml::{self, El, Element};

/// Wraps a stanza, with the time it was received, for a protocol that carries it.
pub fn wrap(stanza: &Stanza, delay: Option<&Delay>) -> Element {
    let forwarded = Element::new("forwarded", ns::FORWARD);
    let forwarded = match delay {
        Some(delay) => forwarded.with_child(delay.to_element()),
        None => forwarded,
    };
    forwarded.with_child(stanza.to_element())
}

/// A message that carries another inside `outer`, which is empty. `inner` is what
/// [`Stanza::to_bytes`] wrote; it goes out as it is, for any number of recipients, and the hooks of
/// the carrying message see `outer` alone.
pub fn carry(kind: MessageType, outer: &Element, delay: Option<&Delay>, inner: &[u8]) -> Stanza {
    let mut out = Vec::with_capacity(inner.len() + 320);
    xml::write::element(outer.root(), ns::CLIENT, &mut out);
    out.truncate(out.len().saturating_sub("/>".len()));
    out.extend_from_slice(b"><forwarded xmlns='");
    out.extend_from_slice(ns::FORWARD.as_bytes());
    out.extend_from_slice(b"'>");
    if let Some(delay) = delay {
        xml::write::element(delay.to_element().root(), ns::FORWARD, &mut out);
    }
    out.extend_from_slice(inner);
    out.extend_from_slice(b"</forwarded></");
    out.extend_from_slice(outer.name().as_bytes());
    out.push(b'>');
    Stanza::rendered(kind, outer, out)
}

/// The stanza inside a `<forwarded/>` and its delay. What it claims, its `from` above all, is
/// only as good as whoever sent it.
pub fn unwrap(el: El<'_>) -> Option<(El<'_>, Option<Delay>)> {
    if !el.is("forwarded", ns::FORWARD) {
        return None;
    }
    let stanza = el.children().find(|child| child.ns() == ns::CLIENT)?;
    let delay = el.child("delay", ns::DELAY).and_then(Delay::parse);
    Some((stanza, delay))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::proto::Jid;

    #[test]
    fn there_and_back() {
        let message = Stanza::message(MessageType::Chat)
            .with_from(Jid::parse("juliet@capulet.lit/orchard").unwrap())
            .with_id("0202197")
            .with_child(Element::new("body", ns::CLIENT).with_text("Yet I should kill thee"));
        let delay = Delay {
            stamp: 1_278_803_305_000,
            from: None,
        };
        let wrapped = wrap(&message, Some(&delay));
        let (inner, when) = unwrap(wrapped.root()).unwrap();
        assert_eq!(when.as_ref(), Some(&delay));
        assert_eq!(inner.to_element(), message.to_element());
        assert!(unwrap(inner).is_none());

        let outer = Element::new("result", ns::MAM).with_attr("queryid", "<'&\">");
        let bytes = message.to_bytes();
        let carried = carry(MessageType::Normal, &outer, Some(&delay), &bytes).to_bytes();
        let plain = Stanza::message(MessageType::Normal)
            .with_child(outer.with_child(wrap(&message, Some(&delay))));
        let read = |bytes: &[u8]| Stanza::from_bytes(bytes).unwrap().to_element();
        assert_eq!(read(&carried), read(&plain.to_bytes()));
    }
}
