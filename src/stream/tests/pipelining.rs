//! XEP-0509: header and `<authenticate/>` in one breath.

use super::play::*;
use crate::stream::*;

const RIGHT: &str = "\0juliet\0r0m30myr0m30";

/// What names the features a client was shown.
fn version(heard: &str) -> String {
    let (_, rest) = heard
        .split_once("<config-version xmlns='urn:xmpp:iap:0' scheme='opaque' value='")
        .unwrap_or_else(|| panic!("no version: {heard}"));
    rest.split('\'').next().unwrap().to_owned()
}

fn with(version: &str) -> String {
    format!(
        "<bind xmlns='urn:xmpp:bind:0'/><config-version xmlns='urn:xmpp:iap:0' value='{version}'/>"
    )
}

#[test]
fn who_knows_what_is_offered_logs_in_at_once() {
    let known = version(&Play::tls().say(OPEN));
    let mut play = Play::tls();
    let all = format!("{OPEN}{}", authenticate("PLAIN", RIGHT, &with(&known)));
    let heard = play.say(&all);
    assert_eq!(version(&heard), known, "the same on every stream");
    assert!(play.machine.is_bound(), "{heard}");
    // Without naming it too: a client may know better than to care.
    let mut play = Play::tls();
    play.say(&format!("{OPEN}{}", authenticate("PLAIN", RIGHT, "")));
    assert!(play.machine.is_authenticated());
}

#[test]
fn what_was_made_for_other_features_is_refused_without_prejudice() {
    let mut play = Play::tls();
    let stale = authenticate("PLAIN", RIGHT, &with("V2VsbCwgb2YgY291cnNl"));
    let heard = play.say(&format!("{OPEN}{stale}"));
    let refusal = "<failure xmlns='urn:xmpp:sasl:2'><aborted xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>\
                   <config-version-mismatch xmlns='urn:xmpp:iap:0'/><text";
    assert!(heard.contains(refusal), "{heard}");
    assert!(play.questions.is_empty(), "nobody was asked for anything");
    // Three wrong passwords end a stream; this was none of them.
    for _ in 0..2 {
        let heard = play.say(&authenticate("PLAIN", "\0juliet\0wrong", ""));
        assert!(heard.contains("<not-authorized"), "{heard}");
    }
    let heard = play.say(&authenticate("PLAIN", RIGHT, &with(&version(&heard))));
    assert!(heard.starts_with("<success"), "{heard}");
}

#[test]
fn it_is_not_refused_for_ever() {
    let mut play = Play::tls().opened();
    let stale = authenticate("PLAIN", RIGHT, &with("x"));
    let heard: String = (0..6).map(|_| play.say(&stale)).collect();
    assert_eq!(stream_error(&heard), "policy-violation");
}

#[test]
fn another_offer_has_another_name() {
    let known = version(&Play::tls().say(OPEN));
    let other = Play::host(|host| host.mechanisms.plain = false).say(OPEN);
    assert_ne!(version(&other), known);
    let unbound = Tls {
        exporter: None,
        ..tls()
    };
    let other = Play::new(settings(|_| ()), peer(), Some(unbound)).say(OPEN);
    assert_ne!(version(&other), known);
}

#[test]
fn without_sasl2_there_is_nothing_to_pipeline() {
    assert!(!Play::tcp().say(OPEN).contains("urn:xmpp:iap:0"));
    let none = Play::host(|host| {
        host.mechanisms.scram.clear();
        host.mechanisms.plain = false;
    });
    let mut none = none;
    assert!(!none.say(OPEN).contains("urn:xmpp:iap:0"));
}

#[test]
fn stanzas_may_follow_at_once() {
    let mut play = Play::tls();
    let bind = "<bind xmlns='urn:xmpp:bind:0'><enable xmlns='urn:xmpp:sm:3' resume='true'/></bind>";
    let all = format!(
        "{OPEN}{}<presence/><iq type='get' id='r'><query xmlns='jabber:iq:roster'/></iq>",
        authenticate("PLAIN", RIGHT, bind)
    );
    play.say(&all);
    assert_eq!(play.seat.0.lock().unwrap().stanzas.len(), 2);
}
