//! A stream without a socket: who carries its bytes, in requests of HTTP, is in this process.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

/// Bytes that wait for the carrier at once.
const OUTWARD: usize = 16 * 1024;

/// Both ends of a pipe: the connection's and the carrier's.
pub(super) fn pair() -> (Pipe, Carrier) {
    let shared = Arc::new(Mutex::new(Shared::default()));
    (Pipe(shared.clone()), Carrier(shared))
}

#[derive(Default)]
struct Shared {
    inward: Vec<u8>,
    outward: Vec<u8>,
    /// Nobody carries any more.
    dropped: bool,
    /// The connection is over.
    over: bool,
    reader: Option<Waker>,
    writer: Option<Waker>,
    carrier: Option<Waker>,
}

impl Shared {
    fn wake_connection(&mut self) {
        let waiting = [self.reader.take(), self.writer.take()];
        waiting.into_iter().flatten().for_each(Waker::wake);
    }

    fn wake_carrier(&mut self) {
        if let Some(carrier) = self.carrier.take() {
            carrier.wake();
        }
    }
}

fn lock(shared: &Mutex<Shared>) -> MutexGuard<'_, Shared> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The connection's end.
pub(super) struct Pipe(Arc<Mutex<Shared>>);

impl Pipe {
    pub(super) fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        into: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let mut shared = lock(&self.0);
        let length = shared.inward.len().min(into.len());
        if length == 0 {
            if shared.dropped {
                return Poll::Ready(Ok(0));
            }
            shared.reader = Some(cx.waker().clone());
            return Poll::Pending;
        }
        for (place, byte) in into.iter_mut().zip(shared.inward.drain(..length)) {
            *place = byte;
        }
        if shared.inward.is_empty() {
            shared.inward = Vec::new();
            shared.wake_carrier();
        }
        Poll::Ready(Ok(length))
    }

    pub(super) fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let mut shared = lock(&self.0);
        if shared.dropped {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        if shared.outward.len() >= OUTWARD {
            shared.writer = Some(cx.waker().clone());
            return Poll::Pending;
        }
        shared.outward.extend_from_slice(bytes);
        shared.wake_carrier();
        Poll::Ready(Ok(bytes.len()))
    }

    /// Done when everything is in the carrier's hands.
    pub(super) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut shared = lock(&self.0);
        match (shared.outward.is_empty(), shared.dropped) {
            (true, _) => Poll::Ready(Ok(())),
            (_, true) => Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
            (false, false) => {
                shared.writer = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }

    pub(super) fn shutdown(&mut self) {
        let mut shared = lock(&self.0);
        shared.over = true;
        shared.wake_carrier();
    }
}

impl Drop for Pipe {
    fn drop(&mut self) {
        self.shutdown();
    }
}

/// The carrier's end; dropped, the connection is lost.
pub struct Carrier(Arc<Mutex<Shared>>);

impl Carrier {
    /// Takes bytes to the connection.
    pub fn give(&self, bytes: &[u8]) {
        let mut shared = lock(&self.0);
        shared.inward.extend_from_slice(bytes);
        if let Some(reader) = shared.reader.take() {
            reader.wake();
        }
    }

    /// Until the connection has read everything, or is over: who sends too fast waits here.
    pub fn poll_read(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut shared = lock(&self.0);
        if shared.inward.is_empty() || shared.over {
            return Poll::Ready(());
        }
        shared.carrier = Some(cx.waker().clone());
        Poll::Pending
    }

    /// What the connection has written; `None` once it is over and everything was taken.
    pub fn poll_taken(&self, cx: &mut Context<'_>) -> Poll<Option<Vec<u8>>> {
        let mut shared = lock(&self.0);
        if !shared.outward.is_empty() {
            let taken = std::mem::take(&mut shared.outward);
            if let Some(writer) = shared.writer.take() {
                writer.wake();
            }
            return Poll::Ready(Some(taken));
        }
        if shared.over {
            return Poll::Ready(None);
        }
        shared.carrier = Some(cx.waker().clone());
        Poll::Pending
    }
}

impl Drop for Carrier {
    fn drop(&mut self) {
        let mut shared = lock(&self.0);
        shared.dropped = true;
        shared.wake_connection();
    }
}
