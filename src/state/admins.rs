//! Who may administer: the accounts that the configuration names, and those that were added while the server ran.

use std::sync::Arc;

use crate::config::Administration;
use crate::hooks::command::{Caller, Rights};
use crate::proto::jid::Jid;
use crate::store::{Batch, CommitError, Key, Store, StoreError};

/// Who may administer.
#[derive(Clone)]
pub struct Admins {
    named: Arc<Administration>,
    store: Store,
}

impl Admins {
    /// Those of the configuration, and those of the store.
    pub fn new(named: Arc<Administration>, store: Store) -> Self {
        Admins { named, store }
    }

    /// What somebody who asks a host may administer there. Only the bare address counts.
    ///
    /// # Errors
    /// The store's.
    pub async fn caller(&self, jid: &Jid, host: &Jid) -> Result<Caller, StoreError> {
        let bare = jid.bare();
        let domain = host.domain();
        let rights = if self.named.server.contains(&bare) {
            Rights::Server
        } else if self.named(domain).contains(&bare) || self.added(domain).await?.contains(&bare) {
            Rights::Host(domain.to_owned())
        } else {
            Rights::None
        };
        Ok(Caller {
            name: bare.to_string(),
            jid: Some(jid.clone()),
            rights,
        })
    }

    /// Those the configuration names for a host and for the server: only the file changes them.
    pub fn fixed(&self, host: &str) -> impl Iterator<Item = &Jid> {
        self.named.server.iter().chain(self.named(host))
    }

    /// Those that were added for a host.
    ///
    /// # Errors
    /// The store's.
    pub async fn added(&self, host: &str) -> Result<Vec<Jid>, StoreError> {
        let (space, key) = (self.store.space(SPACE, 1)?, key(host));
        let stored = self
            .store
            .reading(move |view| view.get(space, &key))
            .await?;
        let read = |value: Vec<u8>| {
            serde_json::from_slice(&value)
                .map_err(|_| StoreError::Format("the administrators".to_owned()))
        };
        stored.map_or(Ok(Vec::new()), read)
    }

    /// Sets those that were added for a host; what the configuration names stays.
    ///
    /// # Errors
    /// The store's.
    pub async fn set_added(&self, host: &str, admins: &[Jid]) -> Result<(), SetError> {
        let space = self.store.space(SPACE, 1)?;
        let added: Vec<&Jid> = admins
            .iter()
            .filter(|jid| !self.fixed(host).any(|fixed| fixed == *jid))
            .collect();
        let mut batch = Batch::new();
        batch.put(
            space,
            &key(host),
            serde_json::to_vec(&added).unwrap_or_default(),
        );
        self.store.commit(batch).await?;
        Ok(())
    }

    fn named(&self, host: &str) -> &[Jid] {
        self.named.hosts.get(host).map_or(&[], Vec::as_slice)
    }
}

/// Why administrators could not be set.
#[derive(Debug, thiserror::Error)]
pub enum SetError {
    /// The store cannot be read.
    #[error(transparent)]
    Read(#[from] StoreError),
    /// The store did not take it.
    #[error(transparent)]
    Write(#[from] CommitError),
}

const SPACE: &str = "admins";

fn key(host: &str) -> Key {
    Key::new().str(host)
}
