//! Why bytes are refused; each kind is one stream error condition (RFC 6120 §4.9.3).

use thiserror::Error;

/// Why bytes are refused. The text is for logs and for the `<text/>` of the stream error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum XmlError {
    /// Breaks XML 1.0 or Namespaces in XML: `not-well-formed` (RFC 6120 §11.3).
    #[error("not well-formed: {0}")]
    NotWellFormed(&'static str),
    /// DTD, comment, processing instruction or foreign entity: `restricted-xml` (RFC 6120 §11.1).
    #[error("restricted XML: {0}")]
    Restricted(&'static str),
    /// Well-formed, but no XML stream: `bad-format` (RFC 6120 §4.9.3.1).
    #[error("bad format: {0}")]
    BadFormat(&'static str),
    /// The stream header lacks the prefix it needs: `bad-namespace-prefix` (RFC 6120 §4.9.3.2).
    #[error("the stream header lacks the prefix of the stream namespace")]
    BadPrefix,
    /// Another encoding than UTF-8, or bytes that are not UTF-8: `unsupported-encoding` (RFC 6120 §11.6).
    #[error("not UTF-8")]
    UnsupportedEncoding,
    /// Wrong stream or content namespace: `invalid-namespace` (RFC 6120 §4.9.3.10).
    #[error("wrong stream or content namespace")]
    InvalidNamespace,
    /// An element or header longer than allowed: `policy-violation`.
    #[error("larger than {limit} bytes")]
    TooLarge {
        /// The limit in bytes.
        limit: usize,
    },
    /// Another of [`Limits`](super::Limits) was passed: `policy-violation`.
    #[error("limit passed: {0}")]
    Limit(&'static str),
}
