//! How much an archive holds.
//!
//! A message adds nothing to any sum. What was added up is noted now and then, with the id up to which it was; whatever
//! takes something out of the archive changes the note, so that nobody notes what he counted before.

use super::{Raw, account};
use crate::hooks::Uid;
use crate::runtime::random;
use crate::store::{Batch, CommitError, Mid, Range, Snapshot, Space, Store, StoreError};

/// Bytes read at once.
const PAGE: usize = 256 << 10;
/// So many bytes beyond the note are worth a new one.
const WORTH: u64 = 64 << 10;

/// What was added up of an archive.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Note {
    /// Bytes of its entries.
    pub bytes: u64,
    /// The last entry among them.
    pub through: Mid,
    /// Another one after every removal.
    tag: u64,
}

/// A note as it was found.
pub(super) struct Noted {
    pub(super) note: Note,
    stored: Option<Vec<u8>>,
}

impl Note {
    /// Reads a stored note; `None` for what an earlier version stored here.
    pub fn read(value: &[u8]) -> Option<Note> {
        let (bytes, rest) = value.split_first_chunk()?;
        let (through, rest) = rest.split_first_chunk()?;
        Some(Note {
            bytes: u64::from_be_bytes(*bytes),
            through: Mid::from_bytes(*through),
            tag: u64::from_be_bytes(rest.try_into().ok()?),
        })
    }

    /// Notes it.
    pub(crate) fn store(&self, batch: &mut Batch, uid: Uid) {
        let mut value = self.bytes.to_be_bytes().to_vec();
        value.extend_from_slice(self.through.as_bytes());
        value.extend_from_slice(&self.tag.to_be_bytes());
        batch.put(Space::LOG_MEASURED, &account(uid), value);
    }
}

impl Noted {
    pub(super) fn load(snapshot: &dyn Snapshot, uid: Uid) -> Result<Noted, StoreError> {
        let stored = snapshot.get(Space::LOG_MEASURED, &account(uid))?;
        let note = stored.as_deref().and_then(Note::read).unwrap_or_default();
        Ok(Noted { note, stored })
    }

    /// Replaces the note, if it is still the one that was found.
    pub(super) fn replace(self, batch: &mut Batch, uid: Uid, note: Note) {
        match self.stored {
            Some(stored) => batch.require_equals(Space::LOG_MEASURED, &account(uid), stored),
            None => batch.require_absent(Space::LOG_MEASURED, &account(uid)),
        }
        note.store(batch, uid);
    }

    /// Notes that `bytes` of what was counted are gone.
    pub(super) fn removed(self, batch: &mut Batch, uid: Uid, bytes: u64) {
        let note = Note {
            bytes: self.note.bytes.saturating_sub(bytes),
            tag: u64::from_be_bytes(random::bytes()),
            ..self.note
        };
        self.replace(batch, uid, note);
    }
}

/// Has an archive counted anew, because an entry of it has another size now.
pub(super) fn changed(batch: &mut Batch, uid: Uid) {
    let note = Note {
        tag: u64::from_be_bytes(random::bytes()),
        ..Note::default()
    };
    note.store(batch, uid);
}

/// Bytes of an account's archive: as noted, and what came since. Makes a new note if that is worth it.
///
/// # Errors
/// The store's.
pub async fn measure(store: &Store, uid: Uid) -> Result<u64, StoreError> {
    let noted = store.reading(move |view| Noted::load(view, uid)).await?;
    let mut note = noted.note;
    loop {
        let range = Range::mids(&account(uid), Some(note.through), None);
        let page = store.reading(move |view| view.page(Space::LOG, &range, PAGE));
        let page = page.await?;
        let Some((last, _)) = page.last() else { break };
        note.through = Raw::mid(last)?;
        for (key, value) in &page {
            note.bytes = note.bytes.saturating_add(kept_bytes(key, value)?);
        }
    }
    if note.bytes.saturating_sub(noted.note.bytes) >= WORTH {
        let mut batch = Batch::new().relaxed();
        noted.replace(&mut batch, uid, note);
        match store.commit(batch).await {
            // Something went meanwhile, or nothing can be written now: the next one counts again.
            Ok(_) | Err(CommitError::Precondition | CommitError::ReadOnly | CommitError::Full) => {}
            Err(_) => return Err(StoreError::Busy),
        }
    }
    Ok(note.bytes)
}

/// What an entry adds to the bytes of its archive.
///
/// # Errors
/// An entry that cannot be read.
pub fn kept_bytes(key: &[u8], value: &[u8]) -> Result<u64, StoreError> {
    let kept = Raw::read(key, value)?.kept();
    Ok(if kept { value.len() as u64 } else { 0 })
}
