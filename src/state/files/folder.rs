//! Where the bytes of files lie: beside the store, under names of the server's own.

use std::fs;
use std::io::{self, ErrorKind, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};

use blake3::Hasher;
use tokio::task::{JoinError, JoinHandle, spawn_blocking};

use crate::runtime::random;
use crate::state::token_id::Id;
use crate::store::free_space;

/// Files being written lie here until they are whole, in a folder of each process.
const NEW: &str = "new";
static RUN: LazyLock<String> = LazyLock::new(random::id);
/// Bytes of a file that go to the thread that writes at once.
const PIECE: usize = 256 * 1024;
/// And that are hashed and written at once: they stay in the processor's first cache meanwhile, and the kernel finds so many
/// free pages side by side. For more it moves others out of the way, which costs more than the writing.
const STEP: usize = 32 * 1024;

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
        waiting(move || {
            make(&this.root)?;
            Ok(this.has_room_now(bytes))
        })
        .await
    }

    fn has_room_now(&self, bytes: u64) -> bool {
        let free = free_space(&self.root);
        free.is_none_or(|free| free.saturating_sub(bytes) >= self.reserve)
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
            let writing = Box::new(Writing {
                folder: this,
                id,
                file,
                path: Temporary(path),
                hash: Hasher::new(),
            });
            Ok(Draft {
                waits: Vec::with_capacity(PIECE),
                writer: Writer::Rests(writing, Vec::new()),
            })
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
pub struct Draft {
    /// What came and is not with the writer yet, [`PIECE`] at most.
    waits: Vec<u8>,
    writer: Writer,
}

/// Who writes while more comes; with the memory that the next piece comes into.
enum Writer {
    Rests(Box<Writing>, Vec<u8>),
    Writes(JoinHandle<io::Result<(Box<Writing>, Vec<u8>)>>),
    Over,
}

struct Writing {
    folder: Folder,
    id: Id,
    file: fs::File,
    path: Temporary,
    /// Of what is written.
    hash: Hasher,
}

impl Writing {
    fn write(&mut self, piece: &[u8]) -> io::Result<()> {
        if !self.folder.has_room_now(piece.len() as u64) {
            return Err(ErrorKind::StorageFull.into());
        }
        for step in piece.chunks(STEP) {
            self.hash.update(step);
            self.file.write_all(step)?;
        }
        Ok(())
    }
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
    /// Takes more of it. However small the pieces are that it comes in, no more is in memory than [`PIECE`] that waits and as
    /// much that is being written.
    ///
    /// # Errors
    /// The system's, also of what was taken before; [`ErrorKind::StorageFull`] also if the disk has no more room beside the
    /// reserve.
    pub async fn write(&mut self, mut piece: &[u8]) -> io::Result<()> {
        while !piece.is_empty() {
            let room = PIECE.saturating_sub(self.waits.len());
            let (now, later) = piece.split_at(room.min(piece.len()));
            self.waits.extend_from_slice(now);
            piece = later;
            if self.waits.len() >= PIECE {
                self.flush().await?;
            }
        }
        Ok(())
    }

    /// Gives the writer what waits, once it has written what it had.
    async fn flush(&mut self) -> io::Result<()> {
        let (mut writing, mut next) = self.rested().await?;
        next.reserve_exact(PIECE);
        let mut full = std::mem::replace(&mut self.waits, next);
        self.writer = Writer::Writes(spawn_blocking(move || {
            writing.write(&full)?;
            full.clear();
            Ok((writing, full))
        }));
        Ok(())
    }

    /// The writer, when it has written what it had.
    async fn rested(&mut self) -> io::Result<(Box<Writing>, Vec<u8>)> {
        if let Writer::Writes(writes) = &mut self.writer {
            let (writing, next) = ended(writes.await)?;
            self.writer = Writer::Rests(writing, next);
        }
        match std::mem::replace(&mut self.writer, Writer::Over) {
            Writer::Rests(writing, next) => Ok((writing, next)),
            // After an error.
            _ => Err(ErrorKind::InvalidInput.into()),
        }
    }

    /// The file as it is, to be read from its beginning while this lives, with its size and its hash.
    ///
    /// # Errors
    /// Those of [`Draft::write`].
    pub(super) async fn whole(mut self) -> io::Result<Whole> {
        let (mut writing, _) = self.rested().await?;
        waiting(move || {
            writing.write(&self.waits)?;
            writing.file.rewind()?;
            Ok(Whole {
                size: writing.file.metadata()?.len(),
                id: writing.id,
                hash: named(&writing.hash),
                file: writing.file,
                _path: writing.path,
            })
        })
        .await
    }

    /// Puts the file in its place for good, and says its hash. Every byte is on the disk when this returns.
    ///
    /// # Errors
    /// Those of [`Draft::write`].
    pub async fn finish(mut self) -> io::Result<String> {
        let (mut writing, _) = self.rested().await?;
        waiting(move || {
            writing.write(&self.waits)?;
            writing.file.sync_all()?;
            let place = writing.folder.path(writing.id);
            let part = place.parent().unwrap_or(&writing.folder.root);
            make(part)?;
            fs::rename(&writing.path.0, &place)?;
            fs::File::open(part)?.sync_all()?;
            fs::File::open(&writing.folder.root)?.sync_all()?;
            Ok(named(&writing.hash))
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

/// As [`super::File::hash`] has it.
fn named(hash: &Hasher) -> String {
    format!("blake3:{}", hash.finalize().to_hex())
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
    ended(spawn_blocking(work).await)
}

fn ended<T>(done: Result<io::Result<T>, JoinError>) -> io::Result<T> {
    done.unwrap_or_else(|_| Err(io::Error::other("it failed unexpectedly")))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::io::Read;

    use super::*;

    fn folder(root: &Path) -> Folder {
        Folder::new(&root.join("files"), 0)
    }

    #[tokio::test]
    async fn a_file_is_there_when_it_is_whole_and_not_before() {
        let root = tempfile::tempdir().unwrap();
        let (folder, id) = (folder(root.path()), Id::of_token("a"));
        let mut draft = folder.begin(id).await.unwrap();
        draft.write(b"ab").await.unwrap();
        assert!(folder.open(id, 0).await.unwrap().is_none());
        draft.write(b"c").await.unwrap();
        let hash = draft.finish().await.unwrap();
        let expected = "blake3:6437b3ac38465133ffb63b75273a8db548c558465d79db03fd359c6cd5bd9d85";
        assert_eq!(hash, expected);
        let file = folder.open(id, 0).await.unwrap().unwrap();
        assert_eq!(io::read_to_string(file).unwrap(), "abc");
        let part = *id.as_bytes().first().unwrap();
        assert_eq!(folder.ids(part).await.unwrap(), [id]);
        folder.remove(id).await.unwrap();
        folder.remove(id).await.unwrap();
        assert!(folder.ids(part).await.unwrap().is_empty());
    }

    #[tokio::test]
    async fn pieces_of_any_size_make_the_same_file_in_the_same_memory() {
        let root = tempfile::tempdir().unwrap();
        let (folder, id) = (folder(root.path()), Id::of_token("a"));
        let whole: Vec<u8> = (0..3 * PIECE + 5).map(|n| (n % 251) as u8).collect();
        let expected = format!("blake3:{}", blake3::hash(&whole).to_hex());
        for size in [7, 16_384, PIECE, 2 * PIECE + 1] {
            let mut draft = folder.begin(id).await.unwrap();
            for piece in whole.chunks(size) {
                draft.write(piece).await.unwrap();
                assert_eq!(draft.waits.capacity(), PIECE);
            }
            assert_eq!(draft.finish().await.unwrap(), expected, "{size}");
            let mut read = Vec::new();
            let file = folder.open(id, 0).await.unwrap();
            file.unwrap().read_to_end(&mut read).unwrap();
            assert!(read == whole, "{size}");
        }
    }

    #[tokio::test]
    async fn what_is_given_up_leaves_nothing() {
        let root = tempfile::tempdir().unwrap();
        let (folder, id) = (folder(root.path()), Id::of_token("a"));
        let mut draft = folder.begin(id).await.unwrap();
        draft.write(b"ab").await.unwrap();
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
        let id = Id::of_token("a");
        for bytes in [1, PIECE] {
            let mut draft = folder.begin(id).await.unwrap();
            let written = draft.write(&vec![0; bytes]).await;
            let stored = match written {
                Ok(()) => draft.finish().await.map(drop),
                Err(error) => Err(error),
            };
            assert_eq!(stored.unwrap_err().kind(), ErrorKind::StorageFull);
            assert!(folder.open(id, 0).await.unwrap().is_none());
        }
        let new = folder.root.join(NEW).join(RUN.as_str());
        assert_eq!(fs::read_dir(&new).unwrap().count(), 0);
    }
}
