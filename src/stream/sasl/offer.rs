//! Which mechanisms a stream offers, strongest first, and how one is started.

use std::sync::Arc;

use super::exchange::{Exchange, MechanismFactory, Surroundings};
use super::exchanges::{AnonymousExchange, PlainExchange, ScramExchange};
use super::hash::ScramHash;
use crate::stream::settings::Host;
use crate::stream::tls::Bindings;

/// The mechanisms listed on a secured stream, in our order of preference. The same list in both profiles.
pub fn listed(host: &Host, bindings: &Bindings) -> Vec<&'static str> {
    let policy = &host.mechanisms;
    let scram = |plus| {
        let strongest_first = ScramHash::ALL.into_iter().rev();
        strongest_first
            .filter(|hash| policy.scram.contains(hash))
            .map(move |hash| hash.mechanism(plus))
    };
    let mut names = Vec::new();
    if !bindings.is_empty() {
        names.extend(scram(true));
    }
    names.extend(scram(false));
    let modules = host.tables.mechanisms.iter();
    names.extend(
        modules
            .filter(|module| module.listed() && module.offered(bindings))
            .map(|module| module.name()),
    );
    if policy.plain {
        names.push("PLAIN");
    }
    if policy.anonymous {
        names.push("ANONYMOUS");
    }
    names
}

/// Starts `name` if it is offered here. `None`: `invalid-mechanism`.
pub fn start(name: &str, surroundings: Surroundings) -> Option<Box<dyn Exchange>> {
    if let Some(module) = of_module(name, &surroundings) {
        return Some(module.start(surroundings));
    }
    if !surroundings.advertised.contains(&name) {
        return None;
    }
    if let Some((hash, plus)) = ScramHash::from_mechanism(name) {
        return Some(Box::new(ScramExchange::new(hash, plus, surroundings)));
    }
    match name {
        "PLAIN" => Some(Box::new(PlainExchange::new(surroundings))),
        "ANONYMOUS" => Some(Box::new(AnonymousExchange::new(surroundings))),
        _ => None,
    }
}

/// Whether this is the name of a mechanism of the server's own, whatever the policy of a host.
pub fn is_built_in(name: &str) -> bool {
    matches!(name, "PLAIN" | "ANONYMOUS") || ScramHash::from_mechanism(name).is_some()
}

fn of_module(name: &str, surroundings: &Surroundings) -> Option<Arc<dyn MechanismFactory>> {
    let sasl2 = surroundings.request.is_some();
    let mut modules = surroundings.host.tables.mechanisms.iter();
    let found = modules.find(|module| {
        module.name() == name
            && (module.listed() || sasl2)
            && module.offered(&surroundings.bindings)
    });
    found.cloned()
}
