//! The house: what streams between servers and the router see of federation.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::sync::{Semaphore, oneshot};

use super::caller::{ForKey, ForPair, ForTest};
use super::keeper::{Ground, Key, Pairs};
use super::line::Line;
use super::pair::{Input, Item, Mark, Times};
use super::policy::Policy;
use super::resolve::Resolver;
use super::shelf::{Bounds, Shelf, is_kept};
use super::trouble::Trouble;
use crate::hooks::{Elsewhere, Envelope, Floor};
use crate::net::tls::Trust;
use crate::net::{DialError, ListenerOptions, Listeners, dial};
use crate::proto::error::{Condition, StanzaError};
use crate::proto::jid::Jid;
use crate::router::Router;
use crate::runtime::clock::Clock;
use crate::session::owners::Owners;
use crate::state::outbox;
use crate::store::{Mid, StoreError};
use crate::stream::server::{self, Call, Demand, Failure, Office, Purpose, Verdict, Verify};
use crate::stream::{Answer, Desk, Question, Secret, Settings};

/// Keys that are verified at once, in all.
const VERIFYING: usize = 100;

/// What federation is made with.
pub struct Options {
    /// Which domains, and how.
    pub policy: Policy,
    /// The authorities.
    pub trust: Trust,
    /// DNS.
    pub resolver: Resolver,
    /// What dialback keys are made of.
    pub secret: Secret,
    /// Streams both ways.
    pub bidi: bool,
    /// Stanzas kept for one pair of domains.
    pub queue_messages: u64,
    /// Their bytes.
    pub queue_bytes: u64,
    /// Bytes kept in all.
    pub queue_bytes_total: u64,
    /// To reach one server.
    pub connect_timeout: Duration,
    /// First pause after a failure.
    pub retry: Duration,
    /// Longest pause.
    pub retry_max: Duration,
    /// What is older than this when a call fails goes back.
    pub give_up_after: Duration,
    /// Silence after which a stream is closed.
    pub idle_after: Duration,
}

/// Federation of one server.
pub struct House {
    options: Options,
    shelf: Shelf,
    bounds: Bounds,
    listeners: Mutex<Option<Arc<Listeners>>>,
    pairs: OnceLock<Owners<Pairs<House>>>,
    lines: Mutex<HashMap<u64, Weak<Line>>>,
    verifying: Semaphore,
    me: Weak<House>,
}

/// A stream, or a pair without one, as administrators see it.
#[derive(Debug, Clone)]
pub struct LinkSummary {
    /// Ours.
    pub local: String,
    /// Theirs.
    pub remote: String,
    /// In words.
    pub state: String,
    /// Stanzas kept for it.
    pub kept: u64,
}

impl House {
    /// Federation over a router; what is kept from before is counted and will be delivered.
    ///
    /// # Errors
    /// The store's.
    pub async fn open(router: Arc<Router>, options: Options) -> Result<Arc<House>, StoreError> {
        // What is kept from a domain for itself waits for another process of ours.
        let shelf = Shelf::open(router, |pair| pair.local != pair.remote).await?;
        let house = Arc::new_cyclic(|me| House {
            bounds: Bounds {
                messages: options.queue_messages,
                bytes: options.queue_bytes,
                bytes_total: options.queue_bytes_total,
            },
            options,
            shelf,
            listeners: Mutex::default(),
            pairs: OnceLock::new(),
            lines: Mutex::default(),
            verifying: Semaphore::new(VERIFYING),
            me: me.clone(),
        });
        let _ = house.pairs.set(Owners::new(Arc::new(Pairs(house.clone()))));
        Ok(house)
    }

    /// Begins to deliver what is kept; calls go out through `listeners`.
    pub fn begin(&self, listeners: Listeners) {
        *lock(&self.listeners) = Some(Arc::new(listeners));
        for pair in self.shelf.pairs() {
            self.post(&Key::new(pair), Input::Wake);
        }
    }

    /// Other hosts and limits, for connections from now on.
    pub fn reload(&self, options: ListenerOptions, settings: Arc<Settings>) {
        if let Some(listeners) = lock(&self.listeners).as_ref() {
            listeners.reload(options, settings);
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
        let mut ticks = tokio::time::interval(Duration::from_millis(500));
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut round: u32 = 0;
        loop {
            ticks.tick().await;
            round = round.wrapping_add(1);
            if let Some(pairs) = self.pairs.get() {
                for slot in pairs.keys().iter().filter_map(|key| pairs.awake(key)) {
                    slot.post(Input::Tick);
                }
                if round.is_multiple_of(30) {
                    pairs.sweep();
                }
            }
            let lines: Vec<Arc<Line>> = self.lines();
            for line in lines {
                line.rest(self.clock().now(), self.options.idle_after);
            }
        }
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
    }

    /// Streams, and pairs that have none.
    pub fn list(&self) -> Vec<LinkSummary> {
        let mut list = Vec::new();
        for line in self.lines() {
            let told = line.told();
            let direction = match (told.incoming, told.both_ways) {
                (_, true) => "in, both ways",
                (true, false) => "in",
                (false, _) => "out",
            };
            for (pair, proof) in told.pairs {
                list.push(LinkSummary {
                    local: pair.local.to_string(),
                    remote: pair.remote.to_string(),
                    state: format!(
                        "{direction}, {}, {}{}",
                        told.address,
                        proof.name(),
                        if told.acks { ", acknowledged" } else { "" }
                    ),
                    kept: self.shelf.kept(&pair).entries,
                });
            }
        }
        if let Some(pairs) = self.pairs.get() {
            for slot in pairs.keys().iter().filter_map(|key| pairs.awake(key)) {
                let pair = slot.key().pair().clone();
                let told = slot.look(|pair| (pair.state(), pair.trouble().map(Trouble::to_string)));
                if let Some((state @ ("waiting" | "connecting"), trouble)) = told {
                    list.push(LinkSummary {
                        local: pair.local.to_string(),
                        remote: pair.remote.to_string(),
                        state: match trouble {
                            Some(trouble) => format!("{state}: {trouble}"),
                            None => state.to_owned(),
                        },
                        kept: self.shelf.kept(&pair).entries,
                    });
                }
            }
        }
        list
    }

    /// Finds, calls and leaves another server; what was seen, a line a step.
    pub async fn test(self: &Arc<Self>, local: Jid, remote: Jid) -> Vec<String> {
        let mut lines = Vec::new();
        match self.options.policy.demand(&remote) {
            Demand::Refused(why) => lines.push(format!("policy: {why}")),
            Demand::Certificate => lines.push("policy: a valid certificate is demanded".to_owned()),
            Demand::Dialback => lines.push("policy: dialback is enough".to_owned()),
        }
        let told = self.options.policy.find(&remote);
        match self.options.resolver.find(&remote, told).await {
            Err(trouble) => lines.push(format!("DNS: {trouble}")),
            Ok(targets) => {
                for target in targets {
                    let how = if target.direct {
                        "direct TLS"
                    } else {
                        "STARTTLS"
                    };
                    for address in &target.addresses {
                        lines.push(format!("address: {address}, {how}"));
                    }
                }
            }
        }
        match self.reach(&remote).await {
            Err(trouble) => lines.push(format!("connection: {trouble}")),
            Ok((stream, address, direct)) => {
                lines.push(format!("connection: {address} answers"));
                let (reply, answer) = oneshot::channel();
                let pair = outbox::Pair { local, remote };
                let caller = Arc::new(ForTest {
                    house: self.clone(),
                    address: address.to_string(),
                    reply: Mutex::new(Some(reply)),
                });
                let call = self.new_call(pair, Purpose::Stanzas, caller);
                self.drive((stream, address), direct, call);
                lines.push(match answer.await {
                    Ok(told) => told,
                    Err(_) => "stream: no outcome".to_owned(),
                });
            }
        }
        lines
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
            line.rest(self.clock().now(), Duration::ZERO);
        }
        lines.len()
    }

    pub(super) fn clock(&self) -> &Clock {
        self.shelf.clock()
    }

    pub(super) fn post(&self, key: &Key, input: Input) {
        if let Some(pairs) = self.pairs.get() {
            pairs.post(key, input);
        }
    }

    fn lines(&self) -> Vec<Arc<Line>> {
        lock(&self.lines)
            .values()
            .filter_map(Weak::upgrade)
            .collect()
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

    /// Calls the other server of a pair; how it turns out is posted to the pair.
    async fn call_other(self: Arc<Self>, key: Key) {
        let pair = key.pair().clone();
        let reached = match self.options.policy.demand(&pair.remote) {
            Demand::Refused(why) => Err(Trouble::Policy(why)),
            Demand::Certificate | Demand::Dialback => self.reach(&pair.remote).await,
        };
        match reached {
            Err(trouble) => self.post(&key, Input::Failed(trouble)),
            Ok((stream, address, direct)) => {
                let caller = Arc::new(ForPair {
                    house: self.clone(),
                    key,
                    address: address.to_string(),
                });
                let call = self.new_call(pair, Purpose::Stanzas, caller);
                self.drive((stream, address), direct, call);
            }
        }
    }

    fn new_call(
        self: &Arc<Self>,
        pair: outbox::Pair,
        purpose: Purpose,
        caller: Arc<dyn server::Caller>,
    ) -> Call {
        Call::new((pair.local, pair.remote), purpose, self.clone(), caller)
    }

    fn drive(&self, to: (TcpStream, std::net::SocketAddr), direct: bool, mut call: Call) {
        let listeners = lock(&self.listeners).clone();
        match listeners {
            Some(listeners) => listeners.call(to, direct, call),
            None => call.fail(Failure::Stopped),
        }
    }

    /// Finds a domain's servers and connects to one.
    async fn reach(
        &self,
        remote: &Jid,
    ) -> Result<(TcpStream, std::net::SocketAddr, bool), Trouble> {
        let find = self
            .options
            .resolver
            .find(remote, self.options.policy.find(remote));
        let targets = tokio::time::timeout(self.options.connect_timeout, find)
            .await
            .map_err(|_| Trouble::Dns(format!("DNS gave no answer about {remote} in time")))??;
        let patience = self.options.connect_timeout / 2;
        let mut failure = DialError::Nowhere;
        for target in targets {
            match dial(&target.addresses, patience).await {
                Ok((stream, address)) => return Ok((stream, address, target.direct)),
                Err(error) => failure = error,
            }
        }
        Err(Trouble::Dial(failure))
    }

    async fn verify(self: Arc<Self>, verify: Verify) -> Verdict {
        let Ok(_permit) = self.verifying.acquire().await else {
            return Verdict::Error(Condition::ResourceConstraint);
        };
        let (stream, address, direct) = match self.reach(&verify.remote).await {
            Ok(reached) => reached,
            Err(trouble) => {
                tracing::info!(domain = %verify.remote, reason = %trouble, "a dialback key cannot be verified");
                return Verdict::Error(match trouble.is_final() {
                    true => Condition::RemoteServerNotFound,
                    false => Condition::RemoteServerTimeout,
                });
            }
        };
        let (reply, answer) = oneshot::channel();
        let caller = Arc::new(ForKey(Mutex::new(Some(reply))));
        let pair = outbox::Pair {
            local: verify.local.clone(),
            remote: verify.remote.clone(),
        };
        let call = self.new_call(pair, Purpose::Verify(verify), caller);
        self.drive((stream, address), direct, call);
        let timeout = Verdict::Error(Condition::RemoteServerTimeout);
        answer.await.unwrap_or(timeout)
    }
}

impl Ground for House {
    fn shelf(&self) -> &Shelf {
        &self.shelf
    }

    fn times(&self, _: &outbox::Pair) -> Times {
        Times {
            retry: self.options.retry,
            retry_max: self.options.retry_max,
            give_up_after: self.options.give_up_after,
        }
    }

    fn call(self: Arc<Self>, key: Key) {
        tokio::spawn(self.call_other(key));
    }

    fn note_failure(&self, pair: &outbox::Pair, trouble: &Trouble) {
        let kept = self.shelf.kept(pair).entries;
        tracing::warn!(%pair, reason = %trouble, kept, "another server cannot be talked to");
    }
}

impl Office for House {
    fn is_local(&self, domain: &Jid) -> bool {
        self.shelf.router().is_local(domain.domain())
    }

    fn demand(&self, remote: &Jid) -> Demand {
        self.options.policy.demand(remote)
    }

    fn certified(&self, chain: &[Vec<u8>], domain: &Jid) -> Result<(), String> {
        let now = self.clock().wall();
        self.options.trust.proves(chain, domain.domain(), now)
    }

    fn key(&self, receiving: &Jid, originating: &Jid, id: &str) -> String {
        server::dialback::key(&self.options.secret, receiving, originating, id)
    }

    fn bidi(&self) -> bool {
        self.options.bidi
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
        let (Question::Verify(verify), Some(house)) = (question, self.me.upgrade()) else {
            let answer = Answer::Verified(Verdict::Error(Condition::InternalServerError));
            return Box::pin(std::future::ready(answer));
        };
        Box::pin(async move { Answer::Verified(house.verify(*verify).await) })
    }
}

impl Elsewhere for House {
    fn admit(&self, envelope: &mut Envelope) -> Result<bool, StanzaError> {
        let remote = envelope.to.domain_jid();
        if let Demand::Refused(why) = self.options.policy.demand(&remote) {
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
        self.shelf.room(&pair, &self.bounds)?;
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
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
