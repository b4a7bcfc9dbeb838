//! The server's own secret: made once, kept in the store, never shown.

use crate::runtime::random;
use crate::store::{Batch, CommitError, Store, StoreError};
use crate::stream::Secret;

const KEY: &[u8] = b"secret";

/// Why there is no secret.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// It cannot be read.
    #[error(transparent)]
    Read(#[from] StoreError),
    /// It cannot be written.
    #[error("the server's secret cannot be stored: {0}")]
    Write(#[from] CommitError),
}

/// Reads the secret, or makes it.
///
/// # Errors
/// The store's.
pub async fn server_secret(store: &Store) -> Result<Secret, SecretError> {
    let space = store.space("server", 1)?;
    let known = store.reading(move |view| view.get(space, KEY)).await?;
    if let Some(known) = known {
        return Ok(Secret::new(known));
    }
    let made = random::bytes::<32>().to_vec();
    let mut batch = Batch::new();
    batch.require_absent(space, KEY);
    batch.put(space, KEY, made.clone());
    store.commit(batch).await?;
    Ok(Secret::new(made))
}
