//! The seat of one bound session: what its stream hands in, and its outbox.
//!
//! Inbound, it counts stanzas, keeps their order against the commit, and slows the reader down.
//! Outbound, it queues, writes, and keeps what the client has not acknowledged (XEP-0198 §4).

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll, Waker};

use arc_swap::ArcSwap;

use super::nudge::Nudge;
use super::pressure::Pressure;
use super::stats::Stats;
use super::tally::Tally;
use super::unacked::Unacked;
use super::work::{Ended, Inbound, Inbox, Work};
use crate::hooks::{Entry, Outbox, Outgoing, Pushed, Receipt, SessionId, Source};
use crate::proto::error::{StreamCondition, StreamError};
use crate::proto::ns;
use crate::store::Store;
use crate::stream::acks::newly_acked;
use crate::stream::{self, AckError, End, Intake, NonzaVerdict, Outgoing as Written};
use crate::xml::Element;

/// Bounds of one session's queues.
#[derive(Debug, Clone, Copy)]
pub struct SeatLimits {
    /// Bytes queued for the client.
    pub queue_bytes: usize,
    /// Stanzas queued or not acknowledged.
    pub queue_stanzas: usize,
    /// Inbound stanzas not yet through.
    pub window: u32,
}

/// Bytes handed out in one go.
const WRITE_CHUNK: usize = 16 * 1024;
/// An acknowledgement is asked for after this many stanzas at the latest.
const ASK_AFTER: u32 = 16;

static NEXT_ID: AtomicU64 = AtomicU64::new(1);

/// One bound session.
pub struct Seat {
    me: Weak<Seat>,
    id: SessionId,
    inbox: Arc<dyn Inbox>,
    shared: Arc<Shared>,
    inner: Mutex<Inner>,
}

/// What all seats of a server share.
pub struct Shared {
    /// Bounds of every seat.
    pub limits: ArcSwap<SeatLimits>,
    /// What is counted.
    pub stats: Stats,
    /// Memory is short: queues hold an eighth.
    pub short_of_memory: AtomicBool,
    /// Who waits to ask for an acknowledgement.
    pub nudge: Nudge,
    /// Who waits for the store.
    pub pressure: Pressure,
    /// The store, whose queue slows readers down.
    pub store: Store,
}

#[derive(Default)]
struct Inner {
    // outbound
    queue: VecDeque<Queued>,
    queued_bytes: usize,
    unacked: Unacked,
    on_the_wire: Vec<Entry>,
    sent: u32,
    acked: u32,
    since_ask: u32,
    acks: bool,
    asked: bool,
    nudged: bool,
    in_nudge_list: bool,
    wants_room: bool,
    writer: Option<Waker>,
    ending: Option<StreamError>,
    closed: bool,
    // inbound
    tally: Tally,
    committing: u32,
    parked: Option<Element>,
    waits_for_store: Option<u32>,
    reader: Option<Waker>,
}

struct Queued {
    item: Outgoing,
    size: usize,
}

impl Seat {
    /// A seat whose work goes to `inbox`, the owner of its account.
    pub fn new(inbox: Arc<dyn Inbox>, shared: Arc<Shared>) -> Arc<Self> {
        shared.stats.sessions.up();
        Arc::new_cyclic(|me| Seat {
            me: me.clone(),
            id: SessionId(NEXT_ID.fetch_add(1, Ordering::Relaxed)),
            inbox,
            shared,
            inner: Mutex::default(),
        })
    }

    /// Its id.
    pub fn id(&self) -> SessionId {
        self.id
    }

    /// The client has had time: asks it for an acknowledgement if it still owes one.
    pub(super) fn nudge(&self) {
        let waker = {
            let mut inner = self.lock();
            inner.in_nudge_list = false;
            if inner.unacked.is_empty() || inner.asked {
                return;
            }
            inner.nudged = true;
            inner.wake_writer()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Everything but a message waits until what came before is through, so that nothing
    /// overtakes a message that is being committed (RFC 6120 §10.1).
    fn take_in(&self, element: Element) -> Intake {
        let Some(me) = self.me.upgrade() else {
            return Intake::Ready;
        };
        let number = {
            let mut inner = self.lock();
            if inner.closed || inner.ending.is_some() {
                return Intake::Ready;
            }
            if inner.tally.outstanding() > 0 && !element.is("message", ns::CLIENT) {
                inner.parked = Some(element);
                return Intake::Busy;
            }
            inner.tally.take()
        };
        let receipt = Receipt::new(me, number);
        self.inbox.post(Work::Inbound(Box::new(Inbound {
            session: self.id,
            element,
            receipt,
        })));
        if self.lock().is_full(&self.shared.limits()) {
            Intake::Busy
        } else {
            Intake::Ready
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.shared.stats.sessions.down();
    }
}

impl Shared {
    /// The bounds of every seat now.
    fn limits(&self) -> SeatLimits {
        let limits = **self.limits.load();
        if self.short_of_memory.load(Ordering::Relaxed) {
            return SeatLimits {
                queue_bytes: limits.queue_bytes / 8,
                ..limits
            };
        }
        limits
    }
}

impl Inner {
    fn is_full(&self, limits: &SeatLimits) -> bool {
        self.parked.is_some()
            || self.tally.outstanding() >= limits.window
            || self.queue.len() > limits.queue_stanzas / 2
            || self.queued_bytes > limits.queue_bytes / 2
    }

    /// Stanzas not yet written, and durable ones not yet acknowledged.
    fn held(&self) -> usize {
        self.queue.len() + self.unacked.entries()
    }

    fn wake_writer(&mut self) -> Option<Waker> {
        self.writer.take()
    }

    fn wake_writer_if_due(&mut self) -> Option<Waker> {
        if self.since_ask >= ASK_AFTER {
            self.wake_writer()
        } else {
            None
        }
    }

    /// Writes one queued stanza.
    fn write(&mut self, queued: Queued, out: &mut Vec<u8>) {
        let Queued { item, size } = queued;
        self.queued_bytes = self.queued_bytes.saturating_sub(size);
        match &item.to {
            Some(to) => item.stanza.write_to(to, None, out),
            None => item.stanza.write(None, out),
        }
        if self.acks {
            self.sent = self.sent.wrapping_add(1);
            self.since_ask += 1;
            self.unacked.push(item.entry);
        } else if let Some(entry) = item.entry {
            self.on_the_wire.push(entry);
        }
    }

    /// Asks for an acknowledgement, one at a time: after a number of stanzas, or when the clock
    /// of [`super::nudge`] says that some have waited long enough.
    fn ask(&mut self, out: &mut Vec<u8>) {
        if self.acks
            && !self.asked
            && (self.nudged || self.since_ask >= ASK_AFTER && !self.unacked.is_empty())
        {
            self.asked = true;
            self.nudged = false;
            self.since_ask = 0;
            out.extend_from_slice(format!("<r xmlns='{}'/>", ns::SM).as_bytes());
        }
    }

    fn pay_acks(&mut self, out: &mut Vec<u8>) {
        if let Some(h) = self.tally.pay() {
            out.extend_from_slice(format!("<a xmlns='{}' h='{h}'/>", ns::SM).as_bytes());
        }
    }

    /// Entries the client now has, and whether it has room again.
    fn release(&mut self, count: usize, limits: &SeatLimits) -> (Vec<Entry>, bool) {
        (self.unacked.release(count), self.room_again(limits))
    }

    fn has_room(&self, limits: &SeatLimits) -> bool {
        self.queued_bytes <= limits.queue_bytes / 2 && self.held() <= limits.queue_stanzas / 2
    }

    fn room_again(&mut self, limits: &SeatLimits) -> bool {
        self.wants_room && self.has_room(limits) && {
            self.wants_room = false;
            true
        }
    }
}

impl Source for Seat {
    fn submitted(&self) {
        self.lock().committing += 1;
    }

    fn completed(&self, number: u32, submitted: bool, handled: bool) {
        let (reader, writer, parked) = {
            let mut inner = self.lock();
            inner.tally.complete(number, handled);
            if submitted {
                inner.committing = inner.committing.saturating_sub(1);
            }
            if !handled {
                // The client learns by the end of its stream that it must send this again.
                let error = StreamError::from(StreamCondition::InternalServerError);
                inner.ending.get_or_insert(error);
            }
            let through = inner.tally.outstanding() == 0;
            let parked = if through { inner.parked.take() } else { None };
            let reader = if inner.is_full(&self.shared.limits()) {
                None
            } else {
                inner.reader.take()
            };
            let writer = if inner.tally.is_due() || !handled {
                inner.wake_writer()
            } else {
                None
            };
            (reader, writer, parked)
        };
        if let Some(element) = parked {
            self.take_in(element);
        }
        for waker in [reader, writer].into_iter().flatten() {
            waker.wake();
        }
    }

    fn committing(&self) -> bool {
        self.lock().committing > 0
    }
}

impl Outbox for Seat {
    fn push(&self, item: Outgoing) -> Pushed {
        let size = item.stanza.size_hint();
        let waker = {
            let mut inner = self.lock();
            if inner.closed || inner.ending.is_some() {
                return Pushed::Closed;
            }
            let limits = &self.shared.limits();
            // What can be had from the log again also waits for acknowledgements; anything else
            // only for a client that does not read.
            let waiting = match item.entry {
                Some(_) => inner.held(),
                None => inner.queue.len(),
            };
            if inner.queued_bytes + size > limits.queue_bytes && !inner.queue.is_empty()
                || waiting >= limits.queue_stanzas
            {
                inner.wants_room = true;
                self.shared.stats.full.count();
                return Pushed::Full;
            }
            self.shared.stats.sent.count(item.stanza.kind);
            inner.queued_bytes += size;
            inner.queue.push_back(Queued { item, size });
            inner.wake_writer()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
        Pushed::Queued
    }

    fn has_room(&self) -> bool {
        let mut inner = self.lock();
        let room = inner.has_room(&self.shared.limits());
        inner.wants_room = !room;
        room
    }

    fn in_flight(&self) -> Vec<Entry> {
        let inner = self.lock();
        let queued = inner.queue.iter().filter_map(|queued| queued.item.entry);
        inner
            .unacked
            .iter()
            .chain(&inner.on_the_wire)
            .copied()
            .chain(queued)
            .collect()
    }

    fn end(&self, error: StreamError) {
        let waker = {
            let mut inner = self.lock();
            inner.ending.get_or_insert(error);
            inner.wake_writer()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl stream::Seat for Seat {
    fn stanza(&self, stanza: Element) -> Intake {
        self.take_in(stanza)
    }

    fn poll_intake(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut inner = self.lock();
        if inner.is_full(&self.shared.limits()) {
            inner.reader = Some(cx.waker().clone());
            return Poll::Pending;
        }
        if self.shared.store.pressure() {
            self.shared
                .pressure
                .wait(cx.waker(), &mut inner.waits_for_store);
            return Poll::Pending;
        }
        Poll::Ready(())
    }

    fn poll_outgoing(&self, cx: &mut Context<'_>, out: &mut Vec<u8>) -> Poll<Written> {
        let before = out.len();
        let mut inner = self.lock();
        inner.pay_acks(out);
        while out.len() < WRITE_CHUNK {
            let Some(piece) = inner.queue.pop_front() else {
                break;
            };
            inner.write(piece, out);
        }
        inner.ask(out);
        if inner.queue.is_empty() && inner.queue.capacity() > 16 {
            inner.queue = VecDeque::new();
        }
        let room = inner.room_again(&self.shared.limits());
        let reader = if inner.is_full(&self.shared.limits()) {
            None
        } else {
            inner.reader.take()
        };
        let nudge = inner.acks && !inner.asked && !inner.unacked.is_empty() && !inner.in_nudge_list;
        inner.in_nudge_list |= nudge;
        let answer = if out.len() > before {
            Poll::Ready(Written::Data)
        } else if let Some(error) = inner.ending.clone() {
            Poll::Ready(Written::End(Some(error)))
        } else {
            inner.writer = Some(cx.waker().clone());
            Poll::Pending
        };
        drop(inner);
        if let Some(reader) = reader {
            reader.wake();
        }
        if nudge {
            self.shared.nudge.add(self.me.clone());
        }
        if room {
            self.inbox.post(Work::Room(self.id));
        }
        answer
    }

    fn written(&self) {
        let taken = {
            let mut inner = self.lock();
            if inner.on_the_wire.is_empty() {
                return;
            }
            std::mem::take(&mut inner.on_the_wire)
        };
        self.inbox.post(Work::Taken(taken));
    }

    fn enable_acks(&self, _resume: bool) {
        let mut inner = self.lock();
        inner.acks = true;
        inner.tally.begin();
    }

    fn ack_requested(&self) {
        let waker = {
            let mut inner = self.lock();
            inner.tally.ask();
            if inner.tally.is_due() {
                inner.wake_writer()
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
            let (taken, room) = inner.release(count as usize, &self.shared.limits());
            (taken, room, inner.wake_writer_if_due())
        };
        if !taken.is_empty() {
            self.inbox.post(Work::Taken(taken));
        }
        if room {
            self.inbox.post(Work::Room(self.id));
        }
        if let Some(waker) = waker {
            waker.wake();
        }
        Ok(())
    }

    fn handled(&self) -> u32 {
        self.lock().tally.handled()
    }

    fn nonza(&self, element: Element) -> NonzaVerdict {
        self.inbox.post(Work::Nonza(self.id, element));
        NonzaVerdict::Done
    }

    fn probe(&self) {
        let waker = {
            let mut inner = self.lock();
            if inner.acks {
                inner.nudged = true;
                inner.asked = false;
                inner.wake_writer()
            } else {
                drop(inner);
                return self.inbox.post(Work::Probe(self.id));
            }
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    fn closed(&self, end: End) {
        let unconfirmed = {
            let mut inner = self.lock();
            if std::mem::replace(&mut inner.closed, true) {
                return;
            }
            inner.parked = None;
            inner.reader = None;
            inner.writer = None;
            let queued = std::mem::take(&mut inner.queue);
            let queued = queued.into_iter().filter_map(|queued| queued.item.entry);
            let mut all: Vec<Entry> = inner.unacked.iter().copied().collect();
            inner.unacked = Unacked::default();
            all.append(&mut inner.on_the_wire);
            all.extend(queued);
            all
        };
        self.inbox.post(Work::Ended(Box::new(Ended {
            session: self.id,
            end,
            unconfirmed,
        })));
    }
}
