//! One connection of a web client, from its first request to its last.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::AsyncWriteExt;

use super::body::Answered;
use super::request::{self, Becomes, From};
use super::{FrontOptions, Inner, http2};
use crate::net::{Caller, Opened, WebStream};

/// Headers of one request.
const HEADERS: usize = 64;
/// Bytes of a body that are read at once.
const BUFFER: usize = 128 * 1024;
/// The answer to who comes when all places are taken.
const FULL: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 5\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";

/// Serves a connection until it is over, or a WebSocket.
pub(super) async fn serve(front: Arc<Inner>, caller: Caller) -> Option<Opened> {
    let options = front.options.load_full();
    let Some(_seat) = front.seats.connection(options.connections) else {
        front.figures.too_many_connections.count();
        turn_away(caller.stream).await;
        return None;
    };
    let _open = Open::new(&front);
    let from = Arc::new(From {
        peer: caller.peer,
        secure: caller.secure,
        door: caller.door,
        open: AtomicUsize::new(0),
        sending: AtomicUsize::new(0),
        moved: AtomicUsize::new(0),
        becomes: Mutex::default(),
    });
    if caller.http2 {
        http2::serve(&front, caller.stream, &from, &caller.stop).await;
        return None;
    }
    let asked = AtomicBool::new(false);
    let service = service_fn(|request| {
        asked.store(true, Ordering::Relaxed);
        let answer = request::answer(front.clone(), request, from.clone());
        async { Answered::Ok(answer.await) }
    });
    let stream = TokioIo::new(caller.stream);
    let connection = builder(&options).serve_connection(stream, service);
    let mut connection = pin!(connection.with_upgrades());
    let mut first_head = pin!(tokio::time::sleep(options.header_timeout));
    let mut told = false;
    let served = poll_fn(|cx| {
        if caller.stop.is_set() && !std::mem::replace(&mut told, true) {
            connection.as_mut().graceful_shutdown();
        }
        if let Poll::Ready(served) = connection.as_mut().poll(cx) {
            return Poll::Ready(served.map_err(|error| error.to_string()));
        }
        if !asked.load(Ordering::Relaxed) && first_head.as_mut().poll(cx).is_ready() {
            front.figures.slow_headers.count();
            return Poll::Ready(Err("no request in time".to_owned()));
        }
        Poll::Pending
    });
    if let Err(error) = served.await {
        tracing::debug!(peer = %caller.peer, %error, "a web client's connection ended");
        return None;
    }
    let becomes = from
        .becomes
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .take();
    opened(becomes?).await
}

/// The connection again, without what served HTTP on it.
async fn opened(becomes: Becomes) -> Option<Opened> {
    let upgraded = becomes.upgrade.await.ok()?;
    let parts = upgraded.downcast::<TokioIo<WebStream>>().ok()?;
    Some(Opened {
        stream: parts.io.into_inner(),
        read: parts.read_buf,
        peer: becomes.peer,
        page: becomes.page,
    })
}

fn builder(options: &FrontOptions) -> http1::Builder {
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        // The wait for the next request counts into it.
        .header_read_timeout(options.idle_timeout)
        .max_header_size(options.header_bytes)
        .max_headers(HEADERS)
        .max_buf_size(BUFFER.max(options.header_bytes));
    builder
}

async fn turn_away(mut stream: WebStream) {
    // It may be gone already, which is as well.
    let _ = stream.write_all(FULL).await;
    let _ = stream.shutdown().await;
}

/// Counts the connection while it lives.
struct Open(Arc<Inner>);

impl Open {
    fn new(front: &Arc<Inner>) -> Open {
        front.figures.connections.up();
        Open(front.clone())
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.figures.connections.down();
    }
}
