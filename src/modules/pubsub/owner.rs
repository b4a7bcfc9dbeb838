//! One node's requests, one after the other.

use std::sync::Arc;

use super::questions::{Question, question};
use super::{Shared, pending};
use crate::hooks::service::{ServiceOwner, ServiceTurn};
use crate::hooks::{Envelope, Verb};
use crate::proto::disco::{Identity, Info};
use crate::proto::error::{Condition, StanzaError};
use crate::proto::jid::Jid;
use crate::proto::ns;
use crate::proto::stanza::{Kind, Stanza};
use crate::state::nodes::{
    Actor, House, Refusal, Scene, Served, archive, bounces, disco, requests,
};
use crate::state::owned::{Line, WriteError};
use crate::xml::Element;

/// Serves one node; what it knows is in the store.
pub(super) struct Owner {
    shared: Arc<Shared>,
    line: Line,
}

impl Owner {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Owner {
            shared,
            line: Line::default(),
        }
    }
}

impl ServiceOwner for Owner {
    fn handle(&mut self, envelope: &mut Envelope, turn: &mut ServiceTurn<'_>) {
        let Some(from) = envelope.from().cloned() else {
            return;
        };
        if envelope.to.node().is_some() || envelope.to.is_full() {
            return turn.refuse(envelope, &Condition::ServiceUnavailable.into());
        }
        let Some(question) = question(&envelope.stanza) else {
            if matches!(envelope.stanza.kind, Kind::Message(_)) {
                turn.refuse(envelope, &Condition::ServiceUnavailable.into());
            }
            return;
        };
        let mut place = match self.line.join(self.shared.waiting) {
            Ok(place) => place,
            Err(error) => return turn.refuse(envelope, &error.into()),
        };
        let (shared, stanza) = (self.shared.clone(), envelope.stanza.clone());
        // Its sender hears that it was handled when it was.
        let receipt = envelope.receipt.take();
        self.shared.runtime.spawn(async move {
            place.reached().await;
            match question {
                // It has seen what was done before; who reads slowly is in nobody's way.
                Question::Archive(Verb::Set, query) => {
                    drop(place);
                    shared.read(&stanza, &from, query).await;
                }
                question => shared.serve(&stanza, &from, question).await,
            }
            drop(receipt);
        });
    }

    fn suspend(&self) -> Option<Vec<u8>> {
        None
    }

    fn idle(&self) -> bool {
        self.line.is_empty()
    }
}

impl Shared {
    async fn serve(&self, stanza: &Stanza, from: &Jid, question: Question) {
        let served = match self.house().await {
            Ok(house) => {
                let actor = self.actor(from).await;
                self.served(&house, &actor, question).await
            }
            Err(error) => refused(WriteError::Commit(error).into()),
        };
        match stanza.kind {
            Kind::Iq(_) => self.answer(stanza, served.answer),
            _ => {
                if let Err(refusal) = served.answer {
                    self.answer(stanza, Err(refusal));
                }
            }
        }
        self.tell(served.notices).await;
    }

    async fn served(&self, house: &Arc<House>, actor: &Arc<Actor>, question: Question) -> Served {
        match question {
            Question::PubSub(verb, pubsub) => self.desk.serve(house, actor, verb, pubsub).await,
            Question::Info(None) => done(self.info()),
            Question::Info(Some(node)) => {
                if let Some(command) = pending::info(&node) {
                    return done(command);
                }
                let info = move |scene: Scene<'_>| disco::info(scene, &node);
                self.desk.act(house, actor, info).await
            }
            Question::Items(query) => {
                if let Some(commands) = pending::list(&query, &self.domain) {
                    return done(commands);
                }
                let query = Arc::new(query);
                let items = move |scene: Scene<'_>| disco::items(scene, query.root());
                self.desk.act(house, actor, items).await
            }
            Question::Decision(form) => {
                let form = Arc::new(form);
                let decide = move |scene: Scene<'_>| requests::decide(scene, &form);
                self.desk.act(house, actor, decide).await
            }
            Question::Archive(_, asked) => {
                let asked = Arc::new(asked);
                let about = move |scene: Scene<'_>| archive::about(scene, asked.root());
                self.desk.act(house, actor, about).await
            }
            Question::Bounced(error) => {
                let domain = actor.jid.domain();
                let own = self.floor.is_local(domain) && self.accounts.has_accounts(domain);
                let bounced = move |scene: Scene<'_>| bounces::bounced(scene, &error, own);
                self.desk.act(house, actor, bounced).await
            }
            Question::Command(command) => self.command(house, actor, &command).await,
            Question::Ping => Served {
                answer: Ok(None),
                notices: Vec::new(),
            },
            Question::Other => refused(Condition::ServiceUnavailable.into()),
        }
    }

    /// §5.1: what the service is.
    fn info(&self) -> Element {
        let mut info = Info::default();
        info.identities.push(Identity::new("pubsub", "service"));
        info.features.extend(
            [
                ns::DISCO_INFO,
                ns::DISCO_ITEMS,
                ns::COMMANDS,
                ns::MAM,
                ns::MAM_EXTENDED,
                ns::PING,
                ns::PUBSUB,
                ns::PUBSUB_FILTER,
                ns::RSM,
            ]
            .map(str::to_owned),
        );
        let features = disco::FEATURES.iter().copied();
        let here = ["access-open", "get-pending"].into_iter();
        let created = self.auto_create.then_some("auto-create");
        let all = features.chain(here).chain(created);
        info.features
            .extend(all.map(|name| format!("{}#{name}", ns::PUBSUB)));
        info.features
            .extend(disco::OTHERS.iter().map(|var| (*var).to_owned()));
        info.to_element(None)
    }
}

/// An answer that changes nothing.
pub(super) fn done(answer: Element) -> Served {
    Served {
        answer: Ok(Some(answer)),
        notices: Vec::new(),
    }
}

/// A refusal.
pub(super) fn refused(error: StanzaError) -> Served {
    Served {
        answer: Err(Box::new(Refusal { error, about: None })),
        notices: Vec::new(),
    }
}
