//! Why another server cannot be talked to: in words for whoever wrote to it.

use crate::net::DialError;
use crate::proto::error::{Condition, StanzaError};
use crate::proto::jid::Jid;
use crate::stream::server::Failure;

/// Why another server cannot be talked to.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Trouble {
    /// DNS says for certain that there is nothing.
    #[error("{0}")]
    Nothing(String),
    /// It is not talked to, by decision of the administrator.
    #[error("{0}")]
    Policy(String),
    /// DNS gave no answer.
    #[error("{0}")]
    Dns(String),
    /// DNS does not prove its certificate, as the administrator demands.
    #[error("{0}")]
    Unproven(String),
    /// Its address does not answer.
    #[error("the server cannot be reached: {0}")]
    Dial(DialError),
    /// It answers, but the stream does not come about.
    #[error("{0}")]
    Stream(Failure),
    /// The program of ours that serves it is not there.
    #[error("the program that serves this address is not connected")]
    Away,
    /// More is waiting for it than may.
    #[error("too much is waiting for the server already")]
    Full,
}

impl Trouble {
    /// Whether trying again is of no use.
    pub fn is_final(&self) -> bool {
        matches!(self, Trouble::Nothing(_) | Trouble::Policy(_))
    }

    /// What the sender of a stanza to `domain` is told.
    pub fn to_error(&self, domain: &Jid) -> StanzaError {
        let condition = match self {
            Trouble::Nothing(_) => Condition::RemoteServerNotFound,
            Trouble::Policy(_) => Condition::NotAllowed,
            Trouble::Full => Condition::ResourceConstraint,
            Trouble::Away
            | Trouble::Dns(_)
            | Trouble::Unproven(_)
            | Trouble::Dial(_)
            | Trouble::Stream(_) => Condition::RemoteServerTimeout,
        };
        StanzaError::from(condition).with_text(format!("{domain}: {self}"))
    }
}
