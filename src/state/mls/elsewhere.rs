//! What is too large for a stanza lies elsewhere: a file that its sender uploaded (XEP-0363). Nobody fetches it here; who does
//! knows by its size and hash (XEP-0300) whether it is what was meant.

use serde::{Deserialize, Serialize};

use super::order::Unfit;
use super::{decode, decode_text, encode};
use crate::mls::framing::{self, Frame};
use crate::proto::error::{Condition, StanzaError};
use crate::proto::ns;
use crate::xml::{El, Element};

/// Bytes of an address.
const URL: usize = 2_048;
/// Bytes of what lies there.
const LARGEST: u32 = 16 << 20;
/// Bytes of a hash.
const SHA256: usize = 32;

/// Where a message lies.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Elsewhere {
    url: String,
    size: u32,
    /// In base64.
    sha256: String,
}

impl Elsewhere {
    /// Where the message of an element lies, if not in it.
    ///
    /// # Errors
    /// [`Unfit::Url`]: it does not say so in the one way there is.
    pub fn read(element: El<'_>) -> Result<Option<Self>, Unfit> {
        let Some(url) = element.attr("url") else {
            return Ok(None);
        };
        let host = url.strip_prefix("https://").unwrap_or_default();
        let printable = url.bytes().all(|byte| byte.is_ascii_graphic());
        let size = element.attr("size").and_then(|size| size.parse().ok());
        let size = size.filter(|size| (1..=LARGEST).contains(size));
        let mut hashes = element
            .children()
            .filter(|child| child.is("hash", ns::HASHES));
        let hash = hashes
            .next()
            .filter(|hash| hash.attr("algo") == Some("sha-256"));
        let hash = hash.and_then(decode).filter(|hash| hash.len() == SHA256);
        let fits = url.len() <= URL && printable && !host.is_empty() && !host.starts_with('/');
        let alone = hashes.next().is_none() && element.text().trim().is_empty();
        match (size, hash) {
            (Some(size), Some(hash)) if fits && alone => Ok(Some(Elsewhere {
                url: url.to_owned(),
                size,
                sha256: encode(&hash),
            })),
            _ => Err(Unfit::Url),
        }
    }

    /// An element that says so.
    fn on(&self, element: Element) -> Element {
        let hash = Element::new("hash", ns::HASHES)
            .with_attr("algo", "sha-256")
            .with_text(&self.sha256);
        element
            .with_attr("url", &self.url)
            .with_attr("size", &self.size.to_string())
            .with_child(hash)
    }
}

/// The state of a group, as somebody gives it to its home.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Info {
    /// The group.
    pub group: Vec<u8>,
    /// Its epoch.
    pub epoch: u64,
    /// What is kept of it: the message, or where it lies.
    pub kept: Vec<u8>,
}

/// A state that lies elsewhere. It is kept as JSON, with which no message begins.
#[derive(Serialize, Deserialize)]
struct Lies {
    group: String,
    epoch: u64,
    #[serde(flatten)]
    at: Elsewhere,
}

impl Info {
    /// What an element brings, of at most so many bytes.
    ///
    /// # Errors
    /// It brings none, or too many bytes.
    pub fn read(payload: El<'_>, most: usize) -> Result<Self, StanzaError> {
        if let Some(at) = Elsewhere::read(payload)? {
            let group = payload.attr("group").and_then(decode_text);
            let epoch = payload.attr("epoch").and_then(|epoch| epoch.parse().ok());
            let (group, epoch) = group.zip(epoch).ok_or(Unfit::Url)?;
            let lies = Lies {
                group: encode(&group),
                epoch,
                at,
            };
            let kept = serde_json::to_vec(&lies).unwrap_or_default();
            return Ok(Info { group, epoch, kept });
        }
        let kept = decode(payload).ok_or(Unfit::Base64)?;
        if kept.len() > most {
            let text = format!("The state of a group has at most {most} bytes; upload it");
            return Err(StanzaError::from(Condition::NotAcceptable).with_text(text));
        }
        match framing::read(&kept) {
            Ok(Frame::GroupInfo { group, epoch }) => Ok(Info {
                group: group.to_owned(),
                epoch,
                kept,
            }),
            Ok(_) => Err(Unfit::Kind.into()),
            Err(error) => Err(Unfit::Syntax(error).into()),
        }
    }

    /// What was kept, as it is shown; `None` if it cannot be read.
    pub fn shown(kept: &[u8]) -> Option<Element> {
        let element = Element::new("group-info", ns::MLS);
        if kept.first() != Some(&b'{') {
            return Some(element.with_text(&encode(kept)));
        }
        let lies: Lies = serde_json::from_slice(kept).ok()?;
        let element = element
            .with_attr("group", &lies.group)
            .with_attr("epoch", &lies.epoch.to_string());
        Some(lies.at.on(element))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::mls::testing;

    fn lies(url: &str, size: &str, algo: &str, hash: &str) -> Element {
        let hash = Element::new("hash", ns::HASHES)
            .with_attr("algo", algo)
            .with_text(hash);
        Element::new("group-info", ns::MLS)
            .with_attr("group", "Zw==")
            .with_attr("epoch", "7")
            .with_attr("url", url)
            .with_attr("size", size)
            .with_child(hash)
    }

    #[test]
    fn there_is_one_way_to_say_where() {
        let sum = encode(&[7; 32]);
        let url = "https://upload.example/a/b.mls";
        let good = lies(url, "16777216", "sha-256", &sum);
        let read = Elsewhere::read(good.root()).unwrap().unwrap();
        assert_eq!((read.url.as_str(), read.size), (url, LARGEST));
        let long = format!("https://x/{}", "y".repeat(URL));
        for bad in [
            lies("http://upload.example/a", "9", "sha-256", &sum),
            lies("https://", "9", "sha-256", &sum),
            lies("https:///a", "9", "sha-256", &sum),
            lies("https://x/a b", "9", "sha-256", &sum),
            lies(&long, "9", "sha-256", &sum),
            lies(url, "0", "sha-256", &sum),
            lies(url, "16777217", "sha-256", &sum),
            lies(url, "many", "sha-256", &sum),
            lies(url, "9", "sha-1", &sum),
            lies(url, "9", "sha-256", &encode(&[7; 31])),
            lies(url, "9", "sha-256", "no base64"),
            good.clone().with_text("AAEABA=="),
            good.clone()
                .with_child(good.child("hash", ns::HASHES).unwrap().to_element()),
            Element::new("group-info", ns::MLS).with_attr("url", url),
        ] {
            assert_eq!(Elsewhere::read(bad.root()), Err(Unfit::Url), "{bad:?}");
        }
        let none = Element::new("group-info", ns::MLS);
        assert_eq!(Elsewhere::read(none.root()), Ok(None));
    }

    #[test]
    fn a_state_is_shown_as_it_was_given() {
        let bytes = testing::group_info(b"g", 7);
        let here = Element::new("group-info", ns::MLS).with_text(&encode(&bytes));
        let there = lies("https://x/a", "9", "sha-256", &encode(&[7; 32]));
        for given in [here, there] {
            let info = Info::read(given.root(), 1_000).unwrap();
            assert_eq!((info.group.as_slice(), info.epoch), (b"g".as_slice(), 7));
            assert_eq!(Info::shown(&info.kept), Some(given));
        }
        let mut nameless = lies("https://x/a", "9", "sha-256", &encode(&[7; 32]));
        nameless.set_attr("epoch", None);
        assert!(Info::read(nameless.root(), 1_000).is_err());
        assert_eq!(Info::shown(b"{}"), None);
        let large = Element::new("group-info", ns::MLS).with_text(&encode(&bytes));
        let refused = Info::read(large.root(), 10).unwrap_err();
        assert_eq!(refused.condition, Condition::NotAcceptable);
    }
}
