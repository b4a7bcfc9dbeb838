//! What is or will be wrong with a certificate, in plain words for the log and for `waxwing check`.

use std::fmt;
use std::path::Path;

use rustls::pki_types::CertificateDer;
use x509_parser::certificate::X509Certificate;
use x509_parser::public_key::PublicKey;

use super::TlsOptions;
use super::identity::Identity;
use super::names::CertificateNames;
use super::pem::{self, CertificateSource};

/// A certificate that expires within this is reported.
const EXPIRY_WARNING_DAYS: i64 = 14;
const DAY_SECONDS: i64 = 86_400;

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Worth knowing.
    Note,
    /// Some clients will have trouble, or all of them soon.
    Warning,
    /// Clients cannot or will not connect.
    Error,
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Level::Note => "note",
            Level::Warning => "warning",
            Level::Error => "error",
        })
    }
}

/// One observation about the certificate of one domain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// How bad it is.
    pub level: Level,
    /// The domain concerned.
    pub domain: String,
    /// What is wrong and what to do, one sentence or two.
    pub text: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}: certificate of {}: {}",
            self.level, self.domain, self.text
        )
    }
}

/// Everything there is to say about one source; `now` in Unix milliseconds.
pub(super) fn examine(source: &CertificateSource, now: u64) -> Vec<Finding> {
    let mut report = Report {
        domain: &source.domain,
        findings: Vec::new(),
    };
    report.key_mode(source.key_file());
    let chain = match pem::load(source) {
        Ok(loaded) => loaded.chain,
        Err(error) => {
            report.add(Level::Error, error.to_string());
            return report.findings;
        }
    };
    if let Err(error) = Identity::load(source, &TlsOptions::new(Vec::new())) {
        report.add(Level::Error, error.to_string());
    }
    if let Some(parsed) = report.parsed(&chain, &source.chain) {
        report.chain(&parsed, now);
    }
    report.findings
}

struct Report<'a> {
    domain: &'a str,
    findings: Vec<Finding>,
}

impl Report<'_> {
    fn add(&mut self, level: Level, text: impl Into<String>) {
        self.findings.push(Finding {
            level,
            domain: self.domain.to_owned(),
            text: text.into(),
        });
    }

    fn key_mode(&mut self, key: &Path) {
        use std::os::unix::fs::PermissionsExt;
        let Ok(metadata) = std::fs::metadata(key) else {
            return;
        };
        if metadata.permissions().mode() & 0o007 != 0 {
            let text = format!(
                "the private key {} is readable by everybody: chmod o= {0}",
                key.display()
            );
            self.add(Level::Warning, text);
        }
    }

    fn parsed<'c>(
        &mut self,
        chain: &'c [CertificateDer<'static>],
        file: &Path,
    ) -> Option<Vec<X509Certificate<'c>>> {
        let mut parsed = Vec::new();
        for (place, der) in chain.iter().enumerate() {
            match x509_parser::parse_x509_certificate(der) {
                Ok((_, certificate)) => parsed.push(certificate),
                Err(error) => {
                    let text = format!(
                        "certificate {} in {} cannot be understood: {error}",
                        place + 1,
                        file.display()
                    );
                    self.add(Level::Error, text);
                    return None;
                }
            }
        }
        Some(parsed)
    }

    fn chain(&mut self, chain: &[X509Certificate<'_>], now: u64) {
        let Some((own, issuers)) = chain.split_first() else {
            return;
        };
        let now = i64::try_from(now / 1000).unwrap_or(i64::MAX);
        self.names(own);
        self.validity(own, "the certificate", now);
        for issuer in issuers {
            self.validity(
                issuer,
                &format!("the intermediate \"{}\"", issuer.subject()),
                now,
            );
        }
        self.key(own);
        self.order(own, issuers);
    }

    fn names(&mut self, own: &X509Certificate<'_>) {
        let names = CertificateNames::of(own);
        if !names.cover(self.domain, "xmpp-client") {
            let text = format!(
                "it does not cover {} but {}: clients will refuse it",
                self.domain,
                names.listed()
            );
            self.add(Level::Error, text);
        }
    }

    fn validity(&mut self, certificate: &X509Certificate<'_>, what: &str, now: i64) {
        let (from, until) = (
            certificate.validity().not_before,
            certificate.validity().not_after,
        );
        let left = until.timestamp().saturating_sub(now);
        let date = until.to_datetime().date();
        if from.timestamp() > now {
            let text = format!(
                "{what} is not valid before {}: is the clock right?",
                from.to_datetime()
            );
            self.add(Level::Error, text);
        } else if left < 0 {
            self.add(
                Level::Error,
                format!("{what} expired on {date}: renew it, then reload"),
            );
        } else if left < EXPIRY_WARNING_DAYS * DAY_SECONDS {
            let text = format!(
                "{what} expires in {} days, on {date}: renew it, then reload",
                left / DAY_SECONDS
            );
            self.add(Level::Warning, text);
        }
    }

    fn key(&mut self, own: &X509Certificate<'_>) {
        let weak = match own.public_key().parsed() {
            Ok(PublicKey::RSA(rsa)) if rsa.key_size() < 2048 => {
                format!("RSA with {} bits", rsa.key_size())
            }
            Ok(PublicKey::DSA(_)) => "DSA".to_owned(),
            _ => String::new(),
        };
        if !weak.is_empty() {
            self.add(
                Level::Error,
                format!(
                    "its key is too weak ({weak}): use ECDSA P-256 or RSA with 2048 bits or more"
                ),
            );
        }
        // md5 and sha1 with RSA, sha1 with ECDSA.
        let signature = own.signature_algorithm.algorithm.to_id_string();
        if [
            "1.2.840.113549.1.1.4",
            "1.2.840.113549.1.1.5",
            "1.2.840.10045.4.1",
        ]
        .contains(&signature.as_str())
        {
            self.add(
                Level::Error,
                "it is signed with MD5 or SHA-1, which clients refuse: get a new one",
            );
        }
    }

    fn order(&mut self, own: &X509Certificate<'_>, issuers: &[X509Certificate<'_>]) {
        if own.is_ca() && issuers.iter().any(|other| !other.is_ca()) {
            self.add(
                Level::Error,
                "the file is out of order: the domain's own certificate must come first",
            );
            return;
        }
        let mut below = own;
        for issuer in issuers {
            if below.issuer().as_raw() != issuer.subject().as_raw() {
                self.broken(below, issuers);
                return;
            }
            below = issuer;
        }
        if own.issuer().as_raw() == own.subject().as_raw() {
            let level = if self.domain == "localhost" {
                Level::Note
            } else {
                Level::Warning
            };
            self.add(
                level,
                "it is self-signed: clients will ask their user or refuse",
            );
        } else if issuers.is_empty() {
            let text = format!(
                "the chain is incomplete: the certificate of its issuer \"{}\" is missing; use the file with the full chain (fullchain.pem)",
                own.issuer()
            );
            self.add(Level::Warning, text);
        }
    }

    fn broken(&mut self, below: &X509Certificate<'_>, issuers: &[X509Certificate<'_>]) {
        let present = issuers
            .iter()
            .any(|other| other.subject().as_raw() == below.issuer().as_raw());
        let text = if present {
            "the chain is out of order: each certificate must be followed by that of its issuer"
                .to_owned()
        } else {
            format!(
                "the chain is broken: the certificate of \"{}\", issuer of \"{}\", is missing",
                below.issuer(),
                below.subject()
            )
        };
        self.add(Level::Error, text);
    }
}

#[cfg(test)]
mod tests;
