//! XEP-0297: Stanza Forwarding (1.0).

use super::delay::Delay;
use super::ns;
use super::stanza::Stanza;
use crate::xml::{El, Element};

/// Wraps a stanza, with the time it was received, for a protocol that carries it.
pub fn wrap(stanza: &Stanza, delay: Option<&Delay>) -> Element {
    let forwarded = Element::new("forwarded", ns::FORWARD);
    let forwarded = match delay {
        Some(delay) => forwarded.with_child(delay.to_element()),
        None => forwarded,
    };
    forwarded.with_child(stanza.to_element())
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
    use crate::proto::stanza::MessageType;

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
        assert_eq!(when, Some(delay));
        assert_eq!(inner.to_element(), message.to_element());
        assert!(unwrap(inner).is_none());
    }
}
