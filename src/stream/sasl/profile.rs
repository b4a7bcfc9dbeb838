//! Where the two profiles differ on the wire: RFC 6120 §6 ("SASL1") and XEP-0388 1.0.4 ("SASL2").

use zeroize::Zeroizing;

use super::base64;
use super::failure::{SaslCondition, SaslFailure};
use crate::proto::ns;
use crate::xml::{El, Element};

/// One of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::stream) enum Profile {
    Sasl1,
    Sasl2,
}

impl Profile {
    pub fn ns(self) -> &'static str {
        match self {
            Profile::Sasl1 => ns::SASL,
            Profile::Sasl2 => ns::SASL2,
        }
    }

    pub fn challenge(self, data: &[u8]) -> Element {
        Element::new("challenge", self.ns()).with_text(&base64::encode(data))
    }

    /// The condition is in the namespace of SASL1 in both (XEP-0388 §2.6.2).
    pub fn failure(self, failure: &SaslFailure) -> Element {
        let condition = Element::new(failure.condition.name(), ns::SASL);
        let text = failure.text.as_deref().map(|text| {
            Element::new("text", self.ns())
                .with_attr("xml:lang", "en")
                .with_text(text)
        });
        let detail = failure.detail.filter(|_| self == Profile::Sasl2);
        Element::new("failure", self.ns())
            .with_child(condition)
            .with_children(detail.map(|tag| Element::new(tag.name, tag.ns)))
            .with_children(text)
    }
}

/// The initial response in `<auth/>`: none, empty ("="), or base 64 (RFC 6120 §6.4.2).
pub(in crate::stream) fn initial(
    element: El<'_>,
) -> Result<Option<Zeroizing<Vec<u8>>>, SaslCondition> {
    match data(element)? {
        empty if empty.is_empty() && element.text().is_empty() => Ok(None),
        data => Ok(Some(data)),
    }
}

/// The data of an element that must have some, if only of no length: base 64, with "=" for nothing as in SASL1.
pub(in crate::stream) fn data(element: El<'_>) -> Result<Zeroizing<Vec<u8>>, SaslCondition> {
    if element.children().next().is_some() {
        return Err(SaslCondition::MalformedRequest);
    }
    match &*element.text() {
        "=" => Ok(Zeroizing::new(Vec::new())),
        text => base64::decode(text).map_err(|_| SaslCondition::IncorrectEncoding),
    }
}
