//! The one way in which administrative acts are done, wherever they are asked for.

use tracing::{info, warn};

use super::audit::Audit;
use crate::hooks::command::{ActError, Args, Call, Caller, Given, Offered, Report};
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
