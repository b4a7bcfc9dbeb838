//! XEP-0065: SOCKS5 Bytestreams (1.8.2), the proxy

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use sha1::{Digest, Sha1};

use crate::config::{Bytes, Period};
use crate::hooks::service::{Service, ServiceOwner, ServiceTurn};
use crate::hooks::{
    Deps, Envelope, Info, MeetingTerms, Meetings, Module, ModuleError, NotJoined, Registrar,
};
use crate::metrics::{Counter, Gauge};
use crate::proto::disco::{Identity, Info as About};
use crate::proto::error::{Condition, StanzaError};
use crate::proto::stanza::{IqType, Kind};
use crate::proto::{Jid, ns};
use crate::settings;
use crate::xml::{El, Element};

settings! {
    /// Clients that do not reach each other send files through the server, as they come: nothing is stored. They connect to the
    /// ports of clients and begin with SOCKS5; limits.bytestreams bounds those that wait.
    pub struct Config {
        /// The domain of the service; if none is given, "proxy." before the host's.
        pub domain: String = String::new() => example("\"proxy.example.org\"");
        /// Where clients connect, name and port. If it is not given: the host's domain and the port of its first listener for
        /// clients; where that is behind proxies, or on this machine alone, there is no service.
        pub address: String = String::new() => example("\"xmpp.example.org:5222\"");
        /// Bytestreams of the host at once.
        pub streams: u32 = 200 => within(1..=1_000_000);
        /// Bytestreams that an account has begun and that are not over.
        pub streams_each: u32 = 5 => within(1..=10_000);
        /// Bytes in a second that one carries.
        pub rate: Bytes = Bytes::mib(4) => within(Bytes::kib(16)..=Bytes::gib(1));
        /// One is over when nothing has come for so long.
        pub idle: Period = Period::minutes(2) => within(Period::seconds(1)..=Period::minutes(60));
    }
}

/// Joins the connections of clients.
pub struct Bytestreams(Arc<Proxy>);

struct Proxy {
    config: Config,
    host: Jid,
    domain: Jid,
    /// None where clients would not find it.
    place: Option<Place>,
    meetings: Arc<dyn Meetings>,
    lasting: Arc<Lasting>,
    open: Gauge,
    bytes: Counter,
    full: Counter,
    full_of_account: Counter,
}

/// Where clients connect.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Place {
    host: String,
    port: u16,
}

/// Bytestreams that are open, by who began them; they go on over a reload.
type Lasting = Mutex<HashMap<Jid, u32>>;

impl Module for Bytestreams {
    const INFO: Info = Info {
        name: "bytestreams",
        specs: &[("XEP-0065", "1.8.2")],
        doc: "Clients that do not reach each other send files through the server, as they come.",
        on_by_default: true,
    };
    type Config = Config;

    fn build(config: Config, deps: &Deps) -> Result<Self, ModuleError> {
        let domain = deps.service_domain(Self::INFO.name, ("domain", &config.domain), "proxy")?;
        let place = Place::of(&config.address, deps)?;
        let lasting = deps
            .shared
            .of(&deps.host, || Ok::<_, ModuleError>(Lasting::default()))?;
        let proxy = Proxy {
            host: deps.host.clone(),
            domain,
            place,
            meetings: deps.meetings.clone(),
            lasting,
            open: deps.metrics.gauge(
                "waxwing_bytestreams_open",
                "Bytestreams between clients that go through the server.",
                &[],
            ),
            bytes: deps.metrics.counter(
                "waxwing_bytestream_bytes_total",
                "Bytes that bytestreams carried.",
                &[],
            ),
            full: deps.metrics.limit("modules.bytestreams.streams"),
            full_of_account: deps.metrics.limit("modules.bytestreams.streams_each"),
            config,
        };
        Ok(Bytestreams(Arc::new(proxy)))
    }

    fn register(self: Arc<Self>, r: &mut Registrar<'_>) {
        if self.0.place.is_some() {
            r.meetings();
            r.service(self.0.domain.clone(), "proxy", self.clone());
        }
    }
}

impl Place {
    /// As the configuration says, or as the listeners do.
    fn of(said: &str, deps: &Deps) -> Result<Option<Place>, ModuleError> {
        if said.is_empty() {
            let domain = deps.host.domain();
            let ascii = idna::domain_to_ascii(domain).unwrap_or_else(|_| domain.to_owned());
            return Ok(deps.port.map(|port| Place { host: ascii, port }));
        }
        let place = Place::parse(said).ok_or_else(|| ModuleError {
            module: Bytestreams::INFO.name,
            reason: format!(
                "`address`: {said:?} is no name with a port; write it as \"xmpp.example.org:5222\""
            ),
        });
        place.map(Some)
    }

    /// Reads `name:port`, or `[address]:port` for IPv6.
    fn parse(text: &str) -> Option<Place> {
        let (host, port) = text.rsplit_once(':')?;
        let within = host.strip_prefix('[').map(|rest| rest.strip_suffix(']'));
        let host = match within {
            Some(address) => address.filter(|a| a.parse::<std::net::Ipv6Addr>().is_ok())?,
            None => host,
        };
        let name = within.is_some() || Jid::parse(host).is_ok_and(|jid| jid.domain() == host);
        let port = port.parse().ok().filter(|port| *port != 0)?;
        name.then(|| Place {
            host: host.to_owned(),
            port,
        })
    }
}

/// The one owner of the service. It keeps nothing.
struct Owner(Arc<Proxy>);

impl Service for Bytestreams {
    fn key(&self, _: &Envelope) -> String {
        String::new()
    }

    fn wake(&self, _: &str, _: Option<&[u8]>) -> Box<dyn ServiceOwner> {
        Box::new(Owner(self.0.clone()))
    }
}

impl ServiceOwner for Owner {
    fn handle(&mut self, envelope: &mut Envelope, turn: &mut ServiceTurn<'_>) {
        let stanza = envelope.stanza.clone();
        let to_service = envelope.to.node().is_none() && envelope.to.is_bare();
        let answer = match (stanza.kind, stanza.payload()) {
            (Kind::Iq(IqType::Get), Some(payload)) if to_service => {
                self.0.about(envelope.from(), payload)
            }
            (Kind::Iq(IqType::Set), Some(payload))
                if to_service && payload.is("query", ns::BYTESTREAMS) =>
            {
                self.0.activate(envelope.from(), payload).map(|()| None)
            }
            (Kind::Iq(IqType::Get | IqType::Set) | Kind::Message(_), _) => {
                Err(Condition::ServiceUnavailable.into())
            }
            _ => return,
        };
        match answer {
            Ok(payload) => turn.reply(envelope, payload),
            Err(error) => turn.refuse(envelope, &error),
        }
    }

    fn suspend(&self) -> Option<Vec<u8>> {
        None
    }

    fn idle(&self) -> bool {
        true
    }
}

impl Proxy {
    /// What it is and where (§4).
    fn about(&self, from: Option<&Jid>, payload: El<'_>) -> Result<Option<Element>, StanzaError> {
        let of_node = payload.attr("node").is_some_and(|node| !node.is_empty());
        match (payload.ns(), payload.name()) {
            (ns::DISCO_INFO | ns::DISCO_ITEMS, "query") if of_node => {
                Err(Condition::ItemNotFound.into())
            }
            (ns::DISCO_INFO, "query") => Ok(Some(info())),
            (ns::DISCO_ITEMS, "query") => Ok(Some(Element::new("query", ns::DISCO_ITEMS))),
            (ns::PING, "ping") => Ok(None),
            (ns::BYTESTREAMS, "query") => {
                self.own(from)?;
                Ok(self.place.as_ref().map(|place| {
                    let streamhost = Element::new("streamhost", ns::BYTESTREAMS)
                        .with_attr("jid", self.domain.as_str())
                        .with_attr("host", &place.host)
                        .with_attr("port", &place.port.to_string());
                    Element::new("query", ns::BYTESTREAMS).with_child(streamhost)
                }))
            }
            _ => Err(Condition::ServiceUnavailable.into()),
        }
    }

    /// Who may have bytestreams: accounts of the host.
    fn own<'a>(&self, from: Option<&'a Jid>) -> Result<&'a Jid, StanzaError> {
        from.filter(|from| from.domain() == self.host.domain() && from.node().is_some())
            .ok_or_else(|| Condition::Forbidden.into())
    }

    /// Joins the two connections (§6.3.5).
    fn activate(self: &Arc<Self>, from: Option<&Jid>, query: El<'_>) -> Result<(), StanzaError> {
        let requester = self.own(from)?;
        let wrong = || StanzaError::from(Condition::BadRequest);
        let sid = query.attr("sid").ok_or_else(wrong)?;
        let activate = query.child("activate", ns::BYTESTREAMS).ok_or_else(wrong)?;
        let target = Jid::parse(activate.text().trim())
            .map_err(|_| StanzaError::from(Condition::JidMalformed))?;
        let terms = MeetingTerms {
            rate: u32::try_from(self.config.rate.0).unwrap_or(u32::MAX),
            idle: self.config.idle.0,
            bytes: self.bytes.clone(),
            seat: Box::new(self.seat(&requester.bare())?),
        };
        let joined = self.meetings.join(&name(sid, requester, &target), terms);
        joined.map_err(|error| {
            let (condition, text) = match error {
                NotJoined::Nobody => (
                    Condition::ItemNotFound,
                    "Nobody has connected for this bytestream",
                ),
                NotJoined::Alone => (
                    Condition::NotAllowed,
                    "Only one side has connected for this bytestream",
                ),
            };
            StanzaError::from(condition).with_text(text)
        })
    }

    /// Room for one more bytestream.
    fn seat(self: &Arc<Self>, account: &Jid) -> Result<Seat, StanzaError> {
        let full = |counter: &Counter, text| {
            counter.count();
            StanzaError::from(Condition::ResourceConstraint).with_text(text)
        };
        let mut open = lock(&self.lasting);
        if open.values().sum::<u32>() >= self.config.streams {
            return Err(full(&self.full, "The server carries too many bytestreams"));
        }
        let own = open.entry(account.clone()).or_default();
        if *own >= self.config.streams_each {
            let text = "You have too many bytestreams";
            return Err(full(&self.full_of_account, text));
        }
        *own += 1;
        self.open.up();
        Ok(Seat {
            lasting: self.lasting.clone(),
            account: account.clone(),
            open: self.open.clone(),
        })
    }
}

fn lock(lasting: &Lasting) -> MutexGuard<'_, HashMap<Jid, u32>> {
    lasting.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The place of a bytestream until it is over.
struct Seat {
    lasting: Arc<Lasting>,
    account: Jid,
    open: Gauge,
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.open.down();
        let mut open = lock(&self.lasting);
        if let Some(own) = open.get_mut(&self.account) {
            *own = own.saturating_sub(1);
            if *own == 0 {
                open.remove(&self.account);
            }
        }
    }
}

/// §4, example 6.
fn info() -> Element {
    let mut info = About::default();
    let identity = Identity::new("proxy", "bytestreams");
    info.identities.push(identity.with_name("File transfers"));
    let features = [ns::BYTESTREAMS, ns::DISCO_INFO, ns::DISCO_ITEMS, ns::PING];
    info.features.extend(features.map(str::to_owned));
    info.to_element(None)
}

/// What both sides ask for (§6.3.2).
fn name(sid: &str, requester: &Jid, target: &Jid) -> String {
    let mut hash = Sha1::new();
    for part in [sid, requester.as_str(), target.as_str()] {
        hash.update(part);
    }
    hash.finalize()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn both_sides_ask_for_the_hash_of_the_sid_and_their_addresses() {
        let jid = |text| Jid::parse(text).unwrap();
        // `printf %s vxf9n471bn46requester@example.com/footarget@example.org/bar | sha1sum`
        assert_eq!(
            name(
                "vxf9n471bn46",
                &jid("Requester@Example.com/foo"),
                &jid("target@example.org/bar")
            ),
            "98b8d688d0f5d895fd41c5e7309a2e9e33ba32ff"
        );
    }

    #[test]
    fn an_address_has_a_name_and_a_port() {
        let place = |text| Place::parse(text).map(|place| (place.host, place.port));
        let is = |host: &str, port| Some((host.to_owned(), port));
        assert_eq!(place("xmpp.example.org:5222"), is("xmpp.example.org", 5222));
        assert_eq!(place("192.0.2.7:1080"), is("192.0.2.7", 1080));
        assert_eq!(place("[2001:db8::7]:5222"), is("2001:db8::7", 5222));
        for wrong in [
            "xmpp.example.org",
            "xmpp.example.org:0",
            "xmpp.example.org:70000",
            ":5222",
            "a@b:5222",
            "[::1:5222",
            "[example.org]:5222",
            "2001:db8::7:5222",
        ] {
            assert_eq!(place(wrong), None, "{wrong}");
        }
    }
}
