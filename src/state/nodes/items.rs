//! Items as they are stored, and their retrieval (XEP-0060 §6.5).

use serde::{Deserialize, Serialize};

use super::config::{Config, ItemReply};
use super::error::{NodeError, unsupported};
use super::record::{self, Node, Shelf, Totals, odd};
use super::{Answer, NAME, Work};
use crate::proto::error::{Condition, StanzaError};
use crate::proto::jid::Jid;
use crate::proto::{ns, rsm};
use crate::state::stored_xml;
use crate::store::{Batch, Direction, Fields, Range, Snapshot, Space, StoreError};
use crate::xml::{El, Element};

/// Rows read at once, and bytes of payload in one answer.
const CHUNK: usize = 20;
pub(super) const ANSWER: u64 = 256 << 10;

/// An item.
#[derive(Debug, Clone)]
pub(super) struct Item {
    /// Its place among the items of its node.
    pub(super) place: u64,
    pub(super) head: Head,
    pub(super) payload: Option<Element>,
    /// What it counts for.
    pub(super) bytes: u64,
}

/// What is known of an item besides its payload.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Head {
    pub(super) id: String,
    /// Bare JID.
    pub(super) publisher: String,
    /// Unix milliseconds.
    pub(super) at: u64,
}

impl Head {
    /// Whether somebody published it.
    pub(super) fn is_by(&self, jid: &Jid) -> bool {
        self.publisher == jid.bare_str()
    }

    /// The `<item/>`, without its payload.
    pub(super) fn to_element(&self, ns: &str, config: &Config) -> Element {
        let mut item = Element::new("item", ns).with_attr("id", &self.id);
        if config.itemreply == ItemReply::Publisher {
            item.set_attr("publisher", Some(&self.publisher));
        }
        item
    }
}

impl Item {
    /// The `<item/>` with all it has.
    pub(super) fn to_element(&self, ns: &str, config: &Config) -> Element {
        let mut item = self.head.to_element(ns, config);
        if let Some(payload) = &self.payload {
            item.push_child(payload.root());
        }
        item
    }

    fn read(key: &[u8], value: &[u8]) -> Result<Item, StoreError> {
        let place = Fields::of(key.get(16..).unwrap_or_default()).u64();
        let (head, payload) = split(value)?;
        let head: Head = record::read(head)?;
        let bytes = (head.id.len() + payload.len()) as u64;
        let payload = match payload {
            [] => None,
            payload => Some(stored_xml::read(payload).ok_or_else(odd)?),
        };
        Ok(Item {
            place: place.ok_or_else(odd)?,
            head,
            payload,
            bytes,
        })
    }
}

/// The head of an item, and its payload as it is stored.
fn split(value: &[u8]) -> Result<(&[u8], &[u8]), StoreError> {
    let (length, rest) = value.split_first_chunk::<4>().ok_or_else(odd)?;
    let length = u32::from_be_bytes(*length) as usize;
    rest.split_at_checked(length).ok_or_else(odd)
}

/// What is known of an item besides its payload.
pub(super) fn head(value: &[u8]) -> Result<Head, StoreError> {
    record::read(split(value)?.0)
}

/// Where an item of a given id is, and what it counts for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) place: u64,
    pub(super) bytes: u64,
    /// When an item of this id came first, Unix milliseconds; unknown for what is from before this was kept.
    pub(super) since: Option<u64>,
}

impl Place {
    pub(super) fn read(value: &[u8]) -> Result<Place, StoreError> {
        let mut fields = Fields::of(value);
        match (fields.u64(), fields.u64()) {
            (Some(place), Some(bytes)) => Ok(Place {
                place,
                bytes,
                since: fields.u64(),
            }),
            _ => Err(odd()),
        }
    }

    fn write(self) -> Vec<u8> {
        let key = crate::store::Key::new().u64(self.place).u64(self.bytes);
        match self.since {
            Some(since) => key.u64(since).to_vec(),
            None => key.to_vec(),
        }
    }
}

/// Writes an item to its place; `payload` as it is stored, `old` where one of the same id was.
pub(super) fn put(
    batch: &mut Batch,
    shelf: Shelf,
    (place, old): (u64, Option<Place>),
    head: &Head,
    payload: &[u8],
) -> u64 {
    let bytes = (head.id.len() + payload.len()) as u64;
    let encoded = record::write(head);
    let length = u32::try_from(encoded.len()).unwrap_or(0);
    let mut value = length.to_be_bytes().to_vec();
    value.extend_from_slice(&encoded);
    value.extend_from_slice(payload);
    batch.put(Space::NODE_ITEM, &shelf.item(place), value);
    let since = old.map_or(Some(head.at), |old| old.since);
    let named = Place {
        place,
        bytes,
        since,
    }
    .write();
    batch.put(Space::NODE_ITEM_PLACE, &shelf.named(&head.id), named);
    bytes
}

/// Removes an item from its place, and with its bytes from the totals.
pub(super) fn remove(
    batch: &mut Batch,
    shelf: Shelf,
    totals: &mut Totals,
    id: &str,
    (place, bytes): (u64, u64),
) {
    batch.delete(Space::NODE_ITEM, &shelf.item(place));
    batch.delete(Space::NODE_ITEM_PLACE, &shelf.named(id));
    totals.items = totals.items.saturating_sub(1);
    totals.bytes = totals.bytes.saturating_sub(bytes);
}

/// Where the item of an id is, if there is one; there is none whose id is too long.
pub(super) fn place(
    view: &dyn Snapshot,
    shelf: Shelf,
    totals: &Totals,
    id: &str,
) -> Result<Option<Place>, StoreError> {
    if id.len() > NAME {
        return Ok(None);
    }
    let value = view.get(Space::NODE_ITEM_PLACE, &shelf.named(id))?;
    let place = value.map(|value| Place::read(&value)).transpose()?;
    Ok(place.filter(|place| place.place >= totals.first))
}

/// The item of an id.
pub(super) fn find(
    view: &dyn Snapshot,
    shelf: Shelf,
    totals: &Totals,
    id: &str,
) -> Result<Option<Item>, StoreError> {
    match place(view, shelf, totals, id)? {
        Some(place) => at(view, shelf, totals, place.place),
        None => Ok(None),
    }
}

/// The item at a place.
pub(super) fn at(
    view: &dyn Snapshot,
    shelf: Shelf,
    totals: &Totals,
    place: u64,
) -> Result<Option<Item>, StoreError> {
    if place < totals.first {
        return Ok(None);
    }
    let key = shelf.item(place);
    let value = view.get(Space::NODE_ITEM, &key)?;
    value.map(|value| Item::read(&key, &value)).transpose()
}

/// Which items are wanted: those between two places, from one end of them.
#[derive(Debug, Clone, Copy)]
pub(super) struct Span {
    pub(super) after: Option<u64>,
    pub(super) before: Option<u64>,
    pub(super) from: Direction,
    pub(super) limit: usize,
}

impl Span {
    /// The newest.
    pub(super) fn newest(limit: usize) -> Span {
        Span {
            after: None,
            before: None,
            from: Direction::Backward,
            limit,
        }
    }

    /// The oldest.
    pub(super) fn oldest(limit: usize) -> Span {
        Span {
            from: Direction::Forward,
            ..Span::newest(limit)
        }
    }
}

/// Items in the order of their publication, none older than `since`; fewer than wanted where they
/// are large.
pub(super) fn read(
    view: &dyn Snapshot,
    shelf: Shelf,
    totals: &Totals,
    span: Span,
    since: u64,
) -> Result<Vec<Item>, StoreError> {
    let mut range = Range::prefix(shelf.key()).from(shelf.item(totals.first));
    if let Some(after) = span.after {
        range = range.after(shelf.item(after));
    }
    if let Some(before) = span.before {
        range = range.before(shelf.item(before));
    }
    let (mut items, mut bytes) = (Vec::new(), 0);
    while items.len() < span.limit && bytes < ANSWER {
        let rows = view.scan(Space::NODE_ITEM, &range, span.from, CHUNK)?;
        let Some((last, _)) = rows.last() else { break };
        range = match span.from {
            Direction::Forward => range.after(last.as_slice()),
            Direction::Backward => range.before(last.as_slice()),
        };
        let whole = rows.len() < CHUNK;
        for (key, value) in &rows {
            let item = Item::read(key, value)?;
            if item.head.at >= since && items.len() < span.limit && bytes < ANSWER {
                bytes += item.bytes;
                items.push(item);
            }
        }
        if whole {
            break;
        }
    }
    if span.from == Direction::Backward {
        items.reverse();
    }
    Ok(items)
}

/// What so many items from one end of a node count for, and the place of the last one of them.
pub(super) fn measure(
    view: &dyn Snapshot,
    shelf: Shelf,
    totals: &Totals,
    from: Direction,
    count: u64,
) -> Result<(u64, u64), StoreError> {
    let mut range = Range::prefix(shelf.key()).from(shelf.item(totals.first));
    let (mut left, mut bytes, mut place) = (count, 0_u64, totals.first);
    while left > 0 {
        let limit = usize::try_from(left).unwrap_or(CHUNK).min(CHUNK);
        let rows = view.scan(Space::NODE_ITEM, &range, from, limit)?;
        let Some((last, _)) = rows.last() else { break };
        place = Fields::of(last.get(16..).unwrap_or_default())
            .u64()
            .ok_or_else(odd)?;
        range = match from {
            Direction::Forward => range.after(last.as_slice()),
            Direction::Backward => range.before(last.as_slice()),
        };
        for (_, value) in &rows {
            let item = split(value)?;
            let id = head(value)?.id;
            bytes = bytes.saturating_add((id.len() + item.1.len()) as u64);
        }
        left = left.saturating_sub(rows.len() as u64);
    }
    Ok((bytes, place))
}

impl Work<'_> {
    /// §6.5: the items of a node: all, some by id, the newest, or a page of them.
    pub(super) fn items(&mut self, pubsub: El<'_>, act: El<'_>) -> Answer {
        let (name, node) = self.node(act)?;
        self.door(&node)?.retrieve()??;
        if !node.config.persist_items {
            return Err(unsupported("persistent-items").into());
        }
        let totals = self.shelf(&node).totals(self.scene.view)?;
        let ids: Vec<&str> = act.children().filter_map(|item| item.attr("id")).collect();
        let (items, page) = if ids.is_empty() {
            self.page(pubsub, act, &node, &totals)?
        } else {
            (self.by_id(&ids, &node, &totals)?, None)
        };
        let elements = items.iter().map(|i| i.to_element(ns::PUBSUB, &node.config));
        let items = Element::new("items", ns::PUBSUB)
            .with_attr("node", &name)
            .with_children(elements);
        let answer = Element::new("pubsub", ns::PUBSUB).with_child(items);
        Ok(Some(
            answer.with_children(page.map(|page| page.to_element())),
        ))
    }

    fn by_id(&self, ids: &[&str], node: &Node, totals: &Totals) -> Result<Vec<Item>, NodeError> {
        let since = node.config.expired_before(self.scene.now);
        let mut found = Vec::new();
        for id in ids.iter().take(self.scene.house.limits.page) {
            let item = find(self.scene.view, self.shelf(node), totals, id)?;
            found.extend(item.filter(|item| item.head.at >= since));
        }
        Ok(found)
    }

    /// The page that is asked for, and what to say of it.
    fn page(
        &self,
        pubsub: El<'_>,
        act: El<'_>,
        node: &Node,
        totals: &Totals,
    ) -> Result<(Vec<Item>, Option<rsm::Page>), NodeError> {
        let most = self.scene.house.limits.page;
        let set = pubsub.child("set", ns::RSM);
        let request = set.map(rsm::Request::parse).transpose()?;
        let span = match (&request, act.attr("max_items")) {
            (Some(request), _) => self.span(request, node, totals)?,
            (None, Some(newest)) => {
                let newest: usize = newest.parse().map_err(|_| Condition::BadRequest)?;
                Span::newest(newest.min(most))
            }
            (None, None) => Span::oldest(most),
        };
        let since = node.config.expired_before(self.scene.now);
        let items = read(self.scene.view, self.shelf(node), totals, span, since)?;
        let asked = request.is_some();
        let cut = act.attr("max_items").is_none() && (items.len() as u64) < totals.items;
        let page = || rsm::Page {
            first: items.first().map(|item| {
                let is_first = span.from == Direction::Forward && span.after.is_none();
                (item.head.id.clone(), is_first.then_some(0))
            }),
            last: items.last().map(|item| item.head.id.clone()),
            count: usize::try_from(totals.items).ok(),
        };
        let page = (asked || (cut && !items.is_empty())).then(page);
        Ok((items, page))
    }

    fn span(
        &self,
        request: &rsm::Request,
        node: &Node,
        totals: &Totals,
    ) -> Result<Span, NodeError> {
        let place = |id: &Option<String>| -> Result<Option<u64>, NodeError> {
            let Some(id) = id else { return Ok(None) };
            let found = place(self.scene.view, self.shelf(node), totals, id)?;
            Ok(Some(found.ok_or(Condition::ItemNotFound)?.place))
        };
        if request.index.is_some_and(|index| index > 0) {
            let text = "Pages begin after or before an item";
            return Err(StanzaError::from(Condition::FeatureNotImplemented)
                .with_text(text)
                .into());
        }
        let most = self.scene.house.limits.page;
        Ok(Span {
            after: place(&request.after)?,
            before: place(&request.before)?,
            from: match request.backwards {
                true => Direction::Backward,
                false => Direction::Forward,
            },
            limit: request.max.map_or(most, |max| max.min(most)),
        })
    }
}
