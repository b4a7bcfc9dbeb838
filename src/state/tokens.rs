//! Tokens by which clients come back without a password (XEP-0484): what is kept of them, by the id of the client.
//!
//! The secret itself is not kept. It is derived from what is ([`Token::secret`]) and from a secret of the installation
//! that is in no backup, so that the store alone opens no account.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use serde::{Deserialize, Serialize};

use super::accounts::{self, account_key};
use super::by_client::{self, PutError};
use crate::hooks::Uid;
use crate::metrics::Counter;
use crate::proto::jid::Jid;
use crate::runtime::random;
use crate::store::{Batch, CommitError, Key, Snapshot, Space, Store, StoreError};
use crate::stream::{ScramHash, Secret};

/// What is kept of one token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Token {
    /// The one mechanism it is for.
    pub mechanism: String,
    /// What makes it another one each time.
    seed: String,
    /// When it was made, Unix milliseconds.
    pub issued: u64,
    /// Until when it is good, Unix milliseconds.
    pub expires: u64,
    /// The account's credentials when it was made ([`accounts::Record::generation`]).
    pub generation: u64,
    /// The highest count it was used with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub count: Option<u64>,
}

impl Token {
    /// A new one.
    pub fn new(mechanism: &str, issued: u64, expires: u64, generation: u64) -> Token {
        Token {
            mechanism: mechanism.to_owned(),
            seed: BASE64.encode(random::bytes::<16>()),
            issued,
            expires,
            generation,
            count: None,
        }
    }

    /// One that nobody has, for what must look the same where there is none.
    pub fn of_nobody(mechanism: &str) -> Token {
        Token {
            mechanism: mechanism.to_owned(),
            seed: "AAAAAAAAAAAAAAAAAAAAAA".to_owned(),
            issued: 0,
            expires: 0,
            generation: 0,
            count: None,
        }
    }

    /// The token as its client has it: 43 characters, 256 bits. Somebody else's from the same seed is another one.
    pub fn secret(&self, local: &Secret, owner: (Uid, &str)) -> Secret {
        let (Uid(uid), client) = owner;
        let label = format!("token\0{uid}\0{client}\0{}\0{}", self.mechanism, self.seed);
        let derived = ScramHash::Sha256.hmac(local.expose(), label.as_bytes());
        Secret::new(BASE64.encode(derived))
    }

    /// Whether it opens the account at `now`, while these are its credentials.
    pub fn is_good(&self, generation: u64, now: u64) -> bool {
        self.generation == generation && now < self.expires
    }
}

/// The tokens of one client: two at the most (XEP-0484 §5.1).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held {
    /// The last one that was made, which the client may not have got.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fresh: Option<Token>,
    /// The one it used last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub used: Option<Token>,
}

impl Held {
    /// When the last of them ends.
    fn expires(&self) -> u64 {
        let both = [&self.fresh, &self.used].into_iter().flatten();
        both.map(|token| token.expires).max().unwrap_or(0)
    }

    /// Whether one of them opens the account at `now`.
    pub fn is_good(&self, generation: u64, now: u64) -> bool {
        let mut both = [&self.fresh, &self.used].into_iter().flatten();
        both.any(|token| token.is_good(generation, now))
    }
}

/// What is found of one client of an account.
#[derive(Debug, Clone)]
pub struct Look {
    /// The account's number; none for an account that is not there.
    pub uid: Option<Uid>,
    /// Its credentials.
    pub generation: u64,
    /// The client's tokens.
    pub held: Held,
    account: Jid,
    key: Key,
    before: Option<Vec<u8>>,
}

/// The tokens of all accounts.
#[derive(Clone)]
pub struct Tokens {
    store: Store,
    most: usize,
    full: Counter,
}

impl Tokens {
    /// Over a store; `most` clients of one account may have some, and `full` counts those that lose theirs to others.
    pub fn new(store: Store, most: usize, full: Counter) -> Tokens {
        Tokens { store, most, full }
    }

    /// Looks at a client. For an account that is not there the same is read as for one that is.
    ///
    /// # Errors
    /// The store's.
    pub async fn look(&self, account: &Jid, client: &str) -> Result<Look, StoreError> {
        let (account, client) = (account.bare(), client.to_owned());
        self.store
            .reading(move |view| {
                let record = accounts::read(view, &account_key(&account))?;
                let uid = record.as_ref().map(|record| Uid(record.uid));
                let key = by_client::key(uid.unwrap_or(Uid(0)), &client);
                let before = view.get(Space::AUTH_TOKEN, &key)?.filter(|_| uid.is_some());
                let held = before.as_deref().map(by_client::decode).transpose()?;
                Ok(Look {
                    uid,
                    generation: record.map_or(0, |record| record.generation),
                    held: held.unwrap_or_default(),
                    account,
                    key,
                    before,
                })
            })
            .await
    }

    /// Puts `held` in the place of what was found, unless that changed meanwhile ([`CommitError::Precondition`]). A client
    /// beyond those an account may have takes the place of the one whose tokens end first.
    ///
    /// # Errors
    /// The store's; nothing is written for an account that is not there.
    pub async fn put(&self, look: &Look, held: &Held) -> Result<(), PutError> {
        let uid = look.uid.ok_or(CommitError::Precondition)?;
        let entry = (Space::AUTH_TOKEN, &look.key);
        let mut batch =
            by_client::unless_changed(&look.account, uid, entry, look.before.as_deref());
        if look.before.is_none() {
            self.make_room(uid, &mut batch).await?;
        }
        match *held == Held::default() {
            true => batch.delete(Space::AUTH_TOKEN, &look.key),
            false => batch.put(Space::AUTH_TOKEN, &look.key, by_client::encode(held)),
        }
        self.store.commit(batch).await?;
        Ok(())
    }

    async fn make_room(&self, uid: Uid, batch: &mut Batch) -> Result<(), StoreError> {
        let others = self.store.reading(move |view| of_account(view, uid));
        let mut others = others.await?;
        others.sort_by_key(|(_, held)| held.expires());
        let room = self.most.saturating_sub(1);
        let too_many = others.len().saturating_sub(room);
        for (client, _) in others.iter().take(too_many) {
            self.full.count();
            forget(batch, uid, client);
        }
        Ok(())
    }

    /// Removes what has ended, of all accounts, `page` clients at a time.
    ///
    /// # Errors
    /// The store's.
    pub async fn sweep(&self, now: u64, page: usize) -> Result<(), PutError> {
        let space = (&self.store, Space::AUTH_TOKEN);
        by_client::sweep(space, page, |held: &Held| held.expires() > now).await
    }
}

/// The clients of an account that have tokens.
///
/// # Errors
/// The store's.
pub fn of_account(view: &dyn Snapshot, uid: Uid) -> Result<Vec<(String, Held)>, StoreError> {
    by_client::of_account(view, Space::AUTH_TOKEN, uid)
}

/// Takes the tokens of a client away.
pub fn forget(batch: &mut Batch, uid: Uid, client: &str) {
    batch.delete(Space::AUTH_TOKEN, &by_client::key(uid, client));
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::runtime::clock::Clock;
    use crate::state::accounts::Accounts;
    use crate::store::{Options, testing};

    const MECHANISM: &str = "HT-SHA-256-NONE";

    async fn setup(most: usize) -> (Tokens, Accounts, Jid) {
        let store = Store::with_engine(testing::memory(), Options::memory(), Clock::system());
        let store = store.unwrap();
        let secret = Secret::new(vec![1; 32]);
        let accounts = Accounts::new(store.clone(), Clock::system(), 4096, secret);
        let jid = Jid::parse("juliet@example.org").unwrap();
        accounts.create(&jid, "pencil").await.unwrap();
        (Tokens::new(store, most, Counter::default()), accounts, jid)
    }

    fn held(expires: u64) -> Held {
        Held {
            fresh: Some(Token::new(MECHANISM, 0, expires, 0)),
            used: None,
        }
    }

    #[test]
    fn a_secret_is_of_one_token_of_one_client_here() {
        let token = Token::new(MECHANISM, 0, 1, 0);
        let here = Secret::new(vec![1; 32]);
        let secret = token.secret(&here, (Uid(1), "a"));
        assert_eq!(secret, token.secret(&here, (Uid(1), "a")));
        assert_eq!(secret.expose().len(), 43);
        let elsewhere = Secret::new(vec![2; 32]);
        assert_ne!(secret, token.secret(&elsewhere, (Uid(1), "a")));
        assert_ne!(secret, token.secret(&here, (Uid(2), "a")));
        assert_ne!(secret, token.secret(&here, (Uid(1), "b")));
        let other = Token::new(MECHANISM, 0, 1, 0);
        assert_ne!(secret, other.secret(&here, (Uid(1), "a")));
        let mut moved = token.clone();
        moved.mechanism = "HT-SHA-512-NONE".to_owned();
        assert_ne!(secret, moved.secret(&here, (Uid(1), "a")));
    }

    #[tokio::test]
    async fn of_two_changes_at_once_one_is_told() {
        let (tokens, _, jid) = setup(3).await;
        let look = tokens.look(&jid, "a").await.unwrap();
        tokens.put(&look, &held(10)).await.unwrap();
        let late = tokens.put(&look, &held(20)).await;
        assert!(matches!(
            late,
            Err(PutError::Commit(CommitError::Precondition))
        ));
        let look = tokens.look(&jid, "a").await.unwrap();
        assert_eq!(look.held.expires(), 10);
        tokens.put(&look, &Held::default()).await.unwrap();
        let look = tokens.look(&jid, "a").await.unwrap();
        assert_eq!((look.held, look.before), (Held::default(), None));
    }

    #[tokio::test]
    async fn an_account_has_so_many_clients_and_what_ends_goes() {
        let (tokens, _, jid) = setup(3).await;
        for (client, expires) in [("a", 30), ("b", 10), ("c", 20), ("d", 40)] {
            let look = tokens.look(&jid, client).await.unwrap();
            tokens.put(&look, &held(expires)).await.unwrap();
        }
        let uid = tokens.look(&jid, "a").await.unwrap().uid.unwrap();
        let clients = || async {
            let all = tokens
                .store
                .reading(move |view| of_account(view, uid))
                .await;
            let names = all.unwrap().into_iter().map(|(client, _)| client);
            names.collect::<String>()
        };
        assert_eq!(clients().await, "acd");
        tokens.sweep(30, 1).await.unwrap();
        assert_eq!(clients().await, "d");
    }

    #[tokio::test]
    async fn nothing_is_kept_for_who_is_not_there() {
        let (tokens, accounts, jid) = setup(3).await;
        let nobody = Jid::parse("nobody@example.org").unwrap();
        let look = tokens.look(&nobody, "a").await.unwrap();
        assert!(tokens.put(&look, &held(10)).await.is_err());
        let look = tokens.look(&jid, "a").await.unwrap();
        accounts.delete(&jid).await.unwrap();
        assert!(tokens.put(&look, &held(10)).await.is_err());
    }

    #[tokio::test]
    async fn a_new_password_and_disabling_make_tokens_worthless() {
        let (tokens, accounts, jid) = setup(3).await;
        let generation = || async { tokens.look(&jid, "a").await.unwrap().generation };
        let token = Token::new(MECHANISM, 0, 10, generation().await);
        assert!(token.is_good(generation().await, 9) && !token.is_good(generation().await, 10));
        accounts.set_password(&jid, "pen").await.unwrap();
        let changed = generation().await;
        assert!(!token.is_good(changed, 9));
        accounts
            .set_disabled(&jid, Some("why".to_owned()))
            .await
            .unwrap();
        accounts.set_disabled(&jid, None).await.unwrap();
        assert_eq!(generation().await, changed + 1);
    }
}
