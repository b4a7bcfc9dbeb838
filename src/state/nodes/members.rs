//! Owners manage who is subscribed to and affiliated with a node (XEP-0060 §8.8, §8.9).

use super::access::{Affiliation, named_affiliation};
use super::error::{NodeError, Refusal};
use super::record::Node;
use super::subscribe::jid_of;
use super::subscription::{self, State, Subscription};
use super::{Answer, Kind, Work};
use crate::proto::error::{Condition, StanzaError};
use crate::proto::jid::Jid;
use crate::proto::ns;
use crate::xml::{El, Element};

/// Entries that one request changes.
const AT_ONCE: usize = 100;

impl Work<'_> {
    /// §8.8.1: who is subscribed.
    pub(super) fn subscriptions(&mut self, act: El<'_>) -> Answer {
        let (name, node) = self.owned(act)?;
        let all = subscription::all(self.scene.view, self.shelf(&node))?;
        let now = self.scene.now;
        let shown = all
            .iter()
            .filter(|(_, sub)| sub.state == State::Subscribed && !sub.is_over(now));
        let list = Element::new("subscriptions", ns::PUBSUB_OWNER)
            .with_attr("node", &name)
            .with_children(shown.map(|(jid, sub)| subscribed(jid, sub.state.as_str())));
        Ok(Some(
            Element::new("pubsub", ns::PUBSUB_OWNER).with_child(list),
        ))
    }

    /// §8.8.2: owners subscribe others, approve them, or end it.
    pub(super) fn set_subscriptions(&mut self, act: El<'_>) -> Answer {
        let (name, node) = self.owned(act)?;
        let mut changes: Vec<(Jid, Option<State>)> = Vec::new();
        let mut wrong = Vec::new();
        for entry in act.children().filter(|el| el.name() == "subscription") {
            let jid = jid_of(entry)?;
            let known = self.subscription(&node, &jid)?;
            let wanted = match entry.attr("subscription") {
                None => continue,
                Some("subscribed") => Some(State::Subscribed),
                Some("none") => None,
                Some(_) => {
                    let state = known.map_or("none", |sub| sub.state.as_str());
                    wrong.push(subscribed(&jid, state));
                    continue;
                }
            };
            if changes.len() >= AT_ONCE || changes.iter().any(|(other, _)| *other == jid) {
                return Err(Condition::BadRequest.into());
            }
            changes.push((jid, wanted));
        }
        if !wrong.is_empty() {
            return Err(unaltered("subscriptions", &name, wrong));
        }
        self.change_subscriptions(&name, &node, changes)?;
        Ok(None)
    }

    fn change_subscriptions(
        &mut self,
        name: &str,
        node: &Node,
        changes: Vec<(Jid, Option<State>)>,
    ) -> Result<(), NodeError> {
        let shelf = self.shelf(node);
        let before = shelf.totals(self.scene.view)?;
        let mut count = before.subscriptions;
        for (jid, wanted) in changes {
            let known = subscription::find(self.scene.view, shelf, &jid)?;
            match (known, wanted) {
                (Some(sub), Some(state)) if sub.state == state => continue,
                (Some(sub), Some(state)) => {
                    let sub = Subscription { state, ..sub };
                    self.put_subscription(name, node, &jid, Some(&sub), false)?;
                    self.send_last(name, node, &jid, &sub)?;
                }
                (None, Some(state)) => {
                    let sub = Subscription::new(state);
                    self.put_subscription(name, node, &jid, Some(&sub), false)?;
                    self.send_last(name, node, &jid, &sub)?;
                    count += 1;
                }
                (Some(_), None) => {
                    self.put_subscription(name, node, &jid, None, false)?;
                    count = count.saturating_sub(1);
                }
                (None, None) => continue,
            }
            let state = wanted.map_or("none", |state| state.as_str());
            self.tell_subscriber(name, node, &jid, state);
        }
        if count > self.scene.house.limits.subscriptions && count > before.subscriptions {
            return Err(Condition::ResourceConstraint.into());
        }
        if count != before.subscriptions {
            let mut totals = before;
            totals.subscriptions = count;
            shelf.put_totals(&mut self.batch, &totals);
        }
        Ok(())
    }

    /// §8.9.1: who is affiliated.
    pub(super) fn affiliations(&mut self, act: El<'_>) -> Answer {
        let (name, node) = self.owned(act)?;
        let access = self.door(&node)?.access;
        let all = access.affiliations.iter();
        let list = Element::new("affiliations", ns::PUBSUB_OWNER)
            .with_attr("node", &name)
            .with_children(all.map(|(jid, affiliation)| affiliated(jid, *affiliation)));
        Ok(Some(
            Element::new("pubsub", ns::PUBSUB_OWNER).with_child(list),
        ))
    }

    /// §8.9.2: owners change affiliations. There is always an owner, and of an account it is the account.
    pub(super) fn set_affiliations(&mut self, act: El<'_>) -> Answer {
        let (name, node) = self.owned(act)?;
        if node.beside.is_some() {
            // They are those of the node beside which it stands.
            return Err(Condition::NotAllowed.into());
        }
        let access = self.door(&node)?.access;
        let changes = changes(act)?;
        let mut after = access.clone();
        for (jid, affiliation) in &changes {
            after.affiliations.retain(|(other, _)| other != jid);
            after.affiliations.push((jid.clone(), *affiliation));
        }
        let house = self.scene.house;
        let personal = |jid: &Jid| house.kind == Kind::Personal && *jid == house.address;
        let lost = |jid: &Jid| after.owners().next().is_none() || personal(jid);
        let wrong: Vec<_> = changes
            .iter()
            .filter(|(jid, wanted)| {
                let is = access.affiliation(jid);
                is == Affiliation::Owner && *wanted != Affiliation::Owner && lost(jid)
            })
            .map(|(jid, _)| affiliated(jid, access.affiliation(jid)))
            .collect();
        if !wrong.is_empty() {
            return Err(unaltered("affiliations", &name, wrong));
        }
        let nobody = |(_, affiliation): &&(Jid, Affiliation)| *affiliation != Affiliation::Nobody;
        if after.affiliations.iter().filter(nobody).count() > house.limits.affiliations {
            return Err(StanzaError::from(Condition::ResourceConstraint)
                .with_text("The node has as many affiliations as it may have")
                .into());
        }
        let changes: Vec<_> = changes
            .into_iter()
            .filter(|(jid, wanted)| access.affiliation(jid) != *wanted && !personal(jid))
            .collect();
        for (jid, affiliation) in &changes {
            self.affiliate(&name, &node, jid, *affiliation);
        }
        self.follow_affiliations(&name, &node, &changes)?;
        Ok(None)
    }

    /// §8.7.4: who may see the node now has his request granted, who may not loses his subscriptions.
    fn follow_affiliations(
        &mut self,
        name: &str,
        node: &Node,
        affiliations: &[(Jid, Affiliation)],
    ) -> Result<(), NodeError> {
        let mut changes = Vec::new();
        for (jid, affiliation) in affiliations {
            let wanted = match affiliation {
                Affiliation::Owner | Affiliation::Publisher | Affiliation::Member => {
                    Some(State::Subscribed)
                }
                Affiliation::Outcast | Affiliation::PublishOnly => None,
                Affiliation::Nobody => continue,
            };
            let subs = subscription::of(self.scene.view, self.shelf(node), jid)?;
            changes.extend(subs.into_iter().map(|(jid, _)| (jid, wanted)));
        }
        self.change_subscriptions(name, node, changes)
    }
}

/// The affiliations that a request asks for, each entity once (§8.9.2.4).
fn changes(act: El<'_>) -> Result<Vec<(Jid, Affiliation)>, NodeError> {
    let mut changes: Vec<(Jid, Affiliation)> = Vec::new();
    for entry in act.children().filter(|el| el.name() == "affiliation") {
        let jid = jid_of(entry)?.bare();
        let Some(word) = entry.attr("affiliation") else {
            continue;
        };
        let wanted = named_affiliation(word).ok_or(Condition::BadRequest)?;
        if changes.len() >= AT_ONCE || changes.iter().any(|(other, _)| *other == jid) {
            return Err(Condition::BadRequest.into());
        }
        changes.push((jid, wanted));
    }
    Ok(changes)
}

fn subscribed(jid: &Jid, state: &str) -> Element {
    Element::new("subscription", ns::PUBSUB_OWNER)
        .with_attr("jid", jid.as_str())
        .with_attr("subscription", state)
}

fn affiliated(jid: &Jid, affiliation: Affiliation) -> Element {
    Element::new("affiliation", ns::PUBSUB_OWNER)
        .with_attr("jid", jid.as_str())
        .with_attr("affiliation", affiliation.as_str())
}

/// A request that is refused as a whole, with what it would have changed and could not, as it is.
fn unaltered(list: &str, name: &str, entries: Vec<Element>) -> NodeError {
    let list = Element::new(list, ns::PUBSUB_OWNER)
        .with_attr("node", name)
        .with_children(entries);
    let about = Element::new("pubsub", ns::PUBSUB_OWNER).with_child(list);
    Refusal {
        error: Condition::NotAcceptable.into(),
        about: Some(about),
    }
    .into()
}
