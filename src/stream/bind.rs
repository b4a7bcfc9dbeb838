//! Resource binding: the classic request (RFC 6120 §7), the one of Bind 2 (XEP-0386), and what both end in.

use super::bind2::{self, Bind2};
use super::bound::Bound;
use super::input::Action;
use super::login::{Flow, Login, Stage};
use super::out::Out;
use super::question::{self, Answer, BindRequest, Question, UserAgent};
use super::seat::End;
use crate::proto::{Condition, Jid, StanzaError, StreamCondition, StreamError, ns};
use crate::xml::{El, Element};

/// Failed bind requests after which the stream ends: the first and five retries (RFC 6120 §7.7.3).
const FAILURES: u8 = 6;

impl Login {
    /// A stanza on an authenticated stream: a bind request, or not allowed yet (RFC 6120 §7.1).
    pub fn bind(&mut self, iq: El<'_>, out: &mut Out<'_>) -> Flow {
        let set = iq.name() == "iq" && iq.attr("type") == Some("set");
        let request = iq.child("bind", ns::BIND).filter(|_| set);
        let (Some(request), Some(proved)) = (request, &self.user) else {
            return StreamCondition::NotAuthorized.into();
        };
        let Some(id) = iq.attr("id").map(str::to_owned) else {
            return self.bind_failed(None, Condition::BadRequest.into(), out);
        };
        let wished = request
            .child("resource", ns::BIND)
            .map(|wish| wish.text().into_owned());
        let wished = wished.filter(|wish| !wish.is_empty());
        if let Some(wish) = &wished
            && proved.user.with_resource(wish).is_err()
        {
            return self.bind_failed(Some(&id), Condition::BadRequest.into(), out);
        }
        out.ask(Question::Bind(Box::new(BindRequest {
            user: proved.user.clone(),
            anonymous: proved.anonymous,
            wished,
            bind2: false,
            tag: None,
            agent: self.agent.clone(),
            acks: false,
            inline: Vec::new(),
            address: self.peer.address.clone(),
        })));
        self.stage = Stage::Binding(id);
        Flow::Stay
    }

    /// The request for a `<bind/>` of Bind 2.
    pub fn bind2_request(
        &self,
        user: Jid,
        anonymous: bool,
        agent: UserAgent,
        bind: Bind2,
    ) -> Question {
        let key = &self.settings.key;
        let resource = bind2::resource(key, &user, bind.tag.as_deref(), agent.id.as_deref());
        Question::Bind(Box::new(BindRequest {
            user,
            anonymous,
            wished: Some(resource),
            bind2: true,
            tag: bind.tag,
            agent,
            acks: bind.acks.is_some(),
            inline: bind.inline,
            address: self.peer.address.clone(),
        }))
    }

    /// The answer to a classic request.
    pub fn bind_answered(&mut self, id: String, answer: Answer, out: &mut Out<'_>) -> Flow {
        match answer {
            Answer::Bound(Ok(bound)) => {
                let jid = Element::new("jid", ns::BIND).with_text(bound.jid.as_str());
                let bind = Element::new("bind", ns::BIND).with_child(jid);
                out.element(&result(Some(&id)).with_child(bind));
                self.seat(bound, false, out)
            }
            Answer::Bound(Err(error)) => self.bind_failed(Some(&id), error, out),
            _ => StreamCondition::InternalServerError.into(),
        }
    }

    fn bind_failed(&mut self, id: Option<&str>, error: StanzaError, out: &mut Out<'_>) -> Flow {
        self.stage = Stage::Authenticated;
        let mut iq = Element::new("iq", ns::CLIENT).with_attr("type", "error");
        iq.set_attr("id", id);
        out.element(&iq.with_child(error.to_element()));
        self.bind_failures += 1;
        match self.bind_failures >= FAILURES {
            true => StreamError::new(StreamCondition::PolicyViolation)
                .with_text("Too many failed attempts to bind")
                .into(),
            false => Flow::Stay,
        }
    }

    /// Hands the stream over to its session; login is over.
    pub fn seat(&mut self, bound: question::Bound, acks: bool, out: &mut Out<'_>) -> Flow {
        let Some(host) = self.host.take() else {
            bound.seat.closed(End::Error);
            return StreamCondition::InternalServerError.into();
        };
        out.deadline(None);
        bound.seat.framed(out.framing);
        out.push(Action::Seated(bound.seat.clone()));
        Flow::Bound(Bound::new(
            bound.seat,
            host.tables.clone(),
            self.lang.take(),
            acks,
        ))
    }
}

/// An empty `<iq type='result'/>`.
pub(super) fn result(id: Option<&str>) -> Element {
    let mut iq = Element::new("iq", ns::CLIENT).with_attr("type", "result");
    iq.set_attr("id", id);
    iq
}
