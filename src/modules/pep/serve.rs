//! Requests about the nodes of an account, and disco of them.

use std::sync::Arc;

use super::Pep;
use crate::hooks::{Account, Inlined, Reply, Request, Turn, Verb};
use crate::proto::error::{Condition, StanzaError};
use crate::proto::ns;
use crate::state::nodes::{Actor, House, Scene, Served, disco};
use crate::state::owned::{Line, Place, WriteError};
use crate::xml::{El, Element};

/// Requests of an account about its own nodes that may wait, and those of all others.
const OWN: u32 = 200;
const OTHERS: u32 = 50;

/// The line in which changes of an account's nodes wait; a part of the account. One for its own requests: what it asks
/// sees what it did before.
#[derive(Default)]
pub(super) struct Queue(Line);

impl Queue {
    fn enter(account: &mut Account, most: u32) -> Result<Place, WriteError> {
        let queue = account.parts.of::<Queue>().ok_or(WriteError::Busy)?;
        queue.0.join(most)
    }

    /// For something that another one caused.
    pub(super) fn enter_as_other(account: &mut Account) -> Result<Place, WriteError> {
        Queue::enter(account, OTHERS)
    }
}

impl Pep {
    pub(super) fn serve(
        self: &Arc<Self>,
        verb: Verb,
        request: &Request<'_>,
        turn: &mut Turn<'_>,
    ) -> Reply {
        let own = request.from.bare_str() == turn.account.jid.as_str();
        let Some(house) = self.house(turn.account, request.from) else {
            return Reply::Error(Condition::ServiceUnavailable.into());
        };
        // Who only looks at what another has published stands in nobody's way.
        let most = if own { OWN } else { OTHERS };
        let place = match own || verb == Verb::Set {
            true => Queue::enter(turn.account, most).map(Some),
            false => Ok(None),
        };
        let mut place = match place {
            Ok(place) => place,
            Err(busy) => return Reply::Error(busy.into()),
        };
        let (this, actor) = (self.clone(), actor(request, own));
        let pubsub = request.payload.to_element();
        // What is done is told, whether or not somebody still waits for the answer.
        let done = tokio::spawn(async move {
            if let Some(place) = &mut place {
                place.reached().await;
            }
            let changes = (verb == Verb::Set).then(|| changed(&pubsub)).flatten();
            let Served { answer, notices } = this.desk.serve(&house, &actor, verb, pubsub).await;
            this.tell(&house, &actor, notices);
            if let Some(node) = changes.filter(|_| answer.is_ok()) {
                this.announce(&house, node);
            }
            answer
        });
        Reply::Later(Box::pin(async move {
            match done.await {
                Ok(Ok(answer)) => Reply::Result(answer),
                Ok(Err(refusal)) => Reply::Error(refusal.error),
                Err(_) => Reply::Error(Condition::InternalServerError.into()),
            }
        }))
    }

    /// XEP-0060 §5.3 at an account. A stranger who may not see the node learns no more than one who asks for an account
    /// that is not there.
    pub(super) fn node_info(
        &self,
        request: &Request<'_>,
        turn: &Turn<'_>,
        node: &str,
    ) -> Option<Reply> {
        let (desk, node) = (self.desk.clone(), node.to_owned());
        let (house, actor, own) = self.scene(request, turn)?;
        Some(Reply::Later(Box::pin(async move {
            let act = move |scene: Scene<'_>| disco::info(scene, &node);
            shown(desk.act(&house, &actor, act).await, own)
        })))
    }

    /// §5.5.
    pub(super) fn node_items(&self, request: &Request<'_>, turn: &Turn<'_>) -> Option<Reply> {
        let (desk, query) = (self.desk.clone(), Arc::new(request.payload.to_element()));
        let (house, actor, own) = self.scene(request, turn)?;
        Some(Reply::Later(Box::pin(async move {
            let act = move |scene: Scene<'_>| disco::items(scene, query.root());
            shown(desk.act(&house, &actor, act).await, own)
        })))
    }

    /// §5.2: the nodes that who asks may see.
    pub(super) fn nodes(&self, request: &Request<'_>, turn: &Turn<'_>) -> Option<Inlined> {
        let desk = self.desk.clone();
        let (house, actor, _) = self.scene(request, turn)?;
        // What is wanted of them (XEP-0499).
        let form = request.payload.child("x", ns::DATA_FORM);
        let form = form.map(El::to_element);
        Some(Box::pin(async move {
            let query = Element::new("query", ns::DISCO_ITEMS);
            let query = Arc::new(query.with_children(form));
            let act = move |scene: Scene<'_>| disco::items(scene, query.root());
            let served = desk.act(&house, &actor, act).await;
            let Ok(Some(answer)) = served.answer else {
                return Vec::new();
            };
            let items = answer.root().children();
            let items = items.filter(|item| item.is("item", ns::DISCO_ITEMS));
            items.map(|item| item.to_element()).collect()
        }))
    }

    fn scene(
        &self,
        request: &Request<'_>,
        turn: &Turn<'_>,
    ) -> Option<(Arc<House>, Arc<Actor>, bool)> {
        let own = request.from.bare_str() == turn.account.jid.as_str();
        let house = self.house(turn.account, request.from)?;
        Some((house, actor(request, own), own))
    }
}

/// The node whose items a request changes.
fn changed(pubsub: &Element) -> Option<Box<str>> {
    let act = pubsub.children().next()?;
    let items = matches!(act.name(), "publish" | "retract" | "purge" | "delete");
    act.attr("node").filter(|_| items).map(Into::into)
}

fn actor(request: &Request<'_>, own: bool) -> Arc<Actor> {
    Arc::new(Actor {
        jid: request.from.clone(),
        may_create: own,
        guest: false,
    })
}

fn shown(served: Served, own: bool) -> Reply {
    match served.answer {
        Ok(answer) => Reply::Result(answer),
        Err(refusal) if own => Reply::Error(refusal.error),
        Err(_) => Reply::Error(StanzaError::from(Condition::ServiceUnavailable)),
    }
}
