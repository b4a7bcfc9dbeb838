//! The way to one client: what waits, what was written, what is not acknowledged (XEP-0198 §4).

use std::collections::VecDeque;
use std::task::Waker;

use super::held::Held;
use super::seat::SeatLimits;
use super::unacked::Unacked;
use crate::hooks::{Entry, Flags, Outgoing, Pushed, Sift};
use crate::proto::ns;
use crate::proto::stanza::{Kind, MessageType};
use crate::stream::Framing;

/// Bytes handed out in one go.
const WRITE_CHUNK: usize = 16 * 1024;
/// Stanzas of rooms take at least so many bytes of what is left for them.
const LEAST: usize = 256;
/// An acknowledgement is asked for after this many stanzas at the latest.
const ASK_AFTER: u32 = 16;
/// Periods of the clock ([`super::nudge`]) from one question to the next, while it matters what the client has.
const HURRY: u32 = 1;
/// And while it only matters for what can be forgotten.
const LEISURE: u32 = 4;

/// A stanza on its way, with about how many bytes it takes.
pub(super) struct Queued {
    pub item: Outgoing,
    pub size: usize,
}

impl Queued {
    /// Whether it matters soon that the client has it: what would be sent again, or go back to its sender. What a room says is in
    /// the room, and presence is shown anew.
    pub fn presses(&self) -> bool {
        let fleeting = matches!(
            self.item.stanza.kind,
            Kind::Presence(_) | Kind::Message(MessageType::Groupchat)
        );
        self.item.entry.is_some() || !fleeting
    }
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
    /// The period of the first of them.
    owes_since: u32,
    /// The period in which was asked the last time.
    asked_at: Option<u32>,
    pub acks: bool,
    pub asked: bool,
    pub nudged: bool,
    /// The period in which the clock looks after it.
    pub nudge_at: Option<u32>,
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
    /// acknowledgements; anything else only for a client that does not read. What comes `of_room` finds more room; that is asked only
    /// where there is no other.
    pub fn push(
        &mut self,
        item: Outgoing,
        sift: Sift,
        of_room: &dyn Fn() -> bool,
        limits: &SeatLimits,
    ) -> Pushed {
        let size = item.stanza.size_hint();
        let (kept, kept_bytes) = self.kept_back();
        let waiting = match item.entry {
            Some(_) => self.waiting(),
            None => self.queue.len() + kept,
        };
        let empty = self.queue.is_empty() && kept == 0;
        let held = self.queued_bytes + kept_bytes + size;
        let is_full = |(bytes, stanzas)| held > bytes && !empty || waiting >= stanzas;
        if is_full(limits.outgoing(false)) && (!of_room() || is_full(limits.outgoing(true))) {
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

    /// Appends stanzas and nonzas, about [`WRITE_CHUNK`] at most, in this period of the clock.
    pub fn write(&mut self, limits: &SeatLimits, now: u32, framing: Framing, out: &mut Vec<u8>) {
        let before = out.len();
        while out.len() < WRITE_CHUNK && !self.is_blocked(limits) {
            let Some(queued) = self.queue.pop_front() else {
                break;
            };
            if self.since_ask == 0 {
                self.owes_since = now;
            }
            self.write_one(queued, framing, out);
        }
        let rides = out.len() > before && self.may_ask(now);
        self.ask(limits, now, rides, framing, out);
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

    /// Periods from one question to the next.
    fn pace(&self) -> u32 {
        match self.unacked.presses() {
            true => HURRY,
            false => LEISURE,
        }
    }

    /// Whether it is time that a question goes along with what is written anyway.
    fn may_ask(&self, now: u32) -> bool {
        let asked = self.asked_at;
        asked.is_none_or(|asked| now.saturating_sub(asked) >= self.pace())
    }

    /// Asks for an acknowledgement, one at a time: along with stanzas once in a while, after a number of them, or when the clock of
    /// [`super::nudge`] says that some have waited long enough.
    fn ask(
        &mut self,
        limits: &SeatLimits,
        now: u32,
        rides: bool,
        framing: Framing,
        out: &mut Vec<u8>,
    ) {
        let due = (rides || self.since_ask >= ASK_AFTER) && !self.unacked.is_empty();
        if self.acks && !self.asked && (self.nudged || due || self.is_blocked(limits)) {
            self.asked = true;
            self.asked_at = Some(now);
            self.nudged = false;
            self.since_ask = 0;
            framing.text(&format!("<r xmlns='{}'/>", ns::SM), out);
        }
    }

    /// The period from which on the clock must look after it: it owes an acknowledgement it was not asked for, or does not give one
    /// that everything waits for. The next stanza is given the time to take the question along.
    pub fn nudge_due(&self, limits: &SeatLimits) -> Option<u32> {
        if !self.acks || self.unacked.is_empty() {
            return None;
        }
        match self.is_blocked(limits) {
            true => Some(0),
            false => (!self.asked).then(|| self.owes_since.saturating_add(self.pace() + 1)),
        }
    }

    /// The same, if the clock does not know yet.
    pub fn wants_nudge(&mut self, limits: &SeatLimits, now: u32) -> Option<u32> {
        let at = self.nudge_due(limits)?.max(now.saturating_add(1));
        if self.nudge_at.is_some_and(|known| known <= at) {
            return None;
        }
        self.nudge_at = Some(at);
        self.nudge_at
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
        self.asked_at = None;
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

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::sync::Arc;

    use super::*;
    use crate::proto::stanza::Stanza;
    use crate::store::Mid;

    const LIMITS: SeatLimits = SeatLimits {
        queue_bytes: 10_000,
        queue_stanzas: 100,
        room_bytes: 20_000,
        unacked_bytes: 10_000,
        window: 10,
        resume: 60,
        patience: 10,
        detached_bytes: 10_000,
    };

    fn outward() -> Outward {
        Outward {
            acks: true,
            resumable: Some(Box::new(Resumable {
                token: "t".into(),
                seconds: 60,
                strikes: 0,
            })),
            ..Outward::default()
        }
    }

    /// Writes a message in this period, one that matters or one of a room; whether the client is asked, and who is due when.
    fn write(outward: &mut Outward, kind: MessageType, now: u32) -> (bool, Option<u32>) {
        let mid = Mid::first_of(now.into());
        let item = Outgoing {
            stanza: Arc::new(Stanza::message(kind)),
            to: None,
            entry: (kind == MessageType::Chat).then_some(Entry { mid, keep: true }),
        };
        assert_eq!(
            outward.push(item, Sift::Pass, &|| false, &LIMITS),
            Pushed::Queued
        );
        let mut out = Vec::new();
        outward.write(&LIMITS, now, Framing::default(), &mut out);
        let asked = String::from_utf8_lossy(&out).contains("<r xmlns");
        (asked, outward.wants_nudge(&LIMITS, now))
    }

    fn acked(outward: &mut Outward) {
        outward.asked = false;
        outward.unacked.release(usize::MAX);
    }

    #[test]
    fn the_question_rides_with_the_first_stanza_and_then_once_in_a_while() {
        let mut outward = outward();
        assert_eq!(write(&mut outward, MessageType::Groupchat, 3), (true, None));
        acked(&mut outward);
        for now in 3..7 {
            let due = (now == 3).then_some(8);
            assert_eq!(
                write(&mut outward, MessageType::Groupchat, now),
                (false, due)
            );
        }
        assert_eq!(write(&mut outward, MessageType::Groupchat, 7), (true, None));
    }

    #[test]
    fn what_matters_is_asked_for_within_two_periods() {
        let mut outward = outward();
        assert_eq!(write(&mut outward, MessageType::Groupchat, 3), (true, None));
        acked(&mut outward);
        assert_eq!(
            write(&mut outward, MessageType::Groupchat, 3),
            (false, Some(8))
        );
        // The clock knows a later time, and must learn of this one.
        assert_eq!(write(&mut outward, MessageType::Chat, 3), (false, Some(5)));
        assert_eq!(write(&mut outward, MessageType::Groupchat, 4), (true, None));
    }

    #[test]
    fn after_many_stanzas_the_question_does_not_wait() {
        let mut outward = outward();
        write(&mut outward, MessageType::Groupchat, 3);
        acked(&mut outward);
        for number in 1..=ASK_AFTER {
            let (asked, _) = write(&mut outward, MessageType::Groupchat, 3);
            assert_eq!(asked, number == ASK_AFTER);
        }
    }

    #[test]
    fn one_of_a_room_finds_more_room_and_is_asked_for_it_only_then() {
        let mut outward = outward();
        let mut push = |of_room: &dyn Fn() -> bool| {
            let item = Outgoing {
                stanza: Arc::new(Stanza::message(MessageType::Groupchat)),
                to: None,
                entry: None,
            };
            outward.push(item, Sift::Pass, of_room, &LIMITS)
        };
        let asked = Cell::new(0);
        let no = || {
            asked.set(asked.get() + 1);
            false
        };
        while push(&no) == Pushed::Queued {
            assert_eq!(asked.get(), 0);
        }
        assert_eq!(asked.get(), 1);
        assert_eq!(push(&|| true), Pushed::Queued);
    }
}
