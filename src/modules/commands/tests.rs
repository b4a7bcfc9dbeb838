//! Forms there and back.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::time::{Duration, Instant};

use super::*;
use crate::hooks::command::{ActError, AdHoc, Argument, Command, Line, Permission};
use crate::proto::form::{Field, FieldType, FormType};

const WORDS: &[(&str, &str)] = &[("a", "First"), ("b", "Second")];

const COMMAND: Command = Command {
    name: "test it",
    doc: "Test it.",
    adhoc: Some(AdHoc {
        node: "test",
        form_type: "urn:test",
        results: &[("account", "accountjids"), ("users", "usersnum")],
    }),
    arguments: &[
        Argument::needed("account", Kind::Account, "Whose.").field("accountjid"),
        Argument::optional("text", Kind::Lines, "What."),
        Argument::optional("times", Kind::Number { min: 1, max: 9 }, "How often."),
        Argument::optional("word", Kind::Choice(WORDS), "Which."),
        Argument::optional("host", Kind::Host, "Where."),
    ],
    permission: Permission::Host,
    confirm: Some("Is it meant?"),
    audited: false,
};
static DECLARED: Command = COMMAND;

fn submit(fields: &[(&str, &[&str])]) -> Form {
    let mut form = Form::new(FormType::Submit);
    for (var, values) in fields {
        let mut field = Field::new(FieldType::TextSingle, var).with_values(values.iter().copied());
        field.kind = None;
        form.fields.push(field);
    }
    form
}

#[test]
fn a_form_asks_for_what_is_declared() {
    let mut given = Given::new();
    given.insert("text".to_owned(), "one\ntwo".into());
    let form = form::ask(&DECLARED, &given);
    assert_eq!(form.form_type(), Some("urn:test"));
    assert_eq!(form.instructions, ["Is it meant?"]);
    assert_eq!(form.values("text"), ["one", "two"]);
    assert_eq!(form.field("times").unwrap().whole, Some((1, 9)));
    assert_eq!(form.field("word").unwrap().options.len(), 2);
    assert!(form.field("host").is_none() && form.field("accountjid").unwrap().required);
}

#[test]
fn what_was_filled_in_is_held_against_the_form() {
    let given = submit(&[
        ("FORM_TYPE", &["urn:test"]),
        ("accountjid", &["A@b"]),
        ("text", &["one", "", "two"]),
        ("times", &[""]),
        ("unheard-of", &["x"]),
    ]);
    let given = form::read(&DECLARED, given).unwrap();
    assert_eq!(given["account"].0, ["A@b"]);
    assert_eq!(given["text"].0, ["one", "", "two"]);
    assert!(given["times"].0.is_empty() && given.len() == 3);
    let own: (&str, &[&str]) = ("accountjid", &["a@b"]);
    for bad in [
        submit(&[]),
        submit(&[("accountjid", &["@"])]),
        submit(&[own, ("times", &["10"])]),
        submit(&[own, ("times", &["x"])]),
        submit(&[own, ("word", &["c"])]),
        submit(&[own, ("FORM_TYPE", &["urn:other"])]),
        form::ask(&DECLARED, &Given::new()),
    ] {
        assert!(form::read(&DECLARED, bad).is_err());
    }
}

fn payload(result: Result<(), ActError>, lines: Vec<Line>) -> Result<Vec<Element>, StanzaError> {
    Outcome { result, lines }.payload(&COMMAND)
}

#[test]
fn lines_become_fields_rows_and_notes() {
    let text = |all: &[&str]| all.iter().map(|t| (*t).to_owned()).collect::<Vec<_>>();
    let lines = vec![
        Line::Fact("users".to_owned(), "2".to_owned()),
        Line::Columns(text(&["account", "created"])),
        Line::Row(text(&["a@b", "then"])),
        Line::Row(text(&["c@b", "now"])),
        Line::Columns(text(&["name", "value"])),
        Line::Row(text(&["x", "y"])),
        Line::Said("That is all.".to_owned()),
    ];
    let payload = payload(Ok(()), lines).unwrap();
    let form = Form::parse(payload[0].root()).unwrap();
    assert_eq!(form.value("usersnum"), Some("2"));
    assert_eq!(form.values("accountjids"), ["a@b", "c@b"]);
    assert_eq!((form.reported.len(), form.items.len()), (2, 1));
    assert_eq!(payload[1].attr("type"), Some("info"));
}

#[test]
fn a_failure_is_an_error_or_a_note() {
    let failed = || Err(ActError::Failed("disk".to_owned()));
    let error = payload(failed(), Vec::new()).unwrap_err();
    assert_eq!(error.condition, Condition::InternalServerError);
    let notes = payload(failed(), vec![Line::Said("Half.".to_owned())]).unwrap();
    let kinds: Vec<_> = notes.iter().map(|note| note.attr("type")).collect();
    assert_eq!(kinds, [Some("info"), Some("error")]);
}

#[test]
fn forms_are_bounded_and_end() {
    let (now, juliet) = (Instant::now(), Jid::parse("juliet@b/x").unwrap());
    let sessions = Sessions::new(2, 1);
    let open = |asker: &Jid| Open {
        asker: asker.clone(),
        node: "test",
        stage: Stage::Form,
        given: Given::new(),
        until: now + Duration::from_secs(60),
    };
    let id = sessions.open(open(&juliet), now).unwrap();
    assert!(sessions.open(open(&juliet), now).is_err());
    let romeo = Jid::parse("romeo@b/x").unwrap();
    assert!(matches!(
        sessions.find(&id, &juliet, "test", now),
        Found::Open(_)
    ));
    assert!(matches!(
        sessions.find(&id, &romeo, "test", now),
        Found::Unknown
    ));
    assert!(matches!(
        sessions.find(&id, &juliet, "other", now),
        Found::Unknown
    ));
    let later = now + Duration::from_secs(61);
    assert!(matches!(
        sessions.find(&id, &juliet, "test", later),
        Found::Ended
    ));
    assert!(matches!(
        sessions.find(&id, &romeo, "test", later),
        Found::Unknown
    ));
    assert!(sessions.open(open(&juliet), later).is_ok());
}
