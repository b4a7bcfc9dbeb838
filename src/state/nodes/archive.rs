//! XEP-0442: Pubsub Message Archive Management (0.2.0): the items that a node keeps, as the messages that told of
//! them, asked for as in any archive (XEP-0313 §4).

use std::fmt::{self, Display};
use std::str::FromStr;

use super::config::ItemReply;
use super::error::{NodeError, unsupported};
use super::items::{self, ANSWER, Item, Span};
use super::record::{Node, Totals};
use super::{Answer, Kind, Outcome, Refusal, Scene, Work, events, finish};
use crate::proto::error::Condition;
use crate::proto::jid::Jid;
use crate::proto::mam::{self, Edges, Offer, Query};
use crate::proto::ns;
use crate::proto::stanza::Stanza;
use crate::store::{Direction, StoreError};
use crate::xml::{El, Element};

/// Items looked at for one page.
const LOOKS: usize = 5_000;
/// Items read at once.
const CHUNK: usize = 100;

/// What an archive calls an item: by its place among those of its node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Id {
    node: u64,
    place: u64,
}

impl Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:x}-{:x}", self.node, self.place)
    }
}

/// It is no id of an archive.
#[derive(Debug, PartialEq, Eq)]
struct NoId;

impl FromStr for Id {
    type Err = NoId;

    fn from_str(text: &str) -> Result<Id, NoId> {
        let (node, place) = text.split_once('-').ok_or(NoId)?;
        let number = |text| u64::from_str_radix(text, 16).map_err(|_| NoId);
        let id = Id {
            node: number(node)?,
            place: number(place)?,
        };
        // One spelling alone.
        (id.to_string() == text).then_some(id).ok_or(NoId)
    }
}

/// A page of an archive: messages, and the answer that follows them.
#[derive(Debug)]
pub struct Told {
    /// The messages, without addressee.
    pub results: Vec<Stanza>,
    /// The answer.
    pub fin: Element,
}

/// What was found of what was asked for.
struct Found {
    items: Vec<Item>,
    /// Where looking stopped, if that is not at the end.
    reached: Option<u64>,
    complete: bool,
}

/// A `<query/>` that is to be answered.
///
/// # Errors
/// The store's; whatever the asker did wrong is an answer.
pub fn query(scene: Scene<'_>, query: El<'_>) -> Result<Result<Told, Box<Refusal>>, StoreError> {
    let mut told = None;
    let outcome = finish(scene, |work| {
        told = Some(work.told(query)?);
        Ok(None)
    })?;
    Ok(match (outcome.answer, told) {
        (Ok(_), Some(told)) => Ok(told),
        (Err(refusal), _) => Err(refusal),
        (Ok(_), None) => Err(Box::new(Condition::InternalServerError.into())),
    })
}

/// What may be asked (§4.1.5), or where the archive begins and ends (§5).
///
/// # Errors
/// The store's.
pub fn about(scene: Scene<'_>, asked: El<'_>) -> Result<Outcome, StoreError> {
    finish(scene, |work| work.about_archive(asked))
}

impl Work<'_> {
    fn archive_offer(&self) -> Offer {
        Offer {
            most: self.scene.house.limits.page,
            groupchat: false,
            fulltext: false,
        }
    }

    /// The node whose archive is asked for, if who asks may retrieve its items.
    fn archive_of(&self, asked: El<'_>) -> Result<(String, Node), NodeError> {
        let Scene { house, actor, .. } = self.scene;
        let own = actor.jid.bare_str() == house.address.as_str();
        let (name, node) = self.node(asked).map_err(|error| match error {
            // As of an account that is not there.
            NodeError::Refused(refusal)
                if house.kind == Kind::Personal
                    && !own
                    && refusal.error.condition == Condition::ItemNotFound =>
            {
                Condition::Forbidden.into()
            }
            error => error,
        })?;
        self.door(&node)?.retrieve()??;
        if !node.config.persist_items {
            return Err(unsupported("persistent-items").into());
        }
        Ok((name, node))
    }

    fn about_archive(&self, asked: El<'_>) -> Answer {
        let (_, node) = self.archive_of(asked)?;
        if asked.name() == "query" {
            return Ok(Some(self.archive_offer().form()));
        }
        let shelf = self.shelf(&node);
        let totals = shelf.totals(self.scene.view)?;
        let since = node.config.expired_before(self.scene.now);
        let end = |span| -> Result<Option<(Id, u64)>, StoreError> {
            let items = items::read(self.scene.view, shelf, &totals, span, since)?;
            let item = items.first();
            Ok(item.map(|item| (id_of(&node, item.place), item.head.at)))
        };
        let ends = end(Span::oldest(1))?.zip(end(Span::newest(1))?);
        Ok(Some(mam::metadata(ends)))
    }

    fn told(&self, asked: El<'_>) -> Result<Told, NodeError> {
        let (name, node) = self.archive_of(asked)?;
        let query = self.archive_offer().read::<Id>(asked)?;
        if query.with.is_some() && node.config.itemreply != ItemReply::Publisher {
            // §4.1.1: who published something is found only by who may know it.
            self.door(&node)?.owner()?;
        }
        let totals = self.shelf(&node).totals(self.scene.view)?;
        let found = match &query.ids {
            Some(ids) => self.by_archive_id(&node, &totals, ids, &query)?,
            None => self.look(&node, &totals, &query)?,
        };
        let place = |item: &Item| id_of(&node, item.place);
        let fin = query.shape.fin(Edges {
            first: found.items.first().map(place),
            last: found.items.last().map(place),
            reached: found.reached.map(|at| id_of(&node, at)),
            complete: found.complete,
        });
        let items = found.items.iter();
        let mut results: Vec<Stanza> = items
            .map(|item| {
                let message = self.as_told(&name, &node, item).to_bytes();
                let result = query.shape.result(place(item), item.head.at, &message);
                result.with_from(self.scene.house.address.clone())
            })
            .collect();
        if query.shape.flipped {
            results.reverse();
        }
        Ok(Told { results, fin })
    }

    /// §3: the message in which subscribers were told of an item.
    fn as_told(&self, name: &str, node: &Node, item: &Item) -> Stanza {
        let element = match node.config.deliver_payloads {
            true => item.to_element(ns::PUBSUB_EVENT, &node.config),
            false => item.head.to_element(ns::PUBSUB_EVENT, &node.config),
        };
        events::message(
            self.scene.house,
            &node.config,
            events::items(name, [element]),
        )
    }

    /// The place of an item that the asker names; it must be there (XEP-0059 §2.4).
    fn archived(&self, node: &Node, totals: &Totals, id: Id) -> Result<Item, NodeError> {
        let item = match id.node == node.number {
            true => items::at(self.scene.view, self.shelf(node), totals, id.place)?,
            false => None,
        };
        let since = node.config.expired_before(self.scene.now);
        let item = item.filter(|item| item.head.at >= since);
        Ok(item.ok_or(Condition::ItemNotFound)?)
    }

    fn by_archive_id(
        &self,
        node: &Node,
        totals: &Totals,
        ids: &[Id],
        query: &Query<Id>,
    ) -> Result<Found, NodeError> {
        let mut items = Vec::new();
        for id in ids {
            items.push(self.archived(node, totals, *id)?);
        }
        items.sort_by_key(|item| item.place);
        items.dedup_by_key(|item| item.place);
        items.retain(|item| wanted(query, item));
        let complete = items.len() <= query.max;
        match query.shape.backwards {
            true => drop(items.drain(..items.len().saturating_sub(query.max))),
            false => items.truncate(query.max),
        }
        Ok(Found {
            items,
            reached: None,
            complete,
        })
    }

    /// Looks through the node from one end of what is asked for.
    fn look(&self, node: &Node, totals: &Totals, query: &Query<Id>) -> Result<Found, NodeError> {
        let place = |id: &Id| self.archived(node, totals, *id).map(|item| item.place);
        let after: Result<Vec<u64>, _> = query.after.iter().map(place).collect();
        let before: Result<Vec<u64>, _> = query.before.iter().map(place).collect();
        let mut span = Span {
            after: after?.into_iter().max(),
            before: before?.into_iter().min(),
            from: match query.shape.backwards {
                true => Direction::Backward,
                false => Direction::Forward,
            },
            limit: CHUNK,
        };
        let since = node.config.expired_before(self.scene.now);
        let mut found = Found {
            items: Vec::new(),
            reached: None,
            complete: true,
        };
        let (mut looked, mut bytes) = (0, 0);
        'looking: loop {
            let mut chunk = items::read(self.scene.view, self.shelf(node), totals, span, since)?;
            if query.shape.backwards {
                chunk.reverse();
            }
            let Some(last) = chunk.last().map(|item| item.place) else {
                break;
            };
            match query.shape.backwards {
                true => span.before = Some(last),
                false => span.after = Some(last),
            }
            looked += chunk.len();
            for item in chunk.into_iter().filter(|item| wanted(query, item)) {
                if found.items.len() >= query.max || (bytes > ANSWER && !found.items.is_empty()) {
                    found.complete = false;
                    break 'looking;
                }
                bytes += item.bytes;
                found.items.push(item);
            }
            if looked >= LOOKS {
                (found.reached, found.complete) = (Some(last), false);
                break;
            }
        }
        if query.shape.backwards {
            found.items.reverse();
        }
        Ok(found)
    }
}

fn id_of(node: &Node, place: u64) -> Id {
    Id {
        node: node.number,
        place,
    }
}

/// Whether an item is among those that are asked for by time and publisher.
fn wanted(query: &Query<Id>, item: &Item) -> bool {
    let by = |jid: &Jid| item.head.is_by(jid);
    query.with.as_ref().is_none_or(by)
        && query.start.is_none_or(|start| item.head.at >= start)
        && query.end.is_none_or(|end| item.head.at <= end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_have_one_spelling() {
        let id = Id { node: 31, place: 0 };
        assert_eq!(id.to_string(), "1f-0");
        assert_eq!("1f-0".parse(), Ok(id));
        for bad in ["", "1f", "-", "1F-0", "01f-0", "+1f-0", "1f-0-0", "x-0"] {
            assert_eq!(bad.parse::<Id>(), Err(NoId), "{bad}");
        }
    }
}
