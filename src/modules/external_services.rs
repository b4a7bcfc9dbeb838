//! XEP-0215: External Service Discovery (1.0.0)

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::runtime::Handle;

use crate::config::Period;
use crate::hooks::{
    Calls, Deps, Door, Envelope, Event, Info, Module, ModuleError, Registrar, RelayPass, Reply,
    Request, SessionEvent, To, Turn, Uid, Verb,
};
use crate::proto::error::{Condition, StanzaError};
use crate::proto::jid::Jid;
use crate::proto::stanza::{IqType, Stanza};
use crate::proto::{datetime, ns};
use crate::runtime::random;
use crate::settings;
use crate::state::calls;
use crate::xml::{El, Element};

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

/// One service, as it is told of.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Offer {
    kind: String,
    host: String,
    port: u16,
    transport: String,
    name: String,
    access: Access,
}

/// What a service wants to see.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Access {
    Open,
    /// A pass of this server's own relay.
    Own,
    /// A pass made with a shared secret.
    Shared(String),
    /// The same for everybody.
    Fixed(String, String),
}

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
            let offers = offers
                .iter()
                .filter(|offer| offer.is_asked_for(kind.as_deref()));
            let passes = this.passes(account);
            let services = offers.map(|offer| passes.described(offer));
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
            let found = offers.iter().filter(|offer| wanted.is(offer));
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
    async fn account(&self, from: &Jid) -> Result<Uid, StanzaError> {
        if from.domain() != self.deps.host.domain() || from.node().is_none() {
            return Err(Condition::Forbidden.into());
        }
        match calls::number(&self.deps.store, from).await {
            Ok(Some(uid)) => Ok(uid),
            Ok(None) => Err(Condition::Forbidden.into()),
            Err(error) => {
                tracing::error!(%error, "an account cannot be read");
                Err(Condition::InternalServerError.into())
            }
        }
    }

    /// What an account gets now.
    fn passes(&self, account: Uid) -> Passes<'_> {
        let until = self.deps.clock.wall() / 1_000 + self.lifetime.as_secs();
        Passes {
            own: self.deps.calls.pass(account, until, None),
            calls: &*self.deps.calls,
            account,
            until,
        }
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
                this.push((asker, kind), &before, &now).await;
            }
        });
    }

    async fn push(&self, (asker, kind): (Jid, Option<String>), before: &[Offer], now: &[Offer]) {
        let Ok(account) = self.account(&asker).await else {
            return;
        };
        let asked = |offer: &&Offer| offer.is_asked_for(kind.as_deref());
        let gone = before
            .iter()
            .filter(asked)
            .filter(|old| !now.iter().any(|new| new.is_at(old)));
        let gone = gone.map(|offer| offer.to_element().with_attr("action", "delete"));
        let other = now.iter().filter(asked).filter(|new| !before.contains(new));
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
            .with_to(asker)
            .with_id(random::id())
            .with_child(services_of(kind.as_deref()).with_children(changes));
        if let Some(envelope) = Envelope::from_server(push) {
            self.deps.floor.route(Box::new(envelope));
        }
    }
}

/// Credentials of one account, the same for all doors of a relay.
struct Passes<'a> {
    calls: &'a dyn Calls,
    account: Uid,
    until: u64,
    own: RelayPass,
}

impl Passes<'_> {
    fn described(&self, offer: &Offer) -> Element {
        let service = offer.to_element();
        let fixed = |username: &str, password: &str| {
            service
                .clone()
                .with_attr("restricted", "true")
                .with_attr("username", username)
                .with_attr("password", password)
        };
        let pass = match &offer.access {
            Access::Open => return service,
            Access::Fixed(username, password) => return fixed(username, password),
            Access::Own => self.own.clone(),
            Access::Shared(secret) => self.calls.pass(self.account, self.until, Some(secret)),
        };
        let expires = datetime::format(self.until * 1_000);
        fixed(&pass.username, &pass.password).with_attr("expires", &expires)
    }
}

impl Offer {
    fn is_asked_for(&self, kind: Option<&str>) -> bool {
        kind.is_none_or(|kind| kind == self.kind)
    }

    /// Whether it is the same service, whatever is said of it.
    fn is_at(&self, other: &Offer) -> bool {
        let place = |offer: &Offer| (offer.kind.clone(), offer.port, offer.transport.clone());
        self.host == other.host && place(self) == place(other)
    }

    fn to_element(&self) -> Element {
        let service = Element::new("service", ns::EXTDISCO)
            .with_attr("type", &self.kind)
            .with_attr("host", &self.host)
            .with_attr("port", &self.port.to_string())
            .with_attr("transport", &self.transport);
        match self.name.as_str() {
            "" => service,
            name => service.with_attr("name", name),
        }
    }
}

/// A service as credentials are asked for.
struct Wanted {
    host: String,
    kind: String,
    port: Option<u16>,
}

impl Wanted {
    fn read(service: El<'_>) -> Option<Wanted> {
        let port = service.attr("port").map(|port| port.parse().ok());
        Some(Wanted {
            host: service.attr("host")?.to_owned(),
            kind: service.attr("type")?.to_owned(),
            port: match port {
                Some(port) => Some(port?),
                None => None,
            },
        })
    }

    fn is(&self, offer: &Offer) -> bool {
        offer.access != Access::Open
            && offer.host == self.host
            && offer.kind == self.kind
            && self.port.is_none_or(|port| port == offer.port)
    }
}

fn services_of(kind: Option<&str>) -> Element {
    let services = Element::new("services", ns::EXTDISCO);
    match kind {
        Some(kind) => services.with_attr("type", kind),
        None => services,
    }
}

/// What there is behind one door of this server's own relay.
fn own_offers(door: &Door, host: &Jid) -> Vec<Offer> {
    let kinds: &[(&str, Access)] = match (door.transport, door.tls) {
        (_, true) => &[("turns", Access::Own)],
        ("udp", false) => &[("stun", Access::Open), ("turn", Access::Own)],
        (_, false) => &[("turn", Access::Own)],
    };
    let host = door.host.clone().unwrap_or_else(|| {
        let name = host.domain();
        idna::domain_to_ascii(name).unwrap_or_else(|_| name.to_owned())
    });
    let kinds = kinds.iter().map(|(kind, access)| Offer {
        kind: (*kind).to_owned(),
        host: host.clone(),
        port: door.port,
        transport: door.transport.to_owned(),
        name: String::new(),
        access: access.clone(),
    });
    kinds.collect()
}

/// A service as it is configured.
fn offer(service: Service) -> Result<Offer, String> {
    if service.host.is_empty() || service.kind.is_empty() {
        return Err("services: each needs a `kind` and a `host`".to_owned());
    }
    if !matches!(service.transport.as_str(), "udp" | "tcp") {
        let (transport, host) = (service.transport, service.host);
        return Err(format!(
            "services: {host}: \"{transport}\" is not \"udp\" or \"tcp\""
        ));
    }
    let access = match (service.secret.is_empty(), service.username.is_empty()) {
        (false, true) => Access::Shared(service.secret),
        (true, false) => Access::Fixed(service.username, service.password),
        (true, true) => Access::Open,
        (false, false) => {
            let host = service.host;
            return Err(format!(
                "services: {host}: give a `secret` or a `username`, not both"
            ));
        }
    };
    Ok(Offer {
        kind: service.kind,
        host: service.host,
        port: service.port,
        transport: service.transport,
        name: service.name,
        access,
    })
}
