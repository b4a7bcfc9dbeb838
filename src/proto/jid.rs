//! Addresses (RFC 7622), prepared so that equal addresses are equal strings.
//!
//! Localparts follow nodeprep (RFC 6122 appendix A), as deployed servers do; domains take one
//! canonical form (IDNA2008 by UTS 46: U-labels, lower case, NFC, no final dot); resources are
//! OpaqueString (RFC 8265) without its table of a fixed Unicode version, so that emoji pass.

mod prepare;

use std::borrow::Borrow;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use thiserror::Error;

pub use prepare::registrable_node;

/// Longest part of an address, in bytes after preparation (RFC 7622 §3.1).
pub const MAX_PART: usize = 1023;

/// A prepared address `[localpart@]domainpart[/resourcepart]`. 24 bytes, one shared allocation.
///
/// Equality, order and hash are those of the string.
#[derive(Clone)]
pub struct Jid {
    text: Arc<str>,
    /// Length of the localpart; 0: there is none.
    node: u16,
    /// Length of the bare address; the whole length: there is no resource.
    bare: u16,
}

/// Why a string is no address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("{part} {fault}")]
pub struct JidError {
    /// Which part is at fault.
    pub part: Part,
    /// What is wrong with it.
    pub fault: Fault,
}

/// A part of an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Before the `@`.
    Localpart,
    /// The server or service.
    Domainpart,
    /// After the first `/`.
    Resourcepart,
}

/// What is wrong with a part of an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Present and empty.
    Empty,
    /// Longer than [`MAX_PART`] bytes.
    TooLong,
    /// Characters, or an order of them, that the part may not have.
    Invalid,
}

impl Jid {
    /// Reads and prepares an address. The first `/` begins the resource, the first `@` before it
    /// ends the localpart (RFC 7622 §3.2).
    pub fn parse(text: &str) -> Result<Jid, JidError> {
        if let Some(jid) = prepare::canonical(text) {
            return Ok(jid);
        }
        let (bare, resource) = match text.split_once('/') {
            Some((bare, resource)) => (bare, Some(resource)),
            None => (text, None),
        };
        match bare.split_once('@') {
            Some((node, domain)) => Jid::new(Some(node), domain, resource),
            None => Jid::new(None, bare, resource),
        }
    }

    /// Puts an address together from parts, preparing each.
    pub fn new(node: Option<&str>, domain: &str, resource: Option<&str>) -> Result<Jid, JidError> {
        let node = node.map(prepare::node).transpose()?;
        let domain = prepare::domain(domain)?;
        let resource = resource.map(prepare::resource).transpose()?;
        let bare = match &node {
            Some(node) => format!("{node}@{domain}"),
            None => domain.into_owned(),
        };
        Ok(Jid::assemble(
            node.map_or(0, |n| n.len()),
            &bare,
            resource.as_deref(),
        ))
    }

    /// From prepared parts, each within [`MAX_PART`], so that the lengths fit.
    fn assemble(node: usize, bare: &str, resource: Option<&str>) -> Jid {
        let text = match resource {
            Some(resource) => Arc::from(format!("{bare}/{resource}")),
            None => Arc::from(bare),
        };
        Jid {
            text,
            node: node as u16,
            bare: bare.len() as u16,
        }
    }

    /// The localpart.
    pub fn node(&self) -> Option<&str> {
        match self.node {
            0 => None,
            end => self.text.get(..usize::from(end)),
        }
    }

    /// The domainpart, in its one canonical form.
    pub fn domain(&self) -> &str {
        let start = match self.node {
            0 => 0,
            end => usize::from(end) + 1,
        };
        self.text
            .get(start..usize::from(self.bare))
            .unwrap_or_default()
    }

    /// The resourcepart.
    pub fn resource(&self) -> Option<&str> {
        self.text.get(usize::from(self.bare) + 1..)
    }

    /// The address without its resource; no copy if there is none.
    pub fn bare(&self) -> Jid {
        if self.is_bare() {
            return self.clone();
        }
        Jid::assemble(usize::from(self.node), self.bare_str(), None)
    }

    /// The address without its resource, as text.
    pub fn bare_str(&self) -> &str {
        self.text.get(..usize::from(self.bare)).unwrap_or_default()
    }

    /// The domain alone, as an address.
    pub fn domain_jid(&self) -> Jid {
        if self.is_bare() && self.node == 0 {
            return self.clone();
        }
        Jid::assemble(0, self.domain(), None)
    }

    /// The same bare address with another resource.
    pub fn with_resource(&self, resource: &str) -> Result<Jid, JidError> {
        let resource = prepare::resource(resource)?;
        Ok(Jid::assemble(
            usize::from(self.node),
            self.bare_str(),
            Some(&resource),
        ))
    }

    /// Whether there is no resource.
    pub fn is_bare(&self) -> bool {
        usize::from(self.bare) == self.text.len()
    }

    /// Whether there is a resource.
    pub fn is_full(&self) -> bool {
        !self.is_bare()
    }

    /// The whole address.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl FromStr for Jid {
    type Err = JidError;

    fn from_str(text: &str) -> Result<Jid, JidError> {
        Jid::parse(text)
    }
}

impl fmt::Display for Jid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for Jid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl PartialEq for Jid {
    fn eq(&self, other: &Jid) -> bool {
        Arc::ptr_eq(&self.text, &other.text) || self.text == other.text
    }
}

impl Eq for Jid {}

impl PartialOrd for Jid {
    fn partial_cmp(&self, other: &Jid) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Jid {
    fn cmp(&self, other: &Jid) -> std::cmp::Ordering {
        self.text.cmp(&other.text)
    }
}

impl Hash for Jid {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_str().hash(state);
    }
}

/// Lets maps with addresses as keys be asked with text.
impl Borrow<str> for Jid {
    fn borrow(&self) -> &str {
        self.as_str()
    }
}

impl Serialize for Jid {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for Jid {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Jid, D::Error> {
        let text = String::deserialize(deserializer)?;
        Jid::parse(&text).map_err(serde::de::Error::custom)
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Part::Localpart => "localpart",
            Part::Domainpart => "domainpart",
            Part::Resourcepart => "resourcepart",
        })
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Fault::Empty => "is empty",
            Fault::TooLong => "is longer than 1023 bytes",
            Fault::Invalid => "has characters it may not have",
        })
    }
}

#[cfg(test)]
mod tests;
