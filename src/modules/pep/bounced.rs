//! Events that come back to the account that they are of (XEP-0163 §4.3.1, XEP-0060 §12.4).

use std::sync::Arc;

use super::Pep;
use super::serve::Queue;
use crate::hooks::{Envelope, Turn};
use crate::proto::error::StanzaError;
use crate::proto::ns;
use crate::proto::stanza::{Kind, MessageType};
use crate::state::nodes::{Actor, Scene, bounces};

impl Pep {
    /// An error for the account itself counts against the subscriptions of who sent it. Of resources that
    /// hear of nodes because they are a contact's, presence tells when they are gone.
    pub(super) fn came_back(self: &Arc<Self>, envelope: &Envelope, turn: &mut Turn<'_>) {
        let stanza = &envelope.stanza;
        if stanza.kind != Kind::Message(MessageType::Error) || !envelope.to.is_bare() {
            return;
        }
        let (Some(from), Some(error)) = (envelope.from(), stanza.child("error", ns::CLIENT)) else {
            return;
        };
        if from.bare_str() == turn.account.jid.as_str() {
            return;
        }
        let Some(house) = self.house(turn.account, from) else {
            return;
        };
        // So many errors at once say no more than one.
        let Ok(mut place) = Queue::enter_as_other(turn.account) else {
            return;
        };
        let own =
            turn.floor.is_local(from.domain()) && self.deps.accounts.has_accounts(from.domain());
        let (this, error) = (self.clone(), StanzaError::parse(error));
        let actor = Arc::new(Actor {
            jid: from.clone(),
            may_create: false,
            guest: false,
        });
        tokio::spawn(async move {
            place.reached().await;
            let bounced = move |scene: Scene<'_>| bounces::bounced(scene, &error, own);
            let served = this.desk.act(&house, &actor, bounced).await;
            this.tell(&house, &actor, served.notices);
        });
    }
}
