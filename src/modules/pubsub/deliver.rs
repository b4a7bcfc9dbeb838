//! What the service sends: answers, and what subscribers are told.

use std::sync::Arc;

use super::Shared;
use super::owner::refused;
use crate::hooks::{Envelope, Origin};
use crate::proto::error::{Condition, StanzaError};
use crate::proto::jid::Jid;
use crate::proto::stanza::Stanza;
use crate::runtime::random;
use crate::state::nodes::archive::Told;
use crate::state::nodes::{Audience, Notice, Refusal};
use crate::state::owned::WriteError;
use crate::state::pages;
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

    /// Answers a question to the archive of a node (XEP-0442), with a page of messages before the answer.
    pub(super) async fn read(&self, request: &Stanza, from: &Jid, query: Element) {
        let Ok(_place) = self.queries.try_acquire() else {
            let busy = StanzaError::from(Condition::ResourceConstraint);
            return self.answer(
                request,
                refused(busy.with_text("Too many questions at once")).answer,
            );
        };
        let told = match self.house().await {
            Ok(house) => {
                let actor = self.actor(from).await;
                self.desk.archive(&house, &actor, query).await
            }
            Err(error) => {
                return self.answer(request, refused(WriteError::Commit(error).into()).answer);
            }
        };
        match told {
            Ok(Told { results, fin }) => {
                if pages::send(&self.floor, from, results).await {
                    self.answer(request, Ok(Some(fin)));
                }
            }
            Err(refusal) => self.answer(request, Err(refusal)),
        }
    }

    /// Tells everyone whom the notices are for.
    pub(super) async fn tell(&self, notices: Vec<Notice>) {
        for notice in notices {
            let (Audience::These(to)
            | Audience::Interested {
                subscribers: to, ..
            }) = notice.to;
            for burst in to.chunks(BURST) {
                for jid in burst {
                    let words = notice.words.as_ref();
                    match words.filter(|words| words.are_for(jid)) {
                        Some(words) => self.copy(&words.said(&notice.message), jid),
                        None => self.copy(&notice.message, jid),
                    }
                }
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
