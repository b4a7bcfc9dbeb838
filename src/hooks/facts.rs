//! Facts about a stanza, computed once when it enters and read by every hook.

use crate::proto::ns;
use crate::proto::stanza::{Kind, MessageType, Stanza};
use crate::xml::El;

/// What a message is for, by what it carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// Text or an encrypted payload for people.
    Content,
    /// A delivery receipt or a chat marker (XEP-0184, 0333).
    Marker,
    /// Only chat states (XEP-0085).
    ChatState,
    /// Call signalling (XEP-0353, 0482).
    Call,
    /// Something done to an earlier message: a reaction, a retraction, a correction, a file.
    Follow,
    /// Any other payload.
    Other,
    /// An error report.
    Error,
    /// Not a message.
    None,
}

/// How a message is encrypted, by its namespace alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sealed {
    /// OMEMO, either form (XEP-0384).
    Omemo,
    /// OpenPGP (XEP-0027, 0373).
    OpenPgp,
    /// MLS (`docs/mls.md`).
    Mls,
    /// Announced by XEP-0380, scheme unknown here.
    Other,
}

/// Facts of one stanza.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Facts {
    /// What it is for.
    pub class: Class,
    /// How it is encrypted, if it is.
    pub sealed: Option<Sealed>,
    /// XEP-0334 `no-store`: kept nowhere.
    pub no_store: bool,
    /// XEP-0334 `no-permanent-store`: kept for who is away, and in no archive.
    pub no_archive: bool,
    /// XEP-0334 `store`.
    pub store: bool,
    /// XEP-0334 `no-copy`, or XEP-0280 `private`.
    pub no_copy: bool,
}

const NOTHING: Facts = Facts {
    class: Class::None,
    sealed: None,
    no_store: false,
    no_archive: false,
    store: false,
    no_copy: false,
};

impl Facts {
    /// Reads the facts off a stanza.
    pub fn of(stanza: &Stanza) -> Self {
        let mut facts = NOTHING;
        let Kind::Message(kind) = stanza.kind else {
            return facts;
        };
        facts.class = Class::ChatState;
        let mut any = false;
        for child in stanza.children() {
            any = true;
            facts.note(child);
        }
        if !any {
            facts.class = Class::Other;
        }
        if kind == MessageType::Error {
            // Hints in an error are those of what it answers (XEP-0334 §5).
            return Facts {
                class: Class::Error,
                ..NOTHING
            };
        }
        facts
    }

    /// Whether the message must survive until its recipient has it (XEP-0160 §3, XEP-0334).
    pub fn storable(&self, kind: MessageType) -> bool {
        match kind {
            MessageType::Normal | MessageType::Chat => {}
            MessageType::Groupchat | MessageType::Headline | MessageType::Error => return false,
        }
        if self.no_store {
            return false;
        }
        self.store || !matches!(self.class, Class::ChatState | Class::None | Class::Error)
    }

    /// Whether the message belongs into an archive: it has meaning of its own, or for an earlier one
    /// (XEP-0313 §6.1.1, XEP-0334). Rooms have their own archives.
    pub fn lasting(&self, kind: MessageType) -> bool {
        let meant = match self.class {
            Class::Content | Class::Marker | Class::Call | Class::Follow => true,
            Class::Other | Class::ChatState => self.store,
            Class::Error | Class::None => false,
        };
        meant
            && !self.no_store
            && !self.no_archive
            && matches!(kind, MessageType::Normal | MessageType::Chat)
    }

    fn note(&mut self, child: El<'_>) {
        let class = match child.ns() {
            ns::CLIENT => match child.name() {
                "body" => Class::Content,
                "thread" => return,
                _ => Class::Other,
            },
            ns::CHAT_STATES => return,
            ns::HINTS => return self.note_hint(child.name()),
            ns::CARBONS if child.name() == "private" => {
                self.no_copy = true;
                return;
            }
            ns::STANZA_ID => return,
            ns::MAM if child.name() == "result" => {
                // Part of an answer: of no use later, and it must not be overtaken by the rest of it.
                self.no_store = true;
                Class::Other
            }
            ns::RECEIPTS if child.name() == "received" => Class::Marker,
            ns::CHAT_MARKERS if child.name() != "markable" => Class::Marker,
            ns::RECEIPTS | ns::CHAT_MARKERS => return,
            ns::JINGLE_MESSAGE | ns::CALL_INVITES => Class::Call,
            ns::OMEMO_LEGACY | ns::OMEMO if child.name() == "encrypted" => {
                self.sealed = Some(Sealed::Omemo);
                Class::Content
            }
            ns::OPENPGP => {
                self.sealed = Some(Sealed::OpenPgp);
                Class::Content
            }
            ns::MLS if child.name() == "mls" => {
                self.sealed = Some(Sealed::Mls);
                Class::Content
            }
            ns::REACTIONS
            | ns::RETRACT
            | ns::CORRECTION
            | ns::FASTEN
            | ns::OOB
            | ns::CONFERENCE => Class::Follow,
            ns::FILE_SHARING | ns::MEDIA_SHARING | ns::ATTACHING => Class::Follow,
            ns::ENCRYPTION => {
                self.sealed.get_or_insert(Sealed::Other);
                return;
            }
            _ => Class::Other,
        };
        if rank(class) > rank(self.class) {
            self.class = class;
        }
    }

    fn note_hint(&mut self, hint: &str) {
        match hint {
            "no-store" => self.no_store = true,
            "no-permanent-store" => self.no_archive = true,
            "store" => self.store = true,
            "no-copy" => self.no_copy = true,
            _ => {}
        }
    }
}

fn rank(class: Class) -> u8 {
    match class {
        Class::None | Class::ChatState | Class::Error => 0,
        Class::Other => 1,
        Class::Marker => 2,
        Class::Follow => 3,
        Class::Call => 4,
        Class::Content => 5,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::xml::Element;

    fn message(children: &[(&str, &str)]) -> Stanza {
        let mut stanza = Stanza::message(MessageType::Chat);
        for (name, ns) in children {
            stanza.push(Element::new(name, ns));
        }
        stanza
    }

    #[test]
    fn the_weightiest_payload_names_the_class() {
        type Case = (&'static [(&'static str, &'static str)], Class, bool);
        let cases: [Case; 7] = [
            (&[("body", ns::CLIENT)], Class::Content, true),
            (&[("composing", ns::CHAT_STATES)], Class::ChatState, false),
            (
                &[("active", ns::CHAT_STATES), ("body", ns::CLIENT)],
                Class::Content,
                true,
            ),
            (&[("received", ns::RECEIPTS)], Class::Marker, true),
            (
                &[("body", ns::CLIENT), ("no-store", ns::HINTS)],
                Class::Content,
                false,
            ),
            (
                &[("composing", ns::CHAT_STATES), ("store", ns::HINTS)],
                Class::ChatState,
                true,
            ),
            (&[], Class::Other, true),
        ];
        for (children, class, storable) in cases {
            let facts = Facts::of(&message(children));
            assert_eq!(facts.class, class, "{children:?}");
            assert_eq!(facts.storable(MessageType::Chat), storable, "{children:?}");
        }
    }

    #[test]
    fn what_has_meaning_lasts() {
        type Case = (&'static [(&'static str, &'static str)], bool);
        let cases: [Case; 14] = [
            (&[("body", ns::CLIENT)], true),
            (&[("mls", ns::MLS)], true),
            (&[("welcome", ns::MLS)], false),
            (&[("encrypted", ns::OMEMO_LEGACY)], true),
            (&[("received", ns::RECEIPTS)], true),
            (&[("displayed", ns::CHAT_MARKERS)], true),
            (&[("reactions", ns::REACTIONS)], true),
            (&[("retract", ns::RETRACT)], true),
            (&[("propose", ns::JINGLE_MESSAGE)], true),
            (&[("composing", ns::CHAT_STATES)], false),
            (&[("x", "urn:example")], false),
            (&[("x", "urn:example"), ("store", ns::HINTS)], true),
            (
                &[("body", ns::CLIENT), ("no-permanent-store", ns::HINTS)],
                false,
            ),
            (&[("body", ns::CLIENT), ("no-store", ns::HINTS)], false),
        ];
        for (children, lasting) in cases {
            let facts = Facts::of(&message(children));
            assert_eq!(facts.lasting(MessageType::Chat), lasting, "{children:?}");
        }
        let facts = Facts::of(&message(&[("body", ns::CLIENT)]));
        assert!(!facts.lasting(MessageType::Groupchat) && !facts.lasting(MessageType::Headline));
        let off_the_record = [("body", ns::CLIENT), ("no-permanent-store", ns::HINTS)];
        assert!(Facts::of(&message(&off_the_record)).storable(MessageType::Chat));
    }

    #[test]
    fn headlines_errors_and_room_messages_are_never_kept_for_later() {
        let facts = Facts::of(&message(&[("body", ns::CLIENT)]));
        assert!(!facts.storable(MessageType::Headline));
        assert!(!facts.storable(MessageType::Error));
        assert!(!facts.storable(MessageType::Groupchat));
        assert!(facts.storable(MessageType::Normal));
    }
}
