//! The backlog: what waited in the log is handed to a session that became available, page by
//! page, in order, before anything newer (XEP-0160).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::Router;
use crate::hooks::{Account, Backlog, Entry, Outgoing, Pushed, SessionId, SessionInfo};
use crate::proto::delay::Delay;
use crate::proto::jid::Jid;
use crate::session::owners::Slot;
use crate::session::work::Work;
use crate::state::log::{self, Logged, Waiting};
use crate::store::{Batch, Mid};

/// Messages read at once.
const PAGE: usize = 64;

/// How long a read waits for what was written before it.
const BARRIER: Duration = Duration::from_secs(1);

impl Router {
    /// A session became one that takes messages: it is served from the log first.
    pub(super) fn open_backlog(self: &Arc<Self>, account: &mut Account, session: SessionId) {
        if account.guest {
            if let Some(info) = account.session_mut(session) {
                info.intake = Backlog::Live { after: None };
            }
            return;
        }
        let offered = account.offered;
        if let Some(info) = account.session_mut(session) {
            info.opened = offered;
        }
        self.read_page(account, session, None);
    }

    /// A session's outbox has room again.
    pub(super) fn room_again(
        self: &Arc<Self>,
        _slot: &Arc<Slot<Router>>,
        account: &mut Account,
        session: SessionId,
    ) {
        let Some(info) = account.session(session) else {
            return;
        };
        if let Backlog::Reading {
            after, busy: true, ..
        } = info.intake
        {
            self.read_page(account, session, after);
        }
    }

    /// Clients have these entries.
    pub(super) fn taken(self: &Arc<Self>, account: &mut Account, entries: &[Entry]) {
        if account.guest {
            return;
        }
        if let Some(reads) = account.parts.find_mut::<Reads>()
            && reads.open > 0
        {
            reads.taken.extend(entries.iter().map(|entry| entry.mid));
        }
        let uid = account.uid;
        let mut ledger = crate::hooks::Ledger::default();
        log::taken(&mut ledger.batch, uid, entries);
        ledger.batch = ledger.batch.relaxed();
        if let Some(waiting) = account.parts.find_mut::<Waiting>() {
            let count = u32::try_from(entries.len()).unwrap_or(u32::MAX);
            waiting.take(count);
        }
        self.finish_act(ledger, &account.jid);
    }

    pub(super) fn read_page(
        self: &Arc<Self>,
        account: &mut Account,
        session: SessionId,
        after: Option<Mid>,
    ) {
        let (uid, jid) = (account.uid, account.jid.clone());
        let waiting = account.parts.find::<Waiting>().copied().unwrap_or_default();
        let Some(info) = account.session_mut(session) else {
            return;
        };
        if waiting.none() && info.held.is_empty() {
            // Nothing is marked and nothing is being committed: up to date without reading.
            info.intake = Backlog::Live { after };
            return;
        }
        let Some(number) = account.parts.of::<Reads>().map(Reads::open) else {
            return;
        };
        if let Some(info) = account.session_mut(session) {
            info.intake = Backlog::Reading {
                after,
                busy: false,
                missed: false,
                page: number,
            };
        }
        let router = self.clone();
        self.runtime.spawn(async move {
            // What clients took so far is off the index once an empty batch is through; but a disk
            // that does not take writes must not keep anybody from reading.
            let barrier = router.store.commit(Batch::new());
            let _ = tokio::time::timeout(BARRIER, barrier).await;
            let page = router
                .store
                .reading(move |snapshot| log::undelivered(snapshot, uid, after, PAGE))
                .await;
            let failed = page.is_err();
            let served = router.clone();
            let work = Work::Turn(Box::new(move |turn| {
                let taken = turn.account.parts.find_mut::<Reads>().map(Reads::close);
                match page {
                    Ok(page) => {
                        served.serve(turn.account, session, number, page, &taken.unwrap_or_default());
                    }
                    Err(error) => {
                        tracing::error!(account = %turn.account.jid, %error, "waiting messages cannot be read; run `waxwing check`");
                        served.wait_for_room(turn.account, session, number);
                    }
                }
            }));
            router.owners().post(&jid, work);
            if failed {
                tokio::time::sleep(Duration::from_secs(1)).await;
                router.owners().post(&jid, Work::Room(session));
            }
        });
    }

    /// Nothing is read for the session until it is told to go on.
    fn wait_for_room(&self, account: &mut Account, session: SessionId, number: u64) {
        if let Some(info) = account.session_mut(session)
            && let Backlog::Reading { after, page, .. } = info.intake
            && page == number
        {
            info.intake = waits_for_room(after);
        }
    }

    /// Hands out a page, then reads the next one, waits for room, or is up to date.
    /// A page that is not the awaited one is dropped; what was taken since it was read is left out.
    fn serve(
        self: &Arc<Self>,
        account: &mut Account,
        session: SessionId,
        number: u64,
        page: Vec<Logged>,
        taken: &[Mid],
    ) {
        let barred = barred(account, &page);
        if !barred.is_empty() {
            self.taken(account, &barred);
        }
        let last = page.last().map(|logged| logged.entry.mid);
        let page = self::fresh(account, session, page, taken, &barred);
        let (own, offered) = (account.jid.clone(), account.offered);
        let Some(info) = account.session_mut(session) else {
            return;
        };
        let Backlog::Reading {
            mut after,
            missed,
            page: awaited,
            ..
        } = info.intake
        else {
            return;
        };
        if number != awaited {
            return;
        }
        for (mid, item) in merge(page, last, &mut info.held, &own) {
            if info.outbox.push(item) != Pushed::Queued {
                info.held = Vec::new();
                info.intake = waits_for_room(after);
                return;
            }
            after = Some(mid);
            if mid > offered {
                info.ahead.push(mid);
            }
        }
        after = after.max(last);
        if last.is_none() && !missed {
            info.intake = Backlog::Live { after };
        } else if info.outbox.has_room() {
            self.read_page(account, session, after);
        } else {
            info.held = Vec::new();
            info.intake = waits_for_room(after);
        }
    }
}

/// What of a page the session is to get. What was offered before it took messages is not for it if another has it
/// (XEP-0160: once); what came since is for it whoever has it, unless it is for another by name.
fn fresh(
    account: &Account,
    session: SessionId,
    page: Vec<Logged>,
    taken: &[Mid],
    barred: &[Entry],
) -> Vec<Logged> {
    let Some(info) = account.session(session) else {
        return Vec::new();
    };
    let own: Vec<Mid> = info
        .outbox
        .in_flight()
        .iter()
        .map(|entry| entry.mid)
        .collect();
    let others = in_flight(account, session);
    let is_fresh = |logged: &Logged| {
        let mid = logged.entry.mid;
        let had = own.contains(&mid) || info.ahead.contains(&mid);
        if had || barred.iter().any(|entry| entry.mid == mid) {
            return false;
        }
        if mid <= info.opened {
            return !others.contains(&mid) && !taken.contains(&mid);
        }
        let to = logged.stanza.to.as_ref();
        let by_name = to.filter(|to| to.is_full() && **to != info.jid);
        let another = by_name.is_some_and(|to| account.resource(to).is_some());
        !another && (mid > account.offered || !taken.contains(&mid))
    };
    page.into_iter().filter(is_fresh).collect()
}

/// What goes out with a page, whose last message is `last`: its messages, and of those held back what came before its end,
/// or all behind the last page. What was held back was not delayed.
fn merge(
    page: Vec<Logged>,
    last: Option<Mid>,
    held: &mut Vec<Outgoing>,
    account: &Jid,
) -> BTreeMap<Mid, Outgoing> {
    let end = last.unwrap_or(Mid::MAX);
    let mut merged: BTreeMap<Mid, Outgoing> = page
        .into_iter()
        .map(|logged| (logged.entry.mid, delayed(logged, account)))
        .collect();
    for item in std::mem::take(held) {
        match item.entry {
            Some(entry) if entry.mid <= end => {
                merged.insert(entry.mid, item);
            }
            _ => held.push(item),
        }
    }
    merged
}

fn delayed(logged: Logged, account: &Jid) -> Outgoing {
    let delay = Delay {
        stamp: logged.at,
        from: Some(account.domain_jid()),
    };
    let mut stanza = logged.stanza;
    if logged.entry.keep {
        stanza.push(log::stanza_id(account, logged.entry.mid));
    }
    stanza.push(delay.to_element());
    Outgoing {
        stanza: Arc::new(stanza),
        to: None,
        entry: Some(logged.entry),
    }
}

/// What waited and is from those from whom the account hears nothing any more.
fn barred(account: &Account, page: &[Logged]) -> Vec<Entry> {
    let is_barred = |logged: &&Logged| {
        let from = logged.stanza.from.as_ref();
        from.is_some_and(|from| account.bars(from))
    };
    page.iter()
        .filter(is_barred)
        .map(|logged| logged.entry)
        .collect()
}

/// What the connected ones but this have and did not confirm. What one has whose client is
/// away does not keep anybody else from getting it.
fn in_flight(account: &Account, session: SessionId) -> Vec<Mid> {
    let counts = |info: &&SessionInfo| !info.detached && info.id != session;
    let sessions = account.sessions.iter().filter(counts);
    let entries = sessions.flat_map(|info| info.outbox.in_flight());
    entries.map(|entry| entry.mid).collect()
}

/// A session whose outbox is full: the log has what comes after `after`.
pub(super) fn waits_for_room(after: Option<Mid>) -> Backlog {
    Backlog::Reading {
        after,
        busy: true,
        missed: false,
        page: 0,
    }
}

/// Pages under way to an account, and what its clients took meanwhile; a part of the account.
#[derive(Default)]
struct Reads {
    last: u64,
    open: u32,
    taken: Vec<Mid>,
}

impl Reads {
    /// A page is asked for; its number.
    fn open(&mut self) -> u64 {
        self.open += 1;
        self.last += 1;
        self.last
    }

    /// A page is here; what was taken since the oldest one still open was asked for.
    fn close(&mut self) -> Vec<Mid> {
        self.open = self.open.saturating_sub(1);
        if self.open == 0 {
            std::mem::take(&mut self.taken)
        } else {
            self.taken.clone()
        }
    }
}
