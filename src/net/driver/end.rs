//! The end of a connection: the last words, the goodbye, and what must happen however it ends.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use super::{Asking, Connection, Stage, buffers};
use crate::net::socket::Io;
use crate::net::stats::count;
use crate::proto::StreamCondition;
use crate::stream::{End, Input};

/// A bind on its way when its connection ends may still take this long; what it binds is then closed at once.
const ORPHAN_TIME: Duration = Duration::from_secs(60);

impl Connection {
    /// Whether everything queued is written, as far as there is time; then the stream is ended with `system-shutdown`.
    pub(super) fn drain(&mut self, cx: &mut Context<'_>, hears: &Waker) -> bool {
        let until = self.clocks.now + self.live.settings.limits.close;
        self.clocks.stage.get_or_insert(until);
        if self.seat.is_some() {
            let moved = self.poll_write(cx, hears);
            if !self.is_open() || !self.writer.is_drained() {
                return moved;
            }
        }
        self.say_stop();
        true
    }

    /// Whether the stop began, and what is queued is still being written.
    pub(super) fn is_draining(&self) -> bool {
        self.is_open() && self.clocks.stage.is_some()
    }

    pub(super) fn say_stop(&mut self) {
        self.clocks.stage = None;
        self.stopped = true;
        self.stop(StreamCondition::SystemShutdown);
    }

    /// The machine has said everything: write it, then close.
    pub(super) fn flush_and_close(&mut self) {
        self.todo.clear();
        if let Some(frame) = self.reader.close_frame(self.stopped) {
            self.writer.push(frame, self.clocks.now);
        }
        self.stage = Stage::Flushing;
        self.clocks.stage = Some(self.clocks.now + self.live.settings.limits.close);
        self.leave_question();
    }

    /// The client closed its WebSocket. If it did not end its stream before, the session may be resumed (RFC 7395 §3.6).
    pub(super) fn websocket_closed(&mut self) {
        self.seat = None;
        self.drop_machine();
        self.flush_and_close();
    }

    /// Ends the stream with nothing more said; the seat hears why.
    pub(super) fn give_up(&mut self, condition: StreamCondition) {
        if let Some(machine) = &mut self.machine {
            machine.handle(Input::Stop(Some(condition.into())), &mut Vec::new());
        }
        self.abandon();
    }

    /// The connection is lost, or over. Without the machine, the seat (if it has not heard of an end) hears of this one.
    pub(super) fn abandon(&mut self) {
        self.leave_question();
        self.seat = None;
        self.drop_machine();
        self.io = Io::Away;
        self.clocks.stage = None;
        self.stage = Stage::Ended;
    }

    /// Goes through the stages of closing.
    pub(super) fn poll_end(&mut self, cx: &mut Context<'_>) -> bool {
        match self.stage {
            Stage::Flushing if self.writer.is_drained() => {
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
                    self.abandon();
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
                self.abandon();
                true
            }
        }
    }

    /// Caught, because a second panic while one unwinds would end the process.
    fn drop_machine(&mut self) {
        let machine = self.machine.take();
        if catch_unwind(AssertUnwindSafe(|| drop(machine))).is_err() {
            tracing::error!(peer = %self.peer, "a session panicked while it was closed");
        }
    }

    /// A question still on its way is not forgotten: if it binds a session, somebody must close it.
    fn leave_question(&mut self) {
        let questions = self.questions.take();
        if let Some(asking) = questions.and_then(|questions| questions.asking)
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
        {
            runtime.spawn(orphan(asking));
        }
    }
}

async fn orphan(asking: Asking) {
    if let Ok(answer) = tokio::time::timeout(ORPHAN_TIME, asking).await
        && let Some(seat) = answer.into_seat()
    {
        seat.closed(End::ConnectionLost);
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        if std::thread::panicking() {
            count(&self.shared.stats.panics);
            tracing::error!(peer = %self.peer, "a connection panicked; only this connection ends");
        }
        self.leave_question();
        self.drop_machine();
    }
}
