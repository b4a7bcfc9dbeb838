//! Certificates and a client for tests.
#![allow(clippy::unwrap_used)]

use std::io;
use std::path::Path;
use std::sync::Arc;

use rustls::crypto::ring;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, SupportedProtocolVersion};
use tempfile::TempDir;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::{TlsConnector, client::TlsStream};

use super::peer::Anybody;
use super::{CertificateSource, TlsOptions, TlsStore};

/// Writes a fresh self-signed certificate for `domain`.
pub(in crate::net) fn write(dir: &Path, domain: &str) -> CertificateSource {
    let made = rcgen::generate_simple_self_signed(vec![domain.to_owned()]).unwrap();
    let chain = dir.join(format!("{domain}.pem"));
    std::fs::write(&chain, made.cert.pem() + &made.signing_key.serialize_pem()).unwrap();
    CertificateSource {
        domain: domain.into(),
        chain,
        key: None,
    }
}

/// A store with one certificate per domain.
pub(in crate::net) fn store(domains: &[&str]) -> (TempDir, TlsStore) {
    let dir = tempfile::tempdir().unwrap();
    let sources = domains
        .iter()
        .map(|domain| write(dir.path(), domain))
        .collect();
    let store = TlsStore::open(TlsOptions::new(sources)).unwrap();
    (dir, store)
}

/// A client that takes any certificate, and tickets.
pub(in crate::net) struct Trusting(TlsConnector);

impl Trusting {
    pub(in crate::net) fn new(
        versions: &[&'static SupportedProtocolVersion],
        alpn: &[&[u8]],
    ) -> Trusting {
        let provider = Arc::new(ring::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider.clone())
            .with_protocol_versions(versions)
            .unwrap()
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Anybody(provider)))
            .with_no_client_auth();
        config.alpn_protocols = alpn.iter().map(|protocol| protocol.to_vec()).collect();
        Trusting(TlsConnector::from(Arc::new(config)))
    }

    /// `name` goes into the SNI, if it is a name.
    pub(in crate::net) async fn connect<IO>(&self, name: &str, io: IO) -> io::Result<TlsStream<IO>>
    where
        IO: AsyncRead + AsyncWrite + Unpin,
    {
        self.0
            .connect(ServerName::try_from(name.to_owned()).unwrap(), io)
            .await
    }
}
