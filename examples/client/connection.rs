//! One connection: a socket with or without TLS, and the pieces of the stream that arrive on it.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::pki_types::ServerName;
use waxwing::proto::ns;
use waxwing::xml::{self, Context, Element, Frame, Framer, Limits};

use super::error::Error;
use super::tls::Trust;
use super::websocket::WebSocket;

/// A piece of the server's stream.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// The stream header, as an element without contents.
    Header(Element),
    /// A stanza or another top-level element.
    Element(Element),
    /// `</stream:stream>`.
    Footer,
    /// The server closed the connection.
    Closed,
}

/// A connection and what has arrived on it.
pub struct Connection {
    socket: Socket,
    framer: Framer,
    context: Context,
    limits: Limits,
    arrived: VecDeque<Event>,
}

enum Socket {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
    Web(Box<WebSocket>),
    /// While TLS is being set up, or after that failed.
    None,
}

impl Connection {
    /// Connects without sending anything.
    pub async fn open(addr: SocketAddr) -> Result<Connection, Error> {
        let socket = TcpStream::connect(addr).await?;
        socket.set_nodelay(true)?;
        let limits = Limits::new(16 * 1024 * 1024);
        Ok(Connection {
            socket: Socket::Plain(socket),
            framer: Framer::new(limits),
            context: Context::client(),
            limits,
            arrived: VecDeque::new(),
        })
    }

    /// Does the TLS handshake as a client. What arrived in the clear is forgotten.
    pub async fn secure(&mut self, domain: &str, trust: &Trust) -> Result<(), Error> {
        self.secure_for("xmpp-client", domain, trust).await
    }

    /// Does the TLS handshake for a protocol of ALPN.
    pub async fn secure_for(
        &mut self,
        protocol: &str,
        domain: &str,
        trust: &Trust,
    ) -> Result<(), Error> {
        let Socket::Plain(socket) = std::mem::replace(&mut self.socket, Socket::None) else {
            return Err(Error::NotOffered("TLS within TLS".to_owned()));
        };
        let name = idna::domain_to_ascii(domain)
            .ok()
            .and_then(|name| ServerName::try_from(name).ok())
            .ok_or_else(|| Error::NotOffered(format!("TLS for {domain}")))?;
        let stream = trust.connector(protocol)?.connect(name, socket).await?;
        self.socket = Socket::Tls(Box::new(stream));
        self.arrived.clear();
        self.restart();
        Ok(())
    }

    /// Opens a WebSocket over TLS, as a client.
    pub async fn open_websocket(&mut self, domain: &str, trust: &Trust) -> Result<(), Error> {
        self.secure_for("http/1.1", domain, trust).await?;
        let Socket::Tls(stream) = std::mem::replace(&mut self.socket, Socket::None) else {
            return Err(Error::Ended);
        };
        let web = WebSocket::open(*stream, domain).await?;
        self.socket = Socket::Web(Box::new(web));
        Ok(())
    }

    /// The WebSocket, if it is one.
    pub fn websocket(&mut self) -> Option<&mut WebSocket> {
        match &mut self.socket {
            Socket::Web(web) => Some(web),
            _ => None,
        }
    }

    /// The TLS connection, for its channel bindings.
    pub fn tls(&self) -> Option<&tokio_rustls::rustls::ClientConnection> {
        match &self.socket {
            Socket::Tls(stream) => Some(stream.get_ref().1),
            Socket::Web(web) => Some(web.tls()),
            _ => None,
        }
    }

    /// From here the server sends a new stream header.
    pub fn restart(&mut self) {
        self.framer.restart();
    }

    /// Sends bytes as they are.
    pub async fn send(&mut self, bytes: &[u8]) -> Result<(), Error> {
        match &mut self.socket {
            Socket::Plain(socket) => socket.write_all(bytes).await?,
            Socket::Tls(stream) => {
                stream.write_all(bytes).await?;
                stream.flush().await?;
            }
            Socket::Web(web) => web.send(bytes).await?,
            Socket::None => return Err(Error::Ended),
        }
        Ok(())
    }

    /// The next piece, if one arrives in time.
    pub async fn next(&mut self, within: Duration) -> Result<Option<Event>, Error> {
        let until = Instant::now() + within;
        while self.arrived.is_empty() {
            if !self.read(until).await? {
                return Ok(None);
            }
        }
        Ok(self.arrived.pop_front())
    }

    /// The first piece that `wanted` accepts; the others stay in their order.
    pub async fn find(
        &mut self,
        within: Duration,
        mut wanted: impl FnMut(&Event) -> bool,
    ) -> Result<Option<Event>, Error> {
        let (until, mut seen) = (Instant::now() + within, 0);
        loop {
            let found = self.arrived.iter().skip(seen).position(&mut wanted);
            if let Some(at) = found {
                return Ok(self.arrived.remove(seen + at));
            }
            seen = self.arrived.len();
            if self.arrived.contains(&Event::Closed) || !self.read(until).await? {
                return Ok(None);
            }
        }
    }

    /// Ends the connection without a word, as a lost network does.
    pub fn cut(&mut self) {
        self.socket = Socket::None;
    }

    /// Reads once; false if nothing came in time.
    async fn read(&mut self, until: Instant) -> Result<bool, Error> {
        if let Socket::Web(web) = &mut self.socket {
            let Ok(event) = timeout_at(until, web.next()).await else {
                return Ok(false);
            };
            let event = event?;
            if ends_stream(&event) {
                web.restart();
            }
            self.arrived.push_back(event);
            return Ok(true);
        }
        let mut buffer = vec![0; 16 * 1024];
        let read = match &mut self.socket {
            Socket::Plain(socket) => timeout_at(until, socket.read(&mut buffer)).await,
            Socket::Tls(stream) => timeout_at(until, stream.read(&mut buffer)).await,
            Socket::Web(_) | Socket::None => Ok(Ok(0)),
        };
        // A reset or a TLS connection closed without notice is an end like another here.
        match read.map(|read| read.unwrap_or(0)) {
            Err(_) => return Ok(false),
            Ok(0) => self.arrived.push_back(Event::Closed),
            Ok(n) => self.take(buffer.get(..n).unwrap_or_default())?,
        }
        Ok(true)
    }

    fn take(&mut self, mut input: &[u8]) -> Result<(), Error> {
        while let Some(frame) = self.framer.next(&mut input)? {
            let event = match frame {
                Frame::Header(bytes) => {
                    let header = xml::parse_header(bytes, &self.limits)?;
                    self.context = header.context;
                    Event::Header(header.element)
                }
                Frame::Element(bytes) => {
                    Event::Element(xml::parse(bytes, &self.context, &self.limits)?)
                }
                Frame::Footer => Event::Footer,
            };
            if ends_stream(&event) {
                self.framer.restart();
            }
            self.arrived.push_back(event);
        }
        Ok(())
    }
}

/// Whether another stream takes the place of this one.
fn ends_stream(event: &Event) -> bool {
    matches!(event, Event::Element(el) if el.is("success", ns::SASL) || el.is("proceed", ns::TLS))
}
