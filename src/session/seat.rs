//! The seat of one bound session: what its stream hands in, and its outbox.
//!
//! Inbound, it counts stanzas, keeps their order against the commit, and slows the reader down.
//! Outbound, it queues, writes, and keeps what the client has not acknowledged (XEP-0198 §4). A
//! seat lives as long as its connection; one that may be resumed waits for its successor
//! ([`super::successor`]).

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use arc_swap::ArcSwap;

use super::inward::Inward;
use super::nudge::Nudge;
use super::outward::{Outward, Resumable};
use super::pressure::Pressure;
use super::stats::Stats;
use super::work::{Ended, Inbound, Inbox, Work};
use crate::hooks::{Receipt, SessionId, Tables, Uid};
use crate::proto::error::{StreamCondition, StreamError};
use crate::proto::ns;
use crate::runtime::clock::Clock;
use crate::runtime::random;
use crate::store::Store;
use crate::stream::{Enable, End, Framing, Intake, Resumption};
use crate::xml::Element;

/// Bounds of one session's queues.
#[derive(Debug, Clone, Copy)]
pub struct SeatLimits {
    /// Bytes queued for the client.
    pub queue_bytes: usize,
    /// Stanzas queued or not acknowledged.
    pub queue_stanzas: usize,
    /// Bytes queued for the client with those of rooms that it is in.
    pub room_bytes: usize,
    /// Bytes sent to a client that may resume, and not acknowledged.
    pub unacked_bytes: usize,
    /// Inbound stanzas not yet through.
    pub window: u32,
    /// For how long a session may be resumed, in seconds; 0: not at all.
    pub resume: u32,
    /// For how long, in seconds, a client may leave what was sent unacknowledged while nothing
    /// more may be sent to it.
    pub patience: u32,
    /// Bytes that all detached sessions together hold.
    pub detached_bytes: usize,
}

static NEXT_ID: AtomicU64 = AtomicU64::new(1);

/// One bound session.
pub struct Seat {
    pub(super) me: Weak<Seat>,
    pub(super) id: SessionId,
    /// Whose session it is; a guest's, who has no account, cannot be resumed.
    pub(super) uid: Option<Uid>,
    pub(super) inbox: Arc<dyn Inbox>,
    pub(super) shared: Arc<Shared>,
    pub(super) tables: Arc<Tables>,
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
    /// Bytes that detached sessions hold.
    pub detached_bytes: AtomicUsize,
    /// Who waits to ask for an acknowledgement.
    pub nudge: Nudge,
    /// Who waits for the store.
    pub pressure: Pressure,
    /// The store, whose queue slows readers down.
    pub store: Store,
    /// Time.
    pub clock: Clock,
}

/// Where a seat stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Line {
    /// Its client is connected.
    #[default]
    Connected,
    /// A newer connection of its client is about to take its place.
    Seized,
    /// Its connection is lost, and it may be resumed.
    Detached,
    /// It is over.
    Over,
}

#[derive(Default)]
pub(super) struct Inner {
    pub line: Line,
    pub ending: Option<StreamError>,
    pub outward: Outward,
    pub inward: Inward,
    /// How elements stand on its stream.
    pub framing: Framing,
    /// Bytes counted among those of detached sessions.
    pub counted: usize,
    /// Something came while its client was away that it could not hold and that is in no log.
    pub overfull: bool,
}

impl Seat {
    /// A seat whose work goes to `inbox`, the owner of its account.
    pub fn new(
        inbox: Arc<dyn Inbox>,
        shared: Arc<Shared>,
        tables: Arc<Tables>,
        uid: Option<Uid>,
    ) -> Arc<Self> {
        let id = SessionId(NEXT_ID.fetch_add(1, Ordering::Relaxed));
        Seat::with(id, inbox, shared, tables, uid, Inner::default())
    }

    pub(super) fn with(
        id: SessionId,
        inbox: Arc<dyn Inbox>,
        shared: Arc<Shared>,
        tables: Arc<Tables>,
        uid: Option<Uid>,
        inner: Inner,
    ) -> Arc<Self> {
        shared.stats.sessions.up();
        Arc::new_cyclic(|me| Seat {
            me: me.clone(),
            id,
            uid,
            inbox,
            shared,
            tables,
            inner: Mutex::new(inner),
        })
    }

    /// Its id.
    pub fn id(&self) -> SessionId {
        self.id
    }

    /// The clock looks after it, in this period, as was `due`: asks the client for an acknowledgement if it had time and still owes
    /// one, and gives up on one that takes everything and never acknowledges. Says when to look again, if it is too early.
    pub(super) fn nudge(&self, due: u32, now: u32) -> Option<u32> {
        let limits = self.shared.limits();
        let waker = {
            let mut inner = self.lock();
            let outward = &mut inner.outward;
            if outward.nudge_at != Some(due) {
                return None;
            }
            outward.nudge_at = outward.nudge_due(&limits).filter(|due| *due > now);
            if outward.nudge_at.is_some() || outward.nudge_due(&limits).is_none() {
                return outward.nudge_at;
            }
            let blocked = outward.is_blocked(&limits);
            outward.nudged |= !outward.asked;
            if let Some(resumable) = &mut outward.resumable {
                resumable.strikes = if blocked { resumable.strikes + 1 } else { 0 };
                if resumable.strikes > limits.patience {
                    self.shared.stats.unacknowledged.count();
                    inner.give_up();
                }
            }
            inner.outward.wake_writer()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
        None
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Everything but a message waits until what came before is through, so that nothing
    /// overtakes a message that is being committed (RFC 6120 §10.1).
    pub(super) fn take_in(&self, element: Element) -> Intake {
        let Some(me) = self.me.upgrade() else {
            return Intake::Ready;
        };
        let number = {
            let mut inner = self.lock();
            if inner.line != Line::Connected || inner.ending.is_some() {
                return Intake::Ready;
            }
            let inward = &mut inner.inward;
            if inward.tally.outstanding() > 0 && !element.is("message", ns::CLIENT) {
                inward.parked = Some(element);
                return Intake::Busy;
            }
            inward.tally.take()
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

    /// Begins to count (XEP-0198 §3), and lets a client that asked for it come back.
    pub(super) fn begin_acks(&self, wish: Enable) -> Option<Resumption> {
        let most = self.shared.limits().resume;
        let mut inner = self.lock();
        inner.outward.acks = true;
        inner.inward.tally.begin();
        if !wish.resume || self.uid.is_none() || most == 0 {
            return None;
        }
        let token = random::token();
        let max = wish.max.map_or(most, |max| max.min(most));
        inner.outward.resumable = Some(Box::new(Resumable {
            token: token.as_str().into(),
            seconds: max,
            strikes: 0,
        }));
        Some(Resumption { token, max })
    }

    /// The connection is over, and with it the session, unless it may be resumed (XEP-0198 §7).
    pub(super) fn hang_up(&self, end: End) {
        let resumes = matches!(end, End::ConnectionLost | End::Timeout | End::Shutdown);
        let work = {
            let mut inner = self.lock();
            if inner.line != Line::Connected {
                return;
            }
            inner.inward.parked = None;
            inner.inward.reader = None;
            inner.outward.writer = None;
            if resumes && inner.outward.resumable.is_some() {
                inner.line = Line::Detached;
                self.count_bytes(&mut inner);
                Work::Lost(self.id)
            } else {
                inner.line = Line::Over;
                let unconfirmed = inner.outward.in_flight();
                inner.outward.queue = Default::default();
                inner.outward.unacked = Default::default();
                inner.outward.held = None;
                Work::Ended(Box::new(Ended {
                    session: self.id,
                    end,
                    unconfirmed,
                }))
            }
        };
        self.inbox.post(work);
    }

    /// Counts what it holds among the bytes of detached sessions, or no longer.
    pub(super) fn count_bytes(&self, inner: &mut Inner) {
        let now = match inner.line {
            Line::Detached => inner.outward.bytes(),
            _ => 0,
        };
        let all = &self.shared.detached_bytes;
        all.fetch_add(now, Ordering::Relaxed);
        all.fetch_sub(inner.counted, Ordering::Relaxed);
        inner.counted = now;
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let counted = std::mem::take(&mut self.lock().counted);
        let all = &self.shared.detached_bytes;
        all.fetch_sub(counted, Ordering::Relaxed);
        self.shared.stats.sessions.down();
    }
}

impl Inner {
    /// Whether nothing more is read. Who must acknowledge before more is written is heard.
    pub fn is_full(&self, limits: &SeatLimits) -> bool {
        let half = self.outward.queue.len() > limits.queue_stanzas / 2
            || self.outward.queued_bytes > limits.queue_bytes / 2;
        self.inward.is_full(limits.window) || half && !self.outward.is_blocked(limits)
    }

    /// Its client took all it may without acknowledging any of it.
    pub fn give_up(&mut self) {
        let error = StreamError::new(StreamCondition::PolicyViolation)
            .with_text("You do not acknowledge what you are sent");
        self.ending.get_or_insert(error);
    }

    /// Whether a client that comes back gets what is pushed now.
    pub fn takes(&self) -> bool {
        let stops = |error: &StreamError| error.condition == StreamCondition::SystemShutdown;
        match self.line {
            Line::Over => false,
            Line::Seized | Line::Detached => true,
            Line::Connected => self
                .ending
                .as_ref()
                .is_none_or(|error| stops(error) && self.outward.resumable.is_some()),
        }
    }
}

impl Shared {
    /// The bounds of every seat now.
    pub(super) fn limits(&self) -> SeatLimits {
        let limits = **self.limits.load();
        if self.short_of_memory.load(Ordering::Relaxed) {
            return SeatLimits {
                queue_bytes: limits.queue_bytes / 8,
                room_bytes: limits.room_bytes / 8,
                detached_bytes: limits.detached_bytes / 8,
                ..limits
            };
        }
        limits
    }
}
