//! Connections that speak HTTP or SOCKS: how the first are told from XMPP, and the door through which they go over to the room
//! that serves them.

use std::future::Future;
use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;

use super::closing::Closing;
use super::driver::{Connection, drive};
use super::limits::Refused;
use super::pipe::{self, Carrier};
use super::serve::{Live, Shared};
use super::socket::Io;

/// What a request of HTTP/1.1 begins with (RFC 9110 §9.3). XMPP begins with `<` or white space.
const METHODS: [&[u8]; 9] = [
    b"GET ",
    b"HEAD ",
    b"POST ",
    b"PUT ",
    b"DELETE ",
    b"OPTIONS ",
    b"PATCH ",
    b"CONNECT ",
    b"TRACE ",
];

/// The ALPN names of HTTP/1.1 (RFC 7301 §6) and of HTTP/2 (RFC 9113 §3.2).
pub(super) const HTTP1: &[u8] = b"http/1.1";
pub(super) const HTTP2: &[u8] = b"h2";

/// The ALPN name of TURN (RFC 7443 §3).
pub(super) const TURN: &[u8] = b"stun.turn";

/// Whether the first bytes of a connection can be those of a STUN request (RFC 8489 §5).
pub(super) fn is_stun(first: &[u8]) -> bool {
    matches!(first, [0, ..])
}

/// Whether the first bytes of a connection can be those of an HTTP request.
pub(super) fn is_http(first: &[u8]) -> bool {
    METHODS.iter().any(|method| {
        method
            .iter()
            .zip(first)
            .all(|(method, byte)| method == byte)
    })
}

/// Serves connections that speak no XMPP; the rooms of HTTP and SOCKS implement it.
pub trait Front: Send + Sync {
    /// Serves a connection until it is over, or has become a WebSocket for XMPP. It must end by itself in bounded time if
    /// the peer does nothing, and soon once the server stops.
    fn serve(&self, caller: Caller) -> Serving;
}

/// A connection being served.
pub type Serving = Pin<Box<dyn Future<Output = Option<Opened>> + Send>>;

/// A WebSocket: what goes on as XMPP.
pub struct Opened {
    /// Its bytes.
    pub stream: WebStream,
    /// Those that were read already.
    pub read: Bytes,
    /// Whose it is.
    pub peer: IpAddr,
    /// A web page opened it, which cannot bind to TLS.
    pub page: bool,
}

/// A connection that speaks no XMPP.
pub struct Caller {
    /// Its bytes, decrypted.
    pub stream: WebStream,
    /// Whose it is, as far as the PROXY protocol tells.
    pub peer: IpAddr,
    /// Its port there.
    pub port: u16,
    /// Whether what is sent here can be read by nobody else: TLS, or a place that counts as secure without.
    pub secure: bool,
    /// Whether it is HTTP/2 that it speaks, as it said when TLS began.
    pub http2: bool,
    /// The stop of the server.
    pub stop: Stop,
    /// Where streams begin that requests carry.
    pub door: Door,
}

/// Where streams begin that no socket carries but requests of HTTP (XEP-0124).
pub struct Door {
    pub(super) shared: Arc<Shared>,
    pub(super) live: Arc<Live>,
}

impl Door {
    /// Begins a stream of XMPP in WebSocket messages for a client of this address. It counts as a connection of its own.
    ///
    /// # Errors
    /// There are too many already.
    pub fn open(&self, peer: IpAddr) -> Result<Carrier, Refused> {
        let ticket = self.shared.admission.admit(Some(peer))?;
        let (pipe, carrier) = pipe::pair();
        let (shared, live) = (self.shared.clone(), self.live.clone());
        let connection = Connection::carried(shared, live, (pipe, peer), ticket);
        tokio::spawn(drive(connection));
        Ok(carrier)
    }
}

/// Tells whether the server stops; the connection's task is woken when it does.
pub struct Stop(pub(super) Arc<Closing>);

impl Stop {
    /// Whether connections shall end.
    pub fn is_set(&self) -> bool {
        self.0.stopping()
    }
}

/// The bytes of a connection that speaks no XMPP. A write that makes no progress for too long is an error.
pub struct WebStream {
    io: Io,
    /// Read already, and how much of it was handed on.
    before: (Vec<u8>, usize),
    /// How long a write may make no progress.
    patience: Duration,
    stalled: Option<Pin<Box<Sleep>>>,
}

impl WebStream {
    pub(super) fn new(io: Io, before: Vec<u8>, patience: Duration) -> WebStream {
        WebStream {
            io,
            before: (before, 0),
            patience,
            stalled: None,
        }
    }

    /// The connection again; `None` if something that was read is not handed on yet.
    pub(super) fn into_io(self) -> Option<Io> {
        self.before.0.is_empty().then_some(self.io)
    }

    /// What became of a write; if nothing, for how long already.
    fn progress<T>(
        &mut self,
        cx: &mut Context<'_>,
        outcome: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if outcome.is_ready() {
            self.stalled = None;
            return outcome;
        }
        let patience = self.patience;
        let stalled = self
            .stalled
            .get_or_insert_with(|| Box::pin(tokio::time::sleep(patience)));
        match stalled.as_mut().poll(cx) {
            Poll::Ready(()) => Poll::Ready(Err(io::ErrorKind::TimedOut.into())),
            Poll::Pending => Poll::Pending,
        }
    }
}

impl AsyncRead for WebStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let (before, at) = &mut this.before;
        if let Some(rest) = before.get(*at..).filter(|rest| !rest.is_empty()) {
            let piece = rest.get(..into.remaining()).unwrap_or(rest);
            into.put_slice(piece);
            *at += piece.len();
            if *at == before.len() {
                this.before = (Vec::new(), 0);
            }
            return Poll::Ready(Ok(()));
        }
        // What hyper has free is many times what comes at once: it is not cleared for each read.
        this.io.poll_fill(cx, into)
    }
}

impl AsyncWrite for WebStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let outcome = self.io.poll_write(cx, bytes);
        self.progress(cx, outcome)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let outcome = self.io.poll_flush(cx);
        self.progress(cx, outcome)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let outcome = self.io.poll_shutdown(cx);
        self.progress(cx, outcome)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_method_word_is_http_and_nothing_else_is() {
        for http in ["GET / HTTP/1.1\r\n", "P", "PO", "OPTIONS * HTTP/1.1"] {
            assert!(is_http(http.as_bytes()), "{http}");
        }
        for other in [
            "<",
            " <stream",
            "GETX",
            "get / HTTP/1.1",
            "\r\n",
            "EHLO x",
            "\u{feff}<",
        ] {
            assert!(!is_http(other.as_bytes()), "{other}");
        }
    }
}
