//! The clients of an account that were ever there, by the id they give themselves (XEP-0388 user-agent): when, under which
//! names, and whether with the password.

use serde::{Deserialize, Serialize};

use super::accounts::{self, account_key};
use super::by_client::{self, PutError};
use super::owned::{AccountSpace, Quota};
use crate::hooks::Uid;
use crate::metrics::Counter;
use crate::proto::jid::Jid;
use crate::store::{Batch, CommitError, Key, Snapshot, Space, Store, StoreError};

/// What is remembered of one client.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Client {
    /// When it came first, Unix milliseconds.
    pub first: u64,
    /// When it was there last.
    pub last: u64,
    /// Its name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub software: Option<String>,
    /// Where it runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<String>,
    /// The last credentials of the account that it showed ([`accounts::Record::generation`]).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password: Option<u64>,
}

/// A login as it is remembered.
#[derive(Debug, Clone)]
pub struct Visit {
    /// Whose.
    pub account: Jid,
    /// The id of the client.
    pub client: String,
    /// Its name and its device, as far as they are to be remembered.
    pub names: (Option<String>, Option<String>),
    /// The credentials that it showed, if it showed any.
    pub password: Option<u64>,
}

/// A time is written anew when the one that is known is older, in milliseconds.
const STALE: u64 = 5 * 60_000;
/// Attempts when another change of the same client comes between.
const ATTEMPTS: usize = 8;

/// The clients of all accounts.
#[derive(Clone)]
pub struct Clients {
    store: Store,
    space: Space,
    most: usize,
    full: Counter,
}

impl Clients {
    /// Over a store; `most` of one account are remembered, and `full` counts those that are forgotten for others.
    ///
    /// # Errors
    /// The store has them in another form.
    pub fn new(store: Store, most: usize, full: Counter) -> Result<Clients, StoreError> {
        let space = AccountSpace::named(&store, "clients", 1, Quota::NONE)?.space();
        Ok(Clients {
            store,
            space,
            most,
            full,
        })
    }

    /// Remembers a login; answers with the account's credentials at that time, `None` when there is no such account.
    ///
    /// # Errors
    /// The store's.
    pub async fn came(&self, visit: &Visit, now: u64) -> Result<Option<u64>, PutError> {
        for _ in 0..ATTEMPTS {
            let look = self.look(&visit.account, &visit.client).await?;
            let Some(look) = look else { return Ok(None) };
            let mut client = look.client.clone().unwrap_or_default();
            client.first = look.client.as_ref().map_or(now, |client| client.first);
            client.software.clone_from(&visit.names.0);
            client.device.clone_from(&visit.names.1);
            client.password = visit.password.or(client.password);
            if now.saturating_sub(client.last) >= STALE {
                client.last = now;
            }
            match self.put(&look, &client).await {
                Err(PutError::Commit(CommitError::Precondition)) => {}
                put => return put.map(|()| Some(look.generation)),
            }
        }
        Ok(None)
    }

    /// Remembers that a client that is known was there until now.
    ///
    /// # Errors
    /// The store's.
    pub async fn left(&self, account: &Jid, client: &str, now: u64) -> Result<(), PutError> {
        let look = self.look(account, client).await?;
        let known = look.and_then(|look| Some((look.client.clone()?, look)));
        let Some((mut client, look)) = known else {
            return Ok(());
        };
        client.last = client.last.max(now);
        match self.put(&look, &client).await {
            // It came again.
            Err(PutError::Commit(CommitError::Precondition)) => Ok(()),
            put => put,
        }
    }

    /// The clients of an account, and its number and credentials; `None` when there is none of this name.
    ///
    /// # Errors
    /// The store's.
    pub fn of_account(
        &self,
        view: &dyn Snapshot,
        account: &Jid,
    ) -> Result<Option<Known>, StoreError> {
        let Some(record) = accounts::read(view, &account_key(account))? else {
            return Ok(None);
        };
        let uid = Uid(record.uid);
        Ok(Some(Known {
            uid,
            generation: record.generation,
            clients: by_client::of_account(view, self.space, uid)?,
        }))
    }

    /// Forgets a client.
    pub fn forget(&self, batch: &mut Batch, uid: Uid, client: &str) {
        batch.delete(self.space, &by_client::key(uid, client));
    }

    /// Forgets the clients of all accounts that were not there since then (Unix milliseconds), reading `page` at a time.
    ///
    /// # Errors
    /// The store's.
    pub async fn sweep(&self, since: u64, page: usize) -> Result<(), PutError> {
        let space = (&self.store, self.space);
        by_client::sweep(space, page, |client: &Client| client.last >= since).await
    }

    async fn look(&self, account: &Jid, client: &str) -> Result<Option<Look>, StoreError> {
        let (account, client, space) = (account.bare(), client.to_owned(), self.space);
        self.store
            .reading(move |view| {
                let Some(record) = accounts::read(view, &account_key(&account))? else {
                    return Ok(None);
                };
                let uid = Uid(record.uid);
                let key = by_client::key(uid, &client);
                let before = view.get(space, &key)?;
                Ok(Some(Look {
                    uid,
                    generation: record.generation,
                    client: before.as_deref().map(by_client::decode).transpose()?,
                    account,
                    key,
                    before,
                }))
            })
            .await
    }

    async fn put(&self, look: &Look, client: &Client) -> Result<(), PutError> {
        if look.client.as_ref() == Some(client) {
            return Ok(());
        }
        let entry = (self.space, &look.key);
        let before = look.before.as_deref();
        let mut batch = by_client::unless_changed(&look.account, look.uid, entry, before);
        if before.is_none() {
            self.make_room(look.uid, &mut batch).await?;
        }
        batch.put(self.space, &look.key, by_client::encode(client));
        self.store.commit(batch.relaxed()).await?;
        Ok(())
    }

    async fn make_room(&self, uid: Uid, batch: &mut Batch) -> Result<(), StoreError> {
        let space = self.space;
        let others = self
            .store
            .reading(move |view| by_client::of_account::<Client>(view, space, uid));
        let mut others = others.await?;
        others.sort_by_key(|(_, client)| client.last);
        let too_many = others.len().saturating_sub(self.most.saturating_sub(1));
        for (client, _) in others.iter().take(too_many) {
            self.full.count();
            self.forget(batch, uid, client);
        }
        Ok(())
    }
}

/// What is known of the clients of one account.
#[derive(Debug)]
pub struct Known {
    /// Its number.
    pub uid: Uid,
    /// Its credentials.
    pub generation: u64,
    /// Its clients by their ids.
    pub clients: Vec<(String, Client)>,
}

struct Look {
    uid: Uid,
    generation: u64,
    client: Option<Client>,
    account: Jid,
    key: Key,
    before: Option<Vec<u8>>,
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;
    use crate::runtime::clock::Clock;
    use crate::state::accounts::Accounts;
    use crate::store::{Options, testing};
    use crate::stream::Secret;

    async fn setup() -> (Clients, Jid) {
        let store = Store::with_engine(testing::memory(), Options::memory(), Clock::system());
        let store = store.unwrap();
        let secret = Secret::new(vec![1; 32]);
        let accounts = Accounts::new(store.clone(), Clock::system(), 4096, secret);
        let jid = Jid::parse("juliet@example.org").unwrap();
        accounts.create(&jid, "pencil").await.unwrap();
        let clients = Clients::new(store, 2, Counter::default());
        (clients.unwrap(), jid)
    }

    fn visit(account: &Jid, client: &str, password: Option<u64>) -> Visit {
        Visit {
            account: account.clone(),
            client: client.to_owned(),
            names: (Some("Awesome".to_owned()), None),
            password,
        }
    }

    async fn known(clients: &Clients, account: &Jid) -> Vec<(String, Client)> {
        let (reader, account) = (clients.clone(), account.clone());
        let read = clients
            .store
            .reading(move |view| reader.of_account(view, &account));
        read.await.unwrap().unwrap().clients
    }

    #[tokio::test]
    async fn a_client_is_known_from_its_first_to_its_last_time() {
        let (clients, jid) = setup().await;
        let came = |password, now| {
            let (clients, visit) = (clients.clone(), visit(&jid, "a", password));
            async move { clients.came(&visit, now).await.unwrap() }
        };
        assert_eq!(came(Some(0), STALE).await, Some(0));
        // By a token: it has shown the password nevertheless. The time is not worth a write.
        came(None, STALE + 1).await;
        let expected = Client {
            first: STALE,
            last: STALE,
            software: Some("Awesome".to_owned()),
            device: None,
            password: Some(0),
        };
        assert_eq!(known(&clients, &jid).await, [("a".to_owned(), expected)]);
        clients.left(&jid, "a", STALE + 7).await.unwrap();
        clients.left(&jid, "b", STALE + 7).await.unwrap();
        assert_eq!(known(&clients, &jid).await[0].1.last, STALE + 7);
        came(None, 9 * STALE).await;
        let (_, client) = &known(&clients, &jid).await[0];
        assert_eq!((client.first, client.last), (STALE, 9 * STALE));
        let nobody = Jid::parse("nobody@example.org").unwrap();
        let nothing = clients.came(&visit(&nobody, "a", None), 1).await;
        assert_eq!(nothing.unwrap(), None);
    }

    #[tokio::test]
    async fn so_many_are_known_and_for_so_long() {
        let (clients, jid) = setup().await;
        for (client, now) in [("a", 3 * STALE), ("b", STALE), ("c", 2 * STALE)] {
            clients.came(&visit(&jid, client, None), now).await.unwrap();
        }
        let names = || async {
            let known = known(&clients, &jid).await;
            known.into_iter().map(|(name, _)| name).collect::<String>()
        };
        assert_eq!((names().await.as_str(), clients.full.value()), ("ac", 1));
        clients.sweep(3 * STALE, 1).await.unwrap();
        assert_eq!(names().await, "a");
    }
}
