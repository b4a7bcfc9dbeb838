//! The registrar: what a module may claim. A duplicate claim fails the start.

mod questions;
mod streams;

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
    Crossing, Event, Missed, Path, Phase, SessionEvent, Sift, Taken, To, Toll, Verdict, Which,
};
use super::parts::{Part, Parts};
use super::service::{Service, ServiceEntry};
use super::slots::{SessionFlag, SessionSlot};
use super::tables::Tables;
use super::turn::Turn;
use super::{Info, Module, ModuleError};
use crate::proto::disco::Identity;
use crate::proto::form::Form;
use crate::proto::jid::Jid;
use crate::proto::stanza::Stanza;
use crate::store::{Snapshot, StoreError};
use crate::stream::tables::Tag;
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

    /// Says of whom an account takes no messages, beside whom it bars: asked by features that give only to who may write.
    pub fn shut(&mut self, f: impl Fn(&Account, &Jid) -> bool + Send + Sync + 'static) {
        self.builder.tables.shut.push(Arc::new(f));
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

    /// Runs `f` every `period`, until the server begins to stop.
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

    /// Has connections wait for each other, to be joined ([`super::Deps::meetings`]).
    pub fn meetings(&mut self) {
        self.builder.tables.meetings = true;
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
