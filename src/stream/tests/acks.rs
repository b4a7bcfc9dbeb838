//! XEP-0198: acknowledgements.

use super::play::*;

const ENABLE: &str = "<enable xmlns='urn:xmpp:sm:3'/>";
const UNEXPECTED: &str = "<failed xmlns='urn:xmpp:sm:3'><unexpected-request \
                          xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></failed>";
const NOT_FOUND: &str = "<failed xmlns='urn:xmpp:sm:3'><item-not-found \
                         xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></failed>";

#[test]
fn enabled_once_and_after_bind() {
    for mut play in [Play::tls().opened(), Play::authenticated()] {
        assert_eq!(play.say(ENABLE), UNEXPECTED);
        assert_eq!(play.say("<r xmlns='urn:xmpp:sm:3'/>"), UNEXPECTED);
        assert_eq!(
            play.say("<resume xmlns='urn:xmpp:sm:3' h='0' previd='x'/>"),
            NOT_FOUND
        );
    }
    let mut play = Play::bound();
    assert_eq!(play.say("<a xmlns='urn:xmpp:sm:3' h='0'/>"), UNEXPECTED);
    assert_eq!(play.say(ENABLE), "<enabled xmlns='urn:xmpp:sm:3'/>");
    assert_eq!(play.say(ENABLE), UNEXPECTED);
    assert_eq!(
        play.say("<resume xmlns='urn:xmpp:sm:3' h='0' previd='x'/>"),
        NOT_FOUND
    );
    assert_eq!(play.seat.0.lock().unwrap().acks, Some(false));
}

#[test]
fn a_wish_to_resume_is_heard_and_not_granted() {
    for yes in ["true", "1"] {
        let mut play = Play::bound();
        let heard = play.say(&format!(
            "<enable xmlns='urn:xmpp:sm:3' resume='{yes}' max='60'/>"
        ));
        assert_eq!(heard, "<enabled xmlns='urn:xmpp:sm:3'/>");
        assert_eq!(play.seat.0.lock().unwrap().acks, Some(true));
    }
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
