//! The commands about the store as a whole.

use super::acts::Acts;
use super::command::Builtin;
use crate::hooks::command::{Act, ActError, Argument, Call, Command, Kind, Permission};
use crate::store::{self, BackupError, CommitError, Copied, StoreError};

/// In the order in which they are listed.
pub const COMMANDS: &[Builtin] = &[
    Builtin::new(
        Command {
            name: "backup",
            doc: "Write all accounts and messages into one file, while the server goes on; not the files that people uploaded.",
            adhoc: None,
            arguments: &[Argument::needed(
                "file",
                Kind::Output,
                "The file (for its owner alone, mode 0600); an older one is replaced when the new one is whole. - is standard output.",
            )],
            permission: Permission::Server,
            confirm: None,
            audited: true,
        },
        backup,
    ),
    Builtin::new(
        Command {
            name: "store check",
            doc: "Read every record, see whether all fits together, and say what is damaged; also beside a running server.",
            adhoc: None,
            arguments: &[],
            permission: Permission::Server,
            confirm: None,
            audited: false,
        },
        super::check::check,
    ),
    Builtin::new(
        Command {
            name: "store compact",
            doc: "Give space that nothing uses any more back to the file system.",
            adhoc: None,
            arguments: &[],
            permission: Permission::Server,
            confirm: None,
            audited: true,
        },
        compact,
    ),
];

const MIB: u64 = 1 << 20;

/// Too large for a backup that is made every day.
const NOT_IN_IT: &str =
    "Uploaded files are not in it: copy the directory of store.files as well, after this.";

fn backup<'a>(call: &'a Call, acts: &'a dyn Acts) -> Act<'a, ()> {
    Box::pin(async move {
        let report = &call.report;
        let (store, pace, out) = (acts.store().clone(), acts.pace(), report.clone());
        let work = move || {
            let mut told = 0;
            store::backup(&store.frozen()?, out.sink(), pace, |so_far: Copied| {
                let mib = so_far.bytes / MIB;
                let news = std::mem::replace(&mut told, mib) != mib;
                !news || out.progress_blocking("MiB backed up", mib, None)
            })
        };
        let Copied { records, bytes } = waiting(work).await?;
        let text = format!("{records} records, {} MiB.", bytes.div_ceil(MIB));
        report.say(text).await?;
        report.say(NOT_IN_IT).await
    })
}

fn compact<'a>(call: &'a Call, acts: &'a dyn Acts) -> Act<'a, ()> {
    Box::pin(async move {
        let store = acts.store().clone();
        let (done, before, after) = waiting(move || {
            let before = store.stats().engine.disk_bytes;
            let done = store.compact();
            let done = done.map_err(|error| ActError::Failed(error.to_string()))?;
            Ok::<_, ActError>((done, before, store.stats().engine.disk_bytes))
        })
        .await?;
        let text = if done {
            format!("{} MiB before, {} MiB now.", before / MIB, after / MIB)
        } else {
            "This engine cannot; a copy is compact: `waxwing store copy`.".to_owned()
        };
        call.report.say(text).await
    })
}

/// Does work on a thread that may wait.
pub async fn waiting<T, E>(
    work: impl FnOnce() -> Result<T, E> + Send + 'static,
) -> Result<T, ActError>
where
    T: Send + 'static,
    E: Into<ActError> + Send + 'static,
{
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done.map_err(Into::into),
        Err(_) => Err(ActError::Failed("it failed unexpectedly".to_owned())),
    }
}

impl From<BackupError> for ActError {
    fn from(error: BackupError) -> Self {
        match error {
            BackupError::Interrupted => ActError::Interrupted,
            BackupError::Io(error) if error.kind() == std::io::ErrorKind::BrokenPipe => {
                ActError::Interrupted
            }
            other => ActError::Failed(other.to_string()),
        }
    }
}

impl From<CommitError> for ActError {
    fn from(error: CommitError) -> Self {
        ActError::Failed(error.to_string())
    }
}

impl From<StoreError> for ActError {
    fn from(error: StoreError) -> Self {
        ActError::Failed(error.to_string())
    }
}
