//! Who hears of what an account publishes (XEP-0163 §4.3): whoever subscribed, and of who may see the node those
//! resources that are interested: its own, those of contacts here, and those of contacts elsewhere.

use std::collections::HashSet;
use std::sync::Arc;

use super::Pep;
use crate::hooks::{self, Account, Outgoing, Turn};
use crate::proto::jid::Jid;
use crate::proto::ns;
use crate::proto::stanza::Stanza;
use crate::runtime::random;
use crate::state::capabilities::{Noted, Resources};
use crate::state::nodes::{Access, Actor, Audience, House, Notice, Relation, Words};
use crate::state::roster::Roster;
use crate::xml::Element;

impl Pep {
    /// Tells what is written.
    pub(super) fn tell(&self, house: &House, actor: &Actor, notices: Vec<Notice>) {
        if notices.is_empty() {
            return;
        }
        let publisher = actor.jid.clone();
        let tell = move |turn: &mut Turn<'_>| {
            for notice in notices {
                deliver(turn, notice, &publisher);
            }
        };
        self.floor().in_turn(&house.address, Box::new(tell));
    }

    /// Tells the modules that a node holds something else now.
    pub(super) fn announce(&self, house: &House, node: Box<str>) {
        let event = hooks::Event::NodeChanged(house.address.clone(), node);
        let tell = |turn: &mut Turn<'_>| turn.event(event);
        self.floor().in_turn(&house.address, Box::new(tell));
    }
}

/// Sends a notice, in the turn of the account whose nodes they are.
pub(super) fn deliver(turn: &mut Turn<'_>, notice: Notice, publisher: &Jid) {
    let mut message = notice.message;
    message.id = Some(random::id().into());
    let telling = Telling {
        plain: Arc::new(message),
        words: notice.words,
    };
    match notice.to {
        Audience::These(addresses) => {
            for address in addresses {
                send(turn, &telling.for_whom(&address), &address);
            }
        }
        Audience::Interested {
            node,
            access,
            subscribers,
        } => {
            let event = Event {
                telling,
                node,
                publisher: publisher.clone(),
            };
            event.spread(turn, &access, subscribers);
        }
    }
}

/// A message, and what it is for those who want to hear it in words as well.
struct Telling {
    plain: Arc<Stanza>,
    words: Option<Words>,
}

impl Telling {
    fn for_whom(&self, subscriber: &Jid) -> Arc<Stanza> {
        let words = self.words.as_ref();
        match words.filter(|words| words.are_for(subscriber)) {
            Some(words) => Arc::new(words.said(&self.plain)),
            None => self.plain.clone(),
        }
    }
}

fn send(turn: &mut Turn<'_>, message: &Stanza, to: &Jid) {
    if !turn.account.bars(to) {
        turn.send(message.clone().with_to(to.clone()));
    }
}

/// Something that happened at a node of an account.
struct Event {
    telling: Telling,
    node: Box<str>,
    publisher: Jid,
}

impl Event {
    fn spread(self, turn: &mut Turn<'_>, access: &Access, subscribers: Vec<Jid>) {
        // §4.3.1: who may see the owner's presence is told which of its resources it was.
        let own = self.publisher.bare_str() == turn.account.jid.as_str();
        let plain = &self.telling.plain;
        let shown = Telling {
            plain: match own && self.publisher.is_full() {
                true => Arc::new((**plain).clone().with_child(reply_to(&self.publisher))),
                false => plain.clone(),
            },
            words: self.telling.words.clone(),
        };
        let mut subscribers: HashSet<Jid> = subscribers.into_iter().collect();
        let for_itself = shown.for_whom(&turn.account.jid);
        push_to(turn.account, &for_itself, &self.node);
        subscribers.retain(|jid| jid.as_str() != turn.account.jid.as_str());
        for contact in contacts(turn, access) {
            let subscribed = subscribers.remove(&contact);
            let message = shown.for_whom(&contact);
            if turn.floor.is_local(contact.domain()) {
                self.tell_here(turn, &message, contact, subscribed);
            } else {
                self.tell_elsewhere(turn, &message, &contact, subscribed);
            }
        }
        for subscriber in subscribers {
            let message = self.telling.for_whom(&subscriber);
            send(turn, &message, &subscriber);
        }
    }

    /// A contact of this server: its sessions say in its own turn what they want to hear of.
    fn tell_here(&self, turn: &mut Turn<'_>, message: &Arc<Stanza>, to: Jid, subscribed: bool) {
        if !subscribed && !turn.floor.is_awake(&to) {
            return;
        }
        let (message, node) = (message.clone(), self.node.clone());
        let owner = turn.account.jid.clone();
        turn.in_turn_of(to, move |turn| {
            let account = &*turn.account;
            if hears(account, &owner) && !push_to(account, &message, &node) && subscribed {
                let to = account.jid.clone();
                turn.send((*message).clone().with_to(to));
            }
        });
    }

    fn tell_elsewhere(
        &self,
        turn: &mut Turn<'_>,
        message: &Arc<Stanza>,
        to: &Jid,
        subscribed: bool,
    ) {
        let resources = Resources::of(turn.account);
        let interested: Vec<Jid> = resources
            .filter(|(full, interests)| {
                full.bare_str() == to.as_str() && interests.wants(&self.node)
            })
            .map(|(full, _)| full.clone())
            .collect();
        if interested.is_empty() && subscribed {
            send(turn, message, to);
        }
        for full in interested {
            send(turn, message, &full);
        }
    }
}

/// §4.3.1.3.
fn reply_to(publisher: &Jid) -> Element {
    let address = Element::new("address", ns::ADDRESS)
        .with_attr("type", "replyto")
        .with_attr("jid", publisher.as_str());
    Element::new("addresses", ns::ADDRESS).with_child(address)
}

/// The contacts who may see the account's presence, and the node.
fn contacts(turn: &Turn<'_>, access: &Access) -> Vec<Jid> {
    let account = &*turn.account;
    let Some(roster) = account.parts.find::<Roster>() else {
        return Vec::new();
    };
    let admitted = |contact: &&Jid| {
        let item = roster.item(contact).filter(|_| access.goes_by_groups());
        let groups = item.into_iter().flat_map(|item| &item.groups);
        let relation = Relation {
            sees_presence: true,
            groups: groups.map(ToString::to_string).collect(),
        };
        access.admits(contact, &relation) && !account.bars(contact)
    };
    roster.subscribers().filter(admitted).cloned().collect()
}

/// Hands a message to the available sessions that want to hear of the node; whether there are any.
fn push_to(account: &Account, message: &Arc<Stanza>, node: &str) -> bool {
    let mut any = false;
    for session in account.available() {
        if Noted::interests(session).is_some_and(|interests| interests.wants(node)) {
            any = true;
            session.outbox.push(Outgoing {
                stanza: message.clone(),
                to: Some(session.jid.clone()),
                entry: None,
            });
        }
    }
    any
}

/// Whether anything passes from somebody to an account.
pub(super) fn hears(account: &Account, from: &Jid) -> bool {
    let mut gates = account.tables.gates().iter();
    !account.bars(from) && !gates.any(|gate| gate(&account.jid, from))
}
