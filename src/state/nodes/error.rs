//! Errors of XEP-0060: a condition of RFC 6120 with one of the namespace `pubsub#errors`.

use crate::proto::error::{Condition, ErrorType, StanzaError};
use crate::proto::ns;
use crate::store::StoreError;
use crate::xml::Element;

/// Why a request was not done: the store's fault, or the asker's.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    /// The store could not be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// It is refused.
    #[error("{0}")]
    Refused(Box<Refusal>),
}

/// A refusal, with the part of the request that was at fault where the specification wants it back
/// (XEP-0060 §8.8.2.4, §8.9.2.4).
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{error}")]
pub struct Refusal {
    /// The error.
    pub error: StanzaError,
    /// What stands beside it in the answer.
    pub about: Option<Element>,
}

impl From<StanzaError> for NodeError {
    fn from(error: StanzaError) -> Self {
        NodeError::Refused(Box::new(Refusal { error, about: None }))
    }
}

impl From<Condition> for NodeError {
    fn from(condition: Condition) -> Self {
        StanzaError::from(condition).into()
    }
}

impl From<Condition> for Refusal {
    fn from(condition: Condition) -> Self {
        Refusal {
            error: condition.into(),
            about: None,
        }
    }
}

impl From<Refusal> for NodeError {
    fn from(refusal: Refusal) -> Self {
        NodeError::Refused(Box::new(refusal))
    }
}

/// A condition with one of the namespace `pubsub#errors`.
pub(super) fn exact(condition: Condition, name: &str) -> StanzaError {
    StanzaError::from(condition).with_app(Element::new(name, ns::PUBSUB_ERRORS))
}

/// A feature that is not there, or that a node does not have.
pub(super) fn unsupported(feature: &str) -> StanzaError {
    StanzaError::from(Condition::FeatureNotImplemented)
        .with_app(Element::new("unsupported", ns::PUBSUB_ERRORS).with_attr("feature", feature))
}

/// §7.2.3.3 and others: a node must be named.
pub(super) fn node_required() -> StanzaError {
    exact(Condition::BadRequest, "nodeid-required")
}

/// §6.3.4.3: an address must be named.
pub(super) fn jid_required() -> StanzaError {
    exact(Condition::BadRequest, "jid-required")
}

/// §6.2.3.2: there is no such subscription.
pub(super) fn not_subscribed() -> StanzaError {
    exact(Condition::UnexpectedRequest, "not-subscribed").with_type(ErrorType::Cancel)
}

/// §6.3.6.2 and §7.1.5: a form that cannot be followed.
pub(super) fn invalid_options(text: impl Into<String>) -> StanzaError {
    exact(Condition::BadRequest, "invalid-options").with_text(text)
}
