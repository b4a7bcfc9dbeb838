//! Bounces: the one place where a failure becomes an answer to the sender (RFC 6120 §8.3).

use std::sync::Arc;

use super::Router;
use crate::hooks::{Envelope, Ledger, Origin, Sent};
use crate::proto::error::StanzaError;
use crate::proto::jid::Jid;
use crate::proto::stanza::Stanza;

impl Router {
    /// Returns a stanza to its sender with an error; never in answer to an error. What the
    /// envelope would have written is dropped, but for what a message leaves with its sender: that
    /// is written beside the answer.
    pub(super) fn bounce(self: &Arc<Self>, envelope: &Envelope, error: &StanzaError) {
        if !envelope.ledger.batch.is_empty() {
            // What its turns changed in memory is not written after all.
            self.doubt(&envelope.to);
            if let Some(from) = envelope.from() {
                self.doubt(from);
            }
        }
        self.stats.bounced.count();
        if let Some(sent) = &envelope.sent {
            self.left_behind(Sent::clone(sent));
        }
        if let Some(answer) = answer(&envelope.stanza, &envelope.to, error) {
            self.route_on(Box::new(answer));
        }
    }
}

impl Router {
    /// What a refused message leaves with its sender; answers are not to overtake each other and wait
    /// for no disk, and the sender's other clients see the message before its answer.
    fn left_behind(self: &Arc<Self>, mut sent: Sent) {
        let Some(account) = sent.stanza.from.as_ref().map(Jid::bare) else {
            return;
        };
        let batch = std::mem::take(&mut sent.batch);
        let ledger = Ledger {
            batch,
            ..Ledger::default()
        };
        self.finish_act(ledger, &account);
        self.mirror(sent, None);
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
