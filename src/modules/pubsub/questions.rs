//! What is asked of the service, and of which node.

use crate::hooks::Verb;
use crate::proto::error::StanzaError;
use crate::proto::form::Form;
use crate::proto::ns;
use crate::proto::stanza::{IqType, Kind, MessageType, Stanza};
use crate::state::nodes::requests;
use crate::xml::{El, Element};

/// Something that is asked.
pub(super) enum Question {
    /// What XEP-0060 has: the whole `<pubsub/>`.
    PubSub(Verb, Element),
    /// disco#info, of a node or of the service.
    Info(Option<String>),
    /// disco#items: the whole `<query/>`.
    Items(Element),
    /// Something of the archive of a node (XEP-0442).
    Archive(Verb, Element),
    /// XEP-0199.
    Ping,
    /// A command (XEP-0050).
    Command(Element),
    /// An owner approves a subscription, or does not (§8.6).
    Decision(Form),
    /// An event came back (§12.4).
    Bounced(StanzaError),
    /// An iq that is not understood.
    Other,
}

/// What a stanza asks; nothing, if it needs no answer.
pub(super) fn question(stanza: &Stanza) -> Option<Question> {
    match stanza.kind {
        Kind::Iq(IqType::Get) => Some(asked(Verb::Get, stanza.payload()?)),
        Kind::Iq(IqType::Set) => Some(asked(Verb::Set, stanza.payload()?)),
        Kind::Message(MessageType::Error) => {
            let error = stanza.child("error", ns::CLIENT)?;
            Some(Question::Bounced(StanzaError::parse(error)))
        }
        Kind::Message(_) => form(stanza).map(Question::Decision),
        _ => None,
    }
}

fn asked(verb: Verb, payload: El<'_>) -> Question {
    match (payload.ns(), payload.name(), verb) {
        (ns::PUBSUB | ns::PUBSUB_OWNER, "pubsub", _) => {
            Question::PubSub(verb, payload.to_element())
        }
        (ns::DISCO_INFO, "query", Verb::Get) => {
            Question::Info(payload.attr("node").map(str::to_owned))
        }
        (ns::DISCO_ITEMS, "query", Verb::Get) => Question::Items(payload.to_element()),
        (ns::MAM, "query", _) | (ns::MAM, "metadata", Verb::Get) => {
            Question::Archive(verb, payload.to_element())
        }
        (ns::PING, "ping", Verb::Get) => Question::Ping,
        (ns::COMMANDS, "command", Verb::Set) => Question::Command(payload.to_element()),
        _ => Question::Other,
    }
}

fn form(stanza: &Stanza) -> Option<Form> {
    let form = Form::parse(stanza.child("x", ns::DATA_FORM)?).ok()?;
    (form.form_type() == Some(requests::AUTHORIZATION)).then_some(form)
}

/// The node that a stanza is about.
pub(super) fn node_of(stanza: &Stanza) -> Option<String> {
    let payload = match stanza.kind {
        Kind::Iq(_) => stanza.payload()?,
        _ => return form(stanza).and_then(|form| requests::node_of(&form).map(str::to_owned)),
    };
    let named = match payload.ns() {
        // The one that the engine goes by.
        ns @ (ns::PUBSUB | ns::PUBSUB_OWNER) => payload.children().find(|act| act.ns() == ns)?,
        _ => payload,
    };
    named.attr("node").map(str::to_owned)
}
