//! Names of things that who has their token may use: half of the hash of the token, which is all that is kept of it.

use std::fmt;

use sha2::{Digest, Sha256};

/// What is called so where its token must not be seen: on disk, in lists, in the log. Nobody gets from it to the token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Id([u8; 16]);

impl Id {
    /// Of what has this token.
    pub fn of_token(token: &str) -> Id {
        Id(half(token))
    }

    /// From a key.
    pub fn from_bytes(bytes: &[u8]) -> Option<Id> {
        bytes.try_into().ok().map(Id)
    }

    /// From how it is written.
    pub fn parse(text: &str) -> Option<Id> {
        let mut id = [0; 16];
        if text.len() != 32 || !text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
            return None;
        }
        for (at, byte) in id.iter_mut().enumerate() {
            *byte = u8::from_str_radix(text.get(2 * at..2 * at + 2)?, 16).ok()?;
        }
        Some(Id(id))
    }

    /// For keys.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// Half of the hash of a secret.
fn half(secret: &str) -> [u8; 16] {
    let digest = Sha256::digest(secret.as_bytes());
    let mut half = [0; 16];
    half.iter_mut()
        .zip(digest)
        .for_each(|(out, byte)| *out = byte);
    half
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn an_id_reads_back_and_is_no_token() {
        let id = Id::of_token("token");
        assert_eq!(Id::parse(&id.to_string()), Some(id));
        assert_ne!(id, Id::of_token("Token"));
        for bad in ["", "token", &id.to_string().to_uppercase(), &"é".repeat(16)] {
            assert_eq!(Id::parse(bad), None, "{bad}");
        }
    }
}
