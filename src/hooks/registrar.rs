//! The registrar: what a module may claim. A duplicate claim fails the start.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::account::{Account, Entry, SessionId, Uid};
use super::command::{Command, Offered};
use super::envelope::Envelope;
use super::http::{HttpRequest, HttpResponse, HttpRoute};
use super::kinds::{
    Crossing, Disco, Event, Inlined, Missed, Path, Phase, Reply, Request, SessionEvent, Sift,
    Stranger, Taken, To, Toll, Verb, Verdict, Which,
};
use super::parts::{Part, Parts};
use super::service::{Service, ServiceEntry};
use super::slots::{SessionFlag, SessionSlot};
use super::tables::Tables;
use super::turn::Turn;
use super::{Info, Module, ModuleError};
use crate::proto::disco::Identity;
use crate::proto::error::Condition;
use crate::proto::form::Form;
use crate::proto::jid::Jid;
use crate::proto::stanza::Stanza;
use crate::store::{Snapshot, StoreError};
use crate::stream::InlineRequest;
use crate::stream::sasl::exchange::MechanismFactory;
use crate::stream::sasl::offer::is_built_in;
use crate::stream::tables::{BindInline, Feature, FeatureContext, Inline, Stage, Tag, When};
use crate::xml::Element;

type Frozen = Box<dyn FnOnce(&Tables) + Send>;

/// Collects the claims of one host's modules.
pub struct Builder {
    host: Jid,
    tables: Tables,
    stream: crate::stream::Tables,
    frozen: Vec<Frozen>,
    failure: Option<ModuleError>,
}

impl Builder {
    /// For the host with this domain.
    pub fn new(host: Jid) -> Self {
        Builder {
            host,
            tables: Tables::default(),
            stream: crate::stream::Tables::default(),
            frozen: Vec::new(),
            failure: None,
        }
    }

    /// Registers a module.
    ///
    /// # Errors
    /// A claim, or a name, that another module made before.
    pub fn add<M: Module>(&mut self, module: Arc<M>) -> Result<(), ModuleError> {
        let name = M::INFO.name;
        if self.tables.modules.iter().any(|other| other.name == name) {
            return Err(ModuleError {
                module: name,
                reason: "there is another module of this name".to_owned(),
            });
        }
        self.tables.modules.push(M::INFO);
        let mut registrar = Registrar {
            info: M::INFO,
            builder: self,
        };
        module.register(&mut registrar);
        if let Some(failure) = self.failure.take() {
            return Err(failure);
        }
        let missing = M::COMMANDS.iter().find(|command| {
            let mut offered = self.tables.commands.iter();
            !offered.any(|offered| offered.command.name == command.name)
        });
        match missing {
            Some(command) => Err(ModuleError {
                module: name,
                reason: format!("nothing does its command \"{}\"", command.name),
            }),
            None => Ok(()),
        }
    }

    /// Adds a command of the server itself.
    ///
    /// # Errors
    /// There is another of this name or node.
    pub fn command(&mut self, offered: Offered) -> Result<(), ModuleError> {
        let command = offered.command;
        let node = |command: &Command| command.adhoc.map(|adhoc| adhoc.node);
        let taken = self.tables.commands.iter().any(|other| {
            let other = other.command;
            other.name == command.name || (node(other).is_some() && node(other) == node(command))
        });
        self.tables.commands.push(offered);
        if taken {
            return Err(ModuleError {
                module: "",
                reason: format!(
                    "there is another command \"{}\", or of its node",
                    command.name
                ),
            });
        }
        Ok(())
    }

    /// Another process serves this domain, which belongs to the host.
    pub fn neighbour(&mut self, domain: Jid) {
        self.tables.neighbours.push(domain);
    }

    /// Freezes the tables.
    pub fn freeze(self) -> Tables {
        let mut tables = self.tables;
        tables.stream = Arc::new(self.stream);
        for f in self.frozen {
            f(&tables);
        }
        tables
    }
}

/// One module's hand in the tables of a host.
pub struct Registrar<'b> {
    info: Info,
    builder: &'b mut Builder,
}

impl Registrar<'_> {
    /// The host the tables are for.
    pub fn host(&self) -> &Jid {
        &self.builder.host
    }

    /// What the modules before this one serve.
    pub fn services(&self) -> &[ServiceEntry] {
        &self.builder.tables.services
    }

    /// Announces a feature in disco#info of this kind of address.
    pub fn feature(&mut self, at: To, var: impl Into<String>) {
        let var = var.into();
        let disco = self.builder.tables.disco.entry(at).or_default();
        if !disco.features.contains(&var) {
            disco.features.push(var);
        }
    }

    /// Announces an identity.
    pub fn identity(
        &mut self,
        at: To,
        category: &'static str,
        kind: &'static str,
        name: Option<String>,
    ) {
        let mut identity = Identity::new(category, kind);
        identity.name = name;
        let disco = self.builder.tables.disco.entry(at).or_default();
        disco.identities.push(identity);
    }

    /// Announces an extended information form (XEP-0128).
    pub fn disco_form(&mut self, at: To, form: Form) {
        let disco = self.builder.tables.disco.entry(at).or_default();
        disco.add_form(form);
    }

    /// Answers an iq to the host.
    pub fn host_iq(
        &mut self,
        verb: Verb,
        (ns, name): (&'static str, &'static str),
        f: impl Fn(&Request<'_>) -> Reply + Send + Sync + 'static,
    ) {
        let table = &mut self.builder.tables.host_iq;
        let free = table.claim((ns, name), verb, Arc::new(f));
        self.refuse_if(!free, || format!("{verb:?} {{{ns}}}{name} to the host"));
    }

    /// Handles messages to the host that have such a child.
    pub fn host_message(
        &mut self,
        (ns, name): (&'static str, &'static str),
        f: impl Fn(&Envelope) -> Verdict + Send + Sync + 'static,
    ) {
        let table = &mut self.builder.tables.host_messages;
        let free = table.claim((ns, name), (), Arc::new(f));
        self.refuse_if(!free, || {
            format!("messages with {{{ns}}}{name} to the host")
        });
    }

    /// Answers iqs to the host and to accounts before those who claimed them; `None` leaves one to them.
    pub fn divert(
        &mut self,
        f: impl Fn(To, &Request<'_>) -> Option<Reply> + Send + Sync + 'static,
    ) {
        self.builder.tables.diverts.push(Arc::new(f));
    }

    /// Changes what disco tells at the moment, where it was asked for no node.
    pub fn disco_now(
        &mut self,
        f: impl Fn(To, &mut crate::proto::disco::Info) + Send + Sync + 'static,
    ) {
        self.builder.tables.disco_now.push(Arc::new(f));
    }

    /// Answers what disco asks of nodes of the host; `None` for a node that is somebody else's.
    pub fn host_node(
        &mut self,
        f: impl Fn(&Request<'_>, Disco, &str) -> Option<Reply> + Send + Sync + 'static,
    ) {
        self.builder.tables.host_nodes.push(Arc::new(f));
    }

    /// Answers what disco asks of nodes of an account, in that account's turn and whoever asks; `None` for a
    /// node that is somebody else's.
    pub fn account_node(
        &mut self,
        f: impl Fn(&Request<'_>, &mut Turn<'_>, Disco, &str) -> Option<Reply> + Send + Sync + 'static,
    ) {
        self.builder.tables.account_nodes.push(Arc::new(f));
    }

    /// Answers, as [`Registrar::account_node`] does, for nodes that nobody else knows.
    pub fn other_account_nodes(
        &mut self,
        f: impl Fn(&Request<'_>, &mut Turn<'_>, Disco, &str) -> Option<Reply> + Send + Sync + 'static,
    ) {
        self.builder.tables.other_account_nodes.push(Arc::new(f));
    }

    /// Adds items to what disco lists of an account, in that account's turn, for who may have its presence.
    pub fn account_items(
        &mut self,
        f: impl Fn(&Request<'_>, &mut Turn<'_>) -> Option<Inlined> + Send + Sync + 'static,
    ) {
        self.builder.tables.account_items.push(Arc::new(f));
    }

    /// Answers an iq to an account, in that account's turn.
    pub fn account_iq(
        &mut self,
        to: To,
        verb: Verb,
        (ns, name): (&'static str, &'static str),
        f: impl Fn(&Request<'_>, &mut Turn<'_>) -> Reply + Send + Sync + 'static,
    ) {
        let table = &mut self.builder.tables.account_iq;
        let free = table.claim((ns, name), (to, verb), Arc::new(f));
        self.refuse_if(!free, || format!("{verb:?} {{{ns}}}{name} to {to:?}"));
    }

    /// Answers, as [`Registrar::account_iq`] does, where the payload has this attribute, before who answers all of its
    /// name.
    pub fn account_iq_about(
        &mut self,
        to: To,
        verb: Verb,
        (ns, name): (&'static str, &'static str),
        attribute: &'static str,
        f: impl Fn(&Request<'_>, &mut Turn<'_>) -> Reply + Send + Sync + 'static,
    ) {
        let table = &mut self.builder.tables.account_iq_about;
        let free = table.claim((ns, name), (to, verb, attribute), Arc::new(f));
        self.refuse_if(!free, || {
            format!("{verb:?} {{{ns}}}{name} with {attribute} to {to:?}")
        });
    }

    /// Says how a question to an account that is not there is refused, where a stranger's question to
    /// one that is there is refused otherwise than with `service-unavailable`: nobody learns from
    /// the answer whether there is an account.
    pub fn unknown(
        &mut self,
        verb: Verb,
        (ns, name): (&'static str, &'static str),
        refusal: Condition,
    ) {
        let table = &mut self.builder.tables.unknown;
        let free = table.claim((ns, name), verb, refusal);
        self.refuse_if(!free, || format!("{verb:?} {{{ns}}}{name} to nobody"));
    }

    /// Loads a part of every account when it is loaded, on a thread that may read the store; `None`
    /// when the account has nothing of it.
    pub fn part<P: Part>(
        &mut self,
        load: impl Fn(&dyn Snapshot, Uid) -> Result<Option<P>, StoreError> + Send + Sync + 'static,
    ) {
        self.builder.tables.loaders.push(Arc::new(move |view, uid| {
            let part = load(view, uid)?;
            Ok(Box::new(move |parts: &mut Parts| match part {
                Some(part) => parts.put(part),
                None => drop(parts.take::<P>()),
            }))
        }));
    }

    /// Says from whom an account hears nothing and whom it tells nothing, where no stanza in transit
    /// could be looked at: presence that the server sends for the account, its probes, requests and
    /// messages that waited.
    pub fn bar(&mut self, f: impl Fn(&Account, &Jid) -> bool + Send + Sync + 'static) {
        self.builder.tables.bars.push(Arc::new(f));
    }

    /// Says between whom nothing passes: `f` gets an address of the host or of one of its services,
    /// and the other one. It is asked about every stanza on its way, whatever its kind, its path and
    /// whoever sends it; both may be of the host.
    pub fn gate(&mut self, f: impl Fn(&Jid, &Jid) -> bool + Send + Sync + 'static) {
        self.builder.tables.gates.push(Arc::new(f));
    }

    /// Sees what leaves for other servers, or comes from them: of accounts, services and the host itself.
    pub fn border(
        &mut self,
        crossing: Crossing,
        f: impl Fn(&mut Envelope) -> Toll + Send + Sync + 'static,
    ) {
        let tables = &mut self.builder.tables;
        match crossing {
            Crossing::ToRemote => tables.leaving.push(Arc::new(f)),
            Crossing::FromRemote => tables.arriving.push(Arc::new(f)),
        }
    }

    /// Sees messages in transit.
    pub fn message(
        &mut self,
        path: Path,
        phase: Phase,
        f: impl Fn(&mut Envelope, &mut Turn<'_>) -> Verdict + Send + Sync + 'static,
    ) {
        self.transit(Which::Message, path, phase, f);
    }

    /// Sees presence in transit.
    pub fn presence(
        &mut self,
        path: Path,
        phase: Phase,
        f: impl Fn(&mut Envelope, &mut Turn<'_>) -> Verdict + Send + Sync + 'static,
    ) {
        self.transit(Which::Presence, path, phase, f);
    }

    /// Sees iqs in transit between others.
    pub fn iq_transit(
        &mut self,
        path: Path,
        phase: Phase,
        f: impl Fn(&mut Envelope, &mut Turn<'_>) -> Verdict + Send + Sync + 'static,
    ) {
        self.transit(Which::Iq, path, phase, f);
    }

    /// Sees points of a session's life.
    pub fn session(
        &mut self,
        f: impl Fn(SessionEvent, SessionId, &mut Turn<'_>) + Send + Sync + 'static,
    ) {
        self.builder.tables.life.push(Arc::new(f));
    }

    /// Keeps a value with sessions under `name`, unique within the module: while a session is
    /// detached, and over a restart, as JSON. A value of another `version` than this is not given
    /// back; one type makes one slot.
    pub fn session_slot<T>(&mut self, name: &str, version: u32) -> SessionSlot<T>
    where
        T: Part + Default + Serialize + DeserializeOwned,
    {
        let name = format!("{}/{name}", self.info.name);
        let free = self.builder.tables.kept.slot::<T>(name.clone(), version);
        self.refuse_if(!free, || format!("to the session slot {name}"));
        SessionSlot::new()
    }

    /// Keeps a yes or no with sessions under `name`, unique within the module: while a session is
    /// detached, and over a restart. A host's modules may have 32 of them.
    pub fn session_flag(&mut self, name: &str) -> SessionFlag {
        let name = format!("{}/{name}", self.info.name);
        let flag = self.builder.tables.kept.flag(name.clone());
        self.refuse_if(flag.is_none(), || {
            format!("to the session flag {name}, or 32 flags are in use")
        });
        flag.unwrap_or_default()
    }

    /// Sifts what goes out to sessions while they have this flag: the first filter whose flag is
    /// set decides. What is kept back is bounded, counts as queued, and goes out in its order when
    /// the flag goes, or when it grows too much.
    pub fn outbox(
        &mut self,
        flag: SessionFlag,
        f: impl Fn(&Stanza) -> Sift + Send + Sync + 'static,
    ) {
        self.builder.tables.outbox.push((flag, Arc::new(f)));
    }

    /// Handles a nonza of bound streams.
    pub fn nonza(
        &mut self,
        (ns, name): (&'static str, &'static str),
        f: impl Fn(&Element, SessionId, &mut Turn<'_>) + Send + Sync + 'static,
    ) {
        self.builder.stream.nonzas.push(Tag { name, ns });
        let nonzas = &mut self.builder.tables.nonzas;
        let free = nonzas.claim((ns, name), (), Arc::new(f));
        self.refuse_if(!free, || format!("the nonza {{{ns}}}{name}"));
    }

    /// Makes the question that silent clients are asked.
    pub fn probe(&mut self, f: impl Fn(&Jid) -> Stanza + Send + Sync + 'static) {
        let taken = self.builder.tables.probe.replace(Arc::new(f)).is_some();
        self.refuse_if(taken, || "how silent clients are asked".to_owned());
    }

    /// Runs once when all modules have registered, with the tables as they will stay.
    pub fn frozen(&mut self, f: impl FnOnce(&Tables) + Send + 'static) {
        self.builder.frozen.push(Box::new(f));
    }

    /// Sees delivered messages and who took them.
    pub fn delivered(
        &mut self,
        f: impl Fn(&Envelope, Taken, &mut Turn<'_>) + Send + Sync + 'static,
    ) {
        self.builder.tables.delivered.push(Arc::new(f));
    }

    /// Sees what is said in rooms that an account is a member of, and that none of its clients is in.
    pub fn missed(&mut self, f: impl Fn(&Missed, &mut Turn<'_>) + Send + Sync + 'static) {
        self.builder.tables.missed.push(Arc::new(f));
    }

    /// Sees what was handed to a session and not confirmed by its client when its connection was lost, in the log's order; the
    /// session is still there.
    pub fn unconfirmed(
        &mut self,
        f: impl Fn(SessionId, &[Entry], &mut Turn<'_>) + Send + Sync + 'static,
    ) {
        self.builder.tables.unconfirmed.push(Arc::new(f));
    }

    /// Sees events.
    pub fn event(&mut self, f: impl Fn(&Event) + Send + Sync + 'static) {
        self.builder.tables.events.push(Arc::new(f));
    }

    /// Runs `f` every `period`.
    pub fn every(&mut self, period: Duration, f: impl Fn() + Send + Sync + 'static) {
        self.builder.tables.jobs.push((period, Arc::new(f)));
    }

    /// Offers a command, one of [`Module::COMMANDS`].
    pub fn command(&mut self, offered: Offered) {
        let module = self.info.name;
        if let Err(error) = self.builder.command(offered)
            && self.builder.failure.is_none()
        {
            self.builder.failure = Some(ModuleError { module, ..error });
        }
    }

    /// Answers requests of web clients at a path and below it.
    pub fn http<A>(
        &mut self,
        route: HttpRoute,
        f: impl Fn(HttpRequest) -> A + Send + Sync + 'static,
    ) where
        A: Future<Output = HttpResponse> + Send + 'static,
    {
        let name = format!("{} {}", route.method.as_str(), route.path);
        let handler = move |request| -> super::HttpAnswer { Box::pin(f(request)) };
        let free = self.builder.tables.http.claim(route, Arc::new(handler));
        self.refuse_if(!free, || name);
    }

    /// Serves a domain of its own.
    pub fn service(&mut self, domain: Jid, kind: &'static str, service: Arc<dyn Service>) {
        let tables = &mut self.builder.tables;
        let taken = tables.services.iter().any(|s| s.domain == domain);
        tables.services.push(ServiceEntry {
            domain: domain.clone(),
            kind,
            service,
        });
        self.refuse_if(taken, || format!("the address {domain}"));
    }

    /// Announces a feature of client streams; `make` may leave it out for a stream.
    pub fn stream_feature(
        &mut self,
        stage: Stage,
        make: impl Fn(&FeatureContext<'_>) -> Option<Element> + Send + Sync + 'static,
    ) {
        let make = Box::new(make);
        self.builder.stream.features.push(Feature { stage, make });
    }

    /// Answers an iq with this payload before login, on secured streams. What comes before login is
    /// slow, bounded for each stream, and must be bounded by the module for each address.
    pub fn stranger_iq(
        &mut self,
        (ns, name): (&'static str, &'static str),
        f: impl Fn(&Stranger) -> Reply + Send + Sync + 'static,
    ) {
        self.builder.stream.strangers.push(Tag { name, ns });
        let table = &mut self.builder.tables.strangers;
        let free = table.claim((ns, name), (), Arc::new(f));
        self.refuse_if(!free, || format!("{{{ns}}}{name} before login"));
    }

    /// Answers such iqs before login before who claimed them; `None` leaves one to that module.
    pub fn stranger_first(
        &mut self,
        (ns, name): (&'static str, &'static str),
        f: impl Fn(&Stranger) -> Option<Reply> + Send + Sync + 'static,
    ) {
        let tag = Tag { name, ns };
        self.builder.stream.strangers.push(tag);
        let table = &mut self.builder.tables.strangers_first;
        table.push((tag, Arc::new(f)));
    }

    /// Adds a SASL mechanism.
    pub fn mechanism(&mut self, mechanism: impl MechanismFactory + 'static) {
        let name = mechanism.name();
        let mechanisms = &mut self.builder.stream.mechanisms;
        let taken = is_built_in(name) || mechanisms.iter().any(|other| other.name() == name);
        mechanisms.push(Arc::new(mechanism));
        self.refuse_if(taken, || format!("the SASL mechanism {name}"));
    }

    /// Answers a request inside `<authenticate/>` (XEP-0388) with elements for `<success/>`.
    /// `announce` makes what stands for it inside `<inline/>`.
    pub fn inline(
        &mut self,
        when: When,
        (ns, name): (&'static str, &'static str),
        announce: impl Fn(&FeatureContext<'_>) -> Option<Element> + Send + Sync + 'static,
        f: impl Fn(&InlineRequest, &Element) -> Inlined + Send + Sync + 'static,
    ) {
        self.builder.stream.inlines.push(Inline {
            tags: vec![Tag { name, ns }],
            make: Box::new(announce),
            when,
        });
        let table = &mut self.builder.tables.inlines;
        let free = table.claim((ns, name), (), Arc::new(f));
        self.refuse_if(!free, || format!("{{{ns}}}{name} inside <authenticate/>"));
    }

    /// Answers a request inside `<bind/>` (XEP-0386), in the account's turn, with an element for
    /// `<bound/>`; it is announced as the feature `ns`.
    pub fn bind_inline(
        &mut self,
        (ns, name): (&'static str, &'static str),
        f: impl Fn(&Element, SessionId, &mut Turn<'_>) -> Option<Element> + Send + Sync + 'static,
    ) {
        self.builder.stream.bind_inlines.push(BindInline {
            tags: vec![Tag { name, ns }],
            var: ns,
        });
        let table = &mut self.builder.tables.bind_inlines;
        let free = table.claim((ns, name), (), Arc::new(f));
        self.refuse_if(!free, || format!("{{{ns}}}{name} inside <bind/>"));
    }

    /// Adds elements to `<bound/>` of every client that binds by XEP-0386, without being asked to; the
    /// session is there when they are made.
    pub fn bound(
        &mut self,
        f: impl Fn(SessionId, &mut Turn<'_>) -> Option<Inlined> + Send + Sync + 'static,
    ) {
        self.builder.tables.bounds.push(Arc::new(f));
    }

    fn transit(
        &mut self,
        which: Which,
        path: Path,
        phase: Phase,
        f: impl Fn(&mut Envelope, &mut Turn<'_>) -> Verdict + Send + Sync + 'static,
    ) {
        let tables = &mut self.builder.tables;
        let table = match which {
            Which::Message => &mut tables.messages,
            Which::Presence => &mut tables.presences,
            Which::Iq => &mut tables.iqs,
        };
        table.add(path, phase, Arc::new(f));
    }

    fn refuse_if(&mut self, taken: bool, what: impl FnOnce() -> String) {
        if taken && self.builder.failure.is_none() {
            self.builder.failure = Some(ModuleError {
                module: self.info.name,
                reason: format!("another module already answers {}", what()),
            });
        }
    }
}
