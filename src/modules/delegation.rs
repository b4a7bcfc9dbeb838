//! XEP-0355: Namespace Delegation (0.5), in the mode of the administrator
//!
//! Questions to the host and to its accounts whose payload is in a namespace that is delegated are answered by a component.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::hooks::{
    Deps, Envelope, Event, Info, Module, ModuleError, Question, Registrar, Reply, Request, To,
};
use crate::proto::error::Condition;
use crate::proto::jid::Jid;
use crate::proto::stanza::{IqType, Kind, MessageType, Stanza};
use crate::proto::{disco, forward, ns};
use crate::runtime::random;
use crate::settings;
use crate::xml::{El, Element};

/// How long a component may take to answer; less than an iq may take.
const PATIENCE: Duration = Duration::from_secs(50);
/// Namespaces without which neither this nor finding out about it works.
const KEPT: [&str; 4] = [
    ns::DELEGATION,
    ns::PRIVILEGE,
    ns::DISCO_INFO,
    ns::DISCO_ITEMS,
];

settings! {
    /// Namespaces that components answer for. Whoever is named here is trusted like the server itself.
    pub struct Config {
        /// One namespace and who answers for it.
        pub namespaces: Vec<Delegated> = Vec::new();
    }

    /// One namespace and who answers for it.
    pub struct Delegated {
        /// The namespace of the payload of an iq.
        pub namespace: String = String::new() => example("\"http://jabber.org/protocol/pubsub\"");
        /// The domain of the component that answers, as in [components].
        pub to: String = String::new() => example("\"pubsub.example.org\"");
        /// Only payloads that have all these attributes.
        pub attributes: Vec<String> = Vec::new() => example("[\"node\"]");
    }
}

/// Who answers for what, on one host.
pub struct Delegation {
    delegated: Vec<(Delegated, Jid)>,
    /// What the components say of themselves, by namespace, for the host and for accounts (§7.2).
    nested: Mutex<HashMap<(String, bool), disco::Info>>,
    deps: Deps,
}

impl Module for Delegation {
    const INFO: Info = Info {
        name: "delegation",
        specs: &[("XEP-0355", "0.5")],
        doc: "Components answer for namespaces that are named here.",
        on_by_default: true,
    };
    type Config = Config;

    fn build(config: Config, deps: &Deps) -> Result<Self, ModuleError> {
        let mut delegated: Vec<(Delegated, Jid)> = Vec::new();
        for one in config.namespaces {
            let twice = delegated
                .iter()
                .any(|(other, _)| other.namespace == one.namespace);
            let to = checked(&one, twice).map_err(|reason| ModuleError {
                module: Self::INFO.name,
                reason,
            })?;
            delegated.push((one, to));
        }
        Ok(Delegation {
            delegated,
            nested: Mutex::default(),
            deps: deps.clone(),
        })
    }

    fn register(self: Arc<Self>, r: &mut Registrar<'_>) {
        if self.delegated.is_empty() {
            return;
        }
        r.feature(To::Host, ns::DELEGATION);
        let this = self.clone();
        r.divert(move |_, request| this.divert(request));
        let this = self.clone();
        r.disco_now(move |to, info| this.nest(to, info));
        r.event(move |event| {
            if let Event::Attached(domain) = event {
                self.greet(domain);
            }
        });
    }
}

fn checked(one: &Delegated, twice: bool) -> Result<Jid, String> {
    let Delegated { namespace, to, .. } = one;
    if namespace.is_empty() || KEPT.contains(&namespace.as_str()) {
        return Err(format!("the namespace \"{namespace}\" cannot be delegated"));
    }
    if twice {
        return Err(format!("the namespace {namespace} is delegated twice"));
    }
    let domain = Jid::parse(to).ok();
    let domain = domain.filter(|jid| jid.as_str() == jid.domain());
    domain.ok_or_else(|| format!("\"{to}\" is not a domain; name one of [components]"))
}

fn unavailable() -> Reply {
    Reply::Error(Condition::ServiceUnavailable.into())
}

impl Delegation {
    /// §4.3: a question that a component answers; never one of that component itself (§4.3.1).
    fn divert(&self, request: &Request<'_>) -> Option<Reply> {
        let fits = |one: &Delegated, payload: El<'_>| {
            let mut attributes = one.attributes.iter();
            one.namespace == payload.ns() && attributes.all(|name| payload.attr(name).is_some())
        };
        let mut all = self.delegated.iter();
        let (one, to) = all.find(|(one, _)| fits(one, request.payload))?;
        if request.from.domain() == to.domain() {
            return None;
        }
        tracing::debug!(component = %to, host = %self.deps.host, namespace = one.namespace, "a question, by delegation");
        let asked = request.stanza.clone();
        let forwarded = forward::wrap(&asked, None);
        let question = Element::new("delegation", ns::DELEGATION).with_child(forwarded);
        let question = Question::Set(question);
        let (from, floor) = (self.deps.host.clone(), self.deps.floor.clone());
        let told = floor.ask(from, to.clone(), question, PATIENCE);
        let to = to.clone();
        Some(Reply::Later(Box::pin(async move {
            // §4.3, notes 1 and 2: whatever goes wrong, there is no such service now.
            let Ok(Some(told)) = told.await else {
                return unavailable();
            };
            answer(&asked, &told).unwrap_or_else(|| {
                tracing::warn!(component = %to, "an answer to a delegated question does not fit it");
                unavailable()
            })
        })))
    }

    /// §4.2: on connecting it hears what it answers for; and is asked what it can do (§7.2).
    fn greet(self: &Arc<Self>, domain: &Jid) {
        let own: Vec<&Delegated> = self
            .delegated
            .iter()
            .filter(|(_, to)| to == domain)
            .map(|(one, _)| one)
            .collect();
        if own.is_empty() {
            return;
        }
        let names: Vec<&str> = own.iter().map(|one| one.namespace.as_str()).collect();
        tracing::info!(component = %domain, host = %self.deps.host, namespaces = names.join(" "), "a component with delegated namespaces is connected");
        let told = own.iter().map(|one| {
            let attributes = one.attributes.iter();
            let attribute =
                |name| Element::new("attribute", ns::DELEGATION).with_attr("name", name);
            Element::new("delegated", ns::DELEGATION)
                .with_attr("namespace", &one.namespace)
                .with_children(attributes.map(|name| attribute(name)))
        });
        let message = Stanza::message(MessageType::Normal)
            .with_from(self.deps.host.clone())
            .with_to(domain.clone())
            .with_id(random::id())
            .with_child(Element::new("delegation", ns::DELEGATION).with_children(told));
        if let Some(envelope) = Envelope::from_server(message) {
            self.deps.floor.route(Box::new(envelope));
        }
        for name in names {
            for bare in [false, true] {
                self.ask_features(domain, name, bare);
            }
        }
    }

    fn ask_features(self: &Arc<Self>, domain: &Jid, name: &str, bare: bool) {
        let parting = if bare { ":bare:" } else { "::" };
        let node = format!("{}{parting}{name}", ns::DELEGATION);
        let query = Element::new("query", ns::DISCO_INFO).with_attr("node", &node);
        let (from, this) = (self.deps.host.clone(), self.clone());
        let question = Question::Get(query);
        let told = self
            .deps
            .floor
            .ask(from, domain.clone(), question, PATIENCE);
        let key = (name.to_owned(), bare);
        tokio::spawn(async move {
            let told = told.await.ok().flatten();
            let told = told.filter(|query| query.is("query", ns::DISCO_INFO));
            let mut nested = this.lock();
            match told {
                Some(query) => nested.insert(key, disco::Info::parse(query.root(), None)),
                None => nested.remove(&key),
            };
        });
    }

    /// §7.2: what the component can do stands in the place of what the server could.
    fn nest(&self, to: To, info: &mut disco::Info) {
        let bare = to != To::Host;
        for ((name, of_accounts), nested) in self.lock().iter() {
            if *of_accounts != bare {
                continue;
            }
            let own = |var: &String| match var.strip_prefix(name.as_str()) {
                Some(rest) => rest.is_empty() || rest.starts_with('#'),
                None => false,
            };
            info.features.retain(|var| !own(var));
            for var in &nested.features {
                if !info.features.contains(var) {
                    info.features.push(var.clone());
                }
            }
            for identity in &nested.identities {
                if !info.identities.contains(identity) {
                    info.identities.push(identity.clone());
                }
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<(String, bool), disco::Info>> {
        self.nested.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the component answered, if it is an answer to what was asked.
fn answer(asked: &Stanza, told: &Element) -> Option<Reply> {
    let forwarded = told
        .root()
        .is("delegation", ns::DELEGATION)
        .then(|| told.child("forwarded", ns::FORWARD))??;
    let (inner, _) = forward::unwrap(forwarded)?;
    let inner = Stanza::from_element(inner.to_element()).ok()?;
    let from = match (&inner.from, &asked.to) {
        (None, None) => true,
        (Some(from), Some(to)) => from == to,
        // Without a `to` it was for the sender's own account.
        (Some(from), None) => {
            let own = asked.from.as_ref().map(Jid::bare_str);
            own == Some(from.as_str())
        }
        (None, Some(to)) => to.node().is_none(),
    };
    let fits = inner.kind == Kind::Iq(IqType::Result)
        && inner.id == asked.id
        && inner.to == asked.from
        && from;
    let payload = inner.payload().map(|payload| payload.to_element());
    fits.then_some(Reply::Result(payload))
}
