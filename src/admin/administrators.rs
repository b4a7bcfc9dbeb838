//! Who administers a domain (XEP-0133 §4.29), beside those whom the configuration names.

use super::acts::Acts;
use super::command::{Builtin, admin};
use crate::hooks::command::{
    Act, ActError, Argument, Call, Command, Given, Kind, Permission, Values,
};
use crate::proto::jid::Jid;
use crate::state::admins::SetError;

/// In the order in which they are listed.
pub const COMMANDS: &[Builtin] = &[Builtin {
    command: Command {
        name: "admin edit",
        doc: "Show or change who administers a domain.",
        adhoc: Some(admin(
            "http://jabber.org/protocol/admin#edit-admin",
            &[("administrator", "adminjids")],
        )),
        arguments: &[
            Argument::optional("admins", Kind::Addresses, "All administrators.").field("adminjids"),
            Argument::optional("add", Kind::Addresses, "Add these.").line_only(),
            Argument::optional("remove", Kind::Addresses, "Remove these.").line_only(),
            Argument::needed("host", Kind::Host, "The domain."),
        ],
        permission: Permission::Host,
        confirm: None,
        audited: true,
    },
    handler: edit,
    fill: Some(fill),
}];

fn fill<'a>(host: &'a Jid, acts: &'a dyn Acts) -> Act<'a, Given> {
    Box::pin(async move {
        let (admins, host) = (acts.admins(), host.domain());
        let added = admins.added(host).await?;
        let all = admins.fixed(host).chain(&added).map(Jid::to_string);
        Ok(Given::from([("admins".to_owned(), Values(all.collect()))]))
    })
}

fn edit<'a>(call: &'a Call, acts: &'a dyn Acts) -> Act<'a, ()> {
    Box::pin(async move {
        let (args, report, admins) = (&call.args, &call.report, acts.admins());
        let host = args.text("host").unwrap_or_default();
        if !acts.accounts().hosts().iter().any(|known| known == host) {
            return Err(ActError::NoSuchHost {
                host: host.to_owned(),
                known: acts.accounts().hosts(),
            });
        }
        let mut added = admins.added(host).await?;
        let changes = ["admins", "add", "remove"];
        if changes.iter().any(|name| args.is_given(name)) {
            if args.is_given("admins") {
                added = args.addresses("admins").to_vec();
            }
            added.extend(args.addresses("add").iter().cloned());
            added.retain(|jid| !args.addresses("remove").contains(jid));
            added.sort_unstable();
            added.dedup();
            admins.set_added(host, &added).await?;
            added = admins.added(host).await?;
        }
        report.columns(&["administrator", "named by"]).await?;
        for jid in admins.fixed(host) {
            report
                .row(vec![jid.to_string(), "the configuration".to_owned()])
                .await?;
        }
        for jid in &added {
            let row = vec![jid.to_string(), "an administrator".to_owned()];
            report.row(row).await?;
        }
        let stays = |jid: &&Jid| match args.is_given("admins") {
            true => !args.addresses("admins").contains(jid),
            false => args.addresses("remove").contains(jid),
        };
        for jid in admins.fixed(host).filter(stays) {
            let text = format!("{jid} is named by the configuration, and only goes there.");
            report.say(text).await?;
        }
        Ok(())
    })
}

impl From<SetError> for ActError {
    fn from(error: SetError) -> Self {
        match error {
            SetError::Unknown(jid) => ActError::NoSuchAccount(jid),
            SetError::Read(error) => error.into(),
            SetError::Write(error) => error.into(),
        }
    }
}
