//! RFC 6120 §6: SASL, with PLAIN (RFC 4616) and ANONYMOUS (XEP-0175).

use super::play::*;
use crate::stream::*;

fn failure(heard: &str) -> &str {
    let (_, rest) = heard
        .split_once("<failure xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><")
        .unwrap_or_else(|| panic!("no failure: {heard}"));
    rest.split(['/', '>']).next().unwrap()
}

#[test]
fn plain_logs_in() {
    let mut play = Play::tls().opened();
    let heard = play.say(&plain("juliet", PASSWORD));
    assert_eq!(heard, "<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>");
    assert_eq!(play.questions, ["Password", "Authorize"]);
    assert_eq!(play.deadline, Some(std::time::Duration::from_secs(20)));
}

#[test]
fn the_name_may_be_the_whole_address_and_is_prepared() {
    for name in ["juliet@example.org", "Juliet", "JULIET@EXAMPLE.ORG"] {
        assert!(
            Play::tls()
                .opened()
                .say(&plain(name, PASSWORD))
                .contains("<success"),
            "{name}"
        );
    }
}

#[test]
fn plain_without_initial_response() {
    let mut play = Play::tls().opened();
    let heard = play.say("<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'/>");
    assert_eq!(
        heard,
        "<challenge xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>"
    );
    let data = base64(format!("\0juliet\0{PASSWORD}"));
    let heard = play.say(&format!(
        "<response xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>{data}</response>"
    ));
    assert!(heard.contains("<success"), "{heard}");
}

#[test]
fn every_wrong_request_has_its_condition() {
    let nul = |text: &str| base64(text);
    for (request, condition) in [
        (plain("juliet", "wrong"), "not-authorized"),
        (plain("nobody", "wrong"), "not-authorized"),
        (plain("jul iet", PASSWORD), "not-authorized"),
        (plain("juliet@other.example", PASSWORD), "not-authorized"),
        (plain("juliet@example.org/x", PASSWORD), "not-authorized"),
        (auth("PLAIN", "="), "malformed-request"),
        (auth("PLAIN", &nul("juliet")), "malformed-request"),
        (auth("PLAIN", &nul("\0juliet\0a\0b")), "malformed-request"),
        (auth("PLAIN", "AGp1bGlldAByMG0"), "incorrect-encoding"),
        (auth("PLAIN", "AGp1\nbGlldAByMG0="), "incorrect-encoding"),
        (auth("PLAIN", "<x/>"), "malformed-request"),
        (auth("CRAM-MD5", ""), "invalid-mechanism"),
        (auth("ANONYMOUS", ""), "invalid-mechanism"),
        (
            "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>".into(),
            "invalid-mechanism",
        ),
        (
            "<response xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>".into(),
            "malformed-request",
        ),
        (
            "<abort xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>".into(),
            "aborted",
        ),
    ] {
        let mut play = Play::tls().opened();
        assert_eq!(failure(&play.say(&request)), condition, "{request}");
        assert!(
            play.say(&plain("juliet", PASSWORD)).contains("<success"),
            "and then it works"
        );
    }
}

#[test]
fn nobody_acts_for_somebody_else() {
    for authzid in [
        "romeo@example.org",
        "romeo",
        "juliet@other.example",
        "juliet@example.org/x",
        "example.org",
        "@",
    ] {
        let mut play = Play::tls().opened();
        let heard = play.say(&auth(
            "PLAIN",
            &base64(format!("{authzid}\0juliet\0{PASSWORD}")),
        ));
        assert_eq!(failure(&heard), "invalid-authzid", "{authzid}");
        assert!(play.questions.is_empty(), "it is not even looked up");
    }
    let own = auth(
        "PLAIN",
        &base64(format!("Juliet@example.org\0juliet\0{PASSWORD}")),
    );
    assert!(Play::tls().opened().say(&own).contains("<success"));
}

#[test]
fn a_from_binds() {
    let mut play = Play::tls();
    play.say(&OPEN.replace("to=", "from='romeo@example.org' to="));
    assert_eq!(
        failure(&play.say(&plain("juliet", PASSWORD))),
        "invalid-authzid"
    );
    let mut play = Play::tls();
    play.say(&OPEN.replace("to=", "from='juliet@example.org' to="));
    assert!(play.say(&plain("juliet", PASSWORD)).contains("<success"));
}

#[test]
fn three_failures_end_the_stream() {
    let mut play = Play::tls().opened();
    for _ in 0..2 {
        assert_eq!(
            failure(&play.say(&plain("juliet", "wrong"))),
            "not-authorized"
        );
    }
    let heard = play.say(&plain("juliet", "wrong"));
    assert_eq!(failure(&heard), "not-authorized");
    assert_eq!(stream_error(&heard), "policy-violation");
    assert_eq!(play.say(&plain("juliet", PASSWORD)), "");
}

#[test]
fn abandoned_attempts_count_too() {
    let mut play = Play::tls().opened();
    let begin = auth("SCRAM-SHA-1", &base64("n,,n=juliet,r=abc"));
    assert!(play.say(&begin).contains("<challenge"));
    assert!(
        play.say(&begin).contains("<challenge"),
        "a new one replaces the old one"
    );
    let heard = play.say("<abort xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>");
    assert_eq!(failure(&heard), "aborted");
    assert!(play.say(&begin).contains("<challenge"));
    assert_eq!(stream_error(&play.say(&begin)), "policy-violation");
}

#[test]
fn failures_survive_starttls() {
    let mut play = Play::tcp().opened();
    for _ in 0..2 {
        play.say(&plain("juliet", PASSWORD));
    }
    play.say("<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>");
    play.secure = false;
    play.input(Input::Secured(tls()));
    play.say(OPEN);
    assert_eq!(
        stream_error(&play.say(&plain("juliet", "wrong"))),
        "policy-violation"
    );
}

#[test]
fn the_desk_hears_of_wrong_proofs_before_the_client_does() {
    let mut play = Play::tls().opened();
    play.slow = true;
    play.say(&plain("juliet", "wrong"));
    play.pending.clear();
    play.input(Input::Answer(Answer::Password(Err(
        SaslCondition::NotAuthorized.into(),
    ))));
    assert_eq!(play.heard(), "");
    assert!(
        matches!(&play.pending[..], [Question::Failed { user, address }]
        if user.as_str() == "juliet@example.org" && address == "192.0.2.1")
    );
    play.input(Input::Answer(Answer::Noted));
    assert_eq!(failure(&play.heard()), "not-authorized");
}

#[test]
fn a_disabled_account_and_a_sick_store_say_so() {
    let mut play = Play::tls().opened();
    play.authorize = Some(SaslFailure::with_text(
        SaslCondition::AccountDisabled,
        "Call us",
    ));
    let heard = play.say(&plain("juliet", PASSWORD));
    assert_eq!(failure(&heard), "account-disabled");
    assert!(
        heard.contains("<text xml:lang='en'>Call us</text>"),
        "{heard}"
    );
    let mut play = Play::tls().opened();
    play.slow = true;
    play.say(&plain("juliet", PASSWORD));
    play.input(Input::Answer(Answer::Password(Err(
        SaslCondition::TemporaryAuthFailure.into(),
    ))));
    assert_eq!(failure(&play.heard()), "temporary-auth-failure");
}

#[test]
fn nobody_logs_in_twice() {
    let attempt = plain("juliet", PASSWORD);
    assert_eq!(
        stream_error(&Play::authenticated().say(&attempt)),
        "not-authorized"
    );
    assert_eq!(stream_error(&Play::bound().say(&attempt)), "not-authorized");
    let attempt = authenticate("PLAIN", format!("\0juliet\0{PASSWORD}"), "");
    assert_eq!(
        stream_error(&Play::authenticated().say(&attempt)),
        "not-authorized"
    );
    assert_eq!(stream_error(&Play::bound().say(&attempt)), "not-authorized");
}

#[test]
fn nothing_is_sent_before_authentication() {
    for (wrong, condition) in [
        ("<message/>", "not-authorized"),
        (
            "<iq type='get' id='1'><query xmlns='jabber:iq:roster'/></iq>",
            "not-authorized",
        ),
        ("<presence/>", "not-authorized"),
        ("<x xmlns='urn:x'/>", "unsupported-stanza-type"),
        ("<foo/>", "unsupported-stanza-type"),
        ("<message xmlns='jabber:server'/>", "invalid-namespace"),
        ("<active xmlns='urn:test'/>", "unsupported-stanza-type"),
    ] {
        assert_eq!(
            stream_error(&Play::tls().opened().say(wrong)),
            condition,
            "{wrong}"
        );
    }
    let mut play = Play::tls().opened();
    play.say(&auth("SCRAM-SHA-1", &base64("n,,n=juliet,r=abc")));
    assert_eq!(stream_error(&play.say("<presence/>")), "not-authorized");
}

#[test]
fn input_while_the_desk_is_asked_ends_the_stream() {
    let mut play = Play::tls().opened();
    play.slow = true;
    play.say(&plain("juliet", PASSWORD));
    assert!(play.machine.is_waiting());
    assert_eq!(stream_error(&play.say("<presence/>")), "policy-violation");
}

#[test]
fn anonymous_only_where_it_is_allowed() {
    let mut play = Play::host(|host| host.mechanisms.anonymous = true).opened();
    let heard = play.say("<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='ANONYMOUS'/>");
    assert!(heard.contains("<success"), "{heard}");
    play.say(OPEN);
    play.say("<iq type='set' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq>");
    let request = &play.requests[0];
    assert!(request.anonymous);
    assert_eq!(request.user.node().unwrap().len(), 36);
    assert_eq!(play.questions, ["Bind"]);
    for (trace, condition) in [
        ("x".repeat(256), "malformed-request"),
        ("a\0b".into(), "malformed-request"),
    ] {
        let mut play = Play::host(|host| host.mechanisms.anonymous = true).opened();
        assert_eq!(
            failure(&play.say(&auth("ANONYMOUS", &base64(trace)))),
            condition
        );
    }
    let mut play = Play::host(|host| host.mechanisms.anonymous = true).opened();
    assert!(
        play.say(&auth("ANONYMOUS", &base64("sirhc")))
            .contains("<success")
    );
}
