//! Nodes that entities publish to and subscribe to (XEP-0060: Publish-Subscribe, 1.30): the engine behind
//! every face of them.
//!
//! [`handle`] takes what somebody asks of a [`House`] of nodes, with a view of the store, and says what is
//! to be written, what is answered and who is to be told; it does nothing by itself. [`Desk::serve`] runs it
//! against a store: what asks for the same node must come one after the other. Whom a [`Notice`] is for
//! says [`Audience`]: a service sends it to the subscribers it names, an account also to whoever is
//! interested and may see the node ([`Access::admits`]).
//!
//! Collections (XEP-0248), several subscriptions of one address, and what needs the presence of subscribers
//! (`pubsub#show-values`, temporary subscriptions) are not offered.

mod access;
pub mod archive;
mod attachments;
pub mod bounces;
mod config;
mod desk;
pub mod disco;
mod error;
mod events;
mod extended;
mod form;
mod garbage;
mod host;
mod items;
mod kinds;
mod lasts;
mod lists;
mod manage;
mod members;
pub mod portable;
mod publish;
mod reach;
mod record;
mod related;
mod relations;
pub mod requests;
mod retract;
mod subscribe;
mod subscription;
mod times;

#[cfg(test)]
mod tests;

pub use access::{Access, Affiliation, Relation};
pub use attachments::line_of;
pub use config::{
    AccessModel, Amount, Config, Delivery, ItemReply, PublishModel, SendLast, WhenFull,
};
pub use desk::{Desk, Served};
pub use error::Refusal;
pub use form::{NODE_CONFIG, PUBLISH_OPTIONS};
pub use host::{is_host, number_of};
pub use lasts::last_items;
pub use record::{Node, exists};
pub use related::Related;
pub use subscription::{State, Subscription};
pub use times::{Times, times};

use std::collections::HashSet;

use self::access::Door;
use self::error::{NodeError, node_required};
use self::record::Shelf;
use crate::hooks::{Uid, Verb};
use crate::proto::error::{Condition, StanzaError};
use crate::proto::jid::Jid;
use crate::proto::ns;
use crate::proto::stanza::Stanza;
use crate::store::{Batch, Snapshot, StoreError};
use crate::xml::{El, Element};

/// A house of nodes: an account, or a service.
#[derive(Debug, Clone)]
pub struct House {
    /// The number under which they are stored.
    pub owner: Uid,
    /// The address they are at, bare.
    pub address: Jid,
    /// Whose they are.
    pub kind: Kind,
    /// The configuration of a new one.
    pub defaults: Config,
    /// Bounds.
    pub limits: Limits,
    /// Whether publishing to a node that is not there makes it (§7.1.4).
    pub auto_create: bool,
    /// Whether the archives of nodes can be asked ([`archive`]).
    pub archives: bool,
}

/// Whose nodes they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Those of an account, which owns them all (XEP-0163).
    Personal,
    /// Those of whoever made them.
    Service,
}

impl House {
    /// An account's, where nothing is written and an answer has so many items.
    pub fn to_read(owner: Uid, address: Jid, page: usize) -> House {
        House {
            owner,
            address,
            kind: Kind::Personal,
            defaults: Config::personal(),
            limits: Limits {
                nodes: 0,
                items: 0,
                payload: 0,
                bytes: 0,
                subscriptions: 0,
                subscriptions_each: 0,
                affiliations: 0,
                page,
                lease: 0,
                bounces: u32::MAX,
                related: Related::default(),
            },
            auto_create: false,
            archives: true,
        }
    }

    fn shelf(&self, node: &Node) -> Shelf {
        Shelf {
            owner: self.owner,
            node: node.number,
        }
    }

    /// Where the affiliations are that count at a node.
    fn rules(&self, node: &Node) -> Shelf {
        Shelf {
            owner: self.owner,
            node: node.beside.unwrap_or(node.number),
        }
    }
}

/// Bounds of a house.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Nodes that one entity may make.
    pub nodes: u64,
    /// Items of a node.
    pub items: u64,
    /// Bytes of a payload.
    pub payload: u64,
    /// Bytes of all items of all nodes.
    pub bytes: u64,
    /// Subscriptions of a node.
    pub subscriptions: u64,
    /// Subscriptions of one entity, over all nodes.
    pub subscriptions_each: usize,
    /// Affiliations of a node.
    pub affiliations: usize,
    /// Items, or nodes, in one answer.
    pub page: usize,
    /// Longest lease of a subscription, in milliseconds.
    pub lease: u64,
    /// Days on which events came back from a subscriber, after which his subscriptions end.
    pub bounces: u32,
    /// Those of nodes that are about others.
    pub related: Related,
}

/// Longest name of a node and longest id of an item, in bytes.
pub const NAME: usize = 1_024;

/// Who asks.
#[derive(Debug, Clone)]
pub struct Actor {
    /// His address, proven.
    pub jid: Jid,
    /// Whether he may make nodes here.
    pub may_create: bool,
    /// Whether he is a guest whose address belongs to nobody for long (§6.1.3.6).
    pub guest: bool,
}

/// Where numbers and ids come from that were never used before.
pub trait Fresh {
    /// A number for a node.
    fn number(&self) -> u64;
    /// An id for an item or a node.
    fn id(&self) -> String;
}

/// What is known when something is asked.
#[derive(Clone, Copy)]
pub struct Scene<'a> {
    /// The store as it is.
    pub view: &'a dyn Snapshot,
    /// Where.
    pub house: &'a House,
    /// Who.
    pub actor: &'a Actor,
    /// When, Unix milliseconds.
    pub now: u64,
    /// For what is new.
    pub fresh: &'a dyn Fresh,
}

/// What comes of a request.
#[derive(Debug)]
pub struct Outcome {
    /// The payload of the answer, or the error; with an error nothing else is there.
    pub answer: Result<Option<Element>, Box<Refusal>>,
    /// What is to be written.
    pub batch: Batch,
    /// What is to be told when it is written.
    pub notices: Vec<Notice>,
    /// Whether something is left to be erased ([`Desk::erase`]).
    pub garbage: bool,
}

/// Something to be told.
#[derive(Debug, Clone)]
pub struct Notice {
    /// The message, without addressee and id; copies of it share its body.
    pub message: Stanza,
    /// For whom.
    pub to: Audience,
    /// The same in words, if some of them want to hear it so as well.
    pub words: Option<Words>,
}

/// What a message tells, for clients that know no nodes (§12.8).
#[derive(Debug, Clone)]
pub struct Words {
    text: String,
    wanted: HashSet<Jid>,
}

impl Words {
    /// Whether a subscriber wants them.
    pub fn are_for(&self, subscriber: &Jid) -> bool {
        self.wanted.contains(subscriber)
    }

    /// The message with them.
    pub fn said(&self, message: &Stanza) -> Stanza {
        let body = Element::new("body", ns::CLIENT).with_text(&self.text);
        message.clone().with_child(body)
    }
}

/// Whom a notice is for.
#[derive(Debug, Clone)]
pub enum Audience {
    /// These addresses.
    These(Vec<Jid>),
    /// These addresses, and, at an account, whoever is interested in the node and admitted to it.
    Interested {
        /// The node.
        node: Box<str>,
        /// Who is admitted.
        access: Access,
        /// Subscribers, who are admitted.
        subscribers: Vec<Jid>,
    },
}

/// A request being handled.
struct Work<'a> {
    scene: Scene<'a>,
    batch: Batch,
    notices: Vec<Notice>,
    garbage: bool,
}

type Answer = Result<Option<Element>, NodeError>;

/// Answers what an iq asks whose payload this is, `<pubsub/>` of either namespace.
///
/// # Errors
/// The store's; whatever the asker did wrong is an answer.
pub fn handle(scene: Scene<'_>, verb: Verb, pubsub: El<'_>) -> Result<Outcome, StoreError> {
    finish(scene, |work| work.dispatch(verb, pubsub))
}

fn finish(
    scene: Scene<'_>,
    act: impl FnOnce(&mut Work<'_>) -> Answer,
) -> Result<Outcome, StoreError> {
    let mut work = Work {
        scene,
        batch: Batch::new(),
        notices: Vec::new(),
        garbage: false,
    };
    match act(&mut work) {
        Ok(answer) => Ok(Outcome {
            answer: Ok(answer),
            batch: work.batch,
            notices: work.notices,
            garbage: work.garbage,
        }),
        Err(NodeError::Store(error)) => Err(error),
        Err(NodeError::Refused(refusal)) => Ok(Outcome {
            answer: Err(refusal),
            batch: Batch::new(),
            notices: Vec::new(),
            garbage: false,
        }),
    }
}

impl Work<'_> {
    fn dispatch(&mut self, verb: Verb, pubsub: El<'_>) -> Answer {
        let mut children = pubsub.children().filter(|child| child.ns() == pubsub.ns());
        let Some(act) = children.next() else {
            return Err(Condition::BadRequest.into());
        };
        let more = children.next();
        match (pubsub.ns(), verb, act.name()) {
            (ns::PUBSUB, Verb::Set, "publish") => self.publish(act, more),
            (ns::PUBSUB, Verb::Get, "items") => self.items(pubsub, act),
            (ns::PUBSUB, Verb::Set, "retract") => self.retract(act),
            (ns::PUBSUB, Verb::Set, "create") => self.create(act, more),
            (ns::PUBSUB, Verb::Set, "subscribe") => self.subscribe(act, more),
            (ns::PUBSUB, Verb::Set, "unsubscribe") => self.unsubscribe(act),
            (ns::PUBSUB, Verb::Get, "options") => self.options(act),
            (ns::PUBSUB, Verb::Set, "options") => self.set_options(act),
            (ns::PUBSUB, Verb::Get, "default") => self.default_options(act),
            (ns::PUBSUB, Verb::Get, "subscriptions") => self.own_subscriptions(act),
            (ns::PUBSUB, Verb::Get, "affiliations") => self.own_affiliations(act),
            (ns::PUBSUB_OWNER, Verb::Get, "configure") => self.configuration(act),
            (ns::PUBSUB_OWNER, Verb::Set, "configure") => self.configure(act),
            (ns::PUBSUB_OWNER, Verb::Get, "default") => self.default_configuration(act),
            (ns::PUBSUB_OWNER, Verb::Set, "delete") => self.delete(act),
            (ns::PUBSUB_OWNER, Verb::Set, "purge") => self.purge(act),
            (ns::PUBSUB_OWNER, Verb::Get, "subscriptions") => self.subscriptions(act),
            (ns::PUBSUB_OWNER, Verb::Set, "subscriptions") => self.set_subscriptions(act),
            (ns::PUBSUB_OWNER, Verb::Get, "affiliations") => self.affiliations(act),
            (ns::PUBSUB_OWNER, Verb::Set, "affiliations") => self.set_affiliations(act),
            _ => Err(Condition::FeatureNotImplemented.into()),
        }
    }

    /// The node that an element names.
    fn node(&self, el: El<'_>) -> Result<(String, Node), NodeError> {
        let name = name_of(el)?;
        let found = record::node(self.scene.view, self.scene.house.owner, name)?;
        Ok((name.to_owned(), present(found)?))
    }

    fn door<'n>(&'n self, node: &'n Node) -> Result<Door<'n>, StoreError> {
        let Scene {
            view, house, actor, ..
        } = self.scene;
        Door::new(view, house, node, &actor.jid)
    }

    /// The node that an element names, for its owners alone.
    fn owned(&self, el: El<'_>) -> Result<(String, Node), NodeError> {
        let (name, node) = self.node(el)?;
        self.door(&node)?.owner()?;
        Ok((name, node))
    }

    fn shelf(&self, node: &Node) -> Shelf {
        self.scene.house.shelf(node)
    }
}

/// The name of a node that an element has as an attribute.
fn name_of(el: El<'_>) -> Result<&str, StanzaError> {
    match el.attr("node") {
        None | Some("") => Err(node_required()),
        Some(name) => Ok(name),
    }
}

/// A node that is there (§6.1.3.11, §6.1.3.12).
fn present(found: Option<Node>) -> Result<Node, StanzaError> {
    let node = found.ok_or(Condition::ItemNotFound)?;
    match node.moved {
        None => Ok(node),
        Some(uri) => Err(StanzaError {
            uri: Some(uri.into()),
            ..Condition::Gone.into()
        }),
    }
}
