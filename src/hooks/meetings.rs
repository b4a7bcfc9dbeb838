//! Where two meet: connections of SOCKS5 that asked for the same name, which a feature joins (XEP-0065 §6).

use std::any::Any;
use std::time::Duration;

use crate::metrics::Counter;

/// The place where they wait; implemented by the SOCKS room.
pub trait Meetings: Send + Sync {
    /// Joins the two that wait for each other under a name: from then on each gets what the other sends.
    ///
    /// # Errors
    /// There are no two.
    fn join(&self, name: &str, terms: MeetingTerms) -> Result<(), NotJoined>;
}

/// On what terms two are joined.
pub struct MeetingTerms {
    /// Bytes in a second, both ways together.
    pub rate: u32,
    /// It is over once neither has sent anything for so long.
    pub idle: Duration,
    /// Counts what they send.
    pub bytes: Counter,
    /// Dropped when it is over.
    pub seat: Box<dyn Any + Send>,
}

/// Why two are not joined.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotJoined {
    /// Nobody waits under this name.
    #[error("nobody waits under this name")]
    Nobody,
    /// The other has not come.
    #[error("one waits alone")]
    Alone,
}
