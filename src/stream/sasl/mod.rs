//! SASL for both profiles of XMPP: mechanisms, keys, failures (RFC 4422, RFC 6120 §6, XEP-0388).

pub mod base64;
pub mod failure;
pub mod hash;
pub mod keys;
pub mod plain;
pub mod scram;
pub mod scram_message;
pub mod secret;
