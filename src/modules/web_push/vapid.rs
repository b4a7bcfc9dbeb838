//! RFC 8292: push services know this server by its key.

use std::sync::mpsc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use serde_json::json;

use crate::proto::jid::Jid;
use crate::store::{Batch, CommitError, Key, Store, StoreError};

/// How long what is signed is good for; a day is the most (§2).
const GOOD: u64 = 12 * 3_600;
/// How long a store may take that is asked at the start.
const PATIENCE: Duration = Duration::from_secs(60);

/// The key of one host.
pub struct Vapid {
    pair: EcdsaKeyPair,
    random: SystemRandom,
    contact: String,
}

/// Why there is no key, or nothing is signed.
#[derive(Debug, thiserror::Error)]
pub enum VapidError {
    /// The store could not be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The store did not take the key.
    #[error(transparent)]
    Commit(#[from] CommitError),
    /// The cryptographic library failed, or what is stored is no key.
    #[error("the key for push services cannot be used")]
    Crypto,
}

impl Vapid {
    /// The key of a host, made when it has none; waits for the store. Push services hear of `contact` (§2.1).
    ///
    /// # Errors
    /// See [`VapidError`].
    pub fn open(store: &Store, host: &Jid, contact: String) -> Result<Self, VapidError> {
        let space = store.space("web_push_key", 1)?;
        let key = Key::new().str(host.domain());
        let (answer, read) = mpsc::channel();
        let wanted = key.clone();
        store.read(
            move |view| view.get(space, &wanted),
            move |found| {
                let _ = answer.send(found);
            },
        );
        let found = read
            .recv_timeout(PATIENCE)
            .map_err(|_| StoreError::Busy)??;
        let random = SystemRandom::new();
        let stored = match found {
            Some(stored) => stored,
            None => {
                let made = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random);
                let made = made.map_err(|_| VapidError::Crypto)?.as_ref().to_vec();
                let mut batch = Batch::new();
                batch.require_absent(space, &key);
                batch.put(space, &key, made.as_slice());
                let (answer, written) = mpsc::channel();
                store.hand_in(batch, move |result| {
                    let _ = answer.send(result);
                });
                let written = written.recv_timeout(PATIENCE);
                written.map_err(|_| StoreError::Busy)??;
                made
            }
        };
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &stored, &random);
        Ok(Vapid {
            pair: pair.map_err(|_| VapidError::Crypto)?,
            random,
            contact,
        })
    }

    /// The public key, as clients and push services are told it.
    pub fn public(&self) -> String {
        BASE64.encode(self.pair.public_key())
    }

    /// The value of `Authorization` for a push service (§3), at `now` in Unix milliseconds.
    ///
    /// # Errors
    /// [`VapidError::Crypto`]
    pub fn authorization(&self, origin: &str, now: u64) -> Result<String, VapidError> {
        let header = json!({"typ": "JWT", "alg": "ES256"});
        let claims = json!({
            "aud": origin,
            "exp": (now / 1_000).saturating_add(GOOD),
            "sub": self.contact,
        });
        let part = |value: &serde_json::Value| BASE64.encode(value.to_string());
        let signed = format!("{}.{}", part(&header), part(&claims));
        let signature = self.pair.sign(&self.random, signed.as_bytes());
        let signature = BASE64.encode(signature.map_err(|_| VapidError::Crypto)?);
        Ok(format!("vapid t={signed}.{signature},k={}", self.public()))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use ring::signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey};

    use super::*;
    use crate::runtime::clock::Clock;
    use crate::store::{Options, testing};

    #[tokio::test]
    async fn the_key_stays_and_what_is_signed_can_be_checked() {
        let store = Store::with_engine(testing::memory(), Options::memory(), Clock::system());
        let (store, host) = (store.unwrap(), Jid::parse("a.example").unwrap());
        let open = |host: &Jid| Vapid::open(&store, host, "mailto:xmpp@a.example".to_owned());
        let (one, again) = (open(&host).unwrap(), open(&host).unwrap());
        assert_eq!(one.public(), again.public());
        let other = open(&Jid::parse("b.example").unwrap()).unwrap();
        assert_ne!(one.public(), other.public());

        let said = one.authorization("https://push.example", 1_000).unwrap();
        let token = said.strip_prefix("vapid t=").unwrap();
        let (token, key) = token.split_once(",k=").unwrap();
        assert_eq!(key, one.public());
        let (signed, signature) = token.rsplit_once('.').unwrap();
        let key = BASE64.decode(key).unwrap();
        UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, key)
            .verify(signed.as_bytes(), &BASE64.decode(signature).unwrap())
            .unwrap();
        let claims = BASE64.decode(signed.split_once('.').unwrap().1).unwrap();
        let claims: serde_json::Value = serde_json::from_slice(&claims).unwrap();
        let expected = json!({
            "aud": "https://push.example",
            "exp": 1 + GOOD,
            "sub": "mailto:xmpp@a.example",
        });
        assert_eq!(claims, expected);
    }
}
