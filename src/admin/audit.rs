//! The record of administrative acts, to read.

use super::acts::Acts;
use super::command::Builtin;
use crate::hooks::command::{Act, ActError, Argument, Call, Command, Kind, Permission};
use crate::proto::datetime;

/// In the order in which they are listed.
pub const COMMANDS: &[Builtin] = &[Builtin::new(
    Command {
        name: "audit list",
        doc: "List who did what, the newest first.",
        adhoc: None,
        arguments: &[
            Argument::optional(
                "limit",
                Kind::Number {
                    min: 1,
                    max: 1_000_000,
                },
                "How many at most [default: 50].",
            ),
            Argument::optional("by", Kind::Text, "Only those of this one."),
        ],
        permission: Permission::Server,
        confirm: None,
        audited: false,
    },
    list,
)];

/// Entries read at once.
const PAGE: usize = 200;

fn list<'a>(call: &'a Call, acts: &'a dyn Acts) -> Act<'a, ()> {
    Box::pin(async move {
        let report = &call.report;
        report
            .columns(&["when", "by", "command", "arguments", "outcome"])
            .await?;
        let mut left = call.args.number("limit").unwrap_or(50);
        let by = call.args.text("by");
        let mut before = None;
        while left > 0 {
            let page = acts.audit().list(before, PAGE).await;
            let page = page.map_err(|error| ActError::Failed(error.to_string()))?;
            before = page.last().map(|(mid, _)| *mid);
            for (_, entry) in page {
                if left == 0 || by.is_some_and(|by| by != entry.by) {
                    continue;
                }
                left -= 1;
                let outcome = entry.outcome.unwrap_or_else(|| "begun".to_owned());
                report
                    .row(vec![
                        datetime::format(entry.at),
                        entry.by,
                        entry.command,
                        entry.arguments,
                        outcome,
                    ])
                    .await?;
            }
            if before.is_none() {
                break;
            }
        }
        Ok(())
    })
}
