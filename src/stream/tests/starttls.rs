//! RFC 6120 §5: STARTTLS.

use super::play::*;
use crate::stream::*;
use crate::xml::XmlError;

const STARTTLS: &str = "<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>";

#[test]
fn tls_begins_and_the_stream_starts_over() {
    let mut play = Play::tcp().opened();
    let heard = play.say(&format!("{STARTTLS}{}", plain("juliet", PASSWORD)));
    assert_eq!(heard, "<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>");
    assert!(play.secure && play.questions.is_empty());
    play.secure = false;
    play.input(Input::Secured(tls()));
    assert_eq!(play.heard(), "");
    let heard = play.say(OPEN);
    assert!(
        heard.contains("<mechanism>SCRAM-SHA-256-PLUS</mechanism>"),
        "{heard}"
    );
    assert!(!heard.contains("starttls"));
    assert!(play.say(&plain("juliet", PASSWORD)).contains("<success"));
}

#[test]
fn what_was_said_before_tls_is_forgotten() {
    let mut play = Play::tcp();
    play.say(&OPEN.replace("to=", "from='romeo@example.org' xml:lang='fr' to="));
    play.say(STARTTLS);
    play.secure = false;
    play.input(Input::Secured(tls()));
    let heard = play.say(OPEN);
    assert!(!heard.contains("romeo"), "{heard}");
    assert!(play.say(&plain("juliet", PASSWORD)).contains("<success"));
    play.say(OPEN);
    play.say(
        "<iq type='set' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq><message/>",
    );
    let log = play.seat.0.lock().unwrap();
    assert_eq!(log.stanzas[0].attr("xml:lang"), None);
}

#[test]
fn a_malformed_or_unoffered_request_fails_and_ends_the_stream() {
    let failure = "<failure xmlns='urn:ietf:params:xml:ns:xmpp-tls'/></stream:stream>";
    for wrong in [
        "<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'>x</starttls>",
        "<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'><required/></starttls>",
        "<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>",
    ] {
        assert_eq!(Play::tcp().opened().say(wrong), failure);
    }
    assert_eq!(Play::tls().opened().say(STARTTLS), failure);
    assert_eq!(Play::authenticated().say(STARTTLS), failure);
}

#[test]
fn no_password_is_looked_at_before_tls() {
    for attempt in [
        plain("juliet", PASSWORD),
        authenticate("PLAIN", "\0juliet\0x", ""),
    ] {
        let mut play = Play::tcp().opened();
        let heard = play.say(&attempt);
        assert!(heard.contains("<encryption-required"), "{heard}");
        assert!(play.questions.is_empty());
    }
}

#[test]
fn whatever_ends_a_handshake_ends_it_without_a_word() {
    for end in [
        Input::Expired,
        Input::Stop(None),
        Input::Footer,
        Input::BadXml(XmlError::BadPrefix),
    ] {
        let mut play = Play::tcp().opened();
        play.say(STARTTLS);
        play.input(end);
        assert_eq!(play.heard(), "");
        assert!(play.closed);
    }
}
