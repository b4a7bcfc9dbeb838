//! A session that outlives its connection (XEP-0198 §5): its seat hands on what it holds to the
//! seat of the next connection, or what is left of it to those who can do something with it.

use std::sync::Arc;
use std::task::{Context, Poll};

use subtle::ConstantTimeEq;

use super::outward::{Outward, Queued, Resumable};
use super::seat::{Inner, Line, Seat, Shared};
use super::tally::Tally;
use super::work::Inbox;
use crate::hooks::{Entry, Flags, Outgoing, Tables, Uid};
use crate::proto::error::{StreamCondition, StreamError};
use crate::state::resume::Counters;
use crate::stream::AckError;
use crate::stream::acks::newly_acked;

/// A session that goes on.
pub struct Succession {
    /// Its new seat.
    pub seat: Arc<Seat>,
    /// How many of the client's stanzas were handled.
    pub handled: u32,
    /// Log entries that the client has.
    pub taken: Vec<Entry>,
}

/// What is left of a session that is over.
pub struct Estate {
    /// Log entries that its client did not confirm.
    pub entries: Vec<Entry>,
    /// Stanzas that are in no log and that its client did not confirm.
    pub stanzas: Vec<Outgoing>,
}

impl Seat {
    /// Whether a client may resume it by this id.
    pub fn is_named(&self, token: &str) -> bool {
        let inner = self.lock();
        let own = inner.outward.resumable.as_ref();
        inner.line != Line::Over
            && own.is_some_and(|own| own.token.as_bytes().ct_eq(token.as_bytes()).into())
    }

    /// For how many seconds it may be resumed after it was detached; nothing if it may not.
    pub fn resumable(&self) -> Option<u32> {
        let inner = self.lock();
        let resumable = inner.outward.resumable.as_ref();
        resumable.map(|resumable| resumable.seconds)
    }

    /// The id it may be resumed by, and how many of the client's stanzas were handled.
    pub fn named(&self) -> Option<(String, u32)> {
        let inner = self.lock();
        let resumable = inner.outward.resumable.as_ref()?;
        Some((resumable.token.to_string(), inner.inward.tally.handled()))
    }

    /// Whether something came for its client, who is away, that it could not hold.
    pub fn is_overfull(&self) -> bool {
        self.lock().overfull
    }

    /// Whether it lost its connection.
    pub fn is_detached(&self) -> bool {
        self.lock().line == Line::Detached
    }

    /// Bytes it holds for its client.
    pub fn bytes(&self) -> usize {
        self.lock().outward.bytes()
    }

    /// A newer connection of its client is here: ends this one with `conflict` (XEP-0198 §5).
    /// Nothing more is taken from it nor written to it.
    ///
    /// # Errors
    /// The client says to have handled more than it was sent; nothing changes.
    pub fn seize(&self, h: u32) -> Result<(), AckError> {
        let waker = {
            let mut inner = self.lock();
            newly_acked(inner.outward.acked, inner.outward.sent, h)?;
            if inner.line == Line::Connected {
                inner.inward.parked = None;
                inner.inward.reader = None;
                inner
                    .ending
                    .get_or_insert(StreamError::from(StreamCondition::Conflict));
            }
            inner.line = Line::Seized;
            self.count_bytes(&mut inner);
            inner.outward.wake_writer()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
        Ok(())
    }

    /// Ready when every stanza that came in is through.
    pub fn poll_settled(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut inner = self.lock();
        if inner.inward.tally.outstanding() == 0 {
            return Poll::Ready(());
        }
        inner.inward.reader = Some(cx.waker().clone());
        Poll::Pending
    }

    /// Whether every stanza that came in is through.
    pub fn is_settled(&self) -> bool {
        self.lock().inward.tally.outstanding() == 0
    }

    /// Hands on what it holds, from the stanza after `h` on.
    ///
    /// # Errors
    /// The client says to have handled more than it was sent; nothing changes.
    pub fn hand_on(&self, h: u32) -> Result<Succession, AckError> {
        self.seize(h)?;
        let (inner, handled, taken) = {
            let mut old = self.lock();
            let handled = old.inward.tally.handled();
            let count = newly_acked(old.outward.acked, old.outward.sent, h)?;
            let mut outward = std::mem::take(&mut old.outward);
            outward.writer = None;
            outward.nudge_at = None;
            outward.acked = outward.acked.wrapping_add(count);
            let taken = outward.unacked.release(count as usize);
            outward.rewind();
            let mut inner = Inner {
                outward,
                ..Inner::default()
            };
            inner.inward.tally = Tally::from(handled);
            (inner, handled, taken)
        };
        let (shared, tables) = (self.shared.clone(), self.tables.clone());
        let seat = Seat::with(self.id, self.inbox.clone(), shared, tables, self.uid, inner);
        Ok(Succession {
            seat,
            handled,
            taken,
        })
    }

    /// Ends it for good; what is left of it.
    pub fn dissolve(&self) -> Estate {
        let mut inner = self.lock();
        inner.line = Line::Over;
        let entries = inner.outward.in_flight();
        let stanzas = inner.outward.rest().filter(|item| item.entry.is_none());
        let stanzas = stanzas.cloned().collect();
        inner.outward = Outward::default();
        self.count_bytes(&mut inner);
        Estate { entries, stanzas }
    }

    /// What is to be written down of it, before the process ends; nothing if it cannot be resumed.
    pub fn record(&self) -> Option<(Counters, Vec<Outgoing>)> {
        let inner = self.lock();
        let resumable = inner.outward.resumable.as_ref()?;
        let counters = Counters {
            token: resumable.token.to_string(),
            seconds: resumable.seconds,
            handled: inner.inward.tally.handled(),
            acked: inner.outward.acked,
            sent: inner.outward.sent,
        };
        Some((counters, inner.outward.rest().cloned().collect()))
    }

    /// A detached seat as the process before this one wrote it down.
    pub fn restored(
        inbox: Arc<dyn Inbox>,
        shared: Arc<Shared>,
        tables: Arc<Tables>,
        uid: Uid,
        counters: &Counters,
        rest: Vec<Outgoing>,
    ) -> Arc<Seat> {
        let seat = Seat::new(inbox, shared, tables, Some(uid));
        {
            let mut inner = seat.lock();
            inner.line = Line::Detached;
            inner.inward.tally = Tally::from(counters.handled);
            inner.outward.restore(counters, rest);
            seat.count_bytes(&mut inner);
        }
        seat
    }

    /// What modules keep of the session changed before it had this seat.
    pub fn set_flags(&self, flags: Flags) {
        self.lock().outward.flags = flags;
    }
}

impl Outward {
    /// The first stanzas were sent, the others wait.
    fn restore(&mut self, counters: &Counters, rest: Vec<Outgoing>) {
        self.acks = true;
        self.acked = counters.acked;
        self.sent = counters.sent;
        self.resumable = Some(Box::new(Resumable {
            token: counters.token.as_str().into(),
            seconds: counters.seconds,
            strikes: 0,
        }));
        let sent = counters.sent.wrapping_sub(counters.acked) as usize;
        for (at, item) in rest.into_iter().enumerate() {
            let size = item.stanza.size_hint();
            let queued = Queued { item, size };
            if at < sent {
                self.unacked.hold(queued);
            } else {
                self.queued_bytes += queued.size;
                self.queue.push_back(queued);
            }
        }
    }
}
