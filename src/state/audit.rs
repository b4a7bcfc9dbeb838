//! Who did what, when: a durable record of administrative acts, bounded by age and number.

use std::ops::Bound;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use serde::{Deserialize, Serialize};

use crate::config::Administration;
use crate::runtime::clock::Clock;
use crate::store::{Batch, CommitError, Direction, Key, Mid, Range, Space, Store, StoreError};

/// One act.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// When it was asked for, Unix milliseconds.
    pub at: u64,
    /// Who asked.
    pub by: String,
    /// The command.
    pub command: String,
    /// What it was asked for with, without secrets.
    pub arguments: String,
    /// What came of it; `None` while it is under way, and for good if the server was killed meanwhile.
    pub outcome: Option<String>,
}

/// The record.
#[derive(Clone)]
pub struct Audit {
    store: Store,
    clock: Clock,
    bounds: Arc<ArcSwap<Bounds>>,
    written: Arc<AtomicU32>,
}

/// How old and how many entries may get.
#[derive(Clone, Copy)]
struct Bounds {
    age: Duration,
    entries: usize,
}

impl Bounds {
    fn of(administration: &Administration) -> Self {
        Bounds {
            age: administration.audit_age,
            entries: administration.audit_entries,
        }
    }
}

/// Acts between two looks at how many there are.
const LOOK_EVERY: u32 = 64;

impl Audit {
    /// The record of a store, within the bounds of the configuration.
    pub fn new(store: Store, clock: Clock, bounds: &Administration) -> Self {
        Audit {
            store,
            clock,
            bounds: Arc::new(ArcSwap::from_pointee(Bounds::of(bounds))),
            written: Arc::default(),
        }
    }

    /// Other bounds from now on.
    pub fn set_bounds(&self, bounds: &Administration) {
        self.bounds.store(Arc::new(Bounds::of(bounds)));
    }

    /// Notes that an act begins, from the reserve if need be. An act is not kept from being done because this fails: on a full
    /// disk somebody must be able to remove things.
    pub async fn begin(&self, by: &str, command: &str, arguments: String) -> Option<(Mid, Entry)> {
        let entry = Entry {
            at: self.clock.wall(),
            by: by.to_owned(),
            command: command.to_owned(),
            arguments,
            outcome: None,
        };
        let mut batch = Batch::new().making_room();
        batch.append(Space::AUDIT, b"", encode(&entry));
        let begun = self.store.commit(batch).await;
        if self
            .written
            .fetch_add(1, Ordering::Relaxed)
            .is_multiple_of(LOOK_EVERY)
        {
            self.trim().await;
        }
        match begun {
            Ok(mid) => Some((mid, entry)),
            Err(error) => {
                tracing::error!(%error, %by, %command, "an act could not be written to the record");
                None
            }
        }
    }

    /// Notes what came of it.
    pub async fn end(&self, begun: Option<(Mid, Entry)>, outcome: String) {
        let Some((mid, mut entry)) = begun else {
            return;
        };
        entry.outcome = Some(outcome);
        let mut batch = Batch::new().making_room();
        batch.put(Space::AUDIT, mid.as_bytes(), encode(&entry));
        if let Err(error) = self.store.commit(batch).await {
            tracing::error!(%error, command = %entry.command, "the outcome of an act could not be written to the record");
        }
    }

    /// At most `limit` acts, the newest first, those before `before` only.
    ///
    /// # Errors
    /// The store's.
    pub async fn list(
        &self,
        before: Option<Mid>,
        limit: usize,
    ) -> Result<Vec<(Mid, Entry)>, StoreError> {
        let range = Range::mids(&Key::new(), None, before);
        let rows = self
            .store
            .reading(move |view| view.scan(Space::AUDIT, &range, Direction::Backward, limit));
        let rows = rows.await?.into_iter();
        rows.map(|(key, value)| {
            let mid = <[u8; 16]>::try_from(key).map_err(|_| odd())?;
            let entry = serde_json::from_slice(&value).map_err(|_| odd())?;
            Ok((Mid::from_bytes(mid), entry))
        })
        .collect()
    }

    async fn trim(&self) {
        if let Err(error) = self.try_trim().await {
            tracing::warn!(%error, "the record of acts could not be shortened");
        }
    }

    async fn try_trim(&self) -> Result<(), CommitError> {
        let bounds = **self.bounds.load();
        let age = u64::try_from(bounds.age.as_millis()).unwrap_or(u64::MAX);
        let oldest = Mid::first_of(self.clock.wall().saturating_sub(age));
        let below =
            |mid: Mid| Range::between(Bound::Unbounded, Bound::Excluded(Key::new().mid(mid)));
        self.store.erase(Space::AUDIT, below(oldest)).await?;
        let most = bounds.entries;
        let first_kept = self.store.reading(move |view| {
            let rows = view.scan(Space::AUDIT, &Range::all(), Direction::Backward, most)?;
            Ok((rows.len() == most).then(|| rows.last().map(|(key, _)| key.clone())))
        });
        if let Ok(Some(Some(key))) = first_kept.await
            && let Ok(mid) = <[u8; 16]>::try_from(key)
        {
            self.store
                .erase(Space::AUDIT, below(Mid::from_bytes(mid)))
                .await?;
        }
        Ok(())
    }
}

fn encode(entry: &Entry) -> Vec<u8> {
    serde_json::to_vec(entry).unwrap_or_default()
}

fn odd() -> StoreError {
    StoreError::Format("an entry of the record of acts".to_owned())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::store::Options;

    async fn act(audit: &Audit, name: &str) {
        let begun = audit.begin("a test", name, String::new()).await;
        audit.end(begun, "done".to_owned()).await;
    }

    fn names(list: &[(Mid, Entry)]) -> Vec<&str> {
        list.iter()
            .map(|(_, entry)| entry.command.as_str())
            .collect()
    }

    #[tokio::test]
    async fn the_newest_come_first_and_the_oldest_go() {
        let (clock, hand) = Clock::manual();
        let store = Store::with_engine(
            crate::store::testing::memory(),
            Options::memory(),
            clock.clone(),
        )
        .unwrap();
        let bounds = Administration {
            audit_age: Duration::from_secs(3600),
            audit_entries: 3,
            ..Default::default()
        };
        let audit = Audit::new(store, clock, &bounds);
        for name in ["a", "b", "c", "d", "e"] {
            act(&audit, name).await;
        }
        audit.trim().await;
        let all = audit.list(None, 10).await.unwrap();
        assert_eq!(names(&all), ["e", "d", "c"]);
        let (mid, entry) = all.first().unwrap();
        assert_eq!(entry.outcome.as_deref(), Some("done"));
        assert_eq!(names(&audit.list(Some(*mid), 1).await.unwrap()), ["d"]);
        hand.advance(Duration::from_secs(4000));
        act(&audit, "f").await;
        audit.trim().await;
        assert_eq!(names(&audit.list(None, 10).await.unwrap()), ["f"]);
    }
}
