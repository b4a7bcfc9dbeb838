//! HT as an exchange: one message, one look into the store, one answer.

use std::sync::Arc;

use super::ht::Ht;
use super::judge::{Judgement, Presented};
use super::{Fast, is_invalidated};
use crate::proto::{Jid, ns};
use crate::stream::sasl::exchange::{
    Exchange, MechanismFactory, Next, Proved, Step, Surroundings, confused, identify,
};
use crate::stream::{Answer, Bindings, ModuleQuestion, Question, SaslCondition, SaslFailure};

/// One of the mechanisms, as the server offers it.
pub(super) struct Mechanism {
    fast: Arc<Fast>,
    ht: Ht,
}

impl Mechanism {
    /// This one.
    pub fn new(fast: Arc<Fast>, ht: Ht) -> Mechanism {
        Mechanism { fast, ht }
    }
}

impl MechanismFactory for Mechanism {
    fn name(&self) -> &'static str {
        self.ht.name
    }

    fn listed(&self) -> bool {
        false
    }

    fn offered(&self, bindings: &Bindings) -> bool {
        self.ht.data(bindings).is_some()
    }

    fn start(&self, surroundings: Surroundings) -> Box<dyn Exchange> {
        Box::new(Running {
            fast: self.fast.clone(),
            ht: self.ht,
            surroundings,
            user: None,
        })
    }
}

struct Running {
    fast: Arc<Fast>,
    ht: Ht,
    surroundings: Surroundings,
    user: Option<Jid>,
}

impl Exchange for Running {
    fn step(&mut self, step: Step<'_>) -> Next {
        match (step, self.user.clone()) {
            (Step::Start(None), _) => Next::Challenge(Vec::new()),
            (Step::Start(Some(message)) | Step::Response(message), None) => self.message(message),
            (Step::Answer(Answer::Module(answer)), Some(user)) => {
                match answer.downcast::<Judgement>() {
                    Ok(judgement) => of(user, *judgement),
                    Err(_) => confused(),
                }
            }
            _ => confused(),
        }
    }

    fn user(&self) -> Option<&Jid> {
        self.user.as_ref()
    }
}

fn of(user: Jid, judgement: Judgement) -> Next {
    match judgement {
        Ok(proof) => Next::Success(Proved {
            user,
            anonymous: false,
            data: Some(proof.answer),
            generation: Some(proof.generation),
        }),
        Err(failure) => Next::Failure(failure),
    }
}

impl Running {
    fn message(&mut self, message: &[u8]) -> Next {
        let presented = match self.presented(message) {
            Ok(presented) => presented,
            Err(failure) => return Next::Failure(failure),
        };
        self.user = Some(presented.account.clone());
        let fast = self.fast.clone();
        let judged = async move {
            let judgement: Judgement = fast.judge(&presented).await;
            let judgement: Box<dyn std::any::Any + Send> = Box::new(judgement);
            judgement
        };
        Next::Ask(Question::Module(ModuleQuestion {
            module: "fast",
            answer: Box::pin(judged),
        }))
    }

    /// §3.4, §4.1: whose token it is, and what goes with it. It depends on the request alone.
    fn presented(&self, message: &[u8]) -> Result<Presented, SaslFailure> {
        let malformed = |text| SaslFailure::with_text(SaslCondition::MalformedRequest, text);
        let read = self.ht.parse(message);
        let (name, proof) = read.ok_or(SaslCondition::MalformedRequest)?;
        let request = self.surroundings.request.as_ref();
        let fast = request.and_then(|request| request.child("fast", ns::FAST));
        let fast = fast.ok_or_else(|| malformed("There is no <fast/> with the token"))?;
        let client = self.surroundings.agent.id.clone();
        let client = client.ok_or_else(|| malformed("There is no <user-agent/> with an id"))?;
        let count = fast.attr("count").map(str::parse);
        let count = count
            .transpose()
            .map_err(|_| malformed("The count is no number"))?;
        let data = self.ht.data(&self.surroundings.bindings);
        Ok(Presented {
            ht: self.ht,
            account: identify(&self.surroundings, name, None)?,
            client,
            proof: proof.to_vec(),
            data: data.ok_or(SaslCondition::InvalidMechanism)?.to_vec(),
            count,
            invalidate: is_invalidated(&fast.to_element()),
        })
    }
}
