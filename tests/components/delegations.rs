//! XEP-0355: Namespace Delegation, in the mode of the administrator

use std::time::Duration;

use waxwing::proto::ns;
use waxwing::xml::Element;

use super::*;

const MOOD: &str = "urn:example:mood";
const DELEGATED: &str = r#"patience = "100ms"
[[modules.delegation.namespaces]]
namespace = "urn:example:mood"
to = "plays.localhost"
[[modules.delegation.namespaces]]
namespace = "urn:xmpp:ping"
to = "plays.localhost"
attributes = ["node"]
"#;

/// A server, and a component that was told what it answers for and has said what it can do.
async fn delegated() -> (Running, Client) {
    let server = start(DELEGATED).await;
    let mut plays = attach(&server, PLAYS).await.unwrap();
    let told = next(&mut plays, "message").await;
    assert_eq!(told.attr("from"), Some("localhost"));
    let delegation = told.child("delegation", ns::DELEGATION).unwrap();
    let names: Vec<_> = delegation
        .children()
        .map(|one| {
            let attribute = one.child("attribute", ns::DELEGATION);
            let name = attribute.and_then(|el| el.attr("name").map(str::to_owned));
            (one.attr("namespace").unwrap().to_owned(), name)
        })
        .collect();
    let expected = [
        (MOOD.to_owned(), None),
        (ns::PING.to_owned(), Some("node".to_owned())),
    ];
    assert_eq!(names, expected);
    for _ in 0..4 {
        let question = next(&mut plays, "iq").await;
        let query = question.child("query", ns::DISCO_INFO).unwrap();
        let node = query.attr("node").unwrap().to_owned();
        let mut told = Element::new("query", ns::DISCO_INFO).with_attr("node", &node);
        if node.ends_with(MOOD) {
            let at = if node.contains(":bare:") {
                "bare"
            } else {
                "host"
            };
            let var = format!("{MOOD}#{at}");
            let feature = Element::new("feature", ns::DISCO_INFO).with_attr("var", &var);
            told = told.with_child(feature);
        }
        plays.send(result_of(&question, Some(told))).await.unwrap();
    }
    (server, plays)
}

fn result_of(question: &Element, payload: Option<Element>) -> Element {
    let mut answer = Element::new("iq", ns::CLIENT).with_attr("type", "result");
    answer.set_attr("from", question.attr("to"));
    answer.set_attr("to", question.attr("from"));
    answer.set_attr("id", question.attr("id"));
    match payload {
        Some(payload) => answer.with_child(payload),
        None => answer,
    }
}

/// The iq that a delegated question carries.
fn carried(question: &Element) -> Element {
    let delegation = question.child("delegation", ns::DELEGATION).unwrap();
    let forwarded = delegation.child("forwarded", ns::FORWARD).unwrap();
    forwarded.child("iq", ns::CLIENT).unwrap().to_element()
}

fn carrying(inner: Element) -> Element {
    let forwarded = Element::new("forwarded", ns::FORWARD).with_child(inner);
    Element::new("delegation", ns::DELEGATION).with_child(forwarded)
}

fn mood() -> Element {
    Element::new("mood", MOOD)
}

/// The next delegated question.
async fn asked(component: &mut Client) -> Element {
    let delegated = |el: &Element| el.child("delegation", ns::DELEGATION).is_some();
    let question = component.wait_for("a delegated question", delegated).await;
    question.unwrap()
}

#[tokio::test]
async fn questions_to_the_host_and_to_accounts_go_to_the_component_and_come_back() {
    let (server, mut plays) = delegated().await;
    let mut juliet = online(&server, "juliet").await;
    let mut romeo = online(&server, "romeo").await;
    let juliet_bare = juliet.jid.bare();
    for to in [None, Some("localhost"), Some(juliet_bare.as_str())] {
        let question = tokio::spawn(async move {
            let question = asked(&mut plays).await;
            assert_eq!(question.attr("type"), Some("set"));
            assert_eq!(question.attr("from"), Some("localhost"));
            let inner = carried(&question);
            let answer = result_of(&inner, Some(mood().with_text("annoyed")));
            plays
                .send(result_of(&question, Some(carrying(answer))))
                .await
                .unwrap();
            (plays, inner)
        });
        let told = romeo.request("set", to, mood()).await.unwrap();
        assert_eq!(told.child("mood", MOOD).unwrap().text(), "annoyed");
        let inner;
        (plays, inner) = question.await.unwrap();
        assert_eq!(inner.attr("from"), Some(romeo.jid.as_str()));
        assert_eq!(inner.attr("to"), to);
        assert!(inner.child("mood", MOOD).is_some());
    }
    juliet
        .expect_nothing(Duration::from_millis(100))
        .await
        .unwrap();
}

#[tokio::test]
async fn only_payloads_with_the_attribute_are_delegated() {
    let (server, mut plays) = delegated().await;
    let mut romeo = online(&server, "romeo").await;
    let ping = || Element::new("ping", ns::PING);
    // The server answers this one itself.
    let told = romeo.request("get", Some("localhost"), ping()).await;
    assert!(told.unwrap().children().next().is_none());
    let with_node = Element::new("iq", ns::CLIENT)
        .with_attr("type", "get")
        .with_attr("id", "n")
        .with_attr("to", "localhost")
        .with_child(ping().with_attr("node", "x"));
    romeo.send(with_node).await.unwrap();
    assert_eq!(carried(&asked(&mut plays).await).attr("id"), Some("n"));
}

#[tokio::test]
async fn an_answer_that_does_not_fit_is_none() {
    let (server, mut plays) = delegated().await;
    let mut romeo = online(&server, "romeo").await;
    type Change = fn(&mut Element);
    let changes: [Change; 4] = [
        |inner| inner.set_attr("id", Some("other")),
        |inner| inner.set_attr("to", Some("juliet@localhost/x")),
        |inner| inner.set_attr("from", Some("juliet@localhost")),
        |inner| inner.set_attr("type", Some("error")),
    ];
    for change in changes {
        let answering = tokio::spawn(async move {
            let question = asked(&mut plays).await;
            let mut inner = result_of(&carried(&question), Some(mood()));
            change(&mut inner);
            plays
                .send(result_of(&question, Some(carrying(inner))))
                .await
                .unwrap();
            plays
        });
        let error = romeo.request("get", None, mood()).await.unwrap_err();
        assert!(error.to_string().contains("service-unavailable"), "{error}");
        plays = answering.await.unwrap();
    }
    // The component refuses.
    let answering = tokio::spawn(async move {
        let question = asked(&mut plays).await;
        let error = Element::new("error", ns::CLIENT)
            .with_attr("type", "cancel")
            .with_child(Element::new("not-allowed", ns::STANZA_ERRORS));
        let mut answer = result_of(&question, Some(error));
        answer.set_attr("type", Some("error"));
        plays.send(answer).await.unwrap();
        plays
    });
    let error = romeo.request("get", None, mood()).await.unwrap_err();
    assert!(error.to_string().contains("service-unavailable"), "{error}");
    answering.await.unwrap();
}

#[tokio::test]
async fn what_the_component_asks_itself_is_not_sent_back_to_it() {
    let (_server, mut plays) = delegated().await;
    let question = Element::new("iq", ns::CLIENT)
        .with_attr("type", "get")
        .with_attr("id", "own")
        .with_attr("from", PLAYS)
        .with_attr("to", "localhost")
        .with_child(mood());
    plays.send(question).await.unwrap();
    let answer = plays
        .wait_for("an answer", |el| el.attr("id") == Some("own"))
        .await
        .unwrap();
    assert_eq!(condition(&answer), "service-unavailable");
}

#[tokio::test]
async fn nobody_is_there_to_answer() {
    let server = start(DELEGATED).await;
    let mut romeo = online(&server, "romeo").await;
    let error = romeo.request("get", None, mood()).await.unwrap_err();
    assert!(error.to_string().contains("service-unavailable"), "{error}");
}

#[tokio::test]
async fn what_the_component_can_do_is_told_as_the_servers_own() {
    let (server, _plays) = delegated().await;
    let mut romeo = online(&server, "romeo").await;
    let own = romeo.jid.bare();
    for (to, at) in [("localhost", "host"), (own.as_str(), "bare")] {
        let expected = format!("{MOOD}#{at}");
        let told = tokio::time::timeout(Duration::from_secs(5), async {
            loop {
                // The server takes up what it was told by and by.
                let query = Element::new("query", ns::DISCO_INFO);
                let told = romeo.request("get", Some(to), query).await.unwrap();
                let query = told.child("query", ns::DISCO_INFO).unwrap();
                let vars = query.children().filter_map(|el| el.attr("var"));
                let vars: Vec<String> = vars.map(str::to_owned).collect();
                if vars.contains(&expected) {
                    break vars;
                }
            }
        });
        let vars = told.await.unwrap();
        let announced = vars.iter().any(|var| var == ns::DELEGATION);
        assert_eq!(announced, to == "localhost");
    }
}
