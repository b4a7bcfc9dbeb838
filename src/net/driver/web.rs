//! Connections that turn out to speak HTTP: they are served by the HTTP room, within the same task, place and count.

use std::task::Context;

use super::{Connection, Stage};
use crate::net::serve::Role;
use crate::net::socket::Io;
use crate::net::web::{self, Caller, Stop, WebStream};

impl Connection {
    /// Whether the first bytes of a connection that could be either are HTTP.
    pub(super) fn turns_out_http(&mut self, read: &[u8]) -> bool {
        let login = self.login.as_mut();
        let undecided = login.is_some_and(|login| std::mem::take(&mut login.undecided));
        undecided && web::is_http(read)
    }

    /// From here on it is a web client's. What such connections may be is bounded there.
    pub(super) fn hand_over(&mut self, before: Vec<u8>, tls: bool) {
        let front = match &self.live.role {
            Role::Web(front) | Role::Client(Some(front)) => front.clone(),
            _ => return self.abandon(),
        };
        self.ticket.authenticated();
        self.machine = None;
        self.todo.clear();
        self.clocks.stage = None;
        self.clocks.machine = None;
        let io = std::mem::replace(&mut self.io, Io::Away);
        let patience = self.live.options.timeouts.write;
        self.stage = Stage::Web(front.serve(Caller {
            stream: WebStream::new(io, before, patience),
            peer: self.peer,
            secure: tls || self.secure_by_place(),
            stop: Stop(self.shared.closing.clone()),
        }));
    }

    /// Serves it.
    pub(super) fn poll_web(&mut self, cx: &mut Context<'_>) -> bool {
        let Stage::Web(serving) = &mut self.stage else {
            return false;
        };
        let over = serving.as_mut().poll(cx).is_ready();
        if over {
            self.abandon();
        }
        over
    }
}
