//! The frozen tables of one host: which hook answers what.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use super::Info as ModuleInfo;
use super::account::SessionInfo;
use super::command::Offered;
use super::http::HttpRoutes;
use super::kinds::{
    AccountIq, AccountItems, AccountNode, AtBorder, Bar, Crossing, DiscoNow, Divert, Gate, HostIq,
    HostMessage, HostNode, Inlined, Job, Life, Loader, Nonza, OnBind, OnBound, OnDelivered,
    OnEvent, OnInline, OnMissed, OnStranger, OnStrangerFirst, OnUnconfirmed, OutboxFilter, Path,
    Phase, Probe, Reply, Request, Stranger, To, ToNobody, Transit, Verb, Which,
};
use super::service::ServiceEntry;
use super::slots::{Keepsakes, Kept, SessionFlag};
use crate::proto::disco::Info;
use crate::proto::error::StanzaError;
use crate::proto::jid::Jid;
use crate::proto::stanza::Stanza;
use crate::stream::{self, InlineRequest};
use crate::xml::{El, Element};

const PATHS: usize = 2;
const PHASES: usize = 5;

#[derive(Default)]
pub(super) struct TransitTable([[Vec<Transit>; PHASES]; PATHS]);

impl TransitTable {
    fn of(&self, path: Path, phase: Phase) -> &[Transit] {
        self.0
            .get(path as usize)
            .and_then(|phases| phases.get(phase as usize))
            .map_or(&[], Vec::as_slice)
    }

    pub(super) fn add(&mut self, path: Path, phase: Phase, hook: Transit) {
        if let Some(hooks) = self
            .0
            .get_mut(path as usize)
            .and_then(|phases| phases.get_mut(phase as usize))
        {
            hooks.push(hook);
        }
    }
}

/// Hooks by the expanded name of an element, and what else tells them apart.
pub(super) struct ByName<K, H>(HashMap<&'static str, Vec<(&'static str, K, H)>>);

impl<K, H> Default for ByName<K, H> {
    fn default() -> Self {
        ByName(HashMap::new())
    }
}

impl<K: PartialEq, H> ByName<K, H> {
    /// Adds a hook; whether there was none yet.
    pub(super) fn claim(
        &mut self,
        (ns, name): (&'static str, &'static str),
        key: K,
        hook: H,
    ) -> bool {
        let hooks = self.0.entry(ns).or_default();
        let free = !hooks.iter().any(|(n, k, _)| *n == name && *k == key);
        hooks.push((name, key, hook));
        free
    }

    fn find(&self, element: El<'_>, key: K) -> Option<&H> {
        self.find_by(element, |k| *k == key)
    }

    fn find_by(&self, element: El<'_>, fits: impl Fn(&K) -> bool) -> Option<&H> {
        self.0
            .get(element.ns())?
            .iter()
            .find(|(name, key, _)| *name == element.name() && fits(key))
            .map(|(_, _, hook)| hook)
    }
}

/// The hooks of one host, frozen.
#[derive(Default)]
pub struct Tables {
    pub(super) host_iq: ByName<Verb, HostIq>,
    pub(super) host_messages: ByName<(), HostMessage>,
    pub(super) account_iq: ByName<(To, Verb), AccountIq>,
    pub(super) account_iq_about: ByName<(To, Verb, &'static str), AccountIq>,
    pub(super) messages: TransitTable,
    pub(super) presences: TransitTable,
    pub(super) iqs: TransitTable,
    pub(super) unknown: ByName<Verb, ToNobody>,
    pub(super) loaders: Vec<Loader>,
    pub(super) bars: Vec<Bar>,
    pub(super) shut: Vec<Bar>,
    pub(super) gates: Vec<Gate>,
    pub(super) leaving: Vec<AtBorder>,
    pub(super) arriving: Vec<AtBorder>,
    pub(super) life: Vec<Life>,
    pub(super) events: Vec<OnEvent>,
    pub(super) delivered: Vec<OnDelivered>,
    pub(super) missed: Vec<OnMissed>,
    pub(super) unconfirmed: Vec<OnUnconfirmed>,
    pub(super) nonzas: ByName<(), Nonza>,
    pub(super) inlines: ByName<(), OnInline>,
    pub(super) bind_inlines: ByName<(), OnBind>,
    pub(super) bounds: Vec<OnBound>,
    pub(super) probe: Option<Probe>,
    pub(super) kept: Kept,
    pub(super) outbox: Vec<(SessionFlag, OutboxFilter)>,
    pub(super) jobs: Vec<(Duration, Job)>,
    pub(super) services: Vec<ServiceEntry>,
    pub(super) neighbours: Vec<Jid>,
    pub(super) disco: HashMap<To, Info>,
    pub(super) stream: Arc<stream::Tables>,
    pub(super) modules: Vec<ModuleInfo>,
    pub(super) commands: Vec<Offered>,
    pub(super) strangers: ByName<(), OnStranger>,
    pub(super) strangers_first: Vec<(stream::tables::Tag, OnStrangerFirst)>,
    pub(super) host_nodes: Vec<HostNode>,
    pub(super) account_nodes: Vec<AccountNode>,
    pub(super) other_account_nodes: Vec<AccountNode>,
    pub(super) account_items: Vec<AccountItems>,
    pub(super) diverts: Vec<Divert>,
    pub(super) disco_now: Vec<DiscoNow>,
    pub(super) http: HttpRoutes,
    pub(super) meetings: bool,
}

impl Tables {
    /// The handler of an iq to the host.
    pub fn host_iq(&self, verb: Verb, payload: El<'_>) -> Option<&HostIq> {
        self.host_iq.find(payload, verb)
    }

    /// The answer of who answers before the handlers of an iq, if somebody does.
    pub fn divert(&self, to: To, request: &Request<'_>) -> Option<Reply> {
        self.diverts.iter().find_map(|hook| hook(to, request))
    }

    /// Who answers requests of web clients.
    pub fn http(&self) -> &HttpRoutes {
        &self.http
    }

    /// Whether connections wait here to be joined.
    pub fn meetings(&self) -> bool {
        self.meetings
    }

    /// Who changes what disco tells at the moment.
    pub fn disco_changes(&self) -> &[DiscoNow] {
        &self.disco_now
    }

    /// The handler of a message to the host, by one of its children.
    pub fn host_message(&self, stanza: &Stanza) -> Option<&HostMessage> {
        stanza
            .children()
            .find_map(|child| self.host_messages.find(child, ()))
    }

    /// The handler of an iq to an account.
    pub fn account_iq(&self, to: To, verb: Verb, payload: El<'_>) -> Option<&AccountIq> {
        let has =
            |key: &(To, Verb, &str)| (key.0, key.1) == (to, verb) && payload.attr(key.2).is_some();
        let about = self.account_iq_about.find_by(payload, has);
        about.or_else(|| self.account_iq.find(payload, (to, verb)))
    }

    /// How a question is refused that is for an account which is not there; nothing special if not said.
    pub fn unknown(&self, verb: Verb, payload: El<'_>) -> Option<StanzaError> {
        self.unknown
            .find(payload, verb)
            .map(|refuse| refuse(payload))
    }

    /// What loads parts of accounts.
    pub fn loaders(&self) -> &[Loader] {
        &self.loaders
    }

    /// What tells from whom accounts hear nothing.
    pub fn bars(&self) -> &[Bar] {
        &self.bars
    }

    /// What tells of whom accounts take no messages.
    pub fn shut(&self) -> &[Bar] {
        &self.shut
    }

    /// Hooks at the border, in their order.
    pub fn border(&self, crossing: Crossing) -> &[AtBorder] {
        match crossing {
            Crossing::ToRemote => &self.leaving,
            Crossing::FromRemote => &self.arriving,
        }
    }

    /// Whether there is any.
    pub fn watches_border(&self) -> bool {
        !self.leaving.is_empty() || !self.arriving.is_empty()
    }

    /// What tells between whom nothing passes.
    pub fn gates(&self) -> &[Gate] {
        &self.gates
    }

    /// Transit hooks for a kind of stanza on a path, in a phase.
    pub fn transit(&self, which: Which, path: Path, phase: Phase) -> &[Transit] {
        match which {
            Which::Message => self.messages.of(path, phase),
            Which::Presence => self.presences.of(path, phase),
            Which::Iq => self.iqs.of(path, phase),
        }
    }

    /// Hooks on a session's life.
    pub fn life(&self) -> &[Life] {
        &self.life
    }

    /// Hooks on events.
    pub fn events(&self) -> &[OnEvent] {
        &self.events
    }

    /// Hooks on delivered messages.
    pub fn delivered(&self) -> &[OnDelivered] {
        &self.delivered
    }

    /// Hooks on what accounts missed in rooms.
    pub fn missed(&self) -> &[OnMissed] {
        &self.missed
    }

    /// Hooks on what clients did not confirm.
    pub fn unconfirmed(&self) -> &[OnUnconfirmed] {
        &self.unconfirmed
    }

    /// The handler of a nonza of a bound stream.
    pub fn nonza(&self, element: El<'_>) -> Option<&Nonza> {
        self.nonzas.find(element, ())
    }

    /// The answer to a request inside `<authenticate/>`, if a module claimed it.
    pub fn inline(&self, request: &InlineRequest, element: &Element) -> Option<Inlined> {
        let hook = self.inlines.find(element.root(), ())?;
        Some(hook(request, element))
    }

    /// The handler of a request inside `<bind/>`.
    pub fn bind_inline(&self, element: El<'_>) -> Option<&OnBind> {
        self.bind_inlines.find(element, ())
    }

    /// What tells clients more with the resource that was bound for them.
    pub fn bounds(&self) -> &[OnBound] {
        &self.bounds
    }

    /// How a silent client is asked whether it is there.
    pub fn probe(&self) -> Option<&Probe> {
        self.probe.as_ref()
    }

    /// Filters of what goes out to sessions with these flags.
    pub fn outbox_filters(&self) -> &[(SessionFlag, OutboxFilter)] {
        &self.outbox
    }

    /// What the modules keep with a session, to be written down.
    pub fn keepsakes(&self, session: &SessionInfo) -> Keepsakes {
        self.kept.save(session)
    }

    /// Gives a session back what the modules kept with it.
    pub fn restore(&self, session: &mut SessionInfo, keepsakes: Keepsakes) {
        self.kept.load(session, keepsakes);
    }

    /// Periodic jobs.
    pub fn jobs(&self) -> &[(Duration, Job)] {
        &self.jobs
    }

    /// Services under their own addresses.
    pub fn services(&self) -> &[ServiceEntry] {
        &self.services
    }

    /// Domains that other processes serve and that belong to this host.
    pub fn neighbours(&self) -> &[Jid] {
        &self.neighbours
    }

    /// What disco tells of this kind of address.
    pub fn disco(&self, to: To) -> Option<&Info> {
        self.disco.get(&to)
    }

    /// What the stream machine announces and accepts for this host.
    pub fn stream(&self) -> &Arc<stream::Tables> {
        &self.stream
    }

    /// Who is claimed to answer an iq before login, by its payload.
    pub fn stranger(&self, payload: El<'_>) -> Option<&OnStranger> {
        self.strangers.find(payload, ())
    }

    /// The answer to an iq before login with this payload; `None` if nobody has one.
    pub fn answer_stranger(&self, payload: El<'_>, stranger: &Stranger) -> Option<Reply> {
        let mut first = self.strangers_first.iter();
        first
            .find_map(|(tag, hook)| tag.is(payload).then(|| hook(stranger)).flatten())
            .or_else(|| Some(self.stranger(payload)?(stranger)))
    }

    /// Who answers for nodes of the host.
    pub fn host_nodes(&self) -> &[HostNode] {
        &self.host_nodes
    }

    /// Who answers for nodes of accounts, in the order in which they are asked.
    pub fn account_nodes(&self) -> impl Iterator<Item = &AccountNode> {
        self.account_nodes.iter().chain(&self.other_account_nodes)
    }

    /// Who adds to the items of accounts.
    pub fn account_items(&self) -> &[AccountItems] {
        &self.account_items
    }

    /// The administrative commands of this host, in their order.
    pub fn commands(&self) -> &[Offered] {
        &self.commands
    }

    /// The modules that are on, in their order.
    pub fn modules(&self) -> &[ModuleInfo] {
        &self.modules
    }
}
