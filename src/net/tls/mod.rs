//! TLS for the listeners: certificates per domain, reload without dropping anybody (RFC 7590, RFC 9325).
//!
//! One identity (chain, key, rustls configuration, ticket keys) per certificate. The ClientHello chooses the identity
//! before the handshake goes on, so the connection knows for certain which certificate it presented, which
//! `tls-server-end-point` needs. A reload swaps the table; open connections keep the identity they were opened with.

mod check;
mod dane;
mod end_point;
mod handshake;
mod identity;
mod names;
mod peer;
mod pem;
mod self_signed;
mod store;
#[cfg(test)]
pub(super) mod testing;
mod trust;

pub use check::{Finding, Level};
pub use dane::{Tlsa, is_named};
pub use handshake::{Accepted, HandshakeError, Side, accept, call, describe};
pub use identity::Identity;
pub use names::{CertificateNames, certificate_in_words};
pub use peer::describe_call;
pub use pem::{CertificateSource, LoadError};
pub use self_signed::{SelfSigned, SelfSignedError, self_signed};
pub use store::{Prepared, Reload, TlsError, TlsOptions, TlsStore};
pub use trust::{Trust, TrustError};
