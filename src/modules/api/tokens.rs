//! The tokens of a host. Of a token its hash is kept, and it is shown once.

use serde::{Deserialize, Serialize};

use super::scope::Scopes;
use crate::proto::jid::Jid;
use crate::runtime::random;
use crate::state::token_id::Id;
use crate::store::{Batch, CommitError, Direction, Key, Range, Snapshot, Space, Store, StoreError};

const SPACE: &str = "api-tokens";
/// What a token begins with, so that it is known as one wherever it turns up.
const MARK: &str = "waxwing_";

/// One token.
#[derive(Debug, Clone)]
pub(super) struct Token {
    /// What it is called where it must not be seen.
    pub(super) id: Id,
    /// What it is called by people.
    pub(super) name: String,
    /// What it is for.
    pub(super) scopes: Scopes,
    /// Whether it has the rights of an administrator of the server.
    pub(super) server: bool,
    /// When it was made, Unix milliseconds.
    pub(super) made: u64,
    /// Until when it is good.
    pub(super) until: Option<u64>,
}

/// A token on disk, under the hash of it.
#[derive(Serialize, Deserialize)]
struct Record {
    name: String,
    scopes: Scopes,
    #[serde(default)]
    server: bool,
    made: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    until: Option<u64>,
}

/// What a new token is to be.
pub(super) struct Wish {
    pub(super) name: String,
    pub(super) scopes: Scopes,
    pub(super) server: bool,
    pub(super) until: Option<u64>,
}

/// Why there is no new token.
#[derive(Debug, thiserror::Error)]
pub(super) enum TokenError {
    #[error("there is a token of this name already")]
    Exists,
    #[error("there are {0} tokens already (modules.api.tokens); remove one")]
    Full(usize),
    #[error(transparent)]
    Read(#[from] StoreError),
    #[error(transparent)]
    Write(#[from] CommitError),
}

/// The tokens of one host.
#[derive(Clone)]
pub(super) struct Tokens {
    store: Store,
    host: Box<str>,
    most: usize,
}

impl Tokens {
    /// At most so many.
    pub(super) fn new(store: Store, host: &Jid, most: usize) -> Tokens {
        Tokens {
            store,
            host: host.domain().into(),
            most,
        }
    }

    /// The token whose secret this is, while it is good.
    pub(super) async fn find(&self, secret: &str, now: u64) -> Result<Option<Token>, StoreError> {
        if !secret.starts_with(MARK) {
            return Ok(None);
        }
        self.of_id(Id::of_token(secret), now).await
    }

    /// The token that is called so, while it is good.
    pub(super) async fn of_id(&self, id: Id, now: u64) -> Result<Option<Token>, StoreError> {
        let (space, key) = (self.space()?, self.key(id));
        let found = self
            .store
            .reading(move |view| view.get(space, &key))
            .await?;
        let token = found.map(|value| read(id, &value)).transpose()?;
        Ok(token.filter(|token| token.until.is_none_or(|until| now < until)))
    }

    /// All of them, by name.
    pub(super) async fn list(&self) -> Result<Vec<Token>, StoreError> {
        let (space, prefix) = (self.space()?, Key::new().str(&self.host));
        let at = prefix.len();
        let all = move |view: &dyn Snapshot| {
            let range = Range::prefix(prefix.clone());
            view.scan(space, &range, Direction::Forward, usize::MAX)
        };
        let rows = self.store.reading(all).await?.into_iter();
        let tokens = rows.map(|(key, value)| {
            let id = key.get(at..).and_then(Id::from_bytes).ok_or_else(odd)?;
            read(id, &value)
        });
        let mut tokens = tokens.collect::<Result<Vec<_>, _>>()?;
        tokens.sort_by(|one, other| one.name.cmp(&other.name));
        Ok(tokens)
    }

    /// Makes one; its secret.
    pub(super) async fn make(&self, wish: Wish, now: u64) -> Result<String, TokenError> {
        let known = self.list().await?;
        if known.iter().any(|token| token.name == wish.name) {
            return Err(TokenError::Exists);
        }
        if known.len() >= self.most {
            return Err(TokenError::Full(known.len()));
        }
        let secret = format!("{MARK}{}", random::token());
        let record = Record {
            name: wish.name,
            scopes: wish.scopes,
            server: wish.server,
            made: now,
            until: wish.until,
        };
        let mut batch = Batch::new();
        let value = serde_json::to_vec(&record).unwrap_or_default();
        batch.put(self.space()?, &self.key(Id::of_token(&secret)), value);
        self.store.commit(batch).await?;
        Ok(secret)
    }

    /// Removes the one of this name; whether there was one.
    pub(super) async fn remove(&self, name: &str) -> Result<bool, TokenError> {
        let known = self.list().await?;
        let Some(token) = known.iter().find(|token| token.name == name) else {
            return Ok(false);
        };
        let mut batch = Batch::new().making_room();
        batch.delete(self.space()?, &self.key(token.id));
        self.store.commit(batch).await?;
        Ok(true)
    }

    fn space(&self) -> Result<Space, StoreError> {
        self.store.space(SPACE, 1)
    }

    fn key(&self, id: Id) -> Key {
        Key::new().str(&self.host).bytes(id.as_bytes())
    }
}

fn read(id: Id, value: &[u8]) -> Result<Token, StoreError> {
    let record: Record = serde_json::from_slice(value).map_err(|_| odd())?;
    Ok(Token {
        id,
        name: record.name,
        scopes: record.scopes,
        server: record.server,
        made: record.made,
        until: record.until,
    })
}

fn odd() -> StoreError {
    StoreError::Format("a token for administration".to_owned())
}
