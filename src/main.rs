//! The binary: hands the server to the command line.
#![forbid(unsafe_code)]

use std::process::ExitCode;

/// Gives memory back after a crowd has left, which the system's allocator does not.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    waxwing::admin::cli::main(&waxwing::server::Waxwing::default())
}
