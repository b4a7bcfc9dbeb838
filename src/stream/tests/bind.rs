//! RFC 6120 §7: resource binding.

use super::play::*;
use crate::proto::{Condition, StanzaError};

fn bind(inside: &str) -> String {
    format!(
        "<iq type='set' id='b1'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'>{inside}</bind></iq>"
    )
}

#[test]
fn the_server_names_the_resource() {
    for inside in ["", "<resource/>"] {
        let mut play = Play::authenticated();
        let heard = play.say(&bind(inside));
        assert_eq!(
            heard,
            "<iq type='result' id='b1'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><jid>juliet@example.org/made</jid>\
             </bind></iq>"
        );
        assert_eq!(play.requests[0].wished, None);
        assert!(!play.requests[0].bind2);
        assert!(play.machine.is_bound() && play.seated && play.deadline.is_none());
    }
}

#[test]
fn the_client_names_it() {
    let mut play = Play::authenticated();
    let heard = play.say(&bind("<resource>balcony 🦊</resource>"));
    assert!(
        heard.contains("<jid>juliet@example.org/balcony 🦊</jid>"),
        "{heard}"
    );
}

#[test]
fn errors_leave_the_stream_open_for_a_while() {
    let mut play = Play::authenticated();
    play.refuse_bind = Some(StanzaError::from(Condition::Conflict));
    for _ in 0..5 {
        let heard = play.say(&bind("<resource>x</resource>"));
        assert!(
            heard.starts_with("<iq type='error' id='b1'><error type='"),
            "{heard}"
        );
        assert!(heard.contains("<conflict ") && !heard.contains("stream:error"));
    }
    assert_eq!(stream_error(&play.say(&bind(""))), "policy-violation");
}

#[test]
fn a_resource_that_is_none() {
    let mut play = Play::authenticated();
    let heard = play.say(&bind(&format!("<resource>{}</resource>", "x".repeat(1024))));
    assert!(heard.contains("<bad-request "), "{heard}");
    assert!(play.requests.is_empty());
    assert!(
        play.say(&bind("<resource>x</resource>"))
            .contains("type='result'")
    );
    let heard = Play::authenticated().say(&bind("").replace(" id='b1'", ""));
    assert!(
        heard.starts_with("<iq type='error'><error") && heard.contains("<bad-request "),
        "{heard}"
    );
}

#[test]
fn nothing_else_goes_before() {
    for (wrong, condition) in [
        (
            "<iq type='get' id='1'><query xmlns='jabber:iq:roster'/></iq>",
            "not-authorized",
        ),
        (
            "<iq type='get' id='1'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq>",
            "not-authorized",
        ),
        (
            "<iq type='set' id='1'><session xmlns='urn:ietf:params:xml:ns:xmpp-session'/></iq>",
            "not-authorized",
        ),
        ("<message to='a@b'/>", "not-authorized"),
        ("<presence/>", "not-authorized"),
        ("<message xmlns='jabber:server'/>", "invalid-namespace"),
        ("<x xmlns='urn:x'/>", "unsupported-stanza-type"),
    ] {
        assert_eq!(
            stream_error(&Play::authenticated().say(wrong)),
            condition,
            "{wrong}"
        );
    }
}

#[test]
fn elements_after_the_request_wait_for_the_answer() {
    let mut play = Play::authenticated();
    play.slow = true;
    play.say(&bind(""));
    assert!(play.machine.is_waiting());
    let question = play.pending.pop().unwrap();
    let answer = play.answer(question);
    play.input(crate::stream::Input::Answer(answer));
    assert!(!play.machine.is_waiting() && play.machine.is_bound());
}
