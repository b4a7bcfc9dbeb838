//! Stream errors (RFC 6120 §4.9.3).

use std::fmt;

use thiserror::Error;

use super::stanza::english;
use crate::proto::ns;
use crate::xml::{El, Element, XmlError};

/// Why a stream ends.
#[derive(Clone, Debug, PartialEq, Error)]
#[error("{condition}")]
pub struct StreamError {
    /// The defined condition.
    pub condition: StreamCondition,
    /// Text for whoever debugs it, in English.
    pub text: Option<String>,
    /// The host of a `see-other-host`.
    pub other_host: Option<Box<str>>,
    /// A more exact condition in a namespace of its own (RFC 6120 §4.9.4).
    pub app: Option<Box<Element>>,
}

impl StreamError {
    /// A bare condition.
    pub fn new(condition: StreamCondition) -> StreamError {
        StreamError {
            condition,
            text: None,
            other_host: None,
            app: None,
        }
    }

    /// With a text for whoever debugs it.
    pub fn with_text(mut self, text: impl Into<String>) -> StreamError {
        self.text = Some(text.into());
        self
    }

    /// With an application condition.
    pub fn with_app(mut self, app: Element) -> StreamError {
        self.app = Some(Box::new(app));
        self
    }

    /// The `<error/>` element of the stream namespace (RFC 6120 §4.9.2).
    pub fn to_element(&self) -> Element {
        let mut condition = Element::new(self.condition.as_str(), ns::STREAM_ERRORS);
        if let Some(host) = &self.other_host {
            condition.push_text(host);
        }
        let mut error = Element::new("error", ns::STREAM).with_child(condition);
        if let Some(text) = &self.text {
            error.push_child(english(text, ns::STREAM_ERRORS).root());
        }
        if let Some(app) = &self.app {
            error.push_child(app.root());
        }
        error
    }

    /// Reads an `<error/>`.
    pub fn parse(error: El<'_>) -> StreamError {
        let mut read = StreamError::new(StreamCondition::UndefinedCondition);
        for child in error.children() {
            match (child.ns(), child.name()) {
                (ns::STREAM_ERRORS, "text") => read.text = Some(child.text().into_owned()),
                (ns::STREAM_ERRORS, name) => {
                    read.condition = StreamCondition::parse(name);
                    let host: Box<str> = child.text().into();
                    read.other_host = Some(host).filter(|host| !host.is_empty());
                }
                _ => read.app = Some(Box::new(child.to_element())),
            }
        }
        read
    }
}

impl From<&XmlError> for StreamError {
    /// What is at fault with the XML, told to the peer.
    fn from(error: &XmlError) -> StreamError {
        let condition = match error {
            XmlError::NotWellFormed(_) => StreamCondition::NotWellFormed,
            XmlError::Restricted(_) => StreamCondition::RestrictedXml,
            XmlError::BadFormat(_) => StreamCondition::BadFormat,
            XmlError::BadPrefix => StreamCondition::BadNamespacePrefix,
            XmlError::UnsupportedEncoding => StreamCondition::UnsupportedEncoding,
            XmlError::InvalidNamespace => StreamCondition::InvalidNamespace,
            XmlError::TooLarge { .. } => StreamCondition::PolicyViolation,
            XmlError::Limit(_) => StreamCondition::PolicyViolation,
        };
        let told = StreamError::new(condition).with_text(error.to_string());
        match error {
            XmlError::TooLarge { .. } => told.with_app(Element::new("stanza-too-big", ns::ERRORS)),
            _ => told,
        }
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
    fn there_and_back() {
        let error = StreamError::from(&XmlError::TooLarge { limit: 10_000 });
        let el = error.to_element();
        assert!(el.has_child("policy-violation", ns::STREAM_ERRORS));
        assert!(el.has_child("stanza-too-big", ns::ERRORS));
        assert_eq!(StreamError::parse(el.root()), error);
        let elsewhere = StreamError {
            other_host: Some("[2001:db8::9]:5222".into()),
            ..StreamCondition::SeeOtherHost.into()
        };
        assert_eq!(StreamError::parse(elsewhere.to_element().root()), elsewhere);
    }

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
