//! SASL for both profiles of XMPP: mechanisms, keys, failures (RFC 4422, RFC 6120 §6, XEP-0388).

pub mod base64;
pub mod exchange;
pub mod exchanges;
pub mod failure;
pub mod hash;
pub mod keys;
pub mod offer;
pub mod plain;
pub(in crate::stream) mod profile;
pub(in crate::stream) mod request;
pub mod scram;
pub mod scram_message;
pub mod secret;
pub(in crate::stream) mod upgrade;
