//! What strangers see of accounts: a challenge tells them how many rounds a password takes, and a salt. For names that nobody
//! has it must be as varied as for those that somebody has, or it would tell which is which once `auth.scram_iterations` has
//! been another, or accounts have come from other servers.
//!
//! So it is counted how many accounts of each host look how, and a name without an account looks like one of them, drawn by
//! a secret of the server: the same for the same name, until those accounts change that it looks like.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::accounts::StoredKeys;
use crate::store::{
    Batch, CommitError, Direction, Fields, Key, Range, Snapshot, Space, Store, StoreError, counter,
    counter_bytes,
};
use crate::stream::ScramHash;

/// Looks of one host that are drawn from.
const MOST: usize = 1000;
/// Accounts read at once.
const PAGE: usize = 256 << 10;

/// How the keys of one hash look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Look {
    pub(super) iterations: u32,
    pub(super) salt_bytes: u16,
}

/// Counts an account's keys, or no longer (`by` -1).
pub(super) fn count(batch: &mut Batch, host: &str, keys: &[StoredKeys], by: i64) {
    if let Some(key) = key(host, keys) {
        batch.add(Space::ACCOUNT_LOOK, &key, by);
    }
}

/// Counts what took the place of what.
pub(super) fn recount(batch: &mut Batch, host: &str, old: &[StoredKeys], new: &[StoredKeys]) {
    if key(host, old) != key(host, new) {
        count(batch, host, old, -1);
        count(batch, host, new, 1);
    }
}

/// `None` for an account without keys, which has no look of its own.
fn key(host: &str, keys: &[StoredKeys]) -> Option<Key> {
    let mut key = Key::new().str(host);
    for hash in ScramHash::ALL {
        let found = keys.iter().filter_map(StoredKeys::open);
        let Some((_, keys)) = found.into_iter().find(|(known, _)| *known == hash) else {
            continue;
        };
        let salt = u16::try_from(keys.salt.len()).unwrap_or(u16::MAX);
        key = key.u8(number(hash)).u32(keys.iterations);
        key = key.bytes(&salt.to_be_bytes());
    }
    (key.len() > host.len() + 1).then_some(key)
}

/// Part of the format on disk.
fn number(hash: ScramHash) -> u8 {
    match hash {
        ScramHash::Sha1 => 1,
        ScramHash::Sha256 => 2,
        ScramHash::Sha512 => 3,
    }
}

/// The counts as they were read last, by host. A count changes with every new account, and an engine may step over
/// all its earlier values to read it: too much for every login.
#[derive(Debug, Clone, Default)]
pub(super) struct Looks(Arc<Mutex<HashMap<String, Known>>>);

/// The counts of a host, and when they were read.
type Known = (Instant, Arc<Counts>);

/// How many accounts of a host have which look, in the form of its key.
type Counts = Vec<(u64, Vec<u8>)>;

/// How long counts are taken as they were read.
pub(super) const FRESH: Duration = Duration::from_secs(1);

impl Looks {
    /// How a name of `host` that nobody has looks with a hash, drawn by `point`; `None` where no account tells. What
    /// changed within [`FRESH`] may not be known yet.
    ///
    /// # Errors
    /// The store's.
    pub(super) fn draw(
        &self,
        view: &dyn Snapshot,
        now: Instant,
        (host, point): (&str, u64),
        hash: ScramHash,
    ) -> Result<Option<Look>, StoreError> {
        let counts = self.counts(view, now, host)?;
        let looks = counts
            .iter()
            .map(|(accounts, fields)| (*accounts, look(fields, hash)));
        // Drawn among whole accounts first, so that the hashes of one name go together.
        let found = drawn(looks.clone(), point).flatten();
        Ok(found.or_else(|| drawn(looks.filter(|(_, look)| look.is_some()), point).flatten()))
    }

    fn counts(
        &self,
        view: &dyn Snapshot,
        now: Instant,
        host: &str,
    ) -> Result<Arc<Counts>, StoreError> {
        let known = || self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((read, counts)) = known().get(host)
            && now.saturating_duration_since(*read) < FRESH
        {
            return Ok(counts.clone());
        }
        let counts = Arc::new(read(view, host)?);
        known().insert(host.to_owned(), (now, counts.clone()));
        Ok(counts)
    }
}

fn read(view: &dyn Snapshot, host: &str) -> Result<Counts, StoreError> {
    let prefix = Key::new().str(host);
    let start = prefix.len();
    let range = Range::prefix(prefix);
    let rows = view.scan(Space::ACCOUNT_LOOK, &range, Direction::Forward, MOST)?;
    let counts = rows.into_iter().map(|(key, value)| {
        let accounts = counter(&value).and_then(|n| u64::try_from(n).ok());
        let fields = key.get(start..).unwrap_or_default();
        (accounts.unwrap_or(0), fields.to_vec())
    });
    Ok(counts.collect())
}

/// What a look says of one hash.
fn look(fields: &[u8], hash: ScramHash) -> Option<Look> {
    let mut fields = Fields::of(fields);
    loop {
        let found = fields.u8()?;
        let (iterations, high, low) = (fields.u32()?, fields.u8()?, fields.u8()?);
        if found == number(hash) {
            let salt_bytes = u16::from_be_bytes([high, low]);
            return Some(Look {
                iterations,
                salt_bytes,
            });
        }
    }
}

/// The one at `point`, where each has as much room as it has accounts.
fn drawn<T>(among: impl Iterator<Item = (u64, T)> + Clone, point: u64) -> Option<T> {
    let all: u64 = among.clone().map(|(accounts, _)| accounts).sum();
    let mut at = u64::try_from((u128::from(point) * u128::from(all)) >> 64).ok()?;
    for (accounts, one) in among {
        if at < accounts {
            return Some(one);
        }
        at -= accounts;
    }
    None
}

/// Counts all accounts, in a store that was written before they were counted.
///
/// # Errors
/// The store's.
pub(super) async fn prepare(store: &Store) -> Result<(), CommitError> {
    let read = store.reading(|view| {
        let counted = view.get(Space::ACCOUNT_LOOK, &Key::new())?.is_some();
        (!counted).then(|| counted_up(view)).transpose()
    });
    let Some(looks) = read.await.map_err(|_| CommitError::Failed)? else {
        return Ok(());
    };
    let mut batch = Batch::new().relaxed();
    batch.delete_range(Space::ACCOUNT_LOOK, Range::all());
    for (key, accounts) in looks {
        batch.put(Space::ACCOUNT_LOOK, &key, counter_bytes(accounts).to_vec());
    }
    batch.put(Space::ACCOUNT_LOOK, &Key::new(), Vec::new());
    store.commit(batch).await?;
    Ok(())
}

/// How many accounts look how. What cannot be read is left out.
fn counted_up(view: &dyn Snapshot) -> Result<BTreeMap<Key, i64>, StoreError> {
    let (mut looks, mut range) = (BTreeMap::new(), Range::all());
    loop {
        let rows = view.page(Space::ACCOUNT, &range, PAGE)?;
        let Some((last, _)) = rows.last() else {
            return Ok(looks);
        };
        range = range.after(last.as_slice());
        for (account, value) in &rows {
            let host = Fields::of(account).str();
            let record = serde_json::from_slice::<super::accounts::Record>(value).ok();
            let look = host
                .zip(record)
                .and_then(|(host, record)| key(host, &record.keys));
            if let Some(look) = look {
                *looks.entry(look).or_default() += 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::proto::jid::Jid;
    use crate::runtime::clock::{Clock, Hand};
    use crate::state::accounts::{Accounts, account_key};
    use crate::store::Options;
    use crate::stream::{ScramKeys, Secret};

    const HASH: ScramHash = ScramHash::Sha256;

    fn jid(text: &str) -> Jid {
        Jid::parse(text).unwrap()
    }

    struct Server {
        accounts: Accounts,
        time: Hand,
    }

    impl Server {
        fn new() -> Self {
            let (clock, time) = Clock::manual();
            let store = Store::open(Options::memory(), clock.clone()).unwrap();
            let accounts = Accounts::new(store, clock, 4096, Secret::new(vec![9]));
            Server { accounts, time }
        }

        /// What a stranger sees of `x0`, `x1` … of a host, which are not there, when the counts have been read again.
        async fn seen(&self, host: &str) -> Vec<(u32, Vec<u8>)> {
            self.time.advance(FRESH);
            seen(&self.accounts, host).await
        }
    }

    async fn seen(accounts: &Accounts, host: &str) -> Vec<(u32, Vec<u8>)> {
        let mut seen = Vec::new();
        for n in 0..200 {
            let name = jid(&format!("x{n}@{host}"));
            let keys = accounts.credentials(&name, HASH).await.unwrap().keys;
            seen.push((keys.iterations, keys.salt.clone()));
        }
        seen
    }

    fn with(seen: &[(u32, Vec<u8>)], iterations: u32) -> usize {
        seen.iter()
            .filter(|(found, _)| *found == iterations)
            .count()
    }

    #[tokio::test]
    async fn unknown_names_look_like_the_accounts_there_are() {
        let server = Server::new();
        let accounts = &server.accounts;
        for name in ["a@one", "b@one", "c@one", "a@two"] {
            accounts.create(&jid(name), "pencil").await.unwrap();
        }
        let before = server.seen("one").await;
        assert_eq!(with(&before, 4096), 200);
        // Another setting alone changes nothing for anybody.
        accounts.set_iterations(5000);
        assert_eq!(server.seen("one").await, before);
        // With a new password one account in three has it, and as many of the others; with a new salt, too.
        accounts
            .set_password(&jid("b@one"), "crayon")
            .await
            .unwrap();
        // Not in the same moment.
        assert_eq!(seen(accounts, "one").await, before);
        let after = server.seen("one").await;
        let changed = with(&after, 5000);
        assert!((40..95).contains(&changed), "{changed}");
        assert_eq!(with(&after, 4096) + changed, 200);
        for (old, new) in before.iter().zip(&after) {
            assert_eq!(old.0 == new.0, old.1 == new.1);
        }
        // Each host has its own.
        assert_eq!(with(&server.seen("two").await, 4096), 200);
        accounts.delete(&jid("b@one")).await.unwrap();
        assert_eq!(server.seen("one").await, before);
        // Where there are none, as new ones would.
        assert_eq!(with(&server.seen("three").await, 5000), 200);
    }

    #[tokio::test]
    async fn salts_are_as_long_as_those_of_the_accounts() {
        let server = Server::new();
        let accounts = &server.accounts;
        let account = jid("a@one");
        accounts.create(&account, "pencil").await.unwrap();
        let keys = ScramKeys::derive(HASH, "pencil", &[7; 100], 6000);
        accounts.add_keys(&account, HASH, &keys).await.unwrap();
        let seen = server.seen("one").await;
        assert!(seen.iter().all(|(n, salt)| *n == 6000 && salt.len() == 100));
        let other = accounts.credentials(&jid("x@one"), ScramHash::Sha1).await;
        assert_eq!(other.unwrap().keys.iterations, 4096);
    }

    #[tokio::test]
    async fn a_store_from_before_is_counted_once() {
        let server = Server::new();
        let accounts = &server.accounts;
        for name in ["a@one", "b@one"] {
            accounts.create(&jid(name), "pencil").await.unwrap();
        }
        let mut batch = Batch::new();
        batch.delete_range(Space::ACCOUNT_LOOK, Range::all());
        // One that nobody can read is nobody's look.
        batch.put(Space::ACCOUNT, &account_key(&jid("c@one")), Vec::new());
        accounts.store.commit(batch).await.unwrap();
        accounts.set_iterations(5000);
        assert_eq!(with(&server.seen("one").await, 5000), 200);
        for _ in 0..2 {
            accounts.prepare().await.unwrap();
            assert_eq!(with(&server.seen("one").await, 4096), 200);
        }
        let counted = accounts.store.reading(counted_up).await.unwrap();
        assert_eq!(counted.values().sum::<i64>(), 2);
    }
}
