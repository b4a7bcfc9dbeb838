//! XEP-0494: Client Access Management (0.1.0)
//!
//! What is revoked at once, whatever the answer: the tokens of the client, its sessions, and what other modules keep for it
//! ([`Event::ClientRevoked`]). Who has shown the password that is in force can come back with it, and
//! `password-reset-required` says so. Clients that do not name themselves are listed while they have a session.

mod commands;
mod listing;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;

use crate::config::Period;
use crate::hooks::command::{Command, Offered};
use crate::hooks::{
    Deps, Event, Info, Inlined, Module, ModuleError, Registrar, Reply, SessionEvent, SessionId, To,
    Turn, Verb,
};
use crate::proto::error::{Condition, StanzaError, StreamCondition, StreamError};
use crate::proto::{Jid, ns};
use crate::settings;
use crate::state::clients::{Clients, Visit};
use crate::state::tokens;
use crate::store::StoreError;
use crate::stream::InlineRequest;
use crate::stream::sasl::offer::is_built_in;
use crate::stream::tables::When;
use crate::xml::Element;

use listing::Entry;

settings! {
    /// People see which clients have access to their account, and shut them out. How many are remembered says
    /// `limits.account.clients`.
    pub struct Config {
        /// Whether the names that clients give themselves and their device are remembered.
        pub names: bool = true;
        /// How long a client is remembered after it was there last.
        pub keep: Period = Period::days(90) => within(Period::days(1)..=Period::days(3_650));
    }
}

/// How often what is old is looked for, and how many clients are read at a time.
const SWEEP: Duration = Duration::from_secs(24 * 3_600);
const PAGE: usize = 500;

/// Remembers clients, lists them, shuts them out.
pub struct ClientAccess {
    config: Config,
    deps: Deps,
    clients: Clients,
}

/// Why a client was not shut out, or not for good.
#[derive(Debug, thiserror::Error)]
enum RevokeError {
    #[error("there is no such client; it may be gone already")]
    Unknown,
    #[error("it is shut out, but knows the password: set a new one")]
    KnowsPassword,
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("the server cannot store this now; try again later")]
    NotStored,
}

impl Module for ClientAccess {
    const INFO: Info = Info {
        name: "client_access",
        specs: &[("XEP-0494", "0.1.0")],
        doc: "People see which clients have access to their account, and shut them out.",
        on_by_default: true,
    };
    type Config = Config;
    const COMMANDS: &'static [Command] = &commands::DECLARED;

    fn build(config: Config, deps: &Deps) -> Result<Self, ModuleError> {
        let full = deps.metrics.limit("limits.account.clients");
        let clients = Clients::new(deps.store.clone(), deps.limits.clients as usize, full);
        Ok(ClientAccess {
            config,
            deps: deps.clone(),
            clients: clients.map_err(|error| ModuleError {
                module: Self::INFO.name,
                reason: error.to_string(),
            })?,
        })
    }

    fn register(self: Arc<Self>, r: &mut Registrar<'_>) {
        r.feature(To::OwnAccount, ns::CLIENT_ACCESS);
        let this = self.clone();
        r.inline(
            When::IntoSuccess,
            (ns::SASL2, "user-agent"),
            |_| None,
            move |request, _| this.clone().came(request),
        );
        let this = self.clone();
        r.session(move |event, session, turn| {
            if event == SessionEvent::Expired {
                this.left(session, turn);
            }
        });
        let this = self.clone();
        r.account_iq(
            To::OwnAccount,
            Verb::Get,
            (ns::CLIENT_ACCESS, "list"),
            move |_, turn| this.clone().list_for(turn),
        );
        let this = self.clone();
        r.account_iq(
            To::OwnAccount,
            Verb::Set,
            (ns::CLIENT_ACCESS, "revoke"),
            move |request, turn| this.clone().revoke_for(request.payload.attr("id"), turn),
        );
        let this = self.clone();
        r.every(SWEEP, move || this.clone().sweep());
        let [list, revoke] = &commands::DECLARED;
        let this = self.clone();
        r.command(Offered::new(list, move |call| {
            let this = this.clone();
            Box::pin(async move { commands::list(&this, &call).await })
        }));
        r.command(Offered::new(revoke, move |call| {
            let this = self.clone();
            Box::pin(async move { commands::revoke(&this, &call).await })
        }));
    }
}

impl ClientAccess {
    /// A client that names itself has logged in.
    fn came(self: Arc<Self>, request: &InlineRequest) -> Inlined {
        let nothing = || -> Inlined { Box::pin(std::future::ready(Vec::new())) };
        let Some(client) = request.agent.id.clone().filter(|_| !request.anonymous) else {
            return nothing();
        };
        let agent = &request.agent;
        let names = match self.config.names {
            true => (agent.software.clone(), agent.device.clone()),
            false => (None, None),
        };
        let visit = Visit {
            account: request.user.bare(),
            client,
            names,
            password: is_built_in(&request.mechanism).then_some(request.generation),
        };
        let (user, generation) = (request.user.clone(), request.generation);
        Box::pin(async move {
            match self.clients.came(&visit, self.deps.clock.wall()).await {
                // There was a new password while this client came in with the old one.
                Ok(Some(now)) if now != generation => self.deps.floor.end_session(&user, out()),
                Ok(_) => {}
                Err(error) => tracing::warn!(%user, %error, "a client is not remembered"),
            }
            Vec::new()
        })
    }

    fn left(self: &Arc<Self>, session: SessionId, turn: &Turn<'_>) {
        let session = turn.account.session(session);
        let client = session.and_then(|session| session.client_id.clone());
        let Some(client) = client.filter(|_| !turn.account.guest) else {
            return;
        };
        let (this, account) = (self.clone(), turn.account.jid.clone());
        let now = self.deps.clock.wall();
        tokio::spawn(async move {
            if let Err(error) = this.clients.left(&account, &client, now).await {
                tracing::debug!(%account, %error, "when a client left is not remembered");
            }
        });
    }

    fn list_for(self: Arc<Self>, turn: &Turn<'_>) -> Reply {
        if turn.account.guest {
            return Reply::Error(Condition::NotAllowed.into());
        }
        let account = turn.account.jid.clone();
        Reply::Later(Box::pin(async move {
            match self.list(&account).await {
                Ok(entries) => {
                    let entries = entries.iter().map(Entry::to_element);
                    let clients = Element::new("clients", ns::CLIENT_ACCESS);
                    clients.with_children(entries).into()
                }
                Err(error) => {
                    tracing::error!(%account, %error, "clients cannot be read; run `waxwing check`");
                    Reply::Error(Condition::InternalServerError.into())
                }
            }
        }))
    }

    fn revoke_for(self: Arc<Self>, reference: Option<&str>, turn: &Turn<'_>) -> Reply {
        if turn.account.guest {
            return Reply::Error(Condition::NotAllowed.into());
        }
        let Some(reference) = reference.map(str::to_owned) else {
            return Reply::Error(Condition::BadRequest.into());
        };
        let account = turn.account.jid.clone();
        Reply::Later(Box::pin(async move {
            match self.revoke(&account, &reference).await {
                Ok(()) => Reply::done(),
                Err(error) => Reply::Error(refusal(&account, &error)),
            }
        }))
    }

    /// Shuts a client out.
    ///
    /// # Errors
    /// [`RevokeError::KnowsPassword`] when that is only until it comes with the password.
    async fn revoke(&self, account: &Jid, reference: &str) -> Result<(), RevokeError> {
        let entries = self.list(account).await?;
        let mut entries = entries.into_iter();
        let entry = entries.find(|entry| entry.reference == reference);
        let entry = entry.ok_or(RevokeError::Unknown)?;
        let (by_password, clients) = (entry.password, self.clients.clone());
        let (done, seen) = oneshot::channel();
        let act = move |turn: &mut Turn<'_>| {
            if let Some(client) = &entry.client {
                let uid = turn.account.uid;
                tokens::forget(turn.batch(), uid, client);
                if !by_password {
                    clients.forget(turn.batch(), uid, client);
                }
                let account = turn.account.jid.clone();
                turn.event(Event::ClientRevoked(account, client.as_str().into()));
            }
            // Whoever came in before the tokens were gone is there by now.
            turn.after_commit(move |turn| {
                end_sessions(&entry, turn);
                let _ = done.send(());
            });
        };
        self.deps.floor.in_turn(account, Box::new(act));
        seen.await.map_err(|_| RevokeError::NotStored)?;
        match by_password {
            true => Err(RevokeError::KnowsPassword),
            false => Ok(()),
        }
    }

    fn sweep(self: Arc<Self>) {
        let keep = u64::try_from(self.config.keep.0.as_millis()).unwrap_or(u64::MAX);
        let since = self.deps.clock.wall().saturating_sub(keep);
        tokio::spawn(async move {
            if let Err(error) = self.clients.sweep(since, PAGE).await {
                tracing::warn!(%error, "clients that are long gone are still remembered");
            }
        });
    }
}

fn end_sessions(entry: &Entry, turn: &Turn<'_>) {
    for session in &turn.account.sessions {
        let meant = match &entry.client {
            Some(client) => session.client_id.as_deref() == Some(client),
            None => entry.sessions.contains(&session.jid),
        };
        if meant {
            turn.floor.end_session(&session.jid, out());
        }
    }
}

fn out() -> StreamError {
    StreamError::new(StreamCondition::NotAuthorized)
        .with_text("this client was shut out of the account")
}

/// §3.2.
fn refusal(account: &Jid, error: &RevokeError) -> StanzaError {
    let text = error.to_string();
    match error {
        RevokeError::Unknown => StanzaError::from(Condition::ItemNotFound),
        RevokeError::KnowsPassword => {
            let required = Element::new("password-reset-required", ns::CLIENT_ACCESS);
            let refusal = StanzaError::from(Condition::ServiceUnavailable);
            refusal.with_app(required).with_text(text)
        }
        RevokeError::NotStored => StanzaError::from(Condition::ResourceConstraint).with_text(text),
        RevokeError::Store(_) => {
            tracing::error!(%account, %error, "clients cannot be read; run `waxwing check`");
            Condition::InternalServerError.into()
        }
    }
}
