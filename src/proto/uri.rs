//! URIs that administrators write down for others.

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

#[cfg(test)]
mod tests {
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
}
