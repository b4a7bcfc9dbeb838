//! Services have numbers as accounts have: what their nodes are stored under.

use crate::hooks::Uid;
use crate::proto::jid::Jid;
use crate::store::{Batch, CommitError, Fields, Key, Snapshot, Space, Store, StoreError};

const BY_DOMAIN: u8 = 0;
const BY_NUMBER: u8 = 1;

/// Whether this is the number of a service.
///
/// # Errors
/// The store's.
pub fn is_host(view: &dyn Snapshot, number: Uid) -> Result<bool, StoreError> {
    let key = Key::new().u8(BY_NUMBER).u64(number.0);
    Ok(view.get(Space::NODE_HOST, &key)?.is_some())
}

/// The number of the service with this domain; it gets one when it has none.
///
/// # Errors
/// The store cannot be read, or does not take it.
pub async fn number_of(store: &Store, domain: &Jid) -> Result<Uid, CommitError> {
    let key = Key::new().u8(BY_DOMAIN).str(domain.domain());
    for _ in 0..2 {
        let known = key.clone();
        let known = store
            .reading(move |view| view.get(Space::NODE_HOST, &known))
            .await
            .map_err(|_| CommitError::Failed)?;
        if let Some(number) = known.and_then(|value| Fields::of(&value).u64()) {
            return Ok(Uid(number));
        }
        // From the same sequence as accounts, so that no number is of both.
        let number = store.allocate("account");
        let mut batch = Batch::new();
        batch.require_absent(Space::NODE_HOST, &key);
        batch.put(Space::NODE_HOST, &key, number.to_be_bytes());
        let back = Key::new().u8(BY_NUMBER).u64(number);
        let name = domain.domain().as_bytes();
        batch.put(Space::NODE_HOST, &back, name);
        match store.commit(batch).await {
            Ok(_) => return Ok(Uid(number)),
            Err(CommitError::Precondition) => {}
            Err(error) => return Err(error),
        }
    }
    Err(CommitError::Precondition)
}
