//! Who may administer: the accounts that the configuration names, and those that were added while the server ran.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::accounts::{account_key, read};
use crate::config::Administration;
use crate::hooks::command::{Caller, Rights};
use crate::proto::jid::Jid;
use crate::store::{Batch, CommitError, Key, Snapshot, Space, Store, StoreError};

/// Who may administer.
#[derive(Clone)]
pub struct Admins {
    named: Arc<Administration>,
    store: Store,
}

/// One who was added.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Added {
    jid: Jid,
    /// The number of the account, for one of this server: whoever gets the name later is somebody else.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    uid: Option<u64>,
}

impl Admins {
    /// Those of the configuration, and those of the store.
    pub fn new(named: Arc<Administration>, store: Store) -> Self {
        Admins { named, store }
    }

    /// What somebody who asks a host may administer there. Only the bare address counts. Nothing is
    /// remembered: who is no administrator any more is none from the next question on.
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

    /// Those that were added for a host, without those whose account is gone or disabled.
    ///
    /// # Errors
    /// The store's.
    pub async fn added(&self, host: &str) -> Result<Vec<Jid>, StoreError> {
        let (space, key) = (self.store.space(SPACE, 1)?, key(host));
        let valid = move |view: &dyn Snapshot| {
            let mut valid = Vec::new();
            for added in stored(view, space, &key)? {
                let holds = match added.uid {
                    None => true,
                    Some(uid) => read(view, &account_key(&added.jid))?
                        .is_some_and(|record| record.uid == uid && record.disabled.is_none()),
                };
                if holds {
                    valid.push(added.jid);
                }
            }
            Ok(valid)
        };
        self.store.reading(valid).await
    }

    /// Sets those that were added for a host; what the configuration names stays.
    ///
    /// # Errors
    /// [`SetError::Unknown`] for a domain of this server without such an account; the store's.
    pub async fn set_added(&self, host: &str, admins: &[Jid]) -> Result<(), SetError> {
        let space = self.store.space(SPACE, 1)?;
        let mut added = Vec::new();
        for jid in admins {
            if self.fixed(host).any(|fixed| fixed == jid) {
                continue;
            }
            let uid = match self.named.hosts.contains_key(jid.domain()) {
                true => Some(self.number(jid).await?),
                false => None,
            };
            let jid = jid.clone();
            added.push(Added { jid, uid });
        }
        let mut batch = Batch::new();
        let value = serde_json::to_vec(&added).unwrap_or_default();
        batch.put(space, &key(host), value);
        self.store.commit(batch).await?;
        Ok(())
    }

    async fn number(&self, jid: &Jid) -> Result<u64, SetError> {
        let key = account_key(jid);
        let record = self.store.reading(move |view| read(view, &key)).await?;
        record
            .map(|record| record.uid)
            .ok_or_else(|| SetError::Unknown(jid.clone()))
    }

    fn named(&self, host: &str) -> &[Jid] {
        self.named.hosts.get(host).map_or(&[], Vec::as_slice)
    }
}

/// Why administrators could not be set.
#[derive(Debug, thiserror::Error)]
pub enum SetError {
    /// No account of this name.
    #[error("there is no account {0}")]
    Unknown(Jid),
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

fn stored(view: &dyn Snapshot, space: Space, key: &Key) -> Result<Vec<Added>, StoreError> {
    let Some(value) = view.get(space, key)? else {
        return Ok(Vec::new());
    };
    serde_json::from_slice(&value).map_err(|_| StoreError::Format("the administrators".to_owned()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::runtime::clock::Clock;
    use crate::state::accounts::Accounts;
    use crate::store::{Options, testing};
    use crate::stream::Secret;

    fn jid(text: &str) -> Jid {
        Jid::parse(text).unwrap()
    }

    #[tokio::test]
    async fn who_was_added_is_one_until_taken_off_or_gone() {
        let store = Store::with_engine(testing::memory(), Options::memory(), Clock::system());
        let store = store.unwrap();
        let accounts = Accounts::new(store.clone(), Clock::system(), 4096, Secret::new(vec![1]));
        let named = Administration {
            server: vec![jid("root@a.example")],
            hosts: [("a.example".to_owned(), vec![jid("boss@a.example")])].into(),
            ..Administration::default()
        };
        let admins = Admins::new(Arc::new(named), store.clone());
        let rights = async |who: &str| {
            let host = jid("a.example");
            admins.caller(&jid(who), &host).await.unwrap().rights
        };
        let ours = Rights::Host("a.example".to_owned());
        assert_eq!(rights("root@a.example/x").await, Rights::Server);
        assert_eq!(rights("boss@a.example").await, ours);
        let unknown = admins.set_added("a.example", &[jid("u@a.example")]).await;
        assert!(matches!(unknown, Err(SetError::Unknown(_))));
        let set = async |all: &[&str]| {
            let all: Vec<Jid> = all.iter().map(|text| jid(text)).collect();
            admins.set_added("a.example", &all).await.unwrap();
        };
        accounts
            .create(&jid("u@a.example"), "pencil")
            .await
            .unwrap();
        set(&["u@a.example", "x@elsewhere.example", "boss@a.example"]).await;
        assert_eq!(rights("u@a.example/phone").await, ours);
        assert_eq!(rights("x@elsewhere.example/r").await, ours);
        assert_eq!(admins.added("a.example").await.unwrap().len(), 2);
        // Of another host nothing.
        let other = admins.caller(&jid("u@a.example"), &jid("b.example")).await;
        assert_eq!(other.unwrap().rights, Rights::None);
        set(&["u@a.example"]).await;
        assert_eq!(rights("x@elsewhere.example/r").await, Rights::None);
        // The next one of the name is somebody else.
        accounts.delete(&jid("u@a.example")).await.unwrap();
        assert_eq!(rights("u@a.example").await, Rights::None);
        let mut free = Batch::new();
        free.delete(
            Space::ERASURE,
            &crate::state::erasure::name_key(&jid("u@a.example")),
        );
        store.commit(free).await.unwrap();
        accounts
            .create(&jid("u@a.example"), "pencil")
            .await
            .unwrap();
        assert_eq!(rights("u@a.example").await, Rights::None);
        set(&[]).await;
        assert_eq!(rights("boss@a.example").await, ours);
    }
}
