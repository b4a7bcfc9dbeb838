//! The way to one client: what waits, what was written, what is not acknowledged (XEP-0198 §4).

use std::collections::VecDeque;
use std::task::Waker;

use super::held::Held;
use super::seat::SeatLimits;
use super::unacked::Unacked;
use crate::hooks::{Entry, Flags, Outgoing, Pushed, Sift};
use crate::proto::ns;
use crate::stream::Framing;

/// Bytes handed out in one go.
const WRITE_CHUNK: usize = 16 * 1024;
/// Stanzas of rooms take at least so many bytes of what is left for them.
const LEAST: usize = 256;
/// An acknowledgement is asked for after this many stanzas at the latest.
const ASK_AFTER: u32 = 16;

/// A stanza on its way, with about how many bytes it takes.
pub(super) struct Queued {
    pub item: Outgoing,
    pub size: usize,
}

/// How a session may be resumed.
pub(super) struct Resumable {
    /// The id its client names it by.
    pub token: Box<str>,
    /// For how long after its connection was lost, in seconds.
    pub seconds: u32,
    /// How often it was seen not to acknowledge while nothing more could be sent.
    pub strikes: u32,
}

#[derive(Default)]
pub(super) struct Outward {
    pub queue: VecDeque<Queued>,
    pub queued_bytes: usize,
    pub unacked: Unacked,
    /// Without acknowledgements: handed to the driver, and not known to be written.
    pub on_the_wire: Vec<Entry>,
    /// Counters since acknowledgements were enabled.
    pub sent: u32,
    pub acked: u32,
    since_ask: u32,
    pub acks: bool,
    pub asked: bool,
    pub nudged: bool,
    pub in_nudge_list: bool,
    pub wants_room: bool,
    pub flags: Flags,
    pub held: Option<Box<Held>>,
    pub resumable: Option<Box<Resumable>>,
    pub writer: Option<Waker>,
}

impl SeatLimits {
    /// Bytes and stanzas that wait for a client before one more, of a room that it is in or of others.
    fn outgoing(&self, of_room: bool) -> (usize, usize) {
        match of_room {
            true => (
                self.queue_bytes.max(self.room_bytes),
                self.queue_stanzas.max(self.room_bytes / LEAST),
            ),
            false => (self.queue_bytes, self.queue_stanzas),
        }
    }
}

impl Outward {
    /// Stanzas not yet written, and durable ones not yet acknowledged.
    pub fn waiting(&self) -> usize {
        self.queue.len() + self.unacked.entries() + self.kept_back().0
    }

    /// Stanzas and bytes that filters keep back.
    fn kept_back(&self) -> (usize, usize) {
        self.held.as_ref().map_or((0, 0), |held| held.weight())
    }

    /// All bytes it holds for a client that is away.
    pub fn bytes(&self) -> usize {
        self.queued_bytes + self.unacked.weight().1 + self.kept_back().1
    }

    /// Takes a stanza in, as the filters say. What can be had from the log again also waits for
    /// acknowledgements; anything else only for a client that does not read. What comes `of_room` finds more room.
    pub fn push(
        &mut self,
        item: Outgoing,
        sift: Sift,
        of_room: bool,
        limits: &SeatLimits,
    ) -> Pushed {
        let size = item.stanza.size_hint();
        let (kept, kept_bytes) = self.kept_back();
        let waiting = match item.entry {
            Some(_) => self.waiting(),
            None => self.queue.len() + kept,
        };
        let empty = self.queue.is_empty() && kept == 0;
        let (bytes, stanzas) = limits.outgoing(of_room);
        if self.queued_bytes + kept_bytes + size > bytes && !empty || waiting >= stanzas {
            self.wants_room = true;
            return Pushed::Full;
        }
        let queued = Queued { item, size };
        let key = match sift {
            Sift::Pass => {
                self.enqueue(queued);
                return Pushed::Queued;
            }
            Sift::Flush => {
                self.flush();
                self.enqueue(queued);
                return Pushed::Queued;
            }
            Sift::Hold => None,
            Sift::Replace(key) => Some(key),
        };
        self.held.get_or_insert_default().keep(key, queued);
        let (kept, kept_bytes) = self.kept_back();
        if kept > limits.queue_stanzas / 2 || kept_bytes > limits.queue_bytes / 2 {
            self.flush();
        }
        Pushed::Queued
    }

    fn enqueue(&mut self, queued: Queued) {
        self.queued_bytes += queued.size;
        self.queue.push_back(queued);
    }

    /// What was kept back goes out.
    pub fn flush(&mut self) {
        for queued in self
            .held
            .take()
            .into_iter()
            .flat_map(|held| held.into_all())
        {
            self.enqueue(queued);
        }
    }

    /// The client has not acknowledged as much as may be on its way: nothing more is written.
    pub fn is_blocked(&self, limits: &SeatLimits) -> bool {
        let (stanzas, bytes) = self.unacked.weight();
        self.resumable.is_some()
            && (stanzas >= limits.queue_stanzas || bytes >= limits.unacked_bytes)
    }

    /// Appends stanzas and nonzas, about [`WRITE_CHUNK`] at most.
    pub fn write(&mut self, limits: &SeatLimits, framing: Framing, out: &mut Vec<u8>) {
        while out.len() < WRITE_CHUNK && !self.is_blocked(limits) {
            let Some(queued) = self.queue.pop_front() else {
                break;
            };
            self.write_one(queued, framing, out);
        }
        self.ask(limits, framing, out);
        if self.queue.is_empty() && self.queue.capacity() > 16 {
            self.queue = VecDeque::new();
        }
    }

    fn write_one(&mut self, queued: Queued, framing: Framing, out: &mut Vec<u8>) {
        let Queued { item, size } = &queued;
        self.queued_bytes = self.queued_bytes.saturating_sub(*size);
        framing.stanza(&item.stanza, item.to.as_ref(), out);
        if self.acks {
            self.sent = self.sent.wrapping_add(1);
            self.since_ask += 1;
            match self.resumable {
                Some(_) => self.unacked.hold(queued),
                None => self.unacked.push(queued.item.entry),
            }
        } else if let Some(entry) = queued.item.entry {
            self.on_the_wire.push(entry);
        }
    }

    /// Asks for an acknowledgement, one at a time: after a number of stanzas, or when the clock
    /// of [`super::nudge`] says that some have waited long enough.
    fn ask(&mut self, limits: &SeatLimits, framing: Framing, out: &mut Vec<u8>) {
        let due = self.since_ask >= ASK_AFTER && !self.unacked.is_empty();
        if self.acks && !self.asked && (self.nudged || due || self.is_blocked(limits)) {
            self.asked = true;
            self.nudged = false;
            self.since_ask = 0;
            framing.text(&format!("<r xmlns='{}'/>", ns::SM), out);
        }
    }

    /// Whether it must be looked after by the clock: it owes an acknowledgement it was not asked
    /// for, or does not give one that everything waits for.
    pub fn wants_nudge(&mut self, limits: &SeatLimits) -> bool {
        let owes = self.acks && !self.unacked.is_empty();
        let wants = owes && !self.in_nudge_list && (!self.asked || self.is_blocked(limits));
        self.in_nudge_list |= wants;
        wants
    }

    pub fn wake_writer(&mut self) -> Option<Waker> {
        self.writer.take()
    }

    pub fn wake_writer_if_due(&mut self, limits: &SeatLimits) -> Option<Waker> {
        let goes_on = !self.queue.is_empty() && !self.is_blocked(limits);
        if self.since_ask >= ASK_AFTER || goes_on {
            self.wake_writer()
        } else {
            None
        }
    }

    pub fn has_room(&self, limits: &SeatLimits) -> bool {
        self.queued_bytes <= limits.queue_bytes / 2 && self.waiting() <= limits.queue_stanzas / 2
    }

    pub fn room_again(&mut self, limits: &SeatLimits) -> bool {
        self.wants_room && self.has_room(limits) && {
            self.wants_room = false;
            true
        }
    }

    /// Log entries handed out and not known to be taken, oldest first.
    pub fn in_flight(&self) -> Vec<Entry> {
        let held = self.held.iter().flat_map(|held| held.iter());
        let waiting = self.queue.iter().chain(held);
        let sent = self.unacked.iter().chain(&self.on_the_wire).copied();
        sent.chain(waiting.filter_map(|queued| queued.item.entry))
            .collect()
    }

    /// Puts what was sent and not acknowledged before what waits: it is to be sent again.
    pub fn rewind(&mut self) {
        self.flush();
        for queued in self.unacked.take_held().into_iter().rev() {
            self.queued_bytes += queued.size;
            self.queue.push_front(queued);
        }
        self.sent = self.acked;
        self.since_ask = 0;
        self.asked = false;
        self.nudged = false;
    }

    /// All that a client who comes back would get, in order.
    pub fn rest(&self) -> impl Iterator<Item = &Outgoing> {
        let held = self.held.iter().flat_map(|held| held.iter());
        let all = self.unacked.held().chain(&self.queue).chain(held);
        all.map(|queued| &queued.item)
    }
}
