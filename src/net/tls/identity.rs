//! One certificate with its key, ready to be presented.

use std::sync::Arc;

use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::CertificateDer;
use rustls::server::NoServerSessionStorage;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{Error, InconsistentKeys, ServerConfig, SupportedProtocolVersion};
use sha2::{Digest, Sha256};

use super::names::CertificateNames;
use super::peer::PeerConfigs;
use super::pem::{self, CertificateSource, LoadError};
use super::{TlsOptions, end_point};

/// A chain with its key, and what the server has to know of it.
pub struct Identity {
    /// The domain it was configured for.
    pub domain: String,
    /// The names its certificate speaks for.
    pub names: CertificateNames,
    /// When it expires, Unix seconds.
    pub expires: i64,
    /// SHA-256 of the certificate (DER).
    pub fingerprint: [u8; 32],
    /// The `tls-server-end-point` data; `None` where RFC 5929 §4.1 leaves it undefined.
    pub end_point: Option<Vec<u8>>,
    /// Whether TLS 1.2 is offered, and whether it needs the extended master secret.
    pub(super) offers: (bool, bool),
    pub(super) chain: Vec<CertificateDer<'static>>,
    pub(super) config: Arc<ServerConfig>,
    /// For web clients, and for both.
    pub(super) web: Arc<ServerConfig>,
    pub(super) any: Arc<ServerConfig>,
    /// For clients of the relay.
    pub(super) relay: Arc<ServerConfig>,
    pub(super) peers: PeerConfigs,
}

impl Identity {
    /// The fingerprint as people compare it: `AB:CD:…`.
    pub fn fingerprint_text(&self) -> String {
        let bytes: Vec<String> = self
            .fingerprint
            .iter()
            .map(|byte| format!("{byte:02X}"))
            .collect();
        bytes.join(":")
    }

    pub(super) fn load(
        source: &CertificateSource,
        options: &TlsOptions,
    ) -> Result<Identity, LoadError> {
        let loaded = pem::load(source)?;
        let provider = Arc::new(ring::default_provider());
        let key = certified(source, loaded, &provider)?;
        let bad = |error: String| LoadError::NotX509(source.chain.clone(), error);
        let chain = key.cert.clone();
        let own = chain
            .first()
            .ok_or_else(|| LoadError::NoCertificate(source.chain.clone()))?;
        let (_, parsed) =
            x509_parser::parse_x509_certificate(own).map_err(|error| bad(error.to_string()))?;
        let key = Arc::new(SingleCertAndKey::from(key));
        let peers = PeerConfigs::new(key.clone(), provider.clone(), versions(options))
            .map_err(|error| bad(error.to_string()))?;
        let config =
            configuration(key, provider, options).map_err(|error| bad(error.to_string()))?;
        Ok(Identity {
            peers,
            domain: source.domain.clone(),
            names: CertificateNames::of(&parsed),
            expires: parsed.validity().not_after.timestamp(),
            fingerprint: Sha256::digest(own).into(),
            end_point: end_point::hash(own, &parsed),
            web: speaking(&config, &[HTTP2, HTTP]),
            any: speaking(&config, &[XMPP, HTTP2, HTTP, TURN]),
            relay: speaking(&config, &[TURN]),
            config: speaking(&config, &[XMPP, TURN]),
            offers: (options.tls12, options.require_ems),
            chain,
        })
    }
}

fn certified(
    source: &CertificateSource,
    loaded: pem::Loaded,
    provider: &CryptoProvider,
) -> Result<CertifiedKey, LoadError> {
    let key_file = || source.key_file().to_owned();
    let key = provider
        .key_provider
        .load_private_key(loaded.key)
        .map_err(|error| LoadError::BadKey(key_file(), error.to_string()))?;
    let certified = CertifiedKey::new(loaded.chain, key);
    match certified.keys_match() {
        Ok(()) => Ok(certified),
        Err(Error::InconsistentKeys(InconsistentKeys::Unknown)) => Ok(certified),
        Err(Error::InconsistentKeys(_)) => Err(LoadError::Mismatch {
            chain: source.chain.clone(),
            key: key_file(),
        }),
        Err(error) => Err(LoadError::NotX509(source.chain.clone(), error.to_string())),
    }
}

/// Newest first.
static VERSIONS: [&SupportedProtocolVersion; 2] =
    [&rustls::version::TLS13, &rustls::version::TLS12];

fn versions(options: &TlsOptions) -> &'static [&'static SupportedProtocolVersion] {
    match options.tls12 {
        true => &VERSIONS,
        false => VERSIONS.get(..1).unwrap_or_default(),
    }
}

/// Tickets are stateless, so that resumption costs no memory; their keys belong to this certificate alone,
/// so that no session is resumed under another one and `tls-server-end-point` always means the certificate in use.
fn configuration(
    key: Arc<SingleCertAndKey>,
    provider: Arc<CryptoProvider>,
    options: &TlsOptions,
) -> Result<ServerConfig, Error> {
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(versions(options))?
        .with_no_client_auth()
        .with_cert_resolver(key);
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.ticketer = ring::Ticketer::new()?;
    config.send_tls13_tickets = 1;
    config.require_ems = options.require_ems;
    Ok(config)
}

/// ALPN names (XEP-0368 §5, RFC 7301 §6, RFC 7443 §3).
const XMPP: &[u8] = b"xmpp-client";
const HTTP: &[u8] = b"http/1.1";
const HTTP2: &[u8] = b"h2";
const TURN: &[u8] = b"stun.turn";

/// The same for these protocols. They share the keys of tickets: who resumes a session still says what it speaks.
fn speaking(config: &ServerConfig, protocols: &[&[u8]]) -> Arc<ServerConfig> {
    let mut config = config.clone();
    config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
    Arc::new(config)
}
