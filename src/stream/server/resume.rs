//! XEP-0198 1.6.3 §5 between servers: who opened a stream goes on with it on another one, on which the same pairs of domains
//! were proved.

use std::fmt;
use std::sync::Arc;

use super::incoming::{Incoming, Stage};
use super::office::Line;
use crate::proto::{Condition, Jid, ns};
use crate::stream::acks;
use crate::stream::input::Action;
use crate::stream::login::Flow;
use crate::stream::out::Out;
use crate::stream::question::{NotResumed, Question};
use crate::stream::resume::{self, Resume};
use crate::stream::seat::{Resumption, Seat};
use crate::xml::{El, Element};

/// A wish to go on with a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResumeLink {
    /// The id of the former stream.
    pub token: String,
    /// How many stanzas of it were handled by who asks.
    pub h: u32,
    /// Whether the new stream goes both ways (XEP-0288): the former one must have, too.
    pub bidi: bool,
    /// Where the new stream comes from.
    pub address: String,
    /// What was proved on the new stream: theirs, ours.
    pub pairs: Vec<(Jid, Jid)>,
}

/// A stream that goes on.
pub struct Taken {
    /// Where its stanzas go.
    pub seat: Arc<dyn Seat>,
    /// For what is proved from now on.
    pub line: Arc<dyn Line>,
    /// How many stanzas of the former stream were handled here.
    pub h: u32,
}

impl fmt::Debug for Taken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Taken({})", self.h)
    }
}

/// `<resume/>`.
pub(super) fn request(wish: &ResumeLink) -> Element {
    Element::new("resume", ns::SM)
        .with_attr("previd", &wish.token)
        .with_attr("h", &wish.h.to_string())
}

/// The `h` of `<resumed/>`, if it is about the stream `token`.
pub(super) fn resumed(element: El<'_>, token: &str) -> Option<u32> {
    let same = element.attr("previd") == Some(token);
    element.attr("h").and_then(acks::number).filter(|_| same)
}

/// How a stream may be resumed, from `<enabled/>`.
pub(super) fn offered(enabled: El<'_>) -> Option<Resumption> {
    let allowed = matches!(enabled.attr("resume"), Some("true" | "1"));
    let token = enabled.attr("id").filter(|id| allowed && !id.is_empty())?;
    Some(Resumption {
        token: token.to_owned(),
        max: enabled
            .attr("max")
            .and_then(acks::number)
            .unwrap_or(u32::MAX),
    })
}

impl Incoming {
    /// They want to go on with a former stream.
    pub(super) fn resume(&mut self, element: El<'_>, out: &mut Out<'_>) -> Flow {
        match resume::parse(element) {
            Err(condition) => {
                out.element(&acks::failed(condition, None));
                Flow::Stay
            }
            Ok(_) if !self.office.resumes() => {
                out.element(&acks::failed(Condition::FeatureNotImplemented, None));
                Flow::Stay
            }
            Ok(Resume { previd, h }) => {
                out.ask(Question::ResumeLink(Box::new(ResumeLink {
                    token: previd.clone(),
                    h,
                    bidi: self.bidi,
                    address: self.peer.address.clone(),
                    pairs: self.claims.pairs().to_vec(),
                })));
                self.stage = Stage::Resuming(previd);
                Flow::Stay
            }
        }
    }

    /// Whether they may. Who may not can enable acknowledgements anew.
    pub(super) fn resume_answered(
        &mut self,
        previd: &str,
        answer: Result<Taken, NotResumed>,
        out: &mut Out<'_>,
    ) -> Flow {
        match answer {
            Ok(Taken { seat, line, h }) => {
                if let Some((fresh, _)) = self.line.replace((line, seat.clone())) {
                    fresh.superseded();
                }
                self.acks = true;
                let resumed = Element::new("resumed", ns::SM)
                    .with_attr("previd", previd)
                    .with_attr("h", &h.to_string());
                out.element(&resumed);
                out.push(Action::Seated(seat));
                Flow::Stay
            }
            Err(NotResumed::Unknown { h }) => {
                out.element(&acks::failed(Condition::ItemNotFound, h));
                Flow::Stay
            }
            Err(NotResumed::TooHigh(error)) => acks::too_high(error).into(),
        }
    }
}
