//! What a stream from another server needs to know of the house.

use std::sync::Arc;

use crate::proto::Jid;
use crate::stream::seat::Seat;

/// What a domain must show before its stanzas are taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Demand {
    /// It is not talked to; why, in words.
    Refused(String),
    /// A certificate that is valid for it.
    Certificate,
    /// A valid certificate, or over TLS whatever the certificate a key that its own server confirms.
    Dialback,
}

/// How a domain proved itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proof {
    /// SASL EXTERNAL with a valid certificate (XEP-0178).
    External,
    /// A dialback key, on a stream with a valid certificate, which made calling back needless (XEP-0344).
    Certificate,
    /// A dialback key that the domain's server confirmed (XEP-0220).
    Dialback,
}

impl Proof {
    /// In a word, for lists.
    pub fn name(self) -> &'static str {
        match self {
            Proof::External => "EXTERNAL",
            Proof::Certificate => "certificate",
            Proof::Dialback => "dialback",
        }
    }
}

/// A pair of domains proved on a stream.
#[derive(Clone, Debug)]
pub struct Proven {
    /// Ours.
    pub local: Jid,
    /// Theirs.
    pub remote: Jid,
    /// By what.
    pub proof: Proof,
    /// Whether our stanzas may go out on the same stream (XEP-0288).
    pub bidi: bool,
}

/// A dialback key to be confirmed by the server of the domain it claims (XEP-0220 §2.1.2).
#[derive(Clone, Debug)]
pub struct Verify {
    /// Our domain, whom the key was given to.
    pub local: Jid,
    /// The domain to be proved.
    pub remote: Jid,
    /// The id of the stream it was given on.
    pub id: String,
    /// The key.
    pub key: String,
}

/// A stream that another server opened, once something was proved on it.
pub trait Line: Send + Sync {
    /// One more pair was proved.
    fn proven(&self, proven: &Proven);
    /// Where its stanzas go.
    fn seat(&self) -> Arc<dyn Seat>;
    /// A former stream goes on in its place.
    fn superseded(&self);
}

/// The house, as server streams see it. Nothing of it waits.
pub trait Office: Send + Sync {
    /// Whether the domain is served here.
    fn is_local(&self, domain: &Jid) -> bool;
    /// What this domain must show.
    fn demand(&self, remote: &Jid) -> Demand;
    /// Whether this chain (DER, the peer's own first) is a valid certificate of the domain; if not, why, in words.
    fn certified(&self, chain: &[Vec<u8>], domain: &Jid) -> Result<(), String>;
    /// Whether a key is asked about of who must have a valid certificate and shows none: the server that is asked must have
    /// one, as DNS names it.
    fn asks_back(&self, remote: &Jid) -> bool;
    /// The dialback key of our domain `originating` towards `receiving` on the stream `id` (XEP-0185).
    fn key(&self, receiving: &Jid, originating: &Jid, id: &str) -> String;
    /// Whether streams may carry stanzas both ways (XEP-0288).
    fn bidi(&self) -> bool;
    /// Whether streams may be resumed (XEP-0198).
    fn resumes(&self) -> bool;
    /// Something is about to be proved on a stream from this address.
    fn line(&self, address: &str) -> Arc<dyn Line>;
}
