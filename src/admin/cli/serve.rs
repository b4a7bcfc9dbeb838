//! `waxwing serve`: the server in the foreground.

use std::process::ExitCode;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tracing::info;

use super::{Common, Program, Ready, configuration, make_data_dir, print};
use crate::admin::{End, log};
use crate::config::Loaded;

/// The status with which it ends to be started again (EX_TEMPFAIL of sysexits.h).
pub const AGAIN: u8 = 75;

/// Runs it.
pub fn execute(program: &dyn Program, common: &Common) -> ExitCode {
    match configuration(program, common) {
        Ok(loaded) => {
            log::start(&loaded.config.log);
            run(program, loaded, Box::new(|| info!("ready")))
        }
        Err(code) => code,
    }
}

/// Runs a server until a signal ends it.
pub fn run(program: &dyn Program, loaded: Loaded, ready: Ready) -> ExitCode {
    match try_run(program, loaded, ready) {
        Ok(End::Stop) => ExitCode::SUCCESS,
        Ok(End::Restart) => ExitCode::from(AGAIN),
        Err(text) => {
            print::error(&text);
            ExitCode::FAILURE
        }
    }
}

fn try_run(program: &dyn Program, loaded: Loaded, ready: Ready) -> Result<End, String> {
    make_data_dir(&loaded.config.server.data_dir)?;
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    let threads = usize::try_from(loaded.config.server.threads).unwrap_or(0);
    if threads > 0 {
        builder.worker_threads(threads);
    }
    let runtime = builder.thread_name("waxwing").enable_all().build();
    let runtime = runtime.map_err(|error| format!("cannot start: {error}"))?;
    runtime.block_on(async {
        let (stop, stopped) = watch::channel(false);
        let running = program.serve(loaded, ready, stopped);
        let signals = signals(stop)?;
        let result = running.await;
        signals.abort();
        result
    })
}

/// The first SIGTERM or SIGINT drains, the second ends the process at once.
fn signals(stop: watch::Sender<bool>) -> Result<tokio::task::JoinHandle<()>, String> {
    let failed = |error: std::io::Error| format!("cannot listen for signals: {error}");
    let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
    Ok(tokio::spawn(async move {
        for again in [false, true] {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            if again {
                info!("ended at once on the second signal");
                std::process::exit(1);
            }
            info!("shutting down; a second signal ends at once");
            let _ = stop.send(true);
        }
    }))
}
