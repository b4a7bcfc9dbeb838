//! The command line.

mod act;
mod check;
mod init;
mod machine;
pub(crate) mod output;
mod password;
mod print;
mod prompt;
mod quickstart;
mod serve;
mod store;

use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::process::ExitCode;
use std::sync::Arc;

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};
use tokio::sync::watch;

use super::End;
use super::acts::Acts;
use super::finding::Finding;
use crate::config::{Loaded, ModuleSettings, Request, load};
use crate::hooks::command::Command;
use crate::store::Options;

/// What the command line needs of the program it belongs to.
pub trait Program: Sync {
    /// What the modules declare about their configuration.
    fn modules(&self) -> Vec<ModuleSettings>;

    /// The commands the modules declare.
    fn commands(&self) -> Vec<&'static Command>;

    /// Runs the server until `stop` becomes true, or an administrator ends it, and everything is drained. Calls `ready` when clients can connect.
    fn serve<'a>(
        &'a self,
        loaded: Loaded,
        ready: Ready,
        stop: watch::Receiver<bool>,
    ) -> Running<'a>;

    /// The acts over the store alone, while no server runs. Called outside of any runtime.
    ///
    /// # Errors
    /// In words, such as that the store is in use.
    fn acts(&self, loaded: &Loaded) -> Result<Arc<dyn Acts>, String>;

    /// What is to be said about the certificates of every host. Writes nothing.
    fn check_certificates(&self, loaded: &Loaded) -> Vec<Finding>;

    /// What is to be said about the relay for calls; of its ports nothing while the server runs.
    fn check_relay(&self, loaded: &Loaded, running: bool) -> Vec<Finding>;

    /// What the store is opened with.
    fn store(&self, loaded: &Loaded) -> Options;

    /// Whether the store opens. Writes nothing where there is none yet.
    fn check_store(&self, loaded: &Loaded) -> Finding;

    /// The SHA-256 fingerprint of the certificate of a domain, made first if it is one the server makes itself.
    ///
    /// # Errors
    /// In words.
    fn fingerprint(&self, loaded: &Loaded, domain: &str) -> Result<String, String>;
}

/// What is called when clients can connect.
pub type Ready = Box<dyn FnOnce() + Send>;

/// A running server: what comes after its end; its error says in words why it could not start or go on.
pub type Running<'a> = Pin<Box<dyn Future<Output = Result<End, String>> + Send + 'a>>;

/// An XMPP chat server: one binary, one configuration file, never a message lost.
///
/// `waxwing quickstart` is the shortest way to see it work.
#[derive(Debug, Parser)]
#[command(
    name = "waxwing",
    version,
    subcommand_required = true,
    arg_required_else_help = true
)]
struct Cli {
    #[command(flatten)]
    common: Common,
    #[command(subcommand)]
    action: Action,
}

#[derive(Clone, Debug, clap::Args)]
struct Common {
    /// The configuration file [default: waxwing.toml here if there is one, else /etc/waxwing/waxwing.toml]
    #[arg(long, global = true, value_name = "FILE", env = "WAXWING_CONFIG")]
    config: Option<PathBuf>,
    /// Override a value of the configuration; may be given several times.
    #[arg(long, global = true, value_name = "SECTION.KEY=VALUE")]
    set: Vec<String>,
    /// Print JSON, one value a line, instead of text.
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Run the server in the foreground, until SIGTERM or Ctrl-C.
    Serve,
    /// Run a server for localhost with two accounts, ready to try out.
    Quickstart(quickstart::Options),
    /// Write a configuration for a domain of yours, and say what is left to be done.
    Init(init::Options),
    /// Say what is wrong with the configuration, certificates, ports, store, or DNS.
    Check(check::Options),
    /// Print the configuration file with every key and its default.
    Defaults,
    /// Make the store of a backup, where there is none; the server must not run.
    Restore(store::Restore),
    /// The store: check, compact, copy.
    #[command(subcommand, arg_required_else_help = true)]
    Store(store::Act),
}

/// The whole program: reads the arguments, does what they say.
pub fn main(program: &dyn Program) -> ExitCode {
    let declared: Vec<&Command> = super::commands().chain(program.commands()).collect();
    let matches = act::with_commands(Cli::command(), &declared).get_matches();
    let common = match Common::from_arg_matches(&matches) {
        Ok(common) => common,
        Err(error) => error.exit(),
    };
    if let Some(chosen) = act::chosen(&matches, &declared) {
        return act::execute(program, &common, &chosen);
    }
    let action = match Action::from_arg_matches(&matches) {
        Ok(action) => action,
        Err(error) => error.exit(),
    };
    match action {
        Action::Serve => serve::execute(program, &common),
        Action::Quickstart(options) => quickstart::execute(program, &common, &options),
        Action::Init(options) => init::execute(program, &common, &options),
        Action::Check(options) => check::execute(program, &common, &options),
        Action::Defaults => {
            print::out(&crate::config::shipped_text(&program.modules()));
            ExitCode::SUCCESS
        }
        Action::Restore(options) => store::restore(program, &common, &options),
        Action::Store(act) => store::execute(program, &common, &act),
    }
}

/// Exit status for a wrong configuration or wrong arguments, as `clap` uses it.
const USAGE: u8 = 2;

/// Loads the configuration or says what is wrong with it.
fn configuration(program: &dyn Program, common: &Common) -> Result<Loaded, ExitCode> {
    load(&request(common), &program.modules()).map_err(|problems| {
        for problem in &problems.0 {
            print::error(&problem.to_string());
        }
        ExitCode::from(USAGE)
    })
}

fn request(common: &Common) -> Request {
    let local = PathBuf::from("waxwing.toml");
    let default = || {
        if local.exists() {
            local.clone()
        } else {
            PathBuf::from("/etc/waxwing/waxwing.toml")
        }
    };
    Request {
        file: Some(common.config.clone().unwrap_or_else(default)),
        environment: environment(),
        sets: common.set.clone(),
    }
}

/// Whether a server answers on the control socket.
fn server_runs(loaded: &Loaded) -> bool {
    let socket = loaded.config.in_data_dir(&loaded.config.control.socket);
    std::os::unix::net::UnixStream::connect(socket).is_ok()
}

/// Makes the data directory, for this user alone, if it is not there.
fn make_data_dir(path: &Path) -> Result<(), String> {
    let made = std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path);
    made.map_err(|error| format!("cannot make the data directory {}: {error}", path.display()))
}

/// Variables whose name or value is not UTF-8 cannot be ours.
fn environment() -> Vec<(String, String)> {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect()
}
