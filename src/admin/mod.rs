//! Control socket, commands, and the command line.
//!
//! An administrative act is declared once, as a [`Command`]; the command line and the control socket offer every declared one.
//! What the acts need from the server is the trait [`Acts`]; what the command line needs besides is [`cli::Program`]. Both are
//! implemented where the server is put together.
pub mod acts;
pub mod cli;
pub mod client;
pub mod command;
mod finding;
pub mod log;
pub mod report;
pub mod socket;
mod store;
#[cfg(test)]
mod tests;
mod user;

pub use acts::{AccountInfo, Accounts, Act, ActError, Acts, Password, SessionInfo};
pub use command::{Args, Argument, Caller, Command, Kind, Permission, Rights, run};
pub use finding::{Finding, Level};
pub use report::{Line, Report};

/// Every administrative command.
pub fn commands() -> impl Iterator<Item = &'static Command> {
    user::COMMANDS.iter().chain(store::COMMANDS)
}
