//! The binary: hands the server to the command line.
#![forbid(unsafe_code)]

use std::process::ExitCode;

fn main() -> ExitCode {
    waxwing::admin::cli::main(&waxwing::server::Waxwing::default())
}
