//! The life of a session: bound, replaced, ended; and accounts that lose all of theirs.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::oneshot;

use super::Router;
use super::detached::seat_of;
use super::presence::farewell;
use crate::hooks::{
    Account, Backlog, Entry, Flags, Inlined, Ledger, Parts, SessionEvent, SessionId, SessionInfo,
};
use crate::proto::error::{Condition, StanzaError, StreamCondition, StreamError};
use crate::proto::jid::Jid;
use crate::runtime::random;
use crate::session::owners::Slot;
use crate::session::seat::Seat;
use crate::session::work::{Bind, Ended, Inbox, NewSession, Work};
use crate::state::log::Waiting;
use crate::store::Mid;
use crate::stream::{BindRequest, Bound, End, UserAgent};
use crate::xml::Element;

impl Inbox for SlotInbox {
    fn post(&self, work: Work) {
        self.0.post(work);
    }
}

/// The way of a seat to its account's owner.
pub(super) struct SlotInbox(pub(super) Arc<Slot<Router>>);

/// A session that its connection has not heard of: it ends if nobody is there any more to hear of it.
struct Unclaimed(Option<Bound>);

impl Drop for Unclaimed {
    fn drop(&mut self) {
        if let Some(bound) = self.0.take() {
            bound.seat.closed(End::ConnectionLost);
        }
    }
}

/// One session as administrators see it.
#[derive(Debug, Clone)]
pub struct SessionSummary {
    /// Full JID.
    pub jid: Jid,
    /// When it was bound, Unix milliseconds.
    pub since: u64,
    /// From where.
    pub address: String,
    /// The client by its own word.
    pub client: Option<String>,
}

impl Router {
    /// Binds a resource (RFC 6120 §7; XEP-0386); resolves when the account's turn has done it.
    ///
    /// # Errors
    /// `resource-constraint` when the account has too many sessions or is too busy, `bad-request`
    /// for a resource that cannot be.
    pub async fn bind_session(&self, request: BindRequest) -> Result<Bound, StanzaError> {
        let (reply, answer) = oneshot::channel();
        let account = request.user.bare();
        let bind = Box::new(Bind { request, reply });
        self.owners().post(&account, Work::Bind(bind));
        let answer = answer.await;
        let NewSession { bound, later } =
            answer.unwrap_or_else(|_| Err(Condition::InternalServerError.into()))?;
        let mut unclaimed = Unclaimed(Some(bound));
        for later in later {
            let elements = later.await;
            if let Some(bound) = &mut unclaimed.0 {
                bound.inline.extend(elements);
            }
        }
        let bound = unclaimed.0.take();
        bound.ok_or_else(|| Condition::InternalServerError.into())
    }

    pub(super) fn bind(
        self: &Arc<Self>,
        slot: &Arc<Slot<Router>>,
        account: &mut Account,
        bind: Bind,
    ) {
        let Bind { request, reply } = bind;
        let bound = self.make_session(slot, account, request);
        let jid = bound.as_ref().ok().map(|new| new.bound.jid.clone());
        if reply.send(bound).is_err() {
            // The connection went while it was bound; nobody else will ever end this session.
            let session = jid.and_then(|jid| account.resource(&jid).map(|session| session.id));
            if let Some(session) = session {
                self.remove(account, session);
            }
        }
    }

    fn make_session(
        self: &Arc<Self>,
        slot: &Arc<Slot<Router>>,
        account: &mut Account,
        request: BindRequest,
    ) -> Result<NewSession, StanzaError> {
        let resource = request.wished.unwrap_or_else(random::id);
        let jid = account
            .jid
            .with_resource(&resource)
            .map_err(|_| StanzaError::from(Condition::BadRequest))?;
        let client = request.agent.id.as_deref();
        self.replace(account, |session| {
            session.jid == jid || client.is_some() && session.client_id.as_deref() == client
        });
        if account.sessions.len() >= self.limits().sessions_per_account {
            self.stats.reached.sessions.count();
            return Err(StanzaError::from(Condition::ResourceConstraint)
                .with_text("Too many sessions of this account"));
        }
        let seat = Seat::new(
            Arc::new(SlotInbox(slot.clone())),
            self.seats.clone(),
            account.tables.clone(),
            (!account.guest).then_some(account.uid),
        );
        account.sessions.push(SessionInfo {
            id: seat.id(),
            jid: jid.clone(),
            presence: None,
            priority: 0,
            interested: false,
            since: self.clock.wall(),
            address: request.address.into(),
            client: client_name(&request.agent),
            client_id: request.agent.id.map(Into::into),
            directed: Vec::new(),
            intake: Backlog::Closed,
            opened: Mid::MIN,
            ahead: Vec::new(),
            held: Vec::new(),
            slots: Parts::default(),
            flags: Flags::default(),
            detached: false,
            outbox: seat.clone(),
        });
        count_no_more(account);
        self.live(account, seat.id(), SessionEvent::Bound);
        let inline = self.bind_inlines(account, seat.id(), &request.inline);
        let later = match request.bind2 {
            true => self.bounds(account, seat.id()),
            false => Vec::new(),
        };
        let bound = Bound { jid, seat, inline };
        Ok(NewSession { bound, later })
    }

    /// What the modules tell unasked.
    fn bounds(self: &Arc<Self>, account: &mut Account, id: SessionId) -> Vec<Inlined> {
        let tables = account.tables.clone();
        let mut later = Vec::new();
        for hook in tables.bounds() {
            let mut ledger = Ledger::default();
            later.extend(self.turn(account, &mut ledger, |turn| hook(id, turn)));
            self.finish_act(ledger, &account.jid);
        }
        later
    }

    /// What the modules say to requests inside `<bind/>`, in the order of the requests.
    fn bind_inlines(
        self: &Arc<Self>,
        account: &mut Account,
        id: SessionId,
        requests: &[Element],
    ) -> Vec<Element> {
        let tables = account.tables.clone();
        let mut answers = Vec::new();
        for request in requests {
            if let Some(hook) = tables.bind_inline(request.root()) {
                let mut ledger = Ledger::default();
                let answer = self.turn(account, &mut ledger, |turn| hook(request, id, turn));
                answers.extend(answer);
                self.finish_act(ledger, &account.jid);
            }
        }
        answers
    }

    /// A newer session takes the place of older ones (RFC 6120 §7.7.2.2, "conflict").
    fn replace(self: &Arc<Self>, account: &mut Account, old: impl Fn(&SessionInfo) -> bool) {
        let replaced: Vec<SessionId> = account
            .sessions
            .iter()
            .filter(|session| old(session))
            .map(|session| session.id)
            .collect();
        for id in replaced {
            self.live(account, id, SessionEvent::Replaced);
            let conflict = StreamError::from(StreamCondition::Conflict);
            self.cease(account, id, conflict);
        }
    }

    /// Ends a session, connected or not.
    pub(super) fn cease(
        self: &Arc<Self>,
        account: &mut Account,
        id: SessionId,
        error: StreamError,
    ) {
        let Some(session) = account.session(id) else {
            return;
        };
        if session.detached {
            return self.bury(account, id);
        }
        session.outbox.end(error);
        if let Some(seat) = seat_of(session) {
            self.remember_handled(account, &seat);
        }
        self.remove(account, id);
    }

    /// A session is over with its connection.
    pub(super) fn ended(self: &Arc<Self>, account: &mut Account, ended: Ended) {
        tracing::debug!(account = %account.jid, end = ?ended.end, "session ended");
        if let Some(seat) = account.session(ended.session).and_then(seat_of) {
            match ended.end {
                End::Footer => self.forget_handled(account, &seat),
                _ => self.remember_handled(account, &seat),
            }
        }
        if ended.end != End::Shutdown {
            self.unconfirmed(account, ended.session, ended.unconfirmed.clone());
        }
        self.remove(account, ended.session);
        if ended.end != End::Shutdown {
            self.hand_over(account, &ended.unconfirmed);
        }
    }

    /// Takes a session out of the account, with its farewell.
    pub(super) fn remove(self: &Arc<Self>, account: &mut Account, id: SessionId) {
        let Some(session) = account.session(id) else {
            return;
        };
        let farewell = farewell(session);
        self.go_unavailable(account, id, farewell);
        self.live(account, id, SessionEvent::Expired);
        account.sessions.retain(|session| session.id != id);
        account.sessions.shrink_to_fit();
    }

    /// What an ended session had and did not confirm goes to the others, from the log.
    pub(super) fn hand_over(self: &Arc<Self>, account: &mut Account, unconfirmed: &[Entry]) {
        let Some(oldest) = unconfirmed.iter().map(|entry| entry.mid).min() else {
            return;
        };
        let before = oldest.before();
        let past: Vec<SessionId> = account
            .sessions
            .iter()
            .filter(|session| match session.intake {
                Backlog::Live { .. } => true,
                // It may have passed over what was on its way to the one that ended.
                Backlog::Reading { after, .. } => after > Some(before),
                Backlog::Closed => false,
            })
            .map(|session| session.id)
            .collect();
        for id in past {
            self.read_page(account, id, Some(before));
        }
    }

    /// Ends all sessions of an account with an error, and tells its contacts.
    pub fn end_sessions(self: &Arc<Self>, account: &Jid, error: StreamError) {
        let Some(slot) = self.owners().awake(&account.bare()) else {
            return;
        };
        let router = self.clone();
        slot.post(Work::Turn(Box::new(move |turn| {
            let ids: Vec<_> = turn.account.sessions.iter().map(|s| s.id).collect();
            for id in ids {
                router.cease(turn.account, id, error.clone());
            }
        })));
    }

    /// An account changed on disk behind its owner: it is read again before anything else.
    pub fn reread(&self, account: &Jid) {
        self.doubt(&account.bare());
    }

    /// The sessions of an account.
    pub fn sessions(&self, account: &Jid) -> Vec<SessionSummary> {
        self.owners()
            .awake(&account.bare())
            .and_then(|slot| slot.look(summaries))
            .unwrap_or_default()
    }

    /// Has no job of a module done any more: the server begins to stop.
    pub fn end_jobs(&self) {
        self.stopping.store(true, Ordering::Relaxed);
    }

    /// Ends every stream with `system-shutdown`; sessions that may be resumed stay, detached.
    pub fn drain(self: &Arc<Self>) {
        for slot in self
            .owners()
            .keys()
            .iter()
            .filter_map(|key| self.owners().awake(key))
        {
            let router = self.clone();
            slot.post(Work::Turn(Box::new(move |turn| {
                let ids: Vec<_> = turn.account.sessions.iter().map(|s| s.id).collect();
                for id in ids {
                    router.send_away(turn.account, id);
                }
            })));
        }
    }

    /// Ends every session whose domain is no longer served (RFC 6120 §4.9.3.6); how many accounts had any.
    pub fn end_strangers(self: &Arc<Self>) -> usize {
        let mut accounts = self.owners().keys();
        accounts.retain(|account| {
            self.host(account.domain()).is_none() && !self.sessions(account).is_empty()
        });
        for account in &accounts {
            self.end_sessions(account, StreamError::from(StreamCondition::HostGone));
        }
        accounts.len()
    }

    fn send_away(self: &Arc<Self>, account: &mut Account, id: SessionId) {
        let shutdown = StreamError::from(StreamCondition::SystemShutdown);
        let Some(session) = account.session(id) else {
            return;
        };
        match seat_of(session).and_then(|seat| seat.resumable()) {
            Some(_) => session.outbox.end(shutdown),
            None => self.cease(account, id, shutdown),
        }
    }

    /// Waits until no session is connected, at most `patience`.
    pub async fn drained(&self, patience: Duration) {
        let start = std::time::Instant::now();
        while start.elapsed() < patience {
            let busy = self
                .owners()
                .keys()
                .iter()
                .filter_map(|account| self.owners().awake(account))
                .any(|slot| slot.look(is_connected).unwrap_or(false));
            if !busy {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

/// Several clients may take the same message: what waits is no longer known by counting.
pub(super) fn count_no_more(account: &mut Account) {
    if account.sessions.len() > 1
        && let Some(waiting) = account.parts.find_mut::<Waiting>()
    {
        waiting.inexact = true;
    }
}

fn is_connected(account: &Account) -> bool {
    account.sessions.iter().any(|session| !session.detached)
}

fn client_name(agent: &UserAgent) -> Option<Box<str>> {
    let words: Vec<&str> = [&agent.software, &agent.device]
        .into_iter()
        .flatten()
        .map(String::as_str)
        .collect();
    (!words.is_empty()).then(|| words.join(", ").into())
}

fn summaries(account: &Account) -> Vec<SessionSummary> {
    account
        .sessions
        .iter()
        .map(|session| SessionSummary {
            jid: session.jid.clone(),
            since: session.since,
            address: session.address.to_string(),
            client: session.client.as_deref().map(str::to_owned),
        })
        .collect()
}
