//! The way to addresses that this process does not serve: those of other servers, and domains of this one that other
//! processes serve.

use super::envelope::Envelope;
use crate::proto::error::StanzaError;
use crate::proto::jid::Jid;
use crate::store::Mid;

/// A stream with another server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// Ours.
    pub local: Jid,
    /// Theirs.
    pub remote: Jid,
    /// Which way stanzas go.
    pub direction: Direction,
}

/// Which way stanzas go over a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Direction {
    /// From there.
    In,
    /// To there.
    Out,
    /// Both ways (XEP-0288).
    Both,
}

/// A way to other domains. Nothing of it waits.
pub trait Elsewhere: Send + Sync {
    /// A stanza is about to leave: whether it is kept until the other side has it. What keeps it
    /// is put into its batch.
    ///
    /// # Errors
    /// Why it may not leave, for its sender.
    fn admit(&self, envelope: &mut Envelope) -> Result<bool, StanzaError>;

    /// Takes a stanza that was admitted; with its id if it is kept, which is on disk now. Those
    /// that are kept come in the order of the commits.
    fn take(&self, envelope: Box<Envelope>, kept: Option<Mid>);

    /// The streams that there are with other servers.
    fn links(&self) -> Vec<Link> {
        Vec::new()
    }
}
