//! The hash functions of SCRAM: SHA-1 (RFC 5802), SHA-256 (RFC 7677), SHA-512 (registered, no RFC).

use hmac::digest::{KeyInit, Update};
use hmac::{Hmac, Mac};
use serde::{Deserialize, Serialize};
use sha1::Sha1;
use sha2::{Digest, Sha256, Sha512};
use zeroize::Zeroizing;

/// Which hash a SCRAM mechanism, a stored key or an upgrade task is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum ScramHash {
    /// SHA-1: 20 bytes. Only for clients that know nothing newer.
    Sha1,
    /// SHA-256: 32 bytes.
    Sha256,
    /// SHA-512: 64 bytes.
    Sha512,
}

impl ScramHash {
    /// All of them, weakest first.
    pub const ALL: [ScramHash; 3] = [ScramHash::Sha1, ScramHash::Sha256, ScramHash::Sha512];

    /// The SASL mechanism name, with or without channel binding.
    pub fn mechanism(self, plus: bool) -> &'static str {
        match (self, plus) {
            (ScramHash::Sha1, false) => "SCRAM-SHA-1",
            (ScramHash::Sha1, true) => "SCRAM-SHA-1-PLUS",
            (ScramHash::Sha256, false) => "SCRAM-SHA-256",
            (ScramHash::Sha256, true) => "SCRAM-SHA-256-PLUS",
            (ScramHash::Sha512, false) => "SCRAM-SHA-512",
            (ScramHash::Sha512, true) => "SCRAM-SHA-512-PLUS",
        }
    }

    /// The inverse of [`ScramHash::mechanism`]: the hash, and whether the name is a -PLUS one.
    pub fn from_mechanism(name: &str) -> Option<(ScramHash, bool)> {
        let pairs = ScramHash::ALL
            .into_iter()
            .flat_map(|hash| [(hash, false), (hash, true)]);
        pairs
            .into_iter()
            .find(|(hash, plus)| hash.mechanism(*plus) == name)
    }

    /// The name of the task that upgrades an account to this hash (XEP-0480 §2.1).
    pub fn upgrade_task(self) -> &'static str {
        match self {
            ScramHash::Sha1 => "UPGR-SCRAM-SHA-1",
            ScramHash::Sha256 => "UPGR-SCRAM-SHA-256",
            ScramHash::Sha512 => "UPGR-SCRAM-SHA-512",
        }
    }

    /// Output size in bytes.
    pub fn size(self) -> usize {
        match self {
            ScramHash::Sha1 => 20,
            ScramHash::Sha256 => 32,
            ScramHash::Sha512 => 64,
        }
    }

    /// H(data).
    pub fn digest(self, data: &[u8]) -> Vec<u8> {
        match self {
            ScramHash::Sha1 => Sha1::digest(data).to_vec(),
            ScramHash::Sha256 => Sha256::digest(data).to_vec(),
            ScramHash::Sha512 => Sha512::digest(data).to_vec(),
        }
    }

    /// HMAC(key, data).
    pub fn hmac(self, key: &[u8], data: &[u8]) -> Vec<u8> {
        match self {
            ScramHash::Sha1 => mac::<Hmac<Sha1>>(key, data),
            ScramHash::Sha256 => mac::<Hmac<Sha256>>(key, data),
            ScramHash::Sha512 => mac::<Hmac<Sha512>>(key, data),
        }
    }

    /// Hi(password, salt, iterations), the SaltedPassword of RFC 5802 §3. Slow by design: not for a network worker.
    pub fn salt_password(
        self,
        password: &[u8],
        salt: &[u8],
        iterations: u32,
    ) -> Zeroizing<Vec<u8>> {
        let mut salted = Zeroizing::new(vec![0; self.size()]);
        // These fail only for key lengths, and HMAC takes any.
        let _ = match self {
            ScramHash::Sha1 => {
                pbkdf2::pbkdf2::<Hmac<Sha1>>(password, salt, iterations, &mut salted)
            }
            ScramHash::Sha256 => {
                pbkdf2::pbkdf2::<Hmac<Sha256>>(password, salt, iterations, &mut salted)
            }
            ScramHash::Sha512 => {
                pbkdf2::pbkdf2::<Hmac<Sha512>>(password, salt, iterations, &mut salted)
            }
        };
        salted
    }
}

/// HMAC takes keys of any length, so there is no error; were there one, the empty answer has no hash's length and is refused
/// wherever it is compared.
fn mac<M: Mac + KeyInit + Update>(key: &[u8], data: &[u8]) -> Vec<u8> {
    match <M as Mac>::new_from_slice(key) {
        Ok(mac) => mac.chain_update(data).finalize().into_bytes().to_vec(),
        Err(_) => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_round_trip() {
        for hash in ScramHash::ALL {
            for plus in [false, true] {
                assert_eq!(
                    ScramHash::from_mechanism(hash.mechanism(plus)),
                    Some((hash, plus))
                );
            }
            assert_eq!(hash.digest(b"").len(), hash.size());
            assert_eq!(hash.hmac(b"k", b"").len(), hash.size());
        }
        assert_eq!(ScramHash::from_mechanism("SCRAM-SHA-384"), None);
    }
}
