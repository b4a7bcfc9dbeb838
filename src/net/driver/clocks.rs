//! The times of a connection, all behind one timer.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Instant, Sleep};

use super::open::Opening;
use super::{Connection, Stage};
use crate::net::stats::count;
use crate::proto::{StreamCondition, StreamError};
use crate::stream::Input;
use crate::stream::server::Failure;

/// When what must have happened.
pub(super) struct Clocks {
    /// The start of this round.
    pub(super) now: Instant,
    /// The stage must be over by then; while open only when the server stops: then what is queued must be written by then.
    pub(super) stage: Option<Instant>,
    /// The stream machine's own deadline.
    pub(super) machine: Option<Instant>,
    /// Reading goes on then.
    pub(super) pause: Option<Instant>,
    /// The last byte read.
    pub(super) heard: Instant,
    /// The session was asked whether it lives, and has not said anything since.
    pub(super) probed: bool,
    /// The timer wakes us when it is time, and is let alone until then.
    set: bool,
    timer: Pin<Box<Sleep>>,
}

impl Clocks {
    pub(super) fn new(now: Instant, first_byte: Duration) -> Clocks {
        Clocks {
            now,
            stage: Some(now + first_byte),
            machine: None,
            pause: None,
            heard: now,
            probed: false,
            set: false,
            timer: Box::pin(tokio::time::sleep(first_byte)),
        }
    }

    /// A byte came.
    pub(super) fn hear(&mut self) {
        self.heard = self.now;
        self.probed = false;
    }

    fn passed(&self, deadline: Option<Instant>) -> bool {
        deadline.is_some_and(|deadline| deadline <= self.now)
    }
}

impl Connection {
    /// Acts on every deadline that has passed.
    pub(super) fn obey_clocks(&mut self) -> bool {
        if self.clocks.passed(self.login_until()) {
            self.login_expired();
            return true;
        }
        if self.clocks.passed(self.clocks.stage) {
            self.stage_expired();
            return true;
        }
        if self.clocks.passed(self.stalled_at()) {
            tracing::debug!(peer = %self.peer, "ended: it does not read");
            count(&self.shared.stats.ended_slow_reader);
            self.give_up(StreamCondition::ConnectionTimeout);
            return true;
        }
        if self.clocks.passed(self.clocks.pause) {
            self.clocks.pause = None;
            return true;
        }
        if !self.is_open() {
            return false;
        }
        if self.clocks.passed(self.clocks.machine) {
            self.clocks.machine = None;
            self.give(Input::Expired);
            return true;
        }
        self.clocks.passed(self.silent_at()) && self.silence()
    }

    /// Sleeps until the next deadline. Ready: one has passed.
    pub(super) fn poll_timer(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(next) = self.next_deadline() else {
            return Poll::Pending;
        };
        // Set too early it is only re-set when it fires: deadlines move away all the time, and moving a timer costs.
        let clocks = &mut self.clocks;
        let wakes = clocks.timer.deadline();
        if clocks.set && wakes <= next && wakes > clocks.now {
            return Poll::Pending;
        }
        if next < wakes || clocks.timer.is_elapsed() {
            clocks.timer.as_mut().reset(next);
        }
        let fired = clocks.timer.as_mut().poll(cx);
        clocks.set = fired.is_pending();
        fired
    }

    fn next_deadline(&self) -> Option<Instant> {
        let clocks = &self.clocks;
        let open = self.is_open();
        let machine = clocks.machine.filter(|_| open);
        let silent = self.silent_at().filter(|_| open);
        [
            clocks.stage,
            self.stalled_at(),
            clocks.pause,
            self.login_until(),
            machine,
            silent,
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// When the login must be over, whatever stage it is in, and then the binding.
    fn login_until(&self) -> Option<Instant> {
        match self.stage {
            // What it waits for is not its own doing.
            Stage::Opening(Opening::Turn(_)) => return None,
            Stage::Opening(_) | Stage::Open => {}
            _ => return None,
        }
        let until = self.login.as_ref()?.until;
        let machine = self.machine.as_ref();
        Some(
            match machine.is_some_and(|machine| machine.is_authenticated()) {
                true => until + self.live.settings.limits.bind,
                false => until,
            },
        )
    }

    fn login_expired(&mut self) {
        count(&self.shared.stats.login_timeouts);
        tracing::debug!(peer = %self.peer, "ended: not logged in in time");
        match self.stage {
            Stage::Open => {
                self.login = None;
                self.stop(StreamCondition::ConnectionTimeout);
            }
            _ => self.give_up(StreamCondition::ConnectionTimeout),
        }
    }

    /// When silence of a bound session is too long: to ask, or having asked, to give up.
    fn silent_at(&self) -> Option<Instant> {
        self.seat.as_ref()?;
        let ask = self.clocks.heard + self.live.settings.limits.idle;
        Some(if self.clocks.probed {
            ask + self.live.options.timeouts.dead_after
        } else {
            ask
        })
    }

    fn silence(&mut self) -> bool {
        if !self.clocks.probed {
            self.clocks.probed = true;
            if let Some(seat) = &self.seat {
                seat.probe();
            }
            return true;
        }
        tracing::debug!(peer = %self.peer, "ended: silent for too long");
        count(&self.shared.stats.ended_silent);
        self.stop(StreamCondition::ConnectionTimeout);
        true
    }

    fn stage_expired(&mut self) {
        match self.stage {
            Stage::Open => return self.say_stop(),
            Stage::Opening(Opening::First(_)) => count(&self.shared.stats.prelude_failures),
            Stage::Opening(Opening::Handshake(_)) => {
                count(&self.shared.stats.tls_failures);
                self.lost(Failure::TimedOut);
            }
            _ => {}
        }
        self.give_up(StreamCondition::ConnectionTimeout);
    }

    /// Ends the stream with an error of ours.
    pub(super) fn stop(&mut self, condition: StreamCondition) {
        self.give(Input::Stop(Some(StreamError::new(condition))));
    }
}
