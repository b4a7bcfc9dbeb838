//! Further domains of ours on a stream that we opened (XEP-0220 1.1.1 §2.4): their keys come from the seat, which knows who
//! has something to send.

use super::dialback::Request;
use super::outgoing::Outgoing;
use crate::proto::{Jid, StreamCondition};
use crate::stream::login::Flow;
use crate::stream::seat::NonzaVerdict;
use crate::xml::Element;

impl Outgoing {
    /// Whether they may send to this address on a stream both ways.
    pub(super) fn is_ours(&self, to: &Jid) -> bool {
        let mut further = self.further.iter();
        to.domain() == self.call.local.domain() || further.any(|own| own.domain() == to.domain())
    }

    /// What they say of the key of a further domain.
    pub(super) fn further(&mut self, answer: Element) -> Flow {
        let told = Request::read(answer.root());
        let told = told.filter(|told| told.from == self.call.remote);
        let (Some(told), Some(seat)) = (told, &self.seat) else {
            return StreamCondition::InvalidFrom.into();
        };
        let believed = answer.attr("type") == Some("valid");
        match seat.nonza(answer) {
            NonzaVerdict::Fault(error) => error.into(),
            NonzaVerdict::Done | NonzaVerdict::Reply(_) => {
                if believed {
                    self.further.push(told.to);
                }
                Flow::Stay
            }
        }
    }
}
