//! What administrators do with files: list them, remove them.

use std::sync::Arc;

use super::Shared;
use crate::hooks::Registrar;
use crate::hooks::command::{Act, ActError, Argument, Call, Command, Kind, Offered};
use crate::proto::datetime;
use crate::state::files::{FileError, Id};

const HOST: Argument = Argument::optional("host", Kind::Host, "The domain.");

pub(super) static DECLARED: [Command; 2] = [
    Command::of_host(
        "upload list",
        "List the files that people uploaded. Nothing here leads to what is in them.",
        "waxwing:upload#list",
        &[
            Argument::optional("account", Kind::Account, "Of this account alone."),
            HOST,
        ],
        None,
    ),
    Command::of_host(
        "upload delete",
        "Remove a file, or all files of an account, for good.",
        "waxwing:upload#delete",
        &[
            Argument::optional(
                "file",
                Kind::Text,
                "The file, as `waxwing upload list` calls it.",
            ),
            Argument::optional("account", Kind::Account, "All files of this account."),
            HOST,
        ],
        Some("Remove this for good?"),
    ),
];

/// Offers the commands.
pub(super) fn offer(shared: &Arc<Shared>, r: &mut Registrar<'_>) {
    let [list, delete] = &DECLARED;
    let this = shared.clone();
    r.command(Offered::new(list, move |call| act(&this, call, list_files)));
    let this = shared.clone();
    r.command(Offered::new(delete, move |call| {
        act(&this, call, delete_files)
    }));
}

fn act<F>(shared: &Arc<Shared>, call: Call, f: fn(Arc<Shared>, Call) -> F) -> Act<'static, ()>
where
    F: Future<Output = Result<(), ActError>> + Send + 'static,
{
    Box::pin(f(shared.clone(), call))
}

async fn list_files(shared: Arc<Shared>, call: Call) -> Result<(), ActError> {
    let account = call.args.account("account").ok();
    let columns = [
        "file", "account", "bytes", "type", "purpose", "since", "until", "stored", "name",
    ];
    call.report.columns(&columns).await?;
    let mut after = None;
    loop {
        let (files, next) = shared.desk.page(account, after).await.map_err(failed)?;
        for (id, file) in files {
            let stored = if file.is_stored() { "yes" } else { "no" };
            let row = vec![
                id.to_string(),
                file.account,
                file.size.to_string(),
                file.media,
                file.purpose.as_str().to_owned(),
                datetime::format(file.made),
                file.until.map(datetime::format).unwrap_or_default(),
                stored.to_owned(),
                file.name,
            ];
            call.report.row(row).await?;
        }
        after = next;
        if after.is_none() {
            return Ok(());
        }
    }
}

async fn delete_files(shared: Arc<Shared>, call: Call) -> Result<(), ActError> {
    let (file, account) = (call.args.text("file"), call.args.account("account").ok());
    let removed = match (file, account) {
        (Some(file), None) => {
            let id = Id::parse(file);
            let id = id.ok_or_else(|| ActError::Bad(format!("file: \"{file}\" is no file")))?;
            // One of another host is not found here.
            let known = shared.desk.find(id).await.map_err(failed)?;
            if known.is_none() || shared.desk.remove(id).await.map_err(failed)?.is_none() {
                return Err(ActError::Bad(format!("there is no file {file}")));
            }
            1
        }
        (None, Some(account)) => {
            let mut removed = 0u64;
            loop {
                let (files, _) = shared
                    .desk
                    .page(Some(account), None)
                    .await
                    .map_err(failed)?;
                if files.is_empty() {
                    break removed;
                }
                for (id, _) in files {
                    shared.desk.remove(id).await.map_err(failed)?;
                    removed += 1;
                }
            }
        }
        _ => return Err(ActError::Bad("name a file, or an account".to_owned())),
    };
    call.report.say(format!("Removed: {removed}.")).await
}

fn failed(error: impl Into<FileError>) -> ActError {
    ActError::Failed(error.into().to_string())
}
