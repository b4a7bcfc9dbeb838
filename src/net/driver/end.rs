//! The end of a connection: the last words, the goodbye, and the one call of [`Seat::closed`].

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use super::{Asking, Connection, Stage, buffers};
use crate::net::socket::Io;
use crate::net::stats::count;
use crate::proto::StreamCondition;
use crate::stream::{Answer, End, Seat};

/// A bind on its way when its connection ends may still take this long; what it binds is then closed at once.
const ORPHAN_TIME: Duration = Duration::from_secs(60);

/// The seat of a bound session; however this is dropped, the seat hears of the end exactly once.
pub(super) struct Seated {
    seat: Option<Arc<dyn Seat>>,
}

impl Seated {
    pub(super) fn new(seat: Arc<dyn Seat>) -> Seated {
        Seated { seat: Some(seat) }
    }

    /// The seat, while it is open.
    pub(super) fn seat(&self) -> Option<&Arc<dyn Seat>> {
        self.seat.as_ref()
    }

    fn close(&mut self, end: End) {
        if let Some(seat) = self.seat.take() {
            seat.closed(end);
        }
    }
}

impl Drop for Seated {
    fn drop(&mut self) {
        // While a panic unwinds a second one would end the process.
        let closed = catch_unwind(AssertUnwindSafe(|| self.close(End::ConnectionLost)));
        if closed.is_err() {
            tracing::error!("a session panicked while it was closed");
        }
    }
}

impl Connection {
    /// Whether everything queued is written, as far as there is time; then the stream is ended with `system-shutdown`.
    pub(super) fn drain(&mut self, cx: &mut Context<'_>) -> bool {
        if self.end.is_some() {
            return false;
        }
        let close = self.live.settings.limits.close;
        let until = *self.clocks.drained.get_or_insert(self.clocks.now + close);
        if self.clocks.now < until && self.seated.is_some() {
            let moved = self.poll_write(cx);
            if !self.is_open() || !self.writer.is_drained() {
                return moved;
            }
        }
        self.clocks.drained = None;
        self.stop(End::Shutdown, StreamCondition::SystemShutdown);
        true
    }

    /// The machine has said everything: write it, then close.
    pub(super) fn flush_and_close(&mut self) {
        self.todo.clear();
        self.end.get_or_insert(End::Error);
        self.stage = Stage::Flushing;
        self.clocks.stage = Some(self.clocks.now + self.live.settings.limits.close);
        self.leave_question();
    }

    /// The connection is lost, or not worth another word.
    pub(super) fn abandon(&mut self, end: End) {
        self.end.get_or_insert(end);
        self.leave_question();
        self.close_seat();
        self.io = Io::Away;
        self.clocks.stage = None;
        self.stage = Stage::Ended;
    }

    /// Goes through the stages of closing.
    pub(super) fn poll_end(&mut self, cx: &mut Context<'_>) -> bool {
        match self.stage {
            Stage::Flushing if self.writer.is_drained() => {
                self.close_seat();
                self.stage = Stage::Closing;
                true
            }
            Stage::Closing => match self.io.poll_shutdown(cx) {
                Poll::Pending => false,
                Poll::Ready(Ok(())) => {
                    self.stage = Stage::Lingering;
                    true
                }
                Poll::Ready(Err(_)) => {
                    self.abandon(End::ConnectionLost);
                    true
                }
            },
            Stage::Lingering => self.linger(cx),
            _ => false,
        }
    }

    /// Never ends by what is read, only by the peer's end or by time.
    fn linger(&mut self, cx: &mut Context<'_>) -> bool {
        let mut buffer = buffers::take_read();
        let read = self.io.poll_read(cx, &mut buffer);
        buffers::return_read(buffer);
        match read {
            Poll::Pending => false,
            Poll::Ready(Ok(1..)) => true,
            Poll::Ready(_) => {
                self.abandon(End::ConnectionLost);
                true
            }
        }
    }

    fn close_seat(&mut self) {
        self.writer.recycle();
        if let Some(mut seated) = self.seated.take() {
            seated.close(self.end.unwrap_or(End::Error));
        }
    }

    /// A question still on its way is not forgotten: if it binds a session, somebody must close it.
    fn leave_question(&mut self) {
        if let Some(asking) = self.asking.take()
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
        {
            runtime.spawn(orphan(asking));
        }
    }
}

async fn orphan(asking: Asking) {
    if let Ok(Answer::Bound(Ok(bound))) = tokio::time::timeout(ORPHAN_TIME, asking).await {
        bound.seat.closed(End::ConnectionLost);
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        if std::thread::panicking() {
            count(&self.shared.stats.panics);
            tracing::error!(peer = %self.peer, "a connection panicked; only this connection ends");
        }
    }
}
