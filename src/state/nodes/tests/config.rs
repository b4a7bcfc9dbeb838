//! Forms of configurations, with the fields that clients send.

use super::*;
use crate::proto::form::{Form, FormType};

fn fields(var_values: &[(&str, &str)]) -> Element {
    let text = form(PUBLISH_OPTIONS, var_values);
    parse(text.as_bytes(), &Context::client(), &XmlLimits::STORED).unwrap()
}

#[test]
fn a_form_comes_back_as_it_was_shown() {
    let config = Config {
        title: "t".to_owned(),
        contact: vec!["a@x".to_owned()],
        max_items: Amount::MAX,
        access_model: AccessModel::Roster,
        roster_groups_allowed: vec!["b".to_owned(), "c".to_owned()],
        publish_model: PublishModel::Open,
        itemreply: ItemReply::Publisher,
        ..Config::personal()
    };
    let mut shown = config.to_form(FormType::Form);
    shown.kind = FormType::Submit;
    let mut read = Config::personal();
    read.take(shown.to_element().root()).unwrap();
    assert_eq!(read, config);
    let stored: Config = record::read(&record::write(&config)).unwrap();
    assert_eq!(stored, config);
}

#[test]
fn what_clients_demand_makes_the_node_they_want() {
    // XEP-0402 and XEP-0490, as Conversations, Gajim and Monal send them; OMEMO; XEP-0223.
    let bookmarks = [
        ("persist_items", "true"),
        ("max_items", "max"),
        ("send_last_published_item", "never"),
        ("access_model", "whitelist"),
        ("notify_delete", "true"),
        ("notify_retract", "true"),
    ];
    let devices = [
        ("persist_items", "1"),
        ("access_model", "open"),
        ("max_items", "1"),
    ];
    for demanded in [&bookmarks[..], &devices] {
        let x = fields(demanded);
        let made = Config::personal().demanded(x.root()).unwrap();
        // The same is demanded of the node that was made.
        let again = made.demanded(x.root()).unwrap();
        made.meets(&again, &limits()).unwrap();
        let other = Config {
            access_model: AccessModel::Presence,
            ..made.clone()
        };
        let demanded = other.demanded(x.root()).unwrap();
        let refused = other.meets(&demanded, &limits()).unwrap_err();
        assert_eq!(refused.condition, Condition::Conflict);
        assert_eq!(refused.app.unwrap().name(), "precondition-not-met");
        assert!(refused.text.unwrap().contains("access_model"));
    }
}

#[test]
fn as_much_as_the_server_allows_is_a_number_too() {
    let config = Config {
        max_items: Amount(Some(50)),
        ..Config::service()
    };
    let max = fields(&[("max_items", "max")]);
    let demanded = config.demanded(max.root()).unwrap();
    config.meets(&demanded, &limits()).unwrap();
}

#[test]
fn values_that_cannot_be_are_refused() {
    let take = |var: &str, value: &str| {
        let text = form(NODE_CONFIG, &[(var, value)]);
        let x = parse(text.as_bytes(), &Context::client(), &XmlLimits::STORED).unwrap();
        let mut config = Config::service();
        let taken = config.take(x.root());
        taken.map(|()| config).map_err(|error| error.condition)
    };
    for (var, value) in [
        ("persist_items", "perhaps"),
        ("max_items", "0"),
        ("max_items", "-1"),
        ("max_items", "99999999999999999999"),
        ("publish_model", "whoever"),
        ("contact", "@"),
        ("purge_offline", "1"),
        ("presence_based_delivery", "1"),
    ] {
        let refused = take(var, value);
        assert_eq!(refused, Err(Condition::NotAcceptable), "{var}={value}");
    }
    assert_eq!(
        take("node_type", "collection"),
        Err(Condition::FeatureNotImplemented)
    );
    let same = |var, value| assert_eq!(take(var, value), Ok(Config::service()));
    same("purge_offline", "0");
    same("node_type", "leaf");
    same("body_xslt", "http://example.org/x");
    let long = "x".repeat(3_000);
    assert_eq!(take("title", &long), Err(Condition::NotAcceptable));
}

#[test]
fn a_form_must_be_submitted_and_of_its_type() {
    let form = Form::new(FormType::Submit).with_form_type("urn:other");
    let mut config = Config::service();
    let refused = config.take(form.to_element().root()).unwrap_err();
    assert_eq!(refused.condition, Condition::BadRequest);
    let shown = config.to_form(FormType::Form).to_element();
    assert!(config.take(shown.root()).is_err());
    assert!(config.demanded(fields(&[("title", "x")]).root()).is_ok());
}
