//! URIs: what administrators write down for others, percent-encoding (RFC 3986 §2.1), addresses (RFC 5122), and items
//! of nodes (XEP-0060 §12.22).

use super::jid::Jid;

/// Whether something is a URI (RFC 3986 §3); the schemes people use are looked at more closely.
///
/// # Errors
/// What is wrong with it, in words that go on from it.
pub fn check(address: &str) -> Result<(), &'static str> {
    let whole = |c: char| {
        c.is_ascii_graphic() && !matches!(c, '<' | '>' | '"' | '{' | '}' | '\\' | '^' | '`' | '|')
    };
    let Some((scheme, rest)) = address.split_once(':') else {
        return Err("is no URI: begin it with mailto:, xmpp: or https:");
    };
    let named = scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c));
    if !named || rest.is_empty() || !address.chars().all(whole) {
        return Err("is no URI: begin it with mailto:, xmpp: or https:, and write no spaces");
    }
    match scheme {
        "mailto" if !rest.contains('@') => Err("has no @"),
        "xmpp" if Jid::parse(rest.split('?').next().unwrap_or_default()).is_err() => {
            Err("is not an XMPP address after xmpp:")
        }
        "http" | "https" if !rest.starts_with("//") || rest.len() < 3 => {
            Err("has no // and name after its scheme")
        }
        _ => Ok(()),
    }
}

/// Percent-encodes what is not unreserved (RFC 3986 §2.3).
pub fn encoded(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    encode(text, plain)
}

/// An address inside a URI (RFC 5122 §2.2): what is not ASCII or means something there is percent-encoded.
pub fn address(jid: &Jid) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~@!$()*+,".contains(&byte);
    encode(jid.as_str(), plain)
}

fn encode(text: &str, plain: impl Fn(u8) -> bool) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match plain(byte) {
            true => out.push(char::from(byte)),
            false => out.extend(['%', hex(byte >> 4), hex(byte & 15)]),
        }
    }
    out
}

fn hex(digit: u8) -> char {
    let digit = char::from_digit(digit.into(), 16);
    digit.unwrap_or('0').to_ascii_uppercase()
}

/// Undoes percent-encoding; `None` if it is none.
pub fn decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let mut digit = || char::from(rest.next()?).to_digit(16);
        let value = digit()? * 16 + digit()?;
        bytes.push(u8::try_from(value).ok()?);
    }
    String::from_utf8(bytes).ok()
}

/// The URI of an item of a node.
pub fn item(service: &Jid, node: &str, id: &str) -> String {
    let (node, id) = (encoded(node), encoded(id));
    format!("xmpp:{}?;node={node};item={id}", address(service))
}

/// The node and the item that a URI names, whatever service it names.
pub fn read_item(uri: &str) -> Option<(String, String)> {
    let (_, query) = parts(uri)?;
    Some((value(query, "node")?, value(query, "item")?))
}

/// The service and the node that a URI names.
pub fn read_node(uri: &str) -> Option<(Jid, String)> {
    let (service, query) = parts(uri)?;
    Some((Jid::parse(&decoded(service)?).ok()?, value(query, "node")?))
}

fn parts(uri: &str) -> Option<(&str, &str)> {
    uri.strip_prefix("xmpp:")?.split_once("?;")
}

fn value(query: &str, name: &str) -> Option<String> {
    let mut pairs = query.split(';').filter_map(|pair| pair.split_once('='));
    decoded(pairs.find(|(key, _)| *key == name)?.1)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn addresses_are_uris() {
        for good in [
            "mailto:abuse@example.org",
            "xmpp:admin@example.org",
            "xmpp:admins@muc.example.org?join",
            "https://status.example.org",
            "tel:+1-201-555-0123",
        ] {
            assert_eq!(check(good), Ok(()), "{good}");
        }
        for bad in [
            "abuse@example.org",
            "mailto:abuse",
            "xmpp:a@b@c",
            "https:status",
            "https://",
            "mailto: a@b",
            ":a@b",
            "xmpp:",
        ] {
            assert!(check(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn addresses() {
        let uri = |text: &str| address(&Jid::parse(text).unwrap());
        assert_eq!(uri("romeo@example.org"), "romeo@example.org");
        assert_eq!(uri("a?b;c@example.org"), "a%3Fb%3Bc@example.org");
        assert_eq!(uri("jörg@example.org"), "j%C3%B6rg@example.org");
    }

    #[test]
    fn items_of_nodes() {
        let juliet = Jid::parse("juliet@capulet.lit").unwrap();
        let uri = item(&juliet, "urn:xmpp:microblog:0", "a;b é");
        let wanted = "xmpp:juliet@capulet.lit?;node=urn%3Axmpp%3Amicroblog%3A0;item=a%3Bb%20%C3%A9";
        assert_eq!(uri, wanted);
        let read = ("urn:xmpp:microblog:0".to_owned(), "a;b é".to_owned());
        assert_eq!(read_item(&uri), Some(read));
        for bad in [
            "xmpp:a@b?;node=n",
            "xmpp:a@b?;item=i",
            "http://a?;node=n;item=i",
            "xmpp:a@b?;node=%4;item=i",
            "xmpp:a@b?;node=%ff;item=i",
        ] {
            assert_eq!(read_item(bad), None, "{bad}");
        }
    }
}
