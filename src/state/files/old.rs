//! What is to go: files whose time is over, files of accounts that are gone, bytes that nobody knows of.

use super::desk::{Desk, FileError, PAGE, is_gone};
use super::record::{all_owners_key, file_key, owners_key};
use super::storage::Mark;
use crate::hooks::Uid;
use crate::proto::jid::Jid;
use crate::state::token_id::Id;
use crate::store::{Batch, Direction, Fields, Key, Range, Space};

impl Desk {
    /// Removes what is over, of all hosts; at most so many are looked at. How many were.
    ///
    /// # Errors
    /// See [`FileError`].
    pub async fn expire(&self, now: u64, most: usize) -> Result<usize, FileError> {
        let space = Space::UPLOAD.0;
        let end = u32::try_from(now / 60_000).unwrap_or(u32::MAX);
        let due = Range::prefix(Key::new().u8(space))
            .before(Key::new().u8(space).u32(end.saturating_add(1)));
        let (mut range, mut seen) = (due.clone(), 0);
        while seen < most {
            let (from, page) = (range.clone(), PAGE.min(most - seen));
            let rows = self
                .store
                .reading(move |view| view.scan(Space::EXPIRY, &from, Direction::Forward, page));
            let rows = rows.await?;
            for (key, _) in &rows {
                self.end(key, now).await?;
            }
            let Some((last, _)) = rows.last() else { break };
            range = due.clone().after(last.as_slice());
            seen += rows.len();
        }
        Ok(seen)
    }

    /// Removes what an entry of the queue names, or an entry that says nothing any more.
    async fn end(&self, key: &[u8], now: u64) -> Result<(), FileError> {
        let id = key.get(5..).and_then(Id::from_bytes);
        if id.is_some_and(|id| self.is_taken(id)) {
            return Ok(());
        }
        let found = match id {
            Some(id) => self.look(id).await?,
            None => None,
        };
        match found.filter(|found| found.file.is_over(now)) {
            Some(found) => drop(self.remove(found.id).await?),
            None => {
                let mut batch = Batch::new().relaxed();
                batch.delete(Space::EXPIRY, key);
                self.store.commit(batch).await?;
            }
        }
        Ok(())
    }

    /// Removes the files of accounts that are gone: of this name, or of all.
    ///
    /// # Errors
    /// See [`FileError`].
    pub async fn clear(&self, account: Option<&Jid>) -> Result<(), FileError> {
        let all = Range::prefix(match account {
            Some(account) => owners_key(account.bare_str()),
            None => all_owners_key(),
        });
        let mut range = all.clone();
        loop {
            let from = range.clone();
            let rows = self
                .store
                .reading(move |view| view.scan(Space::UPLOAD, &from, Direction::Forward, PAGE));
            let rows = rows.await?;
            let Some((last, _)) = rows.last() else {
                return Ok(());
            };
            range = all.clone().after(last.as_slice());
            for (key, _) in rows {
                self.clear_owner(&key).await?;
            }
        }
    }

    async fn clear_owner(&self, key: &[u8]) -> Result<(), FileError> {
        let mut fields = Fields::of(key);
        fields.u8();
        let (Some(account), Some(uid)) = (fields.str(), fields.u64()) else {
            return Ok(());
        };
        let (uid, account) = (Uid(uid), account.to_owned());
        let gone = self.store.reading(move |view| is_gone(view, uid, &account));
        if !gone.await? {
            return Ok(());
        }
        loop {
            let page = self.ids_of(uid, None).await?;
            if page.is_empty() {
                break;
            }
            for id in page {
                self.remove(id).await?;
            }
        }
        let mut batch = Batch::new();
        batch.delete(Space::UPLOAD, key);
        self.store.commit(batch).await?;
        Ok(())
    }

    /// Removes bytes that no record names: there are such when a backup was restored that is older than they are.
    ///
    /// # Errors
    /// See [`FileError`].
    pub async fn sweep(&self) -> Result<usize, FileError> {
        let mut gone = 0;
        let mut mark = Some(Mark::START);
        while let Some(from) = mark.take() {
            let (ids, next) = self.storage.ids(from).await?;
            mark = next;
            for id in ids {
                let known = self
                    .store
                    .reading(move |view| Ok(view.get(Space::UPLOAD, &file_key(id))?.is_some()));
                if !known.await? {
                    self.storage.remove(id).await?;
                    gone += 1;
                }
            }
        }
        Ok(gone)
    }
}
