//! Components: who is connected, and what waits for those that are away.

use super::acts::Acts;
use super::command::Builtin;
use super::operations::running;
use crate::hooks::command::{Act, ActError, Argument, Call, Command, Kind, Permission};
use crate::proto::jid::Jid;

/// In the order in which they are listed.
pub const COMMANDS: &[Builtin] = &[
    Builtin::new(
        Command {
            name: "component list",
            doc: "Show the components, whether they are connected, and what waits for them.",
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
            name: "component close",
            doc: "End the stream of a component; it may connect again.",
            adhoc: None,
            arguments: &[Argument::needed("domain", Kind::Text, "Its domain.")],
            permission: Permission::Server,
            confirm: None,
            audited: true,
        },
        close,
    ),
];

/// A domain that a component serves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ComponentInfo {
    /// The name of the component in the configuration.
    pub name: String,
    /// The domain.
    pub domain: Jid,
    /// From where it is connected; nothing while it is away.
    pub address: Option<String>,
    /// Stanzas that are kept for it.
    pub kept: u64,
}

fn list<'a>(call: &'a Call, acts: &'a dyn Acts) -> Act<'a, ()> {
    Box::pin(async move {
        let report = &call.report;
        let columns = &["domain", "component", "connected from", "waiting"];
        report.columns(columns).await?;
        for one in running(acts)?.components() {
            let from = one.address.unwrap_or_else(|| "away".to_owned());
            let row = vec![one.domain.to_string(), one.name, from, one.kept.to_string()];
            report.row(row).await?;
        }
        Ok(())
    })
}

fn close<'a>(call: &'a Call, acts: &'a dyn Acts) -> Act<'a, ()> {
    Box::pin(async move {
        let text = call.args.text("domain").unwrap_or_default();
        let domain = Jid::parse(text).map_err(|error| ActError::Bad(error.to_string()))?;
        match running(acts)?.close_component(&domain) {
            true => call.report.say(format!("{domain} is disconnected")).await,
            false => Err(ActError::Failed(format!("{domain} is not connected"))),
        }
    })
}
