//! The doors of a seat: as source of stanzas, as outbox, and as the session that a stream sees.

use std::sync::atomic::Ordering;
use std::task::{Context, Poll};

use super::seat::{Inner, Line, Seat};
use super::work::Work;
use crate::hooks::{Entry, Flags, Outbox, Outgoing, Pushed, Sift, Source};
use crate::proto::error::{StreamCondition, StreamError};
use crate::proto::ns;
use crate::proto::stanza::{Kind, PresenceType};
use crate::state::resume;
use crate::store::Batch;
use crate::stream::acks::newly_acked;
use crate::stream::{
    self, AckError, Enable, End, Framing, Intake, NonzaVerdict, Outgoing as Written, Resumption,
};
use crate::xml::Element;

impl Source for Seat {
    fn submitted(&self, number: u32, batch: &mut Batch) {
        let mut inner = self.lock();
        let Inner {
            inward, outward, ..
        } = &mut *inner;
        inward.committing += 1;
        let (Some(uid), Some(resumable)) = (self.uid, &outward.resumable) else {
            return;
        };
        // What a client that could not resume is told after the process was killed (XEP-0198 §5).
        if !batch.is_empty()
            && let Some(h) = inward.tally.submit(number)
        {
            resume::remember(batch, uid, &resumable.token, h, self.shared.clock.wall());
        }
    }

    fn completed(&self, number: u32, submitted: bool, handled: bool) {
        let (reader, writer, parked) = {
            let mut inner = self.lock();
            let limits = self.shared.limits();
            inner.inward.tally.complete(number, handled);
            if submitted {
                inner.inward.committing = inner.inward.committing.saturating_sub(1);
            }
            if !handled {
                // The client learns by the end of its stream that it must send this again.
                let error = StreamError::from(StreamCondition::InternalServerError);
                inner.ending.get_or_insert(error);
            }
            let through = inner.inward.tally.outstanding() == 0;
            let parked = if through {
                inner.inward.parked.take()
            } else {
                None
            };
            let reader = if inner.is_full(&limits) {
                None
            } else {
                inner.inward.reader.take()
            };
            let writer = if inner.inward.tally.is_due() || !handled {
                inner.outward.wake_writer()
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
        self.lock().inward.committing > 0
    }

    fn is_stale(&self) -> bool {
        matches!(self.lock().line, Line::Seized)
    }
}

impl Seat {
    /// What the filters of the modules say to a stanza. For a client that is away only the last
    /// presence of each sender is kept.
    fn sift(&self, inner: &Inner, item: &Outgoing) -> Sift {
        let filters = self.tables.outbox_filters();
        let mut asked = filters
            .iter()
            .filter(|(flag, _)| inner.outward.flags.has(*flag));
        if let Some((_, filter)) = asked.next() {
            return filter(&item.stanza);
        }
        let presence = matches!(
            item.stanza.kind,
            Kind::Presence(PresenceType::Available | PresenceType::Unavailable)
        );
        match (&item.stanza.from, inner.line) {
            (Some(from), Line::Detached) if presence => Sift::Replace(from.as_str().into()),
            _ => Sift::Flush,
        }
    }

    /// Queues a stanza; `of_room` says whether it is one of a room that the client is in.
    fn put(&self, item: Outgoing, of_room: &dyn Fn() -> bool) -> Pushed {
        let limits = self.shared.limits();
        let durable = item.entry.is_some();
        let kind = item.stanza.kind;
        let (pushed, waker, away) = {
            let mut inner = self.lock();
            if !inner.takes() {
                return Pushed::Closed;
            }
            let away = inner.line == Line::Detached;
            let all = self.shared.detached_bytes.load(Ordering::Relaxed);
            let pushed = if away && all >= limits.detached_bytes {
                Pushed::Full
            } else {
                let sift = self.sift(&inner, &item);
                inner
                    .outward
                    .push(item, sift, &|| !away && of_room(), &limits)
            };
            if away {
                self.count_bytes(&mut inner);
                inner.overfull |= pushed == Pushed::Full && !durable;
            }
            if pushed == Pushed::Full && !durable && inner.outward.is_blocked(&limits) && !away {
                self.shared.stats.unacknowledged.count();
                inner.give_up();
            }
            let waker = match pushed {
                Pushed::Queued => inner.outward.wake_writer(),
                _ if inner.ending.is_some() => inner.outward.wake_writer(),
                Pushed::Full | Pushed::Closed => None,
            };
            (pushed, waker, away)
        };
        if let Some(waker) = waker {
            waker.wake();
        }
        match pushed {
            Pushed::Queued => self.shared.stats.sent.count(kind),
            Pushed::Full => {
                self.shared.stats.full.count();
                if away && !durable {
                    // It would miss something for good: its client has to log in anew.
                    self.inbox.post(Work::Expire(self.id));
                }
            }
            Pushed::Closed => {}
        }
        pushed
    }
}

impl Outbox for Seat {
    fn push(&self, item: Outgoing) -> Pushed {
        self.put(item, &|| false)
    }

    fn push_of_room(&self, item: Outgoing, is_in: &dyn Fn() -> bool) -> Pushed {
        self.put(item, is_in)
    }

    fn has_room(&self) -> bool {
        let limits = self.shared.limits();
        let mut inner = self.lock();
        let room = inner.outward.has_room(&limits);
        inner.outward.wants_room = !room;
        room
    }

    fn in_flight(&self) -> Vec<Entry> {
        self.lock().outward.in_flight()
    }

    fn end(&self, error: StreamError) {
        let waker = {
            let mut inner = self.lock();
            inner.ending.get_or_insert(error);
            inner.outward.wake_writer()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    fn flagged(&self, flags: Flags) {
        let waker = {
            let mut inner = self.lock();
            inner.outward.flags = flags;
            let filters = self.tables.outbox_filters();
            if filters.iter().any(|(flag, _)| flags.has(*flag)) || inner.line == Line::Detached {
                return;
            }
            inner.outward.flush();
            inner.outward.wake_writer()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl stream::Seat for Seat {
    fn framed(&self, framing: Framing) {
        self.lock().framing = framing;
    }

    fn stanza(&self, stanza: Element) -> Intake {
        self.take_in(stanza)
    }

    fn poll_intake(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut inner = self.lock();
        if inner.is_full(&self.shared.limits()) {
            inner.inward.reader = Some(cx.waker().clone());
            return Poll::Pending;
        }
        if self.shared.store.pressure() {
            self.shared
                .pressure
                .wait(cx.waker(), &mut inner.inward.waits_for_store);
            return Poll::Pending;
        }
        Poll::Ready(())
    }

    fn poll_outgoing(&self, cx: &mut Context<'_>, out: &mut Vec<u8>) -> Poll<Written> {
        let before = out.len();
        let limits = self.shared.limits();
        let now = self.shared.nudge.now();
        let mut inner = self.lock();
        let framing = inner.framing;
        if inner.line == Line::Connected {
            if let Some(h) = inner.inward.tally.pay() {
                framing.text(&format!("<a xmlns='{}' h='{h}'/>", ns::SM), out);
            }
            inner.outward.write(&limits, now, framing, out);
        }
        let room = inner.outward.room_again(&limits);
        let reader = if inner.is_full(&limits) {
            None
        } else {
            inner.inward.reader.take()
        };
        let nudge = inner.outward.wants_nudge(&limits, now);
        let answer = if out.len() > before {
            Poll::Ready(Written::Data)
        } else if let Some(error) = inner.ending.clone() {
            Poll::Ready(Written::End(Some(error)))
        } else {
            inner.outward.writer = Some(cx.waker().clone());
            Poll::Pending
        };
        drop(inner);
        if let Some(reader) = reader {
            reader.wake();
        }
        if let Some(due) = nudge {
            self.shared.nudge.add(due, self.me.clone());
        }
        if room {
            self.inbox.post(Work::Room(self.id));
        }
        answer
    }

    fn written(&self) {
        let taken = {
            let mut inner = self.lock();
            if inner.outward.on_the_wire.is_empty() {
                return;
            }
            std::mem::take(&mut inner.outward.on_the_wire)
        };
        self.inbox.post(Work::Taken(taken));
    }

    fn enable_acks(&self, wish: Enable) -> Option<Resumption> {
        self.begin_acks(wish)
    }

    fn ack_requested(&self) {
        let waker = {
            let mut inner = self.lock();
            inner.inward.tally.ask();
            if inner.inward.tally.is_due() {
                inner.outward.wake_writer()
            } else {
                None
            }
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    fn acked(&self, h: u32) -> Result<(), AckError> {
        let limits = self.shared.limits();
        let (taken, room, waker) = {
            let mut inner = self.lock();
            if inner.line != Line::Connected {
                return Ok(());
            }
            let outward = &mut inner.outward;
            let count = newly_acked(outward.acked, outward.sent, h)?;
            outward.acked = outward.acked.wrapping_add(count);
            outward.asked = false;
            let taken = outward.unacked.release(count as usize);
            let room = outward.room_again(&limits);
            (taken, room, outward.wake_writer_if_due(&limits))
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
        self.lock().inward.tally.handled()
    }

    fn nonza(&self, element: Element) -> NonzaVerdict {
        self.inbox.post(Work::Nonza(self.id, element));
        NonzaVerdict::Done
    }

    fn probe(&self) {
        let waker = {
            let mut inner = self.lock();
            if inner.outward.acks {
                inner.outward.nudged = true;
                inner.outward.asked = false;
                inner.outward.wake_writer()
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
        self.hang_up(end);
    }
}
