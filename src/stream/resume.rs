//! XEP-0198 1.6.3 §5: a client takes up a stream that broke, after authentication: by itself, or inside `<authenticate/>` (§9.2).

use std::sync::Arc;

use super::acks;
use super::bound::Bound;
use super::input::Action;
use super::login::{Flow, Login, Stage};
use super::out::Out;
use super::question::{Answer, NotResumed, Question, ResumeRequest, Resumed};
use super::seat::End;
use crate::proto::{Condition, StreamCondition, ns};
use crate::xml::{El, Element};

/// A `<resume/>`, read.
#[derive(Debug)]
pub(super) struct Resume {
    pub previd: String,
    pub h: u32,
}

/// Longest id that is looked for, in bytes.
const ID_MAX: usize = 64;

/// Reads a `<resume/>`.
///
/// # Errors
/// `bad-request` without `previd` or with an `h` that is no number; `item-not-found` for an id that is not ours.
pub(super) fn parse(resume: El<'_>) -> Result<Resume, Condition> {
    let h = resume.attr("h").and_then(acks::number);
    match (resume.attr("previd"), h) {
        (Some(previd), Some(h)) if previd.len() <= ID_MAX => Ok(Resume {
            previd: previd.to_owned(),
            h,
        }),
        (Some(_), Some(_)) => Err(Condition::ItemNotFound),
        _ => Err(Condition::BadRequest),
    }
}

impl Login {
    /// A `<resume/>` where a resource could be bound as well.
    pub fn resume(&mut self, element: El<'_>, out: &mut Out<'_>) -> Flow {
        let Some(proved) = &self.user else {
            return StreamCondition::NotAuthorized.into();
        };
        match parse(element) {
            Err(condition) => {
                out.element(&acks::failed(condition, None));
                Flow::Stay
            }
            Ok(Resume { previd, h }) => {
                out.ask(Question::Resume(Box::new(ResumeRequest {
                    user: proved.user.clone(),
                    token: previd.clone(),
                    h,
                    address: self.peer.address.clone(),
                })));
                self.stage = Stage::Resuming(previd);
                Flow::Stay
            }
        }
    }

    /// The answer to it. Who cannot resume may bind (§5).
    pub fn resume_answered(&mut self, previd: &str, answer: Answer, out: &mut Out<'_>) -> Flow {
        match answer {
            Answer::Resumed(Ok(resumed)) => {
                out.element(&element(previd, &resumed));
                self.seat_again(resumed, out)
            }
            Answer::Resumed(Err(refusal)) => match failed(&refusal) {
                Ok(failed) => {
                    self.stage = Stage::Authenticated;
                    out.element(&failed);
                    Flow::Stay
                }
                Err(flow) => flow,
            },
            _ => StreamCondition::InternalServerError.into(),
        }
    }

    /// Hands the stream over to the session that goes on.
    pub fn seat_again(&mut self, resumed: Resumed, out: &mut Out<'_>) -> Flow {
        let Some(host) = self.host.take() else {
            resumed.seat.closed(End::ConnectionLost);
            return StreamCondition::InternalServerError.into();
        };
        out.deadline(None);
        resumed.seat.framed(out.framing);
        out.push(Action::Seated(Arc::clone(&resumed.seat)));
        Flow::Bound(Bound::new(
            resumed.seat,
            host.tables.clone(),
            self.lang.take(),
            true,
        ))
    }
}

/// `<resumed/>`.
pub(super) fn element(previd: &str, resumed: &Resumed) -> Element {
    Element::new("resumed", ns::SM)
        .with_attr("previd", previd)
        .with_attr("h", &resumed.h.to_string())
}

/// `<failed/>`, or the end of a stream whose client acknowledges what it cannot have got (§6).
pub(super) fn failed(refusal: &NotResumed) -> Result<Element, Flow> {
    match refusal {
        NotResumed::Unknown { h } => Ok(acks::failed(Condition::ItemNotFound, *h)),
        NotResumed::TooHigh(error) => Err(acks::too_high(*error).into()),
    }
}
