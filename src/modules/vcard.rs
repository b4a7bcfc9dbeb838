//! XEP-0054: vcard-temp (1.3.0)

use std::sync::Arc;

use crate::config::Bytes;
use crate::hooks::{
    Deps, Event, Floor, Info, Module, ModuleError, Registrar, Reply, Request, To, Turn, Verb,
};
use crate::proto::error::{Condition, StanzaError};
use crate::proto::ns;
use crate::settings;
use crate::state::owned::{AccountSpace, Change, Line, Owner, Quota, WriteError};
use crate::state::stored_xml;
use crate::store::{Key, Space};
use crate::xml::Element;

settings! {
    /// What people tell of themselves, with a picture.
    pub struct Config {
        /// Largest vCard.
        pub bytes: Bytes = Bytes::kib(128) => within(Bytes::kib(1)..=Bytes::mib(16));
    }
}

/// Keeps and shows vCards.
pub struct VCard {
    profiles: AccountSpace,
    floor: Arc<dyn Floor>,
}

/// The first byte of what is stored.
const FORMAT: u8 = 1;

impl Module for VCard {
    const INFO: Info = Info {
        name: "vcard",
        specs: &[("XEP-0054", "1.3.0")],
        doc: "What people tell of themselves, in the old form.",
        on_by_default: true,
    };
    type Config = Config;

    fn build(config: Config, deps: &Deps) -> Result<Self, ModuleError> {
        let quota = Quota {
            bytes: config.bytes.0,
            entries: 1,
        };
        Ok(VCard {
            profiles: AccountSpace::built_in(&deps.store, Space::PROFILE, quota),
            floor: deps.floor.clone(),
        })
    }

    fn register(self: Arc<Self>, r: &mut Registrar<'_>) {
        const VCARD: (&str, &str) = (ns::VCARD, "vCard");
        r.feature(To::Host, ns::VCARD);
        r.feature(To::OwnAccount, ns::VCARD);
        r.feature(To::Account, ns::VCARD);
        for to in [To::OwnAccount, To::Account] {
            let this = self.clone();
            r.account_iq(to, Verb::Get, VCARD, move |_, turn| this.get(turn, to));
        }
        r.account_iq(To::OwnAccount, Verb::Set, VCARD, move |q, turn| {
            self.set(q, turn)
        });
        // §3.2: nobody changes the vCard of another.
        r.account_iq(To::Account, Verb::Set, VCARD, |_, _| {
            Reply::Error(Condition::Forbidden.into())
        });
        r.unknown(Verb::Set, VCARD, Condition::Forbidden);
    }
}

impl VCard {
    /// §3.1, §3.3. To others, who has none looks like who does not exist.
    fn get(&self, turn: &mut Turn<'_>, to: To) -> Reply {
        let none = move || match to {
            To::OwnAccount => Reply::from(Element::new("vCard", ns::VCARD)),
            _ => Reply::Error(Condition::ServiceUnavailable.into()),
        };
        let Some(owner) = Owner::of(turn.account) else {
            return none();
        };
        let mut place = match Line::enter(turn.account) {
            Ok(place) => place,
            Err(busy) => return Reply::Error(busy.into()),
        };
        let profiles = self.profiles.clone();
        Reply::Later(Box::pin(async move {
            place.reached().await;
            match profiles.find(owner.uid(), &Key::new()).await {
                Ok(Some(stored)) => match read(&stored) {
                    Some(vcard) => vcard.into(),
                    None => Reply::Error(Condition::InternalServerError.into()),
                },
                Ok(None) => none(),
                Err(_) => Reply::Error(Condition::InternalServerError.into()),
            }
        }))
    }

    /// §3.2: the whole vCard, or nothing of it.
    fn set(&self, request: &Request<'_>, turn: &mut Turn<'_>) -> Reply {
        let Some(owner) = Owner::of(turn.account) else {
            return Reply::Error(Condition::NotAllowed.into());
        };
        let mut place = match Line::enter(turn.account) {
            Ok(place) => place,
            Err(busy) => return Reply::Error(busy.into()),
        };
        let mut value = vec![FORMAT];
        value.append(&mut stored_xml::write(request.payload));
        let change = Change {
            key: Key::new(),
            value: Some(value),
        };
        let (profiles, floor) = (self.profiles.clone(), self.floor.clone());
        let account = turn.account.jid.clone();
        Reply::Later(Box::pin(async move {
            place.reached().await;
            match profiles.write(&owner, vec![change]).await {
                Ok(()) => {
                    let event = Event::VCardChanged(account.clone());
                    floor.in_turn(&account, Box::new(|turn: &mut Turn<'_>| turn.event(event)));
                    Reply::done()
                }
                Err(WriteError::Full) => Reply::Error(
                    StanzaError::from(Condition::ResourceConstraint)
                        .with_text("The vCard is too large; a smaller picture helps"),
                ),
                Err(error) => Reply::Error(error.into()),
            }
        }))
    }
}

fn read(stored: &[u8]) -> Option<Element> {
    let (format, xml) = stored.split_first()?;
    (*format == FORMAT).then(|| stored_xml::read(xml)).flatten()
}
