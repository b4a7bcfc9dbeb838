//! Streams with other servers that go on after their connection broke (XEP-0198 §5): what was not acknowledged is sent
//! again, and nothing twice. Who opened a stream resumes it, on a new one on which the same pairs of domains were proved.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use super::flow::wake;
use super::house::{House, lock};
use super::keeper::Key;
use super::line::{Line, Piece, State};
use super::pair::{Input, STABLE};
use super::seat::LineSeat;
use super::trouble::Trouble;
use crate::metrics::{Counter, Registry};
use crate::proto::stanza::{IqType, Kind};
use crate::runtime::random;
use crate::stream::server::{Failure, Proof, ResumeLink, Taken};
use crate::stream::{AckError, Enable, End, NotResumed, Resumption, Seat};

/// What came over a stream that broke is through after this time, or the disk is in trouble.
const SETTLE: Duration = Duration::from_secs(10);

/// Whether the other side opened a stream, and its pair.
type Place = (bool, Box<str>);

/// Streams that may be resumed, or could have been.
pub(super) struct Resumables {
    named: Mutex<HashMap<Box<str>, Arc<Line>>>,
    /// Those without a connection.
    broken: Mutex<HashMap<Place, Arc<Line>>>,
    waiting: AtomicU64,
    pub resumed: Counter,
    pub refused: Counter,
    pub expired: Counter,
}

impl Resumables {
    pub fn new(metrics: &Registry) -> Resumables {
        let counter = |outcome| {
            metrics.counter(
                "waxwing_federation_resumptions_total",
                "Streams with other servers that lost their connection, by what became of them.",
                &[("outcome", outcome)],
            )
        };
        Resumables {
            named: Mutex::default(),
            broken: Mutex::default(),
            waiting: AtomicU64::new(0),
            resumed: counter("resumed"),
            refused: counter("refused"),
            expired: counter("expired"),
        }
    }

    /// Whether a stream of this pair waits to be resumed.
    pub fn is_broken(&self, incoming: bool, key: &Key) -> bool {
        lock(&self.broken).contains_key(&place(incoming, key))
    }

    /// The stream of this pair that we may resume.
    pub fn ours(&self, key: &Key) -> Option<Arc<Line>> {
        lock(&self.broken).get(&place(false, key)).cloned()
    }

    /// Forgets everything.
    pub fn clear(&self) {
        lock(&self.named).clear();
        lock(&self.broken).clear();
    }

    /// Gives up what waited for too long.
    pub fn expire(&self, now: Instant, patience: Duration) {
        let named: Vec<Arc<Line>> = {
            let broken = lock(&self.broken);
            let named = lock(&self.named);
            named.values().chain(broken.values()).cloned().collect()
        };
        for line in named {
            let (state, max) = {
                let inner = line.lock();
                let max = inner.resumption.as_ref().map(|wish| wish.max);
                (inner.state, max.unwrap_or(0))
            };
            let patience = patience.min(Duration::from_secs(max.into()));
            match state {
                State::Broken(since) if now.saturating_duration_since(since) >= patience => {
                    self.expired.count();
                    line.dissolve();
                }
                State::Over(since) if now.saturating_duration_since(since) >= patience => {
                    self.forget(&line);
                }
                _ => {}
            }
        }
    }

    fn forget(&self, line: &Line) {
        let token = line.lock().resumption.take().map(|own| own.token);
        if let Some(token) = token {
            lock(&self.named).remove(token.as_str());
        }
    }

    /// Takes a stream in that lost its connection, if there is room.
    fn enter(&self, line: &Arc<Line>, keys: &[Key], most: u64) -> bool {
        if self.waiting.load(Ordering::Relaxed) >= most {
            return false;
        }
        let mut broken = lock(&self.broken);
        for key in keys {
            broken.insert(place(line.incoming, key), line.clone());
        }
        self.waiting.store(broken.len() as u64, Ordering::Relaxed);
        true
    }

    fn leave(&self, line: &Line) {
        let mut broken = lock(&self.broken);
        broken.retain(|_, own| own.id != line.id);
        self.waiting.store(broken.len() as u64, Ordering::Relaxed);
    }
}

fn place(incoming: bool, key: &Key) -> Place {
    use crate::session::owners::OwnerKey;
    (incoming, key.as_key().into())
}

impl Line {
    /// How the other side may resume this stream, if it asks for it.
    pub fn may_be_resumed(self: &Arc<Self>, wish: Enable) -> Option<Resumption> {
        let most = self.house.terms().resume_for.as_secs();
        let most = u32::try_from(most).unwrap_or(u32::MAX);
        if !wish.resume || most == 0 {
            return None;
        }
        let resumption = Resumption {
            token: random::token(),
            max: wish.max.map_or(most, |max| max.min(most)),
        };
        self.lock().resumption = Some(resumption.clone());
        let named = &self.house.resumables.named;
        lock(named).insert(resumption.token.as_str().into(), self.clone());
        Some(resumption)
    }

    /// The other side says how we may resume this stream.
    pub fn can_resume(&self, resumption: Resumption) {
        self.lock().resumption = Some(resumption);
    }

    /// How we ask to resume it; nothing if something that came over it is not through in time.
    pub async fn to_resume(&self) -> Option<ResumeLink> {
        let settled = std::future::poll_fn(|cx| self.lock().flow.poll_settled(cx));
        tokio::time::timeout(SETTLE, settled).await.ok()?;
        let inner = self.lock();
        let token = inner.resumption.as_ref()?.token.clone();
        matches!(inner.state, State::Broken(_)).then(|| ResumeLink {
            token,
            h: inner.flow.tally.handled(),
            bidi: inner.both_ways,
            address: String::new(),
            pairs: Vec::new(),
        })
    }

    /// The connection is gone.
    pub fn disconnected(&self, end: End) {
        let (keys, pairs, address, resumable) = {
            let inner = self.lock();
            let lost = match end {
                End::ConnectionLost | End::Timeout => true,
                // Even then they may say how much they have.
                End::Error => !self.incoming,
                End::Footer | End::Shutdown => false,
            };
            let resumable = lost && inner.resumption.is_some() && !inner.flow.is_ending();
            let pairs: Vec<_> = inner.pairs.iter().map(|(pair, _)| pair.clone()).collect();
            let keys: Vec<Key> = pairs.iter().cloned().map(Key::new).collect();
            (keys, pairs, inner.address.clone(), resumable)
        };
        let waits = resumable && self.wait_for_resumption(&keys);
        for pair in pairs {
            tracing::info!(%pair, %address, incoming = self.incoming, ?end, resumable = waits, "a stream with another server ended");
        }
        if !waits {
            self.dissolve();
        }
    }

    /// Keeps the stream for a while without a connection; whether it may be.
    fn wait_for_resumption(&self, keys: &[Key]) -> bool {
        let most = self.house.terms().resumable;
        let Some(me) = self.me() else {
            return false;
        };
        // What we opened is resumed on a stream that begins with one pair.
        let whole = self.incoming || keys.len() == 1;
        if !whole || !self.house.resumables.enter(&me, keys, most) {
            return false;
        }
        let takes = {
            let mut inner = self.lock();
            inner.state = State::Broken(self.house.clock().now());
            inner.connection += 1;
            inner.takes.clone()
        };
        for key in takes {
            self.house.post(
                &key,
                Input::Broken {
                    id: self.id,
                    resumes: !self.incoming,
                },
            );
        }
        true
    }

    /// The connection that carries it, if one still does, is none any more.
    fn seize(&self) {
        let wakers = {
            let mut inner = self.lock();
            if inner.state != State::Connected {
                return;
            }
            inner.state = State::Broken(self.house.clock().now());
            inner.connection += 1;
            [inner.flow.writer(), inner.flow.reader()]
        };
        wakers.into_iter().for_each(wake);
    }

    /// The stream goes on over a new connection; `h` is what the other side has of ours.
    ///
    /// # Errors
    /// It cannot have so much.
    pub fn take_up(self: &Arc<Self>, h: u32, address: &str) -> Result<Arc<dyn Seat>, AckError> {
        let (taken, connection, takes, wakers) = {
            let mut inner = self.lock();
            if matches!(inner.state, State::Over(_)) {
                // It was given up while the other side was asked: nobody would be served by it any more.
                return Err(AckError { h, sent: 0 });
            }
            let taken = inner.unacked.acked(h)?;
            let again = inner.unacked.rewind();
            inner.flow.put_back(again.into_iter());
            inner.connection += 1;
            inner.state = State::Connected;
            inner.used = self.house.clock().now();
            address.clone_into(&mut inner.address);
            let wakers = [inner.flow.writer(), inner.flow.reader()];
            (taken, inner.connection, inner.takes.clone(), wakers)
        };
        wakers.into_iter().for_each(wake);
        self.house.resumables.leave(self);
        self.house.resumables.resumed.count();
        self.arrived_there(taken);
        for key in takes {
            self.house.post(&key, Input::Up(self.way(&key)));
        }
        tracing::info!(
            address,
            incoming = self.incoming,
            "a stream with another server goes on"
        );
        Ok(Arc::new(LineSeat::new(self.clone(), connection)))
    }

    /// The other side has these.
    pub fn arrived_there(&self, pieces: Vec<Piece>) {
        let marks = pieces
            .into_iter()
            .filter_map(|(key, item)| item.mark.map(|mark| (key, mark)));
        self.taken(marks.collect());
    }

    /// It cannot be resumed; the other side may have said how much of ours it has.
    pub fn not_resumed(&self, h: Option<u32>) {
        self.house.resumables.refused.count();
        let taken = h.and_then(|h| self.lock().unacked.acked(h).ok());
        self.arrived_there(taken.unwrap_or_default());
    }

    /// It is over. What is kept is read from disk again for the next stream; of what is not kept, what may have arrived
    /// goes back to its sender if it must not be there twice, and the rest goes out on the next stream.
    pub fn dissolve(&self) {
        let (queue, unacked, takes, waker) = {
            let mut inner = self.lock();
            if matches!(inner.state, State::Over(_)) {
                return;
            }
            inner.state = State::Over(self.house.clock().now());
            inner.connection += 1;
            inner.on_the_wire = Vec::new();
            if let (Some(meter), Some(local)) = (inner.meter.take(), inner.counted.take()) {
                meter.leave(&local);
            }
            let waker = inner.flow.end(None);
            let (queue, unacked) = (inner.flow.drain(), inner.unacked.rewind());
            (queue, unacked, std::mem::take(&mut inner.takes), waker)
        };
        wake(waker);
        self.no_further();
        self.house.leave(self.id);
        self.house.resumables.leave(self);
        for key in takes {
            self.house.post(&key, Input::Down(self.id));
        }
        let short = self.house.clock().now() < self.born + STABLE;
        for ((key, item), _) in unacked {
            let twice = matches!(
                item.stanza.kind,
                Kind::Message(_) | Kind::Iq(IqType::Get | IqType::Set)
            );
            self.pass_on((key, item), twice || short);
        }
        for (piece, _) in queue {
            self.pass_on(piece, short);
        }
    }

    fn pass_on(&self, (key, item): Piece, back: bool) {
        if item.mark.is_some() {
            return;
        }
        match back {
            true => {
                let lost = Trouble::Stream(Failure::Lost);
                self.house.shelf.refuse(key.pair(), &item, &lost);
            }
            false => self.house.post(&key, Input::Stanza(item)),
        }
    }

    /// Whether who proved these pairs on a new stream may go on with this one.
    fn belongs_to(&self, wish: &ResumeLink) -> bool {
        let inner = self.lock();
        let proved = |pair: &crate::state::outbox::Pair| {
            let mut pairs = wish.pairs.iter();
            pairs.any(|(remote, local)| *remote == pair.remote && *local == pair.local)
        };
        self.incoming
            && inner.both_ways == wish.bidi
            && !inner.pairs.is_empty()
            && inner
                .pairs
                .iter()
                .all(|(pair, _): &(_, Proof)| proved(pair))
    }
}

impl House {
    /// Another server wants to go on with a stream.
    pub(super) async fn resume(self: Arc<Self>, wish: ResumeLink) -> Result<Taken, NotResumed> {
        let found = lock(&self.resumables.named)
            .get(wish.token.as_str())
            .cloned();
        let Some(line) = found.filter(|line| line.belongs_to(&wish)) else {
            self.resumables.refused.count();
            return Err(NotResumed::Unknown { h: None });
        };
        line.seize();
        let settled = std::future::poll_fn(|cx| line.lock().flow.poll_settled(cx));
        let settled = tokio::time::timeout(SETTLE, settled).await.is_ok();
        let (state, h) = {
            let inner = line.lock();
            (inner.state, inner.flow.tally.handled())
        };
        if !settled || matches!(state, State::Over(_)) {
            self.resumables.refused.count();
            line.dissolve();
            return Err(NotResumed::Unknown {
                h: settled.then_some(h),
            });
        }
        let taken = line.take_up(wish.h, &wish.address);
        Ok(Taken {
            seat: taken.map_err(NotResumed::TooHigh)?,
            line,
            h,
        })
    }
}
