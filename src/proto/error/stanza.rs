//! Stanza errors: conditions with their default types (RFC 6120 §8.3.3).

use std::fmt;

use thiserror::Error;

use crate::proto::{Jid, ns};
use crate::xml::{El, Element};

/// Why a stanza could not be processed.
#[derive(Clone, Debug, PartialEq, Error)]
#[error("{condition}")]
pub struct StanzaError {
    /// What the sender may do about it.
    pub kind: ErrorType,
    /// The defined condition.
    pub condition: Condition,
    /// Text for whoever debugs it, in English.
    pub text: Option<String>,
    /// Who noticed, if not the address the error comes from.
    pub by: Option<Jid>,
    /// Where to go instead, for `gone` and `redirect` only.
    pub uri: Option<Box<str>>,
    /// A more exact condition in a namespace of its own (RFC 6120 §8.3.4).
    pub app: Option<Box<Element>>,
}

impl StanzaError {
    /// A condition with its default type.
    pub fn new(condition: Condition) -> StanzaError {
        StanzaError {
            kind: condition.default_type(),
            condition,
            text: None,
            by: None,
            uri: None,
            app: None,
        }
    }

    /// With another type than the default one.
    pub fn with_type(mut self, kind: ErrorType) -> StanzaError {
        self.kind = kind;
        self
    }

    /// With a text for whoever debugs it.
    pub fn with_text(mut self, text: impl Into<String>) -> StanzaError {
        self.text = Some(text.into());
        self
    }

    /// Naming who noticed.
    pub fn with_by(mut self, by: Jid) -> StanzaError {
        self.by = Some(by);
        self
    }

    /// With an application condition.
    pub fn with_app(mut self, app: Element) -> StanzaError {
        self.app = Some(Box::new(app));
        self
    }

    /// The `<error/>` element (RFC 6120 §8.3.2).
    pub fn to_element(&self) -> Element {
        let mut condition = Element::new(self.condition.as_str(), ns::STANZA_ERRORS);
        if let Some(uri) = &self.uri {
            condition.push_text(uri);
        }
        let mut error = Element::new("error", ns::CLIENT).with_child(condition);
        error.set_attr("by", self.by.as_ref().map(Jid::as_str));
        error.set_attr("type", Some(self.kind.as_str()));
        if let Some(text) = &self.text {
            error.push_child(english(text, ns::STANZA_ERRORS).root());
        }
        if let Some(app) = &self.app {
            error.push_child(app.root());
        }
        error
    }

    /// Reads an `<error/>`. What is missing or unknown becomes `undefined-condition` (RFC 6120
    /// §8.3.2) and its default type.
    pub fn parse(error: El<'_>) -> StanzaError {
        let mut read = StanzaError::new(Condition::UndefinedCondition);
        for child in error.children() {
            match (child.ns(), child.name()) {
                (ns::STANZA_ERRORS, "text") => read.text = Some(child.text().into_owned()),
                (ns::STANZA_ERRORS, name) => {
                    read.condition = Condition::parse(name).unwrap_or(read.condition);
                    let uri: Box<str> = child.text().into();
                    read.uri = Some(uri).filter(|uri| !uri.is_empty());
                }
                _ => read.app = Some(Box::new(child.to_element())),
            }
        }
        let kind = error.attr("type").and_then(ErrorType::parse);
        read.kind = kind.unwrap_or_else(|| read.condition.default_type());
        read.by = error.attr("by").and_then(|by| Jid::parse(by).ok());
        read
    }
}

/// The `<text/>` of an error; what the server says is in English.
pub(super) fn english(text: &str, ns: &str) -> Element {
    Element::new("text", ns)
        .with_attr("xml:lang", "en")
        .with_text(text)
}

impl From<Condition> for StanzaError {
    fn from(condition: Condition) -> StanzaError {
        StanzaError::new(condition)
    }
}

/// What the sender of a refused stanza may do (RFC 6120 §8.3.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorType {
    /// Retry after providing credentials.
    Auth,
    /// Do not retry.
    Cancel,
    /// Proceed: it was a warning.
    Continue,
    /// Retry after changing the data sent.
    Modify,
    /// Retry after waiting.
    Wait,
}

impl ErrorType {
    /// The value of the `type` attribute.
    pub fn as_str(self) -> &'static str {
        match self {
            ErrorType::Auth => "auth",
            ErrorType::Cancel => "cancel",
            ErrorType::Continue => "continue",
            ErrorType::Modify => "modify",
            ErrorType::Wait => "wait",
        }
    }

    /// Reads the `type` attribute.
    pub fn parse(text: &str) -> Option<ErrorType> {
        use ErrorType::*;
        [Auth, Cancel, Continue, Modify, Wait]
            .into_iter()
            .find(|kind| kind.as_str() == text)
    }
}

/// Writes the enum of conditions, their names and default types from one table.
macro_rules! conditions {
    ($($(#[$doc:meta])* $variant:ident $name:literal $kind:ident,)*) => {
        /// The defined conditions of RFC 6120 §8.3.3.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Condition { $($(#[$doc])* $variant,)* }

        impl Condition {
            /// Every condition, in the order of the RFC.
            pub const ALL: &'static [Condition] = &[$(Condition::$variant),*];

            /// The name of the element.
            pub fn as_str(self) -> &'static str {
                match self { $(Condition::$variant => $name,)* }
            }

            /// The type the RFC associates with the condition.
            pub fn default_type(self) -> ErrorType {
                match self { $(Condition::$variant => ErrorType::$kind,)* }
            }
        }
    };
}

conditions! {
    /// Malformed against schema or semantics.
    BadRequest "bad-request" Modify,
    /// The name or address is taken.
    Conflict "conflict" Cancel,
    /// Understood, and not built.
    FeatureNotImplemented "feature-not-implemented" Cancel,
    /// The sender lacks the permission.
    Forbidden "forbidden" Auth,
    /// Moved for good; may carry the new address.
    Gone "gone" Cancel,
    /// The server's own fault.
    InternalServerError "internal-server-error" Cancel,
    /// No such address or item.
    ItemNotFound "item-not-found" Cancel,
    /// A string that is no address.
    JidMalformed "jid-malformed" Modify,
    /// The request does not meet the recipient's criteria.
    NotAcceptable "not-acceptable" Modify,
    /// Nobody may do this.
    NotAllowed "not-allowed" Cancel,
    /// Credentials are missing or wrong.
    NotAuthorized "not-authorized" Auth,
    /// Against a local policy.
    PolicyViolation "policy-violation" Modify,
    /// Temporarily away.
    RecipientUnavailable "recipient-unavailable" Wait,
    /// Another address, for now.
    Redirect "redirect" Modify,
    /// Register, or become a member, first.
    RegistrationRequired "registration-required" Auth,
    /// The remote domain does not exist or does not answer to XMPP.
    RemoteServerNotFound "remote-server-not-found" Cancel,
    /// The remote domain resolved and could not be reached in time.
    RemoteServerTimeout "remote-server-timeout" Wait,
    /// Busy, or over a limit.
    ResourceConstraint "resource-constraint" Wait,
    /// Not offered here; also hides whether the address exists.
    ServiceUnavailable "service-unavailable" Cancel,
    /// A presence subscription is needed.
    SubscriptionRequired "subscription-required" Auth,
    /// Only together with an application condition.
    UndefinedCondition "undefined-condition" Modify,
    /// Understood, and not expected at this time.
    UnexpectedRequest "unexpected-request" Wait,
}

impl Condition {
    /// Reads the name of a condition element.
    pub fn parse(name: &str) -> Option<Condition> {
        Condition::ALL.iter().copied().find(|c| c.as_str() == name)
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn names_are_read_back() {
        assert_eq!(Condition::ALL.len(), 22);
        for condition in Condition::ALL {
            assert_eq!(Condition::parse(condition.as_str()), Some(*condition));
        }
        assert_eq!(Condition::parse("payment-required"), None);
        assert_eq!(ErrorType::parse("wait"), Some(ErrorType::Wait));
        assert_eq!(ErrorType::parse("Wait"), None);
    }

    #[test]
    fn there_and_back() {
        let error = StanzaError::new(Condition::PolicyViolation)
            .with_type(ErrorType::Wait)
            .with_text("slow down")
            .with_by(Jid::parse("example.com").unwrap())
            .with_app(Element::new("too-many-stanzas", ns::ERRORS));
        let el = error.to_element();
        assert_eq!(el.attr("type"), Some("wait"));
        assert_eq!(StanzaError::parse(el.root()), error);
        let gone = StanzaError {
            uri: Some("xmpp:new@example.com".into()),
            ..Condition::Gone.into()
        };
        assert_eq!(StanzaError::parse(gone.to_element().root()), gone);
    }

    #[test]
    fn the_unknown_is_undefined() {
        let error = Element::new("error", ns::CLIENT)
            .with_child(Element::new("payment-required", ns::STANZA_ERRORS));
        let read = StanzaError::parse(error.root());
        assert_eq!(read, Condition::UndefinedCondition.into());
    }
}
