//! XEP-0049: Private XML Storage (1.2)

use std::sync::Arc;

use crate::config::Bytes;
use crate::hooks::{Deps, Info, Module, ModuleError, Registrar, Reply, Request, To, Turn, Verb};
use crate::proto::error::{Condition, StanzaError};
use crate::proto::ns;
use crate::settings;
use crate::state::owned::{AccountSpace, Change, Line, Owner, Quota};
use crate::state::stored_xml;
use crate::store::{Key, Space};
use crate::xml::{El, Element};

settings! {
    /// What clients keep for their account, such as bookmarks of old clients.
    pub struct Config {
        /// All of it.
        pub bytes: Bytes = Bytes::kib(256) => within(Bytes::kib(1)..=Bytes::mib(64));
        /// Different elements.
        pub elements: u32 = 50 => within(1..=10_000);
    }
}

/// Keeps elements by their name and namespace.
pub struct Private {
    space: AccountSpace,
}

impl Module for Private {
    const INFO: Info = Info {
        name: "private",
        specs: &[("XEP-0049", "1.2")],
        doc: "Clients keep XML of their own with the account.",
        on_by_default: true,
    };
    type Config = Config;

    fn build(config: Config, deps: &Deps) -> Result<Self, ModuleError> {
        let quota = Quota {
            bytes: config.bytes.0,
            entries: u64::from(config.elements),
        };
        Ok(Private {
            space: AccountSpace::built_in(&deps.store, Space::PRIVATE_XML, quota),
        })
    }

    fn register(self: Arc<Self>, r: &mut Registrar<'_>) {
        const QUERY: (&str, &str) = (ns::PRIVATE, "query");
        r.feature(To::Host, ns::PRIVATE);
        r.feature(To::OwnAccount, ns::PRIVATE);
        let this = self.clone();
        r.account_iq(To::OwnAccount, Verb::Get, QUERY, move |q, turn| {
            this.get(q, turn).unwrap_or_else(Reply::Error)
        });
        r.account_iq(To::OwnAccount, Verb::Set, QUERY, move |q, turn| {
            self.set(q, turn).unwrap_or_else(Reply::Error)
        });
        // §2.3: it is its owner's alone.
        for verb in [Verb::Get, Verb::Set] {
            r.account_iq(To::Account, verb, QUERY, |_, _| {
                Reply::Error(Condition::Forbidden.into())
            });
            r.unknown(verb, QUERY, Condition::Forbidden);
        }
    }
}

impl Private {
    fn get(&self, request: &Request<'_>, turn: &mut Turn<'_>) -> Result<Reply, StanzaError> {
        let mut asked = request.payload.children();
        let asked = match (asked.next(), asked.next()) {
            (Some(asked), None) => asked,
            (None, _) => return Err(Condition::BadRequest.into()),
            (Some(_), Some(_)) => return Err(Condition::NotAcceptable.into()),
        };
        let key = key(asked)?;
        let nothing = Element::new(asked.name(), asked.ns());
        let owner = Owner::of(turn.account).ok_or(Condition::NotAllowed)?;
        let mut place = Line::enter(turn.account)?;
        let space = self.space.clone();
        Ok(Reply::Later(Box::pin(async move {
            place.reached().await;
            let kept = match space.find(owner.uid(), &key).await {
                Ok(Some(stored)) => stored_xml::read(&stored),
                Ok(None) => Some(nothing),
                Err(_) => None,
            };
            match kept {
                Some(kept) => Element::new("query", ns::PRIVATE).with_child(kept).into(),
                None => Reply::Error(Condition::InternalServerError.into()),
            }
        })))
    }

    /// An element replaces the one of its name and namespace; an empty one makes room.
    fn set(&self, request: &Request<'_>, turn: &mut Turn<'_>) -> Result<Reply, StanzaError> {
        let owner = Owner::of(turn.account).ok_or(Condition::NotAllowed)?;
        let mut changes: Vec<Change> = Vec::new();
        for element in request.payload.children() {
            let key = key(element)?;
            if changes.iter().any(|change| change.key == key) {
                return Err(Condition::NotAcceptable.into());
            }
            let value = (!is_empty(element)).then(|| stored_xml::write(element));
            changes.push(Change { key, value });
        }
        if changes.is_empty() {
            return Err(Condition::NotAcceptable.into());
        }
        let mut place = Line::enter(turn.account)?;
        let space = self.space.clone();
        Ok(Reply::Later(Box::pin(async move {
            place.reached().await;
            match space.write(&owner, changes).await {
                Ok(()) => Reply::done(),
                Err(error) => Reply::Error(error.into()),
            }
        })))
    }
}

/// §2.3: an element has a namespace of its own.
fn key(element: El<'_>) -> Result<Key, StanzaError> {
    if matches!(element.ns(), "" | ns::PRIVATE | ns::CLIENT) {
        return Err(Condition::NotAcceptable.into());
    }
    Ok(stored_xml::private_key(element.ns(), element.name()))
}

fn is_empty(element: El<'_>) -> bool {
    element.contents().next().is_none() && element.attrs().next().is_none()
}
