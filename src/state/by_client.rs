//! What is kept of each client of an account, under the id that it gives itself (XEP-0388 user-agent): the keys, and how they are
//! read, written and swept. Tokens and what is remembered of clients are kept in this way.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::hooks::Uid;
use crate::proto::jid::Jid;
use crate::store::{
    Batch, CommitError, Direction, Fields, Key, Range, Snapshot, Space, Store, StoreError,
};

/// Why something of a client was not written.
#[derive(Debug, thiserror::Error)]
pub enum PutError {
    /// The store could not be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The store did not take it.
    #[error(transparent)]
    Commit(#[from] CommitError),
}

/// Where it lies.
pub(super) fn key(uid: Uid, client: &str) -> Key {
    Key::new().u64(uid.0).str(client)
}

/// As it is stored.
pub(super) fn encode(of_client: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(of_client).unwrap_or_default()
}

/// Reads it back.
pub(super) fn decode<T: DeserializeOwned>(value: &[u8]) -> Result<T, StoreError> {
    serde_json::from_slice(value).map_err(|_| odd())
}

fn odd() -> StoreError {
    StoreError::Format("a client of an account".to_owned())
}

/// What a space keeps of the clients of an account, by their ids. How many there may be is up to who writes.
pub(super) fn of_account<T: DeserializeOwned>(
    view: &dyn Snapshot,
    space: Space,
    uid: Uid,
) -> Result<Vec<(String, T)>, StoreError> {
    let range = Range::prefix(Key::new().u64(uid.0));
    let rows = view.scan(space, &range, Direction::Forward, usize::MAX)?;
    let read = |(key, value): (Vec<u8>, Vec<u8>)| {
        let mut fields = Fields::of(&key);
        fields.u64().ok_or_else(odd)?;
        let client = fields.str().ok_or_else(odd)?.to_owned();
        Ok((client, decode(&value)?))
    };
    rows.into_iter().map(read).collect()
}

/// A batch that is taken only while the account is there and the entry is as it was found.
pub(super) fn unless_changed(
    account: &Jid,
    uid: Uid,
    entry: (Space, &Key),
    before: Option<&[u8]>,
) -> Batch {
    let ((space, key), mut batch) = (entry, Batch::new());
    let name = account.as_str().as_bytes();
    batch.require_equals(Space::ACCOUNT_BY_ID, &uid.to_key(), name);
    match before {
        Some(before) => batch.require_equals(space, key, before),
        None => batch.require_absent(space, key),
    }
    batch
}

/// Removes what is not to be kept any more, of all accounts, reading `page` entries at a time. What cannot be read is not kept.
pub(super) async fn sweep<T: DeserializeOwned>(
    (store, space): (&Store, Space),
    page: usize,
    keep: impl Fn(&T) -> bool,
) -> Result<(), PutError> {
    let mut range = Range::all();
    loop {
        let from = range.clone();
        let rows = store.reading(move |view| view.scan(space, &from, Direction::Forward, page));
        let rows = rows.await?;
        let Some((last, _)) = rows.last() else {
            return Ok(());
        };
        range = Range::all().after(last.as_slice());
        for (key, value) in rows {
            if decode(&value).is_ok_and(|of_client| keep(&of_client)) {
                continue;
            }
            let mut batch = Batch::new();
            batch.require_equals(space, &key, value);
            batch.delete(space, &key);
            match store.commit(batch.relaxed()).await {
                Ok(_) | Err(CommitError::Precondition) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}
