//! Ending the server, for good or to be started again (XEP-0133 §4.30, §4.31), and taking that back.

use std::time::Duration;

use super::acts::Acts;
use super::command::{Builtin, admin};
use super::operations::running;
use crate::hooks::command::{Act, AdHoc, Argument, Call, Command, Kind, Permission};

/// What comes after the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Nothing.
    Stop,
    /// Whoever started the server starts it again.
    Restart,
}

/// An end that is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ending {
    /// What comes after it.
    pub end: End,
    /// When.
    pub delay: Duration,
    /// What those are told who are online.
    pub announcement: Option<String>,
}

const DELAY: Argument = Argument::optional(
    "delay",
    Kind::Choice(&[
        ("0", "At once"),
        ("30", "30 seconds"),
        ("60", "60 seconds"),
        ("90", "90 seconds"),
        ("120", "2 minutes"),
        ("180", "3 minutes"),
        ("240", "4 minutes"),
        ("300", "5 minutes"),
        ("600", "10 minutes"),
        ("1800", "30 minutes"),
        ("3600", "1 hour"),
    ]),
    "Seconds to wait; at once without.",
);
const ANNOUNCEMENT: Argument =
    Argument::optional("announcement", Kind::Lines, "Told to all who are online.");

const fn command(
    name: &'static str,
    doc: &'static str,
    adhoc: AdHoc,
    arguments: &'static [Argument],
    confirm: Option<&'static str>,
) -> Command {
    Command {
        name,
        doc,
        adhoc: Some(adhoc),
        arguments,
        permission: Permission::Server,
        confirm,
        audited: true,
    }
}

/// In the order in which they are listed.
pub const COMMANDS: &[Builtin] = &[
    Builtin::new(
        command(
            "restart",
            "End the server, to be started again by the service manager.",
            admin("http://jabber.org/protocol/admin#restart", &[]),
            &[DELAY, ANNOUNCEMENT],
            Some("All connections are ended; sessions are kept for clients that resume them."),
        ),
        |call, acts| end(call, acts, End::Restart),
    ),
    Builtin::new(
        command(
            "shutdown",
            "End the server.",
            admin("http://jabber.org/protocol/admin#shutdown", &[]),
            &[DELAY, ANNOUNCEMENT],
            Some("The server ends, and only somebody at the machine can start it again."),
        ),
        |call, acts| end(call, acts, End::Stop),
    ),
    Builtin::new(
        command(
            "cancel-end",
            "Take back a restart or shutdown that has not begun.",
            AdHoc {
                node: "waxwing:admin#cancel-end",
                form_type: "",
                results: &[],
            },
            &[ANNOUNCEMENT],
            None,
        ),
        cancel,
    ),
];

fn end<'a>(call: &'a Call, acts: &'a dyn Acts, end: End) -> Act<'a, ()> {
    Box::pin(async move {
        let seconds = call.args.text("delay").and_then(|word| word.parse().ok());
        let seconds: u64 = seconds.unwrap_or(0);
        let ending = Ending {
            end,
            delay: Duration::from_secs(seconds),
            announcement: announcement(call),
        };
        running(acts)?.end(ending).await?;
        let what = end.verb();
        let when = match seconds {
            0 => "now".to_owned(),
            seconds => format!("in {seconds} seconds; `waxwing cancel-end` takes it back"),
        };
        call.report.say(format!("The server {what} {when}.")).await
    })
}

fn cancel<'a>(call: &'a Call, acts: &'a dyn Acts) -> Act<'a, ()> {
    Box::pin(async move {
        let taken_back = running(acts)?.cancel_end(announcement(call)).await?;
        let text = match taken_back {
            Some(_) => "The server goes on.",
            None => "Nothing was to be taken back.",
        };
        call.report.say(text).await
    })
}

fn announcement(call: &Call) -> Option<String> {
    let text = call.args.text("announcement")?;
    (!text.is_empty()).then(|| text.to_owned())
}

impl End {
    /// What the server does.
    pub fn verb(self) -> &'static str {
        match self {
            End::Stop => "ends",
            End::Restart => "restarts",
        }
    }
}
