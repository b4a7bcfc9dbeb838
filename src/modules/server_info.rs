//! XEP-0485: PubSub Server Information (1.0.0)

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::runtime::Handle;

use crate::config::Period;
use crate::hooks::{AskError, Deps, Direction, Info, Module, ModuleError, Question, Registrar, To};
use crate::proto::disco;
use crate::proto::error::Condition;
use crate::proto::form::{Field, Form, FormType};
use crate::proto::jid::Jid;
use crate::proto::ns;
use crate::settings;
use crate::state::nodes::NODE_CONFIG;
use crate::xml::Element;

settings! {
    /// Tells everybody, at a node of the host's service of nodes ([modules.pubsub]), which other servers this one talks to.
    /// Named are only those that offer such information too. By this module the host agrees to be named by others.
    pub struct Config {
        /// The address of the service; if none is given, "pubsub." before the host's.
        pub service: String = String::new() => example("\"pubsub.example.org\"");
        /// Whether other servers are told of at all; else only this host is.
        pub peers: bool = true;
        /// How often is looked whether something changed.
        pub every: Period = Period::minutes(5) => within(Period::seconds(1)..=Period::days(1));
        /// Other servers of which is remembered whether they may be named.
        pub remembered: u32 = 1_000 => within(1..=100_000);
    }
}

/// The node and its one item (§5).
const NODE: &str = "serverinfo";
const ITEM: &str = "current";
/// How long an answer of another server, or of the service, may take.
const PATIENCE: Duration = Duration::from_secs(15);
/// Servers that are asked in one go.
const ASKED: usize = 20;
/// What a server said of itself holds for so long.
const HOLDS: Duration = Duration::from_secs(24 * 3_600);
/// How often is looked whether it is time.
const TICK: Duration = Duration::from_secs(1);

/// Publishes what is told.
pub struct ServerInfo {
    deps: Deps,
    service: Jid,
    peers: bool,
    every: Duration,
    remembered: usize,
    runtime: Handle,
    state: Arc<Mutex<State>>,
}

/// What is known; over a reload too.
#[derive(Default)]
struct State {
    /// Whether other servers may be named, and until when that is known.
    allowed: HashMap<Jid, (bool, Instant)>,
    /// What stands at the node.
    told: Option<Element>,
    /// Somebody is at it.
    busy: bool,
    next: Option<Instant>,
}

/// What there is with one other server.
type Links = BTreeMap<Jid, Vec<Direction>>;

impl Module for ServerInfo {
    const INFO: Info = Info {
        name: "server_info",
        specs: &[("XEP-0485", "1.0.0")],
        doc: "Tells everybody which other servers this one talks to, as far as these agree.",
        on_by_default: false,
    };
    type Config = Config;

    fn build(config: Config, deps: &Deps) -> Result<Self, ModuleError> {
        let wrong = |reason: String| ModuleError {
            module: Self::INFO.name,
            reason,
        };
        let service =
            deps.service_domain(Self::INFO.name, ("service", &config.service), "pubsub")?;
        let state = deps
            .shared
            .of::<Arc<Mutex<State>>, ModuleError>(&deps.host, || Ok(Arc::default()))?;
        Ok(ServerInfo {
            deps: deps.clone(),
            service,
            peers: config.peers,
            every: config.every.0,
            remembered: config.remembered as usize,
            runtime: Handle::try_current().map_err(|error| wrong(error.to_string()))?,
            state: (*state).clone(),
        })
    }

    fn register(self: Arc<Self>, r: &mut Registrar<'_>) {
        let this = self.clone();
        r.disco_now(move |to, info| this.announce(to, info));
        r.every(TICK, move || self.tick());
    }
}

impl ServerInfo {
    /// §3: once it can be read.
    fn announce(&self, to: To, info: &mut disco::Info) {
        if to != To::Host || self.lock().told.is_none() {
            return;
        }
        info.features.push(ns::SERVER_INFO_NODE.to_owned());
        let node = format!("xmpp:{}?;node={NODE}", self.service);
        let form = Form::new(FormType::Result)
            .with_form_type(ns::SERVER_INFO)
            .with_field(Field::text("serverinfo-pubsub-node", &node));
        info.add_form(form);
    }

    fn tick(self: &Arc<Self>) {
        let now = self.deps.clock.now();
        {
            let mut state = self.lock();
            if state.busy || state.next.is_some_and(|next| now < next) {
                return;
            }
            state.busy = true;
            state.next = Some(now + self.every);
        }
        let this = self.clone();
        self.runtime.spawn(async move {
            this.tell().await;
            this.lock().busy = false;
        });
    }

    /// Publishes what is to be told, if it is not what stands there.
    async fn tell(&self) {
        let links = match self.peers {
            true => self.links(),
            false => Links::new(),
        };
        self.learn(&links).await;
        let info = self.describe(&links);
        if self.lock().told.as_ref() == Some(&info) {
            return;
        }
        match self.publish(&info).await {
            Ok(()) => self.lock().told = Some(info),
            Err(error) => {
                self.lock().told = None;
                let why = match &error {
                    AskError::Refused(why) => why.condition.as_str(),
                    _ => "",
                };
                tracing::warn!(service = %self.service, %error, why, "the information on this server cannot be published; modules.server_info needs a service of nodes at that address (modules.pubsub)");
            }
        }
    }

    fn links(&self) -> Links {
        let mut links = Links::new();
        for link in self.deps.floor.links(&self.deps.host) {
            links.entry(link.remote).or_default().push(link.direction);
        }
        links
    }

    /// Asks servers that are not known whether they may be named (§7).
    async fn learn(&self, links: &Links) {
        let now = self.deps.clock.now();
        let unknown: Vec<Jid> = {
            let mut state = self.lock();
            state.allowed.retain(|_, (_, until)| *until > now);
            let room = self.remembered.saturating_sub(state.allowed.len());
            let unknown = links.keys().filter(|jid| !state.allowed.contains_key(*jid));
            unknown.take(room.min(ASKED)).cloned().collect()
        };
        for remote in unknown {
            let question = Question::Get(Element::new("query", ns::DISCO_INFO));
            let host = self.deps.host.clone();
            let answer = self
                .deps
                .ask(host, remote.clone(), question, PATIENCE)
                .await;
            let offers = answer.ok().flatten().is_some_and(|query| {
                let info = disco::Info::parse(query.root(), None);
                info.features.iter().any(|var| var == ns::SERVER_INFO_NODE)
            });
            self.lock().allowed.insert(remote, (offers, now + HOLDS));
        }
    }

    /// §4.
    fn describe(&self, links: &Links) -> Element {
        let element = |name| Element::new(name, ns::SERVER_INFO_NODE);
        let state = self.lock();
        let named = links.iter().filter(|(remote, _)| {
            let known = state.allowed.get(*remote);
            known.is_some_and(|(allowed, _)| *allowed)
        });
        let named = named.map(|(remote, directions)| {
            let connections = directions.iter().map(|direction| {
                element("connection").with_attr(
                    "type",
                    match direction {
                        Direction::In => "incoming",
                        Direction::Out => "outgoing",
                        Direction::Both => "bidi",
                    },
                )
            });
            element("remote-domain")
                .with_attr("name", remote.as_str())
                .with_children(connections)
        });
        let mut domain = element("domain").with_attr("name", self.deps.host.as_str());
        if self.peers {
            domain = domain.with_child(element("federation").with_children(named));
        }
        element("serverinfo").with_child(domain)
    }

    /// §5.
    async fn publish(&self, info: &Element) -> Result<(), AskError> {
        let item = Element::new("item", ns::PUBSUB)
            .with_attr("id", ITEM)
            .with_child(info.clone());
        let publish = || {
            let publish = Element::new("publish", ns::PUBSUB)
                .with_attr("node", NODE)
                .with_child(item.clone());
            Element::new("pubsub", ns::PUBSUB).with_child(publish)
        };
        match self.ask(publish()).await {
            Err(AskError::Refused(why)) if why.condition == Condition::ItemNotFound => {
                self.ask(creation()).await?;
                self.ask(publish()).await
            }
            other => other,
        }
    }

    async fn ask(&self, set: Element) -> Result<(), AskError> {
        let (host, service) = (self.deps.host.clone(), self.service.clone());
        let answer = self
            .deps
            .ask(host, service, Question::Set(set), PATIENCE)
            .await;
        answer.map(drop)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Everybody may read it, only who made it may write there, and there is one item.
fn creation() -> Element {
    let field = |name: &str, value: &str| Field::text(&format!("pubsub#{name}"), value);
    let form = Form::new(FormType::Submit)
        .with_form_type(NODE_CONFIG)
        .with_field(field("title", "Server information"))
        .with_field(field("type", ns::SERVER_INFO_NODE))
        .with_field(field("access_model", "open"))
        .with_field(field("publish_model", "publishers"))
        .with_field(field("persist_items", "true"))
        .with_field(field("max_items", "1"));
    Element::new("pubsub", ns::PUBSUB)
        .with_child(Element::new("create", ns::PUBSUB).with_attr("node", NODE))
        .with_child(Element::new("configure", ns::PUBSUB).with_child(form.to_element()))
}
