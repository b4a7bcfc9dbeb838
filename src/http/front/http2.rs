//! HTTP/2 (RFC 9113) on a connection that asked for it by ALPN. WebSockets begin with HTTP/1.1 only.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::time::{Instant, Sleep};

use super::body::Answered;
use super::request::{self, From};
use super::{FrontOptions, Inner};
use crate::net::{Stop, WebStream};

/// Bytes of bodies that may come before they are asked for: of a request, and of a connection.
const WINDOW: u32 = 256 * 1024;
const WINDOWS: u32 = 1024 * 1024;
/// Bytes of one answer that wait to be sent.
const SENDING: usize = 128 * 1024;
/// Requests that a client took back, or that ended with an error, before anybody had looked at them; beyond it the connection
/// ends (CVE-2023-44487).
const TAKEN_BACK: usize = 20;

/// Serves a connection until it is over: by the client, or because there was no request for too long.
pub(super) async fn serve(front: &Arc<Inner>, stream: WebStream, from: &Arc<From>, stop: &Stop) {
    let options = front.options.load_full();
    let service = service_fn(|request| {
        let answer = request::answer(front.clone(), request, from.clone());
        async { Answered::Ok(answer.await) }
    });
    let connection = builder(&options).serve_connection(TokioIo::new(stream), service);
    let mut connection = pin!(connection);
    let mut told = false;
    let mut watch = Watch::new(&options);
    let served = poll_fn(|cx| {
        if stop.is_set() && !std::mem::replace(&mut told, true) {
            connection.as_mut().graceful_shutdown();
        }
        if let Poll::Ready(served) = connection.as_mut().poll(cx) {
            return Poll::Ready(served.map_err(|error| error.to_string()));
        }
        watch.poll(cx, from).map(|why| {
            front.figures.slow_headers.count();
            Err(why.to_owned())
        })
    });
    if let Err(error) = served.await {
        tracing::debug!(peer = %from.peer, %error, "a web client's connection ended");
    }
}

/// Finds out that nothing is asked, or that nothing of what was asked is taken: below, a connection is alive all the same.
struct Watch {
    patience: Duration,
    /// Until when the next request must have come whole, while there is none.
    idle: Pin<Box<Sleep>>,
    busy: bool,
    /// Until when something must have been taken, while something is sent.
    stalled: Pin<Box<Sleep>>,
    moved: usize,
}

impl Watch {
    /// The first request has less time than those after it.
    fn new(options: &FrontOptions) -> Watch {
        let patience = options.idle_timeout;
        Watch {
            patience,
            idle: Box::pin(tokio::time::sleep(options.header_timeout)),
            busy: false,
            stalled: Box::pin(tokio::time::sleep(patience)),
            moved: 0,
        }
    }

    /// Why the connection is to end.
    fn poll(&mut self, cx: &mut Context<'_>, from: &From) -> Poll<&'static str> {
        if from.open.load(Ordering::Relaxed) > 0 {
            self.busy = true;
        } else if std::mem::take(&mut self.busy) {
            self.idle.as_mut().reset(Instant::now() + self.patience);
        }
        if !self.busy && self.idle.as_mut().poll(cx).is_ready() {
            return Poll::Ready("no request in time");
        }
        while self.stalled.as_mut().poll(cx).is_ready() {
            let before = std::mem::replace(&mut self.moved, from.moved.load(Ordering::Relaxed));
            if from.sending.load(Ordering::Relaxed) > 0 && before == self.moved {
                return Poll::Ready("nothing of what is sent is taken");
            }
            self.stalled.as_mut().reset(Instant::now() + self.patience);
        }
        Poll::Pending
    }
}

fn builder(options: &FrontOptions) -> http2::Builder<TokioExecutor> {
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder
        .timer(TokioTimer::new())
        .max_concurrent_streams(options.streams)
        .max_header_list_size(u32::try_from(options.header_bytes).unwrap_or(u32::MAX))
        .max_pending_accept_reset_streams(TAKEN_BACK)
        .max_local_error_reset_streams(TAKEN_BACK)
        .initial_stream_window_size(WINDOW)
        .initial_connection_window_size(WINDOWS)
        .max_send_buf_size(SENDING)
        .keep_alive_interval(options.idle_timeout)
        .keep_alive_timeout(options.body_timeout);
    builder
}
