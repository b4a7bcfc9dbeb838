//! The clients of an account that were ever there, by the id they give themselves (XEP-0388 user-agent): when, under which
//! names, and whether with the password.

use serde::{Deserialize, Serialize};

use super::accounts::{self, account_key};
use super::owned::{AccountSpace, Quota};
use crate::hooks::Uid;
use crate::metrics::Counter;
use crate::proto::jid::Jid;
use crate::store::{
    Batch, CommitError, Direction, Fields, Key, Range, Snapshot, Space, Store, StoreError,
};

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
    pub async fn came(&self, visit: &Visit, now: u64) -> Result<Option<u64>, NoteError> {
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
                Err(NoteError::Commit(CommitError::Precondition)) => {}
                put => return put.map(|()| Some(look.generation)),
            }
        }
        Ok(None)
    }

    /// Remembers that a client that is known was there until now.
    ///
    /// # Errors
    /// The store's.
    pub async fn left(&self, account: &Jid, client: &str, now: u64) -> Result<(), NoteError> {
        let look = self.look(account, client).await?;
        let known = look.and_then(|look| Some((look.client.clone()?, look)));
        let Some((mut client, look)) = known else {
            return Ok(());
        };
        client.last = client.last.max(now);
        match self.put(&look, &client).await {
            // It came again.
            Err(NoteError::Commit(CommitError::Precondition)) => Ok(()),
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
            clients: self.all(view, uid)?,
        }))
    }

    /// Forgets a client.
    pub fn forget(&self, batch: &mut Batch, uid: Uid, client: &str) {
        batch.delete(self.space, &client_key(uid, client));
    }

    /// Forgets the clients of all accounts that were not there since then (Unix milliseconds), reading `page` at a time.
    ///
    /// # Errors
    /// The store's.
    pub async fn sweep(&self, since: u64, page: usize) -> Result<(), NoteError> {
        let (mut range, space) = (Range::all(), self.space);
        loop {
            let from = range.clone();
            let rows = self
                .store
                .reading(move |view| view.scan(space, &from, Direction::Forward, page));
            let rows = rows.await?;
            let Some((last, _)) = rows.last() else {
                return Ok(());
            };
            range = Range::all().after(last.as_slice());
            for (key, value) in rows {
                if decode(&value).is_ok_and(|client| client.last >= since) {
                    continue;
                }
                let mut batch = Batch::new();
                batch.require_equals(space, &key, value);
                batch.delete(space, &key);
                match self.store.commit(batch.relaxed()).await {
                    Ok(_) | Err(CommitError::Precondition) => {}
                    Err(error) => return Err(error.into()),
                }
            }
        }
    }

    async fn look(&self, account: &Jid, client: &str) -> Result<Option<Look>, StoreError> {
        let (account, client, space) = (account.bare(), client.to_owned(), self.space);
        self.store
            .reading(move |view| {
                let Some(record) = accounts::read(view, &account_key(&account))? else {
                    return Ok(None);
                };
                let uid = Uid(record.uid);
                let key = client_key(uid, &client);
                let before = view.get(space, &key)?;
                Ok(Some(Look {
                    uid,
                    generation: record.generation,
                    client: before.as_deref().map(decode).transpose()?,
                    account,
                    key,
                    before,
                }))
            })
            .await
    }

    async fn put(&self, look: &Look, client: &Client) -> Result<(), NoteError> {
        if look.client.as_ref() == Some(client) {
            return Ok(());
        }
        let mut batch = Batch::new();
        let name = look.account.as_str().as_bytes();
        batch.require_equals(Space::ACCOUNT_BY_ID, &look.uid.to_key(), name);
        match &look.before {
            Some(before) => batch.require_equals(self.space, &look.key, before.as_slice()),
            None => {
                batch.require_absent(self.space, &look.key);
                self.make_room(look.uid, &mut batch).await?;
            }
        }
        let value = serde_json::to_vec(client).unwrap_or_default();
        batch.put(self.space, &look.key, value);
        self.store.commit(batch.relaxed()).await?;
        Ok(())
    }

    async fn make_room(&self, uid: Uid, batch: &mut Batch) -> Result<(), StoreError> {
        let this = self.clone();
        let others = self.store.reading(move |view| this.all(view, uid));
        let mut others = others.await?;
        others.sort_by_key(|(_, client)| client.last);
        let too_many = others.len().saturating_sub(self.most.saturating_sub(1));
        for (client, _) in others.iter().take(too_many) {
            self.full.count();
            self.forget(batch, uid, client);
        }
        Ok(())
    }

    fn all(&self, view: &dyn Snapshot, uid: Uid) -> Result<Vec<(String, Client)>, StoreError> {
        let range = Range::prefix(Key::new().u64(uid.0));
        let rows = view.scan(self.space, &range, Direction::Forward, usize::MAX)?;
        let read = |(key, value): (Vec<u8>, Vec<u8>)| {
            let mut fields = Fields::of(&key);
            fields.u64().ok_or_else(odd)?;
            let client = fields.str().ok_or_else(odd)?.to_owned();
            Ok((client, decode(&value)?))
        };
        rows.into_iter().map(read).collect()
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

/// Why a client was not remembered.
#[derive(Debug, thiserror::Error)]
pub enum NoteError {
    /// The store could not be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The store did not take it.
    #[error(transparent)]
    Commit(#[from] CommitError),
}

struct Look {
    uid: Uid,
    generation: u64,
    client: Option<Client>,
    account: Jid,
    key: Key,
    before: Option<Vec<u8>>,
}

fn client_key(uid: Uid, client: &str) -> Key {
    Key::new().u64(uid.0).str(client)
}

fn decode(value: &[u8]) -> Result<Client, StoreError> {
    serde_json::from_slice(value).map_err(|_| odd())
}

fn odd() -> StoreError {
    StoreError::Format("a client of an account".to_owned())
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
