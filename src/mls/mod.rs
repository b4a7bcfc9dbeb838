//! What a server sees of MLS (RFC 9420): the public framing of messages, and key packages. It holds no secret, and this
//! room knows nothing of XMPP.

mod cursor;
pub mod framing;
#[cfg(feature = "mls")]
pub mod package;
pub mod testing;
#[cfg(feature = "mls")]
mod verifier;

/// Cipher suites (RFC 9420 §17.1) whose signatures can be verified here.
pub const SUITES: [u16; 4] = [1, 2, 3, 7];
