//! Why an act was not done.

use crate::proto::jid::Jid;

/// Why an act was not done.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ActError {
    /// The account exists already.
    #[error("there is an account {0} already")]
    Exists(Jid),
    /// No such account.
    #[error("there is no account {0}")]
    NoSuchAccount(Jid),
    /// The domain is not served, or takes guests only.
    #[error("{host} has no accounts here; hosts with accounts: {}", .known.join(", "))]
    NoSuchHost {
        /// What was asked for.
        host: String,
        /// What there is.
        known: Vec<String>,
    },
    /// An argument cannot be accepted: says which and what would be right.
    #[error("{0}")]
    Bad(String),
    /// The caller may not.
    #[error("only for administrators of the host or the server")]
    Forbidden,
    /// Nobody may, or not in this state of things: says why.
    #[error("{0}")]
    NotAllowed(String),
    /// Who asked went away.
    #[error("interrupted")]
    Interrupted,
    /// It failed for a reason that is not the argument's: full disk, damaged store, shutdown.
    #[error("{0}")]
    Failed(String),
}

impl ActError {
    /// A stable word for machines.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Exists(_) => "exists",
            Self::NoSuchAccount(_) => "no-such-account",
            Self::NoSuchHost { .. } => "no-such-host",
            Self::Bad(_) => "bad-argument",
            Self::Forbidden => "forbidden",
            Self::NotAllowed(_) => "not-allowed",
            Self::Interrupted => "interrupted",
            Self::Failed(_) => "failed",
        }
    }
}
