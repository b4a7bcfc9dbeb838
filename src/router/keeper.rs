//! The router as keeper of accounts: loading, installing, dispatching, refusing.

use std::sync::Arc;
use std::time::Duration;

use super::Router;
use super::resend::{Gone, REMEMBERED, Recent};
use crate::hooks::kinds::Install;
use crate::hooks::{Account, Origin, Parts, Uid, Verb};
use crate::proto::error::{Condition, StanzaError};
use crate::proto::jid::Jid;
use crate::proto::stanza::{IqType, Kind, PresenceType, Stanza};
use crate::session::owners::{After, Keeper, Refusal, Rest, Slot};
use crate::session::work::Work;
use crate::state::accounts::{self, Record};
use crate::state::log::{self, Waiting};
use crate::state::roster::Roster;
use crate::store::{Mid, Snapshot, StoreError};
use crate::stream::NotResumed;

/// What is read of an account when it wakes.
pub enum Loaded {
    /// An account of the store.
    Account(Box<Stored>),
    /// A guest, who has nothing there.
    Guest,
}

/// What the store has of an account.
pub struct Stored {
    record: Record,
    roster: Roster,
    waiting: Waiting,
    recent: Recent,
    gone: Gone,
    parts: Vec<Install>,
}

impl Keeper for Router {
    type Key = Jid;
    type State = Account;
    type Work = Work;
    type Loaded = (Jid, Loaded);

    fn load(&self, slot: &Arc<Slot<Self>>) {
        let Some(router) = self.me.upgrade() else {
            return;
        };
        let jid = slot.key().clone();
        let Some(host) = self.host(jid.domain()) else {
            return slot.loaded(Err(Refusal::Unknown));
        };
        if host.guests {
            return slot.loaded(Ok((jid, Loaded::Guest)));
        }
        let slot = slot.clone();
        self.runtime.spawn(async move {
            loop {
                // What it remembers of late messages it keeps: to read them again for every doubt would take long.
                let remembers = slot.look(|_| ()).is_some();
                match router.read_account(&jid, remembers).await {
                    Ok(Some(loaded)) => return slot.loaded(Ok((jid, loaded))),
                    Ok(None) => return slot.loaded(Err(Refusal::Unknown)),
                    Err(error) => {
                        tracing::error!(account = %jid, %error, "an account cannot be read; run `waxwing check`");
                        if slot.look(|_| ()).is_none() {
                            return slot.loaded(Err(Refusal::Unreadable));
                        }
                        // Its sessions are bound: their work waits in the bounded inbox.
                        tokio::time::sleep(Duration::from_secs(1)).await;
                    }
                }
            }
        });
    }

    fn install(&self, state: &mut Option<Account>, loaded: Self::Loaded) {
        let (jid, loaded) = loaded;
        let Some(host) = self.host(jid.domain()) else {
            return;
        };
        let account = state.get_or_insert_with(|| Account {
            jid,
            uid: Uid(0),
            guest: true,
            tables: host.tables.clone(),
            sessions: Default::default(),
            // Whatever is written from now on is offered in a turn of this account.
            offered: Mid::first_of(self.clock.wall()),
            parts: Parts::default(),
        });
        if let Loaded::Account(stored) = loaded {
            let stored = *stored;
            let mut waiting = stored.waiting;
            waiting.inexact = account.parts.find::<Waiting>().is_some();
            account.guest = false;
            account.uid = Uid(stored.record.uid);
            account.parts.put(stored.roster);
            account.parts.put(waiting);
            if account.parts.find::<Recent>().is_none() {
                account.parts.put(stored.recent);
            }
            if account.parts.find::<Gone>().is_none() && !stored.gone.0.is_empty() {
                account.parts.put(stored.gone);
            }
            for install in stored.parts {
                install(&mut account.parts);
            }
        }
    }

    fn handle(&self, slot: &Arc<Slot<Self>>, account: &mut Account, work: Work) -> After {
        let Some(router) = self.me.upgrade() else {
            return After::Continue;
        };
        if account.guest && account.sessions.is_empty() && !matches!(work, Work::Bind(_)) {
            self.refuse(slot.key(), work, Refusal::Unknown);
            return After::Continue;
        }
        match work {
            Work::Inbound(inbound) => return router.inbound(slot, account, *inbound),
            Work::Arriving(envelope) => return router.arriving(slot, account, envelope),
            Work::Judged(judged) => return router.judged(slot, account, *judged),
            Work::Committed(envelope, entry) => router.deliver(account, *envelope, entry),
            Work::Bind(bind) => router.bind(slot, account, *bind),
            Work::Nonza(session, element) => router.nonza(account, session, &element),
            Work::Probe(session) => router.probe_client(account, session),
            Work::Taken(entries) => router.taken(account, &entries),
            Work::Room(session) => router.room_again(slot, account, session),
            Work::Ended(ended) => router.ended(account, *ended),
            Work::Lost(session) => router.lost(account, session),
            Work::Expire(session) => router.expire(account, session),
            Work::Reattach(reattach) => router.reattach(slot, account, *reattach),
            Work::Turn(f) => router.act(account, f),
            Work::Doubt => return After::Reload,
        }
        After::Continue
    }

    fn refuse(&self, key: &Jid, work: Work, why: Refusal) {
        let Some(router) = self.me.upgrade() else {
            return;
        };
        if why == Refusal::Full {
            self.stats.reached.inbox.count();
        }
        match work {
            Work::Arriving(envelope) | Work::Committed(envelope, _) => {
                match self.refusal(key, &envelope.stanza, why) {
                    Answer::Error(error) => return router.bounce(&envelope, &error),
                    Answer::Unsubscribed => router.send_unsubscribed(key, &envelope),
                    Answer::Silence => {}
                }
                // What its sender's turn changed stands.
                router.finish(envelope);
            }
            Work::Bind(bind) => {
                let _ = bind.reply.send(Err(Condition::ResourceConstraint.into()));
            }
            Work::Inbound(inbound) => inbound.receipt.void(),
            Work::Reattach(reattach) => {
                let _ = reattach.reply.send(Err(NotResumed::Unknown { h: None }));
            }
            Work::Judged(_)
            | Work::Nonza(..)
            | Work::Probe(_)
            | Work::Taken(_)
            | Work::Room(_)
            | Work::Ended(_)
            | Work::Lost(_)
            | Work::Expire(_)
            | Work::Turn(_)
            | Work::Doubt => {}
        }
    }

    /// All that an account keeps is on disk already.
    fn rest(&self, account: &Account) -> Rest<Work> {
        if account.sessions.is_empty() {
            Rest::Leave
        } else {
            Rest::Stay
        }
    }

    /// What others send is bounded here; an account's own work is bounded by its sessions' windows
    /// and by the committer, and what follows a commit must not be lost.
    fn bound(&self, work: &Work) -> Option<usize> {
        let limits = self.limits.load();
        match work {
            // A room says all it has to who enters in one turn (XEP-0045 §7.1).
            Work::Arriving(envelope) if envelope.origin == Origin::Service => {
                Some(limits.inbox_services.max(limits.inbox))
            }
            Work::Arriving(_) => Some(limits.inbox),
            _ => None,
        }
    }
}

enum Answer {
    Error(StanzaError),
    Unsubscribed,
    Silence,
}

impl Router {
    /// How refused work looks to its sender; the unknown and the unavailable look the same, and
    /// nobody is told whether there is an account (RFC 6121 §8.5.1).
    fn refusal(&self, account: &Jid, stanza: &Stanza, why: Refusal) -> Answer {
        let error = match why {
            Refusal::Unknown => Condition::ServiceUnavailable,
            Refusal::Unreadable => Condition::InternalServerError,
            Refusal::Full => Condition::ResourceConstraint,
        };
        match (stanza.kind, why) {
            (Kind::Presence(PresenceType::Probe), Refusal::Unknown) => Answer::Unsubscribed,
            (Kind::Presence(_), Refusal::Unknown) => Answer::Silence,
            (Kind::Iq(kind), Refusal::Unknown) => {
                let refused = self.as_if_there(account, stanza, kind);
                Answer::Error(refused.unwrap_or_else(|| error.into()))
            }
            (Kind::Presence(PresenceType::Subscribe), _) | (Kind::Message(_) | Kind::Iq(_), _) => {
                Answer::Error(error.into())
            }
            (Kind::Presence(_), _) => Answer::Silence,
        }
    }

    /// How a stranger's question would be refused if the account was there.
    fn as_if_there(&self, account: &Jid, stanza: &Stanza, kind: IqType) -> Option<StanzaError> {
        let verb = match kind {
            IqType::Get => Verb::Get,
            IqType::Set => Verb::Set,
            IqType::Result | IqType::Error => return None,
        };
        let host = self.host(account.domain())?;
        host.tables.unknown(verb, stanza.payload()?)
    }

    async fn read_account(&self, jid: &Jid, remembers: bool) -> Result<Option<Loaded>, StoreError> {
        let key = accounts::account_key(jid);
        let Some(host) = self.host(jid.domain()) else {
            return Ok(None);
        };
        let loaders = host.tables.clone();
        let limit = self.limits().undelivered as usize;
        let now = self.clock.now();
        let window = u64::try_from(self.limits().resend_window.as_millis()).unwrap_or(u64::MAX);
        let since = self.clock.wall().saturating_sub(window);
        self.store
            .reading(move |snapshot: &dyn Snapshot| {
                let Some(record) = accounts::read(snapshot, &key)? else {
                    return Ok(None);
                };
                let uid = Uid(record.uid);
                let roster = Roster::load(snapshot, uid)?;
                let waiting = Waiting::load(snapshot, uid, limit)?;
                let newest = match remembers {
                    true => log::Newest::default(),
                    false => log::newest(snapshot, uid, since, REMEMBERED)?,
                };
                let of = |list: Vec<log::Logged>| {
                    Recent::of(list.into_iter().map(|logged| logged.stanza), now)
                };
                let (recent, gone) = (of(newest.received), Gone(of(newest.sent)));
                let parts = loaders.loaders().iter().map(|load| load(snapshot, uid));
                let parts = parts.collect::<Result<Vec<_>, _>>()?;
                Ok(Some(Loaded::Account(Box::new(Stored {
                    record,
                    roster,
                    waiting,
                    recent,
                    gone,
                    parts,
                }))))
            })
            .await
    }

    /// The state of an account may differ from the disk: it is read again before anything else.
    pub(super) fn doubt(&self, account: &Jid) {
        if let Some(slot) = self.owners().awake(account) {
            slot.post(Work::Doubt);
        }
    }
}
