//! What administration can do to a server: implemented by the composition root, over the running server or over the store alone.

use std::fmt;
use std::pin::Pin;

use crate::proto::jid::Jid;
use crate::store::Store;

/// An act under way.
pub type Act<'a, T> = Pin<Box<dyn Future<Output = Result<T, ActError>> + Send + 'a>>;

/// Everything an administrative command may reach.
pub trait Acts: Send + Sync {
    /// Accounts and their sessions.
    fn accounts(&self) -> &dyn Accounts;

    /// The store.
    fn store(&self) -> &Store;

    /// Bytes a second that work on the whole store may read, so that it disturbs nobody; `None` when there is nobody.
    fn pace(&self) -> Option<u64>;
}

/// Accounts and their sessions. Every address is a bare JID.
pub trait Accounts: Send + Sync {
    /// The hosts that have accounts, sorted.
    fn hosts(&self) -> Vec<String>;

    /// Makes an account.
    fn create<'a>(&'a self, account: &'a Jid, password: &'a Password) -> Act<'a, ()>;

    /// At most `limit` accounts of a host, sorted, those after `after` only.
    fn list<'a>(
        &'a self,
        host: &'a str,
        after: Option<&'a Jid>,
        limit: usize,
    ) -> Act<'a, Vec<AccountInfo>>;

    /// One account; `None` when there is none of this name.
    fn show<'a>(&'a self, account: &'a Jid) -> Act<'a, Option<AccountInfo>>;

    /// Sets a password and ends the account's sessions.
    fn set_password<'a>(&'a self, account: &'a Jid, password: &'a Password) -> Act<'a, ()>;

    /// Keeps an account from logging in, ends its sessions, and keeps what it owns.
    fn disable<'a>(&'a self, account: &'a Jid, reason: &'a str) -> Act<'a, ()>;

    /// Takes a disabling back.
    fn enable<'a>(&'a self, account: &'a Jid) -> Act<'a, ()>;

    /// Removes an account, its sessions, and everything it owns.
    fn delete<'a>(&'a self, account: &'a Jid) -> Act<'a, ()>;

    /// The sessions of an account; none when the server does not run.
    fn sessions<'a>(&'a self, account: &'a Jid) -> Act<'a, Vec<SessionInfo>>;

    /// Ends the sessions of an account; how many there were.
    fn end_sessions<'a>(&'a self, account: &'a Jid, reason: &'a str) -> Act<'a, usize>;
}

/// What is shown of an account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountInfo {
    /// Its bare JID.
    pub account: Jid,
    /// When it was made, Unix milliseconds.
    pub created: u64,
    /// Why it is disabled, if it is.
    pub disabled: Option<String>,
}

/// What is shown of a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionInfo {
    /// Its full JID.
    pub jid: Jid,
    /// Since when, Unix milliseconds.
    pub since: u64,
    /// From where, as it is logged.
    pub address: String,
    /// The client by its own word, if it said.
    pub client: Option<String>,
}

/// A password on its way to the store: never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Password(pub String);

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(…)")
    }
}

/// Why an act was not done.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ActError {
    /// The account exists already.
    #[error("there is an account {0} already")]
    Exists(Jid),
    /// No such account.
    #[error("there is no account {0}")]
    NoSuchAccount(Jid),
    /// The domain is not served, or takes guests only.
    #[error("{host} has no accounts here; hosts with accounts: {}", .known.join(", "))]
    NoSuchHost {
        /// What was asked for.
        host: String,
        /// What there is.
        known: Vec<String>,
    },
    /// An argument cannot be accepted: says which and what would be right.
    #[error("{0}")]
    Bad(String),
    /// The caller may not.
    #[error("only for administrators of the host or the server")]
    Forbidden,
    /// Who asked went away.
    #[error("interrupted")]
    Interrupted,
    /// It failed for a reason that is not the argument's: full disk, damaged store, shutdown.
    #[error("{0}")]
    Failed(String),
}

impl ActError {
    /// A stable word for machines.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Exists(_) => "exists",
            Self::NoSuchAccount(_) => "no-such-account",
            Self::NoSuchHost { .. } => "no-such-host",
            Self::Bad(_) => "bad-argument",
            Self::Forbidden => "forbidden",
            Self::Interrupted => "interrupted",
            Self::Failed(_) => "failed",
        }
    }
}
