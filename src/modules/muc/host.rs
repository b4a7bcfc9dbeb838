//! The service itself: what it is, and which rooms it has (XEP-0045 §6.2, §6.3).

use std::sync::Arc;

use super::Service;
use crate::hooks::service::{ServiceOwner, ServiceTurn};
use crate::hooks::{Envelope, Floor, Origin};
use crate::proto::disco::{Identity, Info};
use crate::proto::error::{Condition, StanzaError};
use crate::proto::jid::Jid;
use crate::proto::stanza::{IqType, Kind, Stanza};
use crate::proto::{ns, rsm};
use crate::runtime::random;
use crate::state::rooms::{self, Listing};
use crate::store::StoreError;
use crate::xml::{El, Element};

/// Rooms read at once.
const STEP: usize = 500;

/// Rooms of one page of the list.
const PAGE: usize = 100;

/// Answers for the domain.
pub struct HostOwner(pub(super) Arc<Service>);

impl ServiceOwner for HostOwner {
    fn handle(&mut self, envelope: &mut Envelope, turn: &mut ServiceTurn<'_>) {
        let stanza = envelope.stanza.clone();
        let answer = match stanza.kind {
            Kind::Iq(IqType::Get) => match stanza.payload() {
                Some(payload) if payload.is("query", ns::DISCO_ITEMS) => {
                    return self.items(payload, envelope, turn);
                }
                Some(payload) => self.answer(payload, envelope.from()),
                None => Err(Condition::BadRequest.into()),
            },
            // The service itself has no occupants (§7.2.1).
            Kind::Presence(_) => return,
            _ => Err(Condition::ServiceUnavailable.into()),
        };
        match answer {
            Ok(answer) => turn.reply(envelope, answer),
            Err(error) => turn.refuse(envelope, &error),
        }
    }

    fn suspend(&self) -> Option<Vec<u8>> {
        None
    }

    fn idle(&self) -> bool {
        true
    }
}

impl HostOwner {
    fn answer(&self, payload: El<'_>, from: Option<&Jid>) -> Result<Option<Element>, StanzaError> {
        match (payload.ns(), payload.name()) {
            (ns::DISCO_INFO, "query") if !names_node(payload) => Ok(Some(self.info())),
            (ns::DISCO_INFO, "query") => Err(Condition::ItemNotFound.into()),
            (ns::PING, "ping") => Ok(None),
            (ns::MUC_UNIQUE, "unique") => self.unused_name(from).map(Some),
            _ => Err(Condition::ServiceUnavailable.into()),
        }
    }

    /// XEP-0307 §2: a name that no room has or will have by chance, for who may make rooms.
    fn unused_name(&self, from: Option<&Jid>) -> Result<Element, StanzaError> {
        let from = from.ok_or_else(|| StanzaError::from(Condition::BadRequest))?;
        self.0.may_create(from, true)?;
        Ok(Element::new("unique", ns::MUC_UNIQUE).with_text(&random::token()))
    }

    fn info(&self) -> Element {
        let identity = Identity::new("conference", "text").with_name(&self.0.title);
        let features = [
            ns::DISCO_INFO,
            ns::DISCO_ITEMS,
            ns::MUC,
            ns::MUC_STABLE_ID,
            ns::MUC_UNIQUE,
            ns::OCCUPANT_ID,
            ns::PING,
            ns::RSM,
            ns::VCARD,
        ];
        let info = Info {
            identities: vec![identity],
            features: features.map(str::to_owned).into(),
            ..Info::default()
        };
        info.to_element(None)
    }

    /// §6.3, page by page (XEP-0059). What must be read is read beside the turns.
    fn items(&self, query: El<'_>, envelope: &Envelope, turn: &mut ServiceTurn<'_>) {
        let page = match rsm::Request::of(query) {
            Ok(page) if !names_node(query) => page,
            Ok(_) => return turn.refuse(envelope, &Condition::ItemNotFound.into()),
            Err(error) => return turn.refuse(envelope, &error),
        };
        let service = self.0.clone();
        let Ok(place) = service.lists.clone().try_acquire_owned() else {
            return turn.refuse(envelope, &Condition::ResourceConstraint.into());
        };
        let (question, floor) = (envelope.stanza.clone(), turn.floor.clone());
        tokio::spawn(async move {
            let _place = place;
            let list = service.public_rooms().await;
            let answer = match list {
                Ok(rooms) => shown(&rooms, &page, &service),
                Err(error) => {
                    tracing::error!(service = %service.domain, %error, "the list of rooms cannot be read; run `waxwing check`");
                    Err(Condition::InternalServerError.into())
                }
            };
            let answer = match answer {
                Ok(list) => Some(question.reply().with_child(list)),
                Err(error) => question.error(&error),
            };
            answer.into_iter().for_each(|answer| send(&floor, answer));
        });
    }
}

fn send(floor: &Arc<dyn Floor>, answer: Stanza) {
    if let Some(to) = answer.to.clone() {
        let envelope = Envelope::new(Arc::new(answer), to, Origin::Service);
        floor.route(Box::new(envelope));
    }
}

fn names_node(query: El<'_>) -> bool {
    query.attr("node").is_some_and(|node| !node.is_empty())
}

/// One page of the list.
fn shown(
    rooms: &[(String, Listing)],
    page: &rsm::Request,
    service: &Service,
) -> Result<Element, StanzaError> {
    let (shown, answer) = page.select(rooms, |(name, _)| name, PAGE)?;
    let items = shown.iter().map(|(name, listing)| {
        let title = match listing.name.as_str() {
            "" => name,
            title => title,
        };
        Element::new("item", ns::DISCO_ITEMS)
            .with_attr("jid", &format!("{name}@{}", service.domain))
            .with_attr("name", title)
    });
    let list = Element::new("query", ns::DISCO_ITEMS).with_children(items);
    // Who asked for no page and got all is not bothered with it.
    let whole = *page == rsm::Request::default() && shown.len() == rooms.len();
    Ok(match whole {
        true => list,
        false => list.with_child(answer.to_element()),
    })
}

impl Service {
    /// The rooms that everybody may find; temporary ones while somebody is there.
    async fn public_rooms(&self) -> Result<Vec<(String, Listing)>, StoreError> {
        let (mut found, mut after) = (Vec::new(), None::<String>);
        loop {
            let domain = self.domain.clone();
            let from = after.take();
            let rooms = self
                .store
                .reading(move |view| rooms::list(view, domain.domain(), from.as_deref(), STEP))
                .await?;
            let through = rooms.len() < STEP;
            after = rooms.last().map(|(name, _)| name.clone());
            let shown = |(name, listing): &(String, Listing)| {
                listing.public && (listing.persistent || self.live.occupied.has(name))
            };
            found.extend(rooms.into_iter().filter(shown));
            if through || found.len() >= self.most_listed {
                found.truncate(self.most_listed);
                return Ok(found);
            }
        }
    }
}
