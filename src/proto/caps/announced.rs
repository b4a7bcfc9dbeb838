//! What presence says of an entity's capabilities, and what their answers say it wants to hear of.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::{Hash, hash, hash_node, verification_string, verify_ver};
use crate::proto::disco::Info;
use crate::proto::ns;
use crate::proto::stanza::Stanza;
use crate::xml::El;

/// The end of features by which an entity asks to be told what is published to a node (XEP-0060 §9.2).
const NOTIFY: &str = "+notify";

/// How a hash is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Scheme {
    /// XEP-0115 §5.1.
    Ver,
    /// XEP-0390 §4.1.
    Caps2,
}

/// A hash over what an entity says about itself: the same for all that say the same.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Mark {
    scheme: Scheme,
    hash: super::Hash,
    value: Box<str>,
}

impl Mark {
    /// Reads the value of a hash; nothing for one that this function does not make.
    fn new(scheme: Scheme, hash: Hash, value: &str) -> Option<Mark> {
        let bytes = STANDARD.decode(value).ok()?;
        (bytes.len() == hash.bytes()).then(|| Mark {
            scheme,
            hash,
            value: value.into(),
        })
    }

    /// It as text, for keys.
    pub fn to_text(&self) -> String {
        let scheme = match self.scheme {
            Scheme::Ver => "ver",
            Scheme::Caps2 => "caps2",
        };
        format!("{scheme} {} {}", self.hash.as_str(), self.value)
    }
}

/// That an entity is what a hash stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// The hash.
    pub mark: Mark,
    /// The node to ask for what it stands for.
    pub node: Box<str>,
}

impl Claim {
    /// Whether this is what the hash was made of.
    pub fn is_kept_by(&self, info: &Info) -> bool {
        let Mark {
            scheme,
            hash: function,
            value,
        } = &self.mark;
        match scheme {
            Scheme::Ver => verify_ver(info, *function, value),
            Scheme::Caps2 => hash(info, *function).as_deref() == Some(value),
        }
    }
}

/// What presence claims, the best first: hashes of XEP-0390, then that of XEP-0115. The form of before XEP-0115 1.4 has no
/// hash, and is no claim (§8).
pub fn claims(presence: &Stanza) -> Vec<Claim> {
    let mut claims = Vec::new();
    if let Some(c) = presence.child("c", ns::CAPS2) {
        let hashes = c.children().filter(|child| child.is("hash", ns::HASHES));
        claims.extend(hashes.filter_map(caps2).take(2));
    }
    claims.extend(presence.child("c", ns::CAPS).and_then(ver));
    claims
}

fn caps2(el: El<'_>) -> Option<Claim> {
    let function = Hash::parse(el.attr("algo")?)?;
    let value = el.text();
    let mark = Mark::new(Scheme::Caps2, function, value.trim())?;
    Some(Claim {
        node: hash_node(function, &mark.value).into(),
        mark,
    })
}

fn ver(el: El<'_>) -> Option<Claim> {
    let function = Hash::parse(el.attr("hash")?)?;
    let mark = Mark::new(Scheme::Ver, function, el.attr("ver")?)?;
    Some(Claim {
        node: format!("{}#{}", el.attr("node")?, mark.value).into(),
        mark,
    })
}

/// The nodes that an entity wants to be told of. They are read off the very string that XEP-0115 hashes: that string has
/// no clear borders (`<` may be part of a feature), so that several answers may have one hash; all of them are the same here.
pub fn interests(info: &Info) -> Vec<String> {
    let said = verification_string(info);
    let nodes = said.split('<').filter_map(|part| part.strip_suffix(NOTIFY));
    let mut nodes: Vec<String> = nodes.map(str::to_owned).collect();
    nodes.sort_unstable();
    nodes.dedup();
    nodes
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::proto::caps::{element, element2};
    use crate::proto::disco::Identity;
    use crate::proto::stanza::PresenceType;
    use crate::xml::Element;

    fn info(features: &[&str]) -> Info {
        Info {
            identities: vec![Identity::new("client", "pc").with_name("Gajim")],
            features: features.iter().map(|f| (*f).to_owned()).collect(),
            ..Info::default()
        }
    }

    fn presence(children: impl IntoIterator<Item = Element>) -> Stanza {
        let empty = Stanza::presence(PresenceType::Available);
        children.into_iter().fold(empty, Stanza::with_child)
    }

    #[test]
    fn what_is_claimed_is_kept_by_what_was_hashed_only() {
        let said = info(&["a", "b+notify"]);
        let claims = claims(&presence([element(&said, "n"), element2(&said).unwrap()]));
        let nodes: Vec<_> = claims.iter().map(|claim| &*claim.node).collect();
        assert_eq!(nodes.len(), 3);
        assert!(nodes.first().unwrap().starts_with("urn:xmpp:caps#sha-256."));
        assert!(nodes.last().unwrap().starts_with("n#"));
        for claim in claims {
            assert!(claim.is_kept_by(&said), "{claim:?}");
            assert!(!claim.is_kept_by(&info(&["a"])), "{claim:?}");
        }
    }

    #[test]
    fn nonsense_claims_nothing() {
        let c = |hash: &str, ver: &str| {
            let el = Element::new("c", ns::CAPS).with_attr("node", "n");
            el.with_attr("hash", hash).with_attr("ver", ver)
        };
        let good = element(&info(&[]), "n");
        let ver = good.attr("ver").unwrap();
        let old = Element::new("c", ns::CAPS).with_attr("ver", ver);
        for el in [c("md5", ver), c("sha-1", "AAAA"), c("sha-256", ver), old] {
            assert_eq!(claims(&presence([el.clone()])), [], "{el:?}");
        }
    }

    #[test]
    fn answers_of_one_hash_say_the_same() {
        let honest = info(&["a", "b+notify", "c"]);
        let mut forged = info(&["a<b+notify<c"]);
        assert!(
            claims(&presence([element(&honest, "n")]))
                .iter()
                .all(|claim| claim.is_kept_by(&forged))
        );
        assert_eq!(interests(&honest), ["b"]);
        assert_eq!(interests(&forged), ["b"]);
        forged.features = vec!["b+notify".to_owned(), "a+notify".to_owned()];
        assert_eq!(interests(&forged), ["a", "b"]);
    }
}
