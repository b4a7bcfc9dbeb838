//! Addresses of files: what clients are told, and what is read back.

use crate::proto::uri::encoded;

/// Bytes of a name in an address.
const NAME: usize = 200;

/// The path of everything here.
pub(super) const PATH: &str = "/upload";

/// Where files are, as clients see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Base(String);

impl Base {
    /// Below where web clients reach the host.
    pub(super) fn new(host: &str) -> Base {
        Base(format!("{host}{PATH}"))
    }

    /// The address of a file.
    pub(super) fn of(&self, token: &str, name: &str) -> String {
        format!("{}/{token}/{}", self.0, in_path(name))
    }

    /// The token in the address of a file.
    pub(super) fn token_of<'a>(&self, address: &'a str) -> Option<&'a str> {
        token_in(address.strip_prefix(&self.0)?)
    }

    /// The address to upload it to.
    pub(super) fn to_upload(&self, token: &str, key: &str, name: &str) -> String {
        format!("{}?key={key}", self.of(token, name))
    }
}

/// The token in what follows the base: `/TOKEN`, or `/TOKEN/NAME`. The name is for people.
pub(super) fn token_in(rest: &str) -> Option<&str> {
    let mut parts = rest.strip_prefix('/')?.split('/');
    let token = parts.next()?;
    let _name = parts.next();
    let digits = |b: u8| matches!(b, b'a'..=b'z' | b'2'..=b'7');
    let whole = token.len() == 26 && token.bytes().all(digits);
    (whole && parts.next().is_none()).then_some(token)
}

/// The key in what follows the question mark.
pub(super) fn key_in(query: Option<&str>) -> Option<&str> {
    let mut fields = query?.split('&');
    fields.find_map(|field| field.strip_prefix("key="))
}

/// A name as one part of a path (RFC 3986 §3.3): its end stays, for that tells what it is.
fn in_path(name: &str) -> String {
    let name = name.replace(|c: char| matches!(c, '/' | '\\') || c.is_control(), "_");
    let name = match name.as_str() {
        "." | ".." => "file",
        name => name,
    };
    let too_long = encoded(name).len().saturating_sub(NAME);
    let start = name
        .char_indices()
        .map(|(at, _)| at)
        .find(|at| encoded(name.get(..*at).unwrap_or_default()).len() >= too_long);
    encoded(name.get(start.unwrap_or(0)..).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const TOKEN: &str = "abcdefghijklmnopqrstuvwx23";

    #[test]
    fn an_address_is_made_and_read_back() {
        let base = Base::new("https://example.org:5443");
        let url = base.of(TOKEN, "très cool.jpg");
        let expected = format!("https://example.org:5443/upload/{TOKEN}/tr%C3%A8s%20cool.jpg");
        assert_eq!(url, expected);
        assert_eq!(base.token_of(&url), Some(TOKEN));
        assert_eq!(base.token_of(&url.replace("5443", "5444")), None);
        let put = base.to_upload(TOKEN, "k", "a");
        assert_eq!(
            put,
            format!("https://example.org:5443/upload/{TOKEN}/a?key=k")
        );
        assert_eq!(key_in(Some("a=b&key=k")), Some("k"));
        assert_eq!(key_in(None), None);
    }

    #[test]
    fn nothing_of_a_name_leads_elsewhere() {
        for (name, expected) in [
            ("../../etc/passwd", ".._.._etc_passwd"),
            ("..", "file"),
            ("a\\b", "a_b"),
            ("a?b#c%d", "a%3Fb%23c%25d"),
            ("a\r\nb", "a__b"),
        ] {
            assert_eq!(in_path(name), expected);
        }
        let long = format!("{}.jpg", "é".repeat(300));
        let short = in_path(&long);
        assert!(short.len() <= NAME && short.ends_with(".jpg"), "{short}");
        for bad in [
            "",
            "/",
            "/a",
            "/../x",
            &format!("/{TOKEN}/a/b"),
            &format!("/{}", TOKEN.to_uppercase()),
        ] {
            assert_eq!(token_in(bad), None, "{bad}");
        }
        assert_eq!(token_in(&format!("/{TOKEN}")), Some(TOKEN));
    }
}
