//! Arguments as they come, and what they are; who may.
#![allow(clippy::unwrap_used)]

use super::*;

const COLOURS: &[(&str, &str)] = &[("red", "Red"), ("blue", "Blue")];

const PAINT: Command = Command {
    name: "house paint",
    doc: "Paint a house.",
    adhoc: None,
    arguments: &[
        Argument::needed("owners", Kind::Accounts, "Whose it is."),
        Argument::optional("coats", Kind::Number { min: 1, max: 3 }, "How often."),
        Argument::optional("colour", Kind::Choice(COLOURS), "Which colour."),
        Argument::optional("frames", Kind::Choices(COLOURS), "Which colours."),
        Argument::optional("inside", Kind::Flag, "Inside, too."),
        Argument::optional("note", Kind::Lines, "What to heed."),
        Argument::optional("secret", Kind::Password, "A secret."),
        Argument::optional("secret-again", Kind::Again("secret"), "Once more."),
        Argument::optional("from", Kind::Domains, "Whose paint."),
    ],
    permission: Permission::Host,
    confirm: None,
    audited: true,
};

fn given(all: &[(&str, &[&str])]) -> Given {
    let values = |values: &[&str]| Values(values.iter().map(|v| (*v).to_owned()).collect());
    all.iter()
        .map(|(name, v)| ((*name).to_owned(), values(v)))
        .collect()
}

#[test]
fn every_kind_is_read() {
    let args = Args::read(
        &PAINT,
        &given(&[
            ("owners", &["A@b", "c@b", "a@B"]),
            ("coats", &["2"]),
            ("colour", &["red"]),
            ("frames", &["red", "blue"]),
            ("inside", &["1"]),
            ("note", &["one", "two"]),
            ("secret", &["s"]),
            ("secret-again", &["s"]),
            ("from", &["Example.ORG"]),
        ]),
    )
    .unwrap();
    let owners: Vec<&str> = args.addresses("owners").iter().map(Jid::as_str).collect();
    assert_eq!(owners, ["a@b", "c@b"]);
    assert_eq!(args.number("coats"), Some(2));
    assert_eq!(args.text("colour"), Some("red"));
    assert_eq!(args.words("frames"), ["red", "blue"]);
    assert!(args.flag("inside") && !args.flag("outside"));
    assert_eq!(args.text("note"), Some("one\ntwo"));
    assert_eq!(args.words("from"), ["example.org"]);
    assert!(!args.for_log().contains("secret"));
    assert!(args.for_log().contains("owners=a@b,c@b"));
}

#[test]
fn what_does_not_fit_is_named() {
    let owners: (&str, &[&str]) = ("owners", &["a@b"]);
    for (more, expected) in [
        (
            ("coats", &["4"][..]),
            "coats: \"4\" is no whole number from 1 to 3",
        ),
        (("coats", &["1", "2"]), "coats: it has several values"),
        (
            ("colour", &["green"]),
            "colour: \"green\" is none of red, blue",
        ),
        (
            ("frames", &["red", "pink"]),
            "frames: \"pink\" is none of red, blue",
        ),
        (
            ("inside", &["perhaps"]),
            "inside: \"perhaps\" is neither true nor false",
        ),
        (("note", &["\u{1}"]), "note: it has control characters"),
        (("secret-again", &["x"]), "secret: the two differ"),
        (
            ("from", &["a@b"]),
            "from: \"a@b\" is not a domain; write it as example.org",
        ),
    ] {
        let error = Args::read(&PAINT, &given(&[owners, more])).unwrap_err();
        assert_eq!(error.to_string(), expected);
    }
}

#[test]
fn values_in_json_are_one_or_several() {
    let read = |text: &str| serde_json::from_str::<Values>(text).map(|values| values.0);
    assert_eq!(read("\"a\"").unwrap(), ["a"]);
    assert_eq!(read("[\"a\", 1, true]").unwrap(), ["a", "1", "true"]);
    assert_eq!(read("7").unwrap(), ["7"]);
    assert!(read("{}").is_err());
}

#[test]
fn an_administrator_of_a_host_stays_in_it() {
    let caller = |rights| Caller {
        name: "a test".to_owned(),
        jid: None,
        rights,
    };
    let own = caller(Rights::Host("b".to_owned()));
    let args = |owners: &[&str]| Args::read(&PAINT, &given(&[("owners", owners)])).unwrap();
    assert!(PAINT.permitted(&args(&["a@b"]), &own, None).is_ok());
    assert!(PAINT.permitted(&args(&["a@b", "a@c"]), &own, None).is_err());
    assert!(PAINT.permitted(&args(&["a@b"]), &own, Some("c")).is_err());
    assert!(
        PAINT
            .permitted(&args(&["a@b"]), &caller(Rights::None), None)
            .is_err()
    );
    assert!(
        PAINT
            .permitted(&args(&["a@c"]), &caller(Rights::Server), None)
            .is_ok()
    );
    assert!(PAINT.may(&own, Some("b")) && !PAINT.may(&own, Some("c")) && !PAINT.may(&own, None));
}
