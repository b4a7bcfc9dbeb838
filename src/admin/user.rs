//! The commands about accounts.

use super::acts::{AccountInfo, Acts};
use super::command::Builtin;
use crate::hooks::command::{Act, ActError, Argument, Call, Command, Kind, Permission};
use crate::proto::jid::Jid;

const ACCOUNT: Argument = Argument::needed(
    "account",
    Kind::Account,
    "Its address, such as romeo@example.org.",
);
const PASSWORD: Argument = Argument::needed("password", Kind::Password, "The password.");
const REASON: Argument = Argument::optional("reason", Kind::Text, "Shown to whom it concerns.");

/// In the order in which they are listed.
pub const COMMANDS: &[Builtin] = &[
    Builtin::new(
        Command {
            name: "user add",
            doc: "Make an account.",
            adhoc: None,
            arguments: &[ACCOUNT, PASSWORD],
            permission: Permission::Host,
            confirm: None,
            audited: true,
        },
        add,
    ),
    Builtin::new(
        Command {
            name: "user list",
            doc: "List the accounts of a domain, or all.",
            adhoc: None,
            arguments: &[Argument::optional("host", Kind::Host, "The domain.")],
            permission: Permission::Host,
            confirm: None,
            audited: false,
        },
        list,
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
            adhoc: None,
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
            doc: "Keep an account from logging in, end its sessions, keep its data.",
            adhoc: None,
            arguments: &[ACCOUNT, REASON],
            permission: Permission::Host,
            confirm: None,
            audited: true,
        },
        disable,
    ),
    Builtin::new(
        Command {
            name: "user enable",
            doc: "Let a disabled account log in again.",
            adhoc: None,
            arguments: &[ACCOUNT],
            permission: Permission::Host,
            confirm: None,
            audited: true,
        },
        enable,
    ),
    Builtin::new(
        Command {
            name: "user kick",
            doc: "End the sessions of an account; it may log in again.",
            adhoc: None,
            arguments: &[ACCOUNT, REASON],
            permission: Permission::Host,
            confirm: None,
            audited: true,
        },
        kick,
    ),
    Builtin::new(
        Command {
            name: "user delete",
            doc: "Remove an account with everything it owns.",
            adhoc: None,
            arguments: &[ACCOUNT],
            permission: Permission::Host,
            confirm: Some(
                "This removes the account with its contacts and messages and cannot be taken back.",
            ),
            audited: true,
        },
        delete,
    ),
];

fn add<'a>(call: &'a Call, acts: &'a dyn Acts) -> Act<'a, ()> {
    Box::pin(async move {
        let (args, report) = (&call.args, &call.report);
        let account = args.account("account")?;
        acts.accounts()
            .create(account, args.password("password")?)
            .await?;
        report.say(format!("{account} can log in now.")).await
    })
}

/// Accounts read at once: the answer needs no more memory for a hundred thousand than for a few.
const PAGE: usize = 500;

fn list<'a>(call: &'a Call, acts: &'a dyn Acts) -> Act<'a, ()> {
    Box::pin(async move {
        let (args, report) = (&call.args, &call.report);
        report.columns(&["account", "created", "disabled"]).await?;
        let known = acts.accounts().hosts();
        let hosts = match args.text("host") {
            Some(host) if known.iter().any(|known| known == host) => vec![host.to_owned()],
            Some(host) => {
                return Err(ActError::NoSuchHost {
                    host: host.to_owned(),
                    known,
                });
            }
            None => known,
        };
        for host in &hosts {
            let mut after: Option<Jid> = None;
            loop {
                let page = acts.accounts().list(host, after.as_ref(), PAGE).await?;
                after = page.last().map(|info| info.account.clone());
                let last = page.len() < PAGE;
                for info in page {
                    let AccountInfo {
                        account,
                        created,
                        disabled,
                    } = info;
                    report
                        .row(vec![
                            account.to_string(),
                            date(created),
                            disabled.unwrap_or_default(),
                        ])
                        .await?;
                }
                if last {
                    break;
                }
            }
        }
        Ok(())
    })
}

fn show<'a>(call: &'a Call, acts: &'a dyn Acts) -> Act<'a, ()> {
    Box::pin(async move {
        let (args, report) = (&call.args, &call.report);
        let account = args.account("account")?;
        let info = acts.accounts().show(account).await?;
        let info = info.ok_or_else(|| ActError::NoSuchAccount(account.clone()))?;
        let sessions = acts.accounts().sessions(account).await?;
        report.fact("account", info.account.to_string()).await?;
        report.fact("created", date(info.created)).await?;
        report
            .fact("disabled", info.disabled.unwrap_or_else(|| "no".to_owned()))
            .await?;
        report.fact("sessions", sessions.len().to_string()).await?;
        if sessions.is_empty() {
            return Ok(());
        }
        report
            .columns(&["session", "since", "from", "client"])
            .await?;
        for session in sessions {
            let client = session.client.unwrap_or_default();
            report
                .row(vec![
                    session.jid.to_string(),
                    date(session.since),
                    session.address,
                    client,
                ])
                .await?;
        }
        Ok(())
    })
}

fn passwd<'a>(call: &'a Call, acts: &'a dyn Acts) -> Act<'a, ()> {
    Box::pin(async move {
        let (args, report) = (&call.args, &call.report);
        let account = args.account("account")?;
        acts.accounts()
            .set_password(account, args.password("password")?)
            .await?;
        report.say(format!("{account} has a new password.")).await
    })
}

fn disable<'a>(call: &'a Call, acts: &'a dyn Acts) -> Act<'a, ()> {
    Box::pin(async move {
        let (args, report) = (&call.args, &call.report);
        let account = args.account("account")?;
        let reason = args
            .text("reason")
            .unwrap_or("disabled by an administrator");
        acts.accounts().disable(account, reason).await?;
        report
            .say(format!("{account} cannot log in any more."))
            .await
    })
}

fn enable<'a>(call: &'a Call, acts: &'a dyn Acts) -> Act<'a, ()> {
    Box::pin(async move {
        let (args, report) = (&call.args, &call.report);
        let account = args.account("account")?;
        acts.accounts().enable(account).await?;
        report.say(format!("{account} can log in again.")).await
    })
}

fn kick<'a>(call: &'a Call, acts: &'a dyn Acts) -> Act<'a, ()> {
    Box::pin(async move {
        let (args, report) = (&call.args, &call.report);
        let account = args.account("account")?;
        let reason = args.text("reason").unwrap_or("ended by an administrator");
        let ended = acts.accounts().end_sessions(account, reason).await?;
        report
            .say(format!("Sessions of {account} ended: {ended}."))
            .await
    })
}

fn delete<'a>(call: &'a Call, acts: &'a dyn Acts) -> Act<'a, ()> {
    Box::pin(async move {
        let (args, report) = (&call.args, &call.report);
        let account = args.account("account")?;
        acts.accounts().delete(account).await?;
        report.say(format!("{account} is removed.")).await
    })
}

/// Date and time for people and machines (XEP-0082).
fn date(ms: u64) -> String {
    crate::proto::datetime::format(ms)
}
