//! XEP-0401: Ad-hoc Account Invitation Generation (0.6.0), XEP-0379: Pre-Authenticated Roster Subscription (0.3.3), XEP-0445:
//! Pre-Authenticated In-Band Registration (0.2.0)
//!
//! An invitation is a token. With it somebody makes an account although the server makes none for others, becomes the contact
//! of who invited, or sets a new password; once, and until it ends. It may be used from a client (`register`), by a
//! request for presence (`contact`) or on a page for browsers (`page`).

mod commands;
mod contact;
mod page;
mod qr;
mod register;
mod words;

use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;

use crate::config::Period;
use crate::hooks::command::Command;
use crate::hooks::{Deps, Info, Module, ModuleError, Registrar, Turn};
use crate::metrics::Counter;
use crate::proto::jid::Jid;
use crate::state::invites::{self, Desk, Invite, InviteError};
use crate::state::newcomers::Newcomers;
use crate::state::token_id::Id;
use crate::store::Batch;
use crate::{choice, settings};

settings! {
    /// People and administrators invite others with a link, which is a page of its own where web clients reach the host.
    pub struct Config {
        /// Who may invite somebody to become a contact: "local" accounts of the host, or its "admins" alone.
        pub contacts: Inviters = Inviters::Local;
        /// Whose invitations to become a contact let who has no account make one here: those of "admins", or of all "local"
        /// accounts.
        pub accounts: Inviters = Inviters::Admins;
        /// How long an invitation is good, where nothing else is said.
        pub expires: Period = Period::days(7) => within(Period::minutes(5)..=Period::days(365));
        /// How long a link for a new password is good.
        pub reset: Period = Period::days(1) => within(Period::minutes(5)..=Period::days(30));
        /// Open invitations of one account.
        pub each: u32 = 30 => within(1..=10_000);
        /// Open invitations of the host.
        pub total: u32 = 10_000 => within(1..=1_000_000);
    }
}

choice! {
    /// Who may invite.
    pub enum Inviters {
        /// Accounts of the host.
        Local = "local",
        /// Administrators of the host.
        Admins = "admins",
    }
}

/// How often invitations that are over are looked for, and how many go at once.
const EXPIRE: Duration = Duration::from_secs(300);
const EXPIRED: usize = 1_000;

/// Takes invitations and makes them.
pub struct Invitations {
    shared: Arc<Shared>,
}

struct Shared {
    config: Config,
    host: Jid,
    /// Where web clients reach the host.
    url: Option<String>,
    deps: Deps,
    desk: Desk,
    newcomers: Newcomers,
    visits: register::Visits,
    runtime: Handle,
    made: Counter,
    used: Counter,
    each: Counter,
    total: Counter,
}

impl Module for Invitations {
    const INFO: Info = Info {
        name: "invite",
        specs: &[
            ("XEP-0379", "0.3.3"),
            ("XEP-0401", "0.6.0"),
            ("XEP-0445", "0.2.0"),
        ],
        doc: "Invitations by link: to an account, to a contact, to a new password.",
        on_by_default: true,
    };
    type Config = Config;
    const COMMANDS: &'static [Command] = &commands::DECLARED;

    fn build(config: Config, deps: &Deps) -> Result<Self, ModuleError> {
        let wrong = |reason: String| ModuleError {
            module: Self::INFO.name,
            reason,
        };
        let runtime = Handle::try_current().map_err(|error| wrong(error.to_string()))?;
        let made = |outcome| {
            deps.metrics.counter(
                "waxwing_invitations_total",
                "Invitations, made and used.",
                &[("what", outcome)],
            )
        };
        let desk: Result<_, std::convert::Infallible> = deps.shared.of(&deps.host, || {
            Ok(Desk::new(deps.store.clone(), deps.host.domain()))
        });
        let desk = match desk {
            Ok(desk) => Desk::clone(&desk),
            Err(never) => match never {},
        };
        let shared = Shared {
            config,
            host: deps.host.clone(),
            url: deps.url.clone(),
            desk,
            newcomers: Newcomers::new(deps),
            visits: register::Visits::default(),
            runtime,
            made: made("made"),
            used: made("used"),
            each: deps.metrics.limit("modules.invite.each"),
            total: deps.metrics.limit("modules.invite.total"),
            deps: deps.clone(),
        };
        Ok(Invitations {
            shared: Arc::new(shared),
        })
    }

    fn register(self: Arc<Self>, r: &mut Registrar<'_>) {
        commands::offer(&self.shared, r);
        if !self.shared.deps.accounts.has_accounts(r.host().domain()) {
            return;
        }
        register::begin(&self.shared, r);
        contact::begin(&self.shared, r);
        page::begin(&self.shared, r);
        self.shared.clone().look_after();
        let shared = self.shared.clone();
        r.every(EXPIRE, move || shared.clone().look_after());
    }
}

impl Shared {
    fn look_after(self: Arc<Self>) {
        self.runtime.clone().spawn(async move {
            let now = self.deps.clock.wall();
            let done = match self.desk.expire(now, EXPIRED).await {
                Ok(()) => self.desk.look(now).await.map_err(InviteError::from),
                Err(error) => Err(error),
            };
            if let Err(error) = done {
                tracing::warn!(host = %self.host, %error, "invitations that are over are still there");
            }
        });
    }

    /// Uses an invitation up for an account that came by it, and makes it and who invited contacts of each other.
    async fn welcome(
        self: &Arc<Self>,
        id: Id,
        invite: &Invite,
        came: &Jid,
    ) -> Result<(), InviteError> {
        self.used.count();
        if let Some(inviter) = invite.from() {
            let (group, most) = (invite.group.clone(), self.roster());
            let contact = inviter.clone();
            let group_here = group.clone();
            self.in_turn(came, move |turn| {
                invites::welcome(turn, &contact, group_here.as_deref(), most);
            })
            .await;
            let (this, used, contact) = (self.clone(), invite.clone(), came.clone());
            let done = self.in_turn(&inviter, move |turn| {
                let own = turn.account.jid.clone();
                this.desk.use_up(turn.batch(), id, &used);
                invites::welcome(turn, &contact, group.as_deref(), most);
                turn.send(invites::asks(&own, &contact));
                turn.send(invites::asks(&contact, &own));
            });
            if done.await {
                return Ok(());
            }
        }
        let mut batch = Batch::new();
        self.desk.use_up(&mut batch, id, invite);
        self.deps.store.commit(batch).await?;
        Ok(())
    }

    /// Does something in an account's turn; whether it was committed.
    async fn in_turn(&self, account: &Jid, f: impl FnOnce(&mut Turn<'_>) + Send + 'static) -> bool {
        let (done, seen) = tokio::sync::oneshot::channel();
        let act = move |turn: &mut Turn<'_>| {
            f(turn);
            turn.after_commit(move |_| {
                let _ = done.send(());
            });
        };
        self.deps.floor.in_turn(&account.bare(), Box::new(act));
        seen.await.is_ok()
    }

    /// Items that a roster may have.
    fn roster(&self) -> usize {
        self.deps.limits.roster_items as usize
    }
}
