//! The components of one server, as streams and the router see them.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::Duration;

use arc_swap::ArcSwap;

use super::line::{Line, LineWay, ping};
use super::programs::{Program, Programs};
use super::stats::{self, Stats};
use crate::federation::{
    Ground, Input, Item, Key, Mark, Pairs, Shelf, Times, Trouble, beat, is_kept,
};
use crate::hooks::{Elsewhere, Envelope, Event, Floor};
use crate::proto::error::{Condition, StanzaError, StreamCondition, StreamError};
use crate::proto::jid::Jid;
use crate::proto::stanza::Stanza;
use crate::router::{Neighbours, Router};
use crate::session::owners::Owners;
use crate::state::outbox;
use crate::store::{Mid, StoreError};
use crate::stream::Secret;
use crate::stream::component::{Entered, Porter};

/// The components of one server.
pub struct Components {
    programs: ArcSwap<Programs>,
    shelf: Shelf,
    pairs: OnceLock<Owners<Pairs<Components>>>,
    /// By domain.
    lines: Mutex<HashMap<Box<str>, Arc<Line>>>,
    stats: Stats,
    me: Weak<Components>,
}

/// A domain that a component serves, as administrators see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Summary {
    /// The name of the component in the configuration.
    pub name: String,
    /// The domain.
    pub domain: Jid,
    /// From where it is connected; nothing while it is away.
    pub address: Option<String>,
    /// Stanzas kept for it.
    pub kept: u64,
}

impl Components {
    /// The components of a router; what is kept from before waits for them.
    ///
    /// # Errors
    /// The store's.
    pub async fn open(
        router: Arc<Router>,
        programs: Programs,
    ) -> Result<Arc<Components>, StoreError> {
        let metrics = router.metrics().clone();
        let shelf = Shelf::open(router, |pair| pair.local == pair.remote).await?;
        let house = Arc::new_cyclic(|me| Components {
            programs: ArcSwap::default(),
            shelf,
            pairs: OnceLock::new(),
            lines: Mutex::default(),
            stats: Stats::new(&metrics),
            me: me.clone(),
        });
        let _ = house.pairs.set(Owners::new(Arc::new(Pairs(house.clone()))));
        stats::watch(&metrics, house.me.clone());
        house.reload(programs);
        for pair in house.shelf.pairs() {
            house.post(&Key::new(pair), Input::Wake);
        }
        Ok(house)
    }

    /// Other programs. Streams for domains that are served no more end; others stay.
    pub fn reload(&self, programs: Programs) {
        let ways = programs.domains().into_iter().filter_map(|(domain, _)| {
            let way: Arc<dyn Elsewhere> = self.me.upgrade()?;
            Some((Box::from(domain.domain()), way))
        });
        let ways: Neighbours = ways.collect();
        let lines: Vec<Arc<Line>> = {
            let lines = self.lock();
            let gone = lines
                .iter()
                .filter(|(domain, _)| !ways.contains_key(*domain));
            gone.map(|(_, line)| line.clone()).collect()
        };
        self.programs.store(Arc::new(programs));
        self.shelf.router().set_neighbours(ways);
        for line in lines {
            line.end(Some(StreamCondition::HostGone.into()));
        }
    }

    /// What happens by time, until dropped.
    pub async fn run(self: Arc<Self>) {
        beat(&self.pairs, Duration::from_secs(1), || {}).await;
    }

    /// Lets go of everything.
    pub fn stop(&self) {
        if let Some(pairs) = self.pairs.get() {
            pairs.clear();
        }
        self.lock().clear();
    }

    /// Every domain of a component, connected or not.
    pub fn list(&self) -> Vec<Summary> {
        let domains = self.programs.load().domains().into_iter();
        let lines = self.lock();
        domains
            .map(|(domain, name)| Summary {
                name,
                address: lines.get(domain.domain()).map(|line| line.address.clone()),
                kept: self.shelf.kept(&own(&domain)).entries,
                domain,
            })
            .collect()
    }

    /// Ends the stream of a domain's component; whether there was one.
    pub fn close(&self, domain: &Jid) -> bool {
        let line = self.lock().get(domain.domain()).cloned();
        if let Some(line) = &line {
            line.end(None);
        }
        line.is_some()
    }

    pub(super) fn stats(&self) -> &Stats {
        &self.stats
    }

    pub(super) fn route(&self, envelope: Envelope) {
        self.shelf.router().route(Box::new(envelope));
    }

    pub(super) fn post(&self, key: &Key, input: Input) {
        if let Some(pairs) = self.pairs.get() {
            pairs.post(key, input);
        }
    }

    /// The question that a silent component is asked, in the name of the host that it belongs to.
    pub(super) fn probe(&self, domain: &Jid) -> Option<Stanza> {
        let hosts = self.shelf.router().hosts();
        let above = hosts.values().map(|host| &host.domain);
        let below = |host: &&Jid| {
            let rest = domain.domain().strip_suffix(host.domain());
            rest.is_some_and(|rest| rest.ends_with('.'))
        };
        let host = above.clone().find(below).or_else(|| above.clone().next())?;
        Some(ping(host, domain))
    }

    /// A stream is over; what was not written waits for the next one, or goes back.
    pub(super) fn left(&self, line: &Line, key: &Key, left: VecDeque<(Item, usize)>) {
        let domain = key.pair().remote.domain();
        {
            let mut lines = self.lock();
            if lines.get(domain).is_some_and(|own| own.id() == line.id()) {
                lines.remove(domain);
            }
        }
        self.post(key, Input::Down(line.id()));
        let left = left.into_iter().map(|(item, _)| item);
        for item in left.filter(|item| item.mark.is_none()) {
            self.post(key, Input::Stanza(item));
        }
    }

    fn program(&self, domain: &Jid) -> Option<Arc<Program>> {
        self.programs.load().of(domain.domain())
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Box<str>, Arc<Line>>> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends the stream that is there, or says that the new one must end.
    fn make_room(&self, program: &Program, domain: &Jid, key: &Key) -> Result<(), StreamError> {
        let there = self.lock().get(domain.domain()).cloned();
        let Some(there) = there.filter(|line| !line.is_ending()) else {
            return Ok(());
        };
        self.stats.conflicts.count();
        if !program.replaces {
            tracing::warn!(component = %domain, connected = %there.address, "a second connection of a component is refused; if it is meant to take the place of the first, set its conflict = \"replace\"");
            let words = format!("{domain} is connected already");
            return Err(StreamError::from(StreamCondition::Conflict).with_text(words));
        }
        tracing::warn!(component = %domain, replaced = %there.address, "a component connected once more; its first connection ends");
        self.post(key, Input::Down(there.id()));
        let words = "another connection of this component took its place";
        there.end(Some(
            StreamError::from(StreamCondition::Conflict).with_text(words),
        ));
        Ok(())
    }
}

impl Porter for Components {
    fn secret(&self, domain: &Jid) -> Option<Secret> {
        self.program(domain).map(|program| program.secret.clone())
    }

    fn enter(&self, domain: &Jid, address: &str) -> Result<Entered, StreamError> {
        let (Some(program), Some(house)) = (self.program(domain), self.me.upgrade()) else {
            return Err(StreamCondition::HostUnknown.into());
        };
        let key = Key::new(own(domain));
        self.make_room(&program, domain, &key)?;
        let line = Line::new(house, key.clone(), address.to_owned(), program.capacity);
        let before = self.lock().insert(domain.domain().into(), line.clone());
        if let Some(before) = before {
            self.post(&key, Input::Down(before.id()));
        }
        tracing::info!(component = %domain, name = program.name, address, "a component is connected");
        self.post(&key, Input::Up(Arc::new(LineWay(line.clone()))));
        self.shelf.router().tell(&Event::Attached(domain.clone()));
        Ok(Entered {
            domains: program.domains.clone(),
            seat: line,
        })
    }

    fn refused(&self, domain: &Jid, address: &str) {
        self.stats.refused.count();
        tracing::warn!(component = %domain, address, "a component does not know its secret");
    }
}

impl Elsewhere for Components {
    fn admit(&self, envelope: &mut Envelope) -> Result<bool, StanzaError> {
        let domain = envelope.to.domain_jid();
        let Some(program) = self.program(&domain) else {
            return Err(Condition::ServiceUnavailable.into());
        };
        if !is_kept(envelope.stanza.kind, &envelope.facts) {
            return Ok(false);
        }
        let pair = own(&domain);
        self.shelf.room(&pair, &program.bounds)?;
        self.shelf.keep(envelope, &pair);
        Ok(true)
    }

    fn take(&self, envelope: Box<Envelope>, kept: Option<Mid>) {
        let key = Key::new(own(&envelope.to.domain_jid()));
        let differs = envelope.stanza.to.as_ref() != Some(&envelope.to);
        let bytes = envelope.stanza.size_hint() as u64;
        let item = Item {
            stanza: envelope.stanza.clone(),
            to: differs.then(|| envelope.to.clone()),
            mark: kept.map(|mid| Mark { mid, bytes }),
        };
        self.post(&key, Input::Stanza(item));
    }
}

impl Ground for Components {
    fn shelf(&self) -> &Shelf {
        &self.shelf
    }

    fn times(&self, pair: &outbox::Pair) -> Times {
        let times = self.program(&pair.remote).map(|program| program.times);
        times.unwrap_or(Times {
            retry: Duration::from_secs(1),
            retry_max: Duration::from_secs(60),
            give_up_after: Duration::ZERO,
            lost_after: None,
        })
    }

    /// It comes by itself, or not.
    fn call(self: Arc<Self>, key: Key) {
        let Some(program) = self.program(&key.pair().remote) else {
            let words = "no program serves this address any more".to_owned();
            return self.post(&key, Input::Failed(Trouble::Nothing(words)));
        };
        tokio::spawn(async move {
            tokio::time::sleep(program.patience).await;
            self.post(&key, Input::Failed(Trouble::Away));
        });
    }

    fn knows(&self, _: &outbox::Pair) -> bool {
        false
    }

    /// It says itself who is there.
    fn lost(self: Arc<Self>, _: outbox::Pair, _: bool) {}

    fn note_failure(&self, pair: &outbox::Pair, trouble: &Trouble) {
        let kept = self.shelf.kept(pair).entries;
        if !self.lock().contains_key(pair.remote.domain()) {
            tracing::warn!(component = %pair.remote, reason = %trouble, kept, "a component is awaited");
        }
    }
}

/// The pair under which what is for a component is kept.
fn own(domain: &Jid) -> outbox::Pair {
    outbox::Pair {
        local: domain.clone(),
        remote: domain.clone(),
    }
}
