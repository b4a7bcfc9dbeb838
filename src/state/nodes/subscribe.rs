//! Subscribing, and the options of a subscription (XEP-0060 §6.1 to §6.4).

use std::collections::HashSet;

use super::access::Access;
use super::config::SendLast;
use super::error::{NodeError, exact, jid_required, not_subscribed};
use super::record::{self, Node, Shelf, Tie};
use super::subscription::{self, State, Subscription};
use super::{Answer, Words, Work, lasts, requests};
use crate::proto::error::{Condition, ErrorType, StanzaError};
use crate::proto::form::FormType;
use crate::proto::jid::Jid;
use crate::proto::ns;
use crate::store::Space;
use crate::xml::{El, Element};

impl Work<'_> {
    /// §6.1: an entity subscribes itself, or one of its resources.
    pub(super) fn subscribe(&mut self, act: El<'_>, options: Option<El<'_>>) -> Answer {
        let jid = jid_of(act)?;
        if jid.bare_str() != self.scene.actor.jid.bare_str() {
            return Err(exact(Condition::BadRequest, "invalid-jid").into());
        }
        let options = options.filter(|el| el.name() == "options");
        if options.is_some_and(|el| el.attr("node").is_some() || el.attr("jid").is_some()) {
            return Err(Condition::BadRequest.into());
        }
        let (name, node) = self.node(act)?;
        if self.scene.actor.guest {
            return Err(StanzaError::from(Condition::Forbidden)
                .with_type(ErrorType::Cancel)
                .into());
        }
        let (at_once, access) = {
            let door = self.door(&node)?;
            (door.subscribe()??, door.access)
        };
        let known = self.subscription(&node, &jid)?;
        let is_new = known.is_none();
        let mut sub = match known {
            Some(sub) if sub.state == State::Pending => {
                return Err(exact(Condition::NotAuthorized, "pending-subscription").into());
            }
            Some(sub) => Subscription {
                bounced: None,
                ..sub
            },
            None => Subscription::new(match at_once {
                true => State::Subscribed,
                false => State::Pending,
            }),
        };
        if let Some(options) = options {
            let (now, lease) = (self.scene.now, self.scene.house.limits.lease);
            sub.take(options, now, lease, node.config.has_words())?;
        }
        let counts = is_new && !self.room_for_subscription(&name, &node)?;
        self.put_subscription(&name, &node, &jid, Some(&sub), counts)?;
        if is_new {
            self.welcome(&name, &node, &access, &jid, &sub)?;
        }
        let mut answer = told(&name, &jid, sub.state.as_str());
        if options.is_some() {
            let form = sub
                .to_form(FormType::Result, node.config.has_words())
                .to_element();
            answer = answer.with_child(Element::new("options", ns::PUBSUB).with_child(form));
        }
        Ok(Some(answer))
    }

    /// What follows a new subscription: the owners are asked or told, and the last item is sent.
    fn welcome(
        &mut self,
        name: &str,
        node: &Node,
        access: &Access,
        jid: &Jid,
        sub: &Subscription,
    ) -> Result<(), NodeError> {
        if sub.state == State::Pending {
            let asked = requests::ask(&self.scene, name, jid, access);
            self.notices.push(asked);
            return Ok(());
        }
        self.tell_owners(name, node, access, jid, sub.state.as_str());
        if sub.is_told(self.scene.now) {
            self.send_last(name, node, jid, sub)?;
        }
        Ok(())
    }

    /// The last item, for a new subscriber (§6.1.7).
    pub(super) fn send_last(
        &mut self,
        name: &str,
        node: &Node,
        jid: &Jid,
        sub: &Subscription,
    ) -> Result<(), NodeError> {
        let config = &node.config;
        if config.send_last_published_item != SendLast::Never && config.deliver_notifications {
            let (view, house) = (self.scene.view, self.scene.house);
            let last = lasts::last(view, house, name, node, jid, self.scene.now)?;
            self.notices.extend(last.map(|(mut notice, words)| {
                let wanted = HashSet::from([jid.clone()]);
                notice.words = words
                    .filter(|_| sub.body)
                    .map(|text| Words { text, wanted });
                notice
            }));
        }
        Ok(())
    }

    /// §6.1.3.9: there may be only so many. Where a node is full, a new subscription takes the place of
    /// one whose lease is over; whether it does.
    fn room_for_subscription(&mut self, name: &str, node: &Node) -> Result<bool, NodeError> {
        let limits = &self.scene.house.limits;
        let refused = || {
            exact(Condition::PolicyViolation, "too-many-subscriptions").with_type(ErrorType::Wait)
        };
        if self.is_subscribed_enough(limits.subscriptions_each)? {
            return Err(refused().into());
        }
        let shelf = self.shelf(node);
        if shelf.totals(self.scene.view)?.subscriptions < limits.subscriptions {
            return Ok(false);
        }
        let now = self.scene.now;
        let all = subscription::all(self.scene.view, shelf)?;
        let over = all.into_iter().find(|(_, sub)| sub.is_over(now));
        let (jid, _) = over.ok_or_else(refused)?;
        self.put_subscription(name, node, &jid, None, false)?;
        Ok(true)
    }

    /// Whether who asks has as many subscriptions as he may have, not counting those that are over.
    fn is_subscribed_enough(&self, most: usize) -> Result<bool, NodeError> {
        let (view, house, jid) = (self.scene.view, self.scene.house, &self.scene.actor.jid);
        let ties = record::ties(view, house.owner, jid, Tie::Subscription, most)?;
        if ties.len() < most {
            return Ok(false);
        }
        for (number, _) in ties {
            let shelf = Shelf {
                owner: house.owner,
                node: number,
            };
            let subs = subscription::of(view, shelf, jid)?;
            if subs.iter().all(|(_, sub)| sub.is_over(self.scene.now)) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// A subscription that is there and not over.
    pub(super) fn subscription(
        &self,
        node: &Node,
        jid: &Jid,
    ) -> Result<Option<Subscription>, NodeError> {
        let found = subscription::find(self.scene.view, self.shelf(node), jid)?;
        Ok(found.filter(|sub| !sub.is_over(self.scene.now)))
    }

    /// Writes a subscription, or removes it; `counts` where that makes one more or one less.
    pub(super) fn put_subscription(
        &mut self,
        name: &str,
        node: &Node,
        jid: &Jid,
        sub: Option<&Subscription>,
        counts: bool,
    ) -> Result<(), NodeError> {
        let shelf = self.shelf(node);
        let key = shelf.named(jid.as_str());
        let tie = record::tie_key(shelf.owner, jid, Tie::Subscription, node.number);
        let mut totals = shelf.totals(self.scene.view)?;
        match sub {
            Some(sub) => {
                let there = self.scene.view.get(Space::NODE_SUBSCRIPTION, &key)?;
                self.batch
                    .put(Space::NODE_SUBSCRIPTION, &key, record::write(sub));
                self.batch.put(Space::NODE_TIE, &tie, name.as_bytes());
                // One whose lease is over was not counted out.
                totals.subscriptions += u64::from(counts && there.is_none());
            }
            None => {
                self.batch.delete(Space::NODE_SUBSCRIPTION, &key);
                let all = subscription::of(self.scene.view, shelf, jid)?;
                if all.iter().all(|(other, _)| other == jid) {
                    self.batch.delete(Space::NODE_TIE, &tie);
                }
                totals.subscriptions = totals.subscriptions.saturating_sub(u64::from(counts));
            }
        }
        if counts {
            shelf.put_totals(&mut self.batch, &totals);
        }
        Ok(())
    }

    /// §6.2: an entity unsubscribes itself, or one of its resources.
    pub(super) fn unsubscribe(&mut self, act: El<'_>) -> Answer {
        let (name, node) = self.node(act)?;
        let (jid, _) = self.own_subscription(act, &node)?;
        let access = self.door(&node)?.access;
        self.put_subscription(&name, &node, &jid, None, true)?;
        self.tell_owners(&name, &node, &access, &jid, "none");
        Ok(Some(told(&name, &jid, "none")))
    }

    /// The subscription that a request of its subscriber names (§6.2.3, §6.3.4).
    fn own_subscription(&self, act: El<'_>, node: &Node) -> Result<(Jid, Subscription), NodeError> {
        let jid = jid_of(act)?;
        if jid.bare_str() != self.scene.actor.jid.bare_str() {
            return Err(Condition::Forbidden.into());
        }
        let sub = self.subscription(node, &jid)?.ok_or_else(not_subscribed)?;
        Ok((jid, sub))
    }

    /// §6.3.2: the options of a subscription.
    pub(super) fn options(&mut self, act: El<'_>) -> Answer {
        let (name, node) = self.node(act)?;
        let (jid, sub) = self.own_subscription(act, &node)?;
        let options = Element::new("options", ns::PUBSUB)
            .with_attr("node", &name)
            .with_attr("jid", jid.as_str())
            .with_child(
                sub.to_form(FormType::Form, node.config.has_words())
                    .to_element(),
            );
        Ok(Some(Element::new("pubsub", ns::PUBSUB).with_child(options)))
    }

    /// §6.3.5: new options.
    pub(super) fn set_options(&mut self, act: El<'_>) -> Answer {
        let (name, node) = self.node(act)?;
        let (jid, mut sub) = self.own_subscription(act, &node)?;
        let form = super::form::inside(act)?;
        if form.attr("type") == Some("cancel") {
            return Ok(None);
        }
        let (now, lease) = (self.scene.now, self.scene.house.limits.lease);
        sub.take(act, now, lease, node.config.has_words())?;
        sub.bounced = None;
        self.put_subscription(&name, &node, &jid, Some(&sub), false)?;
        Ok(None)
    }

    /// §6.4: the options of a subscription that has not been made.
    pub(super) fn default_options(&mut self, act: El<'_>) -> Answer {
        let mut default = Element::new("default", ns::PUBSUB);
        let mut words = false;
        if act.attr("node").is_some_and(|name| !name.is_empty()) {
            let (name, node) = self.node(act)?;
            default.set_attr("node", Some(&name));
            words = node.config.has_words();
        }
        let form = Subscription::new(State::Subscribed).to_form(FormType::Form, words);
        let default = default.with_child(form.to_element());
        Ok(Some(Element::new("pubsub", ns::PUBSUB).with_child(default)))
    }
}

/// The address that an element names.
pub(super) fn jid_of(el: El<'_>) -> Result<Jid, StanzaError> {
    let jid = el.attr("jid").ok_or_else(jid_required)?;
    Jid::parse(jid).map_err(|_| Condition::JidMalformed.into())
}

/// How a subscription stands now.
fn told(name: &str, jid: &Jid, state: &str) -> Element {
    let subscription = Element::new("subscription", ns::PUBSUB)
        .with_attr("node", name)
        .with_attr("jid", jid.as_str())
        .with_attr("subscription", state);
    Element::new("pubsub", ns::PUBSUB).with_child(subscription)
}
