//! XEP-0509: Initial Authentication Pipelining (0.2.0), with the scheme "opaque": a client that knows what was offered the
//! last time authenticates together with its stream header, and hears if something else is offered now.

use sha2::{Digest, Sha256};

use super::sasl::base64;
use super::sasl::failure::{SaslCondition, SaslFailure};
use super::tables::Tag;
use crate::proto::ns;
use crate::xml::{El, Element, write};

const CONFIG_VERSION: &str = "config-version";
const OPAQUE: &str = "opaque";

const MISMATCH: Tag = Tag {
    name: "config-version-mismatch",
    ns: ns::PIPELINING,
};

/// Adds the feature to complete stream features; what names them goes into `version`.
pub(super) fn announce(features: Element, version: &mut Option<String>) -> Element {
    if !features.has_child("authentication", ns::SASL2) {
        return features;
    }
    let value = version_of(features.root());
    let feature = Element::new(CONFIG_VERSION, ns::PIPELINING)
        .with_attr("scheme", OPAQUE)
        .with_attr("value", &value);
    *version = Some(value);
    features.with_child(feature)
}

/// Whether an `<authenticate/>` was made for other features than were offered (§2.2).
pub(super) fn mismatch(authenticate: El<'_>, version: Option<&str>) -> Option<SaslFailure> {
    let known = authenticate.child(CONFIG_VERSION, ns::PIPELINING)?;
    if known.attr("value") == version && version.is_some() {
        return None;
    }
    Some(SaslFailure {
        misfit: true,
        detail: Some(MISMATCH),
        ..SaslFailure::with_text(
            SaslCondition::Aborted,
            "Something else is offered than the last time",
        )
    })
}

/// 144 bits over everything that is offered.
fn version_of(features: El<'_>) -> String {
    let mut bytes = Vec::new();
    write::element(features, ns::CLIENT, &mut bytes);
    let digest = Sha256::digest(&bytes);
    base64::encode(digest.get(..18).unwrap_or_default())
}
