//! SASL PLAIN (RFC 4616): the message, parsed.

use super::secret::Secret;

/// The one message of PLAIN.
#[derive(Debug, PartialEq, Eq)]
pub struct Plain {
    /// Authorization identity.
    pub authzid: Option<String>,
    /// Whose password it is; not prepared.
    pub authcid: String,
    /// The password: UTF-8, not empty, no NUL.
    pub password: Secret,
}

impl Plain {
    /// Parses `[authzid] NUL authcid NUL passwd`; `None` if it is anything else.
    pub fn parse(message: &[u8]) -> Option<Plain> {
        let mut parts = message.split(|byte| *byte == 0);
        let (authzid, authcid, password) = (parts.next()?, parts.next()?, parts.next()?);
        if parts.next().is_some() || authcid.is_empty() || password.is_empty() {
            return None;
        }
        std::str::from_utf8(password).ok()?;
        let authzid = std::str::from_utf8(authzid).ok()?;
        Some(Plain {
            authzid: (!authzid.is_empty()).then(|| authzid.to_owned()),
            authcid: std::str::from_utf8(authcid).ok()?.to_owned(),
            password: Secret::new(password),
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]

    use super::*;

    #[test]
    fn the_message_and_nothing_else() {
        let parsed = Plain::parse(b"\0juliet\0r0m30myr0m30").unwrap();
        assert_eq!(parsed.authzid, None);
        assert_eq!(parsed.authcid, "juliet");
        assert_eq!(parsed.password.expose(), b"r0m30myr0m30");
        let parsed = Plain::parse("a@b\0ü\0🦊".as_bytes()).unwrap();
        assert_eq!(parsed.authzid.as_deref(), Some("a@b"));
        assert_eq!(parsed.authcid, "ü");
        for wrong in [
            &b""[..],
            b"\0",
            b"juliet",
            b"\0juliet",
            b"\0juliet\0",
            b"\0\0pw",
            b"\0a\0b\0",
            b"\0a\0b\0c",
            b"\0\xff\0b",
            b"\0a\0\xff",
            b"\xff\0a\0b",
        ] {
            assert_eq!(Plain::parse(wrong), None, "{wrong:?}");
        }
    }
}
