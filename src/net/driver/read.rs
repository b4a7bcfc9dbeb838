//! Reading: into the thread's buffer, through the framer and the parser, to the machine; slower for who sends too fast.

use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::Instant;

use super::web::Other;
use super::{Connection, buffers};
use crate::net::options::Rates;
use crate::net::serve::Live;
use crate::net::stats::{add, count};
use crate::net::websocket::{self, Decoder, Fault, Message};
use crate::proto::ns;
use crate::runtime::bucket::Bucket;
use crate::stream::{Action, Input};
use crate::xml::{self, Element, Frame, Framer, Header, Limits, XmlError};

/// Who has this much to read is not listened to: answers that nobody reads must not pile up.
const BACKLOG_BYTES: usize = 64 * 1024;

/// So that a flooder wakes us a hundred times a second, not once per element.
const SHORTEST_PAUSE: Duration = Duration::from_millis(10);

/// The reading half of a connection.
pub(super) struct Reader {
    framer: Framer,
    /// Of a WebSocket; then nothing is cut by the framer, which has the limits.
    frames: Option<Box<Frames>>,
    /// Read, but not yet given to the framer, because something else must happen first. Empty when idle.
    unread: Box<[u8]>,
    /// How much of it was given to the framer since; it is never longer than the thread's buffer.
    done: u16,
    /// The socket had nothing more, and wakes us when it has.
    dry: bool,
    bytes: Bucket,
    elements: Bucket,
}

impl Reader {
    pub(super) fn new(live: &Live) -> Reader {
        let limits = live.settings.limits.before_login;
        let Rates {
            bytes,
            bytes_burst,
            stanzas,
            stanzas_burst,
        } = live.options.rates;
        Reader {
            framer: Framer::new(limits),
            frames: None,
            unread: Box::default(),
            done: 0,
            dry: false,
            bytes: Bucket::new(bytes, bytes_burst),
            elements: Bucket::new(stanzas, stanzas_burst),
        }
    }

    /// The socket may have something to read.
    pub(super) fn listen_again(&mut self) {
        self.dry = false;
    }

    /// A new stream header is expected.
    pub(super) fn restart(&mut self, limits: Limits) {
        self.framer.restart();
        self.framer.set_limits(limits);
        if let Some(frames) = &mut self.frames {
            frames.header = true;
        }
    }

    /// From here on it is a WebSocket, of which this was read.
    pub(super) fn frames(&mut self, read: &[u8]) {
        self.frames = Some(Box::new(Frames {
            decoder: Decoder::default(),
            header: true,
            fault: None,
        }));
        self.unread = read.into();
    }

    /// The close frame that ends a WebSocket (RFC 6455 §7.4.1); `away`: because the server stops.
    pub(super) fn close_frame(&self, away: bool) -> Option<Vec<u8>> {
        let code = self.frames.as_ref()?.fault.unwrap_or(match away {
            true => 1001,
            false => 1000,
        });
        Some(websocket::close(code))
    }

    pub(super) fn set_limits(&mut self, limits: Limits) {
        self.framer.set_limits(limits);
    }

    /// Drops everything read and not yet understood.
    pub(super) fn forget(&mut self) {
        self.framer = Framer::new(*self.framer.limits());
        self.unread = Box::default();
        self.done = 0;
        self.dry = false;
    }
}

/// What is read of a WebSocket.
struct Frames {
    decoder: Decoder,
    /// A stream header is expected.
    header: bool,
    /// The status code of what was wrong.
    fault: Option<u16>,
}

/// What the framer cut out, understood.
enum Read {
    Nothing,
    /// A WebSocket's answer to a ping; or nothing, but something was read.
    Answer(Vec<u8>),
    /// The WebSocket is closed, whether or not the stream was.
    Closed,
    Input(Input),
    Header(Input, Option<Box<str>>),
}

impl Connection {
    /// Reads once, if reading is allowed, and handles what came.
    pub(super) fn poll_read(&mut self, cx: &mut Context<'_>) -> bool {
        if !self.may_read(cx) {
            return false;
        }
        if !self.reader.unread.is_empty() {
            self.take_in_unread(cx);
            return true;
        }
        if self.reader.dry {
            return false;
        }
        let mut buffer = buffers::take_read();
        let read = self.io.poll_read(cx, &mut buffer);
        let moved = match read {
            Poll::Pending => {
                self.reader.dry = true;
                false
            }
            Poll::Ready(Ok(length @ 1..)) => {
                self.clocks.hear();
                let read = buffer.get(..length).unwrap_or_default();
                if let Some(other) = self.turns_out(read) {
                    let tls = self.login.as_mut().and_then(|login| login.tls.take());
                    match other {
                        Other::Http => self.hand_over(read.to_vec(), tls),
                        Other::Stun => self.hand_to_relay(read.to_vec(), tls),
                    }
                } else {
                    add(&self.shared.stats.bytes_in, length);
                    let left = self.take_in(cx, read);
                    self.reader.unread = left.into();
                    self.charge(length);
                }
                true
            }
            Poll::Ready(_) => {
                self.abandon();
                true
            }
        };
        buffers::return_read(buffer);
        moved
    }

    /// Goes on with what had to wait. It is not copied again, however often it must wait.
    fn take_in_unread(&mut self, cx: &mut Context<'_>) {
        let unread = std::mem::take(&mut self.reader.unread);
        let done = std::mem::take(&mut self.reader.done);
        let left = self
            .take_in(cx, unread.get(usize::from(done)..).unwrap_or_default())
            .len();
        if left > 0 {
            self.reader.done = u16::try_from(unread.len() - left).unwrap_or_default();
            self.reader.unread = unread;
        }
    }

    fn may_read(&mut self, cx: &mut Context<'_>) -> bool {
        let paused = self.clocks.pause.is_some() || self.is_draining();
        if paused || self.is_waiting() || self.writer.backlog() > BACKLOG_BYTES {
            return false;
        }
        match &self.seat {
            Some(seat) => seat.poll_intake(cx).is_ready(),
            None => true,
        }
    }

    /// What was read is handled; reading on is what costs.
    fn charge(&mut self, length: usize) {
        let wait = self.reader.bytes.take(
            u32::try_from(length).unwrap_or(u32::MAX),
            self.clocks.now.into_std(),
        );
        self.pause(wait);
    }

    fn pause(&mut self, wait: Duration) {
        if wait.is_zero() {
            return;
        }
        let until: Instant = self.clocks.now + wait.max(SHORTEST_PAUSE);
        if self.clocks.pause.is_none() {
            count(&self.shared.stats.rate_pauses);
        }
        self.clocks.pause = self.clocks.pause.max(Some(until));
    }

    /// Gives the machine element after element; returns what must wait.
    fn take_in<'i>(&mut self, cx: &mut Context<'_>, mut input: &'i [u8]) -> &'i [u8] {
        while let Some(machine) = &self.machine {
            match self.reader.next(&mut input, machine.context()) {
                Ok(Read::Nothing) => break,
                Ok(Read::Answer(bytes)) => {
                    let wait = self.reader.elements.take(1, self.clocks.now.into_std());
                    self.pause(wait);
                    if !bytes.is_empty() {
                        self.writer.push(bytes, self.clocks.now);
                    }
                }
                Ok(Read::Closed) => {
                    self.websocket_closed();
                    break;
                }
                Ok(Read::Header(input, to)) => {
                    self.heard_header(to);
                    self.give(input);
                }
                Ok(Read::Input(input)) => {
                    let wait = self.reader.elements.take(1, self.clocks.now.into_std());
                    self.pause(wait);
                    self.give(input);
                }
                Err(error) => {
                    self.give(Input::BadXml(error));
                    break;
                }
            }
            if self.is_ending() {
                break;
            }
            if !input.is_empty() && !self.may_read(cx) {
                return input;
            }
        }
        &[]
    }

    /// What is left unread is of no interest: the stream is over, or TLS begins and nothing said before counts.
    fn is_ending(&self) -> bool {
        !self.is_open() || matches!(self.todo.front(), Some(Action::Secure))
    }
}

impl Reader {
    /// Cuts one element off the front of `input` and understands it.
    fn next(&mut self, input: &mut &[u8], namespaces: &xml::Context) -> Result<Read, XmlError> {
        let limits = *self.framer.limits();
        if let Some(frames) = &mut self.frames {
            return frames.next(input, &limits);
        }
        Ok(match self.framer.next(input)? {
            None => Read::Nothing,
            Some(Frame::Header(bytes)) => {
                let header = xml::parse_header(bytes, &limits)?;
                let to = header.element.attr("to").map(Box::from);
                Read::Header(Input::Header(header), to)
            }
            Some(Frame::Element(bytes)) => {
                Read::Input(Input::Element(xml::parse(bytes, namespaces, &limits)?))
            }
            Some(Frame::Footer) => Read::Input(Input::Footer),
        })
    }
}

impl Frames {
    /// The next message, understood (RFC 7395 §3.3).
    fn next(&mut self, input: &mut &[u8], limits: &Limits) -> Result<Read, XmlError> {
        let message = self.decoder.next(input, limits.stanza_bytes);
        let message = message.map_err(|fault| {
            self.fault = Some(fault.code());
            match fault {
                Fault::TooLarge => XmlError::TooLarge {
                    limit: limits.stanza_bytes,
                },
                Fault::Binary => XmlError::BadFormat("a binary WebSocket message"),
                Fault::Protocol => XmlError::BadFormat("broken WebSocket frames"),
            }
        })?;
        let text = match message {
            None => return Ok(Read::Nothing),
            Some(Message::Ping(payload)) => return Ok(Read::Answer(websocket::pong(&payload))),
            Some(Message::Pong) => return Ok(Read::Answer(Vec::new())),
            Some(Message::Close) => return Ok(Read::Closed),
            Some(Message::Text(text)) => text,
        };
        let element = xml::parse_document(&text, limits).inspect_err(|error| {
            if matches!(error, XmlError::UnsupportedEncoding) {
                self.fault = Some(NOT_UTF8);
            }
        })?;
        self.understood(element)
    }

    /// What a message means for the stream: headers are elements here, and must be of their namespace (RFC 7395 §3.3.2).
    fn understood(&mut self, element: Element) -> Result<Read, XmlError> {
        let header = element.name() == "open" && self.header;
        let footer = element.name() == "close";
        match (header, footer, element.ns()) {
            (true, _, ns::FRAMING) => {
                self.header = false;
                let to = element.attr("to").map(Box::from);
                let context = xml::Context::client();
                Ok(Read::Header(Input::Header(Header { element, context }), to))
            }
            (_, true, ns::FRAMING) => Ok(Read::Input(Input::Footer)),
            (true, ..) | (_, true, ns::CLIENT) => Err(XmlError::InvalidNamespace),
            _ => Ok(Read::Input(Input::Element(element))),
        }
    }
}

/// The status code of a text message that is no UTF-8 (RFC 6455 §7.4.1).
const NOT_UTF8: u16 = 1007;
