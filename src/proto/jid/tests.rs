//! Addresses: what is accepted, refused, and made one (RFC 7622).

#![allow(clippy::unwrap_used, clippy::expect_used)]

use proptest::prelude::*;

use super::*;

fn jid(text: &str) -> Jid {
    Jid::parse(text).unwrap()
}

fn fault(text: &str) -> (Part, Fault) {
    let error = Jid::parse(text).expect_err(text);
    (error.part, error.fault)
}

#[test]
fn small() {
    assert!(size_of::<Jid>() <= 24);
    assert!(size_of::<Option<Jid>>() <= 24);
}

/// RFC 7622 §3.5, table 1.
#[test]
fn the_addresses_of_the_specification() {
    for text in [
        "juliet@example.com",
        "juliet@example.com/foo",
        "juliet@example.com/foo bar",
        "juliet@example.com/foo@bar",
        "foo\\20bar@example.com",
        "fußball@example.com",
        "π@example.com",
        "king@example.com/♚",
        "example.com",
        "example.com/foobar",
        "a.example.com/b@example.net",
    ] {
        assert!(Jid::parse(text).is_ok(), "{text}");
    }
    assert_eq!(jid("Σ@example.com").as_str(), "σ@example.com");
    assert_eq!(jid("a.example.com/b@example.net").domain(), "a.example.com");
}

/// RFC 7622 §3.5, table 2, but for `henryⅣ` and `♚`, which nodeprep takes (folding the first).
#[test]
fn what_the_specification_refuses() {
    use Fault::*;
    use Part::*;
    assert_eq!(fault("\"juliet\"@example.com"), (Localpart, Invalid));
    assert_eq!(fault("foo bar@example.com"), (Localpart, Invalid));
    assert_eq!(fault("juliet@example.com/"), (Resourcepart, Empty));
    assert_eq!(fault("@example.com/"), (Localpart, Empty));
    assert_eq!(fault("♚@"), (Domainpart, Empty));
    assert_eq!(fault("juliet@"), (Domainpart, Empty));
    assert_eq!(fault("/foobar"), (Domainpart, Empty));
}

#[test]
fn parts() {
    let full = jid("juliet@im.example.com/balcony/left@home");
    assert_eq!(full.node(), Some("juliet"));
    assert_eq!(full.domain(), "im.example.com");
    assert_eq!(full.resource(), Some("balcony/left@home"));
    assert_eq!(full.bare_str(), "juliet@im.example.com");
    assert!(full.is_full() && full.bare().is_bare());
    assert_eq!(full.bare(), jid("juliet@im.example.com"));
    assert_eq!(full.domain_jid(), jid("im.example.com"));
    assert_eq!(jid("im.example.com").resource(), None);
    assert_eq!(
        full.bare().with_resource("x").unwrap(),
        jid("juliet@im.example.com/x")
    );
    assert!(full.with_resource("").is_err());
    assert_eq!(
        Jid::new(Some("A"), "B.example", Some("C")).unwrap(),
        jid("a@b.example/C")
    );
}

#[test]
fn one_form_per_domain() {
    for text in [
        "xn--bcher-kva.example",
        "XN--BCHER-KVA.Example",
        "BÜCHER.example",
        "bu\u{308}cher.example.",
        "bücher。example",
    ] {
        assert_eq!(jid(text).as_str(), "bücher.example", "{text}");
    }
    assert_eq!(jid("EXAMPLE.com.").as_str(), "example.com");
    assert_eq!(jid("faß.example").as_str(), "faß.example");
}

#[test]
fn domains_that_are_none() {
    for text in [
        "",
        ".",
        "a..b",
        ".a",
        "a..",
        "-a.example",
        "a-.example",
        "x_y",
        "a b",
        "a:5222",
        "a@b@c",
        "xn--a",
        "xn--",
        "xn--example-.com",
        "a%b",
        "[::1",
        "[1.2.3.4]",
        "[::1]x",
        "a\0b",
        "ex／ample",
    ] {
        let error = Jid::parse(text).expect_err(text);
        assert_eq!(error.part, Part::Domainpart, "{text}");
    }
}

#[test]
fn literals() {
    assert_eq!(jid("a@127.0.0.1").domain(), "127.0.0.1");
    assert_eq!(jid("[2001:DB8:0::1]/x").domain(), "[2001:db8::1]");
}

#[test]
fn localparts_fold() {
    assert_eq!(jid("JULIET@example.com"), jid("juliet@example.com"));
    assert_eq!(jid("ＪＵＬＩＥＴ@example.com"), jid("juliet@example.com"));
    assert_eq!(jid("Straße@example.com"), jid("strasse@example.com"));
    for text in [
        "a@b@example.com",
        "a:b@example.com",
        "a&b@example.com",
        "\u{ff20}@example.com",
    ] {
        assert!(Jid::parse(text).is_err(), "{text}");
    }
}

#[test]
fn resources_take_emoji_and_refuse_tricks() {
    for resource in ["🦊", "❤️", "👩‍👩‍👧", "🏴󠁧󠁢󠁥󠁮󠁧󠁿", "Zoë", "می‌خواهم"]
    {
        assert!(
            jid("a@example.com").with_resource(resource).is_ok(),
            "{resource}"
        );
    }
    for resource in [
        "a\nb",
        "\u{7f}",
        "\u{85}",
        "x\u{202e}y",
        "\u{200f}",
        "\u{feff}",
        "\u{fffe}",
    ] {
        assert!(
            jid("a@example.com").with_resource(resource).is_err(),
            "{resource:?}"
        );
    }
    assert_eq!(jid("a@b/x\u{a0}y"), jid("a@b/x y"));
    assert_eq!(jid("a@b/e\u{301}"), jid("a@b/é"));
    assert_ne!(jid("a@b/X"), jid("a@b/x"));
}

#[test]
fn lengths() {
    let long = "x".repeat(MAX_PART);
    let most = format!("{long}@{long}/{long}");
    let full = jid(&most);
    assert_eq!(full.resource(), Some(long.as_str()));
    assert_eq!(full.domain(), long);
    for text in [
        format!("{long}x@a/b"),
        format!("a@{long}x/b"),
        format!("a@b/{long}x"),
    ] {
        assert_eq!(fault(&text).1, Fault::TooLong);
    }
}

#[test]
fn registration_is_stricter() {
    for name in [
        "juliet",
        "JULIET",
        "a.b-c_1",
        "zoë",
        "юлия",
        "ユリ",
        "foo\\20bar",
    ] {
        assert_eq!(
            registrable_node(name).unwrap(),
            *jid(&format!("{name}@x")).node().unwrap()
        );
    }
    // Folded, composed or kept apart by one of the two schools only.
    for name in ["straße", "ὀδυσσεύς", "ﬁn", "x²", "i☃", "Ⅳ", "a b", ""] {
        assert!(registrable_node(name).is_err(), "{name}");
    }
}

#[test]
fn serde_is_the_string() {
    let full = jid("a@b.example/c");
    assert_eq!(serde_json::to_string(&full).unwrap(), "\"a@b.example/c\"");
    assert_eq!(
        serde_json::from_str::<Jid>("\"A@b.example/c\"").unwrap(),
        full
    );
    assert!(serde_json::from_str::<Jid>("\"@b\"").is_err());
}

/// Any text, with what matters to addresses more often than chance would have it.
fn texts() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        "[a-zA-Z0-9.@/-]{1,8}",
        "\\PC{1,4}",
        any::<char>().prop_map(String::from),
        "[\u{80}-\u{24f}\u{370}-\u{5ff}\u{1e00}-\u{1fff}\u{2100}-\u{218f}\u{ff00}-\u{ffef}]{1,4}",
        Just("xn--".to_owned()),
        Just("@".to_owned()),
        Just("/".to_owned()),
    ];
    prop::collection::vec(piece, 0..6).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn what_is_shown_is_read_back(text in texts()) {
        if let Ok(jid) = Jid::parse(&text) {
            let again = Jid::parse(jid.as_str()).expect("stable");
            prop_assert_eq!(&again, &jid);
            prop_assert_eq!((again.node(), again.domain(), again.resource()),
                (jid.node(), jid.domain(), jid.resource()));
        }
    }

    #[test]
    fn parts_put_together_are_the_whole(text in texts()) {
        if let Ok(jid) = Jid::parse(&text) {
            let again = Jid::new(jid.node(), jid.domain(), jid.resource()).expect("prepared");
            prop_assert_eq!(again, jid);
        }
    }

    #[test]
    fn each_part_is_idempotent(text in "\\PC{1,12}") {
        for prepared in [prepare::node(&text), prepare::domain(&text), prepare::resource(&text)].into_iter().flatten() {
            let whole = [prepare::node(&prepared), prepare::domain(&prepared), prepare::resource(&prepared)];
            prop_assert!(whole.iter().flatten().any(|again| *again == prepared));
        }
    }

    #[test]
    fn the_short_way_agrees_with_the_long(text in "[a-z0-9.@/-]{1,20}") {
        if let Some(short) = prepare::canonical(&text) {
            let long = Jid::new(short.node(), short.domain(), short.resource());
            prop_assert_eq!(long.as_ref(), Ok(&short));
        }
    }
}
