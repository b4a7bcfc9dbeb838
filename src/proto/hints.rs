//! XEP-0334: Message Processing Hints (1.0.0).

use super::ns;
use super::stanza::{Kind, MessageType, Stanza};

/// What the sender asked of whoever handles a message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Hints {
    /// Keep it in no archive.
    pub no_permanent_store: bool,
    /// Keep it nowhere, not even for a client that is away.
    pub no_store: bool,
    /// Copy it to no other address, carbons included.
    pub no_copy: bool,
    /// Keep it, though the rules might not.
    pub store: bool,
}

impl Hints {
    /// The hints of a message; none for an error, which may carry those of the original (§5).
    pub fn of(stanza: &Stanza) -> Hints {
        let mut hints = Hints::default();
        if stanza.kind == Kind::Message(MessageType::Error) {
            return hints;
        }
        for child in stanza.children().filter(|child| child.ns() == ns::HINTS) {
            match child.name() {
                "no-permanent-store" => hints.no_permanent_store = true,
                "no-store" => hints.no_store = true,
                "no-copy" => hints.no_copy = true,
                "store" => hints.store = true,
                _ => {}
            }
        }
        hints
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::xml::Element;

    #[test]
    fn read_from_a_message_but_not_from_an_error() {
        let mut message = Stanza::message(MessageType::Chat)
            .with_child(Element::new("no-copy", ns::HINTS))
            .with_child(Element::new("store", ns::HINTS))
            .with_child(Element::new("no-store", "urn:example"));
        let hints = Hints {
            no_copy: true,
            store: true,
            ..Hints::default()
        };
        assert_eq!(Hints::of(&message), hints);
        message.kind = Kind::Message(MessageType::Error);
        assert_eq!(Hints::of(&message), Hints::default());
    }
}
