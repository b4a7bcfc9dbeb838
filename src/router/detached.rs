//! Sessions whose connection is lost (XEP-0198 §5): they wait for their client, are taken up by it,
//! or end when their time is over.

use std::any::Any;
use std::collections::{BTreeSet, HashMap};
use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::Router;
use crate::hooks::{
    Account, Class, Envelope, Facts, Ledger, Origin, Outbox, Outgoing, SessionEvent, SessionId,
    SessionInfo,
};
use crate::proto::error::Condition;
use crate::proto::jid::Jid;
use crate::proto::stanza::{IqType, Kind};
use crate::session::owners::Slot;
use crate::session::seat::Seat;
use crate::session::successor::Succession;
use crate::session::work::{Reattach, Work};
use crate::state::resume;
use crate::stream::{self, AckError, End, NotResumed, ResumeRequest, Resumed};

/// How long what a client sent before may take to get through, before it is told how much did.
const SETTLE: Duration = Duration::from_secs(2);

/// Until when sessions may be resumed.
#[derive(Default)]
pub(super) struct Detached(Mutex<Deadlines>);

#[derive(Default)]
struct Deadlines {
    by_time: BTreeSet<(Instant, SessionId)>,
    by_session: HashMap<SessionId, (Instant, Jid)>,
}

impl Detached {
    fn lock(&self) -> MutexGuard<'_, Deadlines> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A session waits until then.
    pub fn add(&self, session: SessionId, account: &Jid, until: Instant) {
        let mut deadlines = self.lock();
        deadlines.remove(session);
        deadlines.by_time.insert((until, session));
        let entry = (until, account.clone());
        deadlines.by_session.insert(session, entry);
    }

    /// It waits no longer.
    pub fn remove(&self, session: SessionId) {
        self.lock().remove(session);
    }

    /// How many wait.
    pub fn count(&self) -> usize {
        self.lock().by_session.len()
    }

    /// Until when this one waits.
    pub fn until(&self, session: SessionId) -> Option<Instant> {
        let deadlines = self.lock();
        deadlines.by_session.get(&session).map(|(until, _)| *until)
    }

    /// Those whose time is over, and the next ones to go beyond `most`, whose time is over too.
    fn due(&self, now: Instant, most: usize) -> Vec<(Jid, SessionId)> {
        let mut deadlines = self.lock();
        let too_many = deadlines.by_session.len().saturating_sub(most);
        let due = deadlines.by_time.iter().enumerate();
        let due: Vec<SessionId> = due
            .take_while(|(at, (until, _))| *at < too_many || *until <= now)
            .map(|(_, (_, session))| *session)
            .collect();
        let mut answer = Vec::with_capacity(due.len());
        for session in due {
            if let Some((_, account)) = deadlines.remove(session) {
                deadlines.by_time.insert((now, session));
                let entry = (now, account.clone());
                deadlines.by_session.insert(session, entry);
                answer.push((account, session));
            }
        }
        answer
    }
}

impl Deadlines {
    fn remove(&mut self, session: SessionId) -> Option<(Instant, Jid)> {
        let (until, account) = self.by_session.remove(&session)?;
        self.by_time.remove(&(until, session));
        Some((until, account))
    }
}

/// The seat of a session.
pub(super) fn seat_of(session: &SessionInfo) -> Option<Arc<Seat>> {
    let outbox: Arc<dyn Outbox> = session.outbox.clone();
    let any: Arc<dyn Any + Send + Sync> = outbox;
    any.downcast().ok()
}

impl Router {
    /// Takes up a session that lost its connection, or is about to; resolves when the account's
    /// turn has done it.
    ///
    /// # Errors
    /// There is no such session of this account, or the client acknowledges what it was not sent.
    pub async fn resume_session(&self, request: ResumeRequest) -> Result<Resumed, NotResumed> {
        let (reply, answer) = oneshot::channel();
        let account = request.user.bare();
        let reattach = Box::new(Reattach {
            request,
            waited: false,
            reply,
        });
        self.owners().post(&account, Work::Reattach(reattach));
        answer.await.unwrap_or(Err(NotResumed::Unknown { h: None }))
    }

    pub(super) fn reattach(
        self: &Arc<Self>,
        slot: &Arc<Slot<Router>>,
        account: &mut Account,
        reattach: Reattach,
    ) {
        let named = |info: &SessionInfo| {
            seat_of(info).filter(|seat| seat.is_named(&reattach.request.token))
        };
        let Some(seat) = account.sessions.iter().find_map(named) else {
            return self.tell_handled(account, reattach);
        };
        let h = reattach.request.h;
        if !reattach.waited && !seat.is_settled() {
            return match seat.seize(h) {
                Ok(()) => self.wait_for_rest(slot, seat, reattach),
                Err(error) => refuse(reattach, error),
            };
        }
        match seat.hand_on(h) {
            Ok(succession) => self.go_on(slot, account, succession, reattach),
            Err(error) => refuse(reattach, error),
        }
    }

    /// What the client sent before goes first: it is told of it, and need not send it again.
    fn wait_for_rest(&self, slot: &Arc<Slot<Router>>, seat: Arc<Seat>, mut reattach: Reattach) {
        let slot = slot.clone();
        self.runtime.spawn(async move {
            let settled = poll_fn(|cx| seat.poll_settled(cx));
            let _ = tokio::time::timeout(SETTLE, settled).await;
            reattach.waited = true;
            slot.post(Work::Reattach(Box::new(reattach)));
        });
    }

    fn go_on(
        self: &Arc<Self>,
        slot: &Arc<Slot<Router>>,
        account: &mut Account,
        succession: Succession,
        reattach: Reattach,
    ) {
        let Succession {
            seat,
            handled,
            taken,
        } = succession;
        let id = seat.id();
        self.detached.remove(id);
        let Some(info) = account.session_mut(id) else {
            return;
        };
        info.outbox = seat.clone();
        info.detached = false;
        info.address = reattach.request.address.into();
        let jid = info.jid.clone();
        tracing::debug!(session = %jid, "resumed");
        self.stats.resumed.count();
        if !taken.is_empty() {
            self.taken(account, &taken);
        }
        self.live(account, id, SessionEvent::Resumed);
        let resumed = Resumed {
            jid,
            seat: seat.clone(),
            h: handled,
        };
        if reattach.reply.send(Ok(resumed)).is_err() {
            // The connection went meanwhile: it waits for the next one.
            stream::Seat::closed(&*seat, End::ConnectionLost);
        } else if seat.has_room() {
            self.room_again(slot, account, id);
        }
    }

    /// There is no such session; perhaps it is known how much of it was handled (§5).
    fn tell_handled(&self, account: &Account, reattach: Reattach) {
        let (uid, guest, store) = (account.uid, account.guest, self.store.clone());
        self.stats.not_resumed.count();
        self.runtime.spawn(async move {
            let Reattach { request, reply, .. } = reattach;
            let h = match guest {
                true => None,
                false => store
                    .reading(move |snapshot| resume::handled(snapshot, uid, &request.token))
                    .await
                    .unwrap_or(None),
            };
            let _ = reply.send(Err(NotResumed::Unknown { h }));
        });
    }

    /// A session lost its connection.
    pub(super) fn lost(self: &Arc<Self>, account: &mut Account, id: SessionId) {
        let limits = self.limits();
        let Some(info) = account.session_mut(id) else {
            return;
        };
        let Some(seat) = seat_of(info).filter(|seat| seat.is_detached()) else {
            return;
        };
        let Some(seconds) = seat.resumable().filter(|_| !info.detached) else {
            return;
        };
        info.detached = true;
        tracing::debug!(session = %info.jid, bytes = seat.bytes(), "detached");
        let until = self.clock.now() + Duration::from_secs(seconds.into());
        self.detached.add(id, &account.jid, until);
        self.live(account, id, SessionEvent::Detached);
        self.unconfirmed(account, id, seat.in_flight());
        let waiting = account.sessions.iter().filter(|info| info.detached);
        let too_many = waiting.count().saturating_sub(limits.detached_per_account);
        let oldest = account.sessions.iter().filter(|info| info.detached);
        let oldest: Vec<SessionId> = oldest.take(too_many).map(|info| info.id).collect();
        for id in oldest {
            self.stats.reached.detached_per_account.count();
            self.bury(account, id);
        }
    }

    /// Ends detached sessions whose time is over, and those that go beyond what may wait at all.
    pub(super) fn expire_detached(&self) {
        let most = self.limits().detached;
        if self.detached.count() > most {
            self.stats.reached.detached.count();
        }
        for (account, session) in self.detached.due(self.clock.now(), most) {
            self.owners().post(&account, Work::Expire(session));
        }
    }

    /// A detached session's time is over, or it cannot hold what came for it.
    pub(super) fn expire(self: &Arc<Self>, account: &mut Account, id: SessionId) {
        let Some(info) = account.session(id).filter(|info| info.detached) else {
            return;
        };
        let until = self.detached.until(id);
        let due = until.is_none_or(|until| until <= self.clock.now());
        let full = seat_of(info).is_some_and(|seat| seat.is_overfull());
        if due || full {
            self.stats.expired.count();
            self.bury(account, id);
        }
    }

    /// Ends a session that has no connection: its contacts hear of it, and what it held goes to
    /// who can do something with it (§4).
    pub(super) fn bury(self: &Arc<Self>, account: &mut Account, id: SessionId) {
        self.detached.remove(id);
        let Some(seat) = account.session(id).and_then(seat_of) else {
            return;
        };
        self.remember_handled(account, &seat);
        self.remove(account, id);
        let estate = seat.dissolve();
        self.hand_over(account, &estate.entries);
        for item in estate.stanzas {
            self.return_unread(account, item);
        }
    }

    /// So that a client that comes too late is told (§5).
    pub(super) fn remember_handled(self: &Arc<Self>, account: &Account, seat: &Seat) {
        if let Some((token, h)) = seat.named() {
            let mut ledger = Ledger::default();
            let now = self.clock.wall();
            resume::remember(&mut ledger.batch, account.uid, &token, h, now);
            ledger.batch = ledger.batch.relaxed();
            self.finish_act(ledger, &account.jid);
        }
    }

    /// A client that left with a word does not come back.
    pub(super) fn forget_handled(self: &Arc<Self>, account: &Account, seat: &Seat) {
        if let Some((token, h)) = seat.named()
            && h > 0
        {
            let mut ledger = Ledger::default();
            resume::forget(&mut ledger.batch, account.uid, &token);
            ledger.batch = ledger.batch.relaxed();
            self.finish_act(ledger, &account.jid);
        }
    }

    /// What is in no log and was for this session: as if it had come when nobody was there
    /// (RFC 6121 §8.5). Copies of what others of the account got are dropped.
    fn return_unread(self: &Arc<Self>, account: &Account, item: Outgoing) {
        let stanza = item.stanza;
        let (Some(to), Some(from)) = (item.to.or_else(|| stanza.to.clone()), &stanza.from) else {
            return;
        };
        let own = from.bare_str() == account.jid.as_str();
        let alone = account.available().next().is_none();
        let again = match stanza.kind {
            Kind::Iq(IqType::Get | IqType::Set) => {
                let envelope = Envelope::new(stanza, to, Origin::Remote);
                return self.bounce(&envelope, &Condition::ServiceUnavailable.into());
            }
            Kind::Message(_) if own => false,
            Kind::Message(_) => {
                Facts::of(&stanza).class == Class::Content && (to.is_full() || alone)
            }
            Kind::Iq(_) | Kind::Presence(_) => false,
        };
        if again {
            self.route_on(Box::new(Envelope::new(stanza, to, Origin::Remote)));
        }
    }
}

fn refuse(reattach: Reattach, error: AckError) {
    let _ = reattach.reply.send(Err(NotResumed::TooHigh(error)));
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn those_whose_time_is_over_and_those_beyond_the_bound_go_oldest_first() {
        let detached = Detached::default();
        let account = Jid::parse("a@x").unwrap();
        let now = Instant::now();
        for (id, seconds) in [(1, 30), (2, 10), (3, 20), (4, 5)] {
            let until = now + Duration::from_secs(seconds);
            detached.add(SessionId(id), &account, until);
        }
        let due = |after, most| {
            let due = detached.due(now + Duration::from_secs(after), most);
            due.iter().map(|(_, id)| id.0).collect::<Vec<_>>()
        };
        assert_eq!(due(0, 4), Vec::<u64>::new());
        assert_eq!(due(5, 4), [4]);
        detached.remove(SessionId(4));
        assert_eq!(due(6, 2), [2]);
        detached.remove(SessionId(2));
        detached.remove(SessionId(3));
        assert_eq!(due(20, 9), Vec::<u64>::new());
        assert_eq!((due(30, 9), detached.count()), (vec![1], 1));
    }
}
