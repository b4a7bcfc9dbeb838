//! A mechanism, and requests that ride on a login.

use std::any::Any;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use waxwing::hooks::Listed;
use waxwing::proto::{Jid, ns};
use waxwing::stream::sasl::exchange::{
    Exchange, MechanismFactory, Next, Proved, Step, Surroundings, identify,
};
use waxwing::stream::tables::When;
use waxwing::stream::{Answer, Bindings, ModuleQuestion, Question, SaslCondition};
use waxwing::xml::Element;

use super::{NS, module, server};
use crate::support::client::Client;
use crate::support::server::Running;

module!(Words, "words", |deps, r| {
    r.mechanism(Sesame(deps));
    r.inline(
        When::IntoSuccess,
        (NS, "weather"),
        |_| Some(Element::new("weather", NS)),
        |request, element| {
            let text = format!("{} for {}", element.text(), request.user.bare_str());
            Box::pin(async move { vec![Element::new("weather", NS).with_text(&text)] })
        },
    );
    r.bind_inline((NS, "mood"), |element, id, turn| {
        let session = turn.account.session_mut(id)?;
        session.slots.put(element.text().into_owned());
        Some(Element::new("mood", NS).with_text(session.jid.as_str()))
    });
    r.account_iq(
        waxwing::hooks::To::OwnAccount,
        waxwing::hooks::Verb::Get,
        (NS, "mood"),
        |request, turn| {
            let session = request.session.and_then(|id| turn.account.session(id));
            let mood = session.and_then(|session| session.slots.find::<String>());
            Element::new("mood", NS)
                .with_text(mood.map_or("none", String::as_str))
                .into()
        },
    );
});

/// X-SESAME: a name and a word, which the store knows.
struct Sesame(waxwing::hooks::Deps);

struct Door {
    deps: waxwing::hooks::Deps,
    surroundings: Surroundings,
    user: Option<Jid>,
}

impl MechanismFactory for Sesame {
    fn name(&self) -> &'static str {
        "X-SESAME"
    }
    fn listed(&self) -> bool {
        true
    }
    fn offered(&self, _: &Bindings) -> bool {
        true
    }
    fn start(&self, surroundings: Surroundings) -> Box<dyn Exchange> {
        Box::new(Door {
            deps: self.0.clone(),
            surroundings,
            user: None,
        })
    }
}

impl Exchange for Door {
    fn step(&mut self, step: Step<'_>) -> Next {
        match step {
            Step::Start(Some(said)) => {
                let said = String::from_utf8_lossy(said).into_owned();
                let Some((name, word)) = said.split_once(' ') else {
                    return SaslCondition::MalformedRequest.into();
                };
                self.user = identify(&self.surroundings, name, None).ok();
                let (store, word) = (self.deps.store.clone(), word.to_owned());
                Next::Ask(Question::Module(ModuleQuestion {
                    module: "words",
                    answer: Box::pin(async move {
                        // Anything that waits may stand here; this goes to the store and back.
                        let there = store.reading(|_| Ok(())).await.is_ok();
                        let right: Box<dyn Any + Send> = Box::new(there && word == "sesame");
                        right
                    }),
                }))
            }
            Step::Answer(Answer::Module(right)) => {
                match (right.downcast_ref(), self.user.clone()) {
                    (Some(true), Some(user)) => Next::Success(Proved {
                        user,
                        anonymous: false,
                        data: None,
                        generation: None,
                    }),
                    _ => SaslCondition::NotAuthorized.into(),
                }
            }
            _ => SaslCondition::MalformedRequest.into(),
        }
    }
    fn user(&self) -> Option<&Jid> {
        self.user.as_ref()
    }
}

/// A stream up to where one can authenticate, and its features.
async fn secured(server: &Running, jid: &Jid) -> (Client, Element) {
    let mut client = server.client(jid).open(server.addr).await.unwrap();
    client.open_stream().await.unwrap();
    let features = client.start_tls().await.unwrap();
    (client, features)
}

fn initial(jid: &Jid, word: &str) -> String {
    STANDARD.encode(format!("{} {word}", jid.node().unwrap()))
}

#[tokio::test]
async fn a_mechanism_lets_in_who_knows_the_word() {
    let server = server(&[Listed::of::<Words>()], &[]).await.unwrap();
    let jid = server.account("alice").await.unwrap();

    let (mut client, features) = secured(&server, &jid).await;
    assert!(format!("{features:?}").contains("<mechanism>X-SESAME</mechanism>"));
    let auth = Element::new("auth", ns::SASL).with_attr("mechanism", "X-SESAME");
    let wrong = auth.clone().with_text(&initial(&jid, "simsim"));
    client.send(wrong).await.unwrap();
    let failure = client.top("failure", ns::SASL).await.unwrap();
    assert!(failure.has_child("not-authorized", ns::SASL));

    let right = auth.with_text(&initial(&jid, "sesame"));
    client.send(right).await.unwrap();
    client.top("success", ns::SASL).await.unwrap();
    let features = client.open_stream().await.unwrap();
    client.bind(&features).await.unwrap();
    assert_eq!(client.jid.bare(), jid);
    client.close().await.unwrap();
    server.stop().await;
}

#[tokio::test]
async fn requests_inside_sasl2_and_bind2_reach_their_module() {
    let server = server(&[Listed::of::<Words>()], &[]).await.unwrap();
    let jid = server.account("alice").await.unwrap();
    let (mut client, features) = secured(&server, &jid).await;
    let inline = features
        .child("authentication", ns::SASL2)
        .and_then(|offer| offer.child("inline", ns::SASL2))
        .unwrap();
    assert!(inline.has_child("weather", NS));
    let bind = inline.child("bind", ns::BIND2).unwrap().to_element();
    assert!(format!("{bind:?}").contains(NS));

    let text = |name, ns, text: &str| Element::new(name, ns).with_text(text);
    let bind = Element::new("bind", ns::BIND2).with_child(text("mood", NS, "merry"));
    let authenticate = Element::new("authenticate", ns::SASL2)
        .with_attr("mechanism", "X-SESAME")
        .with_child(text(
            "initial-response",
            ns::SASL2,
            &initial(&jid, "sesame"),
        ))
        .with_child(text("weather", NS, "sun"))
        .with_child(bind);
    client.send(authenticate).await.unwrap();
    let success = client.top("success", ns::SASL2).await.unwrap();
    let weather = success.child("weather", NS).unwrap();
    assert_eq!(weather.text(), format!("sun for {jid}"));
    let bound = success.child("bound", ns::BIND2).unwrap();
    let full = bound.child("mood", NS).unwrap().text().into_owned();
    assert!(full.starts_with(&format!("{jid}/")), "{full}");
    client.top("features", ns::STREAM).await.unwrap();
    let mood = client.request("get", None, Element::new("mood", NS)).await;
    let mood = mood.unwrap().child("mood", NS).unwrap().to_element();
    assert_eq!(mood.text(), "merry");
    // Nothing more came of it.
    client
        .expect_nothing(Duration::from_millis(50))
        .await
        .unwrap();
    client.close().await.unwrap();
    server.stop().await;
}
