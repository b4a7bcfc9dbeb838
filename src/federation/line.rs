//! One stream to or from another server: the seat that the stream machine talks to, with its outgoing queue.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use super::house::House;
use super::keeper::Key;
use super::pair::{Input, Item, Mark, Way};
use crate::hooks::{Envelope, Origin, Pushed, Receipt, Source};
use crate::proto::StreamError;
use crate::proto::error::StreamCondition;
use crate::proto::ns;
use crate::proto::stanza::{Kind, Stanza};
use crate::session::tally::Tally;
use crate::state::outbox;
use crate::store::Batch;
use crate::stream::acks::newly_acked;
use crate::stream::server::{self, Proof, Proven};
use crate::stream::{AckError, Enable, End, Intake, NonzaVerdict, Outgoing, Resumption, Seat};
use crate::xml::Element;

/// Bytes that wait to be written; the rest waits on disk.
const QUEUE_BYTES: usize = 256 * 1024;
/// Stanzas that wait to be written, or to be acknowledged.
const QUEUE: usize = 1_000;
/// Stanzas from the other side that are not through; further ones are not read yet.
const WINDOW: u32 = 256;
/// Bytes handed to the driver at once.
const CHUNK: usize = 16 * 1024;

static NEXT: AtomicU64 = AtomicU64::new(1);

/// A stream between servers.
pub(super) struct Line {
    id: u64,
    /// From where, or where to.
    pub address: String,
    /// Whether the other server opened it.
    pub incoming: bool,
    house: Arc<House>,
    inner: Mutex<Inner>,
    me: Weak<Line>,
}

#[derive(Default)]
struct Inner {
    /// The pairs proved on it, and how.
    pairs: Vec<(outbox::Pair, Proof)>,
    /// Those whose stanzas it takes.
    takes: Vec<Key>,
    queue: VecDeque<(Key, Item)>,
    queued_bytes: usize,
    writer: Option<Waker>,
    reader: Option<Waker>,
    ending: Option<Option<StreamError>>,
    closed: bool,
    acks: bool,
    sent: u32,
    acked: u32,
    asked: bool,
    /// Ask whether the other side is there, even if it owes nothing.
    probing: bool,
    unacked: VecDeque<Option<(Key, Mark)>>,
    on_the_wire: Vec<(Key, Mark)>,
    tally: Tally,
    committing: u32,
    wants_room: bool,
    used: Option<Instant>,
}

/// What is told of a stream.
pub(super) struct Told {
    pub address: String,
    pub incoming: bool,
    pub acks: bool,
    pub both_ways: bool,
    pub pairs: Vec<(outbox::Pair, Proof)>,
}

impl Line {
    pub fn new(house: Arc<House>, address: String, incoming: bool) -> Arc<Line> {
        let line = Arc::new_cyclic(|me| Line {
            id: NEXT.fetch_add(1, Ordering::Relaxed),
            address,
            incoming,
            inner: Mutex::new(Inner {
                used: Some(house.clock().now()),
                ..Inner::default()
            }),
            house,
            me: me.clone(),
        });
        line.house.enter(line.id, &line);
        line
    }

    /// A pair was proved; with `takes` its stanzas may go out here.
    pub fn add(&self, pair: outbox::Pair, proof: Proof, takes: bool) {
        tracing::info!(%pair, address = %self.address, incoming = self.incoming, proof = proof.name(), both_ways = takes && self.incoming, "a stream with another server");
        let key = Key::new(pair.clone());
        let mut inner = self.lock();
        inner.pairs.push((pair, proof));
        if takes {
            inner.takes.push(key);
        }
    }

    pub fn told(&self) -> Told {
        let inner = self.lock();
        Told {
            address: self.address.clone(),
            incoming: self.incoming,
            acks: inner.acks,
            both_ways: self.incoming && !inner.takes.is_empty(),
            pairs: inner.pairs.clone(),
        }
    }

    /// Ends the stream if nothing went over it for so long.
    pub fn rest(&self, now: Instant, idle: Duration) {
        let quiet = {
            let inner = self.lock();
            let used = inner.used.unwrap_or(now);
            inner.queue.is_empty()
                && inner.unacked.iter().all(Option::is_none)
                && now.saturating_duration_since(used) >= idle
        };
        if quiet {
            self.end(None);
        }
    }

    /// Ends the stream once what is queued is written.
    pub fn end(&self, error: Option<StreamError>) {
        let waker = {
            let mut inner = self.lock();
            inner.ending.get_or_insert(error);
            inner.writer.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn taken(&self, marks: Vec<(Key, Mark)>) {
        for (key, mark) in marks {
            self.house.post(&key, Input::Taken(vec![mark]));
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
        let size = item.stanza.size_hint();
        let waker = {
            let mut inner = self.line.lock();
            if inner.closed || inner.ending.is_some() {
                return Pushed::Closed;
            }
            let held = inner.queue.len() + inner.unacked.len();
            if held >= QUEUE || inner.queued_bytes + size > QUEUE_BYTES && !inner.queue.is_empty() {
                inner.wants_room = true;
                return Pushed::Full;
            }
            inner.queued_bytes += size;
            inner.queue.push_back((self.key.clone(), item));
            inner.used = Some(self.line.house.clock().now());
            inner.writer.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
        Pushed::Queued
    }
}

impl Inner {
    fn write(&mut self, (key, item): (Key, Item), out: &mut Vec<u8>) {
        self.queued_bytes = self.queued_bytes.saturating_sub(item.stanza.size_hint());
        match &item.to {
            Some(to) => item.stanza.write_to(to, None, out),
            None => item.stanza.write(None, out),
        }
        let mark = item.mark.map(|mark| (key, mark));
        if self.acks {
            self.sent = self.sent.wrapping_add(1);
            self.unacked.push_back(mark);
        } else if let Some(mark) = mark {
            self.on_the_wire.push(mark);
        }
    }

    /// The pairs that wait for room, when half of it is free again.
    fn room_again(&mut self) -> Vec<Key> {
        let free = self.queue.len() + self.unacked.len() <= QUEUE / 2
            && self.queued_bytes <= QUEUE_BYTES / 2;
        if self.wants_room && free {
            self.wants_room = false;
            return self.takes.clone();
        }
        Vec::new()
    }

    fn is_full(&self) -> bool {
        self.tally.outstanding() >= WINDOW
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
        if proven.bidi
            && let Some(me) = self.me.upgrade()
        {
            self.house.post(&key, Input::Up(me.way(&key)));
        }
    }

    fn seat(&self) -> Arc<dyn Seat> {
        match self.me.upgrade() {
            Some(me) => me,
            None => unreachable!("it is made inside an Arc"),
        }
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
        let (reader, writer) = {
            let mut inner = self.lock();
            inner.tally.complete(number, handled);
            if submitted {
                inner.committing = inner.committing.saturating_sub(1);
            }
            if !handled {
                // The other side sends it again on the next stream.
                let error = StreamError::from(StreamCondition::InternalServerError);
                inner.ending.get_or_insert(Some(error));
            }
            let reader = if inner.is_full() {
                None
            } else {
                inner.reader.take()
            };
            let due = inner.tally.is_due() || !handled;
            (reader, if due { inner.writer.take() } else { None })
        };
        for waker in [reader, writer].into_iter().flatten() {
            waker.wake();
        }
    }

    fn committing(&self) -> bool {
        self.lock().committing > 0
    }
}

/// A line as source of what needs no disk and waits for nobody's: presence and questions of many people come over one
/// stream, and do not wait for the messages of others.
struct AtOnce(Arc<Line>);

impl Source for AtOnce {
    fn submitted(&self, number: u32, batch: &mut Batch) {
        self.0.submitted(number, batch);
    }

    fn is_stale(&self) -> bool {
        self.0.is_stale()
    }

    fn completed(&self, number: u32, submitted: bool, handled: bool) {
        self.0.completed(number, submitted, handled);
    }

    fn committing(&self) -> bool {
        false
    }
}

impl Seat for Line {
    fn stanza(&self, element: Element) -> Intake {
        let Some(me) = self.me.upgrade() else {
            return Intake::Busy;
        };
        let number = {
            let mut inner = self.lock();
            inner.used = Some(self.house.clock().now());
            inner.tally.take()
        };
        let read = Stanza::from_element(element);
        let source: Arc<dyn Source> = match &read {
            Ok(stanza) if matches!(stanza.kind, Kind::Message(_)) => me,
            _ => Arc::new(AtOnce(me)),
        };
        let receipt = Receipt::new(source, number);
        match read {
            Ok(stanza) => {
                if let Some(to) = stanza.to.clone() {
                    let mut envelope = Envelope::new(Arc::new(stanza), to, Origin::Remote);
                    envelope.receipt = Some(receipt);
                    self.house.arrived(Box::new(envelope));
                }
            }
            Err(rejected) => {
                if let Some(envelope) = rejected.answer().and_then(Envelope::from_server) {
                    self.house.send(Box::new(envelope));
                }
            }
        }
        match self.lock().is_full() {
            true => Intake::Busy,
            false => Intake::Ready,
        }
    }

    fn poll_intake(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut inner = self.lock();
        if inner.is_full() {
            inner.reader = Some(cx.waker().clone());
            return Poll::Pending;
        }
        Poll::Ready(())
    }

    fn poll_outgoing(&self, cx: &mut Context<'_>, out: &mut Vec<u8>) -> Poll<Outgoing> {
        let before = out.len();
        let mut inner = self.lock();
        if let Some(h) = inner.tally.pay() {
            out.extend_from_slice(format!("<a xmlns='{}' h='{h}'/>", ns::SM).as_bytes());
        }
        while out.len() < before + CHUNK {
            let Some(piece) = inner.queue.pop_front() else {
                break;
            };
            inner.write(piece, out);
        }
        let owed = !inner.asked && inner.queue.is_empty() && !inner.unacked.is_empty();
        if inner.acks && (owed || inner.probing) {
            inner.asked = true;
            inner.probing = false;
            out.extend_from_slice(format!("<r xmlns='{}'/>", ns::SM).as_bytes());
        }
        if inner.queue.is_empty() && inner.queue.capacity() > 16 {
            inner.queue = VecDeque::new();
        }
        let room = inner.room_again();
        let answer = if out.len() > before {
            Poll::Ready(Outgoing::Data)
        } else if let Some(error) = inner.ending.clone() {
            Poll::Ready(Outgoing::End(error))
        } else {
            inner.writer = Some(cx.waker().clone());
            Poll::Pending
        };
        drop(inner);
        for key in room {
            self.house.post(&key, Input::Room);
        }
        answer
    }

    fn written(&self) {
        let taken = std::mem::take(&mut self.lock().on_the_wire);
        self.taken(taken);
    }

    fn enable_acks(&self, _: Enable) -> Option<Resumption> {
        let mut inner = self.lock();
        inner.acks = true;
        inner.tally.begin();
        None
    }

    fn ack_requested(&self) {
        let waker = {
            let mut inner = self.lock();
            inner.tally.ask();
            if inner.tally.is_due() {
                inner.writer.take()
            } else {
                None
            }
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    fn acked(&self, h: u32) -> Result<(), AckError> {
        let (taken, room, waker) = {
            let mut inner = self.lock();
            let count = newly_acked(inner.acked, inner.sent, h)?;
            inner.acked = inner.acked.wrapping_add(count);
            inner.asked = false;
            let count = (count as usize).min(inner.unacked.len());
            let taken: Vec<_> = inner.unacked.drain(..count).flatten().collect();
            let again = !inner.unacked.is_empty();
            let waker = if again { inner.writer.take() } else { None };
            (taken, inner.room_again(), waker)
        };
        self.taken(taken);
        for key in room {
            self.house.post(&key, Input::Room);
        }
        if let Some(waker) = waker {
            waker.wake();
        }
        Ok(())
    }

    fn handled(&self) -> u32 {
        self.lock().tally.handled()
    }

    fn nonza(&self, _: Element) -> NonzaVerdict {
        NonzaVerdict::Fault(StreamCondition::UnsupportedStanzaType.into())
    }

    /// With acknowledgements a request for one. Without, nothing that would be answered on this stream: it is given up,
    /// and opened again when it is needed.
    fn probe(&self) {
        let waker = {
            let mut inner = self.lock();
            if !inner.acks {
                return;
            }
            inner.probing = true;
            inner.writer.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    fn closed(&self, end: End) {
        let (takes, pairs, first) = {
            let mut inner = self.lock();
            let first = !std::mem::replace(&mut inner.closed, true);
            inner.queue = VecDeque::new();
            inner.unacked = VecDeque::new();
            inner.on_the_wire = Vec::new();
            (std::mem::take(&mut inner.takes), inner.pairs.clone(), first)
        };
        if first {
            for (pair, _) in pairs {
                tracing::info!(%pair, address = %self.address, incoming = self.incoming, ?end, "a stream with another server ended");
            }
            self.house.leave(self.id);
            for key in takes {
                self.house.post(&key, Input::Down(self.id));
            }
        }
    }
}
