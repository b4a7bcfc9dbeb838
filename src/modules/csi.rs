//! XEP-0352: Client State Indication (1.0.0): what an inactive client need not have at once waits for something important.

use std::sync::Arc;

use crate::hooks::{
    Class, Deps, Facts, Info, Module, ModuleError, Registrar, SessionEvent, SessionFlag, SessionId,
    Sift, Turn,
};
use crate::proto::ns;
use crate::proto::stanza::{Kind, MessageType, PresenceType, Stanza};
use crate::settings;
use crate::stream::tables::Stage;
use crate::xml::Element;

settings! {
    /// What an inactive client gets later.
    pub struct Config {
        /// Presence: the last one of each sender.
        pub presence: bool = true;
        /// That somebody types: the last such state of each sender.
        pub chat_states: bool = true;
        /// News of contacts that are not messages, such as moods and avatars.
        pub events: bool = true;
    }
}

/// Keeps back what is not important while a client is inactive.
pub struct Csi {
    config: Config,
}

impl Module for Csi {
    const INFO: Info = Info {
        name: "csi",
        specs: &[("XEP-0352", "1.0.0")],
        doc: "A client that nobody looks at is only woken for what matters.",
        on_by_default: true,
    };
    type Config = Config;

    fn build(config: Config, _: &Deps) -> Result<Self, ModuleError> {
        Ok(Csi { config })
    }

    fn register(self: Arc<Self>, r: &mut Registrar<'_>) {
        let inactive = r.session_flag("inactive");
        r.stream_feature(Stage::Authenticated, |_| Some(Element::new("csi", ns::CSI)));
        r.nonza((ns::CSI, "inactive"), move |_, session, turn| {
            set(inactive, true, session, turn);
        });
        r.nonza((ns::CSI, "active"), move |_, session, turn| {
            set(inactive, false, session, turn);
        });
        r.bind_inline((ns::CSI, "inactive"), move |_, session, turn| {
            set(inactive, true, session, turn);
            None
        });
        // Every stream begins active, a resumed one too (§5.2).
        r.session(move |event, session, turn| {
            if event == SessionEvent::Resumed {
                set(inactive, false, session, turn);
            }
        });
        r.outbox(inactive, move |stanza| self.sift(stanza));
    }
}

fn set(flag: SessionFlag, to: bool, session: SessionId, turn: &mut Turn<'_>) {
    if let Some(session) = turn.account.session_mut(session) {
        flag.set(session, to);
    }
}

impl Csi {
    fn sift(&self, stanza: &Stanza) -> Sift {
        let from = stanza.from.as_ref().map_or("", |from| from.as_str());
        match stanza.kind {
            Kind::Presence(PresenceType::Available | PresenceType::Unavailable)
                if self.config.presence =>
            {
                Sift::Replace(from.into())
            }
            Kind::Message(kind) => match Facts::of(stanza).class {
                // The key is no address: a presence of the same sender is another thing.
                Class::ChatState if self.config.chat_states => {
                    Sift::Replace(format!("state {from}").into())
                }
                _ if self.config.events && is_event(kind, stanza) => Sift::Hold,
                _ => Sift::Flush,
            },
            Kind::Presence(_) | Kind::Iq(_) => Sift::Flush,
        }
    }
}

/// News of a node (XEP-0060), which stay to be had there.
fn is_event(kind: MessageType, stanza: &Stanza) -> bool {
    kind == MessageType::Headline && stanza.child("event", ns::PUBSUB_EVENT).is_some()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::proto::jid::Jid;

    fn from(stanza: Stanza) -> Stanza {
        stanza.with_from(Jid::parse("romeo@x/orchard").unwrap())
    }

    #[test]
    fn what_matters_is_not_kept_back() {
        let csi = Csi {
            config: Config::default(),
        };
        let composing = Element::new("composing", ns::CHAT_STATES);
        let body = Element::new("body", ns::CLIENT).with_text("hi");
        let event = Element::new("event", ns::PUBSUB_EVENT);
        let chat = || from(Stanza::message(MessageType::Chat));
        let presence = |kind| from(Stanza::presence(kind));
        let cases = [
            (
                presence(PresenceType::Available),
                Sift::Replace("romeo@x/orchard".into()),
            ),
            (
                presence(PresenceType::Unavailable),
                Sift::Replace("romeo@x/orchard".into()),
            ),
            (presence(PresenceType::Subscribe), Sift::Flush),
            (
                chat().with_child(composing.clone()),
                Sift::Replace("state romeo@x/orchard".into()),
            ),
            (chat().with_child(composing).with_child(body), Sift::Flush),
            (
                from(Stanza::message(MessageType::Headline)).with_child(event),
                Sift::Hold,
            ),
        ];
        for (stanza, expected) in cases {
            assert_eq!(csi.sift(&stanza), expected, "{stanza:?}");
        }
    }
}
