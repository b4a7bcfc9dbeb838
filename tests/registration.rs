//! In-band registration (XEP-0077).

use std::time::Duration;

use waxwing::proto::form::{Field, FieldType, Form, FormType};
use waxwing::proto::{Condition, Jid, ns};
use waxwing::store::EngineError;
use waxwing::xml::Element;

use crate::support::client::{Client, Error};
use crate::support::server::{Running, start_faulty, start_server};

fn leaf(name: &str, text: &str) -> Element {
    Element::new(name, ns::REGISTER).with_text(text)
}

fn wish(name: &str, password: &str) -> Element {
    Element::new("query", ns::REGISTER)
        .with_child(leaf("username", name))
        .with_child(leaf("password", password))
}

/// A stream that is secured, and what it offers.
async fn stranger(server: &Running) -> (Client, Element) {
    let nobody = Jid::parse("nobody@localhost").unwrap();
    let mut client = server.client(&nobody).open(server.addr).await.unwrap();
    client.open_stream().await.unwrap();
    let features = client.start_tls().await.unwrap();
    (client, features)
}

/// The server ends the stream.
async fn assert_over(client: &mut Client) {
    while client.next(Duration::from_secs(5)).await.is_some() {}
    assert!(client.is_over(), "the stream goes on");
}

fn condition(result: Result<Element, Error>) -> Option<Condition> {
    match result {
        Err(Error::Refused(error)) => Some(error.condition),
        _ => None,
    }
}

#[tokio::test]
async fn an_account_is_made_before_login() {
    let server = start_server(&["modules.registration.open=true"]).await;
    let (mut client, features) = stranger(&server).await;
    assert!(features.child("register", ns::REGISTER_FEATURE).is_some());
    let asked = client
        .request("get", None, Element::new("query", ns::REGISTER))
        .await
        .unwrap();
    let query = asked.child("query", ns::REGISTER).unwrap();
    assert!(query.child("username", ns::REGISTER).is_some());
    assert!(query.child("registered", ns::REGISTER).is_none());
    client
        .request("set", None, wish("juliet", "pencil-pencil"))
        .await
        .unwrap();
    let again = client
        .request("set", None, wish("Juliet", "pencil-pencil"))
        .await;
    assert_eq!(condition(again), Some(Condition::Conflict));
    for (name, password, expected) in [
        ("romeo", "short", Condition::NotAcceptable),
        ("romeo-montague", "romeo-montague", Condition::NotAcceptable),
        ("romeo", "", Condition::NotAcceptable),
        ("a b", "pencil-pencil", Condition::NotAcceptable),
        ("admin", "pencil-pencil", Condition::Conflict),
    ] {
        let refused = client.request("set", None, wish(name, password)).await;
        assert_eq!(condition(refused), Some(expected), "{name}");
    }
    drop(client);
    let jid = Jid::parse("juliet@localhost").unwrap();
    let found = server.accounts().show(&jid).await.unwrap().unwrap();
    assert_eq!(found.disabled, None);
    server.stop().await;
}

#[tokio::test]
async fn an_address_makes_only_a_few() {
    let server = start_server(&[
        "modules.registration.open=true",
        "modules.registration.per_address=1",
        "modules.registration.approval=true",
    ])
    .await;
    let (mut client, _) = stranger(&server).await;
    client
        .request("set", None, wish("juliet", "pencil-pencil"))
        .await
        .unwrap();
    let more = client
        .request("set", None, wish("romeo", "pencil-pencil"))
        .await;
    assert_eq!(condition(more), Some(Condition::ResourceConstraint));
    let jid = Jid::parse("juliet@localhost").unwrap();
    let found = server.accounts().show(&jid).await.unwrap().unwrap();
    assert!(found.disabled.is_some(), "it waits for an administrator");
    drop(client);
    server.stop().await;
}

/// Many streams at once make no more than one stream could.
#[tokio::test]
async fn a_flood_makes_only_a_few() {
    let server = start_server(&[
        "modules.registration.open=true",
        "modules.registration.per_address=2",
    ])
    .await;
    let mut streams = Vec::new();
    for _ in 0..12 {
        streams.push(stranger(&server).await.0);
    }
    let mut tasks = tokio::task::JoinSet::new();
    for (n, mut client) in streams.into_iter().enumerate() {
        tasks.spawn(async move {
            let wish = wish(&format!("juliet{n}"), "pencil-pencil");
            client.request("set", None, wish).await
        });
    }
    let results = tasks.join_all().await;
    let made = results.iter().filter(|result| result.is_ok()).count();
    assert_eq!(made, 2);
    for refused in results.into_iter().filter(Result::is_err) {
        assert_eq!(condition(refused), Some(Condition::ResourceConstraint));
    }
    let listed = server.accounts().list("localhost", None, 100).await;
    assert_eq!(listed.unwrap().len(), 2);
    server.stop().await;
}

/// XEP-0077 §4: what is missing, empty, doubled or in a wrong form makes nothing.
#[tokio::test]
async fn a_wrong_form_makes_nothing() {
    let server = start_server(&["modules.registration.open=true"]).await;
    let (mut client, _) = stranger(&server).await;
    let query = || Element::new("query", ns::REGISTER);
    let form = |kind, fields: &[(&str, &str)]| {
        let mut form = Form::new(kind).with_form_type(ns::REGISTER);
        for (var, value) in fields {
            form = form.with_field(Field::new(FieldType::TextSingle, var).with_value(value));
        }
        query().with_child(form.to_element())
    };
    let (name, password) = (("username", "juliet"), ("password", "pencil-pencil"));
    let wrong = [
        query(),
        query().with_child(leaf("username", "juliet")),
        query().with_child(leaf("password", "pencil-pencil")),
        wish("", "pencil-pencil"),
        form(FormType::Submit, &[]),
        form(FormType::Submit, &[name]),
        form(FormType::Submit, &[name, ("password", "")]),
        form(FormType::Submit, &[name, name, password]),
        form(FormType::Cancel, &[name, password]),
        form(FormType::Form, &[name, password]),
    ];
    for query in wrong {
        let refused = client.request("set", None, query.clone()).await;
        assert!(condition(refused).is_some(), "{query:?}");
    }
    let listed = server.accounts().list("localhost", None, 100).await;
    assert_eq!(listed.unwrap().len(), 0);
    // What is not asked for does no harm.
    let more = form(FormType::Submit, &[name, password, ("shoe-size", "44")]);
    client.request("set", None, more).await.unwrap();
    drop(client);
    server.stop().await;
}

#[tokio::test]
async fn where_it_is_not_open_nothing_is_made() {
    let server = start_server(&[]).await;
    let (mut client, features) = stranger(&server).await;
    assert!(features.child("register", ns::REGISTER_FEATURE).is_none());
    let refused = client
        .request("set", None, wish("juliet", "pencil-pencil"))
        .await;
    assert_eq!(condition(refused), Some(Condition::ServiceUnavailable));
    let jid = Jid::parse("juliet@localhost").unwrap();
    assert!(server.accounts().show(&jid).await.unwrap().is_none());
    server.stop().await;
}

/// XEP-0077 §3.3
#[tokio::test]
async fn a_password_is_changed() {
    let server = start_server(&[]).await;
    let jid = server.account("alice").await.unwrap();
    let name = jid.node().unwrap();
    let mut own = server.client(&jid).connect(server.addr).await.unwrap();
    let mut other = server.client(&jid).connect(server.addr).await.unwrap();
    let asked = own
        .request("get", None, Element::new("query", ns::REGISTER))
        .await
        .unwrap();
    let query = asked.child("query", ns::REGISTER).unwrap();
    assert!(query.child("registered", ns::REGISTER).is_some());
    let weak = own.request("set", Some("localhost"), wish(name, "x")).await;
    assert_eq!(condition(weak), Some(Condition::NotAcceptable));
    let somebody = own
        .request("set", None, wish("somebody", "crayon-crayon"))
        .await;
    assert_eq!(condition(somebody), Some(Condition::NotAllowed));
    own.request("set", Some("localhost"), wish(name, "crayon-crayon"))
        .await
        .unwrap();
    assert_over(&mut other).await;
    // The session that changed it stays.
    own.request("get", None, Element::new("query", ns::REGISTER))
        .await
        .unwrap();
    let old = server.client(&jid).connect(server.addr).await;
    assert!(matches!(old, Err(Error::Login(_))));
    drop((own, other));
    server.stop().await;
}

/// XEP-0077 §3.2
#[tokio::test]
async fn an_account_is_removed() {
    let server = start_server(&[]).await;
    let jid = server.account("alice").await.unwrap();
    let mut client = server.client(&jid).connect(server.addr).await.unwrap();
    let remove =
        Element::new("query", ns::REGISTER).with_child(Element::new("remove", ns::REGISTER));
    let both = client
        .request(
            "set",
            None,
            remove.clone().with_child(leaf("username", "alice")),
        )
        .await;
    assert_eq!(condition(both), Some(Condition::BadRequest));
    client.request("set", None, remove).await.unwrap();
    assert_over(&mut client).await;
    let login = server.client(&jid).connect(server.addr).await;
    assert!(matches!(login, Err(Error::Login(_))));
    assert!(server.accounts().show(&jid).await.unwrap().is_none());
    server.stop().await;
}

/// The answer says what is on the disk: a removal that was not written did not happen.
#[tokio::test]
async fn a_removal_that_fails_is_refused() {
    let (server, faulty) = start_faulty().await;
    let jid = server.account("alice").await.unwrap();
    let mut client = server.client(&jid).connect(server.addr).await.unwrap();
    let query = |name: &str| {
        Element::new("query", ns::REGISTER).with_child(Element::new(name, ns::REGISTER))
    };
    // What the login leaves is written by then.
    let item = Element::new("item", ns::ROSTER).with_attr("jid", "bob@localhost");
    let contact = Element::new("query", ns::ROSTER).with_child(item);
    client.request("set", None, contact).await.unwrap();
    faulty.fail(1, EngineError::Refused("injected".to_owned()));
    let refused = client.request("set", None, query("remove")).await;
    assert_eq!(condition(refused), Some(Condition::InternalServerError));
    // The session that asked stays, and the account.
    client.roster().await.unwrap();
    assert!(server.accounts().show(&jid).await.unwrap().is_some());
    client.request("set", None, query("remove")).await.unwrap();
    assert_over(&mut client).await;
    assert!(server.accounts().show(&jid).await.unwrap().is_none());
    server.stop().await;
}
