//! Bounces: the one place where a failure becomes an answer to the sender (RFC 6120 §8.3).

use std::sync::Arc;

use super::Router;
use crate::hooks::{Envelope, Origin};
use crate::proto::error::StanzaError;
use crate::proto::jid::Jid;
use crate::proto::stanza::Stanza;

impl Router {
    /// Returns a stanza to its sender with an error; never in answer to an error. What the
    /// envelope would have written is dropped, but for what a message leaves with its sender: that
    /// is written before the answer goes out.
    pub(super) fn bounce(self: &Arc<Self>, envelope: &Envelope, error: &StanzaError) {
        if !envelope.ledger.batch.is_empty() {
            // What its turns changed in memory is not written after all.
            self.doubt(&envelope.to);
            if let Some(from) = envelope.from() {
                self.doubt(from);
            }
        }
        self.stats.bounced.count();
        let answer = answer(&envelope.stanza, &envelope.to, error).map(Box::new);
        match &envelope.sent {
            Some(sent) => self.leave_and_answer(sent.clone(), answer),
            None => answer.into_iter().for_each(|answer| self.route_on(answer)),
        }
    }
}

/// The error answer, addressed to the sender, from the address the stanza was for.
fn answer(stanza: &Stanza, was_to: &Jid, error: &StanzaError) -> Option<Envelope> {
    let mut answer = stanza.error(error)?;
    let sender = stanza.from.clone()?;
    answer.from = Some(was_to.clone());
    answer.to = Some(sender.clone());
    Some(Envelope::new(Arc::new(answer), sender, Origin::Server))
}
