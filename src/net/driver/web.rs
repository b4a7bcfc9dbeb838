//! Connections that turn out to speak HTTP, or SOCKS: they are served by another room, within the same task, place and count,
//! and come back if they become WebSockets.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::task::{Context, Poll};

use super::{Connection, Place, Stage, buffers};
use crate::net::limits::Ticket;
use crate::net::pipe::Pipe;
use crate::net::serve::{Fronts, Live, Role, Shared};
use crate::net::socket::Io;
use crate::net::web::{self, Caller, Door, Front, Opened, Stop, WebStream};
use crate::stream::{Machine, Peer, Tls};

/// What a connection speaks that speaks no XMPP.
pub(super) enum Other {
    Http,
    Stun,
}

impl Connection {
    /// A stream that requests carry, which came to a secure place.
    pub(in crate::net) fn carried(
        shared: Arc<Shared>,
        live: Arc<Live>,
        (pipe, peer): (Pipe, IpAddr),
        ticket: Ticket,
    ) -> Connection {
        let place = (SocketAddr::new(peer, 0), Place::Anywhere);
        let mut connection = Connection::at(Stage::Open, shared, live, place, ticket);
        connection.io = Io::Pipe(pipe);
        connection.reader.frames(&[]);
        let peer = Peer {
            secure_by_place: true,
            starttls: false,
            address: peer.to_string(),
        };
        let mut actions = Vec::new();
        let settings = connection.live.settings.clone();
        let machine = Machine::accept_websocket(settings, peer, None, &mut actions);
        connection.run(machine, actions);
        connection
    }

    /// What a connection speaks, by its first bytes, if that was not decided and is no XMPP.
    pub(super) fn turns_out(&mut self, read: &[u8]) -> Option<Other> {
        let login = self.login.as_mut()?;
        if !std::mem::take(&mut login.undecided) {
            return None;
        }
        let within_tls = login.tls.is_some();
        if web::is_http(read) && self.live.front().is_some() {
            return Some(Other::Http);
        }
        let relayed = within_tls && self.live.relay().is_some();
        (relayed && web::is_stun(read)).then_some(Other::Stun)
    }

    /// From here on it is a client's of the relay. How many of those there may be is bounded there.
    pub(super) fn hand_to_relay(&mut self, before: Vec<u8>, tls: Option<Tls>) {
        match self.live.relay().cloned() {
            Some(relay) => self.hand_over_to(relay, before, tls),
            None => self.abandon(),
        }
    }

    /// From here on it is a web client's. How many of those there may be is bounded there.
    pub(super) fn hand_over(&mut self, before: Vec<u8>, tls: Option<Tls>) {
        match &self.live.role {
            Role::Web(front)
            | Role::Client(Fronts {
                web: Some(front), ..
            }) => {
                self.hand_over_to(front.clone(), before, tls);
            }
            _ => self.abandon(),
        }
    }

    /// From here on it is no XMPP.
    pub(super) fn hand_over_to(
        &mut self,
        front: Arc<dyn Front>,
        before: Vec<u8>,
        tls: Option<Tls>,
    ) {
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
            http2: alpn(&tls) == Some(web::HTTP2),
            port: self.port,
            secure: tls.is_some() || self.secure_by_place(),
            stop: Stop(self.shared.closing.clone()),
            door: Door {
                shared: self.shared.clone(),
                live: self.live.clone(),
            },
        }));
        if let Some(login) = &mut self.login {
            login.tls = tls;
        }
    }

    /// Serves it.
    pub(super) fn poll_web(&mut self, cx: &mut Context<'_>) -> bool {
        let Stage::Web(serving) = &mut self.stage else {
            return false;
        };
        let Poll::Ready(opened) = serving.as_mut().poll(cx) else {
            return false;
        };
        match opened {
            None => self.abandon(),
            Some(opened) => self.begin_websocket(opened),
        }
        true
    }

    /// A WebSocket begins as any other stream does: it has the same time to log in, and counts as others do.
    fn begin_websocket(&mut self, opened: Opened) {
        let page = opened.page;
        self.peer = opened.peer;
        let counted = self.ticket.unauthenticated(opened.peer);
        // No client sends so much before it knows that it may.
        let early = opened.read.len() > buffers::READ_BYTES;
        let (Some(io), false, Ok(())) = (opened.stream.into_io(), early, counted) else {
            tracing::debug!(peer = %self.peer, "a WebSocket was refused");
            return self.abandon();
        };
        self.io = io;
        self.reader.frames(&opened.read);
        let tls = self.login.as_mut().and_then(|login| {
            login.until = self.clocks.now + self.live.settings.limits.login;
            login.tls.take()
        });
        // What is not offered cannot be missed: apps that could bind elsewhere would take it for a downgrade (RFC 5802 §6).
        let tls = tls.map(|tls| match page {
            true => Tls {
                exporter: None,
                end_point: None,
                ..tls
            },
            false => tls,
        });
        let peer = Peer {
            // There is no TLS within a WebSocket (RFC 7395 §3.9).
            starttls: false,
            ..self.described()
        };
        let mut actions = Vec::new();
        let settings = self.live.settings.clone();
        let machine = Machine::accept_websocket(settings, peer, tls, &mut actions);
        self.run(machine, actions);
    }
}

/// What TLS was told of the protocol within.
fn alpn(tls: &Option<Tls>) -> Option<&[u8]> {
    tls.as_ref().and_then(|tls| tls.alpn.as_deref())
}
