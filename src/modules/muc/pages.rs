//! The archive of a room answers: read beside the turns, handed over at the pace of who asked (XEP-0313 §4).

use std::sync::Arc;

use super::Service;
use super::room::{Asked, Wanted};
use crate::hooks::{Envelope, Floor, Origin, Outgoing};
use crate::proto::error::{Condition, StanzaError};
use crate::proto::jid::Jid;
use crate::proto::mam::{self, Edges, Shape};
use crate::proto::ns;
use crate::proto::stanza::Stanza;
use crate::state::pages;
use crate::state::rooms::archive::{self, Page, Said};
use crate::store::StoreError;
use crate::xml::Element;

/// Who asked, and how to reach it.
struct Reader {
    question: Arc<Stanza>,
    room: Jid,
    asker: Jid,
    origin: Origin,
    floor: Arc<dyn Floor>,
    open: bool,
}

impl Service {
    /// Answers a question that is allowed.
    pub(super) fn read_archive(
        self: &Arc<Self>,
        asked: Asked,
        envelope: &Envelope,
        floor: &Arc<dyn Floor>,
    ) {
        let Some(asker) = envelope.from().cloned() else {
            return;
        };
        let reader = Reader {
            question: envelope.stanza.clone(),
            room: envelope.to.clone(),
            asker,
            origin: envelope.origin.clone(),
            floor: floor.clone(),
            open: asked.open,
        };
        let Ok(place) = self.queries.clone().try_acquire_owned() else {
            let busy = StanzaError::from(Condition::ResourceConstraint);
            return reader.answer(Err(busy.with_text("Too many questions at once")));
        };
        let service = self.clone();
        tokio::spawn(async move {
            let _place = place;
            let answer = reader.look_up(&service, asked).await;
            let answer = answer.unwrap_or_else(|error| {
                tracing::error!(room = %reader.room, %error, "the archive of a room cannot be read; run `waxwing check`");
                Err(Condition::InternalServerError.into())
            });
            reader.answer(answer);
        });
    }
}

impl Reader {
    fn answer(&self, answer: Result<Element, StanzaError>) {
        let stanza = match answer {
            Ok(answer) => Some(self.question.reply().with_child(answer)),
            Err(error) => self.question.error(&error.with_by(self.room.clone())),
        };
        stanza.into_iter().for_each(|stanza| self.route(stanza));
    }

    fn route(&self, mut stanza: Stanza) {
        stanza.from = Some(self.room.clone());
        stanza.to = Some(self.asker.clone());
        let to = self.asker.clone();
        let envelope = Envelope::new(Arc::new(stanza), to, Origin::Service);
        self.floor.route(Box::new(envelope));
    }

    async fn look_up(
        &self,
        service: &Service,
        asked: Asked,
    ) -> Result<Result<Element, StanzaError>, StoreError> {
        let rid = asked.rid;
        match asked.what {
            Wanted::Ends => {
                let ends = service.store.reading(move |view| archive::ends(view, rid));
                Ok(Ok(mam::metadata(ends.await?)))
            }
            Wanted::Page(query, shape) => {
                let page = service.store.reading(move |view| query.page(view, rid));
                let Some(page) = page.await? else {
                    return Ok(Err(Condition::ItemNotFound.into()));
                };
                Ok(self.hand_over(page, &shape).await)
            }
        }
    }

    async fn hand_over(&self, page: Page, shape: &Shape) -> Result<Element, StanzaError> {
        let id = |said: &Said| said.mid;
        let fin = shape.fin(Edges {
            first: page.messages.first().map(id),
            last: page.messages.last().map(id),
            reached: page.reached,
            complete: page.complete,
        });
        let messages = page.messages.into_iter();
        let mut results: Vec<Stanza> = messages.map(|said| self.result(said, shape)).collect();
        if shape.flipped {
            results.reverse();
        }
        let Origin::Session(session) = self.origin else {
            results.into_iter().for_each(|result| self.route(result));
            return Ok(fin);
        };
        let item = |stanza| Outgoing {
            stanza: Arc::new(stanza),
            to: None,
            entry: None,
        };
        let results = results.into_iter().map(item).collect();
        match pages::hand_over(&self.floor, &self.asker.bare(), session, results).await {
            true => Ok(fin),
            false => Err(Condition::RecipientUnavailable.into()),
        }
    }

    /// §6.1.2: without addressee, and with who said it for who may know it.
    fn result(&self, said: Said, shape: &Shape) -> Stanza {
        let mut stanza = said.stanza;
        if self.open {
            let item = Element::new("item", ns::MUC_USER).with_attr("jid", said.by.as_str());
            stanza.push(Element::new("x", ns::MUC_USER).with_child(item));
        }
        let result = shape.result(said.mid, said.at, &stanza.to_bytes());
        result.with_from(self.room.clone())
    }
}
