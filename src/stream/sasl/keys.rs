//! What is stored of a password: StoredKey and ServerKey of RFC 5802 §3 per hash, never the password itself.

use std::fmt;

use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq;
use zeroize::{Zeroize, Zeroizing};

use super::hash::ScramHash;
use super::secret::Secret;

/// The stored secret of one account for one hash. A thief of it cannot log in with it; he can guess passwords, and can
/// play the server.
#[derive(Clone, Serialize, Deserialize)]
pub struct ScramKeys {
    /// PBKDF2 rounds; at least 4096 for what we make (RFC 7677 §4), as found for what was imported.
    pub iterations: u32,
    /// Salt, raw bytes.
    pub salt: Vec<u8>,
    /// H(ClientKey).
    pub stored_key: Vec<u8>,
    /// HMAC(SaltedPassword, "Server Key").
    pub server_key: Vec<u8>,
}

impl ScramKeys {
    /// Derives the keys from a password: SASLprep (RFC 4013) where it applies, then PBKDF2. Takes milliseconds: run it
    /// off the network workers.
    pub fn derive(hash: ScramHash, password: &str, salt: &[u8], iterations: u32) -> ScramKeys {
        let prepared = prepare(password);
        let salted = hash.salt_password(prepared.as_bytes(), salt, iterations);
        ScramKeys::from_salted_password(hash, &salted, salt, iterations)
    }

    /// The keys that belong to a SaltedPassword, which is what XEP-0480 hands over.
    pub fn from_salted_password(
        hash: ScramHash,
        salted: &[u8],
        salt: &[u8],
        iterations: u32,
    ) -> ScramKeys {
        let client_key = Zeroizing::new(hash.hmac(salted, b"Client Key"));
        ScramKeys {
            iterations,
            salt: salt.to_vec(),
            stored_key: hash.digest(&client_key),
            server_key: hash.hmac(salted, b"Server Key"),
        }
    }

    /// A record for an account that does not exist: the same for the same name as long as the server's `key` lives and the
    /// `iterations` are these, so that asking twice tells nothing, and with no password that opens it.
    pub fn fake(
        hash: ScramHash,
        key: &Secret,
        user: &str,
        iterations: u32,
        salt_bytes: usize,
    ) -> ScramKeys {
        let part = |what: &str, size: usize| {
            let blocks = (0..size.div_ceil(ScramHash::Sha512.size())).flat_map(|block| {
                let label = format!(
                    "{what} {block}\0{}\0{iterations}\0{user}",
                    hash.mechanism(false)
                );
                ScramHash::Sha512.hmac(key.expose(), label.as_bytes())
            });
            blocks.take(size).collect::<Vec<_>>()
        };
        ScramKeys {
            iterations,
            salt: part("fake salt", salt_bytes),
            stored_key: part("fake stored key", hash.size()),
            server_key: part("fake server key", hash.size()),
        }
    }

    /// A number by which it is drawn how [`ScramKeys::fake`] looks for a name.
    pub fn fake_point(key: &Secret, user: &str) -> u64 {
        let label = format!("fake point\0{user}");
        let drawn = ScramHash::Sha512.hmac(key.expose(), label.as_bytes());
        let first = drawn.first_chunk::<8>().copied();
        u64::from_be_bytes(first.unwrap_or_default())
    }

    /// Whether `password` is the one these keys were made of (SASL PLAIN). Costs the same whatever the answer; run it off the
    /// network workers.
    pub fn verify_password(&self, hash: ScramHash, password: &str) -> bool {
        let given = ScramKeys::derive(hash, password, &self.salt, self.iterations);
        self.stored_key.ct_eq(&given.stored_key).into()
    }

    /// Checks a ClientProof over `auth_message`; the answer is the ServerSignature to send (RFC 5802 §3).
    pub fn verify_proof(
        &self,
        hash: ScramHash,
        auth_message: &[u8],
        proof: &[u8],
    ) -> Option<Vec<u8>> {
        let signature = hash.hmac(&self.stored_key, auth_message);
        if proof.len() != hash.size() || signature.len() != hash.size() {
            return None;
        }
        let client_key: Zeroizing<Vec<u8>> =
            Zeroizing::new(proof.iter().zip(&signature).map(|(a, b)| a ^ b).collect());
        let server_signature = hash.hmac(&self.server_key, auth_message);
        let proved: bool = hash.digest(&client_key).ct_eq(&self.stored_key).into();
        proved.then_some(server_signature)
    }
}

/// Length of the salts made here; imported ones may differ.
pub const SALT_BYTES: usize = 16;

impl Drop for ScramKeys {
    fn drop(&mut self) {
        self.stored_key.zeroize();
        self.server_key.zeroize();
    }
}

/// In constant time for keys of the same hash.
impl PartialEq for ScramKeys {
    fn eq(&self, other: &ScramKeys) -> bool {
        let stored = self.stored_key.ct_eq(&other.stored_key);
        let server = self.server_key.ct_eq(&other.server_key);
        self.iterations == other.iterations
            && self.salt == other.salt
            && bool::from(stored & server)
    }
}

impl Eq for ScramKeys {}

impl fmt::Debug for ScramKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ScramKeys {{ iterations: {}, … }}", self.iterations)
    }
}

/// SASLprep knows Unicode 3.2 only. A password it refuses (an emoji, say) is taken as it is, as clients do; one that it would
/// reduce to nothing likewise.
fn prepare(password: &str) -> Zeroizing<String> {
    match stringprep::saslprep(password) {
        Ok(prepared) if !prepared.is_empty() => Zeroizing::new(prepared.into_owned()),
        _ => Zeroizing::new(password.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(hash: ScramHash) -> ScramKeys {
        ScramKeys::derive(hash, "pencil", b"0123456789abcdef", 4096)
    }

    #[test]
    fn the_password_and_no_other_fits() {
        for hash in ScramHash::ALL {
            assert!(keys(hash).verify_password(hash, "pencil"));
            assert!(!keys(hash).verify_password(hash, "Pencil"));
            assert!(!keys(hash).verify_password(hash, ""));
        }
    }

    #[test]
    fn passwords_are_prepared() {
        let salt = b"0123456789abcdef";
        // RFC 4013 §3: soft hyphen maps to nothing, U+2168 to "IX".
        let plain = ScramKeys::derive(ScramHash::Sha256, "IX", salt, 10);
        assert_eq!(
            plain,
            ScramKeys::derive(ScramHash::Sha256, "I\u{AD}X", salt, 10)
        );
        assert_eq!(
            plain,
            ScramKeys::derive(ScramHash::Sha256, "\u{2168}", salt, 10)
        );
        // Not in Unicode 3.2: kept as it is.
        let fox = ScramKeys::derive(ScramHash::Sha256, "🦊", salt, 10);
        assert!(fox.verify_password(ScramHash::Sha256, "🦊"));
        assert!(!fox.verify_password(ScramHash::Sha256, "🐺"));
    }

    #[test]
    fn a_fake_record_is_stable_and_differs_by_name_hash_rounds_and_key() {
        let fake = |hash, key: u8, user, rounds| {
            ScramKeys::fake(hash, &Secret::new(vec![key; 32]), user, rounds, SALT_BYTES)
        };
        let one = || fake(ScramHash::Sha256, 7, "nobody@example.org", 10_000);
        assert_eq!(one(), one());
        for other in [
            fake(ScramHash::Sha256, 7, "other@example.org", 10_000),
            fake(ScramHash::Sha256, 8, "nobody@example.org", 10_000),
            fake(ScramHash::Sha256, 7, "nobody@example.org", 4096),
            fake(ScramHash::Sha1, 7, "nobody@example.org", 10_000),
        ] {
            assert_ne!(one().salt, other.salt);
        }
        for (hash, salt_bytes) in ScramHash::ALL.into_iter().zip([0, SALT_BYTES, 100]) {
            let key = Secret::new(vec![7; 32]);
            let fake = ScramKeys::fake(hash, &key, "a@b", 10_000, salt_bytes);
            assert_eq!(
                (
                    fake.salt.len(),
                    fake.stored_key.len(),
                    fake.server_key.len()
                ),
                (salt_bytes, hash.size(), hash.size())
            );
        }
    }

    #[test]
    fn a_proof_of_another_length_is_refused() {
        let keys = keys(ScramHash::Sha1);
        for length in [0, 19, 21, 64] {
            assert_eq!(
                keys.verify_proof(ScramHash::Sha1, b"m", &vec![0; length]),
                None
            );
        }
    }

    #[test]
    fn keys_are_not_printed() {
        let shown = format!("{:?}", keys(ScramHash::Sha1));
        assert_eq!(shown, "ScramKeys { iterations: 4096, … }");
    }
}
