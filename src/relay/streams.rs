//! Clients on connections: TCP, and TLS over it (RFC 8656 §3.1). One connection, one client.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::task::spawn_local;
use tokio::time::timeout;

use super::allocation::Client;
use super::serve::{Line, Shell};
use super::stun::{self, HEADER};
use crate::runtime::origin::Origin;

/// Silence after which a connection without an allocation ends.
const SILENCE: Duration = Duration::from_secs(30);

/// A byte stream.
pub trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

/// A client that came by a connection.
pub struct Guest {
    /// Its bytes, decrypted.
    pub stream: Box<dyn Stream>,
    /// Whose it is.
    pub address: SocketAddr,
    /// Dropped when the connection is over.
    pub ticket: Box<dyn Send>,
}

impl Guest {
    /// Serves it, if there is room.
    pub(super) fn enter(self, shell: &Rc<Shell>) {
        let bounds = shell.machine.borrow().bounds().clone();
        let origin = Origin::of(self.address.ip());
        {
            let mut connections = shell.connections.borrow_mut();
            let here = connections.get(&origin).copied().unwrap_or_default();
            let all = connections.values().sum::<usize>();
            if all >= bounds.connections || here >= bounds.connections_per_address {
                return;
            }
            *connections.entry(origin).or_default() += 1;
        }
        let client = Client {
            line: shell.new_line(),
            address: self.address,
        };
        let pipe = Rc::new(Pipe {
            queue: RefCell::default(),
            bound: bounds.queue,
            waker: Cell::default(),
        });
        let connection = Connection {
            stream: self.stream,
            client,
            line: Line::Stream(pipe.clone()),
            pipe,
            shell: shell.clone(),
            rest: Vec::new(),
            _ticket: self.ticket,
        };
        spawn_local(connection.serve());
    }
}

/// What waits to be written to a client.
pub(super) struct Pipe {
    queue: RefCell<Queue>,
    bound: usize,
    waker: Cell<Option<Waker>>,
}

/// Bytes, and how many of them are written.
#[derive(Default)]
struct Queue {
    bytes: Vec<u8>,
    written: usize,
}

impl Pipe {
    /// Takes bytes to be written, unless there are too many already.
    pub(super) fn send(&self, bytes: &[u8]) -> bool {
        let mut queue = self.queue.borrow_mut();
        if queue.bytes.len() - queue.written + bytes.len() > self.bound {
            return false;
        }
        queue.bytes.extend_from_slice(bytes);
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
        true
    }
}

struct Connection {
    stream: Box<dyn Stream>,
    client: Client,
    line: Line,
    pipe: Rc<Pipe>,
    shell: Rc<Shell>,
    /// The beginning of a message that is not all there.
    rest: Vec<u8>,
    _ticket: Box<dyn Send>,
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.shell.machine.borrow_mut().gone(self.client.line);
        let mut connections = self.shell.connections.borrow_mut();
        let origin = Origin::of(self.client.address.ip());
        if let Some(here) = connections.get_mut(&origin) {
            *here = here.saturating_sub(1);
            if *here == 0 {
                connections.remove(&origin);
            }
        }
    }
}

impl Connection {
    async fn serve(mut self) {
        loop {
            match timeout(SILENCE, poll_fn(|cx| self.poll(cx))).await {
                Ok(Ok(())) => tokio::task::yield_now().await,
                Ok(Err(error)) => {
                    tracing::debug!(%error, "a connection to the relay ended");
                    return;
                }
                Err(_) if self.shell.machine.borrow().socket(self.client).is_none() => return,
                Err(_) => {}
            }
        }
    }

    /// Writes what waits, and is ready when something was read.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.pipe.waker.set(Some(cx.waker().clone()));
        if let Poll::Ready(Err(error)) = self.poll_write(cx) {
            return Poll::Ready(Err(error));
        }
        let read = ready!(self.poll_read(cx))?;
        if read == 0 {
            return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
        }
        Poll::Ready(Ok(()))
    }

    fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut queue = self.pipe.queue.borrow_mut();
        while let Some(rest) = queue
            .bytes
            .get(queue.written..)
            .filter(|rest| !rest.is_empty())
        {
            let written = ready!(Pin::new(&mut self.stream).poll_write(cx, rest))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            queue.written += written;
        }
        // A client that is silent keeps no memory here.
        *queue = Queue::default();
        drop(queue);
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let shell = self.shell.clone();
        let mut frame = shell.frame.borrow_mut();
        let mut room = ReadBuf::new(frame.room());
        ready!(Pin::new(&mut self.stream).poll_read(cx, &mut room))?;
        let read = room.filled().len();
        frame.received(read);
        let taken = if self.rest.is_empty() {
            let taken = self.take_all(frame.bytes())?;
            self.rest
                .extend_from_slice(frame.bytes().get(taken..).unwrap_or_default());
            return Poll::Ready(Ok(read));
        } else {
            self.rest.extend_from_slice(frame.bytes());
            let rest = std::mem::take(&mut self.rest);
            let taken = self.take_all(&rest);
            self.rest = rest;
            taken?
        };
        self.rest.drain(..taken);
        if self.rest.is_empty() {
            self.rest = Vec::new();
        }
        Poll::Ready(Ok(read))
    }

    /// Takes every message that is all there; how many bytes that was.
    fn take_all(&self, bytes: &[u8]) -> io::Result<usize> {
        let mut at = 0;
        while let Some(rest) = bytes.get(at..)
            && let Some(length) = message_length(rest)?
            && let Some(message) = rest.get(..length)
        {
            self.shell.take(self.client, message, &self.line);
            at += length;
        }
        Ok(at)
    }
}

/// How long the message is that begins here, with what fills it up (RFC 8489 §6.2.2, RFC 8656 §12.5); `None` if too
/// little is there to tell.
///
/// # Errors
/// It is none: nothing after it could be told from anything.
pub fn message_length(bytes: &[u8]) -> io::Result<Option<usize>> {
    let Some(first) = bytes.first() else {
        return Ok(None);
    };
    let length = stun::number(bytes, 2).map(usize::from);
    match first {
        0..=3 => Ok(length.map(|length| HEADER + length)),
        0x40..=0x7f => Ok(length.map(|length| 4 + length.next_multiple_of(4))),
        _ => Err(io::ErrorKind::InvalidData.into()),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn messages_are_cut_from_a_stream() {
        assert_eq!(message_length(&[]).unwrap(), None);
        assert_eq!(message_length(&[0, 1, 0]).unwrap(), None);
        assert_eq!(message_length(&[0, 1, 0, 8]).unwrap(), Some(28));
        assert_eq!(message_length(&[0x40, 0, 0, 5]).unwrap(), Some(12));
        assert!(message_length(&[0x16, 3, 1]).is_err());
        assert!(message_length(&[0x80]).is_err());
    }
}
