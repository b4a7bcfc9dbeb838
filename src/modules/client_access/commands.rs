//! The same for administrators: which clients an account has, and that one be shut out (XEP-0494 §5).

use super::{ClientAccess, RevokeError};
use crate::hooks::command::{ActError, Argument, Call, Command, Kind, Permission};
use crate::proto::datetime;

const ACCOUNT: Argument = Argument::needed(
    "account",
    Kind::Account,
    "Its address, such as romeo@example.org.",
);
const CLIENT: Argument = Argument::needed(
    "client",
    Kind::Text,
    "The client, as `waxwing user clients` calls it.",
);

pub(super) static DECLARED: [Command; 2] = [
    Command {
        name: "user clients",
        doc: "List the clients that have access to an account.",
        adhoc: None,
        arguments: &[ACCOUNT],
        permission: Permission::Host,
        confirm: None,
        audited: true,
    },
    Command {
        name: "user revoke",
        doc: "Shut a client out of an account: its tokens, its sessions, what wakes it.",
        adhoc: None,
        arguments: &[ACCOUNT, CLIENT],
        permission: Permission::Host,
        confirm: None,
        audited: true,
    },
];

pub(super) async fn list(access: &ClientAccess, call: &Call) -> Result<(), ActError> {
    let account = call.args.account("account")?;
    let entries = access.list(account).await;
    let entries = entries.map_err(|error| ActError::Failed(error.to_string()))?;
    let columns = [
        "client",
        "connected",
        "first",
        "last",
        "by",
        "software",
        "device",
    ];
    call.report.columns(&columns).await?;
    for entry in entries {
        let by = match (entry.password, entry.fast) {
            (true, true) => "password, token",
            (true, false) => "password",
            (false, true) => "token",
            (false, false) => "",
        };
        let connected = if entry.is_connected() { "yes" } else { "no" };
        let row = vec![
            entry.reference.clone(),
            connected.to_owned(),
            datetime::format(entry.first),
            datetime::format(entry.last),
            by.to_owned(),
            entry.software.unwrap_or_default(),
            entry.device.unwrap_or_default(),
        ];
        call.report.row(row).await?;
    }
    Ok(())
}

pub(super) async fn revoke(access: &ClientAccess, call: &Call) -> Result<(), ActError> {
    let account = call.args.account("account")?;
    let client = call.args.text("client").unwrap_or_default();
    match access.revoke(account, client).await {
        Ok(()) => call.report.say("It is shut out.").await,
        Err(error @ RevokeError::KnowsPassword) => call.report.say(error.to_string()).await,
        Err(error @ RevokeError::Unknown) => Err(ActError::Bad(error.to_string())),
        Err(error) => Err(ActError::Failed(error.to_string())),
    }
}
