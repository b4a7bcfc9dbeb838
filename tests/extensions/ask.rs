//! A module that asks a client something before it answers.

use std::sync::Arc;
use std::time::Duration;

use waxwing::hooks::service::{Service, ServiceOwner};
use waxwing::hooks::{AskError, Envelope, Listed, Question, Reply, Verb};
use waxwing::proto::{Condition, Jid, StanzaError, ns};
use waxwing::xml::Element;

use super::{NS, module, online, server};
use crate::support::client::Client;

const PATIENCE: Duration = Duration::from_millis(300);

module!(Echo, "echo", |deps, r| {
    let oracle = Jid::parse("oracle.localhost").unwrap();
    r.service(oracle.clone(), "oracle", Arc::new(Silent));
    r.host_iq(Verb::Get, (NS, "mirror"), move |request| {
        let (deps, to) = (deps.clone(), request.from.clone());
        let asker = match request.payload.attr("of") {
            Some("oracle") => oracle.clone(),
            _ => deps.host.clone(),
        };
        Reply::Later(Box::pin(async move {
            let question = Question::Get(Element::new("who-am-i", NS));
            let answer = deps.ask(asker, to, question, PATIENCE).await;
            let text = match answer {
                Ok(Some(answer)) => answer.text().into_owned(),
                Ok(None) => "nothing".to_owned(),
                Err(AskError::Refused(error)) => format!("refused: {:?}", error.condition),
                Err(AskError::TimedOut) => "timed out".to_owned(),
                Err(AskError::Busy) => "busy".to_owned(),
            };
            Element::new("mirror", NS).with_text(&text).into()
        }))
    });
});

/// A service in whose name is asked; answers go to the asker, not to its owners.
struct Silent;

impl Service for Silent {
    fn key(&self, _: &Envelope) -> String {
        unreachable!("nobody says anything to it")
    }
    fn wake(&self, _: &str, _: Option<&[u8]>) -> Box<dyn ServiceOwner> {
        unreachable!("it has no owners")
    }
}

/// Asks the mirror; returns the question that came of it.
async fn look(client: &mut Client) -> Element {
    look_as(client, "host").await
}

async fn look_as(client: &mut Client, asker: &str) -> Element {
    let iq = Element::new("iq", ns::CLIENT)
        .with_attr("type", "get")
        .with_attr("id", "look")
        .with_attr("to", "localhost")
        .with_child(Element::new("mirror", NS).with_attr("of", asker));
    client.send(iq).await.unwrap();
    let asked = |el: &Element| el.has_child("who-am-i", NS);
    client.wait_for("the question", asked).await.unwrap()
}

/// What the mirror said in the end.
async fn seen(client: &mut Client) -> String {
    let answer = |el: &Element| el.attr("id") == Some("look");
    let answer = client.wait_for("the answer", answer).await.unwrap();
    answer.child("mirror", NS).unwrap().text().into_owned()
}

fn answer(question: &Element, kind: &str, payload: Element) -> Element {
    Element::new("iq", ns::CLIENT)
        .with_attr("type", kind)
        .with_attr("id", question.attr("id").unwrap())
        .with_attr("to", question.attr("from").unwrap())
        .with_child(payload)
}

#[tokio::test]
async fn the_answer_is_used() {
    let server = server(&[Listed::of::<Echo>()], &[]).await.unwrap();
    let (alice, mallory) = (
        server.account("alice").await.unwrap(),
        server.account("mallory").await.unwrap(),
    );
    let mut alice = online(&server, &alice, "one").await;
    let mut mallory = online(&server, &mallory, "one").await;
    let name = |text| Element::new("who-am-i", NS).with_text(text);

    let question = look(&mut alice).await;
    let said = answer(&question, "result", name("a poet"));
    alice.send(said).await.unwrap();
    assert_eq!(seen(&mut alice).await, "a poet");

    let question = look(&mut alice).await;
    let error = StanzaError::from(Condition::NotAllowed).to_element();
    let said = answer(&question, "error", error);
    alice.send(said).await.unwrap();
    assert_eq!(seen(&mut alice).await, "refused: NotAllowed");

    let question = look_as(&mut alice, "oracle").await;
    assert_eq!(question.attr("from"), Some("oracle.localhost"));
    let said = answer(&question, "result", name("a seer"));
    alice.send(said).await.unwrap();
    assert_eq!(seen(&mut alice).await, "a seer");

    // Who was not asked does not answer; and who is silent has had his time.
    let start = std::time::Instant::now();
    let question = look(&mut alice).await;
    let said = answer(&question, "result", name("a thief"));
    mallory.send(said).await.unwrap();
    assert_eq!(seen(&mut alice).await, "timed out");
    assert!(start.elapsed() >= PATIENCE);

    // Too late is no answer either, and disturbs nothing.
    let said = answer(&question, "result", name("late"));
    alice.send(said).await.unwrap();
    let question = look(&mut alice).await;
    let said = answer(&question, "result", name("in time"));
    alice.send(said).await.unwrap();
    assert_eq!(seen(&mut alice).await, "in time");
    for client in [alice, mallory] {
        client.close().await.unwrap();
    }
    server.stop().await;
}
