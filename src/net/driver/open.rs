//! Before and between streams: the first byte, and TLS handshakes, each a boxed future of its own.

use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::net::TcpStream;

use super::{Connection, Place, Stage};
use crate::net::prelude::{self, Beginning, Kind, PreludeError};
use crate::net::serve::Role;
use crate::net::socket::{Io, Socket};
use crate::net::stats::count;
use crate::net::tls::{self, HandshakeError, Side, TlsStore};
use crate::net::turnstile::Turn;
use crate::net::web;
use crate::stream::server::Failure;
use crate::stream::{Action, Input, Machine, Peer, Tls};

/// What a connection in [`Stage::Opening`] waits for.
pub(super) enum Opening {
    /// The first byte.
    First(Boxed<Result<(TcpStream, Beginning), PreludeError>>),
    /// Its turn, because many connect at once.
    Turn(Box<(Turn, TcpStream, Kind)>),
    /// TLS, from the first byte or after STARTTLS.
    Handshake(Boxed<Result<(Io, Tls), HandshakeError>>),
}

type Boxed<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// Awaits the first byte.
pub(super) fn beginning(mut stream: TcpStream, peer: SocketAddr, proxy: bool) -> Opening {
    Opening::First(Box::pin(async move {
        let beginning = prelude::begin(&mut stream, peer, proxy).await?;
        Ok((stream, beginning))
    }))
}

fn handshake(socket: Socket, store: Arc<TlsStore>, to: Option<Box<str>>, side: Side) -> Opening {
    Opening::Handshake(Box::pin(async move {
        let (stream, identity) = tls::accept(socket, &store, to.as_deref(), side).await?;
        let tls = tls::describe(stream.get_ref().1, &identity);
        Ok((Io::Tls(Box::new((*stream).into())), tls))
    }))
}

/// The handshake of a connection that we opened.
pub(super) fn calling(
    socket: Socket,
    store: Arc<TlsStore>,
    (local, remote): (Box<str>, Box<str>),
) -> Opening {
    Opening::Handshake(Box::pin(async move {
        let stream = tls::call(socket, &store, (&local, &remote)).await?;
        let tls = tls::describe_call(stream.get_ref().1);
        Ok((Io::Tls(Box::new((*stream).into())), tls))
    }))
}

impl Connection {
    /// Goes on when the first byte is there, or the handshake is done.
    pub(super) fn poll_opening(&mut self, cx: &mut Context<'_>) -> bool {
        let Stage::Opening(opening) = &mut self.stage else {
            return false;
        };
        match opening {
            Opening::First(first) => match first.as_mut().poll(cx) {
                Poll::Pending => return false,
                Poll::Ready(Ok((stream, beginning))) => self.arrived(stream, beginning),
                Poll::Ready(Err(error)) => {
                    tracing::debug!(peer = %self.peer, %error, "ended before it began");
                    count(&self.shared.stats.prelude_failures);
                    self.abandon();
                }
            },
            Opening::Turn(waiting) => {
                let Poll::Ready(waited) = Pin::new(&mut waiting.0).poll(cx) else {
                    return false;
                };
                self.turn_came(waited);
            }
            Opening::Handshake(handshake) => match handshake.as_mut().poll(cx) {
                Poll::Pending => return false,
                Poll::Ready(Ok((io, tls))) => self.secured(io, tls),
                Poll::Ready(Err(error)) => {
                    tracing::debug!(peer = %self.peer, %error, "ended");
                    count(&self.shared.stats.tls_failures);
                    self.lost(Failure::Tls(error.to_string()));
                    self.abandon();
                }
            },
        }
        true
    }

    fn arrived(&mut self, stream: TcpStream, beginning: Beginning) {
        if beginning.announced {
            self.peer = beginning.address.ip().to_canonical();
            self.port = beginning.address.port();
            if let Err(refused) = self.ticket.belongs_to(beginning.address.ip()) {
                tracing::debug!(peer = %self.peer, %refused, "refused");
                self.abandon();
                return;
            }
        }
        match self.shared.admission.turn(self.peer) {
            None => self.begin(stream, beginning.kind),
            Some(turn) => {
                self.clocks.stage = None;
                let waiting = Box::new((turn, stream, beginning.kind));
                self.stage = Stage::Opening(Opening::Turn(waiting));
            }
        }
    }

    /// The time it waited is not the client's fault.
    fn turn_came(&mut self, waited: Duration) {
        if let Some(login) = &mut self.login {
            login.until += waited;
        }
        let ended = std::mem::replace(&mut self.stage, Stage::Ended);
        if let Stage::Opening(Opening::Turn(waiting)) = ended {
            let (_, stream, kind) = *waiting;
            self.begin(stream, kind);
        }
    }

    fn begin(&mut self, stream: TcpStream, kind: Kind) {
        let socket = Socket::new(stream);
        if kind == Kind::Tls {
            return self.start_handshake(socket);
        }
        self.io = Io::Plain(socket);
        match self.live.socks().filter(|_| kind == Kind::Socks).cloned() {
            Some(socks) => self.hand_over_to(socks, Vec::new(), None),
            None => self.begin_talk(None),
        }
    }

    /// STARTTLS: whatever was read is dropped, so that nothing said in the clear counts afterwards (RFC 6120 §5.4.3.3).
    pub(super) fn secure(&mut self) {
        self.reader.forget();
        match std::mem::replace(&mut self.io, Io::Away) {
            Io::Plain(socket) => self.start_handshake(socket),
            Io::Away | Io::Tls(_) | Io::Pipe(_) => self.abandon(),
        }
    }

    pub(super) fn start_handshake(&mut self, socket: Socket) {
        self.clocks.stage = Some(self.clocks.now + self.live.options.timeouts.handshake);
        let tls = self.shared.tls.clone();
        self.stage = Stage::Opening(
            match self
                .login
                .as_ref()
                .and_then(|login| login.outbound.as_ref())
            {
                Some(outbound) => calling(socket, tls, outbound.names.clone()),
                None => {
                    let to = self.login.as_mut().and_then(|login| login.to.take());
                    handshake(socket, tls, to, self.live.side())
                }
            },
        );
    }

    /// Whoever waits for what this connection was opened for hears why it failed.
    pub(super) fn lost(&mut self, why: Failure) {
        if let Some(call) = self.login.as_mut().and_then(|login| login.call()?.as_mut()) {
            call.fail(why);
        } else if let Some(machine) = &mut self.machine {
            machine.lost(why);
        }
    }

    fn secured(&mut self, io: Io, tls: Tls) {
        count(&self.shared.stats.tls_handshakes);
        self.io = io;
        self.reader.listen_again();
        if self.machine.is_some() {
            self.opened();
            self.give(Input::Secured(tls));
        } else {
            self.begin_talk(Some(tls));
        }
    }

    /// XMPP or HTTP, where that is known already (XEP-0368 §5).
    fn begin_talk(&mut self, tls: Option<Tls>) {
        let alpn = tls.as_ref().and_then(|tls| tls.alpn.as_deref());
        if matches!(self.live.role, Role::Web(_))
            || alpn.is_some_and(|alpn| [web::HTTP1, web::HTTP2].contains(&alpn))
        {
            self.hand_over(Vec::new(), tls);
            return;
        }
        if alpn == Some(web::TURN) {
            self.hand_to_relay(Vec::new(), tls);
            return;
        }
        let others = self.live.front().is_some() || self.live.relay().is_some();
        let undecided = alpn.is_none() && others;
        if let Some(login) = &mut self.login {
            login.undecided = undecided;
            login.tls = tls.clone().filter(|_| undecided);
        }
        self.start_stream(tls);
    }

    /// Whether nobody can read along: TLS, or a place that counts as secure.
    pub(super) fn secure_by_place(&self) -> bool {
        self.live.options.plaintext && self.place != Place::Anywhere
    }

    pub(super) fn start_stream(&mut self, tls: Option<Tls>) {
        let peer = self.described();
        let mut actions = Vec::new();
        let settings = self.live.settings.clone();
        let call = self.login.as_mut().and_then(|login| login.call()?.take());
        let machine = match (call, &self.live.role) {
            (Some(call), _) => Machine::call_server(settings, call, tls, &mut actions),
            // On a port for web clients nothing else begins.
            (None, Role::Client(_) | Role::Web(_)) => {
                Machine::accept_client(settings, peer, tls, &mut actions)
            }
            (None, Role::Server(office)) => {
                Machine::accept_server(settings, office.clone(), peer, tls, &mut actions)
            }
            (None, Role::Component(porter)) => {
                Machine::accept_component(settings, porter.clone(), peer, tls, &mut actions)
            }
        };
        self.run(machine, actions);
    }

    /// The peer, as the stream has to know it.
    pub(super) fn described(&self) -> Peer {
        let plaintext = self.live.options.plaintext;
        Peer {
            secure_by_place: self.secure_by_place(),
            // Within TLS that a proxy ended there is no second one (XEP-0368 §3, rule 5).
            starttls: !(plaintext && self.place == Place::Proxy),
            address: self.peer.to_string(),
        }
    }

    /// The stream begins.
    pub(super) fn run(&mut self, machine: Machine, actions: Vec<Action>) {
        self.machine = Some(Box::new(machine));
        self.opened();
        self.todo.extend(actions);
        self.act();
    }

    fn opened(&mut self) {
        self.stage = Stage::Open;
        self.clocks.stage = None;
        self.clocks.hear();
        self.writer.progress(self.clocks.now, &self.io);
    }
}
