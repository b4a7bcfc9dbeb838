//! Invitations are made by commands: from a client (XEP-0401 §5.1, §5.4), and on the command line with a QR code.

use std::sync::Arc;

use super::qr::terminal;
use super::{Inviters, Shared, page};
use crate::config::Period;
use crate::hooks::Registrar;
use crate::hooks::command::{
    Act, ActError, AdHoc, Argument, Call, Command, Kind as Is, Offered, Permission, Rights,
};
use crate::proto::{Jid, datetime, uri};
use crate::state::invites::{Invite, InviteError, Kind};
use crate::state::token_id::Id;

const HOST: Argument = Argument::optional("host", Is::Host, "The domain.");
const RESULT: &str = "urn:xmpp:invite#invitation";

const fn adhoc(node: &'static str, form_type: &'static str) -> Option<AdHoc> {
    Some(AdHoc {
        node,
        form_type,
        results: &[],
    })
}

pub(super) static DECLARED: [Command; 4] = [
    Command {
        name: "invite",
        doc: "Make a link with which somebody gets an account here.",
        adhoc: adhoc("urn:xmpp:invite#create-account", RESULT),
        arguments: &[
            Argument::optional(
                "username",
                Is::Text,
                "The name of the account, if it is not free to choose.",
            ),
            Argument::optional(
                "roster-subscription",
                Is::Flag,
                "Who comes becomes a contact of who invites.",
            ),
            Argument::optional("inviter", Is::Account, "Whose contact becomes who comes.")
                .line_only(),
            Argument::optional(
                "group",
                Is::Text,
                "The group of the contact list in which the two find each other.",
            ),
            Argument::optional(
                "expires",
                Is::Text,
                "How long the link is good, such as 3d or 12h.",
            ),
            Argument::optional(
                "reset",
                Is::Account,
                "A link for a new password of this account instead.",
            ),
            HOST,
        ],
        permission: Permission::Host,
        confirm: None,
        audited: true,
    },
    Command {
        name: "invite contact",
        doc: "Make a link with which somebody becomes a contact.",
        adhoc: adhoc("urn:xmpp:invite#invite", RESULT),
        arguments: &[Argument::optional(
            "account",
            Is::Account,
            "Whose contact; in a client one's own.",
        )
        .line_only()],
        permission: Permission::User,
        confirm: None,
        audited: true,
    },
    Command {
        name: "invite list",
        doc: "List the invitations that are open. Nothing here leads to one.",
        adhoc: adhoc("waxwing:invite#list", ""),
        arguments: &[HOST],
        permission: Permission::Host,
        confirm: None,
        audited: true,
    },
    Command {
        name: "invite revoke",
        doc: "Take an invitation back.",
        adhoc: adhoc("waxwing:invite#revoke", ""),
        arguments: &[
            Argument::needed(
                "invitation",
                Is::Text,
                "The invitation, as `waxwing invite list` calls it.",
            ),
            HOST,
        ],
        permission: Permission::Host,
        confirm: None,
        audited: true,
    },
];

/// Offers the commands.
pub(super) fn offer(shared: &Arc<Shared>, r: &mut Registrar<'_>) {
    let [account, contact, list, revoke] = &DECLARED;
    let this = shared.clone();
    r.command(Offered::new(account, move |call| act(&this, call, invite)));
    let this = shared.clone();
    r.command(Offered::new(contact, move |call| {
        act(&this, call, invite_contact)
    }));
    let this = shared.clone();
    r.command(Offered::new(list, move |call| act(&this, call, list_all)));
    let this = shared.clone();
    r.command(Offered::new(revoke, move |call| {
        act(&this, call, take_back)
    }));
}

fn act<F>(shared: &Arc<Shared>, call: Call, f: fn(Arc<Shared>, Call) -> F) -> Act<'static, ()>
where
    F: Future<Output = Result<(), ActError>> + Send + 'static,
{
    Box::pin(f(shared.clone(), call))
}

async fn invite(shared: Arc<Shared>, call: Call) -> Result<(), ActError> {
    let args = &call.args;
    let text = |name| {
        args.text(name)
            .map(str::to_owned)
            .filter(|text| !text.is_empty())
    };
    let caller = call.caller.jid.as_ref().map(Jid::bare);
    let inviter = match args.account("inviter").ok().cloned() {
        Some(named) => Some(named),
        None if args.flag("roster-subscription") => match caller {
            Some(own) => Some(own),
            None => return Err(ActError::Bad("say whose contact: --inviter".to_owned())),
        },
        None => None,
    };
    let reset = args.account("reset").ok();
    let named = match reset {
        Some(account) => account.node().map(str::to_owned),
        None => text("username"),
    };
    let name = match named {
        Some(name) => Some(shared.localpart(&name)?),
        None => None,
    };
    let kind = if reset.is_some() {
        Kind::Reset
    } else {
        Kind::Account
    };
    if kind == Kind::Reset && shared.url.is_none() {
        let text = "web clients do not reach this host, and the link leads to a page";
        return Err(ActError::NotAllowed(text.to_owned()));
    }
    let period = match text("expires") {
        Some(text) => period(&text)?,
        None if kind == Kind::Reset => shared.config.reset,
        None => shared.config.expires,
    };
    let invite = shared.new_invite(kind, inviter, period).await?;
    let invite = Invite {
        name,
        register: kind == Kind::Account,
        group: text("group"),
        ..invite
    };
    shared.give(&call, invite).await
}

async fn invite_contact(shared: Arc<Shared>, call: Call) -> Result<(), ActError> {
    let account = match (call.args.account("account"), &call.caller.jid) {
        (Ok(named), _) => named.clone(),
        (Err(_), Some(jid)) => jid.bare(),
        (Err(_), None) => return Err(ActError::Bad("say which account: --account".to_owned())),
    };
    let admin = call.caller.rights != Rights::None;
    let may = |who: Inviters| who == Inviters::Local || admin;
    if !may(shared.config.contacts) {
        let text = "only administrators invite others here (modules.invite.contacts)";
        return Err(ActError::NotAllowed(text.to_owned()));
    }
    let period = shared.config.expires;
    let invite = shared
        .new_invite(Kind::Contact, Some(account), period)
        .await?;
    let register = may(shared.config.accounts);
    shared.give(&call, Invite { register, ..invite }).await
}

async fn list_all(shared: Arc<Shared>, call: Call) -> Result<(), ActError> {
    let columns = ["invitation", "for", "by", "name", "account", "until"];
    call.report.columns(&columns).await?;
    let mut after = None;
    loop {
        let (page, next) = shared.desk.page(after).await?;
        for (id, invite) in page {
            let account = if invite.register { "yes" } else { "no" };
            let row = vec![
                id.to_string(),
                invite.kind.as_str().to_owned(),
                invite
                    .inviter
                    .map(|inviter| inviter.account)
                    .unwrap_or_default(),
                invite.name.unwrap_or_default(),
                account.to_owned(),
                datetime::format(invite.until),
            ];
            call.report.row(row).await?;
        }
        after = next;
        if after.is_none() {
            return Ok(());
        }
    }
}

async fn take_back(shared: Arc<Shared>, call: Call) -> Result<(), ActError> {
    let text = call.args.text("invitation").unwrap_or_default();
    let removed = match Id::parse(text) {
        Some(id) => shared
            .desk
            .remove(id)
            .await
            .map_err(|error| failed(&error))?,
        None => false,
    };
    match removed {
        true => call.report.say("It is taken back.").await,
        false => Err(ActError::Bad(format!("there is no invitation {text}"))),
    }
}

fn period(text: &str) -> Result<Period, ActError> {
    const LEAST: Period = Period::minutes(5);
    const MOST: Period = Period::days(365);
    let period = text.parse::<Period>().ok();
    period
        .filter(|period| (LEAST..=MOST).contains(period))
        .ok_or_else(|| {
            ActError::Bad(format!(
                "expires: \"{text}\" is no time from {LEAST} to {MOST}"
            ))
        })
}

impl Shared {
    fn localpart(&self, name: &str) -> Result<String, ActError> {
        let jid = Jid::new(Some(name), self.host.domain(), None);
        let node = jid.ok().and_then(|jid| jid.node().map(str::to_owned));
        node.ok_or_else(|| ActError::Bad(format!("username: \"{name}\" can be no name")))
    }

    async fn new_invite(
        &self,
        kind: Kind,
        inviter: Option<Jid>,
        period: Period,
    ) -> Result<Invite, ActError> {
        let inviter = match inviter {
            Some(account) if account.domain() != self.host.domain() => {
                return Err(ActError::NoSuchAccount(account));
            }
            Some(account) => {
                let found = self.desk.inviter(&account).await?;
                Some(found.ok_or(ActError::NoSuchAccount(account))?)
            }
            None => None,
        };
        let now = self.deps.clock.wall();
        let good = u64::try_from(period.0.as_millis()).unwrap_or(u64::MAX);
        Ok(Invite {
            host: self.host.domain().to_owned(),
            kind,
            inviter,
            name: None,
            register: false,
            group: None,
            made: now,
            until: now.saturating_add(good),
        })
    }

    /// Makes an invitation and tells of it.
    async fn give(&self, call: &Call, invite: Invite) -> Result<(), ActError> {
        let bounds = (self.config.each as usize, self.config.total as usize);
        let made = self.desk.make(invite.clone(), bounds).await;
        let token = made.map_err(|error| {
            match error {
                InviteError::TooManyOwn => self.each.count(),
                InviteError::TooMany => self.total.count(),
                _ => {}
            }
            failed(&error)
        })?;
        self.made.count();
        let report = &call.report;
        let link = self.link(&token);
        let uri = (invite.kind != Kind::Reset).then(|| self.uri(&invite, &token));
        if let Some(uri) = &uri {
            report.fact("uri", uri.as_str()).await?;
        }
        if let Some(link) = &link {
            report.fact("landing-url", link.as_str()).await?;
        }
        report
            .fact("expire", datetime::format(invite.until))
            .await?;
        // A client shows one by itself.
        let code = link.or(uri).filter(|_| call.caller.jid.is_none());
        match code.and_then(|text| terminal(&text)) {
            Some(code) => report.say(code).await,
            None => Ok(()),
        }
    }

    /// The page of an invitation.
    pub(super) fn link(&self, token: &str) -> Option<String> {
        Some(format!("{}{}/{token}", self.url.as_ref()?, page::PATH))
    }

    /// XEP-0379 §3.2, XEP-0445 §2.
    pub(super) fn uri(&self, invite: &Invite, token: &str) -> String {
        match (invite.kind, invite.from()) {
            (Kind::Contact, Some(inviter)) => {
                let register = if invite.register { ";ibr=y" } else { "" };
                format!(
                    "xmpp:{}?roster;preauth={token}{register}",
                    uri::address(&inviter)
                )
            }
            _ => {
                let account = Jid::new(invite.name.as_deref(), self.host.domain(), None);
                let account = account.unwrap_or_else(|_| self.host.clone());
                format!("xmpp:{}?register;preauth={token}", uri::address(&account))
            }
        }
    }
}

fn failed(error: &InviteError) -> ActError {
    let text = error.to_string();
    match error {
        InviteError::TooManyOwn | InviteError::TooMany => ActError::NotAllowed(text),
        InviteError::NoAccount | InviteError::Taken => ActError::Bad(text),
        InviteError::Store(_) | InviteError::Commit(_) => ActError::Failed(text),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn times() {
        assert_eq!(period("3d").unwrap(), Period::days(3));
        for bad in ["", "1s", "400d", "soon"] {
            assert!(period(bad).is_err(), "{bad}");
        }
    }
}
