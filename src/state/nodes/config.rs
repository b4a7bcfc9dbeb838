//! The configuration of a node (XEP-0060 §16.4.4).

use serde::{Deserialize, Serialize};

use super::Limits;
use crate::choice;

choice! {
    /// Who may subscribe to a node and retrieve its items (XEP-0060 §4.5).
    pub enum AccessModel {
        /// Anyone.
        Open = "open",
        /// Who may see the presence of an owner.
        Presence = "presence",
        /// Who is in certain groups of an owner's roster.
        Roster = "roster",
        /// Whom an owner approves.
        Authorize = "authorize",
        /// Members.
        Whitelist = "whitelist",
    }
    /// Who may publish.
    pub enum PublishModel {
        /// Owners and publishers.
        Publishers = "publishers",
        /// Subscribers too.
        Subscribers = "subscribers",
        /// Anyone.
        Open = "open",
    }
    /// What happens when a full node gets an item (XEP-0060 §7.1.2.5).
    pub enum WhenFull {
        /// The oldest goes, and subscribers hear of it if they hear of retractions.
        RetractOldest = "retract-oldest",
        /// The oldest goes silently.
        DiscardOldest = "discard-oldest",
        /// The new one is refused.
        Reject = "reject",
    }
    /// When the last item is sent to a subscriber who did not ask for it.
    pub enum SendLast {
        /// Never.
        Never = "never",
        /// When he subscribes.
        OnSub = "on_sub",
        /// When he subscribes, and when he comes online.
        OnSubAndPresence = "on_sub_and_presence",
    }
    /// The type of the messages that tell of events.
    pub enum Delivery {
        /// Kept for who is offline.
        Normal = "normal",
        /// For who is online.
        Headline = "headline",
    }
    /// Whether items tell who published them (XEP-0060 §12.17).
    pub enum ItemReply {
        /// They do.
        Publisher = "publisher",
        /// They do not.
        Nobody = "none",
    }
}

/// A number, or as much as the server allows (`max`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Amount(pub Option<u64>);

impl Amount {
    /// As much as the server allows.
    pub const MAX: Amount = Amount(None);

    /// What it comes to, where the server allows so much.
    pub fn within(self, most: u64) -> u64 {
        self.0.map_or(most, |n| n.min(most))
    }
}

impl std::fmt::Display for Amount {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            Some(n) => write!(f, "{n}"),
            None => f.write_str("max"),
        }
    }
}

/// How a node is configured.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Config {
    /// A short name.
    pub title: String,
    /// What it is about.
    pub description: String,
    /// The language of its items.
    pub language: String,
    /// What its payloads mean, mostly a namespace.
    pub kind: String,
    /// Whom to ask (bare JIDs).
    pub contact: Vec<String>,
    /// Whether events are told at all.
    pub deliver_notifications: bool,
    /// Whether they hold the payload.
    pub deliver_payloads: bool,
    /// Whether subscribers hear of a new configuration.
    pub notify_config: bool,
    /// Whether subscribers hear that the node is deleted.
    pub notify_delete: bool,
    /// Whether subscribers hear of every item that goes.
    pub notify_retract: bool,
    /// Whether owners hear of subscribers.
    pub notify_sub: bool,
    /// Whether items are kept.
    pub persist_items: bool,
    /// How many of them.
    pub max_items: Amount,
    /// After how many seconds they go.
    pub item_expire: Amount,
    /// Bytes of a payload.
    pub max_payload_size: Amount,
    /// Whether one can subscribe.
    pub subscribe: bool,
    /// Who may subscribe and retrieve.
    pub access_model: AccessModel,
    /// The groups of the model "roster", sorted.
    pub roster_groups_allowed: Vec<String>,
    /// Who may publish.
    pub publish_model: PublishModel,
    /// What happens when it is full.
    pub publish_node_full: WhenFull,
    /// When the last item is sent without being asked for.
    pub send_last_published_item: SendLast,
    /// How events are told.
    pub notification_type: Delivery,
    /// Whether items name their publisher.
    pub itemreply: ItemReply,
    /// The node that it extends (XEP-0496); empty if there is none.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub link: String,
    /// The node above it (XEP-0496); empty at the root.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub parent: String,
    /// Whether only who is online hears of events; it is as the service is.
    pub presence_based_delivery: bool,
}

impl Default for Config {
    fn default() -> Self {
        Config::service()
    }
}

impl Config {
    /// Of a node of a service.
    pub fn service() -> Config {
        Config {
            title: String::new(),
            description: String::new(),
            language: String::new(),
            kind: String::new(),
            contact: Vec::new(),
            deliver_notifications: true,
            deliver_payloads: true,
            notify_config: false,
            notify_delete: true,
            notify_retract: true,
            notify_sub: false,
            persist_items: true,
            max_items: Amount(Some(20)),
            item_expire: Amount::MAX,
            max_payload_size: Amount::MAX,
            subscribe: true,
            access_model: AccessModel::Open,
            roster_groups_allowed: Vec::new(),
            publish_model: PublishModel::Publishers,
            publish_node_full: WhenFull::RetractOldest,
            send_last_published_item: SendLast::OnSub,
            notification_type: Delivery::Headline,
            itemreply: ItemReply::Nobody,
            link: String::new(),
            parent: String::new(),
            presence_based_delivery: false,
        }
    }

    /// Of a node of an account (XEP-0163 §2: contacts see it, and one item is kept).
    pub fn personal() -> Config {
        Config {
            max_items: Amount(Some(1)),
            access_model: AccessModel::Presence,
            send_last_published_item: SendLast::OnSubAndPresence,
            presence_based_delivery: true,
            ..Config::service()
        }
    }

    /// How many items it keeps.
    pub fn most_items(&self, limits: &Limits) -> u64 {
        match self.persist_items {
            true => self.max_items.within(limits.items).max(1),
            false => 0,
        }
    }

    /// What was published before this moment is gone.
    pub fn expired_before(&self, now: u64) -> u64 {
        let lifetime = self.item_expire.0.map(|s| s.saturating_mul(1000));
        lifetime.map_or(0, |lifetime| now.saturating_sub(lifetime))
    }

    /// Whether it does what another one does, under these limits.
    pub fn same(&self, other: &Config, limits: &Limits) -> bool {
        let plain = |config: &Config| Config {
            max_items: Amount(Some(config.max_items.within(limits.items))),
            max_payload_size: Amount(Some(config.max_payload_size.within(limits.payload))),
            ..config.clone()
        };
        plain(self) == plain(other)
    }
}
