//! Other servers: the streams with them, and why there are none.

use super::acts::Acts;
use super::command::Builtin;
use super::operations::running;
use crate::hooks::command::{Act, ActError, Argument, Call, Command, Kind, Permission};
use crate::proto::jid::Jid;

/// In the order in which they are listed.
pub const COMMANDS: &[Builtin] = &[
    Builtin::new(
        Command {
            name: "s2s list",
            doc: "Show the streams with other servers, and what waits for those that are away.",
            adhoc: None,
            arguments: &[],
            permission: Permission::Server,
            confirm: None,
            audited: false,
        },
        list,
    ),
    Builtin::new(
        Command {
            name: "s2s test",
            doc: "Find, call and leave another server, and say step by step what was seen.",
            adhoc: None,
            arguments: &[Argument::needed("domain", Kind::Text, "The other domain.")],
            permission: Permission::Server,
            confirm: None,
            audited: false,
        },
        test,
    ),
    Builtin::new(
        Command {
            name: "s2s close",
            doc: "End the streams with another server; they are opened again when they are needed.",
            adhoc: None,
            arguments: &[Argument::needed("domain", Kind::Text, "The other domain.")],
            permission: Permission::Server,
            confirm: None,
            audited: true,
        },
        close,
    ),
];

/// A stream with another server, or what waits for one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// Our domain.
    pub local: String,
    /// Theirs.
    pub remote: String,
    /// In words.
    pub state: String,
    /// Stanzas that are kept.
    pub kept: u64,
}

fn domain(call: &Call) -> Result<Jid, ActError> {
    let text = call.args.text("domain").unwrap_or_default();
    let domain = Jid::parse(text).ok();
    domain
        .filter(|jid| jid.as_str() == jid.domain())
        .ok_or_else(|| ActError::Bad(format!("\"{text}\" is not a domain")))
}

fn list<'a>(call: &'a Call, acts: &'a dyn Acts) -> Act<'a, ()> {
    Box::pin(async move {
        let report = &call.report;
        let links = running(acts)?.links().await?;
        report
            .columns(&["ours", "theirs", "state", "waiting"])
            .await?;
        for link in links {
            let kept = link.kept.to_string();
            report
                .row(vec![link.local, link.remote, link.state, kept])
                .await?;
        }
        Ok(())
    })
}

fn test<'a>(call: &'a Call, acts: &'a dyn Acts) -> Act<'a, ()> {
    Box::pin(async move {
        for line in running(acts)?.test_link(domain(call)?).await? {
            call.report.say(line).await?;
        }
        Ok(())
    })
}

fn close<'a>(call: &'a Call, acts: &'a dyn Acts) -> Act<'a, ()> {
    Box::pin(async move {
        let ended = running(acts)?.close_links(domain(call)?).await?;
        call.report.say(format!("streams ended: {ended}")).await
    })
}
