//! What the service manager is told (sd_notify, as systemd documents it): ready, reloading, stopping, still alive.

use std::ffi::OsString;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

use super::live::Live;

/// The way to whoever started this process; none where nobody wants to know.
pub(super) struct Supervisor {
    socket: Option<UnixDatagram>,
    /// How long it may hear nothing.
    watchdog: Option<Duration>,
}

impl Supervisor {
    /// As the environment says (NOTIFY_SOCKET, WATCHDOG_USEC, WATCHDOG_PID).
    pub(super) fn of_environment() -> Self {
        let number = |name| std::env::var(name).ok()?.parse::<u64>().ok();
        let own = u64::from(std::process::id());
        let ours = number("WATCHDOG_PID").is_none_or(|pid| pid == own);
        let watchdog = number("WATCHDOG_USEC").filter(|usec| ours && *usec > 0);
        Supervisor {
            socket: std::env::var_os("NOTIFY_SOCKET").and_then(connect),
            watchdog: watchdog.map(Duration::from_micros),
        }
    }

    pub(super) fn ready(&self) {
        self.tell("READY=1\nSTATUS=Clients can connect");
    }

    pub(super) fn stopping(&self) {
        self.tell("STOPPING=1\nSTATUS=Closing streams");
    }

    /// A reload begins; [`Supervisor::reloaded`] must follow.
    pub(super) fn reloading(&self) {
        let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
        let usec = now.tv_sec.saturating_mul(1_000_000) + now.tv_nsec / 1_000;
        self.tell(&format!("RELOADING=1\nMONOTONIC_USEC={usec}"));
    }

    pub(super) fn reloaded(&self, well: bool) {
        let status = if well {
            "Clients can connect"
        } else {
            "Clients can connect; the last reload was refused"
        };
        self.tell(&format!("READY=1\nSTATUS={status}"));
    }

    /// Says that the server lives for as long as it does: while new tasks run and the store answers. Never ends.
    pub(super) async fn watch(&self, live: &Live) {
        let Some(patience) = self.watchdog else {
            return std::future::pending().await;
        };
        let mut ticks = tokio::time::interval(patience / 3);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            if tokio::time::timeout(patience / 2, live.progresses()).await == Ok(true) {
                self.tell("WATCHDOG=1");
            } else {
                tracing::error!(
                    "the server makes no progress: the service manager is not told that it lives"
                );
            }
        }
    }

    fn tell(&self, what: &str) {
        if let Some(socket) = &self.socket
            && let Err(error) = socket.send(what.as_bytes())
        {
            tracing::warn!(%error, "the service manager cannot be told anything");
        }
    }
}

impl Live {
    /// Whether a new task is run and the store answers; not before both are.
    async fn progresses(&self) -> bool {
        let ran = tokio::spawn(async {}).await.is_ok();
        ran && self.store.reading(|_| Ok(())).await.is_ok()
    }
}

/// A path, or after an @ the name of an abstract socket.
fn connect(address: OsString) -> Option<UnixDatagram> {
    let bytes = address.as_bytes();
    let address = match bytes.strip_prefix(b"@") {
        Some(name) => SocketAddr::from_abstract_name(name),
        None => SocketAddr::from_pathname(std::path::Path::new(&address)),
    };
    let socket = UnixDatagram::unbound().ok()?;
    let connected = address.and_then(|address| socket.connect_addr(&address));
    match connected {
        Ok(()) => Some(socket),
        Err(error) => {
            tracing::warn!(%error, "NOTIFY_SOCKET cannot be reached");
            None
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;

    #[test]
    fn messages_arrive_at_a_path_and_at_an_abstract_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let by_path = UnixDatagram::bind(&path).unwrap();
        let name = format!("waxwing-test-{}", std::process::id());
        let abstract_address = SocketAddr::from_abstract_name(&name).unwrap();
        let by_name = UnixDatagram::bind_addr(&abstract_address).unwrap();
        for (address, socket) in [
            (path.into_os_string(), by_path),
            (format!("@{name}").into(), by_name),
        ] {
            let supervisor = Supervisor {
                socket: connect(address),
                watchdog: None,
            };
            supervisor.stopping();
            let mut buffer = [0; 100];
            let length = socket.recv(&mut buffer).unwrap();
            assert!(buffer[..length].starts_with(b"STOPPING=1\n"));
        }
        assert!(connect("/nowhere/at/all".into()).is_none());
    }
}
