//! The command that sends owners the requests that wait (XEP-0060 §8.7).

use std::sync::Arc;

use super::Shared;
use super::owner::{done, refused};
use crate::proto::disco::{Identity, Info};
use crate::proto::error::{Condition, StanzaError};
use crate::proto::form::{Field, FieldType, Form, FormType};
use crate::proto::jid::Jid;
use crate::proto::ns;
use crate::runtime::random;
use crate::state::nodes::{Actor, House, Scene, Served, requests};
use crate::xml::Element;

/// The command.
const NODE: &str = "http://jabber.org/protocol/pubsub#get-pending";
const NAME: &str = "Subscription requests that wait";

/// The commands there are (XEP-0050 §2.3), for who asks with this `<query/>`.
pub(super) fn list(query: &Element, service: &Jid) -> Option<Element> {
    (query.attr("node") == Some(ns::COMMANDS)).then(|| {
        let item = Element::new("item", ns::DISCO_ITEMS)
            .with_attr("jid", service.as_str())
            .with_attr("node", NODE)
            .with_attr("name", NAME);
        Element::new("query", ns::DISCO_ITEMS)
            .with_attr("node", ns::COMMANDS)
            .with_child(item)
    })
}

/// What a command is (XEP-0050 §2.2), if this is one.
pub(super) fn info(node: &str) -> Option<Element> {
    (node == NODE).then(|| {
        let mut info = Info::default();
        info.identities
            .push(Identity::new("automation", "command-node").with_name(NAME));
        info.features = vec![ns::COMMANDS.to_owned(), ns::DATA_FORM.to_owned()];
        info.to_element(Some(NODE))
    })
}

impl Shared {
    /// A form of the nodes where requests wait; filled in, they are sent again.
    pub(super) async fn command(
        &self,
        house: &Arc<House>,
        actor: &Arc<Actor>,
        command: &Element,
    ) -> Served {
        if command.attr("node") != Some(NODE) {
            return refused(Condition::ItemNotFound.into());
        }
        if command.attr("action") == Some("cancel") {
            return done(status(command, "canceled"));
        }
        let form = Form::of(command.root());
        match form {
            None => {
                let mut served = self.desk.act(house, actor, requests::waiting).await;
                if let Ok(Some(list)) = &served.answer {
                    served.answer = Ok(Some(choice(command, list)));
                }
                served
            }
            Some(Ok(form)) => {
                let node = form.value("pubsub#node").unwrap_or_default().to_owned();
                let resend = move |scene: Scene<'_>| requests::resend(scene, &node);
                let served = self.desk.act(house, actor, resend).await;
                Served {
                    answer: served.answer.map(|_| Some(status(command, "completed"))),
                    ..served
                }
            }
            Some(Err(error)) => refused(StanzaError::from(&error)),
        }
    }
}

/// What a command has come to.
fn status(command: &Element, status: &str) -> Element {
    let session = command
        .attr("sessionid")
        .map_or_else(random::id, str::to_owned);
    Element::new("command", ns::COMMANDS)
        .with_attr("node", NODE)
        .with_attr("sessionid", &session)
        .with_attr("status", status)
}

/// The nodes to choose from.
fn choice(command: &Element, list: &Element) -> Element {
    let nodes = list.children().filter_map(|item| item.attr("node"));
    let field = nodes.fold(
        Field::new(FieldType::ListSingle, "pubsub#node"),
        Field::with_option,
    );
    let form = Form::new(FormType::Form)
        .with_form_type(requests::AUTHORIZATION)
        .with_field(field);
    let actions = Element::new("actions", ns::COMMANDS)
        .with_attr("execute", "complete")
        .with_child(Element::new("complete", ns::COMMANDS));
    status(command, "executing")
        .with_child(actions)
        .with_child(form.to_element())
}
