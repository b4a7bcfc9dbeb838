//! TLS between servers: both sides show a certificate, and neither handshake fails for one that is not valid.
//!
//! Whether a certificate proves a domain is decided after the handshake, when the domain is known ([`super::Trust`]); that
//! the peer holds the certificate's key is proved by the handshake itself.

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{ClientConnection, Resumption};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::sign::SingleCertAndKey;
use rustls::{
    ClientConfig, DigitallySignedStruct, DistinguishedName, Error, ProtocolVersion, ServerConfig,
    SignatureScheme, SupportedProtocolVersion,
};

use crate::stream::{Tls, TlsVersion};

/// What a domain uses towards other servers.
pub(super) struct PeerConfigs {
    /// When they call.
    pub accept: Arc<ServerConfig>,
    /// When we call.
    pub call: Arc<ClientConfig>,
}

impl PeerConfigs {
    /// Without tickets: every handshake shows both certificates.
    pub(super) fn new(
        key: Arc<SingleCertAndKey>,
        provider: Arc<CryptoProvider>,
        versions: &[&'static SupportedProtocolVersion],
    ) -> Result<PeerConfigs, Error> {
        let anybody = Arc::new(Anybody(provider.clone()));
        let mut accept = ServerConfig::builder_with_provider(provider.clone())
            .with_protocol_versions(versions)?
            .with_client_cert_verifier(anybody.clone())
            .with_cert_resolver(key.clone());
        accept.alpn_protocols = vec![b"xmpp-server".to_vec()];
        accept.session_storage = Arc::new(rustls::server::NoServerSessionStorage {});
        accept.send_tls13_tickets = 0;
        let mut call = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(versions)?
            .dangerous()
            .with_custom_certificate_verifier(anybody)
            .with_client_cert_resolver(key);
        call.alpn_protocols = vec![b"xmpp-server".to_vec()];
        call.resumption = Resumption::disabled();
        Ok(PeerConfigs {
            accept: Arc::new(accept),
            call: Arc::new(call),
        })
    }
}

/// What the stream has to know of a finished handshake that we began.
pub fn describe_call(connection: &ClientConnection) -> Tls {
    Tls {
        version: match connection.protocol_version() {
            Some(ProtocolVersion::TLSv1_3) => TlsVersion::Tls13,
            _ => TlsVersion::Tls12,
        },
        server_name: None,
        alpn: connection.alpn_protocol().map(<[u8]>::to_vec),
        exporter: None,
        end_point: None,
        peer_chain: chain(connection.peer_certificates()),
    }
}

/// A chain as the stream keeps it.
pub(super) fn chain(certificates: Option<&[CertificateDer<'_>]>) -> Vec<Vec<u8>> {
    let certificates = certificates.unwrap_or_default().iter();
    certificates.map(|der| der.to_vec()).collect()
}

/// Takes every certificate whose key signed the handshake.
#[derive(Debug)]
pub(super) struct Anybody(pub(super) Arc<CryptoProvider>);

impl Anybody {
    fn tls12(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn tls13(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.tls12(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.tls13(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.schemes()
    }
}

impl ClientCertVerifier for Anybody {
    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.tls12(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.tls13(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.schemes()
    }
}
