//! Control socket, commands, and the command line.
//!
//! An administrative act is declared once, as a [`Command`]; the command line, the control socket and ad-hoc commands offer every
//! declared one, those of modules beside the server's own. What the acts need from the server is the trait [`Acts`]; what the command
//! line needs besides is [`cli::Program`]. Both are implemented where the server is put together.
pub mod acts;
mod administrators;
mod audit;
mod check;
pub mod cli;
pub mod client;
pub mod command;
mod components;
mod ending;
mod finding;
mod links;
mod listing;
pub mod log;
mod lookup;
mod operations;
pub mod portable;
mod publish;
pub mod socket;
mod store;
#[cfg(test)]
mod tests;
mod user;

use std::sync::Arc;

pub use acts::{AccountInfo, Accounts, Acts, SessionInfo};
pub use command::Builtin;
pub use components::ComponentInfo;
pub use ending::{End, Ending};
pub use finding::{Finding, Level};
pub use links::Link;
pub use operations::{Operations, Reloaded, Status};

use crate::hooks::command::Offered;
pub use crate::hooks::command::{
    Act, ActError, Args, Argument, Call, Caller, Command, Kind, Line, Password, Permission, Report,
    Rights,
};

/// What is declared, in the order in which it is listed.
const BUILTINS: &[&[Builtin]] = &[
    user::COMMANDS,
    listing::COMMANDS,
    administrators::COMMANDS,
    audit::COMMANDS,
    links::COMMANDS,
    components::COMMANDS,
    store::COMMANDS,
    operations::COMMANDS,
    ending::COMMANDS,
    portable::COMMANDS,
];

/// The server's own commands, with what they do.
pub fn builtins() -> impl Iterator<Item = &'static Builtin> {
    BUILTINS.iter().copied().flatten()
}

/// The declarations of the server's own commands.
pub fn commands() -> impl Iterator<Item = &'static Command> {
    builtins().map(|builtin| &builtin.command)
}

/// The server's own commands that a host offers as ad-hoc commands.
pub fn offered(acts: &Arc<dyn Acts>) -> impl Iterator<Item = Offered> {
    let adhoc = builtins().filter(|builtin| builtin.command.adhoc.is_some());
    adhoc.map(|builtin| builtin.over(acts))
}
