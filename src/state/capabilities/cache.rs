//! What hashes stand for, in memory and on disk.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{Capabilities, Interests};
use crate::proto::caps::Mark;
use crate::store::{Batch, Direction, Key, Range, StoreError};

/// A map of bounded size that forgets what nobody asked for in a while: what is asked for lives in the younger of two
/// generations, and the elder one goes when the younger is full.
pub(super) struct Cache<K, V> {
    half: usize,
    young: HashMap<K, V>,
    old: HashMap<K, V>,
}

impl<K: Hash + Eq + Clone, V: Clone> Cache<K, V> {
    pub fn new(most: usize) -> Self {
        Cache {
            half: most.div_ceil(2).max(1),
            young: HashMap::new(),
            old: HashMap::new(),
        }
    }

    pub fn get(&mut self, key: &K) -> Option<V> {
        if let Some(value) = self.young.get(key) {
            return Some(value.clone());
        }
        let value = self.old.remove(key)?;
        self.put(key.clone(), value.clone());
        Some(value)
    }

    pub fn put(&mut self, key: K, value: V) {
        if self.young.len() >= self.half && !self.young.contains_key(&key) {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(key, value);
    }
}

/// What is written of one set of capabilities.
#[derive(Serialize, Deserialize)]
struct Stored {
    /// When it was last asked for, give or take [`STALE`], Unix milliseconds.
    at: u64,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    notify: Vec<String>,
}

/// A time is written anew when the one on disk is older, in milliseconds.
const STALE: u64 = 24 * 3_600_000;
/// What nobody has claimed for so long is forgotten, in milliseconds.
const FORGOTTEN: u64 = 90 * STALE;

impl Capabilities {
    /// What the disk has.
    pub(super) async fn read(&self, mark: &Mark, now: u64) -> Option<Arc<Interests>> {
        let (space, key) = (self.space, key(mark));
        let read = self
            .store
            .reading(move |view| view.get(space, &key))
            .await
            .inspect_err(|error| tracing::warn!(%error, "known capabilities cannot be read"));
        let stored: Stored = serde_json::from_slice(&read.ok()??).ok()?;
        let interests = Arc::new(Interests::new(stored.notify));
        if now.saturating_sub(stored.at) >= STALE {
            self.write(mark, &interests, now).await;
        }
        Some(interests)
    }

    /// Keeps what was learnt, as far as there is room.
    pub(super) async fn keep(&self, mark: &Mark, interests: &Arc<Interests>, now: u64) {
        let room = {
            let mut inner = self.lock();
            inner.known.put(mark.clone(), interests.clone());
            inner.stored += 1;
            inner.stored <= self.bounds.stored
        };
        if room {
            self.write(mark, interests, now).await;
        } else {
            self.counters.stored.count();
        }
    }

    async fn write(&self, mark: &Mark, interests: &Interests, now: u64) {
        let stored = Stored {
            at: now,
            notify: interests.nodes().map(str::to_owned).collect(),
        };
        let Ok(value) = serde_json::to_vec(&stored) else {
            return;
        };
        let mut batch = Batch::new().relaxed();
        batch.put(self.space, &key(mark), value);
        if let Err(error) = self.store.commit(batch).await {
            tracing::warn!(%error, "capabilities are not kept; they are asked for again");
        }
    }

    /// Forgets what nobody has claimed for long, and the oldest of what is too much.
    ///
    /// # Errors
    /// The store's.
    pub async fn sweep(&self, now: u64) -> Result<(), StoreError> {
        let space = self.space;
        let all = Range::prefix(Key::new());
        let rows = self
            .store
            .reading(move |view| view.scan(space, &all, Direction::Forward, usize::MAX))
            .await?;
        let time = |value: &[u8]| serde_json::from_slice::<Stored>(value).map_or(0, |s| s.at);
        let mut ages: Vec<(u64, Vec<u8>)> = rows
            .into_iter()
            .map(|(key, value)| (time(&value), key))
            .collect();
        ages.sort_unstable();
        let surplus = ages.len().saturating_sub(self.bounds.stored);
        let old = ages.partition_point(|(at, _)| now.saturating_sub(*at) > FORGOTTEN);
        let gone = surplus.max(old);
        let mut batch = Batch::new().relaxed();
        for (_, key) in ages.iter().take(gone) {
            batch.delete(space, key);
        }
        self.lock().stored = ages.len().saturating_sub(gone);
        if let Err(error) = self.store.commit(batch).await {
            tracing::warn!(%error, "old capabilities stay a while");
        }
        Ok(())
    }
}

fn key(mark: &Mark) -> Key {
    Key::new().str(&mark.to_text())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_used_stays() {
        let mut cache = Cache::new(4);
        for n in 0..100_u32 {
            cache.put(n, n);
            assert_eq!(cache.get(&0), Some(0), "after {n}");
            assert!(cache.young.len() + cache.old.len() <= 4);
        }
        assert_eq!(cache.get(&1), None);
    }
}
