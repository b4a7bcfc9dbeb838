//! Where the bytes of a host's files are: in a folder, or in an object store with the folder for those on their way.

use std::io;

use super::bucket::Bucket;
use super::folder::{Draft, Folder};
use crate::hooks::HttpContent;
use crate::state::token_id::Id;

/// The bytes of files.
#[derive(Clone)]
pub struct Storage {
    folder: Folder,
    bucket: Option<Bucket>,
}

/// Where a list of all files goes on.
pub(super) enum Mark {
    /// In a part of the folder.
    Part(u8),
    /// In the bucket, after what was listed.
    Bucket(Option<String>),
}

impl Mark {
    /// Where it begins.
    pub(super) const START: Mark = Mark::Part(0);
}

impl Storage {
    /// Files go to the bucket, if there is one. What lies in the folder from before is read there.
    pub fn new(folder: Folder, bucket: Option<Bucket>) -> Storage {
        Storage { folder, bucket }
    }

    /// Whether there is room for so many bytes more on their way, as far as that is known.
    ///
    /// # Errors
    /// The folder cannot be made.
    pub async fn has_room(&self, bytes: u64) -> io::Result<bool> {
        self.folder.has_room(bytes).await
    }

    /// Begins to write a file.
    ///
    /// # Errors
    /// The system's.
    pub async fn begin(&self, id: Id) -> io::Result<Draft> {
        self.folder.begin(id).await
    }

    /// Puts a file in its place for good, and says its hash.
    ///
    /// # Errors
    /// The system's; the object store did not take it.
    pub async fn finish(&self, draft: Draft) -> io::Result<String> {
        let Some(bucket) = &self.bucket else {
            return draft.finish().await;
        };
        let whole = draft.whole().await?;
        let file = whole.file.try_clone()?;
        bucket.put(whole.id, file, whole.size).await?;
        Ok(whole.hash)
    }

    /// So many bytes of a file from one on; `None` if it is not there.
    ///
    /// # Errors
    /// The system's; the object store did not give it.
    pub async fn open(&self, id: Id, from: u64, bytes: u64) -> io::Result<Option<HttpContent>> {
        if let Some(file) = self.folder.open(id, from).await? {
            return Ok(Some(HttpContent::File(file, bytes)));
        }
        match &self.bucket {
            // What is empty has no bytes that could be asked for.
            Some(_) if bytes == 0 => Ok(Some(HttpContent::Empty)),
            Some(bucket) => {
                let body = bucket.get(id, from, bytes).await?;
                Ok(body.map(|body| HttpContent::Pieces(body, bytes)))
            }
            None => Ok(None),
        }
    }

    /// Removes a file, if it is there.
    ///
    /// # Errors
    /// The system's; the object store did not remove it.
    pub async fn remove(&self, id: Id) -> io::Result<()> {
        self.folder.remove(id).await?;
        match &self.bucket {
            Some(bucket) => bucket.remove(id).await,
            None => Ok(()),
        }
    }

    /// Some of all files, and where the next are.
    ///
    /// # Errors
    /// The system's; the object store did not tell.
    pub(super) async fn ids(&self, from: Mark) -> io::Result<(Vec<Id>, Option<Mark>)> {
        let after = match from {
            Mark::Part(part) => {
                let next = match part.checked_add(1) {
                    Some(next) => Mark::Part(next),
                    None => Mark::Bucket(None),
                };
                return Ok((self.folder.ids(part).await?, Some(next)));
            }
            Mark::Bucket(after) => after,
        };
        let Some(bucket) = &self.bucket else {
            return Ok((Vec::new(), None));
        };
        let listed = bucket.list(after.as_deref()).await?;
        let next = listed.next.map(|next| Mark::Bucket(Some(next)));
        Ok((listed.ids, next))
    }
}
