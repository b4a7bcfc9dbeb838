//! Slots given, files taken in, listed and removed: one batch each, in step with what the account has.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::record::{
    File, Purpose, all_files_key, by_account_key, expiry_key, file_key, kept_key, owner_key,
    total_key,
};
use super::storage::Storage;
use super::usage::{Full, Quotas, Usage};
use crate::hooks::Uid;
use crate::proto::jid::Jid;
use crate::runtime::random;
use crate::state::accounts::{self, account_key};
use crate::state::erasure;
use crate::state::token_id::Id;
use crate::store::{
    Batch, CommitError, Direction, Range, Rows, Snapshot, Space, Store, StoreError, counter,
};

/// Attempts when something else of the same account comes between.
const ATTEMPTS: usize = 16;
/// Files read at once.
pub(super) const PAGE: usize = 200;
/// Files that are looked at for when the first of them goes.
const LOOKED_AT: usize = 1_000;

/// Why something was not done with a file.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// There is a bound; it may be tried again then, if that is known (Unix milliseconds).
    #[error("it does not fit")]
    Full(Full, Option<u64>),
    /// There is no such account.
    #[error("there is no such account")]
    NoAccount,
    /// There is no such file or slot, or no more.
    #[error("there is no such file")]
    Gone,
    /// Too much of one account at once.
    #[error("too many changes at once")]
    Busy,
    /// The store could not be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The store did not take it.
    #[error(transparent)]
    Commit(#[from] CommitError),
    /// Where the bytes lie.
    #[error("the bytes of files: {0}")]
    Disk(#[from] std::io::Error),
}

/// What somebody wants to upload.
#[derive(Debug, Clone)]
pub struct Wish {
    /// Who.
    pub account: Jid,
    /// As it is called.
    pub name: String,
    /// In bytes.
    pub size: u64,
    /// Its media type, or nothing.
    pub media: String,
    /// What it is for.
    pub purpose: Purpose,
    /// When it goes at the latest.
    pub latest: Option<u64>,
}

/// What opens a slot: who has the token reads the file, who has the key too writes it.
#[derive(Debug)]
pub struct Opened {
    /// The token.
    pub token: String,
    /// The key.
    pub key: String,
}

/// The files of one host.
#[derive(Clone)]
pub struct Desk {
    pub(super) store: Store,
    pub(super) storage: Storage,
    host: String,
    /// Bytes of slots that are being given; what is counted is these and what the store has.
    coming: Arc<AtomicU64>,
    /// Slots whose file is on its way, and whose they are: they do not end meanwhile.
    taken: Arc<Mutex<HashMap<Id, Uid>>>,
}

/// A slot whose file is on its way, while this lives.
#[derive(Debug)]
pub struct Taken {
    all: Arc<Mutex<HashMap<Id, Uid>>>,
    id: Id,
}

impl Drop for Taken {
    fn drop(&mut self) {
        locked(&self.all).remove(&self.id);
    }
}

/// Why a slot is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotTaken {
    /// Its file is on its way already.
    Already,
    /// As many of the account are on their way as may be.
    TooMany,
}

/// A record as it was found.
pub(super) struct Found {
    pub(super) id: Id,
    pub(super) file: File,
    stored: Vec<u8>,
    usage: Usage,
    usage_stored: Option<Vec<u8>>,
}

impl Desk {
    /// For a host, over a store and a storage.
    pub fn new(store: Store, storage: Storage, host: &str) -> Desk {
        Desk {
            store,
            storage,
            host: host.to_owned(),
            coming: Arc::default(),
            taken: Arc::default(),
        }
    }

    /// Takes a slot for a file that begins to come; `most` of one account may come at once.
    ///
    /// # Errors
    /// See [`NotTaken`].
    pub fn take(&self, id: Id, owner: Uid, most: usize) -> Result<Taken, NotTaken> {
        let mut taken = locked(&self.taken);
        if taken.contains_key(&id) {
            return Err(NotTaken::Already);
        }
        if taken.values().filter(|other| **other == owner).count() >= most {
            return Err(NotTaken::TooMany);
        }
        taken.insert(id, owner);
        Ok(Taken {
            all: self.taken.clone(),
            id,
        })
    }

    /// Where the bytes lie.
    pub fn storage(&self) -> &Storage {
        &self.storage
    }

    /// Whether the file of a slot is on its way.
    pub(super) fn is_taken(&self, id: Id) -> bool {
        locked(&self.taken).contains_key(&id)
    }

    /// Gives a slot that ends at `until`.
    ///
    /// # Errors
    /// See [`FileError`].
    pub async fn open(
        &self,
        wish: &Wish,
        quotas: &Quotas,
        now: u64,
        until: u64,
    ) -> Result<Opened, FileError> {
        let coming = Coming::new(&self.coming, wish.size);
        for _ in 0..ATTEMPTS {
            let opened = Opened {
                token: random::token(),
                key: random::token(),
            };
            let batch = self.slot(wish, quotas, (now, until), &opened, coming.all);
            match self.store.commit(batch.await?).await {
                Ok(_) => return Ok(opened),
                Err(CommitError::Precondition) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(FileError::Busy)
    }

    async fn slot(
        &self,
        wish: &Wish,
        quotas: &Quotas,
        (now, until): (u64, u64),
        opened: &Opened,
        coming: u64,
    ) -> Result<Batch, FileError> {
        let (account, size, quotas) = (wish.account.clone(), wish.size, *quotas);
        let total_key = total_key(&self.host);
        let key = total_key.clone();
        let read = self.store.reading(move |view| {
            let Some(record) = accounts::read(view, &account_key(&account))? else {
                return Ok(Err(FileError::NoAccount));
            };
            let uid = Uid(record.uid);
            let (usage, stored) = Usage::read(view, uid)?;
            let total = view.get(Space::UPLOAD, &key)?;
            let total = total.and_then(|total| counter(&total)).unwrap_or(0);
            let total = u64::try_from(total).unwrap_or(0);
            if quotas.total != 0 && total.saturating_add(coming) > quotas.total {
                return Ok(Err(FileError::Full(Full::Host, None)));
            }
            match usage.with_slot(size, &quotas, now) {
                Ok(next) => Ok(Ok((uid, next, stored))),
                Err(Full::Day(end)) => Ok(Err(FileError::Full(Full::Day(end), Some(end)))),
                Err(full) => Ok(Err(FileError::Full(full, first_end(view, uid)?))),
            }
        });
        let (uid, usage, stored) = read.await??;
        let file = File {
            host: self.host.clone(),
            uid: uid.0,
            account: wish.account.bare_str().to_owned(),
            name: wish.name.clone(),
            size: wish.size,
            media: wish.media.clone(),
            purpose: wish.purpose,
            made: now,
            until: Some(until),
            latest: wish.latest,
            key: kept_key(&opened.key),
            hash: None,
        };
        let id = Id::of_token(&opened.token);
        let mut batch = Batch::new();
        require_account(&mut batch, uid, &file.account);
        batch.require_absent(Space::UPLOAD, &file_key(id));
        usage.write(&mut batch, uid, stored.as_deref());
        put(&mut batch, id, &file);
        batch.put(Space::UPLOAD_BY_ACCOUNT, &by_account_key(uid, id), []);
        batch.put(Space::UPLOAD, &owner_key(&file.account, uid), []);
        batch.add(Space::UPLOAD, &total_key, signed(file.size));
        Ok(batch)
    }

    /// What is known of a file of this host.
    ///
    /// # Errors
    /// The store's.
    pub async fn find(&self, id: Id) -> Result<Option<File>, StoreError> {
        let found = self.store.reading(move |view| {
            let stored = view.get(Space::UPLOAD, &file_key(id))?;
            stored.as_deref().map(File::decode).transpose()
        });
        Ok(found.await?.filter(|file| file.host == self.host))
    }

    pub(super) async fn look(&self, id: Id) -> Result<Option<Found>, StoreError> {
        self.store
            .reading(move |view| {
                let Some(stored) = view.get(Space::UPLOAD, &file_key(id))? else {
                    return Ok(None);
                };
                let file = File::decode(&stored)?;
                let (usage, usage_stored) = Usage::read(view, file.owner())?;
                Ok(Some(Found {
                    id,
                    file,
                    stored,
                    usage,
                    usage_stored,
                }))
            })
            .await
    }

    /// The bytes for a slot are in their place: from now on it is a file, until then.
    ///
    /// # Errors
    /// [`FileError::Gone`] if the slot is no more; the bytes are removed then.
    pub async fn complete(&self, id: Id, hash: &str, until: Option<u64>) -> Result<(), FileError> {
        for _ in 0..ATTEMPTS {
            let found = self.look(id).await?;
            let Some(found) = found.filter(|found| !found.file.is_stored()) else {
                break;
            };
            let mut file = found.file.clone();
            file.hash = Some(hash.to_owned());
            file.until = until;
            let mut batch = found.begin();
            require_account(&mut batch, file.owner(), &file.account);
            found.forget_end(&mut batch);
            put(&mut batch, id, &file);
            found.set_usage(&mut batch, &found.usage.with_file());
            match self.store.commit(batch).await {
                Ok(_) => return Ok(()),
                Err(CommitError::Precondition) if !self.is_gone(&file).await? => {}
                Err(CommitError::Precondition) => break,
                Err(error) => return Err(error.into()),
            }
        }
        self.storage.remove(id).await?;
        Err(FileError::Gone)
    }

    /// Whether the account of a file is gone.
    async fn is_gone(&self, file: &File) -> Result<bool, StoreError> {
        let (uid, account) = (file.owner(), file.account.clone());
        let gone = self.store.reading(move |view| is_gone(view, uid, &account));
        gone.await
    }

    /// Removes a file, or a slot, for good.
    ///
    /// # Errors
    /// See [`FileError`].
    pub async fn remove(&self, id: Id) -> Result<Option<File>, FileError> {
        for _ in 0..ATTEMPTS {
            let Some(found) = self.look(id).await? else {
                return Ok(None);
            };
            // What the record says is there until the bytes are gone.
            self.storage.remove(id).await?;
            let (file, mut batch) = (&found.file, found.begin());
            found.forget_end(&mut batch);
            batch.delete(Space::UPLOAD, &file_key(id));
            batch.delete(Space::UPLOAD_BY_ACCOUNT, &by_account_key(file.owner(), id));
            let total = total_key(&file.host);
            batch.add(Space::UPLOAD, &total, signed(file.size).saturating_neg());
            // Of an account that is gone nothing is counted any more.
            if found.usage_stored.is_some() {
                let slot_of = (!file.is_stored()).then_some(file.made);
                found.set_usage(&mut batch, &found.usage.without(file.size, slot_of));
            }
            match self.store.commit(batch.making_room()).await {
                Ok(_) => return Ok(Some(found.file)),
                Err(CommitError::Precondition) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(FileError::Busy)
    }

    /// Bytes of all files of the host, and of its slots.
    ///
    /// # Errors
    /// The store's.
    pub async fn held(&self) -> Result<u64, StoreError> {
        let key = total_key(&self.host);
        let total = self
            .store
            .reading(move |view| view.get(Space::UPLOAD, &key));
        let total = total.await?.and_then(|total| counter(&total));
        Ok(total
            .and_then(|total| u64::try_from(total).ok())
            .unwrap_or(0))
    }

    pub(super) async fn ids_of(&self, uid: Uid, after: Option<Id>) -> Result<Vec<Id>, StoreError> {
        let mut range = Range::prefix(uid.to_key().as_slice());
        if let Some(after) = after {
            range = range.after(by_account_key(uid, after));
        }
        let rows = self.store.reading(move |view| {
            view.scan(Space::UPLOAD_BY_ACCOUNT, &range, Direction::Forward, PAGE)
        });
        let ids = rows.await?.into_iter();
        let ids = ids.filter_map(|(key, _)| key.get(8..).and_then(Id::from_bytes));
        Ok(ids.collect())
    }

    /// A page of the files of an account, or of all of the host, in no order that means anything. The last id leads to the
    /// next page; there is none when there is no id.
    ///
    /// # Errors
    /// The store's.
    pub async fn page(
        &self,
        account: Option<&Jid>,
        after: Option<Id>,
    ) -> Result<(Vec<(Id, File)>, Option<Id>), StoreError> {
        let files = match account {
            Some(account) => {
                let key = account_key(account);
                let record = self.store.reading(move |view| accounts::read(view, &key));
                let Some(record) = record.await? else {
                    return Ok((Vec::new(), None));
                };
                let ids = self.ids_of(Uid(record.uid), after).await?;
                self.records(ids).await?
            }
            None => {
                let all = Range::prefix(all_files_key());
                let range = match after {
                    Some(after) => all.after(file_key(after)),
                    None => all,
                };
                let rows = self.store.reading(move |view| {
                    read_all(view.scan(Space::UPLOAD, &range, Direction::Forward, PAGE)?)
                });
                rows.await?
            }
        };
        let last = files.last().map(|(id, _)| *id);
        let next = last.filter(|_| files.len() == PAGE);
        let own = files.into_iter().filter(|(_, file)| file.host == self.host);
        Ok((own.collect(), next))
    }

    async fn records(&self, ids: Vec<Id>) -> Result<Vec<(Id, File)>, StoreError> {
        self.store
            .reading(move |view| {
                let mut files = Vec::with_capacity(ids.len());
                for id in ids {
                    if let Some(stored) = view.get(Space::UPLOAD, &file_key(id))? {
                        files.push((id, File::decode(&stored)?));
                    }
                }
                Ok(files)
            })
            .await
    }
}

impl Found {
    /// A batch for what is as it was found.
    fn begin(&self) -> Batch {
        let mut batch = Batch::new();
        batch.require_equals(Space::UPLOAD, &file_key(self.id), self.stored.as_slice());
        batch
    }

    fn set_usage(&self, batch: &mut Batch, usage: &Usage) {
        usage.write(batch, self.file.owner(), self.usage_stored.as_deref());
    }

    fn forget_end(&self, batch: &mut Batch) {
        if let Some(until) = self.file.until {
            batch.delete(Space::EXPIRY, &expiry_key(Space::UPLOAD.0, until, self.id));
        }
    }
}

/// Bytes on their way to being counted, while it lives.
struct Coming {
    sum: Arc<AtomicU64>,
    own: u64,
    all: u64,
}

impl Coming {
    fn new(sum: &Arc<AtomicU64>, own: u64) -> Coming {
        let before = sum.fetch_add(own, Ordering::AcqRel);
        Coming {
            sum: sum.clone(),
            own,
            all: before.saturating_add(own),
        }
    }
}

impl Drop for Coming {
    fn drop(&mut self) {
        self.sum.fetch_sub(self.own, Ordering::AcqRel);
    }
}

fn put(batch: &mut Batch, id: Id, file: &File) {
    batch.put(Space::UPLOAD, &file_key(id), file.encode());
    if let Some(until) = file.until {
        let key = expiry_key(Space::UPLOAD.0, until, id);
        batch.put(Space::EXPIRY, &key, []);
    }
}

fn require_account(batch: &mut Batch, uid: Uid, account: &str) {
    batch.require_equals(Space::ACCOUNT_BY_ID, &uid.to_key(), account.as_bytes());
    erasure::require_unmarked(batch, uid);
}

pub(super) fn is_gone(view: &dyn Snapshot, uid: Uid, account: &str) -> Result<bool, StoreError> {
    let name = view.get(Space::ACCOUNT_BY_ID, &uid.to_key())?;
    Ok(name.as_deref() != Some(account.as_bytes()) || erasure::is_marked(view, uid)?)
}

/// When the first of an account's files goes, as far as they are looked at.
fn first_end(view: &dyn Snapshot, uid: Uid) -> Result<Option<u64>, StoreError> {
    let range = Range::prefix(uid.to_key().as_slice());
    let rows = view.scan(
        Space::UPLOAD_BY_ACCOUNT,
        &range,
        Direction::Forward,
        LOOKED_AT,
    )?;
    let mut first = None::<u64>;
    for id in rows
        .iter()
        .filter_map(|(key, _)| key.get(8..).and_then(Id::from_bytes))
    {
        let stored = view.get(Space::UPLOAD, &file_key(id))?;
        let until = match stored {
            Some(stored) => File::decode(&stored)?.until,
            None => None,
        };
        first = [first, until].into_iter().flatten().min();
    }
    Ok(first)
}

fn read_all(rows: Rows) -> Result<Vec<(Id, File)>, StoreError> {
    let read = |(key, value): (Vec<u8>, Vec<u8>)| {
        let id = key.get(1..).and_then(Id::from_bytes);
        let id = id.ok_or_else(|| StoreError::Format("an uploaded file".to_owned()))?;
        Ok((id, File::decode(&value)?))
    };
    rows.into_iter().map(read).collect()
}

fn locked<T>(what: &Mutex<T>) -> MutexGuard<'_, T> {
    what.lock().unwrap_or_else(PoisonError::into_inner)
}

fn signed(size: u64) -> i64 {
    i64::try_from(size).unwrap_or(i64::MAX)
}
