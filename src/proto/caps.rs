//! XEP-0115: Entity Capabilities (1.6.0) and XEP-0390: Entity Capabilities 2.0 (0.3.2): hashes over
//! what an entity says about itself.

use std::collections::HashSet;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha1::Sha1;
use sha2::{Digest, Sha256};
use sha3::Sha3_256;

use super::disco::Info;
use super::form::{FieldType, Form};
use super::ns;
use crate::xml::Element;

mod announced;

pub use announced::{Claim, Mark, claims, interests};

/// Hash functions that are in use with capabilities, by their XEP-0300 names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Hash {
    /// `sha-1`, which XEP-0115 requires.
    Sha1,
    /// `sha-256`.
    Sha256,
    /// `sha3-256`.
    Sha3_256,
}

impl Hash {
    /// The name in `hash` and `algo` attributes.
    pub fn as_str(self) -> &'static str {
        match self {
            Hash::Sha1 => "sha-1",
            Hash::Sha256 => "sha-256",
            Hash::Sha3_256 => "sha3-256",
        }
    }

    /// Reads such a name.
    pub fn parse(name: &str) -> Option<Hash> {
        [Hash::Sha1, Hash::Sha256, Hash::Sha3_256]
            .into_iter()
            .find(|hash| hash.as_str() == name)
    }

    /// How long a hash is.
    fn bytes(self) -> usize {
        match self {
            Hash::Sha1 => 20,
            Hash::Sha256 | Hash::Sha3_256 => 32,
        }
    }

    /// The hash in base64.
    fn of(self, input: &[u8]) -> String {
        match self {
            Hash::Sha1 => STANDARD.encode(Sha1::digest(input)),
            Hash::Sha256 => STANDARD.encode(Sha256::digest(input)),
            Hash::Sha3_256 => STANDARD.encode(Sha3_256::digest(input)),
        }
    }
}

/// The verification string of XEP-0115 §5.1.
pub fn ver(info: &Info, hash: Hash) -> String {
    hash.of(verification_string(info).as_bytes())
}

/// The node that this server's capabilities carry.
pub const NODE: &str = "https://waxwing.im/";

/// Whether `ver` belongs to `info` and nobody could have forged it (XEP-0115 §5.4).
pub fn verify_ver(info: &Info, hash: Hash, ver: &str) -> bool {
    is_well_formed(info) && self::ver(info, hash) == ver
}

/// The capability hash of XEP-0390 §4.1; `None` for an answer that has none: one with other
/// contents, or with forms that are tables or have no FORM_TYPE.
pub fn hash(info: &Info, hash: Hash) -> Option<String> {
    Some(hash.of(&hash_input(info)?))
}

/// The node to ask for what a capability hash stands for (XEP-0390 §4.3).
pub fn hash_node(hash: Hash, value: &str) -> String {
    format!("{}#{}.{value}", ns::CAPS2, hash.as_str())
}

/// Takes such a node apart: hash function and value.
pub fn parse_hash_node(node: &str) -> Option<(Hash, &str)> {
    let rest = node.strip_prefix(ns::CAPS2)?.strip_prefix('#')?;
    let (name, value) = rest.rsplit_once('.')?;
    Some((Hash::parse(name)?, value))
}

/// The `<c/>` of XEP-0115 with a SHA-1 verification string.
pub fn element(info: &Info, node: &str) -> Element {
    Element::new("c", ns::CAPS)
        .with_attr("hash", Hash::Sha1.as_str())
        .with_attr("node", node)
        .with_attr("ver", &ver(info, Hash::Sha1))
}

/// The `<c/>` of XEP-0390 with SHA-256 and SHA3-256; `None` where [`hash`] is.
pub fn element2(info: &Info) -> Option<Element> {
    let mut c = Element::new("c", ns::CAPS2);
    for function in [Hash::Sha256, Hash::Sha3_256] {
        let value = hash(info, function)?;
        let el = Element::new("hash", ns::HASHES).with_attr("algo", function.as_str());
        c = c.with_child(el.with_text(&value));
    }
    Some(c)
}

/// XEP-0115 §5.1. Strings sort by their bytes, which is i;octet.
fn verification_string(info: &Info) -> String {
    let mut identities: Vec<[&str; 4]> = info.identities.iter().map(identity).collect();
    identities.sort_unstable();
    let mut features: Vec<&str> = info.features.iter().map(String::as_str).collect();
    features.sort_unstable();
    let mut forms: Vec<(&str, &Form)> = info.forms.iter().filter_map(typed).collect();
    forms.sort_by_key(|(name, _)| *name);

    let mut out = String::new();
    let mut push = |text: &str| {
        out.push_str(text);
        out.push('<');
    };
    for identity in identities {
        push(&identity.join("/"));
    }
    features.into_iter().for_each(&mut push);
    for (name, form) in forms {
        push(name);
        let mut fields: Vec<_> = form
            .fields
            .iter()
            .filter(|f| f.var != "FORM_TYPE")
            .collect();
        fields.sort_by_key(|field| &field.var);
        for field in fields {
            push(&field.var);
            let mut values: Vec<_> = field.values.iter().collect();
            values.sort_unstable();
            values.into_iter().for_each(|value| push(value));
        }
    }
    out
}

/// XEP-0115 §5.4: nothing may be there twice, or one answer could pass for another.
fn is_well_formed(info: &Info) -> bool {
    let identities: Vec<_> = info.identities.iter().map(identity).collect();
    let names: Vec<_> = info
        .forms
        .iter()
        .filter_map(|form| form.form_type())
        .collect();
    let one_type = |form: &Form| {
        let types: HashSet<_> = form.values("FORM_TYPE").iter().collect();
        types.len() <= 1
    };
    all_differ(&identities)
        && all_differ(&info.features)
        && all_differ(&names)
        && info.forms.iter().all(one_type)
}

fn all_differ<T: Eq + std::hash::Hash>(items: &[T]) -> bool {
    let mut seen = HashSet::new();
    items.iter().all(|item| seen.insert(item))
}

/// Forms without a hidden FORM_TYPE are ignored by XEP-0115.
fn typed(form: &Form) -> Option<(&str, &Form)> {
    let kind = form.field("FORM_TYPE")?.kind;
    let name = form
        .form_type()
        .filter(|_| kind == Some(FieldType::Hidden))?;
    Some((name, form))
}

fn identity(identity: &super::disco::Identity) -> [&str; 4] {
    [
        &identity.category,
        &identity.kind,
        identity.lang.as_deref().unwrap_or_default(),
        identity.name.as_deref().unwrap_or_default(),
    ]
}

const UNIT: u8 = 0x1f;
const RECORD: u8 = 0x1e;
const GROUP: u8 = 0x1d;
const FILE: u8 = 0x1c;

/// XEP-0390 §4.1.
fn hash_input(info: &Info) -> Option<Vec<u8>> {
    let plain = |form: &Form| form.reported.is_empty() && form.items.is_empty();
    if info.others
        || !info
            .forms
            .iter()
            .all(|form| plain(form) && typed(form).is_some())
    {
        return None;
    }
    let features = info.features.iter().map(|feature| ended(feature, UNIT));
    let identities = info.identities.iter().map(|entry| {
        let parts = identity(entry);
        let joined: Vec<u8> = parts.iter().flat_map(|part| ended(part, UNIT)).collect();
        ended(joined, RECORD)
    });
    let forms = info.forms.iter().map(|form| {
        let fields = form.fields.iter().map(|field| {
            let values = field.values.iter().map(|value| ended(value, UNIT));
            let mut out = ended(&field.var, UNIT);
            out.extend(sorted(values));
            ended(out, RECORD)
        });
        ended(sorted(fields), GROUP)
    });
    let mut out = ended(sorted(features), FILE);
    out.extend(ended(sorted(identities), FILE));
    out.extend(ended(sorted(forms), FILE));
    Some(out)
}

fn ended(bytes: impl AsRef<[u8]>, end: u8) -> Vec<u8> {
    let mut out = bytes.as_ref().to_vec();
    out.push(end);
    out
}

fn sorted(strings: impl Iterator<Item = Vec<u8>>) -> Vec<u8> {
    let mut strings: Vec<_> = strings.collect();
    strings.sort_unstable();
    strings.concat()
}

#[cfg(test)]
mod tests;
