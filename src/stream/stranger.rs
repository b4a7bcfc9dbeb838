//! Iqs before login (RFC 6120 §8.3 has none but these): what a module claimed, on a secured stream, a few times.

use super::login::{Flow, Login, Stage};
use super::out::Out;
use super::question::{Answer, Question, StrangerIq};
use crate::proto::StreamCondition;
use crate::runtime::random;
use crate::xml::{El, Element};

/// Such iqs on one connection.
const MOST: u8 = 20;

impl Login {
    /// Whether this is an iq that a module answers before login.
    pub fn claimed(&self, iq: El<'_>) -> bool {
        let question = matches!(iq.attr("type"), Some("get" | "set"));
        let Some(host) = self.host.as_ref().filter(|_| self.is_secure() && question) else {
            return false;
        };
        let here = iq.attr("to").is_none_or(|to| to == host.domain.as_str());
        let tags = &host.tables.strangers;
        let payload = |child: El<'_>| tags.iter().any(|tag| tag.is(child));
        iq.name() == "iq" && iq.attr("id").is_some() && here && iq.children().any(payload)
    }

    /// Such an iq.
    pub fn stranger(&mut self, iq: Element, out: &mut Out<'_>) -> Flow {
        self.strange = self.strange.saturating_add(1);
        let Some(host) = self.host.as_ref().filter(|_| self.strange <= MOST) else {
            return StreamCondition::PolicyViolation.into();
        };
        let visit = self.visit.get_or_insert_with(random::token).clone();
        out.ask(Question::Stranger(Box::new(StrangerIq {
            host: host.domain.clone(),
            address: self.peer.address.clone(),
            visit,
            iq,
        })));
        self.stage = Stage::Stranger;
        Flow::Stay
    }
}

/// The answer goes out as it is; then it is waited for a login, or the next such iq.
pub(super) fn stranger_answered(answer: Answer, out: &mut Out<'_>) -> Flow {
    match answer {
        Answer::Stranger(iq) => {
            out.element(&iq);
            Flow::Stay
        }
        _ => StreamCondition::InternalServerError.into(),
    }
}
