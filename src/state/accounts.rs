//! Accounts and their secrets: SCRAM keys only, never a password (RFC 5802).

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::{Deserialize, Serialize};

use super::erasure::{self, Erasure};
use super::looks::{self, Looks};
use crate::hooks::{Floor, Uid};
use crate::proto::jid::{Jid, registrable_node};
use crate::runtime::clock::Clock;
use crate::store::{Batch, CommitError, Direction, Key, Range, Snapshot, Space, Store, StoreError};
use crate::stream::{Credentials, SALT_BYTES, ScramHash, ScramKeys, Secret};

/// What the store knows of an account.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Record {
    /// Its number.
    pub uid: u64,
    /// When it was made, Unix milliseconds.
    pub created: u64,
    /// Why it is disabled, if it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disabled: Option<String>,
    /// Keys by hash.
    #[serde(default)]
    pub keys: Vec<StoredKeys>,
    /// Counts the changes after which what was proved before is no longer to be believed: new passwords, and that it was
    /// disabled.
    #[serde(default)]
    pub generation: u64,
}

/// SCRAM keys as stored.
#[derive(Clone, Serialize, Deserialize)]
pub struct StoredKeys {
    hash: String,
    iterations: u32,
    salt: String,
    stored: String,
    server: String,
}

impl StoredKeys {
    pub(super) fn new(hash: ScramHash, keys: &ScramKeys) -> Self {
        StoredKeys {
            hash: hash.mechanism(false).to_owned(),
            iterations: keys.iterations,
            salt: BASE64.encode(&keys.salt),
            stored: BASE64.encode(&keys.stored_key),
            server: BASE64.encode(&keys.server_key),
        }
    }

    pub(super) fn open(&self) -> Option<(ScramHash, ScramKeys)> {
        let (hash, _) = ScramHash::from_mechanism(&self.hash)?;
        let keys = ScramKeys {
            iterations: self.iterations,
            salt: BASE64.decode(&self.salt).ok()?,
            stored_key: BASE64.decode(&self.stored).ok()?,
            server_key: BASE64.decode(&self.server).ok()?,
        };
        Some((hash, keys))
    }
}

impl std::fmt::Debug for StoredKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.hash)
    }
}

impl Record {
    /// The keys of a hash.
    pub fn keys(&self, hash: ScramHash) -> Option<ScramKeys> {
        let mut all = self.keys.iter().filter_map(StoredKeys::open);
        all.find(|(known, _)| *known == hash).map(|(_, keys)| keys)
    }
}

/// Why an account could not be changed.
#[derive(Debug, thiserror::Error)]
pub enum AccountError {
    /// There is one of this name.
    #[error("the account {0} exists already")]
    Exists(Jid),
    /// One of this name is being removed.
    #[error("an account {0} is being removed; try again in a moment")]
    Leaving(Jid),
    /// There is none.
    #[error("there is no account {0}")]
    Unknown(Jid),
    /// The address cannot be an account here.
    #[error("{0}")]
    Address(String),
    /// The password is empty or holds what SASLprep forbids.
    #[error("this password cannot be used: {0}")]
    Password(String),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The store did not take it.
    #[error("the store did not take the change: {0}")]
    Commit(#[from] CommitError),
}

/// The accounts of this server.
#[derive(Clone)]
pub struct Accounts {
    pub(super) store: Store,
    pub(super) clock: Clock,
    iterations: Arc<AtomicU32>,
    fake: Secret,
    looks: Looks,
    pub(super) erasure: Erasure,
}

/// An account that is there no more; its sessions and what it owned are.
#[derive(Debug)]
#[must_use = "what it owned stays until the next start"]
pub struct Leaving {
    uid: Uid,
    jid: Jid,
}

/// Attempts at a change when another one comes between.
const ATTEMPTS: usize = 8;

impl Accounts {
    /// Over a store; `iterations` of PBKDF2 for new passwords; `fake` is the server's secret from
    /// which the unknown get their salts.
    pub fn new(store: Store, clock: Clock, iterations: u32, fake: Secret) -> Self {
        Accounts {
            erasure: Erasure::new(store.clone(), None),
            store,
            clock,
            iterations: Arc::new(AtomicU32::new(iterations)),
            fake,
            looks: Looks::default(),
        }
    }

    /// The same accounts, on the floor of a running server: a removal ends sessions and tells
    /// contacts.
    #[must_use]
    pub fn on(mut self, floor: Arc<dyn Floor>) -> Self {
        self.erasure = Erasure::new(self.store.clone(), Some(floor));
        self
    }

    /// Another number of PBKDF2 rounds for passwords that are set from now on.
    pub fn set_iterations(&self, iterations: u32) {
        self.iterations.store(iterations, Ordering::Relaxed);
    }

    fn iterations(&self) -> u32 {
        self.iterations.load(Ordering::Relaxed)
    }

    /// Makes an account.
    ///
    /// # Errors
    /// [`AccountError::Exists`], [`AccountError::Leaving`] while contacts of an earlier account of this
    /// name are told that it is gone, a bad name or password, the store's errors.
    pub async fn create(&self, jid: &Jid, password: &str) -> Result<Uid, AccountError> {
        let node = jid
            .node()
            .ok_or_else(|| AccountError::Address(format!("{jid} has no part before the @")))?;
        registrable_node(node).map_err(|e| AccountError::Address(e.to_string()))?;
        let keys = self.derive(password).await?;
        let uid = Uid(self.store.allocate("account"));
        let record = Record {
            uid: uid.0,
            created: self.clock.wall(),
            disabled: None,
            keys,
            generation: 0,
        };
        let mut batch = Batch::new();
        batch.require_absent(Space::ACCOUNT, &account_key(jid));
        batch.require_absent(Space::ERASURE, &erasure::name_key(jid));
        batch.put(Space::ACCOUNT, &account_key(jid), encode(&record));
        looks::count(&mut batch, jid.domain(), &record.keys, 1);
        batch.put(
            Space::ACCOUNT_BY_ID,
            &uid.to_key(),
            jid.bare_str().as_bytes().to_vec(),
        );
        match self.store.commit(batch).await {
            Ok(_) => Ok(uid),
            Err(CommitError::Precondition) if self.find(jid).await?.is_none() => {
                Err(AccountError::Leaving(jid.bare()))
            }
            Err(CommitError::Precondition) => Err(AccountError::Exists(jid.bare())),
            Err(error) => Err(error.into()),
        }
    }

    /// Finds an account.
    ///
    /// # Errors
    /// The store's.
    pub async fn find(&self, jid: &Jid) -> Result<Option<Record>, StoreError> {
        let key = account_key(jid);
        self.store
            .reading(move |snapshot| read(snapshot, &key))
            .await
    }

    /// The SCRAM keys of an account, or keys nobody can prove for an unknown one and for one
    /// without keys of this hash: the asker cannot tell. A disabled account keeps its keys: who
    /// proves to be its owner may hear that it is disabled (RFC 6120 §6.5.2).
    ///
    /// # Errors
    /// The store's.
    pub async fn credentials(&self, jid: &Jid, hash: ScramHash) -> Result<Credentials, StoreError> {
        let (key, host) = (account_key(jid), jid.domain().to_owned());
        let point = ScramKeys::fake_point(&self.fake, jid.bare_str());
        let (looks, now) = (self.looks.clone(), self.clock.now());
        // The same work for those who are there.
        let (record, look) = self
            .store
            .reading(move |view| {
                let look = looks.draw(view, now, (&host, point), hash)?;
                Ok((read(view, &key)?, look))
            })
            .await?;
        // Without accounts, as new ones would.
        let (rounds, salt) = look.map_or((self.iterations(), SALT_BYTES), |look| {
            (look.iterations, usize::from(look.salt_bytes))
        });
        let fake = ScramKeys::fake(hash, &self.fake, jid.bare_str(), rounds, salt);
        let generation = record.as_ref().map_or(0, |record| record.generation);
        let keys = record.and_then(|record| record.keys(hash));
        Ok(Credentials {
            keys: keys.unwrap_or(fake),
            generation,
        })
    }

    /// Sets a new password; nothing that was proved before is believed any more.
    ///
    /// # Errors
    /// [`AccountError::Unknown`], a bad password, the store's errors.
    pub async fn set_password(&self, jid: &Jid, password: &str) -> Result<(), AccountError> {
        let keys = self.derive(password).await?;
        self.update(jid, Batch::new(), |record| {
            record.keys = keys;
            record.generation = record.generation.wrapping_add(1);
        })
        .await
    }

    /// Adds keys of one more hash (XEP-0480), replacing those it had.
    ///
    /// # Errors
    /// [`AccountError::Unknown`], the store's errors.
    pub async fn add_keys(
        &self,
        jid: &Jid,
        hash: ScramHash,
        keys: &ScramKeys,
    ) -> Result<(), AccountError> {
        let keys = StoredKeys::new(hash, keys);
        self.update(jid, Batch::new(), |record| {
            record.keys.retain(|known| known.hash != keys.hash);
            record.keys.push(keys);
        })
        .await
    }

    /// Disables an account with a reason, or enables it with `None`, also below the reserve.
    ///
    /// # Errors
    /// [`AccountError::Unknown`], the store's errors.
    pub async fn set_disabled(
        &self,
        jid: &Jid,
        reason: Option<String>,
    ) -> Result<(), AccountError> {
        self.update(jid, Batch::new().making_room(), |record| {
            let disabled = u64::from(reason.is_some());
            record.generation = record.generation.wrapping_add(disabled);
            record.disabled = reason;
        })
        .await
    }

    /// Removes an account and all it owns. From the first write on there is no such account; the
    /// rest goes on by itself, also when the caller does not wait, and after a crash
    /// ([`Accounts::resume_removals`]).
    ///
    /// # Errors
    /// [`AccountError::Unknown`], the store's errors.
    pub async fn delete(&self, jid: &Jid) -> Result<(), AccountError> {
        let leaving = self.take_out(jid).await?;
        self.see_out(leaving).await;
        Ok(())
    }

    /// Ends the sessions of an account that was taken out, tells its contacts, and removes all it owned; goes on by itself
    /// when the caller does not wait.
    pub async fn see_out(&self, Leaving { uid, jid }: Leaving) {
        let erasure = self.erasure.clone();
        let finished = tokio::spawn(async move {
            if let Err(error) = erasure.finish(uid, &jid).await {
                tracing::error!(account = %jid, %error, "what a removed account owned is still there; this goes on at the next start");
            }
        });
        // It has reported what failed.
        let _ = finished.await;
    }

    /// Makes what older versions wrote as this one needs it; before anything else is asked of the accounts.
    ///
    /// # Errors
    /// The store's.
    pub async fn prepare(&self) -> Result<(), AccountError> {
        Ok(looks::prepare(&self.store).await?)
    }

    /// Goes on with removals that were not finished when the server stopped.
    ///
    /// # Errors
    /// The store's.
    pub async fn resume_removals(&self) -> Result<(), StoreError> {
        self.erasure.resume().await
    }

    /// The one write after which there is no such account, to be followed by [`Accounts::see_out`].
    ///
    /// # Errors
    /// [`AccountError::Unknown`], the store's errors.
    pub async fn take_out(&self, jid: &Jid) -> Result<Leaving, AccountError> {
        let mut attempt = 0;
        loop {
            let record = self.known(jid).await?;
            let uid = Uid(record.uid);
            let mut batch = Batch::new().making_room();
            batch.require_equals(Space::ACCOUNT, &account_key(jid), encode(&record));
            batch.delete(Space::ACCOUNT, &account_key(jid));
            batch.delete(Space::ACCOUNT_BY_ID, &uid.to_key());
            looks::count(&mut batch, jid.domain(), &record.keys, -1);
            erasure::mark(&mut batch, uid, jid);
            attempt += 1;
            match self.store.commit(batch).await {
                Ok(_) => {
                    return Ok(Leaving {
                        uid,
                        jid: jid.bare(),
                    });
                }
                Err(CommitError::Precondition) if attempt < ATTEMPTS => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Account names of a host after `after`, in order, at most `limit`.
    ///
    /// # Errors
    /// The store's.
    pub async fn list(
        &self,
        host: &Jid,
        after: Option<&Jid>,
        limit: usize,
    ) -> Result<Vec<(Jid, Record)>, StoreError> {
        let prefix = Key::new().str(host.domain());
        let mut range = Range::prefix(prefix.clone());
        if let Some(after) = after {
            range = range.after(account_key(after));
        }
        let host = host.clone();
        self.store
            .reading(move |snapshot| {
                let rows = snapshot.scan(Space::ACCOUNT, &range, Direction::Forward, limit)?;
                let mut accounts = Vec::with_capacity(rows.len());
                for (key, value) in rows {
                    let node = key
                        .get(prefix.len()..key.len().saturating_sub(1))
                        .and_then(|node| std::str::from_utf8(node).ok())
                        .ok_or_else(odd)?;
                    let jid = Jid::new(Some(node), host.domain(), None).map_err(|_| odd())?;
                    accounts.push((jid, decode(&value)?));
                }
                Ok(accounts)
            })
            .await
    }

    async fn known(&self, jid: &Jid) -> Result<Record, AccountError> {
        self.find(jid)
            .await?
            .ok_or_else(|| AccountError::Unknown(jid.bare()))
    }

    /// Read-modify-write, tried again when another change came between.
    async fn update(
        &self,
        jid: &Jid,
        mut batch: Batch,
        change: impl FnOnce(&mut Record),
    ) -> Result<(), AccountError> {
        let key = account_key(jid);
        let mut record = self.known(jid).await?;
        let (before, keys) = (encode(&record), record.keys.clone());
        change(&mut record);
        looks::recount(&mut batch, jid.domain(), &keys, &record.keys);
        batch.require_equals(Space::ACCOUNT, &key, before);
        batch.put(Space::ACCOUNT, &key, encode(&record));
        self.store.commit(batch).await?;
        Ok(())
    }

    pub(super) async fn derive(&self, password: &str) -> Result<Vec<StoredKeys>, AccountError> {
        let password = stringprep::saslprep(password)
            .map_err(|e| AccountError::Password(e.to_string()))?
            .into_owned();
        if password.is_empty() {
            return Err(AccountError::Password("it is empty".to_owned()));
        }
        let iterations = self.iterations();
        tokio::task::spawn_blocking(move || {
            ScramHash::ALL
                .iter()
                .map(|hash| {
                    let salt = crate::runtime::random::bytes::<16>();
                    let keys = ScramKeys::derive(*hash, &password, &salt, iterations);
                    StoredKeys::new(*hash, &keys)
                })
                .collect()
        })
        .await
        .map_err(|_| AccountError::Password("deriving the keys was interrupted".to_owned()))
    }
}

/// Names of the accounts of a host after `after`, in order, at most `limit`.
///
/// # Errors
/// The store's.
pub async fn names(
    store: &Store,
    host: &Jid,
    after: Option<&Jid>,
    limit: usize,
) -> Result<Vec<Jid>, StoreError> {
    let prefix = Key::new().str(host.domain());
    let mut range = Range::prefix(prefix.clone());
    if let Some(after) = after {
        range = range.after(account_key(after));
    }
    let host = host.clone();
    let rows =
        store.reading(move |view| view.scan(Space::ACCOUNT, &range, Direction::Forward, limit));
    let rows = rows.await?.into_iter();
    let name = |(key, _): (Vec<u8>, Vec<u8>)| {
        let node = key.get(prefix.len()..key.len().saturating_sub(1));
        let node = node.and_then(|node| std::str::from_utf8(node).ok());
        Jid::new(Some(node.ok_or_else(odd)?), host.domain(), None).map_err(|_| odd())
    };
    rows.map(name).collect()
}

/// Reads an account's record by key, for the loading of an owner.
///
/// # Errors
/// The store's.
pub fn read(snapshot: &dyn Snapshot, key: &Key) -> Result<Option<Record>, StoreError> {
    snapshot
        .get(Space::ACCOUNT, key)?
        .map(|value| decode(&value))
        .transpose()
}

/// The key of an account: host and name.
pub fn account_key(jid: &Jid) -> Key {
    Key::new()
        .str(jid.domain())
        .str(jid.node().unwrap_or_default())
}

pub(super) fn encode(record: &Record) -> Vec<u8> {
    serde_json::to_vec(record).unwrap_or_default()
}

fn decode(value: &[u8]) -> Result<Record, StoreError> {
    serde_json::from_slice(value).map_err(|_| odd())
}

fn odd() -> StoreError {
    StoreError::Format("an account".to_owned())
}
