//! Both directions of one stream, with another server or with a component: what waits to be written, and how much of what
//! came is not through. Bounded both ways.

use std::collections::VecDeque;
use std::task::{Context, Poll, Waker};

use crate::config::Bytes;
use crate::hooks::Pushed;
use crate::proto::StreamError;
use crate::session::tally::Tally;
use crate::stream::{Intake, Outgoing};

/// Bytes handed to the driver at once.
pub(crate) const CHUNK: usize = 16 * 1024;

/// What is not kept takes at least so many bytes of what is left for it.
const LEAST: usize = 256;

/// How much one stream holds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Capacity {
    /// Stanzas that wait to be written, or to be acknowledged.
    pub stanzas: usize,
    /// Their bytes; the rest waits on disk.
    pub bytes: usize,
    /// Bytes with those of what is not kept.
    pub passing: usize,
    /// Stanzas from the other side that are not through; further ones are not read yet.
    pub window: u32,
}

impl Capacity {
    /// As configured.
    pub fn new(stanzas: u32, bytes: Bytes, passing: Bytes, window: u32) -> Capacity {
        Capacity {
            stanzas: usize::try_from(stanzas).unwrap_or(usize::MAX),
            bytes: bytes.as_usize(),
            passing: passing.as_usize(),
            window,
        }
    }

    /// Stanzas and bytes before one more, which is `kept` or not.
    fn before(&self, kept: bool) -> (usize, usize) {
        match kept {
            true => (self.stanzas, self.bytes),
            false => (
                self.stanzas.max(self.passing / LEAST),
                self.bytes.max(self.passing),
            ),
        }
    }
}

/// What goes over one stream.
pub(crate) struct Flow<T> {
    capacity: Capacity,
    queue: VecDeque<(T, usize)>,
    bytes: usize,
    writer: Option<Waker>,
    reader: Option<Waker>,
    ending: Option<Option<StreamError>>,
    wants_room: bool,
    paused: bool,
    pub tally: Tally,
}

impl<T> Flow<T> {
    pub fn new(capacity: Capacity) -> Flow<T> {
        Flow {
            capacity,
            queue: VecDeque::new(),
            bytes: 0,
            writer: None,
            reader: None,
            ending: None,
            wants_room: false,
            paused: false,
            tally: Tally::default(),
        }
    }

    /// Queues something of a size, if there is room beside the stanzas and bytes that are `held` elsewhere. One always
    /// finds room where nothing else is, and what is not `kept` finds more of it: a room says at once to who enters who is
    /// there.
    pub fn push(&mut self, item: T, kept: bool, size: usize, held: (usize, usize)) -> Pushed {
        if self.ending.is_some() {
            return Pushed::Closed;
        }
        let stanzas = self.queue.len() + held.0;
        let (most, bytes) = self.capacity.before(kept);
        let full =
            stanzas >= most || self.bytes.saturating_add(held.1).saturating_add(size) > bytes;
        if full && stanzas > 0 {
            self.wants_room = true;
            return Pushed::Full;
        }
        self.bytes += size;
        self.queue.push_back((item, size));
        Pushed::Queued
    }

    /// Takes out what is to be written next, with its size.
    pub fn pop(&mut self) -> Option<(T, usize)> {
        let next = self.queue.pop_front();
        if let Some((_, size)) = &next {
            self.bytes = self.bytes.saturating_sub(*size);
        } else if self.queue.capacity() > 16 {
            self.queue = VecDeque::new();
        }
        next
    }

    /// Puts back what was written in vain, before everything else.
    pub fn put_back(&mut self, items: impl DoubleEndedIterator<Item = (T, usize)>) {
        for (item, size) in items.rev() {
            self.bytes += size;
            self.queue.push_front((item, size));
        }
    }

    /// Takes out everything.
    pub fn drain(&mut self) -> VecDeque<(T, usize)> {
        self.bytes = 0;
        std::mem::take(&mut self.queue)
    }

    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    pub fn len(&self) -> usize {
        self.queue.len()
    }

    /// Whether who waits for room is to hear that half of it is free again.
    pub fn room_again(&mut self, held: (usize, usize)) -> bool {
        let free = self.queue.len() + held.0 <= self.capacity.stanzas / 2
            && self.bytes.saturating_add(held.1) <= self.capacity.bytes / 2;
        self.wants_room && free && std::mem::replace(&mut self.wants_room, false)
    }

    /// The stream ends once what is queued is written; only the first reason counts.
    pub fn end(&mut self, error: Option<StreamError>) -> Option<Waker> {
        self.ending.get_or_insert(error);
        self.writer.take()
    }

    pub fn is_ending(&self) -> bool {
        self.ending.is_some()
    }

    /// Whoever writes to the stream, to be woken.
    pub fn writer(&mut self) -> Option<Waker> {
        self.writer.take()
    }

    /// Whoever reads from the stream, to be woken if there is room.
    pub fn reader(&mut self) -> Option<Waker> {
        match self.is_full() {
            true => None,
            false => self.reader.take(),
        }
    }

    /// Whether no more is to be read for now.
    pub fn is_full(&self) -> bool {
        self.paused || self.tally.outstanding() >= self.capacity.window
    }

    /// No more is read until [`Flow::unpause`].
    pub fn pause(&mut self) {
        self.paused = true;
    }

    /// Reading goes on; whoever reads, to be woken.
    pub fn unpause(&mut self) -> Option<Waker> {
        self.paused = false;
        self.reader()
    }

    pub fn intake(&self) -> Intake {
        match self.is_full() {
            true => Intake::Busy,
            false => Intake::Ready,
        }
    }

    pub fn poll_intake(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.is_full() {
            self.reader = Some(cx.waker().clone());
            return Poll::Pending;
        }
        Poll::Ready(())
    }

    /// Ready when everything that came is through.
    pub fn poll_settled(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.tally.outstanding() == 0 {
            return Poll::Ready(());
        }
        self.reader = Some(cx.waker().clone());
        Poll::Pending
    }

    /// What the driver is told after `wrote` says whether there was something to write.
    pub fn answer(&mut self, wrote: bool, cx: &mut Context<'_>) -> Poll<Outgoing> {
        if wrote {
            return Poll::Ready(Outgoing::Data);
        }
        if let Some(error) = self.ending.clone() {
            return Poll::Ready(Outgoing::End(error));
        }
        self.writer = Some(cx.waker().clone());
        Poll::Pending
    }
}

pub(crate) fn wake(waker: Option<Waker>) {
    if let Some(waker) = waker {
        waker.wake();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flow() -> Flow<u32> {
        Flow::new(Capacity {
            stanzas: 4,
            bytes: 100,
            passing: 8 * LEAST,
            window: 2,
        })
    }

    #[test]
    fn it_is_bounded_by_number_and_size_and_tells_when_half_is_free() {
        let mut flow = flow();
        assert_eq!(
            flow.push(0, true, 1000, (0, 0)),
            Pushed::Queued,
            "one always fits"
        );
        assert_eq!(flow.push(1, true, 1, (0, 0)), Pushed::Full);
        assert_eq!(flow.pop(), Some((0, 1000)));
        assert!(flow.room_again((0, 0)));
        assert!(!flow.room_again((0, 0)), "it is told once");
        for n in 0..3 {
            assert_eq!(flow.push(n, true, 1, (1, 10)), Pushed::Queued);
        }
        assert_eq!(flow.push(3, true, 1, (1, 10)), Pushed::Full);
        assert!(!flow.room_again((0, 0)), "three of four are there");
        assert_eq!(flow.pop(), Some((0, 1)));
        assert!(!flow.room_again((0, 60)));
        assert!(flow.room_again((0, 0)));
    }

    #[test]
    fn what_is_not_kept_finds_more_room() {
        let mut flow = flow();
        for n in 0..8 {
            assert_eq!(flow.push(n, false, 200, (0, 0)), Pushed::Queued, "{n}");
            assert_eq!(flow.push(n, true, 1, (1, 0)), Pushed::Full);
        }
        assert_eq!(flow.push(8, false, 200, (0, 0)), Pushed::Full);
        assert_eq!(flow.pop(), Some((0, 200)));
        assert_eq!(flow.push(8, false, 1000, (0, 0)), Pushed::Full);
        assert_eq!(flow.push(8, false, 200, (0, 0)), Pushed::Queued);
    }

    #[test]
    fn what_was_written_in_vain_comes_first_again() {
        let mut flow = flow();
        let written: Vec<_> = [(1, 10), (2, 10)].into();
        assert_eq!(flow.push(3, true, 10, (0, 0)), Pushed::Queued);
        flow.put_back(written.into_iter());
        let all: Vec<_> = std::iter::from_fn(|| flow.pop()).map(|(n, _)| n).collect();
        assert_eq!(all, [1, 2, 3]);
        assert_eq!(flow.bytes, 0);
        flow.end(None);
        assert_eq!(flow.push(4, true, 1, (0, 0)), Pushed::Closed);
    }

    #[test]
    fn what_is_not_through_stops_the_reading() {
        let mut flow = flow();
        let first = flow.tally.take();
        assert_eq!(flow.intake(), Intake::Ready);
        flow.tally.take();
        assert_eq!(flow.intake(), Intake::Busy);
        flow.tally.complete(first, true);
        assert_eq!(flow.intake(), Intake::Ready);
    }
}
