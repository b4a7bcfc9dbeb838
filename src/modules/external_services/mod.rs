//! XEP-0215: External Service Discovery (1.0.0), and calls that hide where somebody is

mod choice;
mod hiding;
mod offers;

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::runtime::Handle;

use crate::config::Period;
use crate::hooks::command::Command;
use crate::hooks::{
    Deps, Envelope, Event, Info, Module, ModuleError, Registrar, Reply, Request, SessionEvent, To,
    Turn, Verb,
};
use crate::proto::error::{Condition, StanzaError};
use crate::proto::jid::Jid;
use crate::proto::ns;
use crate::proto::stanza::{IqType, Stanza};
use crate::runtime::random;
use crate::settings;
use crate::state::calls::{self, Calling};
use crate::xml::Element;

use offers::{Offer, Passes, Wanted, offer, own_offers, services_of};

settings! {
    /// Tells the accounts of this server where voice and video find a way through their networks (STUN and TURN): at this
    /// server's own [relay] and at others that are named here. Credentials hold for a time; docs/calls.md says more.
    pub struct Config {
        /// Whether this server's own relay is told of.
        pub own: bool = true;
        /// How long credentials hold. A call that has begun goes on.
        pub lifetime: Period = Period::minutes(720) => within(Period::minutes(10)..=Period::days(7));
        /// A service that somebody else offers.
        pub services: Vec<Service> = Vec::new();
    }

    /// A service that somebody else offers.
    pub struct Service {
        /// "stun", "turn", "stuns", "turns", or another type of XEP-0215.
        pub kind: String = "turn".to_owned();
        /// Its name or address.
        pub host: String = String::new() => example("\"turn.example.net\"");
        /// Its port.
        pub port: u16 = 3_478 => within(1..=65_535);
        /// "udp" or "tcp".
        pub transport: String = "udp".to_owned();
        /// What is shared with it to make credentials that hold for a time: `static-auth-secret` of coturn.
        pub secret: String = String::new() => hidden();
        /// Instead of that, a name that is the same for everybody,
        pub username: String = String::new() => hidden();
        /// and its password.
        pub password: String = String::new() => hidden();
        /// What it is called.
        pub name: String = String::new() => example("\"our relay\"");
    }
}

/// How often is looked whether the services have changed.
const LOOK: Duration = Duration::from_secs(1);
/// Bytes of the type that somebody asks for, to be remembered with him; no service has a longer one.
const LONGEST_KIND: usize = 64;

/// Over a reload too.
#[derive(Default)]
struct State {
    /// Sessions that asked, with the type they asked for: they hear of changes (§3.2).
    askers: HashMap<Jid, Option<String>>,
    told: Option<Vec<Offer>>,
}

/// Tells of services.
pub struct ExternalServices {
    deps: Deps,
    own: bool,
    lifetime: Duration,
    others: Vec<Offer>,
    state: Arc<Mutex<State>>,
    runtime: Handle,
}

impl Module for ExternalServices {
    const INFO: Info = Info {
        name: "external_services",
        specs: &[("XEP-0215", "1.0.0")],
        doc: "Tells clients where calls find a way through their networks.",
        on_by_default: true,
    };
    type Config = Config;
    const COMMANDS: &'static [Command] = &choice::DECLARED;

    fn build(config: Config, deps: &Deps) -> Result<Self, ModuleError> {
        let wrong = |reason: String| ModuleError {
            module: Self::INFO.name,
            reason,
        };
        let others = config.services.into_iter().map(offer);
        let others = others.collect::<Result<_, _>>().map_err(wrong)?;
        let state = deps
            .shared
            .of(&deps.host, || {
                Ok::<_, Infallible>(Arc::<Mutex<State>>::default())
            })
            .map_err(|never| match never {})?;
        Ok(ExternalServices {
            deps: deps.clone(),
            own: config.own,
            lifetime: config.lifetime.0,
            others,
            state: (*state).clone(),
            runtime: Handle::try_current().map_err(|error| wrong(error.to_string()))?,
        })
    }

    fn register(self: Arc<Self>, r: &mut Registrar<'_>) {
        r.feature(To::Host, ns::EXTDISCO);
        choice::offer(&self, r);
        hiding::register(r);
        let this = self.clone();
        r.host_iq(Verb::Get, (ns::EXTDISCO, "services"), move |request| {
            this.services(request)
        });
        let this = self.clone();
        r.host_iq(Verb::Get, (ns::EXTDISCO, "credentials"), move |request| {
            this.credentials(request)
        });
        let this = self.clone();
        r.session(move |event, id, turn| {
            if let SessionEvent::Unavailable | SessionEvent::Expired | SessionEvent::Replaced =
                event
                && let Some(session) = turn.account.session(id)
            {
                this.lock().askers.remove(&session.jid);
            }
        });
        let this = self.clone();
        r.event(move |event| {
            if let Event::AccountDeleted(account) | Event::AccountDisabled(account) = event {
                this.deps.calls.end(account);
            }
        });
        r.every(LOOK, move || self.look());
    }
}

impl ExternalServices {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Everything there is now.
    fn offers(&self) -> Vec<Offer> {
        let doors = match self.own {
            true => self.deps.calls.doors(),
            false => Vec::new(),
        };
        let own = doors
            .iter()
            .flat_map(|door| own_offers(door, &self.deps.host));
        own.chain(self.others.iter().cloned()).collect()
    }

    /// §3.1, §3.2
    fn services(self: &Arc<Self>, request: &Request<'_>) -> Reply {
        let kind = request.payload.attr("type").map(str::to_owned);
        let (this, from) = (self.clone(), request.from.clone());
        Reply::Later(Box::pin(async move {
            let account = match this.account(&from).await {
                Ok(account) => account,
                Err(error) => return error.into(),
            };
            let offers = this.offers();
            this.lock().told.get_or_insert_with(|| offers.clone());
            this.remember(&from, kind.clone());
            let passes = this.passes(account);
            let services = seen(&offers, kind.as_deref(), account.hidden);
            let services = services.into_iter().map(|offer| passes.described(offer));
            services_of(kind.as_deref()).with_children(services).into()
        }))
    }

    /// §3.3
    fn credentials(self: &Arc<Self>, request: &Request<'_>) -> Reply {
        let service = request.payload.child("service", ns::EXTDISCO);
        let Some(wanted) = service.and_then(Wanted::read) else {
            return StanzaError::from(Condition::BadRequest).into();
        };
        let (this, from) = (self.clone(), request.from.clone());
        Reply::Later(Box::pin(async move {
            let account = match this.account(&from).await {
                Ok(account) => account,
                Err(error) => return error.into(),
            };
            let offers = this.offers();
            let found = offers
                .iter()
                .filter(|offer| wanted.is(offer) && offer.is_for(account.hidden));
            let passes = this.passes(account);
            let found: Vec<Element> = found.map(|offer| passes.described(offer)).collect();
            if found.is_empty() {
                return StanzaError::from(Condition::ItemNotFound).into();
            }
            let credentials = Element::new("credentials", ns::EXTDISCO);
            credentials.with_children(found).into()
        }))
    }

    /// Has a session hear of changes, as long as it is there: in its account's turn, where it also ends.
    fn remember(self: &Arc<Self>, asker: &Jid, kind: Option<String>) {
        if kind.as_ref().is_some_and(|kind| kind.len() > LONGEST_KIND) {
            return;
        }
        let (this, session) = (self.clone(), asker.clone());
        let remember = move |turn: &mut Turn<'_>| {
            if turn.account.resource(&session).is_some() {
                this.lock().askers.insert(session, kind);
            }
        };
        let account = asker.bare();
        self.deps.floor.in_turn(&account, Box::new(remember));
    }

    /// Who asks must have an account of this host.
    async fn account(&self, from: &Jid) -> Result<Calling, StanzaError> {
        if from.domain() != self.deps.host.domain() || from.node().is_none() {
            return Err(Condition::Forbidden.into());
        }
        match calls::calling(&self.deps.store, from).await {
            Ok(Some(account)) => Ok(account),
            Ok(None) => Err(Condition::Forbidden.into()),
            Err(error) => {
                tracing::error!(%error, "an account cannot be read");
                Err(Condition::InternalServerError.into())
            }
        }
    }

    /// What an account gets now.
    fn passes(&self, account: Calling) -> Passes<'_> {
        let until = self.deps.clock.wall() / 1_000 + self.lifetime.as_secs();
        Passes::new(&*self.deps.calls, account.uid, until)
    }

    /// Who asked before hears of what has changed since (§3.2).
    fn look(self: &Arc<Self>) {
        let now = self.offers();
        let (before, askers) = {
            let mut state = self.lock();
            match &state.told {
                Some(told) if *told != now => {}
                _ => return,
            }
            let before = state.told.replace(now.clone()).unwrap_or_default();
            (before, state.askers.clone())
        };
        let this = self.clone();
        self.runtime.spawn(async move {
            for (asker, kind) in askers {
                let Ok(account) = this.account(&asker).await else {
                    continue;
                };
                let (kind, hidden) = (kind.as_deref(), account.hidden);
                let changed = (seen(&before, kind, hidden), seen(&now, kind, hidden));
                this.push(&asker, (account, kind), changed);
            }
        });
    }

    /// The sessions of an account that asked before hear of what it does not see any more, or sees again.
    fn show_anew(&self, account: &Jid, now: Calling) {
        let offers = self.offers();
        let askers = self.lock().askers.clone();
        let own = askers
            .into_iter()
            .filter(|(asker, _)| asker.bare_str() == account.as_str());
        for (asker, kind) in own {
            let kind = kind.as_deref();
            let changed = (
                seen(&offers, kind, !now.hidden),
                seen(&offers, kind, now.hidden),
            );
            self.push(&asker, (now, kind), changed);
        }
    }

    fn push(
        &self,
        asker: &Jid,
        (account, kind): (Calling, Option<&str>),
        (before, now): (Vec<&Offer>, Vec<&Offer>),
    ) {
        let gone = before
            .iter()
            .filter(|old| !now.iter().any(|new| new.is_at(old)));
        let gone = gone.map(|offer| offer.to_element().with_attr("action", "delete"));
        let other = now.iter().filter(|new| !before.contains(new));
        let passes = self.passes(account);
        let other = other.map(|offer| {
            let known = before.iter().any(|old| old.is_at(offer));
            let action = if known { "modify" } else { "add" };
            passes.described(offer).with_attr("action", action)
        });
        let changes: Vec<Element> = gone.chain(other).collect();
        if changes.is_empty() {
            return;
        }
        let push = Stanza::iq(IqType::Set)
            .with_from(self.deps.host.clone())
            .with_to(asker.clone())
            .with_id(random::id())
            .with_child(services_of(kind).with_children(changes));
        if let Some(envelope) = Envelope::from_server(push) {
            self.deps.floor.route(Box::new(envelope));
        }
    }
}

/// Those that are told of to who asked for a type.
fn seen<'a>(offers: &'a [Offer], kind: Option<&str>, hidden: bool) -> Vec<&'a Offer> {
    let seen = offers.iter();
    seen.filter(|offer| offer.is_asked_for(kind) && offer.is_for(hidden))
        .collect()
}
