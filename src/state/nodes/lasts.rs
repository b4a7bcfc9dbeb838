//! The last item of a node, for who subscribes or comes online (XEP-0060 §6.1.7, §12.2).

use super::access::Access;
use super::config::SendLast;
use super::items::{self, Span};
use super::record::{self, Node};
use super::{Audience, House, Notice, events};
use crate::proto::delay::Delay;
use crate::proto::jid::Jid;
use crate::proto::ns;
use crate::store::{Snapshot, StoreError};

/// The last items of the nodes with these names, for an entity that has come online or has shown
/// interest in them: of those that send it then, and that it may see.
///
/// # Errors
/// The store's.
pub fn last_items<'n>(
    view: &dyn Snapshot,
    house: &House,
    nodes: impl IntoIterator<Item = &'n str>,
    jid: &Jid,
    now: u64,
) -> Result<Vec<Notice>, StoreError> {
    let mut notices = Vec::new();
    for name in nodes {
        let Some(node) = record::node(view, house.owner, name)? else {
            continue;
        };
        if node.moved.is_some()
            || node.config.send_last_published_item != SendLast::OnSubAndPresence
            || !node.config.deliver_notifications
        {
            continue;
        }
        let access = Access::of(view, house, &node)?;
        if access.lets_in(view, house, jid)? {
            let last = last(view, house, name, &node, jid, now)?;
            notices.extend(last.map(|(notice, _)| notice));
        }
    }
    Ok(notices)
}

/// The last item of a node, for one entity, and what it says in words.
pub(super) fn last(
    view: &dyn Snapshot,
    house: &House,
    name: &str,
    node: &Node,
    jid: &Jid,
    now: u64,
) -> Result<Option<(Notice, Option<String>)>, StoreError> {
    let shelf = house.shelf(node);
    let totals = shelf.totals(view)?;
    let since = node.config.expired_before(now);
    let items = items::read(view, shelf, &totals, Span::newest(1), since)?;
    Ok(items.into_iter().next().map(|item| {
        let element = match node.config.deliver_payloads {
            true => item.to_element(ns::PUBSUB_EVENT, &node.config),
            false => item.head.to_element(ns::PUBSUB_EVENT, &node.config),
        };
        let mut message = events::message(house, &node.config, events::items(name, [element]));
        let stamp = Delay {
            stamp: item.head.at,
            from: Some(house.address.clone()),
        };
        message.push(stamp.to_element());
        let payload = item.payload.as_ref();
        let words = payload.and_then(|payload| node.config.words(payload.root()));
        let notice = Notice {
            message,
            to: Audience::These(vec![jid.clone()]),
            words: None,
        };
        (notice, words)
    }))
}
