//! The connection driver: one task per connection, from its first byte to its last.
//!
//! A hand-written future, because what lives across an `await` counts fully: what is rare (a handshake, a question on its
//! way) is boxed and freed, buffers belong to the worker thread, and an idle connection is this struct, its stream
//! machine, its TLS state and one timer.

mod act;
mod buffers;
mod clocks;
mod end;
mod line;
mod open;
mod read;
mod web;
mod write;

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use tokio::net::TcpStream;
use tokio::time::Instant;

pub(super) use self::line::drive;

use self::clocks::Clocks;
use self::open::Opening;
use self::read::Reader;
use self::write::Writer;
use super::closing::Presence;
use super::limits::Ticket;
use super::serve::{Live, Shared};
use super::socket::{Io, Socket};
use super::web::Serving;
use crate::stream::server::Call;
use crate::stream::{Action, Answer, Machine, Seat, Tls};

/// Rounds of reading and writing before other connections get their turn.
const ROUNDS: usize = 16;

/// One connection.
pub(super) struct Connection {
    shared: Arc<Shared>,
    live: Arc<Live>,
    presence: Option<Presence>,
    ticket: Ticket,
    peer: IpAddr,
    port: u16,
    place: Place,
    stage: Stage,
    io: Io,
    machine: Option<Box<Machine>>,
    /// What the machine wants done and could not be done yet.
    todo: VecDeque<Action>,
    questions: Option<Box<Questions>>,
    /// While the session is bound; the machine is the one that tells it of the end.
    seat: Option<Arc<dyn Seat>>,
    /// The stop of the server was said.
    stopped: bool,
    reader: Reader,
    writer: Writer,
    clocks: Clocks,
    /// Only before the session is bound.
    login: Option<Box<LoggingIn>>,
}

/// Where a connection comes from, which decides whether it may do without TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// The network.
    Anywhere,
    /// A listener on a loopback address.
    Loopback,
    /// A trusted proxy; it must begin with a PROXY header.
    Proxy,
}

/// What is remembered until the session is bound.
struct LoggingIn {
    /// It must be authenticated by then.
    until: Instant,
    /// The address in the last stream header.
    to: Option<Box<str>>,
    /// If we opened it.
    outbound: Option<Outbound>,
    /// The first bytes will tell whether it is XMPP or HTTP.
    undecided: bool,
    /// Of a web client, which may open a WebSocket.
    tls: Option<Tls>,
}

/// A connection that we opened to another server.
pub(super) struct Outbound {
    /// Ours and theirs.
    names: (Box<str>, Box<str>),
    /// Until its stream begins.
    call: Option<Call>,
}

impl LoggingIn {
    /// The call that this connection was opened for, until its stream begins.
    fn call(&mut self) -> Option<&mut Option<Call>> {
        self.outbound.as_mut().map(|outbound| &mut outbound.call)
    }
}

/// A question on its way to the desk.
type Asking = Pin<Box<dyn Future<Output = Answer> + Send>>;

/// Those of one connection. Boxed: nearly none has any.
#[derive(Default)]
struct Questions {
    /// Nothing is read before its answer.
    asking: Option<Asking>,
    /// Reading goes on meanwhile.
    beside: Vec<Asking>,
}

/// Where a connection stands.
enum Stage {
    /// Its first byte, or a TLS handshake, is awaited.
    Opening(Opening),
    /// Bytes are XMPP.
    Open,
    /// Bytes are HTTP.
    Web(Serving),
    /// The last words are being written.
    Flushing,
    /// They are; TLS and our half of the socket are being closed.
    Closing,
    /// Reading and dropping until the peer closes too: with bytes unread the kernel would reset, and the last words be lost.
    Lingering,
    /// Nothing left to do.
    Ended,
}

impl Connection {
    /// A connection just accepted.
    pub(super) fn new(
        shared: Arc<Shared>,
        live: Arc<Live>,
        (stream, peer): (TcpStream, SocketAddr),
        place: Place,
        ticket: Ticket,
    ) -> Connection {
        let stage = Stage::Opening(open::beginning(stream, peer, place == Place::Proxy));
        Connection::at(stage, shared, live, (peer, place), ticket)
    }

    fn at(
        stage: Stage,
        shared: Arc<Shared>,
        live: Arc<Live>,
        (peer, place): (SocketAddr, Place),
        ticket: Ticket,
    ) -> Connection {
        let now = Instant::now();
        let first_byte = live.options.timeouts.first_byte;
        let until = now + live.settings.limits.login;
        Connection {
            presence: None,
            ticket,
            peer: peer.ip().to_canonical(),
            port: peer.port(),
            place,
            stage,
            io: Io::Away,
            machine: None,
            todo: VecDeque::new(),
            questions: None,
            seat: None,
            stopped: false,
            reader: Reader::new(&live),
            writer: Writer::new(now),
            clocks: Clocks::new(now, first_byte),
            login: Some(Box::new(LoggingIn {
                until,
                to: None,
                outbound: None,
                undecided: false,
                tls: None,
            })),
            shared,
            live,
        }
    }

    /// A connection that we opened; `direct` begins with TLS (XEP-0368).
    pub(super) fn calling(
        shared: Arc<Shared>,
        live: Arc<Live>,
        (stream, peer): (TcpStream, SocketAddr),
        ticket: Ticket,
        (call, direct): (Call, bool),
    ) -> Connection {
        let place = (peer, Place::Anywhere);
        let mut connection = Connection::at(Stage::Open, shared, live, place, ticket);
        if let Some(login) = &mut connection.login {
            login.outbound = Some(Outbound {
                names: (
                    call.local.domain().into(),
                    call.name.as_deref().unwrap_or(call.remote.domain()).into(),
                ),
                call: Some(call),
            });
        }
        let socket = Socket::new(stream);
        if direct {
            connection.start_handshake(socket);
        } else {
            connection.io = Io::Plain(socket);
            connection.start_stream(None);
        }
        connection
    }

    /// One round; whether anything happened.
    fn round(&mut self, cx: &mut Context<'_>, hears: &Waker) -> bool {
        let mut moved = self.obey_clocks();
        moved |= self.obey_stop(cx, hears);
        moved |= self.poll_opening(cx);
        moved |= self.poll_web(cx);
        moved |= self.poll_answer(cx);
        moved |= self.poll_write(cx, hears);
        moved |= self.poll_read(cx);
        moved | self.poll_end(cx)
    }

    fn is_open(&self) -> bool {
        matches!(self.stage, Stage::Open)
    }

    /// Goes on with whatever can be done; ready when it is over. `hears` is woken when the seat has something to say.
    fn poll(&mut self, cx: &mut Context<'_>, hears: &Waker) -> Poll<()> {
        if self.presence.is_none() {
            self.presence = Some(self.shared.closing.enter(cx.waker().clone()));
        }
        self.writer.ask_again();
        self.reader.listen_again();
        for _ in 0..ROUNDS {
            self.clocks.now = Instant::now();
            let moved = self.round(cx, hears);
            if matches!(self.stage, Stage::Ended) {
                return Poll::Ready(());
            }
            if !moved && self.poll_timer(cx).is_pending() {
                return Poll::Pending;
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}
