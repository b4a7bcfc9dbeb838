//! XEP-0388, XEP-0386 and the inline parts of XEP-0198: logging in at one go.

use super::play::*;
use crate::proto::{Condition, StanzaError};
use crate::stream::*;

const RIGHT: &str = "\0juliet\0r0m30myr0m30";

fn bind(inside: &str) -> String {
    format!("<bind xmlns='urn:xmpp:bind:0'>{inside}</bind>")
}

fn agent() -> String {
    format!("<user-agent id='{ID}'><software>Awesome</software><device>Phone</device></user-agent>")
}

fn failure(heard: &str) -> &str {
    let start = "<failure xmlns='urn:xmpp:sasl:2'><";
    let (_, rest) = heard
        .split_once(start)
        .unwrap_or_else(|| panic!("no failure: {heard}"));
    rest.split([' ', '/', '>']).next().unwrap()
}

#[test]
fn success_has_the_bare_jid_and_features_follow_without_a_restart() {
    let mut play = Play::tls().opened();
    let heard = play.say(&authenticate("PLAIN", RIGHT, ""));
    let start = "<success xmlns='urn:xmpp:sasl:2'><authorization-identifier>juliet@example.org</authorization-identifier>\
                 </success><stream:features><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/>";
    assert!(heard.starts_with(start), "{heard}");
    assert!(!play.machine.is_bound());
    let heard =
        play.say("<iq type='set' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq>");
    assert!(heard.contains("juliet@example.org/made"), "{heard}");
    assert!(play.machine.is_bound());
}

#[test]
fn scram_in_sasl2_with_everything_inline() {
    let mut play = Play::tls().opened();
    let inside = format!(
        "{}{}<early xmlns='urn:test'/><late xmlns='urn:test'/><unclaimed xmlns='urn:test'/>",
        agent(),
        bind(
            "<tag>AwesomeXMPP</tag><enable xmlns='urn:xmpp:sm:3' resume='true'/><enable xmlns='urn:xmpp:carbons:2'/>\
              <unclaimed xmlns='urn:test'/>"
        ),
    );
    let first = "n,,n=juliet,r=abc";
    let heard = play.say(&authenticate("SCRAM-SHA-256", first, &inside));
    let server_first = decoded(&heard, "challenge");
    let without = format!("c=biws,{}", server_first.split(',').next().unwrap());
    let keys = ScramHash::Sha256;
    let salted = keys.salt_password(PASSWORD.as_bytes(), b"0123456789abcdef", 4096);
    let key = keys.hmac(&salted, b"Client Key");
    let message = format!("n=juliet,r=abc,{server_first},{without}");
    let signature = keys.hmac(&keys.digest(&key), message.as_bytes());
    let proof: Vec<u8> = key.iter().zip(&signature).map(|(a, b)| a ^ b).collect();
    let last = format!("{without},p={}", base64(proof));
    let heard = play.say(&format!(
        "<response xmlns='urn:xmpp:sasl:2'>{}</response>",
        base64(last)
    ));

    let jid = text_of(&heard, "authorization-identifier");
    assert!(jid.starts_with("juliet@example.org/AwesomeXMPP/"), "{jid}");
    assert!(!jid.contains(&ID[..8]));
    assert!(decoded(&heard, "additional-data").starts_with("v="));
    let rest = heard.split_once("</authorization-identifier>").unwrap().1;
    let expected = format!(
        "<bound xmlns='urn:xmpp:bind:0'><enabled xmlns='urn:xmpp:sm:3' id='some-long-sm-id' resume='true' max='600'/><inlined xmlns='urn:test' ns='urn:xmpp:carbons:2'/>\
         </bound><done xmlns='urn:test' what='early' for='juliet@example.org'/><done xmlns='urn:test' what='late' \
         for='{jid}'/></success><stream:features><after xmlns='urn:test'/><limits xmlns='urn:xmpp:stream-limits:0'>\
         <max-bytes>262144</max-bytes><idle-seconds>600</idle-seconds></limits></stream:features>"
    );
    assert_eq!(rest, expected);
    assert_eq!(
        play.questions,
        ["Credentials", "Authorize", "Inline", "Bind", "Inline"]
    );
    assert!(play.machine.is_bound() && play.seated);
    assert_eq!(play.deadline, None);
    let acks = play.seat.0.lock().unwrap().acks;
    assert!(acks.unwrap().resume);
    let request = &play.requests[0];
    assert!(request.bind2 && request.acks);
    assert_eq!(request.tag.as_deref(), Some("AwesomeXMPP"));
    assert_eq!(request.agent.id.as_deref(), Some(ID));
    assert_eq!(request.agent.software.as_deref(), Some("Awesome"));
    assert_eq!(request.agent.device.as_deref(), Some("Phone"));
    assert_eq!(request.inline.len(), 1);
}

#[test]
fn a_quick_start_in_one_packet() {
    let mut play = Play::tls();
    let packet = format!("{OPEN}{}", authenticate("PLAIN", RIGHT, &bind("")));
    let heard = play.say(&packet);
    assert!(heard.contains("</stream:features><success"), "{heard}");
    assert!(play.machine.is_bound());
}

#[test]
fn a_client_keeps_its_resource() {
    let resource = |id: &str| {
        let mut play = Play::tls().opened();
        let agent = format!("<user-agent id='{id}'/>");
        play.say(&authenticate(
            "PLAIN",
            RIGHT,
            &format!("{agent}{}", bind("<tag>x</tag>")),
        ));
        play.requests[0].wished.clone().unwrap()
    };
    assert_eq!(resource(ID), resource(ID));
    assert_eq!(resource(ID), resource(&ID.to_uppercase()));
    assert_ne!(
        resource(ID),
        resource("a4565fa7-4d72-4749-b3d3-740edbf87770")
    );
    assert_ne!(
        resource("not-a-uuid"),
        resource("not-a-uuid"),
        "no UUID, no identity"
    );
}

#[test]
fn resume_goes_before_bind_and_in_its_place() {
    let mut play = Play::tls().opened();
    let inside = format!(
        "<resume xmlns='urn:xmpp:sm:3' h='1' previd='known'/>{}<early xmlns='urn:test'/><late xmlns='urn:test'/>",
        bind("")
    );
    let heard = play.say(&authenticate("PLAIN", RIGHT, &inside));
    let (_, rest) = heard.split_once("<authorization-identifier>").unwrap();
    assert_eq!(
        rest,
        "juliet@example.org/balcony</authorization-identifier><resumed xmlns='urn:xmpp:sm:3' previd='known' h='7'/>\
         <done xmlns='urn:test' what='late' for='juliet@example.org/balcony'/></success>",
        "and no features"
    );
    assert!(play.machine.is_bound() && play.requests.is_empty());
}

#[test]
fn resume_fails_and_bind_goes_on() {
    let mut play = Play::tls().opened();
    let inside = format!(
        "<resume xmlns='urn:xmpp:sm:3' h='1' previd='x'/>{}",
        bind("")
    );
    let heard = play.say(&authenticate("PLAIN", RIGHT, &inside));
    let failed = "<failed xmlns='urn:xmpp:sm:3'><item-not-found xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></failed>\
                  <bound xmlns='urn:xmpp:bind:0'/>";
    assert!(heard.contains(failed), "{heard}");
    assert!(
        heard.contains("<sm xmlns='urn:xmpp:sm:3'/>"),
        "SM is still to be had: {heard}"
    );
    assert!(
        play.say("<enable xmlns='urn:xmpp:sm:3'/>")
            .contains("<enabled")
    );
}

#[test]
fn a_resource_that_cannot_be_bound_leaves_the_client_authenticated() {
    let mut play = Play::tls().opened();
    play.refuse_bind = Some(StanzaError::from(Condition::ResourceConstraint));
    let heard = play.say(&authenticate(
        "PLAIN",
        RIGHT,
        &bind("<enable xmlns='urn:xmpp:sm:3'/>"),
    ));
    assert_eq!(
        text_of(&heard, "authorization-identifier"),
        "juliet@example.org"
    );
    assert!(
        !heard.contains("<bound")
            && heard.contains("<bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/>")
    );
    let heard =
        play.say("<iq type='set' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq>");
    assert!(heard.contains("<resource-constraint"), "{heard}");
}

#[test]
fn a_failed_login_does_nothing_inline() {
    let mut play = Play::tls().opened();
    let inside = format!("<early xmlns='urn:test'/>{}", bind(""));
    let heard = play.say(&authenticate("PLAIN", "\0juliet\0wrong", &inside));
    assert_eq!(
        heard,
        "<failure xmlns='urn:xmpp:sasl:2'><not-authorized xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/></failure>"
    );
    assert_eq!(play.questions, ["Password", "Failed"]);
}

#[test]
fn wrong_requests() {
    for (request, condition) in [
        (authenticate("CRAM-MD5", "", ""), "invalid-mechanism"),
        ("<authenticate xmlns='urn:xmpp:sasl:2'/>".into(), "invalid-mechanism"),
        (authenticate("PLAIN", "", ""), "malformed-request"),
        (authenticate("PLAIN", "romeo@example.org\0juliet\0x", ""), "invalid-authzid"),
        (
            "<authenticate xmlns='urn:xmpp:sasl:2' mechanism='PLAIN'><initial-response>%</initial-response></authenticate>"
                .into(),
            "incorrect-encoding",
        ),
        ("<abort xmlns='urn:xmpp:sasl:2'/>".into(), "aborted"),
    ] {
        let mut play = Play::tls().opened();
        assert_eq!(failure(&play.say(&request)), condition, "{request}");
        assert!(play.say(&authenticate("PLAIN", RIGHT, "")).contains("<success"));
    }
}

#[test]
fn an_exchange_can_be_aborted_and_not_mixed() {
    let begin = authenticate("SCRAM-SHA-1", "n,,n=juliet,r=abc", "");
    let mut play = Play::tls().opened();
    play.say(&begin);
    assert_eq!(
        failure(&play.say("<abort xmlns='urn:xmpp:sasl:2'><text>bye</text></abort>")),
        "aborted"
    );
    for wrong in [
        begin.as_str(),
        "<response xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>",
        "<next xmlns='urn:xmpp:sasl:2' task='UPGR-SCRAM-SHA-256'/>",
        "<presence/>",
        "<enable xmlns='urn:xmpp:sm:3'/>",
    ] {
        let mut play = Play::tls().opened();
        play.say(&begin);
        assert_eq!(stream_error(&play.say(wrong)), "not-authorized", "{wrong}");
    }
    for wrong in ["response", "next", "task-data", "success"] {
        let heard = Play::tls()
            .opened()
            .say(&format!("<{wrong} xmlns='urn:xmpp:sasl:2'/>"));
        assert_eq!(stream_error(&heard), "not-authorized", "{wrong}");
    }
}

#[test]
fn three_failures_whatever_the_profile() {
    let mut play = Play::tls().opened();
    play.say(&authenticate("PLAIN", "\0juliet\0wrong", ""));
    play.say(&plain("juliet", "wrong"));
    let heard = play.say(&authenticate("PLAIN", "\0juliet\0wrong", ""));
    assert_eq!(stream_error(&heard), "policy-violation");
}

#[test]
fn anonymous_binds_inline_too() {
    let mut play = Play::host(|host| host.mechanisms.anonymous = true).opened();
    let heard = play.say(&authenticate("ANONYMOUS", "", &bind("")));
    assert!(heard.contains("<bound"), "{heard}");
    assert_eq!(play.questions, ["Bind"]);
}

#[test]
fn a_session_bound_for_nothing_hears_of_it() {
    let mut play = Play::tls().opened();
    play.slow = true;
    let inside = format!("<late xmlns='urn:test'/>{}", bind(""));
    play.say(&authenticate("PLAIN", RIGHT, &inside));
    for _ in 0..3 {
        let question = play.pending.remove(0);
        let answer = play.answer(question);
        play.input(Input::Answer(answer));
    }
    assert!(matches!(&play.pending[..], [Question::Inline(_)]));
    assert!(play.seat.0.lock().unwrap().closed.is_empty());
    play.input(Input::Stop(None));
    assert_eq!(play.seat.0.lock().unwrap().closed, [End::ConnectionLost]);
}

#[test]
fn an_answer_that_fits_no_question_is_our_fault() {
    let mut play = Play::tls().opened();
    play.slow = true;
    play.say(&authenticate("PLAIN", RIGHT, &bind("")));
    play.input(Input::Answer(Answer::Password(Ok(()))));
    play.input(Input::Answer(Answer::Noted));
    assert_eq!(stream_error(&play.heard()), "internal-server-error");
}
