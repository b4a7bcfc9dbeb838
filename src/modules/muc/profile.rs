//! What a room is asked for and does not have in memory is read beside the turns: its vCard (XEP-0486 §3.4), and the state
//! of its encrypted group.

use std::sync::Arc;

use super::Service;
use crate::hooks::{Envelope, Floor, Origin};
use crate::proto::error::{Condition, StanzaError};
use crate::proto::stanza::Stanza;
use crate::state::mls::Info;
use crate::state::rooms::{self, Rid, group};
use crate::state::stored_xml;
use crate::store::{Snapshot, StoreError};
use crate::xml::Element;

impl Service {
    /// Answers with the vCard of a room.
    pub(super) fn read_profile(
        self: &Arc<Self>,
        rid: Rid,
        envelope: &Envelope,
        floor: &Arc<dyn Floor>,
    ) {
        let read = move |view: &dyn Snapshot| rooms::read_profile(view, rid);
        self.read_beside(envelope, floor, read, |stored| stored_xml::read(&stored));
    }

    /// Answers with the state of the group of a room, if it is of this epoch.
    pub(super) fn read_group_info(
        self: &Arc<Self>,
        (rid, epoch): (Rid, u64),
        envelope: &Envelope,
        floor: &Arc<dyn Floor>,
    ) {
        let read = move |view: &dyn Snapshot| group::info(view, rid, epoch);
        self.read_beside(envelope, floor, read, |kept| Info::shown(&kept));
    }

    fn read_beside(
        self: &Arc<Self>,
        envelope: &Envelope,
        floor: &Arc<dyn Floor>,
        read: impl FnOnce(&dyn Snapshot) -> Result<Option<Vec<u8>>, StoreError> + Send + 'static,
        show: fn(Vec<u8>) -> Option<Element>,
    ) {
        let (question, floor) = (envelope.stanza.clone(), floor.clone());
        let room = envelope.to.clone();
        let place = self.queries.clone().try_acquire_owned();
        let service = self.clone();
        let answer = move |answer: Result<Element, StanzaError>| {
            let stanza = match answer {
                Ok(payload) => Some(question.reply().with_child(payload)),
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
            answer(match service.store.reading(read).await {
                Ok(Some(stored)) => {
                    show(stored).ok_or_else(|| Condition::InternalServerError.into())
                }
                Ok(None) => Err(Condition::ItemNotFound.into()),
                Err(error) => {
                    tracing::error!(service = %service.domain, %error, "what a room keeps cannot be read; run `waxwing check`");
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
