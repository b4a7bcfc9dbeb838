//! A connection's byte stream: plain or TLS, never generic, and it knows how much the kernel took.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use super::pipe::Pipe;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsStream;

/// A TCP socket that counts the bytes it took, so that progress shows even below TLS.
pub(super) struct Socket {
    tcp: TcpStream,
    written: u32,
}

impl Socket {
    pub(super) fn new(tcp: TcpStream) -> Socket {
        Socket { tcp, written: 0 }
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_read(cx, buf)
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let taken = ready!(Pin::new(&mut self.tcp).poll_write(cx, bytes))?;
        self.written = self.written.wrapping_add(taken as u32);
        Poll::Ready(Ok(taken))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_shutdown(cx)
    }
}

/// What a connection reads from and writes to.
pub(super) enum Io {
    /// A task of its own has it: the beginning, or a handshake.
    Away,
    /// No TLS (yet).
    Plain(Socket),
    /// No socket: requests of HTTP carry it.
    Pipe(Pipe),
    /// Boxed, since rustls' state is large and most of it is on the heap anyway.
    Tls(Box<TlsStream<Socket>>),
}

impl Io {
    /// Bytes the kernel took so far, for comparing.
    pub(super) fn written(&self) -> u32 {
        match self {
            Io::Away | Io::Pipe(_) => 0,
            Io::Plain(socket) => socket.written,
            Io::Tls(stream) => stream.get_ref().0.written,
        }
    }

    /// Reads into `buffer`; 0 is the end.
    pub(super) fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let mut buffer = ReadBuf::new(buffer);
        let read = self.poll_fill(cx, &mut buffer);
        read.map_ok(|()| buffer.filled().len())
    }

    /// Reads into what is free of `buffer`, which need not have been written to before; nothing more in it is the end.
    pub(super) fn poll_fill(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self {
            Io::Away => Poll::Pending,
            Io::Pipe(pipe) => {
                let read = pipe.poll_read(cx, buffer.initialize_unfilled());
                read.map_ok(|length| buffer.advance(length))
            }
            Io::Plain(socket) => Pin::new(socket).poll_read(cx, buffer),
            Io::Tls(stream) => Pin::new(stream).poll_read(cx, buffer),
        }
    }

    /// Writes from the front of `bytes`.
    pub(super) fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self {
            Io::Away => Poll::Pending,
            Io::Pipe(pipe) => pipe.poll_write(cx, bytes),
            Io::Plain(socket) => Pin::new(socket).poll_write(cx, bytes),
            Io::Tls(stream) => Pin::new(stream).poll_write(cx, bytes),
        }
    }

    /// Until the kernel has everything.
    pub(super) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Io::Away => Poll::Pending,
            Io::Pipe(pipe) => pipe.poll_flush(cx),
            Io::Plain(socket) => Pin::new(socket).poll_flush(cx),
            Io::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    /// Says goodbye (in TLS with `close_notify`) and closes the writing half.
    pub(super) fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Io::Away => Poll::Pending,
            Io::Pipe(pipe) => {
                pipe.shutdown();
                Poll::Ready(Ok(()))
            }
            Io::Plain(socket) => Pin::new(socket).poll_shutdown(cx),
            Io::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}
