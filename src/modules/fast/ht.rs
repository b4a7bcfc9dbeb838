//! The mechanisms HT-* (draft-schmaus-kitten-sasl-ht-09): a token proved by one message, and the server's answer.
//!
//! UNIQ is not among them: there is no `tls-unique` on TLS 1.3, and on TLS 1.2 the other two bind as well.

use subtle::ConstantTimeEq;

use crate::stream::{Bindings, ScramHash, Secret};

/// One of the mechanisms.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ht {
    /// Its name.
    pub name: &'static str,
    hash: ScramHash,
    /// The channel binding it is bound to, if any.
    pub binding: Option<&'static str>,
}

const fn ht(name: &'static str, hash: ScramHash, binding: Option<&'static str>) -> Ht {
    Ht {
        name,
        hash,
        binding,
    }
}

const EXPORTER: Option<&str> = Some("tls-exporter");
const END_POINT: Option<&str> = Some("tls-server-end-point");

impl Ht {
    /// All of them, the best first.
    pub const ALL: [Ht; 6] = [
        ht("HT-SHA-512-EXPR", ScramHash::Sha512, EXPORTER),
        ht("HT-SHA-256-EXPR", ScramHash::Sha256, EXPORTER),
        ht("HT-SHA-512-ENDP", ScramHash::Sha512, END_POINT),
        ht("HT-SHA-256-ENDP", ScramHash::Sha256, END_POINT),
        ht("HT-SHA-512-NONE", ScramHash::Sha512, None),
        ht("HT-SHA-256-NONE", ScramHash::Sha256, None),
    ];

    /// The one of this name.
    pub fn named(name: &str) -> Option<Ht> {
        Ht::ALL.into_iter().find(|ht| ht.name == name)
    }

    /// What it is bound to on this connection; `None` where it cannot be used.
    pub fn data(self, bindings: &Bindings) -> Option<&[u8]> {
        match self.binding {
            Some(name) => bindings.data(name),
            None => Some(&[]),
        }
    }

    /// Reads the client's message: a name, and the proof, which has the hash's length.
    pub fn parse(self, message: &[u8]) -> Option<(&str, &[u8])> {
        let end = message.iter().position(|byte| *byte == 0)?;
        let (name, proof) = message.split_at_checked(end)?;
        let proof = proof.get(1..)?;
        let name = std::str::from_utf8(name).ok()?;
        let fits = !name.is_empty() && proof.len() == self.hash.size();
        fits.then_some((name, proof))
    }

    /// Whether the proof was made with this token on this connection; takes the same time for every proof of its length.
    pub fn is_proof(self, token: &Secret, data: &[u8], proof: &[u8]) -> bool {
        self.mac(token, b"Initiator", data).ct_eq(proof).into()
    }

    /// What proves to the client that the server has the token too.
    pub fn answer(self, token: &Secret, data: &[u8]) -> Vec<u8> {
        self.mac(token, b"Responder", data)
    }

    fn mac(self, token: &Secret, who: &[u8], data: &[u8]) -> Vec<u8> {
        self.hash.hmac(token.expose(), &[who, data].concat())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn names_are_what_they_say() {
        for ht in Ht::ALL {
            assert_eq!(Ht::named(ht.name), Some(ht));
            let size = if ht.name.contains("256") { 32 } else { 64 };
            assert_eq!(ht.hash.size(), size);
            let suffix = match ht.binding {
                Some("tls-exporter") => "-EXPR",
                Some("tls-server-end-point") => "-ENDP",
                _ => "-NONE",
            };
            assert!(ht.name.ends_with(suffix));
        }
        assert_eq!(Ht::named("HT-SHA-256-UNIQ"), None);
    }

    #[test]
    fn the_message_and_nothing_else() {
        let ht = Ht::named("HT-SHA-256-NONE").unwrap();
        let proof = [7; 32];
        let message = |name: &[u8], proof: &[u8]| [name, b"\0", proof].concat();
        let whole = message("jülìet".as_bytes(), &proof);
        assert_eq!(ht.parse(&whole), Some(("jülìet", &proof[..])));
        let zero = message(b"juliet", &[0; 32]);
        assert_eq!(ht.parse(&zero), Some(("juliet", &[0; 32][..])));
        let long = message(&[b'a'; 255], &proof);
        assert!(ht.parse(&long).is_some());
        for wrong in [
            message(b"", &proof),
            message(b"juliet", &proof[1..]),
            message(b"juliet", &[7; 33]),
            message(b"\xff", &proof),
            b"juliet".to_vec(),
            Vec::new(),
        ] {
            assert_eq!(ht.parse(&wrong), None, "{wrong:?}");
        }
    }

    /// Made with Python: `hmac.new(b"secret-token", b"Initiator" + cb, sha256)`.
    #[test]
    fn proofs_are_as_others_make_them() {
        let hex = |text: &str| -> Vec<u8> {
            let digits = text.as_bytes().chunks(2);
            digits
                .map(|two| u8::from_str_radix(std::str::from_utf8(two).unwrap(), 16).unwrap())
                .collect()
        };
        let token = Secret::new("secret-token");
        let none = Ht::named("HT-SHA-256-NONE").unwrap();
        let bound = Ht::named("HT-SHA-512-EXPR").unwrap();
        let data = [5; 32];
        assert!(none.is_proof(&token, &[], &hex(NONE_INITIATOR)));
        assert_eq!(none.answer(&token, &[]), hex(NONE_RESPONDER));
        assert!(bound.is_proof(&token, &data, &hex(BOUND_INITIATOR)));
        assert!(!bound.is_proof(&token, &[6; 32], &hex(BOUND_INITIATOR)));
        assert!(!none.is_proof(&Secret::new("secret-tokem"), &[], &hex(NONE_INITIATOR)));
    }

    const NONE_INITIATOR: &str = "3f6de92b45cddc50c601ad166458f7b5874565e399f3006b1afb03f0bb03ff88";
    const NONE_RESPONDER: &str = "5572a63e0496195609273c23be8a50b9bee64e0369324079e73245bf4472a5b1";
    const BOUND_INITIATOR: &str = "52567c6c93455c43ab919fbb013a462fe7ab325a9ef216c607853b7af1a5a7b4\
        3cb5e2910f62d63d77c5f68b1ea1cc40d8dce5642a6b2aa02d77135edeab1508";
}
