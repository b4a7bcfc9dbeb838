//! Writing: everything there is to say merged into one buffer that exists only meanwhile; one flush when it is drained.

use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tokio::time::Instant;

use super::{Connection, Stage, buffers};
use crate::net::socket::Io;
use crate::net::stats::add;
use crate::proto::StreamError;
use crate::stream::{Input, Outgoing};

/// The seat is asked for more until this much is ready to be written.
const FILL_BYTES: usize = 16 * 1024;

/// Who was written to so recently is written to by its task: what comes next may go along.
const QUIET: Duration = Duration::from_millis(1);

/// What is to be written, and how that goes.
pub(super) struct Writer {
    buffer: Vec<u8>,
    /// Bytes of it that are written.
    at: usize,
    /// Something was written since the last flush.
    unflushed: bool,
    /// The seat has something in the buffer or in the socket that it was not told about.
    owes_seat: bool,
    /// The seat had nothing more to say, and wakes us when it has.
    told_all: bool,
    /// What [`Io::written`] was at the last progress, and when that was.
    mark: u32,
    progressed: Instant,
}

impl Writer {
    pub(super) fn new(now: Instant) -> Writer {
        Writer {
            buffer: Vec::new(),
            at: 0,
            unflushed: false,
            owes_seat: false,
            told_all: false,
            mark: 0,
            progressed: now,
        }
    }

    /// The seat may have something to say.
    pub(super) fn ask_again(&mut self) {
        self.told_all = false;
    }

    /// Appends what the machine says.
    pub(super) fn push(&mut self, bytes: Vec<u8>, now: Instant) {
        if self.is_drained() {
            self.progressed = now;
        }
        if self.buffer.capacity() == 0 {
            self.buffer = bytes;
        } else {
            self.buffer.extend_from_slice(&bytes);
        }
    }

    /// Bytes that wait here.
    pub(super) fn backlog(&self) -> usize {
        self.buffer.len().saturating_sub(self.at)
    }

    /// Nothing waits, neither here nor in TLS.
    pub(super) fn is_drained(&self) -> bool {
        self.buffer.is_empty() && !self.unflushed
    }

    /// Notes whether the kernel took more.
    pub(super) fn progress(&mut self, now: Instant, io: &Io) {
        let written = io.written();
        if written != self.mark {
            self.mark = written;
            self.progressed = now;
        }
    }

    /// Gives the buffer back to the thread.
    pub(super) fn recycle(&mut self) {
        self.at = 0;
        buffers::return_write(std::mem::take(&mut self.buffer));
    }
}

impl Connection {
    /// When the write has made no progress for too long.
    pub(super) fn stalled_at(&self) -> Option<Instant> {
        // Of what no socket takes, the carrier knows how long it may take.
        let waiting = !matches!(self.io, Io::Pipe(_))
            && !self.writer.is_drained()
            && matches!(self.stage, Stage::Open | Stage::Flushing);
        waiting.then(|| self.writer.progressed + self.live.options.timeouts.write)
    }

    /// Writes at once what the seat has to say, unless something was written a moment ago. Whether nothing of it is left, nor
    /// anything else to be done.
    pub(super) fn say(&mut self, cx: &mut Context<'_>, hears: &Waker) -> bool {
        let now = Instant::now();
        let quiet = now.saturating_duration_since(self.writer.progressed) >= QUIET;
        if !self.is_open() || !quiet || !self.writer.is_drained() || self.seat.is_none() {
            return false;
        }
        self.clocks.now = now;
        self.writer.ask_again();
        self.poll_write(cx, hears);
        self.is_open() && self.writer.is_drained() && self.writer.told_all
    }

    /// Writes until the socket or the queue says stop.
    pub(super) fn poll_write(&mut self, cx: &mut Context<'_>, hears: &Waker) -> bool {
        if !matches!(self.stage, Stage::Open | Stage::Flushing) {
            return false;
        }
        let mut moved = false;
        loop {
            let end = self.fill(hears);
            match self.write_some(cx) {
                Ok(true) => moved = true,
                Ok(false) => return self.ended(end) | moved,
                Err(_) => {
                    self.abandon();
                    return true;
                }
            }
            if self.ended(end) {
                return true;
            }
        }
    }

    /// Asks the seat for more. `Some`: it has no more to say, ever.
    fn fill(&mut self, hears: &Waker) -> Option<Option<StreamError>> {
        if !self.is_open() || self.writer.told_all || self.writer.buffer.len() >= FILL_BYTES {
            return None;
        }
        let seat = self.seat.as_ref()?;
        let cx = &mut Context::from_waker(hears);
        let writer = &mut self.writer;
        if writer.buffer.capacity() == 0 {
            writer.buffer = buffers::take_write();
        }
        let drained = writer.is_drained();
        let before = writer.buffer.len();
        let mut end = None;
        while writer.buffer.len() < FILL_BYTES {
            match seat.poll_outgoing(cx, &mut writer.buffer) {
                Poll::Ready(Outgoing::Data) => writer.owes_seat = true,
                Poll::Ready(Outgoing::End(error)) => {
                    end = Some(error);
                    break;
                }
                Poll::Pending => {
                    writer.told_all = true;
                    break;
                }
            }
        }
        if writer.buffer.is_empty() {
            writer.recycle();
        } else if drained && writer.buffer.len() > before {
            writer.progressed = self.clocks.now;
        }
        end
    }

    fn ended(&mut self, end: Option<Option<StreamError>>) -> bool {
        let Some(error) = end else {
            return false;
        };
        self.give(Input::Stop(error));
        true
    }

    /// One write, or when nothing is left one flush; whether anything moved.
    fn write_some(&mut self, cx: &mut Context<'_>) -> std::io::Result<bool> {
        let writer = &mut self.writer;
        if let Some(rest) = writer
            .buffer
            .get(writer.at..)
            .filter(|rest| !rest.is_empty())
        {
            let Poll::Ready(taken) = self.io.poll_write(cx, rest) else {
                writer.progress(self.clocks.now, &self.io);
                return Ok(false);
            };
            let taken = taken?;
            add(&self.shared.stats.bytes_out, taken);
            writer.at += taken;
            writer.unflushed = true;
            if writer.at >= writer.buffer.len() {
                writer.recycle();
            }
            writer.progress(self.clocks.now, &self.io);
            return Ok(true);
        }
        if !writer.unflushed {
            return Ok(false);
        }
        let flushed = self.io.poll_flush(cx);
        writer.progress(self.clocks.now, &self.io);
        let Poll::Ready(flushed) = flushed else {
            return Ok(false);
        };
        flushed?;
        writer.unflushed = false;
        if std::mem::take(&mut writer.owes_seat)
            && let Some(seat) = &self.seat
        {
            seat.written();
        }
        // What waited for the last byte to be out, such as a handshake.
        self.act();
        Ok(true)
    }
}
