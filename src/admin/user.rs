//! The commands about accounts (XEP-0133 §4.1 to §4.10). Passwords cannot be shown (§4.6): only their SCRAM keys are kept.

use serde::Deserialize;

use super::acts::Acts;
use super::command::{Builtin, admin};
use crate::hooks::Uid;
use crate::hooks::command::{Act, ActError, Argument, Call, Command, Kind, Permission, Report};
use crate::proto::datetime;
use crate::proto::jid::Jid;
use crate::state::accounts::{account_key, read};
use crate::state::roster::Roster;
use crate::store::{Key, Space};

const ADDRESS: &str = "Its address, such as romeo@example.org.";
const ACCOUNT: Argument = Argument::needed("account", Kind::Account, ADDRESS).field("accountjid");
const ACCOUNTS: Argument = Argument::needed(
    "accounts",
    Kind::Accounts,
    "Their addresses, such as romeo@example.org.",
)
.field("accountjids");
const SESSIONS: Argument = Argument::needed(
    "accounts",
    Kind::Sessions,
    "Addresses: of an account for all of its sessions, of a session for one.",
)
.field("accountjids");
const PASSWORD: Argument = Argument::needed("password", Kind::Password, "The password.");
const AGAIN: Argument = Argument::optional(
    "password-verify",
    Kind::Again("password"),
    "The password once more.",
);
const REASON: Argument = Argument::optional("reason", Kind::Text, "Shown to whom it concerns.");

/// In the order in which they are listed.
pub const COMMANDS: &[Builtin] = &[
    Builtin::new(
        Command {
            name: "user add",
            doc: "Make an account.",
            adhoc: Some(admin("http://jabber.org/protocol/admin#add-user", &[])),
            arguments: &[ACCOUNT, PASSWORD, AGAIN],
            permission: Permission::Host,
            confirm: None,
            audited: true,
        },
        add,
    ),
    Builtin::new(
        Command {
            name: "user show",
            doc: "Show an account and its sessions.",
            adhoc: None,
            arguments: &[ACCOUNT],
            permission: Permission::Host,
            confirm: None,
            audited: false,
        },
        show,
    ),
    Builtin::new(
        Command {
            name: "user passwd",
            doc: "Set a new password and end the account's sessions.",
            adhoc: Some(admin(
                "http://jabber.org/protocol/admin#change-user-password",
                &[],
            )),
            arguments: &[ACCOUNT, PASSWORD],
            permission: Permission::Host,
            confirm: None,
            audited: true,
        },
        passwd,
    ),
    Builtin::new(
        Command {
            name: "user disable",
            doc: "Keep accounts from logging in, end their sessions, keep their data.",
            adhoc: Some(admin("http://jabber.org/protocol/admin#disable-user", &[])),
            arguments: &[ACCOUNTS, REASON],
            permission: Permission::Host,
            confirm: None,
            audited: true,
        },
        disable,
    ),
    Builtin::new(
        Command {
            name: "user enable",
            doc: "Let disabled accounts log in again.",
            adhoc: Some(admin("http://jabber.org/protocol/admin#reenable-user", &[])),
            arguments: &[ACCOUNTS],
            permission: Permission::Host,
            confirm: None,
            audited: true,
        },
        enable,
    ),
    Builtin::new(
        Command {
            name: "user kick",
            doc: "End the sessions of accounts, or single ones; they may log in again.",
            adhoc: Some(admin(
                "http://jabber.org/protocol/admin#end-user-session",
                &[],
            )),
            arguments: &[SESSIONS, REASON],
            permission: Permission::Host,
            confirm: None,
            audited: true,
        },
        kick,
    ),
    Builtin::new(
        Command {
            name: "user delete",
            doc: "Remove accounts with everything they own.",
            adhoc: Some(admin("http://jabber.org/protocol/admin#delete-user", &[])),
            arguments: &[ACCOUNTS],
            permission: Permission::Host,
            confirm: Some(
                "This removes the account with its contacts and messages and cannot be taken back.",
            ),
            audited: true,
        },
        delete,
    ),
    Builtin::new(
        Command {
            name: "user sessions",
            doc: "List the sessions of accounts.",
            adhoc: None,
            arguments: &[ACCOUNTS],
            permission: Permission::Host,
            confirm: None,
            audited: false,
        },
        sessions,
    ),
    Builtin::new(
        Command {
            name: "user roster",
            doc: "List the contacts of accounts.",
            adhoc: Some(admin(
                "http://jabber.org/protocol/admin#get-user-roster",
                &[],
            )),
            arguments: &[ACCOUNTS],
            permission: Permission::Host,
            confirm: None,
            audited: true,
        },
        roster,
    ),
    Builtin::new(
        Command {
            name: "user last",
            doc: "Show when accounts were last there.",
            adhoc: Some(admin(
                "http://jabber.org/protocol/admin#get-user-lastlogin",
                &[("last", "lastlogin")],
            )),
            arguments: &[ACCOUNTS],
            permission: Permission::Host,
            confirm: None,
            audited: false,
        },
        last,
    ),
    Builtin::new(
        Command {
            name: "user stats",
            doc: "Show numbers about an account.",
            adhoc: Some(admin(
                "http://jabber.org/protocol/admin#user-stats",
                &[
                    ("contacts", "rostersize"),
                    ("session", "onlineresources"),
                    ("from", "ipaddresses"),
                ],
            )),
            arguments: &[ACCOUNT],
            permission: Permission::Host,
            confirm: None,
            audited: false,
        },
        stats,
    ),
];

fn add<'a>(call: &'a Call, acts: &'a dyn Acts) -> Act<'a, ()> {
    Box::pin(async move {
        let account = call.args.account("account")?;
        let password = call.args.password("password")?;
        acts.accounts().create(account, password).await?;
        call.report.say(format!("{account} can log in now.")).await
    })
}

fn show<'a>(call: &'a Call, acts: &'a dyn Acts) -> Act<'a, ()> {
    Box::pin(async move {
        let (account, report) = (call.args.account("account")?, &call.report);
        let info = acts.accounts().show(account).await?;
        let info = info.ok_or_else(|| ActError::NoSuchAccount(account.clone()))?;
        let sessions = acts.accounts().sessions(account).await?;
        report.fact("account", info.account.to_string()).await?;
        report
            .fact("created", datetime::format(info.created))
            .await?;
        report
            .fact("disabled", info.disabled.unwrap_or_else(|| "no".to_owned()))
            .await?;
        report.fact("sessions", sessions.len().to_string()).await?;
        list_sessions(std::slice::from_ref(account), acts, report, false).await
    })
}

fn passwd<'a>(call: &'a Call, acts: &'a dyn Acts) -> Act<'a, ()> {
    Box::pin(async move {
        let account = call.args.account("account")?;
        let password = call.args.password("password")?;
        acts.accounts().set_password(account, password).await?;
        call.report
            .say(format!("{account} has a new password."))
            .await
    })
}

fn disable<'a>(call: &'a Call, acts: &'a dyn Acts) -> Act<'a, ()> {
    Box::pin(async move {
        let reason = call.args.text("reason");
        let reason = reason.unwrap_or("disabled by an administrator");
        for account in all_known(call, acts).await? {
            acts.accounts().disable(account, reason).await?;
            call.report
                .say(format!("{account} cannot log in any more."))
                .await?;
        }
        Ok(())
    })
}

fn enable<'a>(call: &'a Call, acts: &'a dyn Acts) -> Act<'a, ()> {
    Box::pin(async move {
        for account in all_known(call, acts).await? {
            acts.accounts().enable(account).await?;
            call.report
                .say(format!("{account} can log in again."))
                .await?;
        }
        Ok(())
    })
}

fn kick<'a>(call: &'a Call, acts: &'a dyn Acts) -> Act<'a, ()> {
    Box::pin(async move {
        let reason = call.args.text("reason");
        let reason = reason.unwrap_or("ended by an administrator");
        for jid in call.args.addresses("accounts") {
            let ended = match jid.is_full() {
                true => usize::from(acts.accounts().end_session(jid, reason).await?),
                false => acts.accounts().end_sessions(jid, reason).await?,
            };
            call.report
                .say(format!("Sessions of {jid} ended: {ended}."))
                .await?;
        }
        Ok(())
    })
}

fn delete<'a>(call: &'a Call, acts: &'a dyn Acts) -> Act<'a, ()> {
    Box::pin(async move {
        for account in all_known(call, acts).await? {
            acts.accounts().delete(account).await?;
            call.report.say(format!("{account} is removed.")).await?;
        }
        Ok(())
    })
}

fn sessions<'a>(call: &'a Call, acts: &'a dyn Acts) -> Act<'a, ()> {
    Box::pin(async move {
        let accounts = call.args.addresses("accounts");
        for account in accounts {
            known(account, acts).await?;
        }
        list_sessions(accounts, acts, &call.report, true).await
    })
}

async fn list_sessions(
    accounts: &[Jid],
    acts: &dyn Acts,
    report: &Report,
    head: bool,
) -> Result<(), ActError> {
    let mut headed = false;
    for account in accounts {
        let sessions = acts.accounts().sessions(account).await?;
        if !headed && (head || !sessions.is_empty()) {
            headed = true;
            report
                .columns(&["session", "since", "from", "client"])
                .await?;
        }
        for session in sessions {
            report
                .row(vec![
                    session.jid.to_string(),
                    datetime::format(session.since),
                    session.address,
                    session.client.unwrap_or_default(),
                ])
                .await?;
        }
    }
    Ok(())
}

fn roster<'a>(call: &'a Call, acts: &'a dyn Acts) -> Act<'a, ()> {
    Box::pin(async move {
        let report = &call.report;
        report
            .columns(&["account", "contact", "name", "subscription", "groups"])
            .await?;
        for account in call.args.addresses("accounts") {
            let (_, roster) = contacts(account, acts).await?;
            for item in roster.listed() {
                let contact = item.jid.as_ref().map(Jid::to_string);
                report
                    .row(vec![
                        account.to_string(),
                        contact.unwrap_or_default(),
                        item.name.as_deref().unwrap_or_default().to_owned(),
                        item.subscription.as_str().to_owned(),
                        item.groups.join(", "),
                    ])
                    .await?;
            }
        }
        Ok(())
    })
}

fn last<'a>(call: &'a Call, acts: &'a dyn Acts) -> Act<'a, ()> {
    Box::pin(async move {
        let report = &call.report;
        report.columns(&["account", "last"]).await?;
        for account in call.args.addresses("accounts") {
            let last = last_there(account, acts).await?;
            report.row(vec![account.to_string(), last]).await?;
        }
        Ok(())
    })
}

/// What is kept of the last time somebody was there.
#[derive(Deserialize)]
struct Left {
    at: u64,
}

/// When the newest session was bound, or the last one ended.
async fn last_there(account: &Jid, acts: &dyn Acts) -> Result<String, ActError> {
    let uid = known(account, acts).await?;
    let sessions = acts.accounts().sessions(account).await?;
    if let Some(newest) = sessions.iter().map(|session| session.since).max() {
        return Ok(datetime::format(newest));
    }
    let key = Key::new().u64(uid.0);
    let left = acts
        .store()
        .reading(move |view| view.get(Space::LAST_ACTIVITY, &key));
    let left = left
        .await?
        .and_then(|value| serde_json::from_slice::<Left>(&value).ok());
    Ok(left.map_or_else(|| "never".to_owned(), |left| datetime::format(left.at)))
}

fn stats<'a>(call: &'a Call, acts: &'a dyn Acts) -> Act<'a, ()> {
    Box::pin(async move {
        let (account, report) = (call.args.account("account")?, &call.report);
        let (_, roster) = contacts(account, acts).await?;
        report.fact("account", account.as_str()).await?;
        let listed = roster.listed().count();
        report.fact("contacts", listed.to_string()).await?;
        report
            .fact("last", last_there(account, acts).await?)
            .await?;
        for session in acts.accounts().sessions(account).await? {
            let resource = session.jid.resource().unwrap_or_default();
            report.fact("session", resource).await?;
            report.fact("from", session.address).await?;
        }
        Ok(())
    })
}

/// All that are named, if there are all of them: a list with a mistake in it is not half done.
async fn all_known<'c>(call: &'c Call, acts: &dyn Acts) -> Result<&'c [Jid], ActError> {
    let accounts = call.args.addresses("accounts");
    for account in accounts {
        let found = acts.accounts().show(account).await?;
        found.ok_or_else(|| ActError::NoSuchAccount(account.clone()))?;
    }
    Ok(accounts)
}

async fn known(account: &Jid, acts: &dyn Acts) -> Result<Uid, ActError> {
    let key = account_key(account);
    let record = acts.store().reading(move |view| read(view, &key)).await?;
    let record = record.ok_or_else(|| ActError::NoSuchAccount(account.clone()))?;
    Ok(Uid(record.uid))
}

async fn contacts(account: &Jid, acts: &dyn Acts) -> Result<(Uid, Roster), ActError> {
    let uid = known(account, acts).await?;
    let roster = acts
        .store()
        .reading(move |view| Roster::load(view, uid))
        .await?;
    Ok((uid, roster))
}
