//! The acts of administration, over the running server or over the store alone.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, Weak};

use arc_swap::ArcSwap;

use super::live::Live;
use crate::admin::{AccountInfo, Act, ActError, Acts, Operations, Password, SessionInfo};
use crate::config::{Administration, Config};
use crate::hooks::Event;
use crate::hooks::command::Offered;
use crate::proto::error::{StreamCondition, StreamError};
use crate::proto::jid::Jid;
use crate::router::Router;
use crate::runtime::clock::Clock;
use crate::state::accounts::{AccountError, Accounts, Leaving, Record};
use crate::state::admins::Admins;
use crate::state::audit::Audit;
use crate::store::Store;

/// What administration can do here.
pub struct ServerActs {
    hosts: ArcSwap<Vec<String>>,
    live: OnceLock<Weak<Live>>,
    accounts: Accounts,
    store: Store,
    rate: AtomicU64,
    audit: Audit,
    router: Option<Arc<Router>>,
    administration: ArcSwap<Administration>,
}

impl ServerActs {
    /// Over accounts in a store; with the router when the server runs.
    pub fn new(
        config: &Config,
        store: Store,
        accounts: Accounts,
        router: Option<Arc<Router>>,
    ) -> Self {
        let audit = Audit::new(store.clone(), Clock::system(), &Administration::of(config));
        ServerActs {
            hosts: ArcSwap::from_pointee(super::account_hosts(config)),
            live: OnceLock::new(),
            accounts,
            store,
            rate: AtomicU64::new(config.backup.rate.0),
            audit,
            router,
            administration: ArcSwap::from_pointee(Administration::of(config)),
        }
    }

    /// The server these acts are about runs.
    pub(super) fn operate(&self, live: &Arc<Live>) {
        let _ = self.live.set(Arc::downgrade(live));
    }

    /// The running server.
    pub(super) fn live(&self) -> Option<Arc<Live>> {
        self.live.get()?.upgrade()
    }

    /// By another configuration from now on.
    pub(super) fn set_config(&self, config: &Config) {
        self.hosts.store(Arc::new(super::account_hosts(config)));
        self.rate.store(config.backup.rate.0, Ordering::Relaxed);
        let administration = Administration::of(config);
        self.audit.set_bounds(&administration);
        self.administration.store(Arc::new(administration));
    }

    /// Sets a password and ends the account's sessions but the one that is kept.
    pub(super) async fn change_password(
        &self,
        account: &Jid,
        password: &Password,
        keep: Option<&Jid>,
        error: StreamError,
    ) -> Result<(), ActError> {
        self.check(account.domain())?;
        self.accounts.set_password(account, &password.0).await?;
        let kept = keep.zip(self.router.as_ref());
        match kept {
            None => drop(self.end(account, error)),
            Some((keep, router)) => {
                for session in router.sessions(account) {
                    if session.jid != *keep {
                        router.end_session(&session.jid, error.clone());
                    }
                }
            }
        }
        self.tell(Event::PasswordChanged(account.clone()));
        Ok(())
    }

    fn check(&self, host: &str) -> Result<(), ActError> {
        let hosts = self.hosts.load();
        if hosts.iter().any(|known| known == host) {
            Ok(())
        } else {
            Err(ActError::NoSuchHost {
                host: host.to_owned(),
                known: hosts.to_vec(),
            })
        }
    }

    fn end(&self, account: &Jid, error: StreamError) -> usize {
        let Some(router) = &self.router else {
            return 0;
        };
        let count = router.sessions(account).len();
        router.end_sessions(account, error);
        router.reread(account);
        count
    }

    /// From now on there is no such account.
    pub(super) async fn take_out(&self, account: &Jid) -> Result<Leaving, ActError> {
        self.check(account.domain())?;
        Ok(self.accounts.take_out(account).await?)
    }

    /// What is left of it goes, its sessions first.
    pub(super) async fn see_out(&self, account: &Jid, leaving: Leaving) {
        self.accounts.see_out(leaving).await;
        self.tell(Event::AccountDeleted(account.clone()));
    }

    fn tell(&self, event: Event) {
        if let Some(router) = &self.router {
            router.tell(&event);
        }
    }
}

impl Acts for ServerActs {
    fn accounts(&self) -> &dyn crate::admin::Accounts {
        self
    }

    fn operations(&self) -> Option<Arc<dyn Operations>> {
        let live = self.live()?;
        Some(live)
    }

    fn records(&self) -> &Accounts {
        &self.accounts
    }

    fn store(&self) -> &Store {
        &self.store
    }

    fn pace(&self) -> Option<u64> {
        self.router
            .as_ref()
            .map(|_| self.rate.load(Ordering::Relaxed))
    }

    fn admins(&self) -> Admins {
        Admins::new(self.administration.load_full(), self.store.clone())
    }

    fn audit(&self) -> &Audit {
        &self.audit
    }

    fn commands(&self) -> Vec<(Jid, Offered)> {
        let commands = self.router.as_ref().map(|router| router.commands());
        commands.unwrap_or_default()
    }
}

impl crate::admin::Accounts for ServerActs {
    fn hosts(&self) -> Vec<String> {
        self.hosts.load().to_vec()
    }

    fn create<'a>(&'a self, account: &'a Jid, password: &'a Password) -> Act<'a, ()> {
        Box::pin(async move {
            self.check(account.domain())?;
            self.accounts.create(account, &password.0).await?;
            self.tell(Event::AccountCreated(account.clone()));
            Ok(())
        })
    }

    fn list<'a>(
        &'a self,
        host: &'a str,
        after: Option<&'a Jid>,
        limit: usize,
    ) -> Act<'a, Vec<AccountInfo>> {
        Box::pin(async move {
            self.check(host)?;
            let host = Jid::parse(host).map_err(|e| ActError::Bad(e.to_string()))?;
            let accounts = self
                .accounts
                .list(&host, after, limit)
                .await
                .map_err(AccountError::from)?;
            Ok(accounts
                .into_iter()
                .map(|(jid, record)| info(jid, record))
                .collect())
        })
    }

    fn show<'a>(&'a self, account: &'a Jid) -> Act<'a, Option<AccountInfo>> {
        Box::pin(async move {
            self.check(account.domain())?;
            let record = self
                .accounts
                .find(account)
                .await
                .map_err(AccountError::from)?;
            Ok(record.map(|record| info(account.clone(), record)))
        })
    }

    fn set_password<'a>(&'a self, account: &'a Jid, password: &'a Password) -> Act<'a, ()> {
        Box::pin(async move {
            let error = because("the password was changed");
            self.change_password(account, password, None, error).await
        })
    }

    fn disable<'a>(&'a self, account: &'a Jid, reason: &'a str) -> Act<'a, ()> {
        Box::pin(async move {
            self.check(account.domain())?;
            let reason = Some(reason.to_owned());
            self.accounts.set_disabled(account, reason).await?;
            self.end(account, because("the account was disabled"));
            self.tell(Event::AccountDisabled(account.clone()));
            Ok(())
        })
    }

    fn enable<'a>(&'a self, account: &'a Jid) -> Act<'a, ()> {
        Box::pin(async move {
            self.check(account.domain())?;
            self.accounts.set_disabled(account, None).await?;
            Ok(())
        })
    }

    fn delete<'a>(&'a self, account: &'a Jid) -> Act<'a, ()> {
        Box::pin(async move {
            let leaving = self.take_out(account).await?;
            self.see_out(account, leaving).await;
            Ok(())
        })
    }

    fn sessions<'a>(&'a self, account: &'a Jid) -> Act<'a, Vec<SessionInfo>> {
        Box::pin(async move {
            self.check(account.domain())?;
            let sessions = self
                .router
                .as_ref()
                .map(|router| router.sessions(account))
                .unwrap_or_default();
            let shown = sessions.into_iter().map(|session| SessionInfo {
                jid: session.jid,
                since: session.since,
                address: session.address,
                client: session.client,
            });
            Ok(shown.collect())
        })
    }

    fn online(&self, host: &str) -> Vec<(Jid, bool)> {
        let online = self.router.as_ref().map(|router| router.online(host));
        online.unwrap_or_default()
    }

    fn end_session<'a>(&'a self, session: &'a Jid, reason: &'a str) -> Act<'a, bool> {
        Box::pin(async move {
            self.check(session.domain())?;
            let router = self.router.as_ref();
            Ok(router.is_some_and(|router| router.end_session(session, because(reason))))
        })
    }

    fn end_sessions<'a>(&'a self, account: &'a Jid, reason: &'a str) -> Act<'a, usize> {
        Box::pin(async move {
            self.check(account.domain())?;
            Ok(self.end(account, because(reason)))
        })
    }
}

pub(super) fn because(reason: &str) -> StreamError {
    StreamError::new(StreamCondition::NotAuthorized).with_text(reason)
}

fn info(account: Jid, record: Record) -> AccountInfo {
    AccountInfo {
        account,
        created: record.created,
        disabled: record.disabled,
    }
}

impl From<AccountError> for ActError {
    fn from(error: AccountError) -> Self {
        match error {
            AccountError::Exists(jid) => ActError::Exists(jid),
            AccountError::Leaving(_) => ActError::Failed(error.to_string()),
            AccountError::Unknown(jid) => ActError::NoSuchAccount(jid),
            AccountError::Address(text) => ActError::Bad(text),
            AccountError::Password(_) => ActError::Bad(error.to_string()),
            AccountError::Store(_) | AccountError::Commit(_) => ActError::Failed(error.to_string()),
        }
    }
}

/// Guest policies by host, of the hosts that take guests.
pub(super) type GuestHosts = HashMap<String, crate::config::Guests>;
