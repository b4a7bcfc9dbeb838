//! The command that sends owners the requests that wait (XEP-0060 §8.7).

use std::sync::Arc;

use super::Shared;
use super::owner::{done, refused};
use crate::proto::error::{Condition, StanzaError};
use crate::proto::form::{Field, FieldType, Form, FormType};
use crate::proto::ns;
use crate::runtime::random;
use crate::state::nodes::{Actor, House, Scene, Served, requests};
use crate::xml::Element;

/// The command.
const NODE: &str = "http://jabber.org/protocol/pubsub#get-pending";

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
