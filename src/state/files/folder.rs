//! Where the bytes of files lie: beside the store, under names of the server's own.

use std::fs;
use std::io::{self, ErrorKind, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};

use bytes::Bytes;
use ring::digest::{Context, SHA256};

use crate::runtime::random;
use crate::state::token_id::Id;
use crate::store::free_space;

/// Files being written lie here until they are whole, in a folder of each process.
const NEW: &str = "new";
static RUN: LazyLock<String> = LazyLock::new(random::id);

/// A folder of files, each under its [`Id`], in one of 256 parts.
#[derive(Debug, Clone)]
pub struct Folder {
    root: Arc<Path>,
    /// Free bytes below which nothing is written.
    reserve: u64,
}

impl Folder {
    /// At this path; made when it is first used.
    pub fn new(root: &Path, reserve: u64) -> Folder {
        Folder {
            root: root.into(),
            reserve,
        }
    }

    /// Removes what was being written when a process before this one ended.
    ///
    /// # Errors
    /// The system's.
    pub fn clear_new(&self) -> io::Result<()> {
        let entries = match fs::read_dir(self.root.join(NEW)) {
            Ok(entries) => entries,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(error),
        };
        for entry in entries {
            let entry = entry?;
            if entry.file_name() != RUN.as_str() {
                fs::remove_dir_all(entry.path())?;
            }
        }
        Ok(())
    }

    fn part(&self, part: u8) -> PathBuf {
        self.root.join(format!("{part:02x}"))
    }

    fn path(&self, id: Id) -> PathBuf {
        let part = id.as_bytes().first().copied().unwrap_or_default();
        self.part(part).join(id.to_string())
    }

    /// Whether there is room for so many bytes more beside the reserve, as far as that is known.
    ///
    /// # Errors
    /// The folder cannot be made.
    pub async fn has_room(&self, bytes: u64) -> io::Result<bool> {
        let this = self.clone();
        waiting(move || this.has_room_now(bytes)).await
    }

    fn has_room_now(&self, bytes: u64) -> io::Result<bool> {
        make(&self.root)?;
        let free = free_space(&self.root);
        Ok(free.is_none_or(|free| free.saturating_sub(bytes) >= self.reserve))
    }

    /// Begins to write a file.
    ///
    /// # Errors
    /// The system's.
    pub async fn begin(&self, id: Id) -> io::Result<Draft> {
        let this = self.clone();
        waiting(move || {
            make(&this.root)?;
            let new = this.root.join(NEW).join(RUN.as_str());
            make(&new)?;
            let path = new.join(id.to_string());
            let file = fs::OpenOptions::new()
                .read(true)
                .write(true)
                .create(true)
                .truncate(true)
                .mode(0o600)
                .open(&path)?;
            Ok(Draft(Some(Writing {
                folder: this,
                id,
                file,
                path: Temporary(path),
                hash: Context::new(&SHA256),
            })))
        })
        .await
    }

    /// Opens a file to read from a byte on; `None` if it is not there.
    ///
    /// # Errors
    /// The system's.
    pub async fn open(&self, id: Id, from: u64) -> io::Result<Option<fs::File>> {
        let path = self.path(id);
        waiting(move || match fs::File::open(&path) {
            Ok(mut file) => {
                file.seek(SeekFrom::Start(from))?;
                Ok(Some(file))
            }
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        })
        .await
    }

    /// Removes a file, if it is there.
    ///
    /// # Errors
    /// The system's.
    pub async fn remove(&self, id: Id) -> io::Result<()> {
        let path = self.path(id);
        waiting(move || gone(fs::remove_file(&path))).await
    }

    /// The files of one part.
    ///
    /// # Errors
    /// The system's.
    pub async fn ids(&self, part: u8) -> io::Result<Vec<Id>> {
        let folder = self.part(part);
        waiting(move || {
            let entries = match fs::read_dir(&folder) {
                Ok(entries) => entries,
                Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
                Err(error) => return Err(error),
            };
            let mut ids = Vec::new();
            for entry in entries {
                let name = entry?.file_name();
                ids.extend(name.to_str().and_then(Id::parse));
            }
            Ok(ids)
        })
        .await
    }
}

/// A file being written. Dropped before its end it leaves nothing.
pub struct Draft(Option<Writing>);

struct Writing {
    folder: Folder,
    id: Id,
    file: fs::File,
    path: Temporary,
    hash: Context,
}

/// A path that is removed with this, whatever lies there.
#[derive(Debug)]
struct Temporary(PathBuf);

impl Drop for Temporary {
    fn drop(&mut self) {
        if let Err(error) = gone(fs::remove_file(&self.0)) {
            tracing::warn!(path = %self.0.display(), %error, "a file that was not uploaded whole stays until the next start");
        }
    }
}

impl Draft {
    /// Writes more; `false` if the disk has no more room beside the reserve.
    ///
    /// # Errors
    /// The system's.
    pub async fn write(&mut self, pieces: Vec<Bytes>) -> io::Result<bool> {
        let Some(mut writing) = self.0.take() else {
            return Err(ErrorKind::InvalidInput.into());
        };
        let (writing, room) = waiting(move || {
            let bytes: usize = pieces.iter().map(Bytes::len).sum();
            let room = writing.folder.has_room_now(bytes as u64)?;
            for piece in pieces.iter().filter(|_| room) {
                writing.hash.update(piece);
                writing.file.write_all(piece)?;
            }
            Ok((writing, room))
        })
        .await?;
        self.0 = Some(writing);
        Ok(room)
    }

    /// The file as it is, to be read from its beginning while this lives, with its size and its SHA-256 in hexadecimal.
    ///
    /// # Errors
    /// The system's.
    pub(super) async fn whole(mut self) -> io::Result<Whole> {
        let Some(mut writing) = self.0.take() else {
            return Err(ErrorKind::InvalidInput.into());
        };
        waiting(move || {
            writing.file.rewind()?;
            Ok(Whole {
                size: writing.file.metadata()?.len(),
                id: writing.id,
                hash: hex(writing.hash),
                file: writing.file,
                _path: writing.path,
            })
        })
        .await
    }

    /// Puts the file in its place for good, and says its SHA-256 in hexadecimal. Every byte is on the disk when this
    /// returns.
    ///
    /// # Errors
    /// The system's.
    pub async fn finish(mut self) -> io::Result<String> {
        let Some(writing) = self.0.take() else {
            return Err(ErrorKind::InvalidInput.into());
        };
        waiting(move || {
            writing.file.sync_all()?;
            let place = writing.folder.path(writing.id);
            let part = place.parent().unwrap_or(&writing.folder.root);
            make(part)?;
            fs::rename(&writing.path.0, &place)?;
            fs::File::open(part)?.sync_all()?;
            fs::File::open(&writing.folder.root)?.sync_all()?;
            Ok(hex(writing.hash))
        })
        .await
    }
}

/// A file that was written whole and is not in its place. Dropped, it is gone.
pub(super) struct Whole {
    pub(super) id: Id,
    pub(super) file: fs::File,
    pub(super) size: u64,
    pub(super) hash: String,
    _path: Temporary,
}

fn hex(hash: Context) -> String {
    let hash = hash.finish();
    let digits = hash.as_ref().iter().map(|byte| format!("{byte:02x}"));
    digits.collect()
}

/// Makes a folder for the server alone.
fn make(path: &Path) -> io::Result<()> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
}

fn gone(removed: io::Result<()>) -> io::Result<()> {
    match removed {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// Does work on a thread that may wait for the disk.
async fn waiting<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|_| Err(io::Error::other("it failed unexpectedly")))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn folder(root: &Path) -> Folder {
        Folder::new(&root.join("files"), 0)
    }

    #[tokio::test]
    async fn a_file_is_there_when_it_is_whole_and_not_before() {
        let root = tempfile::tempdir().unwrap();
        let (folder, id) = (folder(root.path()), Id::of_token("a"));
        let mut draft = folder.begin(id).await.unwrap();
        assert!(draft.write(vec![Bytes::from_static(b"ab")]).await.unwrap());
        assert!(folder.open(id, 0).await.unwrap().is_none());
        assert!(draft.write(vec![Bytes::from_static(b"c")]).await.unwrap());
        let hash = draft.finish().await.unwrap();
        assert_eq!(hash.get(..8), Some("ba7816bf"));
        let file = folder.open(id, 0).await.unwrap().unwrap();
        assert_eq!(io::read_to_string(file).unwrap(), "abc");
        let part = *id.as_bytes().first().unwrap();
        assert_eq!(folder.ids(part).await.unwrap(), [id]);
        folder.remove(id).await.unwrap();
        folder.remove(id).await.unwrap();
        assert!(folder.ids(part).await.unwrap().is_empty());
    }

    #[tokio::test]
    async fn what_is_given_up_leaves_nothing() {
        let root = tempfile::tempdir().unwrap();
        let (folder, id) = (folder(root.path()), Id::of_token("a"));
        let mut draft = folder.begin(id).await.unwrap();
        draft.write(vec![Bytes::from_static(b"ab")]).await.unwrap();
        let new = folder.root.join(NEW).join(RUN.as_str());
        assert_eq!(fs::read_dir(&new).unwrap().count(), 1);
        // As a process leaves it that was killed.
        let old = folder.root.join(NEW).join("before");
        fs::create_dir(&old).unwrap();
        fs::write(old.join("x"), "x").unwrap();
        folder.clear_new().unwrap();
        assert!(!old.exists());
        assert_eq!(fs::read_dir(&new).unwrap().count(), 1);
        drop(draft);
        assert_eq!(fs::read_dir(&new).unwrap().count(), 0);
    }

    #[tokio::test]
    async fn the_reserve_of_the_disk_is_left_alone() {
        let root = tempfile::tempdir().unwrap();
        let folder = Folder::new(root.path(), u64::MAX);
        assert!(!folder.has_room(1).await.unwrap());
        let mut draft = folder.begin(Id::of_token("a")).await.unwrap();
        assert!(!draft.write(vec![Bytes::from_static(b"a")]).await.unwrap());
    }
}
