//! The binary: hands the server to the command line.
#![forbid(unsafe_code)]

use std::process::ExitCode;

use tokio::sync::watch;
use waxwing::admin::cli::{self, Program, Ready, Running};
use waxwing::admin::{Acts, Finding};
use waxwing::config::{Loaded, ModuleSettings};

fn main() -> ExitCode {
    cli::main(&Waxwing)
}

struct Waxwing;

impl Program for Waxwing {
    fn modules(&self) -> Vec<ModuleSettings> {
        Vec::new()
    }

    fn serve(&self, _: Loaded, _: Ready, _: watch::Receiver<bool>) -> Running<'_> {
        Box::pin(async { Err("the server is not part of this program yet".to_owned()) })
    }

    fn acts(&self, _: &Loaded) -> Result<Box<dyn Acts>, String> {
        Err("accounts are not part of this program yet".to_owned())
    }

    fn findings(&self, _: &Loaded) -> Vec<Finding> {
        Vec::new()
    }

    fn fingerprint(&self, _: &Loaded, _: &str) -> Result<String, String> {
        Err("certificates are not part of this program yet".to_owned())
    }
}
