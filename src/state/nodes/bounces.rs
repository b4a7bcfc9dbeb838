//! Events that come back (XEP-0060 §12.4).
//!
//! Nobody but the subscriber, or its server, can end a subscription so: an error counts for the address it is from.
//! A server that is away for some days loses nobody, however much is published meanwhile: what comes back counts once a
//! day, and what came back long ago does not count.

use serde::{Deserialize, Serialize};

use super::record::{self, Node, Tie};
use super::subscription::{self, Subscription};
use super::{Outcome, Scene, Work, finish};
use crate::proto::error::{Condition, StanzaError};
use crate::proto::jid::Jid;
use crate::state::accounts;
use crate::store::{Space, StoreError};

/// Between two errors that both count, and after which those before are forgotten: milliseconds.
const DAY: u64 = 24 * 60 * 60 * 1_000;
const LONG_AGO: u64 = 14 * DAY;

/// On how many days events for a subscriber came back, and when they did so last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bounced {
    days: u32,
    last: u64,
}

/// An event, or something else that was sent for a house, came back with an error to its address; who asks is who it was
/// sent to. `own` if his account would be one of this server.
///
/// # Errors
/// The store's.
pub fn bounced(scene: Scene<'_>, error: &StanzaError, own: bool) -> Result<Outcome, StoreError> {
    let jid = &scene.actor.jid;
    let gone = matches!(error.condition, Condition::Gone | Condition::ItemNotFound)
        || (own && accounts::read(scene.view, &accounts::account_key(&jid.bare()))?.is_none());
    finish(scene, |work| {
        for (name, node) in work.tied_nodes(Tie::Subscription)? {
            let shelf = work.shelf(&node);
            for (whose, sub) in subscription::of(work.scene.view, shelf, jid)? {
                let concerned = whose == *jid || (gone && jid.is_bare());
                if !concerned || sub.is_over(work.scene.now) {
                    continue;
                }
                let ends = work.came_back(&node, &whose, sub, gone)?;
                if ends {
                    let access = work.door(&node)?.access;
                    work.tell_owners(&name, &node, &access, &whose, "none");
                }
            }
        }
        Ok(None)
    })
}

impl Work<'_> {
    /// Counts an error of a subscriber; whether that was the last one.
    fn came_back(
        &mut self,
        node: &Node,
        jid: &Jid,
        sub: Subscription,
        gone: bool,
    ) -> Result<bool, StoreError> {
        let now = self.scene.now;
        let days = match sub.bounced {
            Some(Bounced { last, .. }) if now < last.saturating_add(DAY) && !gone => {
                return Ok(false);
            }
            Some(Bounced { days, last }) if now < last.saturating_add(LONG_AGO) => {
                days.saturating_add(1)
            }
            _ => 1,
        };
        let ends = gone || days >= self.scene.house.limits.bounces;
        let sub = Subscription {
            // As if its lease was over: another one may have its place.
            expire: if ends { Some(now) } else { sub.expire },
            bounced: Some(Bounced { days, last: now }),
            ..sub
        };
        let key = self.shelf(node).named(jid.as_str());
        if let Some(before) = self.scene.view.get(Space::NODE_SUBSCRIPTION, &key)? {
            // Its subscriber may change it meanwhile: errors do not wait in the line of each node.
            self.batch
                .require_equals(Space::NODE_SUBSCRIPTION, &key, before);
            self.batch
                .put(Space::NODE_SUBSCRIPTION, &key, record::write(&sub));
        }
        Ok(ends)
    }
}
