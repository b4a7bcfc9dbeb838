//! Services as they are told of: those behind the doors of this server's own relay, and those that are configured.

use super::Service;
use crate::hooks::{Calls, Door, RelayPass, Uid};
use crate::proto::jid::Jid;
use crate::proto::{datetime, ns};
use crate::xml::{El, Element};

/// One service, as it is told of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Offer {
    kind: String,
    host: String,
    port: u16,
    transport: String,
    name: String,
    access: Access,
}

/// What a service wants to see.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Access {
    Open,
    /// A pass of this server's own relay.
    Own,
    /// A pass made with a shared secret.
    Shared(String),
    /// The same for everybody.
    Fixed(String, String),
}

/// Credentials of one account, the same for all doors of a relay.
pub(super) struct Passes<'a> {
    calls: &'a dyn Calls,
    account: Uid,
    until: u64,
    own: RelayPass,
}

impl<'a> Passes<'a> {
    /// Those of an account until then (Unix seconds).
    pub(super) fn new(calls: &'a dyn Calls, account: Uid, until: u64) -> Passes<'a> {
        Passes {
            own: calls.pass(account, until, None),
            calls,
            account,
            until,
        }
    }

    pub(super) fn described(&self, offer: &Offer) -> Element {
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
    pub(super) fn is_asked_for(&self, kind: Option<&str>) -> bool {
        kind.is_none_or(|kind| kind == self.kind)
    }

    /// Whether it is for an account that hides where it is: not if all it does is say that.
    pub(super) fn is_for(&self, hidden: bool) -> bool {
        !hidden || !matches!(self.kind.as_str(), "stun" | "stuns")
    }

    /// Whether calls go through it.
    pub(super) fn relays(&self) -> bool {
        matches!(self.kind.as_str(), "turn" | "turns")
    }

    /// Whether it is the same service, whatever is said of it.
    pub(super) fn is_at(&self, other: &Offer) -> bool {
        let place = |offer: &Offer| (offer.kind.clone(), offer.port, offer.transport.clone());
        self.host == other.host && place(self) == place(other)
    }

    pub(super) fn to_element(&self) -> Element {
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
pub(super) struct Wanted {
    host: String,
    kind: String,
    port: Option<u16>,
}

impl Wanted {
    pub(super) fn read(service: El<'_>) -> Option<Wanted> {
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

    pub(super) fn is(&self, offer: &Offer) -> bool {
        offer.access != Access::Open
            && offer.host == self.host
            && offer.kind == self.kind
            && self.port.is_none_or(|port| port == offer.port)
    }
}

pub(super) fn services_of(kind: Option<&str>) -> Element {
    let services = Element::new("services", ns::EXTDISCO);
    match kind {
        Some(kind) => services.with_attr("type", kind),
        None => services,
    }
}

/// What there is behind one door of this server's own relay.
pub(super) fn own_offers(door: &Door, host: &Jid) -> Vec<Offer> {
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
pub(super) fn offer(service: Service) -> Result<Offer, String> {
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
