//! Stream errors (RFC 6120 §4.9.3).

use std::fmt;

use thiserror::Error;

/// Why a stream ends.
#[derive(Clone, Debug, PartialEq, Error)]
#[error("{condition}")]
pub struct StreamError {
    /// The defined condition.
    pub condition: StreamCondition,
    /// Text for whoever debugs it, in English.
    pub text: Option<String>,
}

impl StreamError {
    /// A bare condition.
    pub fn new(condition: StreamCondition) -> StreamError {
        StreamError {
            condition,
            text: None,
        }
    }

    /// With a text for whoever debugs it.
    pub fn with_text(mut self, text: impl Into<String>) -> StreamError {
        self.text = Some(text.into());
        self
    }
}

impl From<StreamCondition> for StreamError {
    fn from(condition: StreamCondition) -> StreamError {
        StreamError::new(condition)
    }
}

/// Writes the enum of conditions and their names from one table.
macro_rules! conditions {
    ($($(#[$doc:meta])* $variant:ident $name:literal,)*) => {
        /// The defined conditions of RFC 6120 §4.9.3.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum StreamCondition { $($(#[$doc])* $variant,)* }

        impl StreamCondition {
            /// Every condition, in the order of the RFC.
            pub const ALL: &'static [StreamCondition] = &[$(StreamCondition::$variant),*];

            /// The name of the element.
            pub fn as_str(self) -> &'static str {
                match self { $(StreamCondition::$variant => $name,)* }
            }
        }
    };
}

conditions! {
    /// XML that cannot be processed; the more exact conditions are preferred.
    BadFormat "bad-format",
    /// A namespace prefix that is unsupported or missing.
    BadNamespacePrefix "bad-namespace-prefix",
    /// A newer stream or session replaced this one.
    Conflict "conflict",
    /// The peer has been silent for too long.
    ConnectionTimeout "connection-timeout",
    /// The domain in `to` is no longer served here.
    HostGone "host-gone",
    /// The domain in `to` is not served here.
    HostUnknown "host-unknown",
    /// A stanza between servers lacks an address.
    ImproperAddressing "improper-addressing",
    /// The server's own fault.
    InternalServerError "internal-server-error",
    /// The `from` does not match what was authenticated.
    InvalidFrom "invalid-from",
    /// The namespace of stream or content is wrong.
    InvalidNamespace "invalid-namespace",
    /// Invalid against a schema, where validation is done.
    InvalidXml "invalid-xml",
    /// Data before authentication, or a refused action.
    NotAuthorized "not-authorized",
    /// XML that is not well-formed.
    NotWellFormed "not-well-formed",
    /// Against a local policy, such as a stanza's size.
    PolicyViolation "policy-violation",
    /// A connection to a remote entity, needed to go on, failed.
    RemoteConnectionFailed "remote-connection-failed",
    /// Features or security changed; negotiate again.
    Reset "reset",
    /// Too busy, or a limit is reached.
    ResourceConstraint "resource-constraint",
    /// Comments, processing instructions, DTDs or entity references.
    RestrictedXml "restricted-xml",
    /// Served elsewhere.
    SeeOtherHost "see-other-host",
    /// The server stops.
    SystemShutdown "system-shutdown",
    /// Only together with an application condition.
    UndefinedCondition "undefined-condition",
    /// An encoding other than UTF-8.
    UnsupportedEncoding "unsupported-encoding",
    /// A mandatory feature that this side does not have.
    UnsupportedFeature "unsupported-feature",
    /// A first-level element that is no stanza.
    UnsupportedStanzaType "unsupported-stanza-type",
    /// A version of XMPP that is not served.
    UnsupportedVersion "unsupported-version",
}

impl StreamCondition {
    /// Reads the name of a condition element; what is unknown counts as `undefined-condition`
    /// (RFC 6120 §4.9.2).
    pub fn parse(name: &str) -> StreamCondition {
        let known = StreamCondition::ALL.iter().find(|c| c.as_str() == name);
        known
            .copied()
            .unwrap_or(StreamCondition::UndefinedCondition)
    }
}

impl fmt::Display for StreamCondition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_back() {
        assert_eq!(StreamCondition::ALL.len(), 25);
        for condition in StreamCondition::ALL {
            assert_eq!(StreamCondition::parse(condition.as_str()), *condition);
        }
        assert_eq!(
            StreamCondition::parse("xml-not-well-formed"),
            StreamCondition::UndefinedCondition
        );
    }
}
