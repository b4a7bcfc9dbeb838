//! The house: what streams between servers and the router see of federation.

use std::collections::{HashMap, HashSet};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::Duration;

use arc_swap::{ArcSwap, Guard};

use super::calls::Verifying;
use super::keeper::{Ground, Key, Pairs, beat};
use super::line::Line;
use super::meters::{Meter, Meters};
use super::pair::{Input, Item, Mark, Times};
use super::resolve::Resolver;
use super::resume::Resumables;
use super::shelf::{Shelf, is_kept};
use super::stats::{self, Stats};
use super::terms::Terms;
use super::trouble::Trouble;
use crate::config::FederationDane;
use crate::hooks::{Elsewhere, Envelope, Floor, Link};
use crate::net::{ConnectionLimits, ListenerOptions, Listeners};
use crate::proto::StreamError;
use crate::proto::error::{Condition, StanzaError, StreamCondition};
use crate::proto::jid::Jid;
use crate::router::Router;
use crate::runtime::clock::Clock;
use crate::session::owners::Owners;
use crate::state::outbox;
use crate::store::{Mid, StoreError};
use crate::stream::server::{self, Demand, Office, Verdict};
use crate::stream::{Answer, Desk, NotResumed, Question, Secret, Settings};

/// Pairs that are remembered to have had a stream; for others nobody is shown as away when the way to them is lost.
const MOST_KNOWN: usize = 10_000;

/// Federation of one server.
pub struct House {
    terms: ArcSwap<Terms>,
    /// What dialback keys are made of.
    secret: Secret,
    pub(super) shelf: Shelf,
    pub(super) listeners: Mutex<Option<Arc<Listeners>>>,
    pub(super) pairs: OnceLock<Owners<Pairs<House>>>,
    lines: Mutex<HashMap<u64, Weak<Line>>>,
    pub(super) resumables: Resumables,
    /// Pairs that had a stream since the start.
    known: Mutex<HashSet<outbox::Pair>>,
    pub(super) meters: Meters,
    pub(super) stats: Stats,
    pub(super) verifying: Verifying,
    me: Weak<House>,
}

/// What holds for streams from now on.
pub struct Streams {
    /// Of those who connect.
    pub options: ListenerOptions,
    /// Of the machine.
    pub settings: Arc<Settings>,
    /// How many there may be.
    pub limits: ConnectionLimits,
}

impl House {
    /// Federation over a router; what is kept from before is counted and will be delivered.
    ///
    /// # Errors
    /// The store's.
    pub async fn open(
        router: Arc<Router>,
        secret: Secret,
        terms: Terms,
    ) -> Result<Arc<House>, StoreError> {
        // What is kept from a domain for itself waits for another process of ours.
        let metrics = router.metrics().clone();
        let shelf = Shelf::open(router, |pair| pair.local != pair.remote).await?;
        let house = Arc::new_cyclic(|me| House {
            terms: ArcSwap::from_pointee(terms),
            secret,
            shelf,
            listeners: Mutex::default(),
            pairs: OnceLock::new(),
            lines: Mutex::default(),
            resumables: Resumables::new(&metrics),
            known: Mutex::default(),
            meters: Meters::new(&metrics),
            stats: Stats::new(&metrics),
            verifying: Verifying::default(),
            me: me.clone(),
        });
        let _ = house.pairs.set(Owners::new(Arc::new(Pairs(house.clone()))));
        stats::watch(&metrics, house.me.clone());
        Ok(house)
    }

    /// Begins to deliver what is kept; calls go out through `listeners`.
    pub fn begin(&self, listeners: Listeners) {
        *lock(&self.listeners) = Some(Arc::new(listeners));
        for pair in self.shelf.pairs() {
            self.post(&Key::new(pair), Input::Wake);
        }
    }

    pub(super) fn me(&self) -> Option<Arc<House>> {
        self.me.upgrade()
    }

    /// What is made of certificates that DNS names, and whether that can be done, in words.
    pub async fn dane_in_words(&self) -> String {
        let terms = self.terms_held();
        let dane = terms.policy.general_dane();
        terms.resolver.dane_in_words(dane).await
    }

    /// Who answers about DNS.
    pub fn resolver(&self) -> Arc<Resolver> {
        self.terms().resolver.clone()
    }

    /// Other terms, hosts and limits. Streams with domains that are not talked to any more end; who was given up for a
    /// while is tried again now.
    pub fn reload(&self, terms: Terms, streams: Streams) {
        let (times, terms) = (terms.times, Arc::new(terms));
        self.meters.renew(terms.rates);
        self.terms.store(terms.clone());
        if let Some(listeners) = lock(&self.listeners).as_ref() {
            listeners.reload(streams.options, streams.settings);
            listeners.set_limits(streams.limits);
        }
        let refused = |pair: &outbox::Pair| match terms.policy.demand(&pair.remote) {
            Demand::Refused(why) => Some(why),
            Demand::Certificate | Demand::Dialback => None,
        };
        for line in self.lines() {
            let pairs = line.told().pairs;
            if let Some(why) = pairs.iter().find_map(|(pair, _)| refused(pair)) {
                let error = StreamError::from(StreamCondition::PolicyViolation);
                line.end(Some(error.with_text(why)));
            }
        }
        if let Some(pairs) = self.pairs.get() {
            for slot in pairs.keys().iter().filter_map(|key| pairs.awake(key)) {
                slot.post(Input::Renewed(times));
            }
        }
    }

    /// Where other servers connect.
    pub fn addresses(&self) -> Vec<std::net::SocketAddr> {
        let listeners = lock(&self.listeners);
        listeners
            .as_ref()
            .map_or(Vec::new(), |listeners| listeners.addresses().to_vec())
    }

    /// What happens by time, until dropped: calls again, idle streams closed, idle pairs forgotten.
    pub async fn run(self: Arc<Self>) {
        beat(&self.pairs, Duration::from_millis(500), || {
            let (now, terms) = (self.clock().now(), self.terms_held());
            for line in self.lines() {
                line.watch(now, terms.connect_timeout);
                line.watch_further(now, terms.connect_timeout);
                line.rest(now, terms.idle_after);
            }
            self.resumables.expire(now, terms.resume_for);
            self.meters.sweep();
        })
        .await;
    }

    /// Ends all streams, at most within `patience`, and lets go of everything.
    pub async fn stop(&self, patience: Duration) {
        let listeners = lock(&self.listeners).take();
        if let Some(listeners) = listeners.and_then(Arc::into_inner) {
            let left = listeners.stop(patience).await;
            if left > 0 {
                tracing::warn!(
                    left,
                    "streams with other servers did not end in time and were cut"
                );
            }
        }
        if let Some(pairs) = self.pairs.get() {
            pairs.clear();
        }
        self.resumables.clear();
    }

    /// Ends every stream with a domain.
    pub fn close(&self, remote: &Jid) -> usize {
        let with = |line: &Arc<Line>| {
            line.told()
                .pairs
                .iter()
                .any(|(pair, _)| pair.remote == *remote)
        };
        let lines: Vec<Arc<Line>> = self.lines().into_iter().filter(with).collect();
        for line in &lines {
            line.end(None);
        }
        lines.len()
    }

    /// To be held while something is waited for.
    pub(super) fn terms_held(&self) -> Arc<Terms> {
        self.terms.load_full()
    }

    pub(super) fn terms(&self) -> Guard<Arc<Terms>> {
        self.terms.load()
    }

    pub(super) fn clock(&self) -> &Clock {
        self.shelf.clock()
    }

    pub(super) fn post(&self, key: &Key, input: Input) {
        if let Some(pairs) = self.pairs.get() {
            pairs.post(key, input);
        }
    }

    pub(super) fn lines(&self) -> Vec<Arc<Line>> {
        lock(&self.lines)
            .values()
            .filter_map(Weak::upgrade)
            .collect()
    }

    /// What a domain may do.
    pub(super) fn meter(&self, remote: &Jid) -> Arc<Meter> {
        self.meters.of(remote.domain(), self.terms().rates)
    }

    /// There is a stream for a pair.
    pub(super) fn meets(&self, pair: &outbox::Pair) {
        let mut known = lock(&self.known);
        if known.len() < MOST_KNOWN {
            known.insert(pair.clone());
        }
    }

    pub(super) fn enter(&self, id: u64, line: &Arc<Line>) {
        lock(&self.lines).insert(id, Arc::downgrade(line));
    }

    pub(super) fn leave(&self, id: u64) {
        lock(&self.lines).remove(&id);
    }

    /// A stanza came in.
    pub(super) fn arrived(&self, envelope: Box<Envelope>) {
        self.shelf.router().route(envelope);
    }

    /// Routes a stanza of the server's own.
    pub(super) fn send(&self, envelope: Box<Envelope>) {
        self.shelf.router().route(envelope);
    }
}

impl Ground for House {
    fn shelf(&self) -> &Shelf {
        &self.shelf
    }

    fn times(&self, _: &outbox::Pair) -> Times {
        self.terms().times
    }

    fn call(self: Arc<Self>, key: Key) {
        tokio::spawn(self.call_other(key));
    }

    fn knows(&self, pair: &outbox::Pair) -> bool {
        lock(&self.known).contains(pair)
    }

    fn lost(self: Arc<Self>, pair: outbox::Pair, lost: bool) {
        let router = self.shelf.router().clone();
        if lost {
            tracing::warn!(%pair, "there is no way to another server for long; its people are shown as not available");
            tokio::spawn(router.domain_lost(pair.local, pair.remote));
        } else {
            tracing::info!(%pair, "another server that was lost is found again; its people are asked for");
            tokio::spawn(router.domain_found(pair.local, pair.remote));
        }
    }

    fn note_failure(&self, pair: &outbox::Pair, trouble: &Trouble) {
        self.stats.failed(trouble);
        let kept = self.shelf.kept(pair).entries;
        tracing::warn!(%pair, reason = %trouble, kept, "another server cannot be talked to");
    }
}

impl Office for House {
    fn is_local(&self, domain: &Jid) -> bool {
        self.shelf.router().is_local(domain.domain())
    }

    fn demand(&self, remote: &Jid) -> Demand {
        self.terms().policy.demand(remote)
    }

    fn certified(&self, chain: &[Vec<u8>], domain: &Jid) -> Result<(), String> {
        let (now, terms) = (self.clock().wall(), self.terms());
        if terms.policy.dane(domain) == FederationDane::Require {
            return Err("only certificates that DNS names are believed".to_owned());
        }
        terms.trust.proves(chain, domain.domain(), now)
    }

    fn asks_back(&self, remote: &Jid) -> bool {
        self.terms().policy.dane(remote) != FederationDane::Off
    }

    fn key(&self, receiving: &Jid, originating: &Jid, id: &str) -> String {
        server::dialback::key(&self.secret, receiving, originating, id)
    }

    fn bidi(&self) -> bool {
        self.terms().bidi
    }

    fn resumes(&self) -> bool {
        !self.terms().resume_for.is_zero()
    }

    fn line(&self, address: &str) -> Arc<dyn server::Line> {
        match self.me.upgrade() {
            Some(house) => Line::new(house, address.to_owned(), true),
            None => unreachable!("it is made inside an Arc"),
        }
    }
}

impl Desk for House {
    fn ask(&self, question: Question) -> Pin<Box<dyn Future<Output = Answer> + Send>> {
        let house = self.me.upgrade();
        match question {
            Question::Verify(verify) => Box::pin(async move {
                let verdict = match house {
                    Some(house) => house.verify((*verify).clone()).await,
                    None => Verdict::Error(Condition::InternalServerError),
                };
                Answer::Verified(verify, verdict)
            }),
            Question::ResumeLink(wish) => Box::pin(async move {
                Answer::LinkResumed(match house {
                    Some(house) => house.resume(*wish).await,
                    None => Err(NotResumed::Unknown { h: None }),
                })
            }),
            // Streams between servers ask nothing else.
            _ => Box::pin(std::future::ready(Answer::Noted)),
        }
    }
}

impl Elsewhere for House {
    fn admit(&self, envelope: &mut Envelope) -> Result<bool, StanzaError> {
        let remote = envelope.to.domain_jid();
        if let Demand::Refused(why) = self.terms().policy.demand(&remote) {
            return Err(Trouble::Policy(why).to_error(&remote));
        }
        let Some(from) = envelope.from().map(Jid::domain_jid) else {
            return Err(Condition::InternalServerError.into());
        };
        if !is_kept(envelope.stanza.kind, &envelope.facts) {
            return Ok(false);
        }
        let pair = outbox::Pair {
            local: from,
            remote,
        };
        self.shelf.room(&pair, &self.terms().bounds)?;
        self.shelf.keep(envelope, &pair);
        Ok(true)
    }

    fn take(&self, envelope: Box<Envelope>, kept: Option<Mid>) {
        let Some(local) = envelope.from().map(Jid::domain_jid) else {
            return;
        };
        let pair = outbox::Pair {
            local,
            remote: envelope.to.domain_jid(),
        };
        let differs = envelope.stanza.to.as_ref() != Some(&envelope.to);
        let bytes = envelope.stanza.size_hint() as u64;
        let item = Item {
            stanza: envelope.stanza.clone(),
            to: differs.then(|| envelope.to.clone()),
            mark: kept.map(|mid| Mark { mid, bytes }),
        };
        self.post(&Key::new(pair), Input::Stanza(item));
    }

    fn links(&self) -> Vec<Link> {
        self.streams()
    }
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
