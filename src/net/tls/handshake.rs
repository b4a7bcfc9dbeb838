//! The server's half of a TLS handshake on any byte stream.

use std::io;
use std::sync::Arc;

use rustls::ProtocolVersion;
use rustls::server::Acceptor;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::LazyConfigAcceptor;
use tokio_rustls::server::TlsStream;

use super::identity::Identity;
use super::store::TlsStore;

/// Ciphertext that may wait for a slow socket, per connection.
const SEND_BUFFER_BYTES: usize = 32 * 1024;

/// The handshake failed: bytes that are no TLS, nothing in common, or the peer left.
#[derive(Debug, thiserror::Error)]
#[error("TLS handshake failed: {0}")]
pub struct HandshakeError(#[from] io::Error);

/// A finished handshake: the stream, and the identity that was presented on it.
pub type Accepted<IO> = (Box<TlsStream<IO>>, Arc<Identity>);

/// Reads the ClientHello, chooses the identity by its SNI (else by `to`, the stream header's address), and finishes the
/// handshake. No time limit of its own: the caller sets one.
pub async fn accept<IO>(
    io: IO,
    store: &TlsStore,
    to: Option<&str>,
) -> Result<Accepted<IO>, HandshakeError>
where
    IO: AsyncRead + AsyncWrite + Unpin,
{
    let start = LazyConfigAcceptor::new(Acceptor::default(), io).await?;
    let identity = store.choose(start.client_hello().server_name(), to);
    let limit = |connection: &mut rustls::ServerConnection| {
        connection.set_buffer_limit(Some(SEND_BUFFER_BYTES))
    };
    let stream = start
        .into_stream_with(identity.config.clone(), limit)
        .await?;
    Ok((Box::new(stream), identity))
}

/// The `tls-exporter` data (RFC 9266 §2). On TLS 1.2 only where extended master secret was demanded: without it two
/// connections can be made to share their keys (RFC 9266 §4.2), and rustls does not say which kind it is.
pub fn exporter(connection: &rustls::ServerConnection, identity: &Identity) -> Option<[u8; 32]> {
    let unique = match connection.protocol_version()? {
        ProtocolVersion::TLSv1_3 => true,
        _ => identity.config.require_ems,
    };
    // An empty context is not the same as none on TLS 1.2; RFC 9266 §2 says an empty one.
    let label = b"EXPORTER-Channel-Binding";
    unique.then(|| {
        connection
            .export_keying_material([0; 32], label, Some(b""))
            .ok()
    })?
}
