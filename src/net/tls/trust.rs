//! Whether a chain of certificates proves a domain (RFC 6120 §13.7.2, RFC 9525): the path by `webpki`, the names by us.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, TrustAnchor, UnixTime};
use webpki::{EndEntityCert, Error, KeyUsage, anchor_from_trusted_cert};
use x509_parser::certificate::X509Certificate;

use super::names::CertificateNames;

/// Larger than any list of authorities.
const MAX_FILE_BYTES: u64 = 16 << 20;

/// The authorities whose certificates are believed.
pub struct Trust {
    anchors: Vec<TrustAnchor<'static>>,
}

/// The list of authorities cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("the certificates of authorities in {path} cannot be used: {why}")]
pub struct TrustError {
    path: PathBuf,
    why: String,
}

impl Trust {
    /// Reads PEM files with certificates of authorities. Single ones that cannot be used are left out.
    ///
    /// # Errors
    /// A file cannot be read, or holds none.
    pub fn load(files: &[PathBuf]) -> Result<Trust, TrustError> {
        let mut anchors = Vec::new();
        for path in files {
            let before = anchors.len();
            let error = |why: String| TrustError {
                path: path.clone(),
                why,
            };
            for der in read(path).map_err(error)? {
                if let Ok(anchor) = anchor_from_trusted_cert(&der) {
                    anchors.push(anchor.to_owned());
                }
            }
            if anchors.len() == before {
                return Err(error("no certificate of an authority is in it".to_owned()));
            }
        }
        Ok(Trust { anchors })
    }

    /// Trust in this authority (DER) alone, if it can be one.
    pub(super) fn only(authority: &[u8]) -> Option<Trust> {
        let der = CertificateDer::from(authority);
        let anchor = anchor_from_trusted_cert(&der).ok()?.to_owned();
        Some(Trust {
            anchors: vec![anchor],
        })
    }

    /// Whether the chain (DER, the peer's own first) proves `domain` for server-to-server streams at `now` (Unix
    /// milliseconds).
    ///
    /// Certificates for servers are taken from who calls too: public authorities issue no others (XEP-0178).
    ///
    /// # Errors
    /// Why not, in words: which name, which date.
    pub fn proves(&self, chain: &[Vec<u8>], domain: &str, now: u64) -> Result<(), String> {
        let Some((own, issuers)) = chain.split_first() else {
            return Err("no certificate was shown".to_owned());
        };
        let (_, parsed) = x509_parser::parse_x509_certificate(own)
            .map_err(|error| format!("it cannot be understood: {error}"))?;
        let names = CertificateNames::of(&parsed);
        if !names.cover(domain, "xmpp-server") {
            return Err(format!("it is not for {domain} but for {}", names.listed()));
        }
        self.path(own, issuers, now)
            .map_err(|error| words(&error, &parsed))
    }

    /// For connections to servers of the web that these authorities vouch for.
    ///
    /// # Errors
    /// TLS cannot be set up.
    pub fn web(&self) -> Result<rustls::ClientConfig, rustls::Error> {
        let provider = std::sync::Arc::new(ring::default_provider());
        let roots = rustls::RootCertStore {
            roots: self.anchors.clone(),
        };
        let mut config = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(config)
    }

    fn path(&self, own: &[u8], issuers: &[Vec<u8>], now: u64) -> Result<(), Error> {
        let own = CertificateDer::from(own);
        let own = EndEntityCert::try_from(&own)?;
        let issuers: Vec<CertificateDer<'_>> = issuers
            .iter()
            .map(|der| CertificateDer::from(der.as_slice()))
            .collect();
        let now = UnixTime::since_unix_epoch(Duration::from_millis(now));
        let valid = |usage| {
            let algorithms = ring::default_provider()
                .signature_verification_algorithms
                .all;
            own.verify_for_usage(algorithms, &self.anchors, &issuers, now, usage, None, None)
                .map(|_| ())
        };
        valid(KeyUsage::server_auth()).or_else(|error| match error {
            Error::RequiredEkuNotFoundContext(_) => valid(KeyUsage::client_auth()),
            error => Err(error),
        })
    }
}

fn read(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let size = std::fs::metadata(path).map_err(|error| error.to_string())?;
    if size.len() > MAX_FILE_BYTES {
        return Err("the file is too large for one".to_owned());
    }
    let bytes = std::fs::read(path).map_err(|error| error.to_string())?;
    Ok(CertificateDer::pem_slice_iter(&bytes).flatten().collect())
}

fn words(error: &Error, certificate: &X509Certificate<'_>) -> String {
    let validity = certificate.validity();
    match error {
        Error::CertExpired { .. } => {
            format!("it expired on {}", validity.not_after.to_datetime().date())
        }
        Error::CertNotValidYet { .. } => format!(
            "it is not valid before {}",
            validity.not_before.to_datetime().date()
        ),
        _ if certificate.issuer() == certificate.subject() => "it is self-signed".to_owned(),
        Error::UnknownIssuer => {
            format!(
                "its issuer \"{}\" is not trusted here",
                certificate.issuer()
            )
        }
        Error::CaUsedAsEndEntity => "it is the certificate of an authority".to_owned(),
        other => format!("{other}"),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use rcgen::{
        BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    };

    const NOW: u64 = 1_780_000_000_000;

    struct Authority {
        issuer: Issuer<'static, KeyPair>,
        trust: Trust,
    }

    fn authority() -> Authority {
        let dir = tempfile::tempdir().unwrap();
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let made = params.self_signed(&key).unwrap();
        let path = dir.path().join("ca.pem");
        std::fs::write(&path, made.pem()).unwrap();
        Authority {
            issuer: Issuer::new(params, key),
            trust: Trust::load(&[path]).unwrap(),
        }
    }

    fn leaf(
        name: &str,
        change: impl FnOnce(&mut CertificateParams),
    ) -> (CertificateParams, KeyPair) {
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        change(&mut params);
        (params, KeyPair::generate().unwrap())
    }

    fn judge(change: impl FnOnce(&mut CertificateParams), domain: &str) -> Result<(), String> {
        let authority = authority();
        let (params, key) = leaf("a.example", change);
        let der = params.signed_by(&key, &authority.issuer).unwrap();
        authority.trust.proves(&[der.der().to_vec()], domain, NOW)
    }

    #[test]
    fn a_certificate_for_servers_only_is_enough() {
        assert_eq!(judge(|_| {}, "a.example"), Ok(()));
        let client = |params: &mut CertificateParams| {
            params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        };
        assert_eq!(judge(client, "a.example"), Ok(()));
    }

    #[test]
    fn what_is_wrong_is_said() {
        let error = judge(|_| {}, "b.example").unwrap_err();
        assert_eq!(error, "it is not for b.example but for a.example");
        let expired = |params: &mut CertificateParams| {
            params.not_after = rcgen::date_time_ymd(2026, 1, 31);
        };
        assert_eq!(
            judge(expired, "a.example").unwrap_err(),
            "it expired on 2026-01-31"
        );
        let future = |params: &mut CertificateParams| {
            params.not_before = rcgen::date_time_ymd(2031, 1, 1);
        };
        assert_eq!(
            judge(future, "a.example").unwrap_err(),
            "it is not valid before 2031-01-01"
        );
        let (params, key) = leaf("a.example", |_| {});
        let own = params.self_signed(&key).unwrap();
        let trust = authority().trust;
        let judged = trust.proves(&[own.der().to_vec()], "a.example", NOW);
        assert_eq!(judged.unwrap_err(), "it is self-signed");
        let none = trust.proves(&[], "a.example", NOW).unwrap_err();
        assert_eq!(none, "no certificate was shown");
    }
}
