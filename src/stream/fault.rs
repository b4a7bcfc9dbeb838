//! Why we end a stream: a stream error and its application condition (RFC 6120 §4.9).

use crate::proto::{StreamCondition, StreamError, ns};
use crate::xml::{Element, XmlError};

/// A stream error with all that goes on the wire.
#[derive(Debug)]
pub(super) struct Fault {
    pub error: StreamError,
    pub app: Option<Element>,
}

impl Fault {
    pub fn new(condition: StreamCondition, text: &str) -> Fault {
        StreamError::new(condition).with_text(text).into()
    }

    pub fn element(&self) -> Element {
        let mut element = self.error.to_element();
        if let Some(app) = &self.app {
            element.push_child(app.root());
        }
        element
    }
}

impl From<StreamError> for Fault {
    fn from(error: StreamError) -> Fault {
        Fault { error, app: None }
    }
}

impl From<StreamCondition> for Fault {
    fn from(condition: StreamCondition) -> Fault {
        StreamError::new(condition).into()
    }
}

impl From<&XmlError> for Fault {
    fn from(error: &XmlError) -> Fault {
        let app = matches!(error, XmlError::TooLarge { .. })
            .then(|| Element::new("stanza-too-big", ns::ERRORS));
        Fault {
            error: StreamError::from(error),
            app,
        }
    }
}
