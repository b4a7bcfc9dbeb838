//! Data forms: read, written, checked (XEP-0004).

#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use super::*;
use crate::proto::{Condition, StanzaError, ns};
use crate::xml::{Context, Element, Limits, parse};

fn bot() -> Form {
    Form::new(FormType::Form)
        .with_title("Bot Configuration")
        .with_instructions("Fill out this form")
        .with_form_type("jabber:bot")
        .with_field(Field::fixed("Section 1"))
        .with_field(Field::new(FieldType::TextSingle, "botname").with_label("The name"))
        .with_field(Field::new(FieldType::TextMulti, "description"))
        .with_field(Field::new(FieldType::Boolean, "public").required())
        .with_field(Field::choice(
            "maxsubs",
            "20",
            &[("20", "20"), ("none", "None")],
        ))
        .with_field(
            Field::new(FieldType::ListMulti, "features")
                .with_option("news")
                .with_option("search"),
        )
        .with_field(Field::new(FieldType::JidMulti, "invitelist"))
}

fn submit(fields: &[(&str, &[&str])]) -> Form {
    fields
        .iter()
        .fold(Form::new(FormType::Submit), |form, (var, values)| {
            let mut field =
                Field::new(FieldType::TextSingle, var).with_values(values.iter().copied());
            field.kind = None;
            form.with_field(field)
        })
}

fn element(text: &str) -> Element {
    parse(text.as_bytes(), &Context::client(), &Limits::default()).unwrap()
}

#[test]
fn there_and_back() {
    let mut form = bot();
    form.reported = vec![Field::new(FieldType::JidSingle, "jid")];
    form.items = vec![
        vec![Field::text("jid", "a@b")],
        vec![Field::text("jid", "c@d")],
    ];
    assert_eq!(Form::parse(form.to_element().root()), Ok(form));
}

#[test]
fn reading() {
    let form = Form::parse(
        element(
            "<x xmlns='jabber:x:data' type='submit'><field var='FORM_TYPE'><value>jabber:bot</value></field>\
             <field var='public'><value>true</value></field><field type='strange' var='a'/>\
             <field var='description'><value>one</value><value>two</value></field></x>",
        )
        .root(),
    )
    .unwrap();
    assert_eq!(form.form_type(), Some("jabber:bot"));
    assert_eq!(form.boolean("public"), Some(true));
    assert_eq!(form.values("description"), ["one", "two"]);
    assert_eq!(form.field("a").unwrap().kind, Some(FieldType::TextSingle));
    assert_eq!(form.value("none"), None);
}

#[test]
fn malformed() {
    let read = |text: &str| Form::parse(element(text).root());
    assert_eq!(read("<x xmlns='jabber:x:data'/>"), Err(FormError::Kind));
    assert_eq!(
        read("<x xmlns='jabber:x:data' type='error'/>"),
        Err(FormError::Kind)
    );
    assert_eq!(
        read("<x xmlns='jabber:x:data' type='form'><field/></x>"),
        Err(FormError::Nameless)
    );
    let several = read(
        "<x xmlns='jabber:x:data' type='form'><field var='a' type='boolean'><value>1</value><value>0</value></field></x>",
    );
    assert_eq!(several, Err(FormError::SeveralValues("a".to_owned())));
}

/// What is answered twice is not answered; what is only shown harms nobody.
#[test]
fn a_submission_names_a_field_once() {
    let twice = submit(&[("public", &["1"]), ("public", &["0"])]);
    let parsed = Form::parse(twice.to_element().root());
    assert_eq!(parsed, Err(FormError::Twice("public".to_owned())));
    let shown = Form {
        kind: FormType::Result,
        ..twice
    };
    assert!(Form::parse(shown.to_element().root()).is_ok());
}

#[test]
fn a_form_type_is_hidden_in_forms_and_results() {
    let mut form = bot();
    form.fields[0].kind = Some(FieldType::TextSingle);
    assert_eq!(form.form_type(), None);
}

#[test]
fn a_good_submission() {
    let given = submit(&[
        ("FORM_TYPE", &["jabber:bot"]),
        ("public", &["0"]),
        ("description", &["one", "", "two"]),
        ("features", &["search"]),
        ("invitelist", &["Juliet@capulet.com", "juliet@capulet.com"]),
        ("maxsubs", &[""]),
        ("unheard-of", &["x"]),
    ]);
    let checked = bot().check(&given).unwrap();
    assert_eq!(checked.boolean("public"), Some(false));
    assert_eq!(checked.values("description"), ["one", "", "two"]);
    assert_eq!(checked.values("invitelist"), ["juliet@capulet.com"]);
    assert!(checked.values("maxsubs").is_empty() && checked.field("maxsubs").is_some());
    assert!(checked.field("botname").is_none() && checked.field("unheard-of").is_none());
}

#[test]
fn bad_submissions() {
    let public: (&str, &[&str]) = ("public", &["1"]);
    for (fields, error, condition) in [
        (
            &[][..],
            FormError::Required("public".into()),
            Condition::NotAcceptable,
        ),
        (
            &[("public", &[""][..])],
            FormError::Required("public".into()),
            Condition::NotAcceptable,
        ),
        (
            &[("public", &["maybe"])],
            FormError::Value("public".into()),
            Condition::NotAcceptable,
        ),
        (
            &[public, ("maxsubs", &["30"])],
            FormError::Value("maxsubs".into()),
            Condition::NotAcceptable,
        ),
        (
            &[public, ("invitelist", &["@"])],
            FormError::Value("invitelist".into()),
            Condition::NotAcceptable,
        ),
        (
            &[public, ("botname", &["a", "b"])],
            FormError::SeveralValues("botname".into()),
            Condition::BadRequest,
        ),
        (
            &[public, ("FORM_TYPE", &["x"])],
            FormError::FormType("jabber:bot".into()),
            Condition::NotAcceptable,
        ),
    ] {
        let found = bot().check(&submit(fields)).unwrap_err();
        assert_eq!(StanzaError::from(&found).condition, condition);
        assert_eq!(found, error);
    }
    assert_eq!(bot().check(&bot()), Err(FormError::Kind));
}

#[test]
fn the_element_is_in_its_namespace() {
    let el = bot().to_element();
    assert!(el.is("x", ns::DATA_FORM));
    assert_eq!(
        el.children().last().unwrap().attr("var"),
        Some("invitelist")
    );
}
