//! Relays for calls (RFC 8656), as far as features know of them.

use super::account::Uid;
use crate::proto::jid::Jid;

/// Where the server's own relay is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Door {
    /// The name or address, if it is another one than that of the host.
    pub host: Option<String>,
    /// The port.
    pub port: u16,
    /// `udp` or `tcp`
    pub transport: &'static str,
    /// Whether TLS comes first.
    pub tls: bool,
}

/// What proves at a relay whose accounts somebody belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RelayPass {
    /// Who, in words that only this server can read, and until when.
    pub username: String,
    /// Made from that and a secret.
    pub password: String,
}

/// What features may do with relays.
pub trait Calls: Send + Sync {
    /// Where the server's own relay is reached; nothing if there is none.
    fn doors(&self) -> Vec<Door>;
    /// A pass that holds until then (Unix seconds), at the server's own relay or at another one with which a secret is shared.
    fn pass(&self, account: Uid, until: u64, secret: Option<&str>) -> RelayPass;
    /// Ends what an account has at the server's own relay.
    fn end(&self, account: &Jid);
}
