//! Base 64 as SASL wants it: RFC 4648 §4, padded, no white space, padding bits zero (RFC 6120 §6.3.5).

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

/// Not strict base 64: `incorrect-encoding` (RFC 6120 §6.5.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not base 64 as in RFC 4648 §4")]
pub struct NotBase64;

/// Decodes, strictly. What comes out may be a password, so it is wiped when dropped.
pub fn decode(text: &str) -> Result<Zeroizing<Vec<u8>>, NotBase64> {
    STANDARD
        .decode(text)
        .map(Zeroizing::new)
        .map_err(|_| NotBase64)
}

/// Encodes.
pub fn encode(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]

    use super::*;

    #[test]
    fn only_the_canonical_form_passes() {
        assert_eq!(
            decode("AGp1bGlldAByMG0=").unwrap().as_slice(),
            b"\0juliet\0r0m"
        );
        assert_eq!(decode("").unwrap().as_slice(), b"");
        for wrong in [
            "=",
            "AGp1bGlldAByMG0",
            "AGp1 bGll",
            "AGp1\nbGll",
            "AGp1bGlldAByMG1=",
            "QQ=",
            "QR==",
            "Q-_Q",
            "QQ==QQ==",
            "é",
        ] {
            assert_eq!(decode(wrong), Err(NotBase64), "{wrong}");
        }
    }
}
