//! The commands about accounts.

use super::acts::{AccountInfo, Act, ActError, Acts};
use super::command::{Args, Argument, Command, Kind, Permission};
use super::report::Report;
use crate::proto::jid::Jid;

const ACCOUNT: Argument = Argument {
    name: "account",
    doc: "Its address, such as romeo@example.org.",
    kind: Kind::Account,
    required: true,
};
const PASSWORD: Argument = Argument {
    name: "password",
    doc: "The password.",
    kind: Kind::Password,
    required: true,
};
const REASON: Argument = Argument {
    name: "reason",
    doc: "Shown to whom it concerns.",
    kind: Kind::Text,
    required: false,
};

/// In the order in which they are listed.
pub const COMMANDS: &[Command] = &[
    Command {
        name: "user add",
        doc: "Make an account.",
        arguments: &[ACCOUNT, PASSWORD],
        permission: Permission::Host,
        confirm: None,
        handler: add,
    },
    Command {
        name: "user list",
        doc: "List the accounts of a domain, or all.",
        arguments: &[Argument {
            name: "host",
            doc: "The domain.",
            kind: Kind::Host,
            required: false,
        }],
        permission: Permission::Host,
        confirm: None,
        handler: list,
    },
    Command {
        name: "user show",
        doc: "Show an account and its sessions.",
        arguments: &[ACCOUNT],
        permission: Permission::Host,
        confirm: None,
        handler: show,
    },
    Command {
        name: "user passwd",
        doc: "Set a new password and end the account's sessions.",
        arguments: &[ACCOUNT, PASSWORD],
        permission: Permission::Host,
        confirm: None,
        handler: passwd,
    },
    Command {
        name: "user disable",
        doc: "Keep an account from logging in, end its sessions, keep its data.",
        arguments: &[ACCOUNT, REASON],
        permission: Permission::Host,
        confirm: None,
        handler: disable,
    },
    Command {
        name: "user enable",
        doc: "Let a disabled account log in again.",
        arguments: &[ACCOUNT],
        permission: Permission::Host,
        confirm: None,
        handler: enable,
    },
    Command {
        name: "user kick",
        doc: "End the sessions of an account; it may log in again.",
        arguments: &[ACCOUNT, REASON],
        permission: Permission::Host,
        confirm: None,
        handler: kick,
    },
    Command {
        name: "user delete",
        doc: "Remove an account with everything it owns.",
        arguments: &[ACCOUNT],
        permission: Permission::Host,
        confirm: Some(
            "This removes the account with its contacts and messages and cannot be taken back.",
        ),
        handler: delete,
    },
];

fn add<'a>(args: &'a Args, acts: &'a dyn Acts, report: &'a Report) -> Act<'a, ()> {
    Box::pin(async move {
        let account = args.account("account")?;
        acts.accounts()
            .create(account, args.password("password")?)
            .await?;
        report.say(format!("{account} can log in now.")).await
    })
}

/// Accounts read at once: the answer needs no more memory for a hundred thousand than for a few.
const PAGE: usize = 500;

fn list<'a>(args: &'a Args, acts: &'a dyn Acts, report: &'a Report) -> Act<'a, ()> {
    Box::pin(async move {
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

fn show<'a>(args: &'a Args, acts: &'a dyn Acts, report: &'a Report) -> Act<'a, ()> {
    Box::pin(async move {
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

fn passwd<'a>(args: &'a Args, acts: &'a dyn Acts, report: &'a Report) -> Act<'a, ()> {
    Box::pin(async move {
        let account = args.account("account")?;
        acts.accounts()
            .set_password(account, args.password("password")?)
            .await?;
        report.say(format!("{account} has a new password.")).await
    })
}

fn disable<'a>(args: &'a Args, acts: &'a dyn Acts, report: &'a Report) -> Act<'a, ()> {
    Box::pin(async move {
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

fn enable<'a>(args: &'a Args, acts: &'a dyn Acts, report: &'a Report) -> Act<'a, ()> {
    Box::pin(async move {
        let account = args.account("account")?;
        acts.accounts().enable(account).await?;
        report.say(format!("{account} can log in again.")).await
    })
}

fn kick<'a>(args: &'a Args, acts: &'a dyn Acts, report: &'a Report) -> Act<'a, ()> {
    Box::pin(async move {
        let account = args.account("account")?;
        let reason = args.text("reason").unwrap_or("ended by an administrator");
        let ended = acts.accounts().end_sessions(account, reason).await?;
        report
            .say(format!("Sessions of {account} ended: {ended}."))
            .await
    })
}

fn delete<'a>(args: &'a Args, acts: &'a dyn Acts, report: &'a Report) -> Act<'a, ()> {
    Box::pin(async move {
        let account = args.account("account")?;
        acts.accounts().delete(account).await?;
        report.say(format!("{account} is removed.")).await
    })
}

/// Date and time for people and machines (XEP-0082).
fn date(ms: u64) -> String {
    crate::proto::datetime::format(ms)
}
