//! The HTTP front: web clients' requests to the features that claimed them. It knows no feature.

mod answer;
mod body;
mod bosh;
mod connection;
mod forwarded;
mod http2;
mod path;
mod request;
mod seats;
mod websocket;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;

use self::seats::Seats;
use super::bosh::{Bosh, BoshOptions};
use crate::hooks::Tables;
use crate::metrics::{Counter, Gauge, Registry};
use crate::net::{Caller, Serving, Subnet};
use crate::proto::jid::Jid;

/// How the front works.
pub struct FrontOptions {
    /// The hosts; the first is asked where a request names none of several, and only then if it is the only one.
    pub hosts: Vec<WebHost>,
    /// Who tells whose request it is.
    pub proxies: Vec<Subnet>,
    /// In which header.
    pub proxy_header: ProxyHeader,
    /// Whose requests are not counted by address.
    pub exempt: Vec<Subnet>,
    /// Connections at once.
    pub connections: usize,
    /// Requests at once.
    pub requests: usize,
    /// Of one address.
    pub requests_per_address: usize,
    /// The path at which WebSockets for XMPP are opened, if anywhere.
    pub websocket: Option<String>,
    /// XMPP in requests of HTTP, if it is spoken.
    pub bosh: Option<BoshOptions>,
    /// The sites whose pages may connect in these ways, besides those of the hosts.
    pub origins: Vec<String>,
    /// Requests of one connection of HTTP/2 at once.
    pub streams: u32,
    /// Bytes of a request's head.
    pub header_bytes: usize,
    /// Time for the first request's head.
    pub header_timeout: Duration,
    /// Time for the next.
    pub idle_timeout: Duration,
    /// Time in which a body must make some progress.
    pub body_timeout: Duration,
}

/// A host as web clients see it.
pub struct WebHost {
    /// Its domain.
    pub domain: Jid,
    /// Another name under which web clients reach it.
    pub alias: Option<String>,
    /// Its hooks.
    pub tables: Arc<Tables>,
}

/// The header in which proxies tell whose request it is. Only one is looked at: a proxy passes on what it does not know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProxyHeader {
    /// `X-Forwarded-For`
    XForwardedFor,
    /// `Forwarded` (RFC 7239)
    Forwarded,
}

/// Serves web clients.
pub struct Front(Arc<Inner>);

struct Inner {
    options: ArcSwap<FrontOptions>,
    seats: Arc<Seats>,
    bosh: Arc<Bosh>,
    figures: Figures,
}

/// What is counted.
struct Figures {
    connections: Gauge,
    requests: Gauge,
    /// By the first digit of the status.
    answers: [Counter; 5],
    too_many_connections: Counter,
    too_many_requests: Counter,
    too_many_of_address: Counter,
    slow_headers: Counter,
    slow_bodies: Counter,
}

impl Front {
    /// A front with these options.
    pub fn new(options: FrontOptions, registry: &Registry) -> Front {
        Front(Arc::new(Inner {
            options: ArcSwap::from_pointee(options),
            seats: Arc::default(),
            bosh: Arc::default(),
            figures: Figures::new(registry),
        }))
    }

    /// Works with other options from now on.
    pub fn set(&self, options: FrontOptions) {
        self.0.options.store(Arc::new(options));
    }
}

impl crate::net::Front for Front {
    fn serve(&self, caller: Caller) -> Serving {
        Box::pin(connection::serve(self.0.clone(), caller))
    }
}

impl FrontOptions {
    /// The host that a name of the web means: its domain, its other name, a name below its domain, or the only one there is.
    fn host(&self, name: &str) -> Option<&WebHost> {
        let name = name.trim_end_matches('.');
        let exact = self.named(name);
        let below = || {
            let lower = name.to_ascii_lowercase();
            let above = self.hosts.iter().filter(|host| {
                let rest = lower.strip_suffix(host.domain.domain());
                rest.is_some_and(|rest| rest.ends_with('.'))
            });
            above.max_by_key(|host| host.domain.domain().len())
        };
        let only = || self.hosts.first().filter(|_| self.hosts.len() == 1);
        exact.or_else(below).or_else(only)
    }

    /// The host of which this is the domain or its other name.
    fn named(&self, name: &str) -> Option<&WebHost> {
        let is = |known: &str| known.eq_ignore_ascii_case(name);
        let mut hosts = self.hosts.iter();
        hosts.find(|host| is(host.domain.domain()) || host.alias.as_deref().is_some_and(is))
    }

    fn trusts(&self, proxy: IpAddr) -> bool {
        self.proxies.iter().any(|net| net.contains(proxy))
    }

    fn exempts(&self, peer: IpAddr) -> bool {
        self.exempt.iter().any(|net| net.contains(peer))
    }
}

impl Figures {
    fn new(registry: &Registry) -> Figures {
        let answers = ["1xx", "2xx", "3xx", "4xx", "5xx"].map(|status| {
            registry.counter(
                "waxwing_http_requests_total",
                "Requests of web clients that were answered, by status.",
                &[("status", status)],
            )
        });
        let slow = |what| {
            registry.counter(
                "waxwing_http_timeouts_total",
                "Requests of web clients that were given up, by what did not come in time.",
                &[("what", what)],
            )
        };
        Figures {
            connections: registry.gauge(
                "waxwing_http_connections",
                "Connections of web clients.",
                &[],
            ),
            requests: registry.gauge(
                "waxwing_http_requests_open",
                "Requests of web clients that are being answered.",
                &[],
            ),
            answers,
            too_many_connections: registry.limit("http.connections"),
            too_many_requests: registry.limit("http.requests"),
            too_many_of_address: registry.limit("http.requests_per_address"),
            slow_headers: slow("header"),
            slow_bodies: slow("body"),
        }
    }

    fn answered(&self, status: u16) {
        let class = usize::from(status / 100).checked_sub(1);
        if let Some(counter) = class.and_then(|class| self.answers.get(class)) {
            counter.count();
        }
    }
}
