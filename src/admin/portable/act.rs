//! The commands `export` and `import`.

use std::collections::HashSet;
use std::path::PathBuf;

use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::import::{ImportError, Incoming, LeftOut};
use super::read::{Piece, PieceReader, ReadError};
use super::write::{Which, WriteError, export};
use crate::admin::acts::Acts;
use crate::admin::command::Builtin;
use crate::admin::store::waiting;
use crate::hooks::command::{Act, ActError, Argument, Call, Command, Kind, Permission, Report};
use crate::proto::jid::Jid;
use crate::runtime::clock::Clock;
use crate::state::accounts::AccountError;

/// In the order in which they are listed.
pub const COMMANDS: &[Builtin] = &[
    Builtin::new(
        Command {
            name: "export",
            doc: "Write accounts in the format that other servers read (XEP-0227), with what logs them in.",
            adhoc: None,
            arguments: &[
                Argument::needed(
                    "file",
                    Kind::Output,
                    "The file (for its owner alone, mode 0600). - is standard output.",
                ),
                Argument::optional("host", Kind::Host, "Only the accounts of this domain."),
                Argument::optional("account", Kind::Account, "Only this account."),
            ],
            permission: Permission::Server,
            confirm: None,
            audited: true,
        },
        write_out,
    ),
    Builtin::new(
        Command {
            name: "import",
            doc: "Take in accounts that another server wrote (XEP-0227); may be repeated until all are there.",
            adhoc: None,
            arguments: &[
                Argument::needed(
                    "file",
                    Kind::Input,
                    "The file; what it includes must be beside or below it.",
                ),
                Argument::optional(
                    "replace",
                    Kind::Flag,
                    "Replace accounts that are here already, with all they own, instead of leaving them alone.",
                ),
            ],
            permission: Permission::Server,
            confirm: None,
            audited: true,
        },
        take_in,
    ),
];

fn write_out<'a>(call: &'a Call, acts: &'a dyn Acts) -> Act<'a, ()> {
    Box::pin(async move {
        let known = acts.accounts().hosts();
        let which = which(call, known)?;
        let (store, out) = (acts.store().clone(), call.report.clone());
        let work = move || {
            let view = store.frozen().map_err(WriteError::from)?;
            export(&view, &which, &mut out.sink(), |count| {
                out.progress_blocking("accounts exported", count, None);
            })
        };
        let count = waiting(work).await?;
        let text = format!("Accounts exported: {count}.");
        call.report.say(text).await
    })
}

fn which(call: &Call, known: Vec<String>) -> Result<Which, ActError> {
    match (call.args.account("account").ok(), call.args.text("host")) {
        (Some(_), Some(_)) => Err(ActError::Bad(
            "give a domain or an account, not both".to_owned(),
        )),
        (Some(account), None) => Ok(Which::Account(account.clone())),
        (None, Some(host)) if known.iter().any(|known| known == host) => {
            Ok(Which::Hosts(vec![host.to_owned()]))
        }
        (None, Some(host)) => Err(ActError::NoSuchHost {
            host: host.to_owned(),
            known,
        }),
        (None, None) => Ok(Which::Hosts(known)),
    }
}

impl From<WriteError> for ActError {
    fn from(error: WriteError) -> Self {
        match error {
            WriteError::Unknown(jid) => ActError::NoSuchAccount(jid),
            WriteError::Io(_) => ActError::Interrupted,
            WriteError::Store(error) => error.into(),
        }
    }
}

/// Accounts made at once: they share the store's waiting for the disk, and the processors that derive keys of passwords.
const AT_ONCE: usize = 16;
/// Pieces read ahead.
const AHEAD: usize = 8;

fn take_in<'a>(call: &'a Call, acts: &'a dyn Acts) -> Act<'a, ()> {
    Box::pin(async move {
        let file = PathBuf::from(call.args.text("file").unwrap_or_default());
        let mut pieces = read_ahead(file);
        let mut import = Import {
            acts,
            report: &call.report,
            replace: call.args.flag("replace"),
            host: Host::None,
            left_out: LeftOut::default(),
            ending: JoinSet::new(),
            under_way: HashSet::new(),
            done: 0,
            skipped: 0,
        };
        let mut incoming = None;
        let result = loop {
            match pieces.recv().await {
                None => break Ok(()),
                Some(Err(error)) => break Err(ActError::Failed(error.to_string())),
                Some(Ok(piece)) => {
                    if let Err(error) = import.piece(piece, &mut incoming).await {
                        break Err(error);
                    }
                }
            }
        };
        if let Some(incoming) = incoming {
            incoming.give_up().await;
        }
        let ended = import.end_all().await;
        let told = import.tell().await;
        result.and(ended).and(told)
    })
}

/// Reads on a thread that may wait, a little ahead.
fn read_ahead(file: PathBuf) -> mpsc::Receiver<Result<Piece, ReadError>> {
    let (sender, pieces) = mpsc::channel(AHEAD);
    tokio::task::spawn_blocking(move || {
        let mut reader = match PieceReader::open(&file) {
            Ok(reader) => reader,
            Err(error) => {
                let _ = sender.blocking_send(Err(error));
                return;
            }
        };
        while let Some(piece) = reader.next_piece().transpose() {
            let last = piece.is_err();
            if sender.blocking_send(piece).is_err() || last {
                return;
            }
        }
    });
    pieces
}

enum Host {
    None,
    Served(String),
    /// Not served here.
    Strange,
}

struct Import<'a> {
    acts: &'a dyn Acts,
    report: &'a Report,
    replace: bool,
    host: Host,
    left_out: LeftOut,
    /// Accounts that are complete and being made, and their addresses.
    ending: JoinSet<Made>,
    under_way: HashSet<Jid>,
    done: u64,
    skipped: u64,
}

/// What became of an account.
struct Made {
    jid: Jid,
    replaced: bool,
    /// Whether it has a password that can be used.
    usable: Result<bool, ImportError>,
}

impl Import<'_> {
    async fn piece(
        &mut self,
        piece: Piece,
        incoming: &mut Option<Incoming>,
    ) -> Result<(), ActError> {
        match piece {
            Piece::Host(host) => self.enter(&host).await?,
            Piece::User { name, password } => *incoming = self.begin(&name, password).await?,
            Piece::UserEnd => {
                if let Some(account) = incoming.take() {
                    self.end(account).await?;
                }
            }
            Piece::Unknown(what) => self.left_out.note(what),
            piece => {
                if let Some(account) = incoming {
                    account.take(&piece, &mut self.left_out).await?;
                }
            }
        }
        Ok(())
    }

    async fn enter(&mut self, host: &str) -> Result<(), ActError> {
        let domain = Jid::parse(host).map(|jid| jid.domain().to_owned());
        let known = self.acts.accounts().hosts();
        self.host = match domain {
            Ok(domain) if known.contains(&domain) => Host::Served(domain),
            _ => {
                let text = format!(
                    "{host} has no accounts here: its accounts are left out. Add [hosts.{host:?}] to the configuration and import again."
                );
                self.report.say(text).await?;
                Host::Strange
            }
        };
        Ok(())
    }

    async fn begin(
        &mut self,
        name: &str,
        password: Option<String>,
    ) -> Result<Option<Incoming>, ActError> {
        let Host::Served(host) = &self.host else {
            self.skipped += 1;
            return Ok(None);
        };
        let jid = match Jid::new(Some(name), host, None) {
            Ok(jid) => jid,
            Err(error) => {
                self.skipped += 1;
                let text = format!("{name}@{host} is left out: {error}");
                self.report.say(text).await?;
                return Ok(None);
            }
        };
        // The same account twice: one after the other.
        while self.under_way.contains(&jid) {
            self.end_one().await?;
        }
        let (accounts, store) = (self.acts.records(), self.acts.store());
        let now = Clock::system().wall();
        match Incoming::begin(accounts, store, &jid, password, self.replace, now).await {
            Ok(incoming) => Ok(Some(incoming)),
            Err(ImportError::Account(AccountError::Exists(_))) => {
                self.skipped += 1;
                let text = format!("{jid} is here already and stays as it is.");
                self.report.say(text).await?;
                Ok(None)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Has it made beside others, and goes on reading.
    async fn end(&mut self, incoming: Incoming) -> Result<(), ActError> {
        let (jid, replaced) = incoming.account();
        self.under_way.insert(jid.clone());
        self.ending.spawn(async move {
            Made {
                jid,
                replaced,
                usable: incoming.finish().await,
            }
        });
        // It is made even if that failed for one before it.
        match self.ending.len() < AT_ONCE {
            true => Ok(()),
            false => self.end_one().await,
        }
    }

    /// Waits for all that are being made; the first failure of theirs.
    async fn end_all(&mut self) -> Result<(), ActError> {
        let mut first = Ok(());
        while !self.ending.is_empty() {
            first = first.and(self.end_one().await);
        }
        first
    }

    /// Waits for one of those that are being made.
    async fn end_one(&mut self) -> Result<(), ActError> {
        let Made {
            jid,
            replaced,
            usable,
        } = match self.ending.join_next().await {
            Some(Ok(made)) => made,
            Some(Err(error)) => return Err(ActError::Failed(error.to_string())),
            None => return Ok(()),
        };
        self.under_way.remove(&jid);
        match usable {
            Ok(true) => {}
            Ok(false) => self.left_out.note(
                "account without a password that can be used: set one with `waxwing user passwd`",
            ),
            Err(ImportError::Account(
                error @ (AccountError::Exists(_) | AccountError::Password(_)),
            )) => {
                self.skipped += 1;
                let text = format!("{jid} is left out: {error}");
                return self.report.say(text).await;
            }
            Err(error) => return Err(error.into()),
        }
        if replaced {
            let reason = "the account was replaced";
            self.acts.accounts().end_sessions(&jid, reason).await?;
        }
        self.done += 1;
        let text = "accounts imported";
        self.report.progress(text, self.done, None).await
    }

    async fn tell(&self) -> Result<(), ActError> {
        for (what, count) in &self.left_out.0 {
            self.report
                .say(format!("Left out {count} × {what}"))
                .await?;
        }
        let (done, skipped) = (self.done, self.skipped);
        let text = format!("Accounts imported: {done}; left out: {skipped}.");
        self.report.say(text).await
    }
}

impl From<ImportError> for ActError {
    fn from(error: ImportError) -> Self {
        ActError::Failed(error.to_string())
    }
}
