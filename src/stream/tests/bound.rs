//! RFC 6120 §4.8: what a bound stream takes.

use super::play::*;
use crate::stream::*;
use crate::xml::Element;

#[test]
fn stanzas_go_to_the_seat_with_the_language_of_the_stream() {
    let mut play = Play::tls();
    play.say(OPEN);
    play.say(&plain("juliet", PASSWORD));
    play.say(&OPEN.replace("to=", "xml:lang='de-CH' to="));
    play.say("<iq type='set' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq>");
    play.say("<message to='a@b'><body>x</body></message><presence xml:lang='fr'/><iq type='get' id='1'/>");
    let log = play.seat.0.lock().unwrap();
    let seen: Vec<_> = log
        .stanzas
        .iter()
        .map(|el| (el.name(), el.attr("xml:lang")))
        .collect();
    assert_eq!(
        seen,
        [
            ("message", Some("de-CH")),
            ("presence", Some("fr")),
            ("iq", Some("de-CH"))
        ]
    );
}

#[test]
fn a_language_that_is_none_is_not_kept() {
    for lang in ["", "d e", "&lt;", &"x".repeat(36)] {
        let mut play = Play::tls().opened();
        play.say(&plain("juliet", PASSWORD));
        play.say(&OPEN.replace("to=", &format!("xml:lang='{lang}' to=")));
        play.say(
            "<iq type='set' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq><message/>",
        );
        assert_eq!(
            play.seat.0.lock().unwrap().stanzas[0].attr("xml:lang"),
            None,
            "{lang}"
        );
    }
}

#[test]
fn the_session_request_is_a_no_op() {
    let session =
        "<iq type='set' id='s'><session xmlns='urn:ietf:params:xml:ns:xmpp-session'/></iq>";
    let mut play = Play::bound();
    assert_eq!(play.say(session), "<iq type='result' id='s'/>");
    assert!(play.seat.0.lock().unwrap().stanzas.is_empty());
    // With acknowledgements both sides count it, so it takes the way of every stanza.
    play.say("<enable xmlns='urn:xmpp:sm:3'/>");
    assert_eq!(play.say(session), "");
    assert_eq!(play.seat.0.lock().unwrap().stanzas.len(), 1);
}

#[test]
fn nonzas_of_modules() {
    let mut play = Play::bound();
    assert_eq!(play.say("<active xmlns='urn:test'/>"), "");
    assert_eq!(
        play.say("<ask xmlns='urn:test'/>"),
        "<told xmlns='urn:test'/>"
    );
    assert_eq!(play.seat.0.lock().unwrap().nonzas.len(), 2);
    assert_eq!(
        stream_error(&play.say("<bad xmlns='urn:test'/>")),
        "policy-violation"
    );
}

#[test]
fn everything_else_ends_the_stream() {
    for (wrong, condition) in [
        ("<pubsub/>", "unsupported-stanza-type"),
        ("<x xmlns='urn:x'/>", "unsupported-stanza-type"),
        ("<message xmlns='urn:x'/>", "unsupported-stanza-type"),
        ("<message xmlns='jabber:server'/>", "invalid-namespace"),
        ("<iq xmlns='jabber:component:accept'/>", "invalid-namespace"),
        ("<message xmlns=''/>", "invalid-namespace"),
        ("<stream:features/>", "unsupported-stanza-type"),
        (
            "<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>",
            "unsupported-stanza-type",
        ),
        ("<message></body>", "not-well-formed"),
        ("<!-- x -->", "restricted-xml"),
    ] {
        let mut play = Play::bound();
        assert_eq!(stream_error(&play.say(wrong)), condition, "{wrong}");
        assert_eq!(play.seat.0.lock().unwrap().closed, [End::Error]);
    }
}

#[test]
fn a_busy_seat_pauses_the_driver() {
    let mut play = Play::bound();
    play.say("<message/>");
    assert!(!play.paused);
    play.seat.0.lock().unwrap().busy = true;
    play.say("<message/>");
    assert!(play.paused);
}

#[test]
fn nothing_a_client_sends_is_printed() {
    let element = Element::new("auth", "x").with_text("AGp1bGlldAByMG0=");
    assert_eq!(format!("{:?}", Input::Element(element)), "Element");
    let send = Action::Send(b"<success/>".to_vec());
    assert_eq!(format!("{send:?}"), "Send(10 bytes)");
}

#[test]
fn little_is_kept() {
    assert!(size_of::<Machine>() <= 200, "{}", size_of::<Machine>());
}
