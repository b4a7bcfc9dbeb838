//! What administration can do to a server: implemented by the composition root, over the running server or over the store alone.

use std::sync::Arc;

use super::operations::Operations;
use crate::hooks::command::{Act, Offered, Password};
use crate::proto::jid::Jid;
use crate::state::accounts::Accounts as Records;
use crate::state::admins::Admins;
use crate::state::audit::Audit;
use crate::store::Store;

/// Everything an administrative command may reach.
pub trait Acts: Send + Sync {
    /// Accounts and their sessions.
    fn accounts(&self) -> &dyn Accounts;

    /// The server as a whole, while it runs.
    fn operations(&self) -> Option<Arc<dyn Operations>>;

    /// Accounts as they are kept.
    fn records(&self) -> &Records;

    /// The store.
    fn store(&self) -> &Store;

    /// Bytes a second that work on the whole store may read, so that it disturbs nobody; `None` when there is nobody.
    fn pace(&self) -> Option<u64>;

    /// Who may administer.
    fn admins(&self) -> Admins;

    /// The record of acts.
    fn audit(&self) -> &Audit;

    /// The commands of modules, each with its host; none when the server does not run.
    fn commands(&self) -> Vec<(Jid, Offered)>;
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

    /// The accounts of a host that have sessions, sorted, each with whether somebody is active there; none when the
    /// server does not run.
    fn online(&self, host: &str) -> Vec<(Jid, bool)>;

    /// Ends one session, by its full JID; whether there was one.
    fn end_session<'a>(&'a self, session: &'a Jid, reason: &'a str) -> Act<'a, bool>;

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
