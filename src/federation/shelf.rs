//! What is kept for other sides until they have it: counted, bounded, read page by page, forgotten, given back.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::keeper::forgetting;
use super::pair::{Item, Mark, is_answered};
use super::trouble::Trouble;
use crate::hooks::{Envelope, Facts, Floor};
use crate::proto::error::StanzaError;
use crate::proto::stanza::{Kind, PresenceType};
use crate::router::Router;
use crate::runtime::clock::Clock;
use crate::state::outbox::{self, Kept, Total};
use crate::store::{Batch, Mid, Snapshot, Store, StoreError};

/// How much is kept.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    /// Stanzas of one pair.
    pub messages: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Bytes of all pairs.
    pub bytes_total: u64,
}

/// What is kept for some pairs of domains.
pub(crate) struct Shelf {
    router: Arc<Router>,
    store: Store,
    clock: Clock,
    kept: Mutex<HashMap<outbox::Pair, Total>>,
    bytes: AtomicU64,
}

impl Shelf {
    /// What is kept for the pairs that are `ours`, from before.
    ///
    /// # Errors
    /// The store's.
    pub async fn open(
        router: Arc<Router>,
        ours: impl Fn(&outbox::Pair) -> bool,
    ) -> Result<Shelf, StoreError> {
        let floor: &dyn Floor = &*router;
        let (store, clock) = (floor.store().clone(), floor.clock().clone());
        let mut found = store
            .reading(|snapshot: &dyn Snapshot| outbox::totals(snapshot))
            .await?;
        found.retain(|(pair, _)| ours(pair));
        let bytes = found.iter().map(|(_, total)| total.bytes).sum();
        Ok(Shelf {
            router,
            store,
            clock,
            kept: Mutex::new(found.into_iter().collect()),
            bytes: AtomicU64::new(bytes),
        })
    }

    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    pub fn router(&self) -> &Arc<Router> {
        &self.router
    }

    /// The pairs for which something is kept.
    pub fn pairs(&self) -> Vec<outbox::Pair> {
        self.lock().keys().cloned().collect()
    }

    /// How much is kept for a pair.
    pub fn kept(&self, pair: &outbox::Pair) -> Total {
        self.lock().get(pair).copied().unwrap_or_default()
    }

    /// How much is kept for all pairs: stanzas, and their bytes.
    pub fn kept_in_all(&self) -> (u64, u64) {
        let entries = self.lock().values().map(|total| total.entries).sum();
        (entries, self.bytes.load(Ordering::Relaxed))
    }

    /// Whether one more may be kept for a pair.
    ///
    /// # Errors
    /// For its sender: too much is waiting.
    pub fn room(&self, pair: &outbox::Pair, bounds: &Bounds) -> Result<(), StanzaError> {
        let total = self.kept(pair);
        let full = total.entries >= bounds.messages
            || total.bytes >= bounds.bytes
            || self.bytes.load(Ordering::Relaxed) >= bounds.bytes_total;
        match full {
            true => Err(Trouble::Full.to_error(&pair.remote)),
            false => Ok(()),
        }
    }

    /// Whether a stanza that waited may not go out any more; then its sender hears of it.
    pub fn turns_back(&self, pair: &outbox::Pair, item: &Item) -> bool {
        let to = item.to.as_ref().or(item.stanza.to.as_ref());
        let ends = item.stanza.from.as_ref().zip(to);
        let shut = ends.is_some_and(|(from, to)| self.router.is_shut(from, to));
        if shut {
            let why = "the administrator of this server does not allow this";
            self.refuse(pair, item, &Trouble::Policy(why.to_owned()));
        }
        shut
    }

    /// Puts a stanza into its own batch, to be kept for a pair.
    pub fn keep(&self, envelope: &mut Envelope, pair: &outbox::Pair) {
        if envelope.stanza.to.as_ref() != Some(&envelope.to) {
            let to = envelope.to.clone();
            envelope.amend().to = Some(to);
        }
        let stanza = envelope.stanza.clone();
        let batch = &mut envelope.ledger.batch;
        outbox::record(batch, pair, &stanza, self.clock.wall());
    }

    /// Counts a stanza that is on disk.
    pub fn count(&self, pair: &outbox::Pair, mark: &Mark) {
        let mut kept = self.lock();
        let total = kept.entry(pair.clone()).or_default();
        total.entries += 1;
        total.bytes += mark.bytes;
        total.last = Some(mark.mid);
        self.bytes.fetch_add(mark.bytes, Ordering::Relaxed);
    }

    /// Takes what the other side has, or what went back, out of the store.
    pub fn forget(&self, pair: &outbox::Pair, marks: &[Mark]) {
        let bytes: u64 = marks.iter().map(|mark| mark.bytes).sum();
        let mut kept = self.lock();
        if let Some(total) = kept.get_mut(pair) {
            total.entries = total.entries.saturating_sub(marks.len() as u64);
            let freed = match total.entries {
                0 => total.bytes,
                _ => bytes.min(total.bytes),
            };
            total.bytes -= freed;
            if total.entries == 0 {
                kept.remove(pair);
            }
            drop(kept);
            let less = |held: u64| Some(held.saturating_sub(freed));
            let _ = self
                .bytes
                .fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
        }
        self.store.hand_in(forgetting(pair, marks), |result| {
            if let Err(error) = result {
                tracing::warn!(%error, "what the other side has could not be forgotten; it may be sent again");
            }
        });
    }

    /// Reads what is kept for a pair after an id and up to another, oldest first.
    pub async fn read(
        &self,
        pair: &outbox::Pair,
        page: (Option<Mid>, Option<Mid>),
        limit: usize,
    ) -> Result<Vec<Kept>, StoreError> {
        // What was handed in before is on disk before it is read, or never will be.
        let _ = self.store.commit(Batch::new()).await;
        let pair = pair.clone();
        let read = move |snapshot: &dyn Snapshot| outbox::page(snapshot, &pair, page, limit);
        self.store.reading(read).await
    }

    /// Tells the sender of a stanza that it did not arrive.
    pub fn refuse(&self, pair: &outbox::Pair, item: &Item, trouble: &Trouble) {
        let to = item.to.as_ref().or(item.stanza.to.as_ref());
        if !is_answered(&item.stanza, to) {
            return;
        }
        let answer = item.stanza.error(&trouble.to_error(&pair.remote));
        if let Some(mut answer) = answer {
            answer.from = to.cloned();
            answer.to = item.stanza.from.clone();
            if let Some(envelope) = Envelope::from_server(answer) {
                self.router.route(Box::new(envelope));
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<outbox::Pair, Total>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Messages for people, and what changes a subscription, must arrive (RFC 6121 §3).
pub(crate) fn is_kept(kind: Kind, facts: &Facts) -> bool {
    match kind {
        Kind::Message(kind) => facts.storable(kind),
        Kind::Presence(kind) => matches!(
            kind,
            PresenceType::Subscribe
                | PresenceType::Subscribed
                | PresenceType::Unsubscribe
                | PresenceType::Unsubscribed
        ),
        Kind::Iq(_) => false,
    }
}
