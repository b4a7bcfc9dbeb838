//! Between the connection and its stream machine: inputs in, actions out, questions to the desk.

use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use super::{Connection, Questions, Stage};
use crate::net::stats::count;
use crate::proto::StreamCondition;
use crate::stream::{Action, Answer, Input, Seat};

impl Connection {
    /// Gives the machine an input and does what it wants done.
    pub(super) fn give(&mut self, input: Input) {
        let Some(machine) = &mut self.machine else {
            self.abandon();
            return;
        };
        let mut actions = Vec::new();
        machine.handle(input, &mut actions);
        // What it did may have an answer already.
        self.writer.ask_again();
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
                Action::Ask(question) if !self.is_asking() => {
                    let asking = self.shared.desk.ask(question);
                    self.questions.get_or_insert_default().asking = Some(asking);
                }
                Action::AskBeside(question) => {
                    let asking = self.shared.desk.ask(question);
                    self.questions.get_or_insert_default().beside.push(asking);
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
        !self.is_open() || self.is_asking() || !self.todo.is_empty()
    }

    fn is_asking(&self) -> bool {
        let questions = self.questions.as_ref();
        questions.is_some_and(|questions| questions.asking.is_some())
    }

    /// Takes an answer of the desk.
    pub(super) fn poll_answer(&mut self, cx: &mut Context<'_>) -> bool {
        if !self.is_open() {
            return false;
        }
        let questions = self.questions.as_mut();
        let Some(answer) = questions.and_then(|questions| questions.poll(cx)) else {
            return false;
        };
        self.questions.take_if(|questions| questions.is_empty());
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
    pub(super) fn obey_stop(&mut self, cx: &mut Context<'_>, hears: &Waker) -> bool {
        if !self.shared.closing.stopping() {
            return false;
        }
        match self.stage {
            Stage::Opening(_) => {
                self.give_up(StreamCondition::SystemShutdown);
                true
            }
            Stage::Open if !self.stopped => self.drain(cx, hears),
            _ => false,
        }
    }
}

impl Questions {
    /// An answer that is there. While one is waited for, the others wait too.
    fn poll(&mut self, cx: &mut Context<'_>) -> Option<Answer> {
        if let Some(asking) = &mut self.asking {
            let Poll::Ready(answer) = asking.as_mut().poll(cx) else {
                return None;
            };
            self.asking = None;
            return Some(answer);
        }
        for (at, asking) in self.beside.iter_mut().enumerate() {
            if let Poll::Ready(answer) = asking.as_mut().poll(cx) {
                // It must not be asked again.
                drop(self.beside.swap_remove(at));
                return Some(answer);
            }
        }
        None
    }

    fn is_empty(&self) -> bool {
        self.asking.is_none() && self.beside.is_empty()
    }
}
