//! Why something is refused, as stanza errors with the reason in an element of the protocol.

use crate::mls::package::PackageError;
use crate::proto::error::{Condition, StanzaError};
use crate::proto::ns;
use crate::state::mls::{MlsError, encode};
use crate::store::CommitError;
use crate::xml::Element;

/// A package is refused; `at` is its number.
pub(super) fn package(at: Option<usize>, reason: &str) -> StanzaError {
    let condition = match reason {
        "repeated" => Condition::Conflict,
        "too-many" => Condition::ResourceConstraint,
        _ => Condition::NotAcceptable,
    };
    let mut refused = Element::new("package-refused", ns::MLS).with_attr("reason", reason);
    if let Some(at) = at {
        refused.set_attr("index", Some(&at.to_string()));
    }
    StanzaError::from(condition).with_app(refused)
}

/// Why a package is no good.
pub(super) fn invalid(at: usize, error: PackageError) -> StanzaError {
    let reason = match error {
        PackageError::Syntax => "syntax",
        PackageError::Version => "version",
        PackageError::Suite => "suite",
        PackageError::Signature => "signature",
        PackageError::Lifetime => "lifetime",
        PackageError::Credential => "credential",
    };
    package(Some(at), reason).with_text(error.to_string())
}

/// There is no such group, or it is nothing to who asks.
pub(super) fn no_group(group: &[u8]) -> StanzaError {
    let unknown = Element::new("group-unknown", ns::MLS).with_attr("group", &encode(group));
    StanzaError::from(Condition::ItemNotFound).with_app(unknown)
}

/// A welcome is not what it must be.
pub(super) fn message(reason: &str) -> StanzaError {
    let refused = Element::new("message-refused", ns::MLS).with_attr("reason", reason);
    StanzaError::from(Condition::BadRequest).with_app(refused)
}

impl From<MlsError> for StanzaError {
    fn from(error: MlsError) -> Self {
        let text = error.to_string();
        match error {
            MlsError::Nothing => Condition::ItemNotFound.into(),
            MlsError::Exists => StanzaError::from(Condition::Conflict).with_text(text),
            MlsError::Full => package(None, "too-many").with_text(text),
            MlsError::Repeated(at) => package(Some(at), "repeated"),
            MlsError::Busy => StanzaError::from(Condition::ResourceConstraint).with_text(text),
            MlsError::Commit(CommitError::Full | CommitError::ReadOnly | CommitError::Closed) => {
                StanzaError::from(Condition::ResourceConstraint)
                    .with_text("The server cannot store this now; try again later")
            }
            MlsError::Store(_) | MlsError::Commit(_) => {
                tracing::error!(%error, "what accounts have of MLS cannot be read or written");
                Condition::InternalServerError.into()
            }
        }
    }
}
