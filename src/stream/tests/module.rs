//! A mechanism of a module, not listed and so only for SASL2, that asks its own question (as FAST will).

use std::any::Any;
use std::sync::Arc;

use super::play::*;
use crate::proto::Jid;
use crate::stream::sasl::exchange::{Exchange, MechanismFactory, Next, Proved, Step, Surroundings};
use crate::stream::*;

struct Token {
    listed: bool,
}

struct Running {
    surroundings: Surroundings,
    user: Option<Jid>,
}

impl MechanismFactory for Token {
    fn name(&self) -> &'static str {
        "X-TOKEN"
    }
    fn listed(&self) -> bool {
        self.listed
    }
    fn offered(&self, bindings: &Bindings) -> bool {
        bindings.data("tls-exporter").is_some()
    }
    fn start(&self, surroundings: Surroundings) -> Box<dyn Exchange> {
        Box::new(Running {
            surroundings,
            user: None,
        })
    }
}

impl Exchange for Running {
    fn step(&mut self, step: Step<'_>) -> Next {
        match step {
            Step::Start(Some(name)) => {
                let name = std::str::from_utf8(name).unwrap();
                self.user = Jid::new(Some(name), self.surroundings.host.domain.domain(), None).ok();
                let right: Box<dyn Any + Send> = Box::new(name == "juliet");
                Next::Ask(Question::Module(ModuleQuestion {
                    module: "token",
                    answer: Box::pin(std::future::ready(right)),
                }))
            }
            Step::Answer(Answer::Module(right)) => {
                match (right.downcast::<bool>(), self.user.clone()) {
                    (Ok(right), Some(user)) if *right => Next::Success(Proved {
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

fn play(listed: bool) -> Play {
    Play::host(|host| {
        let tables = Tables {
            mechanisms: vec![Arc::new(Token { listed })],
            ..Tables::default()
        };
        host.tables = Arc::new(tables);
    })
}

#[test]
fn unlisted_it_serves_sasl2_only() {
    let mut play = play(false);
    assert!(!play.say(OPEN).contains("X-TOKEN"));
    assert!(
        play.say(&auth("X-TOKEN", &base64("juliet")))
            .contains("<invalid-mechanism/>")
    );
    let heard = play.say(&authenticate("X-TOKEN", "juliet", ""));
    assert!(heard.starts_with("<success"), "{heard}");
    assert_eq!(play.questions, ["Module", "Authorize"]);
}

#[test]
fn listed_it_serves_both() {
    let mut play = play(true).opened();
    assert!(
        play.say(&auth("X-TOKEN", &base64("juliet")))
            .starts_with("<success")
    );
}

#[test]
fn its_failures_count_and_are_noted() {
    let mut play = play(false).opened();
    for _ in 0..2 {
        assert!(
            play.say(&authenticate("X-TOKEN", "romeo", ""))
                .contains("<not-authorized")
        );
    }
    assert_eq!(play.questions, ["Module", "Failed", "Module", "Failed"]);
    assert_eq!(
        stream_error(&play.say(&authenticate("X-TOKEN", "", ""))),
        "policy-violation"
    );
}

#[test]
fn it_is_held_to_the_from_of_the_header() {
    let mut play = play(false);
    play.say(&OPEN.replace("to=", "from='romeo@example.org' to="));
    assert!(
        play.say(&authenticate("X-TOKEN", "juliet", ""))
            .contains("<invalid-authzid")
    );
}

#[test]
fn it_is_not_there_where_it_cannot_bind() {
    let place = Peer {
        secure_by_place: true,
        ..peer()
    };
    let settings = settings(|host| {
        host.tables = Arc::new(Tables {
            mechanisms: vec![Arc::new(Token { listed: true })],
            ..Tables::default()
        });
    });
    let mut play = Play::new(settings, place, None);
    assert!(!play.say(OPEN).contains("X-TOKEN"));
    assert!(
        play.say(&authenticate("X-TOKEN", "juliet", ""))
            .contains("<invalid-mechanism")
    );
}
