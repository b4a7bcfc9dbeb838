//! What the service sends: answers, and what subscribers are told.

use std::sync::Arc;

use super::Shared;
use crate::hooks::{Envelope, Origin};
use crate::proto::jid::Jid;
use crate::proto::stanza::Stanza;
use crate::runtime::random;
use crate::state::nodes::{Audience, Notice, Refusal};
use crate::xml::Element;

/// Messages sent before other work gets its turn.
const BURST: usize = 100;

impl Shared {
    /// Answers an iq.
    pub(super) fn answer(&self, request: &Stanza, answer: Result<Option<Element>, Box<Refusal>>) {
        let reply = match answer {
            Ok(payload) => payload
                .into_iter()
                .fold(request.reply(), Stanza::with_child),
            Err(refusal) => {
                let mut reply = refusal
                    .about
                    .into_iter()
                    .fold(request.reply(), Stanza::with_child)
                    .with_child(refusal.error.to_element());
                reply.kind = request.kind.to_error();
                reply
            }
        };
        self.send(reply);
    }

    /// Tells everyone whom the notices are for.
    pub(super) async fn tell(&self, notices: Vec<Notice>) {
        for notice in notices {
            let (Audience::These(to)
            | Audience::Interested {
                subscribers: to, ..
            }) = notice.to;
            for burst in to.chunks(BURST) {
                burst.iter().for_each(|jid| self.copy(&notice.message, jid));
                tokio::task::yield_now().await;
            }
        }
    }

    fn copy(&self, message: &Stanza, to: &Jid) {
        let copy = message.clone().with_to(to.clone()).with_id(random::id());
        self.send(copy);
    }

    fn send(&self, stanza: Stanza) {
        if let Some(to) = stanza.to.clone() {
            let envelope = Envelope::new(Arc::new(stanza), to, Origin::Service);
            self.floor.route(Box::new(envelope));
        }
    }
}
