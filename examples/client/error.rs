//! What can go wrong for a client.

use thiserror::Error;
use waxwing::proto::{JidError, StanzaError, StreamError};
use waxwing::xml::XmlError;

/// What can go wrong for a client.
#[derive(Debug, Error)]
pub enum Error {
    /// Sockets and files.
    #[error("{0}")]
    Io(#[from] std::io::Error),
    /// TLS, certificates included.
    #[error("TLS: {0}")]
    Tls(#[from] tokio_rustls::rustls::Error),
    /// WebSockets.
    #[error("WebSocket: {0}")]
    WebSocket(Box<tokio_tungstenite::tungstenite::Error>),
    /// An address that is none.
    #[error("address: {0}")]
    Jid(#[from] JidError),
    /// The server sends what is no XML stream.
    #[error("XML: {0}")]
    Xml(#[from] XmlError),
    /// The server refuses the login; the name of the condition.
    #[error("login refused: {0}")]
    Login(String),
    /// The server offers nothing that was asked for.
    #[error("the server does not offer {0}")]
    NotOffered(String),
    /// The login data of the server does not fit.
    #[error("SASL: {0}")]
    Sasl(String),
    /// An iq was answered with an error.
    #[error("refused: {0}")]
    Refused(StanzaError),
    /// The stream ended with an error.
    #[error("stream error: {0}")]
    Stream(StreamError),
    /// The stream ended.
    #[error("the stream has ended")]
    Ended,
    /// Something else came.
    #[error("waiting for {wanted}, got {got}")]
    Unexpected {
        /// What should have come.
        wanted: String,
        /// What came.
        got: String,
    },
    /// Nothing came in time.
    #[error("nothing came in time while waiting for {0}")]
    Timeout(String),
}
