//! Between the connection and its stream machine: inputs in, actions out, questions to the desk.

use std::sync::Arc;
use std::task::{Context, Poll};

use super::{Connection, Stage};
use crate::net::stats::count;
use crate::proto::StreamCondition;
use crate::stream::{Action, Input, Seat};

impl Connection {
    /// Gives the machine an input and does what it wants done.
    pub(super) fn give(&mut self, input: Input) {
        let Some(machine) = &mut self.machine else {
            self.abandon();
            return;
        };
        let mut actions = Vec::new();
        machine.handle(input, &mut actions);
        if !machine.is_bound() {
            // The seat was told of the end, if there was one: it is not asked for anything any more.
            self.seat = None;
        }
        self.todo.extend(actions);
        self.act();
    }

    /// Does what can be done now of what the machine wants, in order.
    pub(super) fn act(&mut self) {
        while self.is_open()
            && let Some(action) = self.todo.pop_front()
        {
            match action {
                Action::Send(bytes) => self.writer.push(bytes, self.clocks.now),
                Action::Restart(limits) => self.reader.restart(limits),
                Action::SetLimits(limits) => self.reader.set_limits(limits),
                Action::Deadline(after) => {
                    self.clocks.machine = after.map(|after| self.clocks.now + after)
                }
                Action::Seated(seat) => self.seated(seat),
                // The seat is asked itself before every element.
                Action::Pause => {}
                Action::Ask(question) if self.asking.is_none() => {
                    self.asking = Some(self.shared.desk.ask(question))
                }
                Action::AskBeside(question) => {
                    let asking = self.shared.desk.ask(question);
                    self.beside.get_or_insert_default().0.push(asking);
                }
                Action::Secure if self.writer.is_drained() => self.secure(),
                Action::Ask(_) | Action::Secure => {
                    self.todo.push_front(action);
                    return;
                }
                Action::Close => self.flush_and_close(),
            }
        }
    }

    /// Whether something must happen before more is read.
    pub(super) fn is_waiting(&self) -> bool {
        !self.is_open() || self.asking.is_some() || !self.todo.is_empty()
    }

    /// Takes the desk's answer.
    pub(super) fn poll_answer(&mut self, cx: &mut Context<'_>) -> bool {
        if !self.is_open() {
            return false;
        }
        let Some(asking) = &mut self.asking else {
            return self.poll_beside(cx);
        };
        let Poll::Ready(answer) = asking.as_mut().poll(cx) else {
            return false;
        };
        self.asking = None;
        self.give(Input::Answer(answer));
        true
    }

    /// The first answer that is there of those that nothing waits for.
    fn poll_beside(&mut self, cx: &mut Context<'_>) -> bool {
        let Some(beside) = &mut self.beside else {
            return false;
        };
        let mut ready = None;
        for (at, asking) in beside.0.iter_mut().enumerate() {
            if let Poll::Ready(answer) = asking.as_mut().poll(cx) {
                ready = Some((at, answer));
                break;
            }
        }
        let Some((at, answer)) = ready else {
            return false;
        };
        // Dropped: it must not be asked again.
        drop(beside.0.swap_remove(at));
        if beside.0.is_empty() {
            self.beside = None;
        }
        self.give(Input::Answer(answer));
        true
    }

    fn seated(&mut self, seat: Arc<dyn Seat>) {
        self.ticket.authenticated();
        count(&self.shared.stats.bound);
        self.login = None;
        self.seat = Some(seat);
    }

    /// A stream header was read: its address chooses the certificate if STARTTLS comes without SNI (RFC 7590 §3.5).
    pub(super) fn heard_header(&mut self, to: Option<Box<str>>) {
        if let Some(login) = &mut self.login {
            login.to = to;
        }
    }

    /// The server stops: what is queued goes out first, within the time that closing may take.
    pub(super) fn obey_stop(&mut self, cx: &mut Context<'_>) -> bool {
        if !self.shared.closing.stopping() {
            return false;
        }
        match self.stage {
            Stage::Opening(_) => {
                self.give_up(StreamCondition::SystemShutdown);
                true
            }
            Stage::Open if !self.stopped => self.drain(cx),
            _ => false,
        }
    }
}
