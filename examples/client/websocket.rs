//! XMPP in WebSockets (RFC 7395), on somebody else's reading and writing of frames.

use futures_util::{SinkExt, StreamExt};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::{self, Message};
use waxwing::proto::ns;
use waxwing::xml::{self, Context, Element, Frame, Framer, Limits};

use super::connection::Event;
use super::error::Error;

/// A WebSocket that is open.
pub struct WebSocket {
    socket: WebSocketStream<TlsStream<TcpStream>>,
    /// Cuts what is sent as on a stream of TCP.
    framer: Framer,
    context: Context,
    /// What the server closed it with.
    pub closed: Option<CloseFrame>,
    /// Its answers to pings.
    pub pongs: Vec<Vec<u8>>,
}

impl WebSocket {
    /// Opens it at the usual path.
    pub async fn open(stream: TlsStream<TcpStream>, domain: &str) -> Result<WebSocket, Error> {
        let mut request = format!("wss://{domain}/xmpp-websocket").into_client_request()?;
        let protocol = HeaderValue::from_static("xmpp");
        request
            .headers_mut()
            .insert("sec-websocket-protocol", protocol);
        let (socket, _) = tokio_tungstenite::client_async(request, stream).await?;
        Ok(WebSocket {
            socket,
            framer: Framer::new(Limits::new(16 * 1024 * 1024)),
            context: Context::client(),
            closed: None,
            pongs: Vec::new(),
        })
    }

    /// The TLS connection below.
    pub fn tls(&self) -> &tokio_rustls::rustls::ClientConnection {
        self.socket.get_ref().get_ref().1
    }

    /// A new stream begins.
    pub fn restart(&mut self) {
        self.framer.restart();
    }

    /// Sends what would be sent on a stream of TCP, piece by piece.
    pub async fn send(&mut self, mut bytes: &[u8]) -> Result<(), Error> {
        let limits = Limits::new(16 * 1024 * 1024);
        let mut documents = Vec::new();
        while let Some(frame) = self.framer.next(&mut bytes)? {
            documents.push(match frame {
                Frame::Header(bytes) => {
                    let header = xml::parse_header(bytes, &limits)?;
                    self.context = header.context;
                    open(&header.element)
                }
                Frame::Element(bytes) => xml::parse(bytes, &self.context, &limits)?,
                Frame::Footer => Element::new("close", ns::FRAMING),
            });
        }
        for document in documents {
            self.message(Message::text(text(&document))).await?;
        }
        Ok(())
    }

    /// Sends a message as it is.
    pub async fn message(&mut self, message: Message) -> Result<(), Error> {
        Ok(self.socket.send(message).await?)
    }

    /// The next piece of the stream.
    pub async fn next(&mut self) -> Result<Event, Error> {
        loop {
            match self.socket.next().await {
                Some(Ok(Message::Text(text))) => return understood(text.as_bytes()),
                Some(Ok(Message::Close(frame))) => self.closed = frame,
                Some(Ok(Message::Pong(payload))) => self.pongs.push(payload.to_vec()),
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return Ok(Event::Closed),
            }
        }
    }
}

fn understood(text: &[u8]) -> Result<Event, Error> {
    let element = xml::parse_document(text, &Limits::new(16 * 1024 * 1024))?;
    // What stands by itself says which namespace it is of (RFC 7395 §3.3.3).
    let start = text.split(|byte| *byte == b'>').next().unwrap_or_default();
    if !start.windows(6).any(|piece| piece == b" xmlns") {
        return Err(Error::NotOffered("a namespace in a message".to_owned()));
    }
    Ok(match (element.ns(), element.name()) {
        (ns::FRAMING, "open") => Event::Header(element),
        (ns::FRAMING, "close") => Event::Footer,
        _ => Event::Element(element),
    })
}

/// `<open/>` for a stream header.
fn open(header: &Element) -> Element {
    let mut open = Element::new("open", ns::FRAMING);
    for name in ["to", "from", "version", "xml:lang"] {
        open.set_attr(name, header.attr(name));
    }
    open
}

fn text(document: &Element) -> String {
    let mut bytes = Vec::new();
    xml::write::element(document.root(), "", &mut bytes);
    String::from_utf8_lossy(&bytes).into_owned()
}

impl From<tungstenite::Error> for Error {
    fn from(error: tungstenite::Error) -> Error {
        Error::WebSocket(Box::new(error))
    }
}
