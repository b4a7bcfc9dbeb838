//! A graceful restart that nobody notices: sessions that may be resumed (XEP-0198 §5) are written
//! down when the server stops, and taken over, detached, when it starts.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;

use super::Router;
use super::backlog::waits_for_room;
use super::binding::SlotInbox;
use super::detached::seat_of;
use crate::hooks::{
    Account, Backlog, Flags, Outgoing, Parts, SessionEvent, SessionInfo, Turn, TurnFn,
};
use crate::proto::jid::Jid;
use crate::proto::stanza::Stanza;
use crate::session::seat::Seat;
use crate::state::resume::{self, Intake, Item, Record};
use crate::store::{Batch, Mid, Space, StoreError};

/// For how long it is remembered how much of a session was handled.
const HANDLED_KEPT: Duration = Duration::from_secs(86_400);
/// How often what is older is deleted.
const TIDY_EVERY: Duration = Duration::from_secs(6 * 3600);
/// Keys read at once.
const PAGE: usize = 256;

impl Router {
    /// Has every account write down its detached sessions, and waits until they are with the
    /// committer, at most `patience`. Whatever was committed before was followed up first.
    pub async fn suspend_sessions(self: &Arc<Self>, patience: Duration) {
        let (done, mut all) = mpsc::channel::<()>(1);
        for account in self.owners().keys() {
            let (router, done) = (self.clone(), done.clone());
            let write: TurnFn = Box::new(move |turn: &mut Turn<'_>| {
                router.write_down(turn.account);
                drop(done);
            });
            self.act_after_commits(&account, write);
        }
        drop(done);
        if tokio::time::timeout(patience, all.recv()).await.is_err() {
            tracing::warn!(
                "some sessions were not written down in time; their clients log in anew"
            );
        }
    }

    fn write_down(&self, account: &Account) {
        let now = self.clock.wall();
        for info in account.sessions.iter().filter(|info| info.detached) {
            if let Some(record) = self.written(info) {
                let mut batch = Batch::new();
                record.write(&mut batch, account.uid, now);
                let jid = info.jid.clone();
                self.store.hand_in(batch, move |result| {
                    if let Err(error) = result {
                        tracing::warn!(session = %jid, %error, "a session was not written down");
                    }
                });
            }
        }
    }

    fn written(&self, info: &SessionInfo) -> Option<Record> {
        let (counters, rest) = seat_of(info)?.record()?;
        let left = self.detached.until(info.id)?;
        let left = left.saturating_duration_since(self.clock.now());
        let left = u64::try_from(left.as_millis()).unwrap_or(0);
        let mut record = Record::new(&info.jid, self.clock.wall().saturating_add(left), counters);
        let xml = |stanza: &Arc<Stanza>| String::from_utf8_lossy(&stanza.to_bytes()).into_owned();
        record.presence = info.presence.as_ref().map(xml);
        record.priority = info.priority;
        record.interested = info.interested;
        record.client_id = info.client_id.as_deref().map(str::to_owned);
        record.since = info.since;
        record.address = info.address.to_string();
        record.client = info.client.as_deref().map(str::to_owned);
        record.directed = info.directed.iter().map(ToString::to_string).collect();
        record.intake = match info.intake {
            Backlog::Closed => None,
            Backlog::Reading { after, .. } | Backlog::Live { after } => Some(Intake {
                after: after.map(|mid| mid.to_string()),
            }),
        };
        let tables = self.host(info.jid.domain())?.tables.clone();
        record.keepsakes = tables.keepsakes(info);
        let held = info.held.iter().map(Item::of);
        record.rest = rest.iter().map(Item::of).chain(held).collect();
        Some(record)
    }

    /// Takes over the sessions of the process before this one. Their accounts have them before
    /// anything that comes after this.
    ///
    /// # Errors
    /// The store's.
    pub async fn restore_sessions(self: &Arc<Self>) -> Result<usize, StoreError> {
        let mut restored = 0;
        let mut after = None;
        loop {
            let found = self.tidy_page(after).await?;
            for record in found.sessions {
                if let Ok(jid) = Jid::parse(&record.jid) {
                    restored += 1;
                    let (router, account) = (self.clone(), jid.bare());
                    let restore =
                        move |turn: &mut Turn<'_>| router.restore(turn.account, jid, record);
                    self.in_account(&account, Box::new(restore));
                }
            }
            after = found.next;
            if after.is_none() {
                return Ok(restored);
            }
        }
    }

    /// Reads a page of what is kept of sessions, and deletes what is done with.
    async fn tidy_page(&self, after: Option<Vec<u8>>) -> Result<resume::Found, StoreError> {
        let kept = u64::try_from(HANDLED_KEPT.as_millis()).unwrap_or(u64::MAX);
        let since = self.clock.wall().saturating_sub(kept);
        let read = self
            .store
            .reading(move |snapshot| resume::found(snapshot, after, since, PAGE));
        let found = read.await?;
        let mut batch = Batch::new();
        for key in &found.done {
            batch.delete(Space::RESUME, key);
        }
        if !batch.is_empty()
            && let Err(error) = self.store.commit(batch.relaxed()).await
        {
            tracing::warn!(%error, "what was kept of old sessions is not deleted");
        }
        Ok(found)
    }

    /// Deletes, every so often, what was kept of sessions that nobody asks for any more.
    pub(super) async fn tidy_sessions(self: Arc<Self>) {
        let mut ticks = tokio::time::interval(TIDY_EVERY);
        ticks.tick().await;
        loop {
            ticks.tick().await;
            let mut after = None;
            loop {
                match self.tidy_page(after).await {
                    Ok(found) if found.next.is_some() => after = found.next,
                    Ok(_) => break,
                    Err(error) => {
                        tracing::error!(%error, "old sessions cannot be read; run `waxwing check`");
                        break;
                    }
                }
            }
        }
    }

    fn restore(self: &Arc<Self>, account: &mut Account, jid: Jid, record: Record) {
        if account.guest || account.resource(&jid).is_some() {
            return;
        }
        let rest: Vec<Outgoing> = record.rest.iter().filter_map(Item::back).collect();
        let inbox = Arc::new(SlotInbox(self.owners().slot(&account.jid)));
        let (shared, tables) = (self.seats.clone(), account.tables.clone());
        let seat = Seat::restored(
            inbox,
            shared,
            tables.clone(),
            account.uid,
            &record.counters,
            rest,
        );
        let presence = record.presence.as_deref();
        let presence = presence.and_then(|xml| Stanza::from_bytes(xml.as_bytes()).ok());
        let directed = record
            .directed
            .iter()
            .filter_map(|jid| Jid::parse(jid).ok());
        let after = record
            .intake
            .as_ref()
            .and_then(|intake| intake.after.as_ref());
        let after = after.and_then(|mid| mid.parse::<Mid>().ok());
        let takes = record.intake.is_some();
        let mut info = SessionInfo {
            id: seat.id(),
            jid,
            presence: presence.map(Arc::new),
            priority: record.priority,
            interested: record.interested,
            client_id: record.client_id.map(Into::into),
            since: record.since,
            address: record.address.into(),
            client: record.client.map(Into::into),
            directed: directed.collect(),
            intake: if takes {
                waits_for_room(after)
            } else {
                Backlog::Closed
            },
            opened: Mid::MIN,
            ahead: Vec::new(),
            held: Vec::new(),
            slots: Parts::default(),
            flags: Flags::default(),
            detached: true,
            outbox: seat.clone(),
        };
        tables.restore(&mut info, record.keepsakes);
        seat.set_flags(info.flags);
        let id = info.id;
        account.sessions.push(info);
        super::binding::count_no_more(account);
        let left = Duration::from_millis(record.until.saturating_sub(self.clock.wall()));
        let until = self.clock.now() + left;
        self.detached.add(id, &account.jid, until);
        self.stats.restored.count();
        self.live(account, id, SessionEvent::Restored);
        if takes {
            self.read_page(account, id, after);
        }
    }
}
