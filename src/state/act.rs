//! The one way in which administrative acts are done, wherever they are asked for.

use tokio::sync::mpsc;
use tracing::{info, warn};

use super::audit::Audit;
use crate::hooks::command::{ActError, Args, Call, Caller, Given, Line, Offered, Report};
use crate::proto::jid::Jid;

/// Checks arguments and permission, does the act, and writes down who did what.
///
/// `host` is the host it is asked of, `None` where all are meant.
///
/// # Errors
/// The act's; [`ActError::Bad`] for arguments that cannot be accepted.
pub async fn run(
    offered: &Offered,
    given: &Given,
    caller: &Caller,
    host: Option<&Jid>,
    report: &Report,
    audit: &Audit,
) -> Result<(), ActError> {
    let command = offered.command;
    // Who may not do it in any case learns nothing about its arguments.
    let of = host.map(Jid::domain);
    let known = Args::read(command, given);
    let args = match known {
        Ok(args) => args,
        Err(_) if host.is_some() && !command.may(caller, of) => return Err(ActError::Forbidden),
        Err(error) => return Err(error),
    };
    let what = args.for_log();
    if let Err(error) = command.permitted(&args, caller, of) {
        warn!(by = %caller.name, arguments = %what, "{} was refused", command.name);
        return Err(error);
    }
    let begun = match command.audited {
        true => audit.begin(&caller.name, command.name, what.clone()).await,
        false => None,
    };
    let call = Call {
        args,
        caller: caller.clone(),
        host: host.cloned(),
        report: report.clone(),
    };
    let result = (offered.handler)(call).await;
    match &result {
        Ok(()) => info!(by = %caller.name, arguments = %what, "{}", command.name),
        Err(error) => {
            warn!(by = %caller.name, arguments = %what, %error, "{} was not done", command.name)
        }
    }
    let outcome = match &result {
        Ok(()) => "done".to_owned(),
        Err(error) => error.to_string(),
    };
    audit.end(begun, outcome).await;
    result
}

/// What came of a command that was done to its end.
#[derive(Debug)]
pub struct Done {
    /// Whether it was done.
    pub result: Result<(), ActError>,
    /// What it said, as far as it was asked to be kept; of data and progress nothing is.
    pub lines: Vec<Line>,
    /// Lines that were not kept.
    pub left_out: u64,
}

/// Does a command of a host as [`run`] does, on a task of its own: once begun, it is not left half done because nobody waits for
/// the answer any more. `bounds` are lines and bytes to be kept.
pub async fn gather(
    offered: &Offered,
    given: Given,
    caller: &Caller,
    host: &Jid,
    audit: &Audit,
    bounds: (usize, usize),
) -> Done {
    let (offered, caller, host) = (offered.clone(), caller.clone(), host.clone());
    let audit = audit.clone();
    let work = tokio::spawn(async move {
        let (report, lines) = Report::new();
        // The report goes with the work: its end is the end of the lines.
        let work =
            async move { run(&offered, &given, &caller, Some(&host), &report, &audit).await };
        let (result, (lines, left_out)) = tokio::join!(work, collect(lines, bounds));
        Done {
            result,
            lines,
            left_out,
        }
    });
    work.await.unwrap_or_else(|_| Done {
        result: Err(ActError::Failed("it failed unexpectedly".to_owned())),
        lines: Vec::new(),
        left_out: 0,
    })
}

async fn collect(
    mut lines: mpsc::Receiver<Line>,
    (most, most_bytes): (usize, usize),
) -> (Vec<Line>, u64) {
    let (mut kept, mut bytes, mut left_out) = (Vec::new(), 0_usize, 0_u64);
    while let Some(line) = lines.recv().await {
        if matches!(line, Line::Progress { .. } | Line::Data(_)) {
            continue;
        }
        bytes = bytes.saturating_add(size(&line));
        if kept.len() < most && bytes <= most_bytes {
            kept.push(line);
        } else {
            left_out += 1;
        }
    }
    (kept, left_out)
}

/// Of a line in XML or JSON, about.
fn size(line: &Line) -> usize {
    match line {
        Line::Columns(all) | Line::Row(all) => all.iter().map(|text| text.len() + 60).sum(),
        Line::Fact(name, value) => name.len() + value.len() + 60,
        Line::Said(text) => text.len() + 30,
        _ => 0,
    }
}
