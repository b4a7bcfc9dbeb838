//! RFC 6120 §4.7, §4.8, §4.9: stream headers and features.

use super::play::*;
use crate::stream::*;
use crate::xml::Limits;

fn header(attributes: &str) -> String {
    format!(
        "<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' {attributes}>"
    )
}

fn attribute<'a>(heard: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = heard.split_once(&format!(" {name}='"))?;
    Some(rest.split_once('\'')?.0)
}

#[test]
fn our_header_has_what_the_rfc_wants() {
    let heard = Play::tls().say(OPEN);
    assert!(
        heard.starts_with("<?xml version='1.0'?><stream:stream "),
        "{heard}"
    );
    assert_eq!(attribute(&heard, "from"), Some("example.org"));
    assert_eq!(attribute(&heard, "xml:lang"), Some("en"));
    assert_eq!(attribute(&heard, "version"), Some("1.0"));
    let own = heard.split_once("<stream:features>").unwrap().0;
    assert!(!own.contains(" to="), "no from, no to: {own}");
    let heard = Play::tls().say(&header(
        "to='example.org' version='1.0' from='Juliet@example.org/x'",
    ));
    assert_eq!(attribute(&heard, "to"), Some("juliet@example.org"));
}

#[test]
fn ids_are_long_and_never_the_same() {
    let heard = [Play::tls().say(OPEN), Play::tls().say(OPEN)];
    let ids = heard
        .each_ref()
        .map(|heard| attribute(heard, "id").unwrap());
    assert!(ids[0].len() >= 26 && ids[0] != ids[1]);
    let mut play = Play::tls().opened();
    let first = play.say(&plain("juliet", PASSWORD));
    let second = play.say(OPEN);
    assert!(first.contains("<success"));
    assert_ne!(attribute(&second, "id"), Some(ids[1]));
}

#[test]
fn wrong_headers_get_ours_and_the_error() {
    for (attributes, condition) in [
        ("to='nowhere.example' version='1.0'", "host-unknown"),
        ("to='example.org'", "unsupported-version"),
        ("to='example.org' version='0.9'", "unsupported-version"),
        ("to='example.org' version='11.0'", "unsupported-version"),
        ("to='example.org' version='1'", "unsupported-version"),
        ("to='example.org' version='+1.0'", "unsupported-version"),
        ("to='' version='1.0'", "improper-addressing"),
        ("to='a@example.org' version='1.0'", "improper-addressing"),
        ("to='example.org/a' version='1.0'", "improper-addressing"),
        (
            "to='example.org' version='1.0' from='@'",
            "improper-addressing",
        ),
        (
            "to='example.org' version='1.0' from='a@other.example'",
            "invalid-from",
        ),
    ] {
        let mut play = Play::tls();
        let heard = play.say(&header(attributes));
        assert_eq!(stream_error(&heard), condition, "{attributes}");
        assert!(
            heard.starts_with("<?xml version='1.0'?><stream:stream "),
            "{heard}"
        );
        assert_eq!(attribute(&heard, "from"), Some("example.org"));
        assert!(!heard.contains("<stream:features>"));
        assert_eq!(play.deadline, Some(std::time::Duration::from_secs(2)));
        assert!(!play.closed);
        play.say("</stream:stream>");
        assert!(play.closed);
    }
}

#[test]
fn minor_versions_and_leading_zeros_do_not_matter() {
    for version in ["1.1", "01.00", "1.99"] {
        let heard = Play::tls().say(&header(&format!("to='example.org' version='{version}'")));
        assert!(
            heard.contains("<stream:features>") && heard.contains("version='1.0'"),
            "{heard}"
        );
    }
}

#[test]
fn wrong_namespaces() {
    for wrong in [
        "<stream:stream xmlns='jabber:client' xmlns:stream='http://wrong.example/' to='example.org' version='1.0'>",
        "<stream:stream xmlns='jabber:server' xmlns:stream='http://etherx.jabber.org/streams' to='example.org' version='1.0'>",
        "<stream:stream xmlns='urn:x' xmlns:stream='http://etherx.jabber.org/streams' to='example.org' version='1.0'>",
    ] {
        let heard = Play::tls().say(wrong);
        assert_eq!(stream_error(&heard), "invalid-namespace", "{wrong}");
        assert!(heard.starts_with("<?xml"), "{heard}");
    }
    let prefix_free =
        "<stream xmlns='http://etherx.jabber.org/streams' to='example.org' version='1.0'>";
    assert!(Play::tls().say(prefix_free).contains("<stream:features>"));
}

#[test]
fn without_a_to_the_name_in_tls_counts() {
    let heard = Play::tls().say(&header("version='1.0'"));
    assert!(heard.contains("<stream:features>"), "{heard}");
    let heard = Play::tcp().say(&header("version='1.0'"));
    assert_eq!(stream_error(&heard), "improper-addressing");
}

#[test]
fn a_from_counts_only_when_it_cannot_be_tampered_with() {
    let foreign = header("to='example.org' version='1.0' from='a@other.example'");
    let heard = Play::tcp().say(&foreign);
    assert!(heard.contains("<stream:features>"), "{heard}");
    assert_eq!(stream_error(&Play::tls().say(&foreign)), "invalid-from");
}

#[test]
fn before_tls_there_is_nothing_but_starttls() {
    let heard = Play::tcp().say(OPEN);
    let features = heard.split_once("<stream:features>").unwrap().1;
    assert_eq!(
        features,
        "<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'><required/></starttls></stream:features>"
    );
}

#[test]
fn on_a_secure_place_tls_is_offered_and_not_demanded_and_nothing_binds() {
    let place = Peer {
        secure_by_place: true,
        ..peer()
    };
    let heard = Play::new(settings(|_| ()), place.clone(), None).say(OPEN);
    assert!(
        heard.contains("<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>"),
        "{heard}"
    );
    assert!(heard.contains("<mechanism>SCRAM-SHA-256</mechanism>"));
    assert!(
        !heard.contains("PLUS") && !heard.contains("sasl-channel-binding"),
        "{heard}"
    );
    let proxied = Peer {
        starttls: false,
        ..place
    };
    let heard = Play::new(settings(|_| ()), proxied, None).say(OPEN);
    assert!(!heard.contains("starttls") && heard.contains("<mechanism>PLAIN</mechanism>"));
}

#[test]
fn features_in_full() {
    let heard = Play::tls().say(OPEN);
    let features = heard.split_once("<stream:features>").unwrap().1;
    let version = features.split_once("<config-version").unwrap().1;
    let list = "<mechanism>SCRAM-SHA-512-PLUS</mechanism><mechanism>SCRAM-SHA-256-PLUS</mechanism>\
                <mechanism>SCRAM-SHA-1-PLUS</mechanism><mechanism>SCRAM-SHA-512</mechanism>\
                <mechanism>SCRAM-SHA-256</mechanism><mechanism>SCRAM-SHA-1</mechanism><mechanism>PLAIN</mechanism>";
    let expected = format!(
        "<before xmlns='urn:test'/><sasl-channel-binding xmlns='urn:xmpp:sasl-cb:0'>\
         <channel-binding type='tls-exporter'/><channel-binding type='tls-server-end-point'/></sasl-channel-binding>\
         <mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>{list}</mechanisms>\
         <authentication xmlns='urn:xmpp:sasl:2'>{list}<inline><sm xmlns='urn:xmpp:sm:3'/><bind xmlns='urn:xmpp:bind:0'><inline>\
         <feature var='urn:xmpp:carbons:2'/><feature var='urn:xmpp:sm:3'/></inline></bind>\
         <early xmlns='urn:test'/><late xmlns='urn:test'/></inline>\
         <upgrade xmlns='urn:xmpp:sasl:upgrade:0'>UPGR-SCRAM-SHA-256</upgrade>\
         <upgrade xmlns='urn:xmpp:sasl:upgrade:0'>UPGR-SCRAM-SHA-512</upgrade></authentication>\
         <limits xmlns='urn:xmpp:stream-limits:0'><max-bytes>10000</max-bytes><idle-seconds>600</idle-seconds></limits>\
         <config-version{version}"
    );
    assert_eq!(features, expected);
}

#[test]
fn without_extended_master_secret_only_the_end_point_binds() {
    let old = Tls {
        version: TlsVersion::Tls12,
        exporter: None,
        ..tls()
    };
    let heard = Play::new(settings(|_| ()), peer(), Some(old)).say(OPEN);
    assert!(heard.contains("'tls-server-end-point'") && !heard.contains("tls-exporter"));
}

#[test]
fn a_host_without_mechanisms_offers_no_sasl() {
    let heard = Play::host(|host| {
        host.mechanisms.scram.clear();
        host.mechanisms.plain = false;
    })
    .say(OPEN);
    assert!(
        !heard.contains("mechanism") && !heard.contains("authentication"),
        "{heard}"
    );
}

#[test]
fn after_login_features_change() {
    let mut play = Play::tls().opened();
    play.say(&plain("juliet", PASSWORD));
    let heard = play.say(OPEN);
    let features = heard.split_once("<stream:features>").unwrap().1;
    assert_eq!(
        features,
        "<bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/><session xmlns='urn:ietf:params:xml:ns:xmpp-session'><optional/>\
         </session><sm xmlns='urn:xmpp:sm:3'/><after xmlns='urn:test'/><limits xmlns='urn:xmpp:stream-limits:0'>\
         <max-bytes>262144</max-bytes><idle-seconds>600</idle-seconds></limits></stream:features>"
    );
}

#[test]
fn neither_host_nor_user_changes_after_login() {
    for (attributes, condition) in [
        ("to='other.example' version='1.0'", "not-authorized"),
        (
            "to='example.org' version='1.0' from='romeo@example.org'",
            "invalid-from",
        ),
    ] {
        let mut play = Play::tls().opened();
        play.say(&plain("juliet", PASSWORD));
        assert_eq!(stream_error(&play.say(&header(attributes))), condition);
    }
    let mut play = Play::tls().opened();
    play.say(&plain("juliet", PASSWORD));
    let heard = play.say(&header(
        "to='example.org' version='1.0' from='juliet@example.org'",
    ));
    assert!(heard.contains("<stream:features>"));
}

#[test]
fn the_limit_before_login_is_the_small_one() {
    let long = "x".repeat(10_001);
    let mut play = Play::tls().opened();
    let heard = play.say(&auth("PLAIN", &long));
    assert_eq!(stream_error(&heard), "policy-violation");
    assert!(
        heard.contains("<stanza-too-big xmlns='urn:xmpp:errors'/>"),
        "{heard}"
    );
    assert!(play.closed);
    assert_eq!(Limits::new(10_000), settings(|_| ()).limits.before_login);
}
