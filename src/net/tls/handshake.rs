//! The server's half of a TLS handshake on any byte stream.

use std::io;
use std::sync::Arc;

use rustls::ProtocolVersion;
use rustls::pki_types::ServerName;
use rustls::server::Acceptor;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::client;
use tokio_rustls::server::TlsStream;
use tokio_rustls::{LazyConfigAcceptor, TlsConnector};

use super::identity::Identity;
use super::names::ascii;
use super::peer;
use super::store::TlsStore;
use crate::stream::{Tls, TlsVersion};

/// Ciphertext that may wait for a slow socket, per connection.
const SEND_BUFFER_BYTES: usize = 32 * 1024;

/// The handshake failed: bytes that are no TLS, nothing in common, or the peer left.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct HandshakeError(#[from] io::Error);

/// A finished handshake: the stream, and the identity that was presented on it.
pub type Accepted<IO> = (Box<TlsStream<IO>>, Arc<Identity>);

/// Who is at the other end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// A client.
    Client,
    /// A web client.
    Web,
    /// A client or a web client.
    Any,
    /// Another server, which is asked for its certificate.
    Server,
    /// A client of the relay for calls.
    Relay,
}

/// Reads the ClientHello, chooses the identity by its SNI (else by `to`, the stream header's address), and finishes the
/// handshake. No time limit of its own: the caller sets one.
pub async fn accept<IO>(
    io: IO,
    store: &TlsStore,
    to: Option<&str>,
    side: Side,
) -> Result<Accepted<IO>, HandshakeError>
where
    IO: AsyncRead + AsyncWrite + Unpin,
{
    let start = LazyConfigAcceptor::new(Acceptor::default(), io).await?;
    let identity = store.choose(start.client_hello().server_name(), to);
    let limit = |connection: &mut rustls::ServerConnection| {
        connection.set_buffer_limit(Some(SEND_BUFFER_BYTES))
    };
    let config = match side {
        Side::Client => &identity.config,
        Side::Web => &identity.web,
        Side::Any => &identity.any,
        Side::Server => &identity.peers.accept,
        Side::Relay => &identity.relay,
    };
    let stream = start.into_stream_with(config.clone(), limit).await?;
    Ok((Box::new(stream), identity))
}

/// Begins a handshake with the server of `remote`, showing the certificate of our domain `local`. Any certificate of theirs
/// will do here. No time limit of its own.
///
/// # Errors
/// The handshake failed, or `remote` is no name that TLS can carry.
pub async fn call<IO>(
    io: IO,
    store: &TlsStore,
    (local, remote): (&str, &str),
) -> Result<Box<client::TlsStream<IO>>, HandshakeError>
where
    IO: AsyncRead + AsyncWrite + Unpin,
{
    let name = ServerName::try_from(ascii(remote))
        .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
    let identity = store.choose(Some(local), None);
    let limit = |connection: &mut rustls::ClientConnection| {
        connection.set_buffer_limit(Some(SEND_BUFFER_BYTES))
    };
    let connector = TlsConnector::from(identity.peers.call.clone());
    Ok(Box::new(connector.connect_with(name, io, limit).await?))
}

/// What the stream has to know of a finished handshake.
pub fn describe(connection: &rustls::ServerConnection, identity: &Identity) -> Tls {
    let version = match connection.protocol_version() {
        Some(ProtocolVersion::TLSv1_3) => TlsVersion::Tls13,
        _ => TlsVersion::Tls12,
    };
    Tls {
        version,
        server_name: connection.server_name().map(str::to_owned),
        alpn: connection.alpn_protocol().map(<[u8]>::to_vec),
        exporter: exporter(connection, version, identity),
        end_point: identity.end_point.clone(),
        peer_chain: peer::chain(connection.peer_certificates()),
    }
}

/// The `tls-exporter` data (RFC 9266 §2). On TLS 1.2 only where extended master secret was demanded: without it two
/// connections can be made to share their keys (RFC 9266 §4.2), and rustls does not say which kind it is.
fn exporter(
    connection: &rustls::ServerConnection,
    version: TlsVersion,
    identity: &Identity,
) -> Option<[u8; 32]> {
    if version == TlsVersion::Tls12 && !identity.config.require_ems {
        return None;
    }
    // An empty context is not the same as none on TLS 1.2; RFC 9266 §2 says an empty one.
    let label = b"EXPORTER-Channel-Binding";
    connection
        .export_keying_material([0; 32], label, Some(b""))
        .ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::net::tls::TlsOptions;
    use crate::net::tls::testing::{self, Trusting};
    use sha2::{Digest, Sha256};
    use tokio::io::DuplexStream;

    type Both = (
        client::TlsStream<DuplexStream>,
        TlsStream<DuplexStream>,
        Tls,
    );

    async fn both(
        store: &TlsStore,
        client: &Trusting,
        name: &str,
        to: Option<&str>,
    ) -> io::Result<Both> {
        let (near, far) = tokio::io::duplex(64 * 1024);
        let (accepted, connected) = tokio::join!(
            accept(far, store, to, Side::Client),
            client.connect(name, near)
        );
        let (stream, identity) = accepted.map_err(|HandshakeError(error)| error)?;
        let tls = describe(stream.get_ref().1, &identity);
        Ok((connected?, *stream, tls))
    }

    #[tokio::test]
    async fn both_ends_agree_on_the_channel_bindings() {
        let (_dir, store) = testing::store(&["localhost", "other.example"]);
        for (versions, version) in [
            (&[&rustls::version::TLS13], TlsVersion::Tls13),
            (&[&rustls::version::TLS12], TlsVersion::Tls12),
        ] {
            let client = Trusting::new(versions, &[b"xmpp-client"]);
            let (near, _far, tls) = both(&store, &client, "other.example", None).await.unwrap();
            assert_eq!(tls.version, version);
            assert_eq!(tls.server_name.as_deref(), Some("other.example"));
            assert_eq!(tls.alpn.as_deref(), Some(&b"xmpp-client"[..]));
            let connection = near.get_ref().1;
            let label = b"EXPORTER-Channel-Binding";
            let exported = connection
                .export_keying_material([0; 32], label, Some(b""))
                .unwrap();
            assert_eq!(tls.exporter, Some(exported));
            let presented = connection.peer_certificates().unwrap().first().unwrap();
            assert_eq!(tls.end_point.unwrap(), Sha256::digest(presented).to_vec());
        }
    }

    #[tokio::test]
    async fn without_sni_the_stream_header_chooses() {
        let (_dir, store) = testing::store(&["localhost", "other.example"]);
        let client = Trusting::new(&[&rustls::version::TLS13], &[]);
        for (to, expected) in [
            (Some("other.example"), "other.example"),
            (None, "localhost"),
        ] {
            let (_near, _far, tls) = both(&store, &client, "127.0.0.1", to).await.unwrap();
            assert_eq!(tls.server_name, None);
            assert_eq!(tls.end_point, store.choose(Some(expected), None).end_point);
            assert_eq!(tls.alpn, None);
        }
    }

    #[tokio::test]
    async fn only_unknown_protocols_are_refused() {
        let (_dir, store) = testing::store(&["localhost"]);
        let client = Trusting::new(&[&rustls::version::TLS13], &[b"http/1.1"]);
        assert!(both(&store, &client, "localhost", None).await.is_err());
        let client = Trusting::new(&[&rustls::version::TLS13], &[b"http/1.1", b"xmpp-client"]);
        assert!(both(&store, &client, "localhost", None).await.is_ok());
    }

    #[tokio::test]
    async fn tickets_resume_but_never_under_another_certificate() {
        use rustls::HandshakeKind::{Full, Resumed};
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let (dir, store) = testing::store(&["localhost"]);
        let client = Trusting::new(&[&rustls::version::TLS13], &[]);
        let mut kinds = Vec::new();
        for round in 0..3 {
            if round == 2 {
                testing::write(dir.path(), "localhost");
                assert_eq!(store.reload().changed, ["localhost"]);
            }
            let (mut near, mut far, _) = both(&store, &client, "localhost", None).await.unwrap();
            far.write_all(b"x").await.unwrap();
            near.read_u8().await.unwrap();
            kinds.push(far.get_ref().1.handshake_kind().unwrap());
        }
        assert_eq!(kinds, [Full, Resumed, Full]);
    }

    #[tokio::test]
    async fn tls_1_2_can_be_switched_off() {
        let (dir, _) = testing::store(&["example.org"]);
        let source = testing::write(dir.path(), "example.org");
        let options = TlsOptions {
            tls12: false,
            ..TlsOptions::new(vec![source])
        };
        let store = TlsStore::open(options).unwrap();
        for (versions, taken) in [
            (&[&rustls::version::TLS12], false),
            (&[&rustls::version::TLS13], true),
        ] {
            let client = Trusting::new(versions, &[]);
            let result = both(&store, &client, "example.org", None).await;
            assert_eq!(result.is_ok(), taken);
        }
    }
}
