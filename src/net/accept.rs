//! The accept loop: it outlives every error, and pauses when the process runs out of file descriptors.

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::task::{Context, Poll};
use std::time::Duration;

use rustix::io::Errno;
use tokio::net::{TcpListener, TcpStream};

use super::stats::{NetStats, count};

/// How long to wait for descriptors or memory to come free.
const PAUSE: Duration = Duration::from_millis(250);
/// After an error of unknown kind, so that one that stays does not fill a core.
const BREATH: Duration = Duration::from_millis(10);
/// An error that goes on is logged once in this many times.
const LOG_EVERY: u64 = 240;

/// Where connections come from: a listening socket, or a test.
pub(super) trait Accept: Send + Sync {
    fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<io::Result<(TcpStream, SocketAddr)>>;
}

impl Accept for TcpListener {
    fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<io::Result<(TcpStream, SocketAddr)>> {
        TcpListener::poll_accept(self, cx)
    }
}

/// Hands every accepted connection to `on_connection`, until the task is dropped.
pub(super) async fn run(
    listener: impl Accept,
    stats: &NetStats,
    on_connection: impl Fn(TcpStream, SocketAddr),
) {
    let mut paused: u64 = 0;
    loop {
        match poll_fn(|cx| listener.poll_accept(cx)).await {
            Ok((stream, peer)) => {
                if std::mem::take(&mut paused) > 0 {
                    tracing::info!("accepting connections again");
                }
                on_connection(stream, peer);
            }
            Err(error) => {
                count(&stats.accept_errors);
                if exhausted(&error) {
                    if paused.is_multiple_of(LOG_EVERY) {
                        tracing::error!(%error, "accepting is paused: no file descriptor or memory is left; connected clients are not affected. Raise the limit of open files (LimitNOFILE= in the service file, or ulimit -n)");
                    }
                    paused += 1;
                    count(&stats.accept_pauses);
                    tokio::time::sleep(PAUSE).await;
                } else if !of_the_client(&error) {
                    tracing::warn!(%error, "accept failed");
                    tokio::time::sleep(BREATH).await;
                }
            }
        }
    }
}

fn exhausted(error: &io::Error) -> bool {
    is(
        error,
        &[Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::NOMEM],
    )
}

/// The connection was gone before we took it; the listener is well.
fn of_the_client(error: &io::Error) -> bool {
    is(
        error,
        &[
            Errno::CONNABORTED,
            Errno::CONNRESET,
            Errno::INTR,
            Errno::PROTO,
        ],
    )
}

fn is(error: &io::Error, errnos: &[Errno]) -> bool {
    let code = error.raw_os_error();
    errnos
        .iter()
        .any(|errno| code == Some(errno.raw_os_error()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::collections::VecDeque;
    use std::sync::atomic::Ordering::Relaxed;
    use std::sync::{Arc, Mutex};

    /// Fails as scripted, then accepts.
    struct Failing(TcpListener, Mutex<VecDeque<Errno>>);

    impl Accept for Failing {
        fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<io::Result<(TcpStream, SocketAddr)>> {
            match self.1.lock().unwrap().pop_front() {
                Some(errno) => Poll::Ready(Err(errno.into())),
                None => TcpListener::poll_accept(&self.0, cx),
            }
        }
    }

    #[tokio::test]
    async fn running_out_of_descriptors_pauses_and_ends_nothing() {
        let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = socket.local_addr().unwrap();
        let script = [
            Errno::CONNABORTED,
            Errno::MFILE,
            Errno::NFILE,
            Errno::MFILE,
            Errno::IO,
        ];
        let listener = Failing(socket, Mutex::new(script.into()));
        let (stats, (seen, mut arrived)) = (
            Arc::new(NetStats::default()),
            tokio::sync::mpsc::unbounded_channel(),
        );
        let counted = stats.clone();
        let task = tokio::spawn(async move {
            run(listener, &counted, |_, peer| seen.send(peer).unwrap()).await;
        });
        let started = std::time::Instant::now();
        let client = TcpStream::connect(address).await.unwrap();
        assert_eq!(arrived.recv().await.unwrap(), client.local_addr().unwrap());
        assert!(started.elapsed() >= PAUSE * 3);
        assert_eq!(
            (
                stats.accept_errors.load(Relaxed),
                stats.accept_pauses.load(Relaxed)
            ),
            (5, 3)
        );
        task.abort();
    }
}
