//! XEP-0386: Bind 2 (1.1.0), with acknowledgements inline (XEP-0198 1.6.3 §9.1).

use hmac::{Hmac, Mac};
use sha2::Sha256;

use super::acks;
use super::sasl::secret::Secret;
use super::seat::Enable;
use super::tables::{BindInline, Tables};
use crate::proto::{Jid, ns};
use crate::runtime::random;
use crate::xml::{El, Element};

/// A `<bind/>` inside `<authenticate/>`.
#[derive(Debug)]
pub(super) struct Bind2 {
    pub tag: Option<String>,
    /// `<enable/>` of XEP-0198, if it was there.
    pub acks: Option<Enable>,
    /// Requests of modules.
    pub inline: Vec<Element>,
}

pub(super) fn parse(bind: El<'_>, tables: &Tables) -> Bind2 {
    let tag = bind
        .child("tag", ns::BIND2)
        .map(|tag| tag.text().into_owned());
    let claimed = |child: &El<'_>| {
        let tags = tables.bind_inlines.iter().flat_map(|inline| &inline.tags);
        tags.into_iter().any(|tag| tag.is(*child))
    };
    Bind2 {
        tag: tag.filter(|tag| !tag.is_empty()),
        acks: bind.child("enable", ns::SM).map(acks::wish),
        inline: bind
            .children()
            .filter(claimed)
            .map(El::to_element)
            .collect(),
    }
}

/// The feature inside `<inline/>` of SASL2.
pub(super) fn feature(tables: &Tables) -> Element {
    let vars = tables
        .bind_inlines
        .iter()
        .map(|BindInline { var, .. }| *var);
    let features = vars
        .chain([ns::SM])
        .map(|var| Element::new("feature", ns::BIND2).with_attr("var", var));
    Element::new("bind", ns::BIND2)
        .with_child(Element::new("inline", ns::BIND2).with_children(features))
}

/// `<bound/>`.
pub(super) fn bound(acks: Option<Element>, inline: Vec<Element>) -> Element {
    Element::new("bound", ns::BIND2)
        .with_children(acks)
        .with_children(inline)
}

/// The resource for a client: `tag/identifier` (XEP-0386 §3.2.1). The same for the same user, tag and client id as long as the
/// server's `key` lives, and not to be guessed without it (RFC 6120 §7.5); without a client id, random. A tag that makes no
/// legal resource is left out.
pub fn resource(key: &Secret, user: &Jid, tag: Option<&str>, client_id: Option<&str>) -> String {
    let identifier = match client_id {
        None => random::id(),
        Some(id) => stable(key, &[user.bare_str(), tag.unwrap_or(""), id]),
    };
    let tagged = tag.map(|tag| format!("{tag}/{identifier}"));
    match tagged {
        Some(tagged) if user.with_resource(&tagged).is_ok() => tagged,
        _ => identifier,
    }
}

/// 80 bits, as 16 characters.
fn stable(key: &Secret, parts: &[&str]) -> String {
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key.expose()) else {
        return random::id();
    };
    mac.update(b"resource");
    for part in parts {
        mac.update(&[0]);
        mac.update(part.as_bytes());
    }
    let digits = mac.finalize().into_bytes();
    let alphabet = b"abcdefghijklmnopqrstuvwxyz234567";
    let digit = |byte: &u8| alphabet.get(usize::from(byte % 32)).map(|c| char::from(*c));
    digits.iter().take(16).filter_map(digit).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]

    use super::*;

    #[test]
    fn a_resource_is_stable_per_client_and_not_without_one() {
        let user = Jid::parse("juliet@example.org").unwrap();
        let key = Secret::new(vec![1; 32]);
        let id = Some("d4565fa7-4d72-4749-b3d3-740edbf87770");
        let of = |key: &Secret, tag, id| resource(key, &user, tag, id);
        let first = of(&key, Some("AwesomeXMPP"), id);
        assert_eq!(first, of(&key, Some("AwesomeXMPP"), id));
        assert!(
            first.starts_with("AwesomeXMPP/") && first.len() == 12 + 16,
            "{first}"
        );
        assert!(!first.contains("d4565fa7"));
        assert_ne!(
            first,
            of(&Secret::new(vec![2; 32]), Some("AwesomeXMPP"), id)
        );
        assert_ne!(of(&key, None, id), of(&key, None, Some("another")));
        assert_ne!(of(&key, None, None), of(&key, None, None));
        assert!(
            !of(&key, Some("a\u{202e}b"), id).contains('/'),
            "illegal tags are left out"
        );
        assert!(!of(&key, Some(&"x".repeat(1023)), id).contains('/'));
    }
}
