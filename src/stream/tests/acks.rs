//! XEP-0198: acknowledgements.

use super::play::*;
use crate::stream::*;

const ENABLE: &str = "<enable xmlns='urn:xmpp:sm:3'/>";
const UNEXPECTED: &str = "<failed xmlns='urn:xmpp:sm:3'><unexpected-request \
                          xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></failed>";
const NOT_FOUND: &str = "<failed xmlns='urn:xmpp:sm:3'><item-not-found \
                         xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></failed>";

const RESUME: &str = "<resume xmlns='urn:xmpp:sm:3' h='0' previd='x'/>";

#[test]
fn enabled_once_and_after_bind() {
    for mut play in [Play::tls().opened(), Play::authenticated()] {
        assert_eq!(play.say(ENABLE), UNEXPECTED);
        assert_eq!(play.say("<r xmlns='urn:xmpp:sm:3'/>"), UNEXPECTED);
    }
    assert_eq!(Play::tls().opened().say(RESUME), UNEXPECTED);
    let mut play = Play::bound();
    assert_eq!(play.say("<a xmlns='urn:xmpp:sm:3' h='0'/>"), UNEXPECTED);
    assert_eq!(play.say(ENABLE), "<enabled xmlns='urn:xmpp:sm:3'/>");
    assert_eq!(play.say(ENABLE), UNEXPECTED);
    assert_eq!(play.say(RESUME), UNEXPECTED);
    let acks = play.seat.0.lock().unwrap().acks;
    assert_eq!(acks, Some(Enable::default()));
}

#[test]
fn a_wish_to_resume_is_granted_with_an_id_and_a_time() {
    for (yes, max) in [("true", "60"), ("1", "60"), ("true", "0"), ("true", "x")] {
        let mut play = Play::bound();
        let heard = play.say(&format!(
            "<enable xmlns='urn:xmpp:sm:3' resume='{yes}' max='{max}'/>"
        ));
        let max = if max == "60" { "60" } else { "600" };
        assert_eq!(
            heard,
            format!(
                "<enabled xmlns='urn:xmpp:sm:3' id='some-long-sm-id' resume='true' max='{max}'/>"
            )
        );
    }
}

#[test]
fn a_session_is_resumed_instead_of_binding_one() {
    let mut play = Play::authenticated();
    assert_eq!(
        play.say("<resume xmlns='urn:xmpp:sm:3' h='3' previd='known'/>"),
        "<resumed xmlns='urn:xmpp:sm:3' previd='known' h='7'/>"
    );
    assert!(play.machine.is_bound() && play.seated);
    assert_eq!(play.say(ENABLE), UNEXPECTED, "it counts already");
    play.say("<a xmlns='urn:xmpp:sm:3' h='8'/>");
    assert_eq!(play.seat.0.lock().unwrap().acked, [8]);
}

#[test]
fn who_cannot_resume_may_bind() {
    let long = "x".repeat(100);
    for (previd, h, answer) in [
        ("x", "0", NOT_FOUND.to_owned()),
        (&*long, "0", NOT_FOUND.to_owned()),
        ("late", "0", NOT_FOUND.replace("sm:3'", "sm:3' h='5'")),
        (
            "x",
            "-1",
            NOT_FOUND.replace("item-not-found", "bad-request"),
        ),
    ] {
        let mut play = Play::authenticated();
        let resume = format!("<resume xmlns='urn:xmpp:sm:3' h='{h}' previd='{previd}'/>");
        assert_eq!(play.say(&resume), answer);
        play.say("<iq type='set' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq>");
        assert!(play.machine.is_bound());
    }
}

#[test]
fn to_resume_with_more_than_was_sent_ends_the_stream() {
    let mut play = Play::authenticated();
    let heard = play.say("<resume xmlns='urn:xmpp:sm:3' h='9' previd='high'/>");
    assert_eq!(stream_error(&heard), "undefined-condition");
    assert!(heard.contains("<handled-count-too-high xmlns='urn:xmpp:sm:3' h='9' send-count='8'/>"));
}

#[test]
fn requests_and_answers_reach_the_seat() {
    let mut play = Play::bound();
    play.say(ENABLE);
    assert_eq!(
        play.say("<r xmlns='urn:xmpp:sm:3'/><a xmlns='urn:xmpp:sm:3' h='8'/>"),
        ""
    );
    let log = play.seat.0.lock().unwrap();
    assert_eq!((log.requested, &log.acked[..]), (1, &[8][..]));
}

#[test]
fn more_than_was_sent_ends_the_stream() {
    let mut play = Play::bound();
    play.say(ENABLE);
    let heard = play.say("<a xmlns='urn:xmpp:sm:3' h='9'/>");
    assert_eq!(stream_error(&heard), "undefined-condition");
    assert!(
        heard.contains("<handled-count-too-high xmlns='urn:xmpp:sm:3' h='9' send-count='8'/>"),
        "{heard}"
    );
}

#[test]
fn an_h_that_is_no_number_ends_the_stream() {
    for wrong in ["", " h=''", " h='-1'", " h='x'", " h='4294967296'"] {
        let mut play = Play::bound();
        play.say(ENABLE);
        let heard = play.say(&format!("<a xmlns='urn:xmpp:sm:3'{wrong}/>"));
        assert_eq!(stream_error(&heard), "bad-format", "{wrong}");
    }
    let mut play = Play::bound();
    play.say(ENABLE);
    assert_eq!(
        stream_error(&play.say("<x xmlns='urn:xmpp:sm:3'/>")),
        "unsupported-stanza-type"
    );
}
