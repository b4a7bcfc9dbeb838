//! Stanzas: read, written, answered (RFC 6120 §8).

#![allow(clippy::unwrap_used, clippy::expect_used)]

use super::*;
use crate::proto::{Condition, StanzaError};
use crate::xml::{Context, Limits, parse};

fn element(text: &str) -> Element {
    parse(text.as_bytes(), &Context::client(), &Limits::default()).expect(text)
}

fn stanza(text: &str) -> Stanza {
    Stanza::from_element(element(text)).expect(text)
}

fn rejected(text: &str) -> (Condition, Option<String>) {
    let rejected = Stanza::from_element(element(text)).expect_err(text);
    (
        rejected.error.condition,
        rejected.answer().map(|answer| format!("{answer:?}")),
    )
}

fn jid(text: &str) -> Jid {
    Jid::parse(text).unwrap()
}

#[test]
fn the_header_is_read() {
    let stanza = stanza(
        "<message from='a@b/c' to='D@e' id='x' type='chat' xml:lang='de'><body>hi</body></message>",
    );
    assert_eq!(stanza.kind, Kind::Message(MessageType::Chat));
    assert_eq!(stanza.from, Some(jid("a@b/c")));
    assert_eq!(stanza.to, Some(jid("d@e")));
    assert_eq!(stanza.id.as_deref(), Some("x"));
    assert_eq!(stanza.lang.as_deref(), Some("de"));
    assert_eq!(stanza.child("body", ns::CLIENT).unwrap().text(), "hi");
}

#[test]
fn types() {
    for (text, kind) in [
        ("<message/>", Kind::Message(MessageType::Normal)),
        (
            "<message type='normal'/>",
            Kind::Message(MessageType::Normal),
        ),
        (
            "<message type='shout'/>",
            Kind::Message(MessageType::Normal),
        ),
        (
            "<message type='groupchat'/>",
            Kind::Message(MessageType::Groupchat),
        ),
        ("<presence/>", Kind::Presence(PresenceType::Available)),
        (
            "<presence type='probe'/>",
            Kind::Presence(PresenceType::Probe),
        ),
        ("<iq type='result' id='1'/>", Kind::Iq(IqType::Result)),
    ] {
        assert_eq!(stanza(text).kind, kind, "{text}");
    }
}

#[test]
fn what_is_rejected_and_how_it_is_answered() {
    use Condition::*;
    for (text, condition, answer) in [
        (
            "<presence type='here' id='1' from='a@b/c'/>",
            BadRequest,
            "<presence to='a@b/c' id='1' type='error'>",
        ),
        (
            "<presence type='available'/>",
            BadRequest,
            "<presence type='error'>",
        ),
        (
            "<iq id='1' to='b'><q xmlns='x'/></iq>",
            BadRequest,
            "<iq from='b' id='1' type='error'>",
        ),
        (
            "<iq type='do' id='1'/>",
            BadRequest,
            "<iq id='1' type='error'>",
        ),
        (
            "<iq type='get'><q xmlns='x'/></iq>",
            BadRequest,
            "<iq type='error'>",
        ),
        (
            "<iq type='get' id='1'/>",
            BadRequest,
            "<iq id='1' type='error'>",
        ),
        (
            "<iq type='set' id='1'><a/><b/></iq>",
            BadRequest,
            "<iq id='1' type='error'>",
        ),
        (
            "<message to='@b' id='1'/>",
            JidMalformed,
            "<message id='1' type='error'>",
        ),
        (
            "<message from='a@' to='b'/>",
            JidMalformed,
            "<message from='b' type='error'>",
        ),
    ] {
        let (found, given) = rejected(text);
        let given = given.expect(text);
        assert_eq!(found, condition, "{text}");
        assert!(given.starts_with(answer), "{given}");
        assert!(given.contains(condition.as_str()), "{given}");
    }
}

#[test]
fn answers_are_never_answered() {
    for text in [
        "<iq type='result' id='1'><a/><b/></iq>",
        "<iq type='error'/>",
        "<message type='error' to='@'/>",
        "<presence type='error' to='@'/>",
        "<query/>",
        "<message xmlns='urn:example'/>",
    ] {
        assert_eq!(rejected(text).1, None, "{text}");
    }
}

#[test]
fn the_header_is_written_anew_and_the_rest_kept() {
    let mut stanza = stanza(
        "<message to='a@b' foo='1' xmlns:x='urn:x' x:bar='&lt;2' xml:space='preserve'>\
         <body>a &amp; b</body><x xmlns='urn:y'/></message>",
    );
    stanza.from = Some(jid("a@b/o'<>"));
    stanza.push(Element::new("delay", ns::DELAY));
    let mut out = Vec::new();
    stanza.write(None, &mut out);
    let text = String::from_utf8(out).unwrap();
    let again = super::tests::stanza(&text);
    assert_eq!(again.to_element(), stanza.to_element());
    assert_eq!(again.from, stanza.from);
    assert_eq!(again.body.root.attr("foo"), Some("1"));
    assert_eq!(again.body.root.attr_ns("bar", "urn:x"), Some("<2"));
    assert!(text.contains("xml:space='preserve'"), "{text}");
    assert!(again.child("delay", ns::DELAY).is_some());
}

#[test]
fn one_body_for_many() {
    let stanza = stanza("<message><body>hi</body></message>");
    let copies = ["a@b", "c@d/e"].map(|to| {
        let mut out = Vec::new();
        stanza.clone().write_to(&jid(to), None, &mut out);
        String::from_utf8(out).unwrap()
    });
    assert_eq!(copies[0], "<message to='a@b'><body>hi</body></message>");
    assert_eq!(copies[1], "<message to='c@d/e'><body>hi</body></message>");
    let contents = stanza.body.contents.get().unwrap().as_ptr();
    assert_eq!(
        stanza.clone().body.contents.get().unwrap().as_ptr(),
        contents
    );
}

#[test]
fn dropping_children_copies_only_what_changes() {
    let original = stanza("<message><a/><b/><body>hi</body></message>");
    let mut copy = original.clone();
    copy.push(Element::new("b", ns::CLIENT));
    assert!(!copy.retain_children(|_| true));
    assert!(Arc::ptr_eq(&copy.body, &original.body));
    assert!(copy.retain_children(|child| child.name() != "b"));
    assert_eq!(
        copy.children().map(|c| c.name()).collect::<Vec<_>>(),
        ["a", "body"]
    );
    assert_eq!(original.children().count(), 3);
    assert_eq!(
        format!("{copy:?}"),
        "<message><a/><body>hi</body></message>"
    );
}

#[test]
fn children_stay_in_order() {
    let child = |name| Element::new(name, ns::CLIENT);
    let mut message = Stanza::message(MessageType::Chat).with_child(child("a"));
    message.push(child("b"));
    let message = message.with_child(child("c"));
    assert_eq!(
        message
            .children()
            .map(|c| c.name().to_owned())
            .collect::<String>(),
        "abc"
    );
    assert_eq!(message.payload().unwrap().name(), "a");
}

#[test]
fn replies_and_errors() {
    let request = stanza("<iq type='get' id='1' from='a@b/c' to='d'><q xmlns='x'/></iq>");
    assert_eq!(
        format!("{:?}", request.reply()),
        "<iq from='d' to='a@b/c' id='1' type='result'/>"
    );
    let gone = StanzaError::from(Condition::ServiceUnavailable);
    let error = request.error(&gone).unwrap();
    assert_eq!(
        error.to_element(),
        element(
            "<iq from='d' to='a@b/c' id='1' type='error'><error type='cancel'>\
             <service-unavailable xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>"
        )
    );
    assert!(error.error(&gone).is_none());
    assert!(request.reply().error(&gone).is_none());
}

#[test]
fn folded_it_says_the_same() {
    let mut before = stanza("<message from='a@b' type='groupchat' x='1'><body>hi</body></message>");
    let plain = before.clone();
    before.push(Element::new("stanza-id", ns::STANZA_ID).with_attr("by", "a@b"));
    let folded = before.clone().folded();
    assert!(folded.tail.is_empty());
    assert_eq!(folded.to_bytes(), before.to_bytes());
    assert_eq!(folded.to_element(), before.to_element());
    assert!(!plain.to_bytes().ends_with(b"by='a@b'/></message>"));
}

#[test]
fn stored_and_read_back() {
    let mut stanza = stanza("<message from='a@b' type='chat'><body>hi</body></message>");
    stanza.push(Element::new("stanza-id", ns::STANZA_ID).with_attr("by", "a@b"));
    let bytes = stanza.to_bytes();
    assert!(bytes.starts_with(b"<message xmlns='jabber:client' from='a@b'"));
    let again = Stanza::from_bytes(&bytes).unwrap();
    assert_eq!(again.to_element(), stanza.to_element());
    assert!(matches!(
        Stanza::from_bytes(b"<message"),
        Err(StoredError::Xml(_))
    ));
    assert!(matches!(
        Stanza::from_bytes(b"<m/>"),
        Err(StoredError::Rejected(_))
    ));
}

#[test]
fn small() {
    assert!(size_of::<Stanza>() <= 128, "{}", size_of::<Stanza>());
}
