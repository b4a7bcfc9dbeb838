//! Where a client is to be reached, as it says itself.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use serde::{Deserialize, Serialize};

use super::seal::{Keys, SealError, seal};
use crate::proto::error::{Condition, StanzaError};
use crate::proto::ns;
use crate::state::push::Target;
use crate::store::Key;
use crate::xml::El;

/// Bytes of the address of an endpoint.
const URL: usize = 2_048;

/// A push resource (RFC 8030 §2), and what is needed to write to who listens there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endpoint {
    url: String,
    /// A point on P-256, base64url.
    public: String,
    /// base64url
    auth: String,
}

impl Endpoint {
    /// Reads `<enable/>`.
    ///
    /// # Errors
    /// `bad-request` if something is missing, `not-acceptable` if it is not what it should be.
    pub fn read(enable: El<'_>) -> Result<Endpoint, StanzaError> {
        let missing = |what: &str| {
            StanzaError::from(Condition::BadRequest).with_text(format!("There is no {what}"))
        };
        let url = enable.attr("endpoint").ok_or_else(|| missing("endpoint"))?;
        if !is_endpoint(url) {
            return Err(not_acceptable(
                "The endpoint is no address of an HTTPS server",
            ));
        }
        let endpoint = Endpoint {
            url: url.to_owned(),
            public: text(enable, "p256dh").ok_or_else(|| missing("p256dh"))?,
            auth: text(enable, "auth").ok_or_else(|| missing("auth"))?,
        };
        let keys = endpoint.keys().ok_or_else(|| {
            not_acceptable("p256dh or auth are not base64url of a point and of 16 octets")
        })?;
        match seal(&[], &keys) {
            Err(SealError::Key) => Err(not_acceptable("p256dh is no point on the curve P-256")),
            _ => Ok(endpoint),
        }
    }

    /// Whether it is at this address.
    pub fn is(&self, url: &str) -> bool {
        self.url == url
    }

    /// Its address.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Its client's keys.
    pub fn keys(&self) -> Option<Keys> {
        let decode = |text: &str| BASE64.decode(text.trim_end_matches('=')).ok();
        Some(Keys {
            public: decode(&self.public)?.try_into().ok()?,
            auth: decode(&self.auth)?.try_into().ok()?,
        })
    }

    /// The origin of its address (RFC 6454 §6), for which what is signed is good.
    pub fn origin(&self) -> String {
        let authority = authority(&self.url)
            .unwrap_or_default()
            .to_ascii_lowercase();
        let authority = authority.strip_suffix(":443").unwrap_or(&authority);
        format!("{HTTPS}{authority}")
    }
}

impl Target for Endpoint {
    const KIND: u8 = 2;

    fn key(&self) -> Key {
        Key::new().str(&self.url)
    }
}

const HTTPS: &str = "https://";

fn is_endpoint(url: &str) -> bool {
    let printable = url.bytes().all(|byte| byte.is_ascii_graphic());
    url.len() <= URL && printable && authority(url).is_some_and(|it| !it.contains('@'))
}

/// Host and port of an address.
fn authority(url: &str) -> Option<&str> {
    let rest = url.strip_prefix(HTTPS)?;
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    rest.get(..end).filter(|authority| !authority.is_empty())
}

fn text(enable: El<'_>, name: &str) -> Option<String> {
    let text = enable.child(name, ns::WEB_PUSH)?.text();
    Some(text.trim().to_owned())
}

fn not_acceptable(text: &str) -> StanzaError {
    StanzaError::from(Condition::NotAcceptable).with_text(text)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::xml::Element;

    const POINT: &str =
        "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4";
    const AUTH: &str = "BTBZMqHH6r4Tts7J_aSIgg";

    fn read(url: &str, public: &str, auth: &str) -> Result<Endpoint, Condition> {
        let leaf = |name, text| Element::new(name, ns::WEB_PUSH).with_text(text);
        let enable = Element::new("enable", ns::WEB_PUSH)
            .with_attr("endpoint", url)
            .with_child(leaf("p256dh", public))
            .with_child(leaf("auth", auth));
        Endpoint::read(enable.root()).map_err(|error| error.condition)
    }

    #[test]
    fn endpoints_are_addresses_with_keys() {
        let origin = |url: &str| read(url, POINT, AUTH).unwrap().origin();
        assert_eq!(origin("https://Push.example/x?y"), "https://push.example");
        assert_eq!(origin("https://push.example:443/x"), "https://push.example");
        assert_eq!(origin("https://[::1]:8443"), "https://[::1]:8443");
        let padded = read("https://a.example/", POINT, &format!(" {AUTH}==\n"));
        assert!(padded.unwrap().keys().is_some());
        let long = format!("https://a.example/{}", "x".repeat(URL));
        for url in [
            "",
            "http://a.example/",
            "https:///x",
            "https://a@b/",
            "https://a /",
            &long,
        ] {
            assert_eq!(
                read(url, POINT, AUTH),
                Err(Condition::NotAcceptable),
                "{url}"
            );
        }
        let off = POINT.replace("Aiw4", "Aiw8");
        for (public, auth) in [
            ("", AUTH),
            (POINT, ""),
            (POINT, "####"),
            (AUTH, AUTH),
            (&off, AUTH),
        ] {
            let refused = read("https://a.example/", public, auth);
            assert_eq!(refused, Err(Condition::NotAcceptable), "{public} {auth}");
        }
        let empty = Element::new("enable", ns::WEB_PUSH).with_attr("endpoint", "https://a.example");
        let error = Endpoint::read(empty.root()).unwrap_err();
        assert_eq!(error.condition, Condition::BadRequest);
    }
}
