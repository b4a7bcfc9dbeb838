//! Accounts that come from another server: whole, or not at all.
//!
//! What belongs to one is written under its number first, with the mark of a removal, so that it goes if the arrival does not
//! come to its end. The last batch makes the account and takes the mark away.

use super::accounts::{self, AccountError, Accounts, Record, StoredKeys, account_key};
use super::{erasure, looks};
use crate::hooks::Uid;
use crate::proto::jid::Jid;
use crate::store::{Batch, CommitError, Space};
use crate::stream::{ScramHash, ScramKeys};

/// An account on its way in.
#[derive(Debug)]
pub struct Arrival {
    accounts: Accounts,
    jid: Jid,
    uid: Uid,
    /// What there was of this name.
    before: Option<Record>,
}

/// How an arriving account will log in.
#[derive(Debug)]
pub enum Login {
    /// With a password.
    Password(String),
    /// With the keys it had; without any it cannot.
    Keys(Vec<(ScramHash, ScramKeys)>),
}

impl Accounts {
    /// Lets an account in. One of its name is replaced at the end if `replace`, and otherwise in the way.
    ///
    /// # Errors
    /// [`AccountError::Exists`], the store's.
    pub async fn arrival(&self, jid: &Jid, replace: bool) -> Result<Arrival, AccountError> {
        let before = self.find(jid).await?;
        if before.is_some() && !replace {
            return Err(AccountError::Exists(jid.bare()));
        }
        let uid = Uid(self.store.allocate("account"));
        // Nothing that follows is on disk before it.
        let mut batch = Batch::new().relaxed();
        erasure::mark_data(&mut batch, uid, jid);
        let name = jid.bare_str().as_bytes().to_vec();
        batch.put(Space::ACCOUNT_BY_ID, &uid.to_key(), name);
        self.store.commit(batch).await?;
        Ok(Arrival {
            accounts: self.clone(),
            jid: jid.bare(),
            uid,
            before,
        })
    }
}

impl Arrival {
    /// Its number.
    pub fn uid(&self) -> Uid {
        self.uid
    }

    /// Its address.
    pub fn jid(&self) -> &Jid {
        &self.jid
    }

    /// Whether an account of this name will be replaced.
    pub fn replaces(&self) -> bool {
        self.before.is_some()
    }

    /// The account is there from now on, with everything that was written before.
    ///
    /// # Errors
    /// [`AccountError::Exists`] when the name was taken or changed meanwhile, [`AccountError::Password`], the store's.
    pub async fn finish(self, login: Login, disabled: Option<String>) -> Result<(), AccountError> {
        let accounts = &self.accounts;
        let keys = match login {
            Login::Password(password) => accounts.derive(&password).await?,
            Login::Keys(keys) => {
                let keys = keys.iter();
                keys.map(|(hash, keys)| StoredKeys::new(*hash, keys))
                    .collect()
            }
        };
        let record = Record {
            uid: self.uid.0,
            created: accounts.clock.wall(),
            disabled,
            keys,
            generation: 0,
        };
        let (key, mut batch) = (account_key(&self.jid), Batch::new());
        match &self.before {
            Some(old) => {
                batch.require_equals(Space::ACCOUNT, &key, accounts::encode(old));
                erasure::mark_data(&mut batch, Uid(old.uid), &self.jid);
                looks::count(&mut batch, self.jid.domain(), &old.keys, -1);
            }
            None => batch.require_absent(Space::ACCOUNT, &key),
        }
        batch.require_absent(Space::ERASURE, &erasure::name_key(&self.jid));
        batch.put(Space::ACCOUNT, &key, accounts::encode(&record));
        looks::count(&mut batch, self.jid.domain(), &record.keys, 1);
        erasure::unmark_data(&mut batch, self.uid);
        match accounts.store.commit(batch).await {
            Ok(_) => {}
            Err(CommitError::Precondition) => return Err(AccountError::Exists(self.jid)),
            Err(error) => return Err(error.into()),
        }
        if let Some(old) = &self.before {
            // What is left of it goes at the next start, if not now.
            let gone = accounts.erasure.finish(Uid(old.uid), &self.jid).await;
            if let Err(error) = gone {
                tracing::warn!(account = %self.jid, %error, "what the replaced account owned goes at the next start");
            }
        }
        Ok(())
    }

    /// Takes everything back.
    ///
    /// # Errors
    /// The store's; then it goes at the next start.
    pub async fn give_up(self) -> Result<(), erasure::ErasureError> {
        self.accounts.erasure.finish(self.uid, &self.jid).await
    }
}

impl std::fmt::Debug for Accounts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Accounts")
    }
}
