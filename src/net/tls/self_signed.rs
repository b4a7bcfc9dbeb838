//! A certificate of our own making, so that a first start needs nothing prepared.

use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair, SanType};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use sha2::{Digest, Sha256};

use super::names::ascii;
use super::pem::CertificateSource;

/// Where the certificate lies and how to recognise it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SelfSigned {
    /// Its files.
    pub source: CertificateSource,
    /// SHA-256 of the certificate (DER), hexadecimal with colons.
    pub fingerprint: String,
    /// Whether it was made just now.
    pub new: bool,
}

/// Why it could not be made or read.
#[derive(Debug, thiserror::Error)]
pub enum SelfSignedError {
    /// Files or folder.
    #[error("{0}: {1}")]
    Io(PathBuf, #[source] std::io::Error),
    /// The domain is no DNS name.
    #[error("no certificate can be made for {0}: {1}")]
    Make(String, #[source] rcgen::Error),
    /// What lies there is no certificate.
    #[error("{0} is damaged: delete it and {1}, and a new certificate is made")]
    Damaged(PathBuf, PathBuf),
}

/// The self-signed certificate of `domain` in `folder` (`<domain>.crt`, `<domain>.key`, mode 0600), made if it is not there.
/// One for `localhost` is valid for 127.0.0.1 and ::1 too. Its fingerprint is logged.
pub fn self_signed(folder: &Path, domain: &str) -> Result<SelfSigned, SelfSignedError> {
    let name = ascii(domain).replace(['/', '\\'], "_");
    let chain = folder.join(format!("{name}.crt"));
    let key = folder.join(format!("{name}.key"));
    let new = !(chain.exists() && key.exists());
    if new {
        make(folder, domain, &chain, &key)?;
    }
    let der = CertificateDer::from_pem_file(&chain)
        .map_err(|_| SelfSignedError::Damaged(chain.clone(), key.clone()))?;
    let bytes: Vec<String> = Sha256::digest(&der)
        .iter()
        .map(|byte| format!("{byte:02X}"))
        .collect();
    let fingerprint = bytes.join(":");
    let origin = if new { "made" } else { "in use" };
    tracing::warn!(domain, file = %chain.display(), sha256 = %fingerprint, "self-signed certificate {origin}: clients will ask about it; compare the fingerprint");
    let source = CertificateSource {
        domain: domain.to_owned(),
        chain,
        key: Some(key),
    };
    Ok(SelfSigned {
        source,
        fingerprint,
        new,
    })
}

fn make(folder: &Path, domain: &str, chain: &Path, key: &Path) -> Result<(), SelfSignedError> {
    let failed = |error| SelfSignedError::Make(domain.to_owned(), error);
    let mut params = CertificateParams::new(vec![ascii(domain)]).map_err(failed)?;
    if domain == "localhost" {
        params
            .subject_alt_names
            .push(SanType::IpAddress(IpAddr::V4(Ipv4Addr::LOCALHOST)));
        params
            .subject_alt_names
            .push(SanType::IpAddress(IpAddr::V6(Ipv6Addr::LOCALHOST)));
    }
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, domain);
    let pair = KeyPair::generate().map_err(failed)?;
    let certificate = params.self_signed(&pair).map_err(failed)?;
    std::fs::create_dir_all(folder)
        .map_err(|error| SelfSignedError::Io(folder.to_owned(), error))?;
    // The certificate last: once it is there, the key is too.
    write(key, &pair.serialize_pem())?;
    write(chain, &certificate.pem())
}

/// Whole or not at all, and never readable by others, not even for a moment.
fn write(path: &Path, text: &str) -> Result<(), SelfSignedError> {
    let temporary = path.with_extension("new");
    let attempt = || {
        match std::fs::remove_file(&temporary) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = std::fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&temporary)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        std::fs::rename(&temporary, path)
    };
    attempt().map_err(|error| SelfSignedError::Io(path.to_owned(), error))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::net::tls::{CertificateNames, TlsOptions, TlsStore};
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn made_once_private_and_usable() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("certificates");
        let first = self_signed(&folder, "localhost").unwrap();
        let second = self_signed(&folder, "localhost").unwrap();
        assert!(first.new && !second.new);
        assert_eq!(first.fingerprint, second.fingerprint);
        for file in [&first.source.chain, first.source.key.as_ref().unwrap()] {
            assert_eq!(
                std::fs::metadata(file).unwrap().permissions().mode() & 0o777,
                0o600
            );
        }
        assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 2);

        let der = CertificateDer::from_pem_file(&first.source.chain).unwrap();
        let (_, parsed) = x509_parser::parse_x509_certificate(&der).unwrap();
        assert!(CertificateNames::of(&parsed).cover("localhost", "xmpp-client"));
        assert_eq!(
            parsed
                .subject_alternative_name()
                .unwrap()
                .unwrap()
                .value
                .general_names
                .len(),
            3
        );
        let store = TlsStore::open(TlsOptions::new(vec![first.source])).unwrap();
        assert_eq!(
            store.choose(None, None).fingerprint_text(),
            first.fingerprint
        );
    }
}
