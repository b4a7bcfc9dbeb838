//! What comes before XMPP or TLS: the PROXY header of a trusted proxy, and the first byte, which tells TLS from XML (XEP-0368) and
//! both from SOCKS.

use std::io;
use std::net::SocketAddr;

use tokio::net::TcpStream;

use super::proxy::{self, Announced, ProxyError};

/// A TLS record of type handshake begins with it (RFC 8446 §5.1); XML never does.
const TLS_HANDSHAKE: u8 = 0x16;

/// SOCKS5 begins with its version (RFC 1928 §3).
const SOCKS: u8 = 5;

/// What the first byte tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// TLS.
    Tls,
    /// SOCKS5.
    Socks,
    /// Text: XML or HTTP.
    Text,
}

/// How a connection begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Beginning {
    /// Whose connection it is: the peer, or whom its proxy named.
    pub(super) address: SocketAddr,
    /// Whether a proxy named it.
    pub(super) announced: bool,
    /// What its first byte is.
    pub(super) kind: Kind,
}

/// Why there is no beginning.
#[derive(Debug, thiserror::Error)]
pub(super) enum PreludeError {
    #[error(transparent)]
    Proxy(#[from] ProxyError),
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error("closed before the first byte")]
    Closed,
}

/// Waits for the first byte and leaves it in the socket. No time limit of its own.
pub(super) async fn begin(
    stream: &mut TcpStream,
    peer: SocketAddr,
    proxy: bool,
) -> Result<Beginning, PreludeError> {
    let announced = match proxy {
        true => Some(proxy::read(stream).await?),
        false => None,
    };
    let mut first = [0];
    if stream.peek(&mut first).await? == 0 {
        return Err(PreludeError::Closed);
    }
    let named = match announced {
        Some(Announced::Client(address)) => Some(address),
        _ => None,
    };
    Ok(Beginning {
        address: named.unwrap_or(peer),
        announced: named.is_some(),
        kind: match first {
            [TLS_HANDSHAKE] => Kind::Tls,
            [SOCKS] => Kind::Socks,
            _ => Kind::Text,
        },
    })
}
