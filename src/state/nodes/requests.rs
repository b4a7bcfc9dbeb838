//! Requests for subscriptions that an owner approves (XEP-0060 §8.6).

use super::access::Access;
use super::error::{NodeError, invalid_options};
use super::record::Tie;
use super::subscription::{self, State, Subscription};
use super::{Answer, Audience, Notice, Outcome, Scene, Work, finish, present, record};
use crate::proto::error::Condition;
use crate::proto::form::{Field, FieldType, Form, FormType};
use crate::proto::jid::Jid;
use crate::proto::ns;
use crate::proto::stanza::{MessageType, Stanza};
use crate::store::StoreError;
use crate::xml::Element;

/// FORM_TYPE of a request, and of what the owner says to it.
pub const AUTHORIZATION: &str = "http://jabber.org/protocol/pubsub#subscribe_authorization";

/// The message that asks the owners.
pub(super) fn ask(scene: &Scene<'_>, name: &str, jid: &Jid, access: &Access) -> Notice {
    let form = Form::new(FormType::Form)
        .with_form_type(AUTHORIZATION)
        .with_title("Subscription request")
        .with_instructions("May this address subscribe to the node?")
        .with_field(Field::text("pubsub#node", name).with_label("Node"))
        .with_field(
            Field::new(FieldType::JidSingle, "pubsub#subscriber_jid")
                .with_value(jid.as_str())
                .with_label("Address"),
        )
        .with_field(Field::boolean("pubsub#allow", false).with_label("Allow it"));
    Notice {
        message: Stanza::message(MessageType::Normal)
            .with_from(scene.house.address.clone())
            .with_child(form.to_element()),
        to: Audience::These(access.owners().cloned().collect()),
        words: None,
    }
}

/// The node that a form of [`AUTHORIZATION`] is about.
pub fn node_of(form: &Form) -> Option<&str> {
    (form.form_type() == Some(AUTHORIZATION))
        .then(|| form.value("pubsub#node"))
        .flatten()
}

/// An owner says whether a subscription is approved.
///
/// # Errors
/// The store's.
pub fn decide(scene: Scene<'_>, form: &Form) -> Result<Outcome, StoreError> {
    finish(scene, |work| work.decide(form))
}

impl Work<'_> {
    fn decide(&mut self, form: &Form) -> Answer {
        if form.kind == FormType::Cancel {
            return Ok(None);
        }
        let name = node_of(form).ok_or(Condition::BadRequest)?;
        let jid = form.value("pubsub#subscriber_jid").unwrap_or_default();
        let jid = Jid::parse(jid).map_err(|_| Condition::JidMalformed)?;
        let allow = form.boolean("pubsub#allow");
        let allow = allow.ok_or_else(|| invalid_options("pubsub#allow is a boolean"))?;
        let found = record::node(self.scene.view, self.scene.house.owner, name)?;
        let node = present(found)?;
        self.door(&node)?.owner()?;
        let sub = self.subscription(&node, &jid)?;
        let sub = sub.filter(|sub| sub.state == State::Pending);
        // Another owner was faster, or it was taken back.
        let Some(sub) = sub else { return Ok(None) };
        match allow {
            true => {
                let sub = Subscription {
                    state: State::Subscribed,
                    ..sub
                };
                self.put_subscription(name, &node, &jid, Some(&sub), false)?;
                self.tell_subscriber(name, &node, &jid, "subscribed");
                let access = self.door(&node)?.access;
                self.tell_owners(name, &node, &access, &jid, "subscribed");
                self.send_last(name, &node, &jid, &sub)?;
            }
            false => {
                self.put_subscription(name, &node, &jid, None, true)?;
                self.tell_subscriber(name, &node, &jid, "none");
            }
        }
        Ok(None)
    }

    /// §8.7.4: the requests that wait at a node are sent to the owner who asks for them.
    fn pending(&mut self, name: &str) -> Result<(), NodeError> {
        let found = record::node(self.scene.view, self.scene.house.owner, name)?;
        let node = present(found)?;
        self.door(&node)?.owner()?;
        let mut access = self.door(&node)?.access;
        let me = self.scene.actor.jid.bare_str();
        access.affiliations.retain(|(jid, _)| jid.as_str() == me);
        for (jid, sub) in subscription::all(self.scene.view, self.shelf(&node))? {
            if sub.state == State::Pending && !sub.is_over(self.scene.now) {
                self.notices.push(ask(&self.scene, name, &jid, &access));
            }
        }
        Ok(())
    }
}

/// §8.7.2: the nodes of who asks at which requests wait.
///
/// # Errors
/// The store's.
pub fn waiting(scene: Scene<'_>) -> Result<Outcome, StoreError> {
    finish(scene, |work| {
        let mut list = Element::new("subscriptions", ns::PUBSUB_OWNER);
        for (name, node) in work.tied_nodes(Tie::Affiliation)? {
            if work.door(&node)?.owner().is_err() {
                continue;
            }
            let subs = subscription::all(work.scene.view, work.shelf(&node))?;
            if subs.iter().any(|(_, sub)| sub.state == State::Pending) {
                let item = Element::new("subscription", ns::PUBSUB_OWNER);
                list = list.with_child(item.with_attr("node", &name));
            }
        }
        Ok(Some(list))
    })
}

/// §8.7.4: sends an owner the requests that wait at a node.
///
/// # Errors
/// The store's.
pub fn resend(scene: Scene<'_>, name: &str) -> Result<Outcome, StoreError> {
    finish(scene, |work| work.pending(name).map(|()| None))
}
