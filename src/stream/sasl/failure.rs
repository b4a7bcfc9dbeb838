//! SASL failures: the conditions of RFC 6120 §6.5, used by both SASL profiles.

use crate::stream::tables::Tag;

/// A condition of RFC 6120 §6.5.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SaslCondition {
    /// The client sent `<abort/>` (§6.5.1).
    Aborted,
    /// The account is disabled for now (§6.5.2).
    AccountDisabled,
    /// The credentials were right once (§6.5.3).
    CredentialsExpired,
    /// Only after TLS (§6.5.4).
    EncryptionRequired,
    /// Not base 64 (§6.5.5).
    IncorrectEncoding,
    /// Acting for somebody else, or an identity that is not one (§6.5.6).
    InvalidAuthzid,
    /// Not offered (§6.5.7).
    InvalidMechanism,
    /// Violates the syntax of the mechanism (§6.5.8).
    MalformedRequest,
    /// Policy wants a stronger one (§6.5.9).
    MechanismTooWeak,
    /// Wrong credentials, and everything that must look like it (§6.5.10).
    NotAuthorized,
    /// Our fault, try later (§6.5.11).
    TemporaryAuthFailure,
}

impl SaslCondition {
    /// The element name.
    pub fn name(self) -> &'static str {
        match self {
            SaslCondition::Aborted => "aborted",
            SaslCondition::AccountDisabled => "account-disabled",
            SaslCondition::CredentialsExpired => "credentials-expired",
            SaslCondition::EncryptionRequired => "encryption-required",
            SaslCondition::IncorrectEncoding => "incorrect-encoding",
            SaslCondition::InvalidAuthzid => "invalid-authzid",
            SaslCondition::InvalidMechanism => "invalid-mechanism",
            SaslCondition::MalformedRequest => "malformed-request",
            SaslCondition::MechanismTooWeak => "mechanism-too-weak",
            SaslCondition::NotAuthorized => "not-authorized",
            SaslCondition::TemporaryAuthFailure => "temporary-auth-failure",
        }
    }
}

/// Why an authentication failed, as the client is told.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("SASL failure: {}", condition.name())]
pub struct SaslFailure {
    /// The condition.
    pub condition: SaslCondition,
    /// Words for a person, in English.
    pub text: Option<String>,
    /// The client asked for a channel-binding type that is not offered, or for what was offered another time: it tried
    /// no secret, and may go on to another mechanism.
    pub misfit: bool,
    /// A condition of another specification beside the one of SASL; only told in SASL2 (XEP-0388 §2.6.2).
    pub detail: Option<Tag>,
}

impl SaslFailure {
    /// A failure with words for the person who reads the client's log.
    pub fn with_text(condition: SaslCondition, text: impl Into<String>) -> SaslFailure {
        SaslFailure {
            condition,
            text: Some(text.into()),
            misfit: false,
            detail: None,
        }
    }
}

impl From<SaslCondition> for SaslFailure {
    fn from(condition: SaslCondition) -> SaslFailure {
        SaslFailure {
            condition,
            text: None,
            misfit: false,
            detail: None,
        }
    }
}
