//! Certificate chains and private keys from PEM files (RFC 7468).

use std::io::Read;
use std::path::{Path, PathBuf};

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// More than any chain with its key needs; a wrong path should not fill the memory.
const MAX_FILE_BYTES: u64 = 1 << 20;

/// Where the certificate of one domain lies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateSource {
    /// The domain it is for.
    pub domain: String,
    /// PEM file with the chain, the domain's own certificate first.
    pub chain: PathBuf,
    /// PEM file with the private key; `None` when it is in the chain's file.
    pub key: Option<PathBuf>,
}

impl CertificateSource {
    /// The file that holds the private key.
    pub fn key_file(&self) -> &Path {
        self.key.as_deref().unwrap_or(&self.chain)
    }
}

/// Why a certificate or key could not be loaded; each says what to do.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The file is not there.
    #[error("{0} does not exist")]
    Missing(PathBuf),
    /// The file is there, but may not be read.
    #[error(
        "{0} may not be read by the server: check its owner and mode, and those of the folders above it"
    )]
    Denied(PathBuf),
    /// Reading failed for another reason.
    #[error("{0} cannot be read: {1}")]
    Unreadable(PathBuf, std::io::Error),
    /// Far larger than a certificate.
    #[error("{0} is larger than 1 MiB: that is no certificate file")]
    TooLarge(PathBuf),
    /// The PEM armour is damaged.
    #[error("{0} is damaged: {1}")]
    Damaged(PathBuf, rustls::pki_types::pem::Error),
    /// No `BEGIN CERTIFICATE` in it.
    #[error("{0} holds no certificate (no line \"-----BEGIN CERTIFICATE-----\")")]
    NoCertificate(PathBuf),
    /// No private key in it.
    #[error("{0} holds no private key (no line \"-----BEGIN PRIVATE KEY-----\")")]
    NoKey(PathBuf),
    /// The private key wants a password.
    #[error(
        "the private key in {0} is encrypted: store it without a password (openssl pkey -in … -out …)"
    )]
    EncryptedKey(PathBuf),
    /// A certificate is not X.509.
    #[error("a certificate in {0} cannot be understood: {1}")]
    NotX509(PathBuf, String),
    /// The private key is of a kind or size that TLS does not take.
    #[error("the private key in {0} cannot be used: {1}")]
    BadKey(PathBuf, String),
    /// Key and certificate are not a pair.
    #[error("the private key in {key} does not belong to the certificate in {chain}")]
    Mismatch {
        /// The chain's file.
        chain: PathBuf,
        /// The key's file.
        key: PathBuf,
    },
}

/// What the files of one source hold.
pub(super) struct Loaded {
    pub(super) chain: Vec<CertificateDer<'static>>,
    pub(super) key: PrivateKeyDer<'static>,
}

pub(super) fn load(source: &CertificateSource) -> Result<Loaded, LoadError> {
    let text = read(&source.chain)?;
    let chain = certificates(&source.chain, &text)?;
    let key = match &source.key {
        Some(file) if *file != source.chain => private_key(file, &read(file)?)?,
        _ => private_key(&source.chain, &text)?,
    };
    Ok(Loaded { chain, key })
}

fn read(path: &Path) -> Result<Vec<u8>, LoadError> {
    let failed = |error: std::io::Error| match error.kind() {
        std::io::ErrorKind::NotFound => LoadError::Missing(path.to_owned()),
        std::io::ErrorKind::PermissionDenied => LoadError::Denied(path.to_owned()),
        _ => LoadError::Unreadable(path.to_owned(), error),
    };
    let file = std::fs::File::open(path).map_err(failed)?;
    let mut text = Vec::new();
    file.take(MAX_FILE_BYTES + 1)
        .read_to_end(&mut text)
        .map_err(failed)?;
    if text.len() as u64 > MAX_FILE_BYTES {
        return Err(LoadError::TooLarge(path.to_owned()));
    }
    Ok(text)
}

fn certificates(path: &Path, text: &[u8]) -> Result<Vec<CertificateDer<'static>>, LoadError> {
    let chain: Vec<_> = CertificateDer::pem_slice_iter(text)
        .collect::<Result<_, _>>()
        .map_err(|error| LoadError::Damaged(path.to_owned(), error))?;
    if chain.is_empty() {
        return Err(LoadError::NoCertificate(path.to_owned()));
    }
    Ok(chain)
}

fn private_key(path: &Path, text: &[u8]) -> Result<PrivateKeyDer<'static>, LoadError> {
    match PrivateKeyDer::from_pem_slice(text) {
        Ok(key) => Ok(key),
        Err(_) if encrypted(text) => Err(LoadError::EncryptedKey(path.to_owned())),
        Err(rustls::pki_types::pem::Error::NoItemsFound) => Err(LoadError::NoKey(path.to_owned())),
        Err(error) => Err(LoadError::Damaged(path.to_owned(), error)),
    }
}

/// PKCS #8 says so in the armour, the older form in a header line inside it.
fn encrypted(text: &[u8]) -> bool {
    let has = |needle: &[u8]| memchr::memmem::find(text, needle).is_some();
    has(b"BEGIN ENCRYPTED PRIVATE KEY") || has(b"Proc-Type: 4,ENCRYPTED")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn load_text(text: &str) -> Result<Loaded, LoadError> {
        let dir = tempfile::tempdir().unwrap();
        let chain = dir.path().join("both.pem");
        std::fs::write(&chain, text).unwrap();
        load(&CertificateSource {
            domain: "example.org".into(),
            chain,
            key: None,
        })
    }

    #[test]
    fn one_file_or_two() {
        let made = rcgen::generate_simple_self_signed(vec!["example.org".into()]).unwrap();
        let (certificate, key) = (made.cert.pem(), made.signing_key.serialize_pem());
        assert_eq!(
            load_text(&format!("{certificate}{key}"))
                .unwrap()
                .chain
                .len(),
            1
        );
        assert_eq!(
            load_text(&format!("{key}{certificate}{certificate}"))
                .unwrap()
                .chain
                .len(),
            2
        );
        let dir = tempfile::tempdir().unwrap();
        let (chain, file) = (dir.path().join("c.pem"), dir.path().join("k.pem"));
        std::fs::write(&chain, certificate).unwrap();
        std::fs::write(&file, key).unwrap();
        load(&CertificateSource {
            domain: "example.org".into(),
            chain,
            key: Some(file),
        })
        .unwrap();
    }

    #[test]
    fn what_is_wrong_is_named() {
        let made = rcgen::generate_simple_self_signed(vec!["example.org".into()]).unwrap();
        let missing = CertificateSource {
            domain: "a".into(),
            chain: "/nonexistent/x.pem".into(),
            key: None,
        };
        assert!(matches!(load(&missing), Err(LoadError::Missing(_))));
        assert!(matches!(
            load_text("hello"),
            Err(LoadError::NoCertificate(_))
        ));
        assert!(matches!(
            load_text(&made.cert.pem()),
            Err(LoadError::NoKey(_))
        ));
        let locked =
            "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n";
        assert!(matches!(
            load_text(&format!("{}{locked}", made.cert.pem())),
            Err(LoadError::EncryptedKey(_))
        ));
        assert!(matches!(
            load_text(&"x".repeat(2 << 20)),
            Err(LoadError::TooLarge(_))
        ));
        let cut = made.cert.pem().replace("-----END CERTIFICATE-----", "");
        assert!(matches!(load_text(&cut), Err(LoadError::Damaged(..))));
    }
}
