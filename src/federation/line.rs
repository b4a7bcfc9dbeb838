//! One stream to or from another server: its pairs of domains, and what goes over it. It may outlive its connection
//! ([`super::resume`]); a connection is a [`LineSeat`].

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use super::flow::{Flow, wake};
use super::further::Further;
use super::house::House;
use super::keeper::Key;
use super::meters::Meter;
use super::pair::{Input, Item, Mark, Way};
use super::seat::LineSeat;
use super::unacked::Unacked;
use crate::hooks::{Pushed, Source};
use crate::proto::StreamError;
use crate::proto::error::StreamCondition;
use crate::proto::jid::Jid;
use crate::state::outbox;
use crate::store::Batch;
use crate::stream::server::{self, Proof, Proven};
use crate::stream::{End, Resumption, Seat};

/// Who opened a stream both ways has so long to go on with an earlier one before ours is used.
const UNDECIDED: Duration = Duration::from_secs(5);

static NEXT: AtomicU64 = AtomicU64::new(1);

/// A stanza of a pair.
pub(super) type Piece = (Key, Item);

/// A stream between servers.
pub(super) struct Line {
    pub id: u64,
    /// Whether the other server opened it.
    pub incoming: bool,
    pub born: Instant,
    pub house: Arc<House>,
    inner: Mutex<Inner>,
    me: Weak<Line>,
}

pub(super) struct Inner {
    /// From where, or where to.
    pub address: String,
    pub flow: Flow<Piece>,
    pub unacked: Unacked<Piece>,
    /// The pairs proved on it, and how.
    pub pairs: Vec<(outbox::Pair, Proof)>,
    /// Those whose stanzas it takes.
    pub takes: Vec<Key>,
    /// Those of which the pair has not heard yet: the other side may say that an earlier stream goes on.
    pub unannounced: Vec<Key>,
    pub both_ways: bool,
    /// DNS names their certificate.
    pub named: bool,
    pub acks: bool,
    pub on_the_wire: Vec<(Key, Mark)>,
    pub committing: u32,
    pub used: Instant,
    /// Since when an acknowledgement is awaited.
    pub awaited: Option<Instant>,
    pub state: State,
    /// Which connection carries it.
    pub connection: u64,
    /// How it may be resumed.
    pub resumption: Option<Resumption>,
    /// Keys of further domains of ours, if it may carry them.
    pub further: Option<Further>,
    /// What its domain may do, this stream counted.
    pub meter: Option<Arc<Meter>>,
    /// The domain of ours that it was opened to, while it counts among the connections of its domain.
    pub counted: Option<Jid>,
}

/// How a stream is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    Connected,
    /// It lost its connection then, and may be resumed.
    Broken(Instant),
    /// It ended then.
    Over(Instant),
}

/// What is told of a stream.
pub(super) struct Told {
    pub address: String,
    pub incoming: bool,
    pub acks: bool,
    pub both_ways: bool,
    pub named: bool,
    pub broken: bool,
    pub resumable: bool,
    /// Stanzas that wait to be written or acknowledged.
    pub waiting: usize,
    pub pairs: Vec<(outbox::Pair, Proof)>,
}

impl Line {
    pub fn new(house: Arc<House>, address: String, incoming: bool) -> Arc<Line> {
        let now = house.clock().now();
        let line = Arc::new_cyclic(|me| Line {
            id: NEXT.fetch_add(1, Ordering::Relaxed),
            incoming,
            born: now,
            inner: Mutex::new(Inner {
                address,
                flow: Flow::new(house.terms().capacity),
                unacked: Unacked::default(),
                pairs: Vec::new(),
                takes: Vec::new(),
                unannounced: Vec::new(),
                both_ways: false,
                named: false,
                acks: false,
                on_the_wire: Vec::new(),
                committing: 0,
                used: now,
                awaited: None,
                state: State::Connected,
                connection: 0,
                resumption: None,
                further: None,
                meter: None,
                counted: None,
            }),
            house,
            me: me.clone(),
        });
        line.house.enter(line.id, &line);
        line
    }

    /// A pair was proved; with `takes` its stanzas may go out here.
    pub fn add(&self, pair: outbox::Pair, proof: Proof, takes: bool) {
        let mut inner = self.lock();
        let both_ways = takes && self.incoming;
        tracing::info!(%pair, address = %inner.address, incoming = self.incoming, proof = proof.name(), both_ways, "a stream with another server");
        let key = Key::new(pair.clone());
        let meter = self.house.meter(&pair.remote);
        self.house.meets(&pair);
        let local = pair.local.clone();
        inner.pairs.push((pair, proof));
        if takes {
            inner.takes.push(key);
        }
        let first = inner.meter.is_none();
        inner.meter.get_or_insert(meter.clone());
        if first && self.incoming {
            inner.counted = Some(local.clone());
            drop(inner);
            self.is_one_more(&meter, &local);
        }
    }

    /// Counts it among those of its domain.
    fn is_one_more(&self, meter: &Meter, local: &Jid) {
        let most = self.house.terms().connections_per_domain;
        let count = meter.enter(local);
        if count > most {
            let words = format!("this domain has {most} connections already");
            tracing::warn!(count, most, address = %self.lock().address, "another server opens more connections than federation.connections_per_domain; this one is closed");
            self.house.meters.too_many.count();
            let error = StreamError::from(StreamCondition::PolicyViolation);
            self.end(Some(error.with_text(words)));
        }
    }

    /// A stanza of so many bytes came: who is too fast is read later.
    pub fn charge(self: &Arc<Self>, bytes: usize) {
        let now = self.house.clock().now();
        let meter = self.lock().meter.clone();
        let wait = meter.map_or(Duration::ZERO, |meter| meter.charge(bytes, now));
        if wait.is_zero() {
            return;
        }
        self.house.meters.too_fast.count();
        self.lock().flow.pause();
        let line = self.clone();
        tokio::spawn(async move {
            tokio::time::sleep(wait).await;
            let waker = line.lock().flow.unpause();
            wake(waker);
        });
    }

    /// Both sides may speak.
    pub fn goes_both_ways(&self) {
        self.lock().both_ways = true;
    }

    /// DNS names their certificate.
    pub fn is_named(&self) {
        self.lock().named = true;
    }

    pub fn told(&self) -> Told {
        let inner = self.lock();
        Told {
            address: inner.address.clone(),
            incoming: self.incoming,
            acks: inner.acks,
            named: inner.named,
            both_ways: self.incoming && !inner.takes.is_empty(),
            broken: matches!(inner.state, State::Broken(_)),
            resumable: inner.resumption.is_some(),
            waiting: inner.flow.len() + inner.unacked.weight().0,
            pairs: inner.pairs.clone(),
        }
    }

    /// Time passes: gives the connection up if an acknowledgement does not come in time.
    pub fn watch(&self, now: Instant, patience: Duration) {
        let waker = {
            let mut inner = self.lock();
            let asked = inner.state == State::Connected && inner.unacked.is_asked();
            inner.awaited = asked.then(|| inner.awaited.unwrap_or(now));
            let since = inner.awaited.unwrap_or(now);
            if !asked || now.saturating_duration_since(since) < patience {
                return;
            }
            inner.flow.writer()
        };
        tracing::warn!(address = %self.told().address, "another server acknowledges nothing: its connection is given up");
        self.disconnected(End::Timeout);
        wake(waker);
    }

    /// Time passes: ends the stream if nothing went over it for so long.
    pub fn rest(&self, now: Instant, idle: Duration) {
        let (quiet, undecided) = {
            let inner = self.lock();
            let unused = now.saturating_duration_since(inner.used);
            let quiet = inner.state == State::Connected
                && inner.flow.is_empty()
                && inner.unacked.is_empty()
                && unused >= idle;
            (quiet, !inner.unannounced.is_empty() && unused >= UNDECIDED)
        };
        if undecided {
            self.announce();
        }
        if quiet {
            self.end(None);
        }
    }

    /// Ends the stream once what is queued is written.
    pub fn end(&self, error: Option<StreamError>) {
        let (waker, broken) = {
            let mut inner = self.lock();
            let broken = matches!(inner.state, State::Broken(_));
            (inner.flow.end(error), broken)
        };
        wake(waker);
        if broken {
            self.dissolve();
        }
    }

    pub fn me(&self) -> Option<Arc<Line>> {
        self.me.upgrade()
    }

    /// The pairs hear that their stanzas may go out here.
    pub fn announce(&self) {
        let keys = std::mem::take(&mut self.lock().unannounced);
        let Some(me) = self.me() else {
            return;
        };
        for key in keys {
            self.house.post(&key, Input::Up(me.way(&key)));
        }
    }

    pub fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn taken(&self, marks: Vec<(Key, Mark)>) {
        for (key, mark) in marks {
            self.house.post(&key, Input::Taken(vec![mark]));
        }
    }

    pub fn room(&self, keys: Vec<Key>) {
        for key in keys {
            self.house.post(&key, Input::Room);
        }
    }

    /// The way out for one pair.
    pub fn way(self: &Arc<Self>, key: &Key) -> Arc<dyn Way> {
        Arc::new(PairWay {
            line: self.clone(),
            key: key.clone(),
        })
    }
}

impl Inner {
    /// Writes a stanza, and remembers it until it has arrived.
    pub fn write(&mut self, (piece, size): (Piece, usize), out: &mut Vec<u8>) {
        let (key, item) = &piece;
        match &item.to {
            Some(to) => item.stanza.write_to(to, None, out),
            None => item.stanza.write(None, out),
        }
        if self.acks {
            self.unacked.hold(piece, size);
        } else if let Some(mark) = item.mark {
            self.on_the_wire.push((key.clone(), mark));
        }
    }

    /// The pairs that wait for room, when half of it is free again.
    pub fn room_again(&mut self) -> Vec<Key> {
        match self.flow.room_again(self.unacked.weight()) {
            true => self.takes.clone(),
            false => Vec::new(),
        }
    }
}

/// A line as one pair sees it.
struct PairWay {
    line: Arc<Line>,
    key: Key,
}

impl Way for PairWay {
    fn id(&self) -> u64 {
        self.line.id
    }

    fn push(&self, item: Item) -> Pushed {
        if self.line.house.shelf.turns_back(self.key.pair(), &item) {
            let mark = item.mark.map(|mark| (self.key.clone(), mark));
            self.line.taken(mark.into_iter().collect());
            return Pushed::Queued;
        }
        let (kept, size) = (item.mark.is_some(), item.stanza.size_hint());
        let (pushed, waker) = {
            let mut inner = self.line.lock();
            let held = inner.unacked.weight();
            let pushed = inner.flow.push((self.key.clone(), item), kept, size, held);
            inner.used = self.line.house.clock().now();
            (pushed, inner.flow.writer())
        };
        wake(waker);
        pushed
    }

    fn give_up(&self) {
        self.line.dissolve();
    }
}

impl server::Line for Line {
    fn proven(&self, proven: &Proven) {
        let pair = outbox::Pair {
            local: proven.local.clone(),
            remote: proven.remote.clone(),
        };
        let key = Key::new(pair.clone());
        self.add(pair, proven.proof, proven.bidi);
        if proven.bidi {
            self.goes_both_ways();
            let waits = self.house.resumables.is_broken(true, &key);
            self.lock().unannounced.push(key);
            if !waits {
                self.announce();
            }
        }
    }

    fn seat(&self) -> Arc<dyn Seat> {
        let connection = self.lock().connection;
        match self.me.upgrade() {
            Some(me) => Arc::new(LineSeat::new(me, connection)),
            None => unreachable!("it is made inside an Arc"),
        }
    }

    fn superseded(&self) {
        let mut inner = self.lock();
        inner.pairs.clear();
        inner.takes.clear();
        inner.unannounced.clear();
        drop(inner);
        self.dissolve();
    }
}

impl Source for Line {
    fn submitted(&self, _: u32, _: &mut Batch) {
        self.lock().committing += 1;
    }

    fn is_stale(&self) -> bool {
        false
    }

    fn completed(&self, number: u32, submitted: bool, handled: bool) {
        let wakers = {
            let mut inner = self.lock();
            inner.flow.tally.complete(number, handled);
            if submitted {
                inner.committing = inner.committing.saturating_sub(1);
            }
            if !handled {
                // The other side sends it again on the next stream.
                let error = StreamError::from(StreamCondition::InternalServerError);
                let writer = inner.flow.end(Some(error));
                return wake(writer);
            }
            let writer = match inner.flow.tally.is_due() {
                true => inner.flow.writer(),
                false => None,
            };
            [inner.flow.reader(), writer]
        };
        wakers.into_iter().for_each(wake);
    }

    fn committing(&self) -> bool {
        self.lock().committing > 0
    }
}
