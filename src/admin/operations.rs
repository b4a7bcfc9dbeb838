//! The server as a process: how it is, its configuration, its log.

use std::sync::Arc;

use super::acts::Acts;
use super::command::Builtin;
use super::components::ComponentInfo;
use super::ending::{End, Ending};
use super::links::Link;
use super::log;
use crate::config::Change;
use crate::hooks::command::{Act, ActError, Argument, Call, Command, Kind, Permission};
use crate::proto::jid::Jid;

/// What administration can do to a running server as a whole.
pub trait Operations: Send + Sync {
    /// How it is.
    fn status<'a>(&'a self) -> Act<'a, Status>;

    /// Reads the configuration again and applies it whole, or changes nothing.
    fn reload<'a>(&'a self) -> Act<'a, Reloaded>;

    /// The streams with other servers, and what waits for those that are away.
    fn links<'a>(&'a self) -> Act<'a, Vec<Link>>;

    /// Finds, calls and leaves another server; what was seen, a line a step.
    fn test_link<'a>(&'a self, domain: Jid) -> Act<'a, Vec<String>>;

    /// Ends the streams with another server; how many there were.
    fn close_links<'a>(&'a self, domain: Jid) -> Act<'a, usize>;

    /// Ends the server after a delay, in place of an end that was asked for before; who is online is told.
    fn end<'a>(&'a self, ending: Ending) -> Act<'a, ()>;

    /// Takes back an end that was asked for; which it was.
    fn cancel_end<'a>(&'a self, announcement: Option<String>) -> Act<'a, Option<End>>;
    /// Every domain that a component serves.
    fn components(&self) -> Vec<ComponentInfo>;

    /// Ends the stream of a domain's component; whether there was one.
    fn close_component(&self, domain: &Jid) -> bool;

    /// What is logged where nobody changed it since (`log.level`).
    fn configured_level(&self) -> String;
}

/// How a server is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// Named values, in the order in which they are shown.
    pub facts: Vec<(&'static str, String)>,
    /// Host, when its certificate expires, and its modules.
    pub hosts: Vec<[String; 3]>,
}

/// What a reload did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reloaded {
    /// What is in force now.
    pub changed: Vec<Change>,
    /// What is written and waits for a restart.
    pub waiting: Vec<Change>,
    /// Domains that present another certificate.
    pub certificates: Vec<String>,
    /// Accounts whose sessions were ended because their domain is gone.
    pub ended: usize,
}

/// In the order in which they are listed.
pub const COMMANDS: &[Builtin] = &[
    Builtin::new(
        Command {
            name: "status",
            doc: "Show how the running server is.",
            adhoc: None,
            arguments: &[],
            permission: Permission::Server,
            confirm: None,
            audited: false,
        },
        status,
    ),
    Builtin::new(
        Command {
            name: "reload",
            doc: "Read the configuration and the certificates again.",
            adhoc: None,
            arguments: &[],
            permission: Permission::Server,
            confirm: None,
            audited: true,
        },
        reload,
    ),
    Builtin::new(
        Command {
            name: "log level",
            doc: "Show or change what is logged, until the next restart.",
            adhoc: None,
            arguments: &[Argument::optional(
                "levels",
                Kind::Text,
                "A level, or levels for parts such as net=debug,store=trace; \"default\" goes back to the configuration.",
            )],
            permission: Permission::Server,
            confirm: None,
            audited: true,
        },
        level,
    ),
];

pub(super) fn running(acts: &dyn Acts) -> Result<Arc<dyn Operations>, ActError> {
    acts.operations()
        .ok_or_else(|| ActError::Failed("the server does not run".to_owned()))
}

fn status<'a>(call: &'a Call, acts: &'a dyn Acts) -> Act<'a, ()> {
    Box::pin(async move {
        let report = &call.report;
        let server = running(acts)?;
        let status = server.status().await?;
        for (name, value) in status.facts {
            report.fact(name, value).await?;
        }
        report
            .columns(&["host", "certificate expires", "modules"])
            .await?;
        for row in status.hosts {
            report.row(row.to_vec()).await?;
        }
        Ok(())
    })
}

fn reload<'a>(call: &'a Call, acts: &'a dyn Acts) -> Act<'a, ()> {
    Box::pin(async move {
        let report = &call.report;
        let reloaded = running(acts)?.reload().await?;
        for line in reloaded.lines() {
            report.say(line).await?;
        }
        Ok(())
    })
}

impl Reloaded {
    /// What there is to say, one sentence a line.
    pub fn lines(&self) -> Vec<String> {
        let mut lines = Vec::new();
        lines.extend(
            self.changed
                .iter()
                .map(|change| format!("changed: {}", shown(change))),
        );
        let certificate = |domain| format!("a new certificate is in use for {domain}");
        lines.extend(self.certificates.iter().map(certificate));
        if self.ended > 0 {
            lines.push(format!(
                "sessions ended because their domain is gone: those of {} accounts",
                self.ended
            ));
        }
        if lines.is_empty() {
            lines.push("nothing has changed".to_owned());
        }
        let waits = |change| format!("needs a restart: {}", shown(change));
        lines.extend(self.waiting.iter().map(waits));
        lines
    }
}

/// A change with its values, unless they may be secret.
fn shown(change: &Change) -> String {
    let last = change.key.rsplit('.').next().unwrap_or_default();
    let secret = ["secret", "password", "token"];
    if secret.iter().any(|word| last.contains(word)) {
        return change.key.clone();
    }
    let value = |value: &Option<String>| value.clone().unwrap_or_else(|| "nothing".to_owned());
    format!(
        "{}: {} → {}",
        change.key,
        value(&change.old),
        value(&change.new)
    )
}

fn level<'a>(call: &'a Call, acts: &'a dyn Acts) -> Act<'a, ()> {
    Box::pin(async move {
        let report = &call.report;
        let server = running(acts)?;
        let before = log::level().unwrap_or_default();
        if let Some(asked) = call.args.text("levels") {
            let new = match asked {
                "default" => server.configured_level(),
                asked => log::over(&before, asked),
            };
            log::set_level(&new).map_err(ActError::Bad)?;
        }
        let now = log::level().unwrap_or_default();
        report.fact("level", now).await?;
        report.fact("configured", server.configured_level()).await
    })
}
