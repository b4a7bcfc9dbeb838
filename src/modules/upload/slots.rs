//! The service: what it is, and slots for who asks (XEP-0363 §3, §4).

use std::sync::Arc;

use super::wish::{not_allowed, read};
use super::{Shared, Uploaders};
use crate::hooks::command::Rights;
use crate::hooks::service::{ServiceOwner, ServiceTurn};
use crate::hooks::{Envelope, Origin};
use crate::proto::disco::{Identity, Info};
use crate::proto::error::{Condition, StanzaError};
use crate::proto::form::{Field, Form, FormType};
use crate::proto::stanza::{IqType, Kind, Stanza};
use crate::proto::{Jid, ns};
use crate::state::files::{FileError, Purpose};
use crate::state::owned::Line;
use crate::xml::{El, Element};

/// Serves what one account asks.
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
        let stanza = envelope.stanza.clone();
        if envelope.to.node().is_some() || envelope.to.is_full() {
            return turn.refuse(envelope, &Condition::ServiceUnavailable.into());
        }
        let payload = match stanza.kind {
            Kind::Iq(IqType::Get) => stanza.payload(),
            Kind::Iq(IqType::Set) | Kind::Message(_) => None,
            _ => return,
        };
        let Some(payload) = payload else {
            return turn.refuse(envelope, &Condition::ServiceUnavailable.into());
        };
        if payload.is("request", ns::HTTP_UPLOAD) {
            return self.slot(payload, envelope, turn);
        }
        match self.shared.about(payload) {
            Ok(answer) => turn.reply(envelope, answer),
            Err(error) => turn.refuse(envelope, &error),
        }
    }

    fn suspend(&self) -> Option<Vec<u8>> {
        None
    }

    fn idle(&self) -> bool {
        self.line.is_empty()
    }
}

impl Owner {
    fn slot(&mut self, request: El<'_>, envelope: &mut Envelope, turn: &mut ServiceTurn<'_>) {
        let own = envelope
            .from()
            .filter(|from| from.domain() == self.shared.host.domain() && from.node().is_some());
        let Some(account) = own.map(Jid::bare) else {
            return turn.refuse(envelope, &not_allowed());
        };
        let wish = match read(&self.shared, account, request) {
            Ok(wish) => wish,
            Err(error) => return turn.refuse(envelope, &error),
        };
        let mut place = match self.line.join(self.shared.config.waiting) {
            Ok(place) => place,
            Err(error) => return turn.refuse(envelope, &error.into()),
        };
        let (shared, stanza) = (self.shared.clone(), envelope.stanza.clone());
        // Its sender hears that it was handled when it was.
        let receipt = envelope.receipt.take();
        self.shared.runtime.spawn(async move {
            place.reached().await;
            let answer = match shared.give(&wish).await {
                Ok(slot) => Some(stanza.reply().with_child(slot)),
                Err(error) => stanza.error(&error),
            };
            answer.into_iter().for_each(|answer| shared.send(answer));
            drop(receipt);
        });
    }
}

impl Shared {
    fn about(&self, payload: El<'_>) -> Result<Option<Element>, StanzaError> {
        let of_node = payload.attr("node").is_some_and(|node| !node.is_empty());
        match (payload.ns(), payload.name()) {
            (ns::DISCO_INFO | ns::DISCO_ITEMS, "query") if of_node => {
                Err(Condition::ItemNotFound.into())
            }
            (ns::DISCO_INFO, "query") => Ok(Some(self.info())),
            (ns::DISCO_ITEMS, "query") => Ok(Some(Element::new("query", ns::DISCO_ITEMS))),
            (ns::PING, "ping") => Ok(None),
            _ => Err(Condition::ServiceUnavailable.into()),
        }
    }

    /// §3, example 4, and §5.
    fn info(&self) -> Element {
        let mut info = Info::default();
        let identity = Identity::new("store", "file");
        info.identities.push(identity.with_name("Files"));
        let own = [ns::DISCO_INFO, ns::DISCO_ITEMS, ns::HTTP_UPLOAD, ns::PING];
        info.features.extend(own.map(str::to_owned));
        let purposes = Purpose::ALL.into_iter();
        info.features.extend(
            purposes
                .filter(|purpose| self.offers(*purpose))
                .map(|purpose| format!("{}#{}", ns::UPLOAD_PURPOSE, purpose.as_str())),
        );
        let size = Field::text("max-file-size", &self.config.size.0.to_string());
        let form = Form::new(FormType::Result).with_form_type(ns::HTTP_UPLOAD);
        info.forms.push(form.with_field(size));
        info.to_element(None)
    }

    /// Gives a slot.
    async fn give(&self, wish: &crate::state::files::Wish) -> Result<Element, StanzaError> {
        let Some(base) = &self.base else {
            return Err(Condition::ServiceUnavailable.into());
        };
        if !self.may(&wish.account).await {
            return Err(not_allowed());
        }
        match self.desk.storage().has_room(wish.size).await {
            Ok(true) => {}
            Ok(false) => {
                let error = StanzaError::from(Condition::ResourceConstraint);
                return Err(error.with_text("The server has no more room for files"));
            }
            Err(error) => return Err(self.refusal(&wish.account, &FileError::Disk(error))),
        }
        let now = self.clock.wall();
        let slot = u64::try_from(self.config.slot.0.as_millis()).unwrap_or(u64::MAX);
        let opened = self
            .desk
            .open(wish, &self.quotas, now, now.saturating_add(slot));
        let opened = match opened.await {
            Ok(opened) => opened,
            Err(error) => return Err(self.refusal(&wish.account, &error)),
        };
        let put = base.to_upload(&opened.token, &opened.key, &wish.name);
        let get = base.of(&opened.token, &wish.name);
        let address = |name, url: &str| Element::new(name, ns::HTTP_UPLOAD).with_attr("url", url);
        Ok(Element::new("slot", ns::HTTP_UPLOAD)
            .with_child(address("put", &put))
            .with_child(address("get", &get)))
    }

    async fn may(&self, account: &Jid) -> bool {
        match self.config.who {
            Uploaders::Local => true,
            Uploaders::Admins => {
                let caller = self.admins.caller(account, &self.host).await;
                caller.is_ok_and(|caller| caller.rights != Rights::None)
            }
        }
    }

    fn send(&self, answer: Stanza) {
        if let Some(to) = answer.to.clone() {
            let envelope = Envelope::new(Arc::new(answer), to, Origin::Service);
            self.floor.route(Box::new(envelope));
        }
    }
}
