//! The commands that list and count accounts (XEP-0133 §4.13 to §4.22).

use super::acts::{AccountInfo, Acts};
use super::command::{Builtin, admin};
use crate::hooks::command::{Act, ActError, Argument, Call, Command, Kind, Permission};
use crate::proto::datetime;
use crate::proto::jid::Jid;

const HOST: Argument = Argument::optional("host", Kind::Host, "The domain [default: all].");
const LIMIT: Argument = Argument::optional(
    "limit",
    Kind::Choice(&[
        ("25", "25"),
        ("50", "50"),
        ("75", "75"),
        ("100", "100"),
        ("150", "150"),
        ("200", "200"),
        ("none", "None"),
    ]),
    "Maximum number of items to show.",
)
.field("max_items");
const AFTER: Argument = Argument::optional("after", Kind::Account, "Begin after this one.");

/// In the order in which they are listed.
pub const COMMANDS: &[Builtin] = &[
    Builtin::new(
        Command {
            name: "user list",
            doc: "List all accounts.",
            adhoc: Some(admin(
                "http://jabber.org/protocol/admin#get-registered-users-list",
                &[("account", "registereduserjids")],
            )),
            arguments: &[HOST, LIMIT, AFTER],
            permission: Permission::Host,
            confirm: None,
            audited: false,
        },
        |call, acts| list(call, acts, Of::Registered),
    ),
    Builtin::new(
        Command {
            name: "user list-disabled",
            doc: "List disabled accounts.",
            adhoc: Some(admin(
                "http://jabber.org/protocol/admin#get-disabled-users-list",
                &[("account", "disableduserjids")],
            )),
            arguments: &[HOST, LIMIT, AFTER],
            permission: Permission::Host,
            confirm: None,
            audited: false,
        },
        |call, acts| list(call, acts, Of::Disabled),
    ),
    Builtin::new(
        Command {
            name: "user list-online",
            doc: "List accounts that are online.",
            adhoc: Some(admin(
                "http://jabber.org/protocol/admin#get-online-users-list",
                &[("account", "onlineuserjids")],
            )),
            arguments: &[HOST, LIMIT, AFTER],
            permission: Permission::Host,
            confirm: None,
            audited: false,
        },
        |call, acts| list(call, acts, Of::Online),
    ),
    Builtin::new(
        Command {
            name: "user list-active",
            doc: "List accounts that are online and active.",
            adhoc: Some(admin(
                "http://jabber.org/protocol/admin#get-active-users-list",
                &[("account", "activeuserjids")],
            )),
            arguments: &[HOST, LIMIT, AFTER],
            permission: Permission::Host,
            confirm: None,
            audited: false,
        },
        |call, acts| list(call, acts, Of::Active),
    ),
    Builtin::new(
        Command {
            name: "user list-idle",
            doc: "List accounts that are online and away.",
            adhoc: Some(admin(
                "http://jabber.org/protocol/admin#get-idle-users-list",
                &[("account", "idleuserjids")],
            )),
            arguments: &[HOST, LIMIT, AFTER],
            permission: Permission::Host,
            confirm: None,
            audited: false,
        },
        |call, acts| list(call, acts, Of::Idle),
    ),
    Builtin::new(
        Command {
            name: "user count",
            doc: "Count all accounts.",
            adhoc: Some(admin(
                "http://jabber.org/protocol/admin#get-registered-users-num",
                &[("accounts", "registeredusersnum")],
            )),
            arguments: &[HOST],
            permission: Permission::Host,
            confirm: None,
            audited: false,
        },
        |call, acts| count(call, acts, Of::Registered),
    ),
    Builtin::new(
        Command {
            name: "user count-disabled",
            doc: "Count disabled accounts.",
            adhoc: Some(admin(
                "http://jabber.org/protocol/admin#get-disabled-users-num",
                &[("accounts", "disabledusersnum")],
            )),
            arguments: &[HOST],
            permission: Permission::Host,
            confirm: None,
            audited: false,
        },
        |call, acts| count(call, acts, Of::Disabled),
    ),
    Builtin::new(
        Command {
            name: "user count-online",
            doc: "Count accounts that are online.",
            adhoc: Some(admin(
                "http://jabber.org/protocol/admin#get-online-users-num",
                &[("accounts", "onlineusersnum")],
            )),
            arguments: &[HOST],
            permission: Permission::Host,
            confirm: None,
            audited: false,
        },
        |call, acts| count(call, acts, Of::Online),
    ),
    Builtin::new(
        Command {
            name: "user count-active",
            doc: "Count accounts that are online and active.",
            adhoc: Some(admin(
                "http://jabber.org/protocol/admin#get-active-users-num",
                &[("accounts", "activeusersnum")],
            )),
            arguments: &[HOST],
            permission: Permission::Host,
            confirm: None,
            audited: false,
        },
        |call, acts| count(call, acts, Of::Active),
    ),
    Builtin::new(
        Command {
            name: "user count-idle",
            doc: "Count accounts that are online and away.",
            adhoc: Some(admin(
                "http://jabber.org/protocol/admin#get-idle-users-num",
                &[("accounts", "idleusersnum")],
            )),
            arguments: &[HOST],
            permission: Permission::Host,
            confirm: None,
            audited: false,
        },
        |call, acts| count(call, acts, Of::Idle),
    ),
];

/// Which accounts.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Of {
    Registered,
    Disabled,
    Online,
    Active,
    Idle,
}

/// Accounts read at once: the answer needs no more memory for a hundred thousand than for a few.
const PAGE: usize = 500;

fn list<'a>(call: &'a Call, acts: &'a dyn Acts, of: Of) -> Act<'a, ()> {
    Box::pin(async move {
        let report = &call.report;
        let limit = call.args.text("limit").and_then(|limit| limit.parse().ok());
        let mut left: usize = limit.unwrap_or(usize::MAX);
        let after = call.args.account("after").ok();
        report.columns(&["account", "created", "disabled"]).await?;
        for host in hosts(call, acts)? {
            let mut pages = Pages::new(&host, after, of);
            while let Some(page) = pages.next(acts).await? {
                for info in page {
                    if left == 0 {
                        let text = "There are more; go on after the last one shown.";
                        return report.say(text).await;
                    }
                    left -= 1;
                    report
                        .row(vec![
                            info.account.to_string(),
                            datetime::format(info.created),
                            info.disabled.unwrap_or_default(),
                        ])
                        .await?;
                }
            }
        }
        Ok(())
    })
}

fn count<'a>(call: &'a Call, acts: &'a dyn Acts, of: Of) -> Act<'a, ()> {
    Box::pin(async move {
        let mut count = 0;
        for host in hosts(call, acts)? {
            if matches!(of, Of::Online | Of::Active | Of::Idle) {
                count += there(&host, acts, of).count();
                continue;
            }
            let mut pages = Pages::new(&host, None, of);
            while let Some(page) = pages.next(acts).await? {
                count += page.len();
            }
        }
        call.report.fact("accounts", count.to_string()).await
    })
}

fn there(host: &str, acts: &dyn Acts, of: Of) -> impl Iterator<Item = Jid> {
    let online = acts.accounts().online(host).into_iter();
    let wanted = move |(account, active): (Jid, bool)| {
        let wanted = match of {
            Of::Active => active,
            Of::Idle => !active,
            _ => true,
        };
        wanted.then_some(account)
    };
    online.filter_map(wanted)
}

/// The accounts of a host, page by page.
struct Pages<'a> {
    host: &'a str,
    after: Option<Jid>,
    of: Of,
    done: bool,
}

impl<'a> Pages<'a> {
    fn new(host: &'a str, after: Option<&Jid>, of: Of) -> Self {
        let after = after.filter(|after| after.domain() == host).cloned();
        let done = false;
        Pages {
            host,
            after,
            of,
            done,
        }
    }

    async fn next(&mut self, acts: &dyn Acts) -> Result<Option<Vec<AccountInfo>>, ActError> {
        if self.done {
            return Ok(None);
        }
        if matches!(self.of, Of::Online | Of::Active | Of::Idle) {
            self.done = true;
            let mut found = Vec::new();
            for account in there(self.host, acts, self.of) {
                if self.after.as_ref().is_none_or(|after| account > *after) {
                    found.extend(acts.accounts().show(&account).await?);
                }
            }
            return Ok(Some(found));
        }
        let accounts = acts.accounts();
        let mut page = accounts.list(self.host, self.after.as_ref(), PAGE).await?;
        self.done = page.len() < PAGE;
        self.after = page.last().map(|info| info.account.clone());
        if self.of == Of::Disabled {
            page.retain(|info| info.disabled.is_some());
        }
        Ok(Some(page))
    }
}

/// The host that was named, or all.
fn hosts(call: &Call, acts: &dyn Acts) -> Result<Vec<String>, ActError> {
    let known = acts.accounts().hosts();
    match call.args.text("host") {
        Some(host) if known.iter().any(|known| known == host) => Ok(vec![host.to_owned()]),
        Some(host) => Err(ActError::NoSuchHost {
            host: host.to_owned(),
            known,
        }),
        None => Ok(known),
    }
}
