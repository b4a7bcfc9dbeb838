//! The server from its start to its stop: tells the service manager, reloads on SIGHUP.

use std::sync::Arc;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

use super::Server;
use super::live::Live;
use super::supervisor::Supervisor;
use crate::admin::End;
use crate::admin::cli::Ready;
use crate::config::Loaded;
use crate::hooks::Listed;
use crate::net::{Inherited, tls};
use crate::runtime::clock::Clock;

/// Runs until `stop` becomes true, or an administrator's order is due, and everything is drained.
///
/// # Errors
/// In words: why it could not start.
pub(super) async fn run(
    loaded: Loaded,
    extra: &[Listed],
    ready: Ready,
    mut stop: watch::Receiver<bool>,
) -> Result<End, String> {
    // Before anything else: without it the signal would end the process.
    let hangup = signal(SignalKind::hangup()).map_err(|error| error.to_string())?;
    let supervisor = Supervisor::of_environment();
    let server = Server::start_loaded(&loaded, extra, Inherited::of_environment())
        .await
        .map_err(|error| error.to_string())?;
    for finding in server.tls().check(Clock::system().wall()) {
        log(&finding);
    }
    for address in server.addresses() {
        tracing::info!(%address, "clients can connect");
    }
    for address in server.http_addresses() {
        tracing::info!(%address, "web clients can connect");
    }
    for address in server.component_addresses() {
        tracing::info!(%address, "components can connect");
    }
    if let Some(address) = server.metrics_address() {
        tracing::info!(%address, "metrics can be read");
    }
    ready();
    supervisor.ready();
    let end = tokio::select! {
        // An error means that nobody can ask for a stop any more: the same as being asked.
        _ = stop.wait_for(|stop| *stop) => End::Stop,
        end = server.ordered_to_end() => end,
        () = reloads(hangup, &server.live, &supervisor) => End::Stop,
        () = supervisor.watch(&server.live) => End::Stop,
    };
    supervisor.stopping();
    server.stop().await;
    Ok(end)
}

/// Reloads at every SIGHUP. Never ends.
async fn reloads(mut hangup: Signal, live: &Arc<Live>, supervisor: &Supervisor) {
    while hangup.recv().await.is_some() {
        supervisor.reloading();
        let reloading = live.clone();
        let done = tokio::task::spawn_blocking(move || reloading.reload()).await;
        let done = done.unwrap_or_else(|error| Err(error.to_string()));
        match &done {
            Ok(reloaded) => {
                for line in reloaded.lines() {
                    tracing::info!("reloaded: {line}");
                }
            }
            Err(what) => {
                for line in what.lines() {
                    tracing::error!("not reloaded, nothing was changed: {line}");
                }
            }
        }
        supervisor.reloaded(done.is_ok());
    }
    std::future::pending().await
}

fn log(finding: &tls::Finding) {
    match finding.level {
        tls::Level::Note => tracing::info!("{finding}"),
        tls::Level::Warning => tracing::warn!("{finding}"),
        tls::Level::Error => tracing::error!("{finding}"),
    }
}
