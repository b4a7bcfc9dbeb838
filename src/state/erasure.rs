//! The removal of an account and all it owns: in bounded steps, begun by one batch and continued after a crash.
//!
//! The batch that removes the account leaves two marks. Under the account's number: what it owns is to be removed.
//! Under its name: its contacts are to be told that it is gone (RFC 6121 §3.2, §3.3), and until then nobody gets the
//! name. Numbers are never used again, so what a later account of the same name owns is out of reach.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, oneshot};

use super::owned;
use super::roster::{self, Item, Roster};
use crate::hooks::{Effect, Envelope, Floor, Uid};
use crate::proto::error::{StreamCondition, StreamError};
use crate::proto::jid::Jid;
use crate::proto::stanza::{PresenceType, Stanza};
use crate::store::{
    Batch, CommitError, Direction, Fields, Key, Range, Snapshot, Space, Store, StoreError,
};

/// Contacts told at once.
const CONTACTS: usize = 100;
/// How long the servers of so many contacts may take.
const PATIENCE: Duration = Duration::from_secs(60);
/// Passes over all spaces; the second one finds what was on its way during the first.
const PASSES: usize = 8;
/// Attempts to tell the same contact, and the pause before the second; each further one is longer.
const ATTEMPTS: u32 = 3;
const PAUSE: Duration = Duration::from_millis(100);

const DATA: u8 = 0;
const NAME: u8 = 1;

/// Why a removal stopped; it goes on at the next start.
#[derive(Debug, thiserror::Error)]
pub enum ErasureError {
    /// The store could not be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The store did not take it.
    #[error(transparent)]
    Commit(#[from] CommitError),
}

/// Puts the marks into the batch that removes an account.
pub fn mark(batch: &mut Batch, uid: Uid, jid: &Jid) {
    let name = jid.bare_str().as_bytes().to_vec();
    batch.put(Space::ERASURE, &data_key(uid), name);
    batch.put(Space::ERASURE, &name_key(jid), uid.to_key().to_vec());
}

/// Marks what is under a number as to be removed, and nothing else: left by something that did not end.
pub(super) fn mark_data(batch: &mut Batch, uid: Uid, jid: &Jid) {
    let name = jid.bare_str().as_bytes().to_vec();
    batch.put(Space::ERASURE, &data_key(uid), name);
}

/// Whether what is under a number is to be removed.
pub(super) fn is_marked(view: &dyn Snapshot, uid: Uid) -> Result<bool, StoreError> {
    Ok(view.get(Space::ERASURE, &data_key(uid))?.is_some())
}

/// Demands that what is under a number is not to be removed.
pub(super) fn require_unmarked(batch: &mut Batch, uid: Uid) {
    batch.require_absent(Space::ERASURE, &data_key(uid));
}

/// Takes that back.
pub(super) fn unmark_data(batch: &mut Batch, uid: Uid) {
    batch.delete(Space::ERASURE, &data_key(uid));
}

/// The key that reserves the name of an account while its contacts are told that it is gone.
pub fn name_key(jid: &Jid) -> Key {
    let key = Key::new().u8(NAME).str(jid.domain());
    key.str(jid.node().unwrap_or_default())
}

fn data_key(uid: Uid) -> Key {
    Key::new().u8(DATA).u64(uid.0)
}

/// Removes what removed accounts owned.
#[derive(Clone)]
pub struct Erasure {
    store: Store,
    floor: Option<Arc<dyn Floor>>,
}

impl Erasure {
    /// Over a store; with the floor of the running server, which tells contacts. Without one all
    /// goes but the roster, which is there until the server starts and tells them.
    pub fn new(store: Store, floor: Option<Arc<dyn Floor>>) -> Self {
        Erasure { store, floor }
    }

    /// Goes on with every removal that was begun. One that fails is logged and stays for the next start.
    ///
    /// # Errors
    /// The marks cannot be read.
    pub async fn resume(&self) -> Result<(), StoreError> {
        let marks = Range::prefix(Key::new().u8(DATA));
        let mut after: Option<Vec<u8>> = None;
        loop {
            let range = match &after {
                Some(key) => marks.clone().after(key.as_slice()),
                None => marks.clone(),
            };
            let rows = self
                .store
                .reading(move |view| view.scan(Space::ERASURE, &range, Direction::Forward, 100))
                .await?;
            let Some((last, _)) = rows.last() else {
                return Ok(());
            };
            after = Some(last.clone());
            for (key, value) in rows {
                if let Some((uid, jid)) = read(&key, &value)
                    && let Err(error) = self.finish(uid, &jid).await
                {
                    tracing::error!(account = %jid, %error, "what a removed account owned is still there; this goes on at the next start");
                }
            }
        }
    }

    /// Does all that is left to do for a removed account.
    ///
    /// # Errors
    /// See [`ErasureError`]; the marks stay and [`Erasure::resume`] goes on.
    pub async fn finish(&self, uid: Uid, jid: &Jid) -> Result<(), ErasureError> {
        if let Some(floor) = &self.floor {
            let account = jid.bare();
            floor.end_sessions(
                &account,
                StreamError::new(StreamCondition::NotAuthorized)
                    .with_text("the account was removed"),
            );
            floor.reread(&account);
            settled(floor, &account).await;
        }
        // What its last turns wrote is on disk now.
        self.store.commit(Batch::new()).await?;
        if let Some(floor) = &self.floor {
            self.say_goodbye(floor, uid, jid).await?;
        }
        let told = self.is_told(uid, jid).await?;
        for _ in 0..PASSES {
            if self.erase(uid, told).await? == 0 {
                break;
            }
        }
        if told {
            let mut batch = Batch::new();
            batch.delete(Space::ERASURE, &data_key(uid));
            batch.delete(Space::ACCOUNT_BY_ID, &uid.to_key());
            self.store.commit(batch).await?;
        }
        Ok(())
    }

    /// One pass over the spaces; how many keys went.
    async fn erase(&self, uid: Uid, roster: bool) -> Result<u64, ErasureError> {
        let mut erased = 0;
        for (_, space) in owned::spaces(&self.store) {
            if space != Space::ROSTER || roster {
                let all = Range::prefix(Key::new().u64(uid.0));
                erased += self.store.erase(space, all).await?;
            }
        }
        Ok(erased)
    }

    /// Whether the name is free again, or another account's.
    async fn is_told(&self, uid: Uid, jid: &Jid) -> Result<bool, StoreError> {
        let key = name_key(jid);
        let mark = self
            .store
            .reading(move |view| view.get(Space::ERASURE, &key))
            .await?;
        Ok(mark.is_none_or(|value| value != uid.to_key()))
    }

    /// Takes the account out of the rosters of its contacts, step by step.
    async fn say_goodbye(
        &self,
        floor: &Arc<dyn Floor>,
        uid: Uid,
        jid: &Jid,
    ) -> Result<(), ErasureError> {
        if self.is_told(uid, jid).await? {
            return Ok(());
        }
        loop {
            let roster = self
                .store
                .reading(move |view| Roster::load(view, uid))
                .await?;
            let contacts: Vec<&Item> = roster.items().iter().take(CONTACTS).collect();
            if contacts.is_empty() {
                break;
            }
            tell_all(floor, jid, &contacts).await;
            let mut batch = Batch::new();
            for contact in contacts.iter().filter_map(|item| item.jid.as_ref()) {
                roster::forget(&mut batch, uid, contact);
            }
            self.store.commit(batch).await?;
        }
        let mut batch = Batch::new();
        batch.delete(Space::ERASURE, &name_key(jid));
        self.store.commit(batch).await?;
        Ok(())
    }
}

fn read(key: &[u8], value: &[u8]) -> Option<(Uid, Jid)> {
    let mut fields = Fields::of(key);
    fields.u8()?;
    let jid = Jid::parse(std::str::from_utf8(value).ok()?).ok()?;
    Some((Uid(fields.u64()?), jid))
}

/// Waits until an account's owner has done all that was given to it before.
async fn settled(floor: &Arc<dyn Floor>, account: &Jid) {
    let (done, seen) = oneshot::channel::<()>();
    floor.in_turn(account, Box::new(move |_| drop(done)));
    // Done or refused, the end is dropped.
    let _ = seen.await;
}

/// Tells contacts and waits until what that changes is on disk. Who still cannot be told after some
/// attempts will hear of it when he asks for presence (RFC 6121 §4.3.2).
async fn tell_all(floor: &Arc<dyn Floor>, jid: &Jid, contacts: &[&Item]) {
    let mut untold: Vec<Stanza> = contacts
        .iter()
        .flat_map(|item| farewell(jid, item))
        .collect();
    for attempt in 0..ATTEMPTS {
        tokio::time::sleep(PAUSE * attempt).await;
        let told = Arc::new(Told::default());
        for stanza in untold {
            told.send(floor, stanza);
        }
        // What takes longer is on its way nevertheless.
        let _ = tokio::time::timeout(PATIENCE, told.all()).await;
        untold = told.failed();
        if untold.is_empty() {
            return;
        }
    }
}

/// What ends the subscriptions between an account and a contact.
fn farewell(jid: &Jid, item: &Item) -> Vec<Stanza> {
    let Some(contact) = &item.jid else {
        return Vec::new();
    };
    let state = item.state();
    let mut kinds = Vec::new();
    if state.subscription.to() || state.pending_out {
        kinds.push(PresenceType::Unsubscribe);
    }
    if state.subscription.from() || state.pending_in {
        kinds.push(PresenceType::Unsubscribed);
    }
    let say = |kind| {
        Stanza::presence(kind)
            .with_from(jid.bare())
            .with_to(contact.clone())
    };
    kinds.into_iter().map(say).collect()
}

/// Stanzas under way.
#[derive(Default)]
struct Told {
    open: AtomicUsize,
    failed: Mutex<Vec<Stanza>>,
    through: Notify,
}

/// Goes with a stanza: what is done after its commit marks it as through, whatever else becomes of it as failed.
struct Ticket {
    told: Arc<Told>,
    stanza: Option<Stanza>,
}

impl Told {
    fn send(self: &Arc<Self>, floor: &Arc<dyn Floor>, stanza: Stanza) {
        let ticket = Ticket {
            told: self.clone(),
            stanza: Some(stanza.clone()),
        };
        self.open.fetch_add(1, Ordering::AcqRel);
        if let Some(mut envelope) = Envelope::from_server(stanza) {
            let through = Effect::Free(Box::new(move || ticket.through()));
            envelope.ledger.effects.push(through);
            floor.route(Box::new(envelope));
        }
    }

    async fn all(&self) {
        loop {
            let through = self.through.notified();
            if self.open.load(Ordering::Acquire) == 0 {
                return;
            }
            through.await;
        }
    }

    fn failed(&self) -> Vec<Stanza> {
        std::mem::take(&mut *self.lock())
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Stanza>> {
        self.failed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Ticket {
    fn through(mut self) {
        self.stanza = None;
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.told.lock().extend(self.stanza.take());
        self.told.open.fetch_sub(1, Ordering::AcqRel);
        self.told.through.notify_one();
    }
}
