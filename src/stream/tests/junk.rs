//! Whatever comes, in whatever state: no panic, and nothing after the end.

use proptest::prelude::*;

use super::play::*;
use crate::stream::*;

fn start(which: usize) -> Play {
    match which {
        0 => Play::tcp(),
        1 => Play::tls(),
        2 => Play::tcp().opened(),
        3 => Play::tls().opened(),
        4 => {
            let mut play = Play::tls().opened();
            play.say(&authenticate("SCRAM-SHA-1", "n,,n=juliet,r=abc", ""));
            play
        }
        5 => {
            let mut play = Play::tls().opened();
            play.missing = vec![ScramHash::Sha256];
            let ask = "<upgrade xmlns='urn:xmpp:sasl:upgrade:0'>UPGR-SCRAM-SHA-256</upgrade>";
            play.say(&authenticate("PLAIN", "\0juliet\0r0m30myr0m30", ask));
            play
        }
        6 => Play::authenticated(),
        7 => Play::bound(),
        _ => {
            let mut play = Play::bound();
            play.input(Input::Stop(None));
            play
        }
    }
}

fn piece() -> impl Strategy<Value = String> {
    let names = [
        "auth",
        "authenticate",
        "response",
        "abort",
        "next",
        "task-data",
        "hash",
        "bind",
        "resource",
        "iq",
        "message",
        "presence",
        "enable",
        "r",
        "a",
        "resume",
        "starttls",
        "user-agent",
        "upgrade",
        "initial-response",
        "session",
        "tag",
        "error",
        "active",
    ];
    let namespaces = [
        "jabber:client",
        "urn:ietf:params:xml:ns:xmpp-sasl",
        "urn:xmpp:sasl:2",
        "urn:xmpp:sm:3",
        "urn:xmpp:bind:0",
        "urn:ietf:params:xml:ns:xmpp-bind",
        "urn:ietf:params:xml:ns:xmpp-tls",
        "urn:xmpp:scram-upgrade:0",
        "urn:test",
        "http://etherx.jabber.org/streams",
        "jabber:server",
        "urn:xmpp:sasl:upgrade:0",
    ];
    let values = [
        "SCRAM-SHA-1",
        "SCRAM-SHA-256-PLUS",
        "PLAIN",
        "ANONYMOUS",
        "set",
        "get",
        "0",
        "9",
        "true",
        "UPGR-SCRAM-SHA-256",
        ID,
        "",
    ];
    let texts = [
        "",
        "=",
        "%",
        "AGp1bGlldAByMG0zMG15cjBtMzA=",
        "biws",
        "bixuPWp1bGlldCxyPWFiYw==",
        "UPGR-SCRAM-SHA-256",
    ];
    let attributes = ["mechanism", "type", "id", "h", "task", "resume", "previd"];
    let leaf = (
        prop::sample::select(names.to_vec()),
        prop::sample::select(namespaces.to_vec()),
        prop::collection::btree_map(
            prop::sample::select(attributes.to_vec()),
            prop::sample::select(values.to_vec()),
            0..3,
        ),
        prop::sample::select(texts.to_vec()),
    );
    let leaf =
        leaf.prop_map(|(name, ns, attributes, text)| (name, ns, attributes, text.to_owned()));
    let write = |(name, ns, attributes, inside): (
        &str,
        &str,
        std::collections::BTreeMap<&str, &str>,
        String,
    )| {
        let attributes: String = attributes
            .iter()
            .map(|(name, value)| format!(" {name}='{value}'"))
            .collect();
        format!("<{name} xmlns='{ns}'{attributes}>{inside}</{name}>")
    };
    let tree = (
        leaf.clone(),
        prop::collection::vec(leaf.prop_map(write), 0..3),
    )
        .prop_map(move |((name, ns, attributes, text), children)| {
            write((name, ns, attributes, text + &children.concat()))
        });
    prop_oneof![8 => tree, 1 => Just(OPEN.to_owned()), 1 => Just("</stream:stream>".to_owned()), 1 => ".{0,40}"]
}

fn event() -> impl Strategy<Value = Option<u8>> {
    prop_oneof![9 => Just(None), 1 => (0u8..5).prop_map(Some)]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, ..ProptestConfig::default() })]

    #[test]
    fn never_panics(which in 0usize..9, steps in prop::collection::vec((piece(), event()), 0..12)) {
        let mut play = start(which);
        for (text, event) in steps {
            play.say(&text);
            if play.secure {
                play.secure = false;
                play.input(Input::Secured(tls()));
            }
            match event {
                Some(0) => play.input(Input::Expired),
                Some(1) => play.input(Input::Stop(None)),
                Some(2) => play.input(Input::Answer(Answer::Noted)),
                Some(3) => play.input(Input::Secured(tls())),
                Some(_) => play.input(Input::Footer),
                None => {}
            }
        }
        drop(play.machine);
        prop_assert!(play.seat.0.lock().unwrap().closed.len() <= 1);
    }
}
