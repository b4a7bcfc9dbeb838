//! The vCard of a room is read beside the turns (XEP-0486 §3.4).

use std::sync::Arc;

use super::Service;
use crate::hooks::{Envelope, Floor, Origin};
use crate::proto::error::{Condition, StanzaError};
use crate::proto::stanza::Stanza;
use crate::state::rooms::{self, Rid};
use crate::state::stored_xml;
use crate::xml::Element;

impl Service {
    /// Answers with the vCard of a room.
    pub(super) fn read_profile(
        self: &Arc<Self>,
        rid: Rid,
        envelope: &Envelope,
        floor: &Arc<dyn Floor>,
    ) {
        let (question, floor) = (envelope.stanza.clone(), floor.clone());
        let room = envelope.to.clone();
        let place = self.queries.clone().try_acquire_owned();
        let service = self.clone();
        let answer = move |answer: Result<Element, StanzaError>| {
            let stanza = match answer {
                Ok(vcard) => Some(question.reply().with_child(vcard)),
                Err(error) => question.error(&error.with_by(room.clone())),
            };
            if let Some(mut stanza) = stanza {
                stanza.from = Some(room);
                send(&*floor, stanza);
            }
        };
        let Ok(place) = place else {
            return answer(Err(Condition::ResourceConstraint.into()));
        };
        tokio::spawn(async move {
            let _place = place;
            let stored = service
                .store
                .reading(move |view| rooms::read_profile(view, rid));
            answer(match stored.await {
                Ok(Some(stored)) => {
                    let vcard = stored_xml::read(&stored);
                    vcard.ok_or_else(|| Condition::InternalServerError.into())
                }
                Ok(None) => Err(Condition::ItemNotFound.into()),
                Err(error) => {
                    tracing::error!(service = %service.domain, %error, "the picture of a room cannot be read; run `waxwing check`");
                    Err(Condition::InternalServerError.into())
                }
            });
        });
    }
}

fn send(floor: &dyn Floor, stanza: Stanza) {
    if let Some(to) = stanza.to.clone() {
        let envelope = Envelope::new(Arc::new(stanza), to, Origin::Service);
        floor.route(Box::new(envelope));
    }
}
