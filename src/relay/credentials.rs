//! Who may use the relay: names that hold for a time with passwords made from a secret, and nonces that need no memory.

use std::net::SocketAddr;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use hmac::{Hmac, Mac};
use md5::{Digest, Md5};
use sha1::Sha1;
use sha2::Sha256;
use subtle::ConstantTimeEq;

use crate::runtime::random;

/// The key of a long-term credential (RFC 8489 §9.2.2).
pub type LongTermKey = [u8; 16];

/// How long a nonce is good for (RFC 8489 §9.2 and RFC 8656 §5 want it to end).
const NONCE_SECONDS: u64 = 600;
/// Digits of a nonce: when it ends, and the seal over that and the address it was given to.
const NONCE_DIGITS: usize = 32;

/// The password of a name that holds for a time, as coturn's `use-auth-secret` makes it: base64 of the HMAC-SHA1 of the name.
pub fn password(secret: &[u8], name: &str) -> String {
    let mac = Hmac::<Sha1>::new_from_slice(secret).map(|mut mac| {
        mac.update(name.as_bytes());
        mac.finalize().into_bytes()
    });
    mac.map(|mac| BASE64_STANDARD.encode(mac))
        .unwrap_or_default()
}

/// A name: when it ends, in Unix seconds, and whose it is.
pub fn name(until: u64, holder: &str) -> String {
    format!("{until}:{holder}")
}

/// When a name ends, and whose it is.
pub fn read_name(name: &str) -> Option<(u64, &str)> {
    let (until, holder) = name.split_once(':')?;
    let digits = !until.is_empty() && until.bytes().all(|b| b.is_ascii_digit());
    digits.then_some((until.parse().ok()?, holder))
}

/// The key that a name and its password give.
pub fn long_term_key(name: &str, realm: &str, password: &str) -> LongTermKey {
    let mut hash = Md5::new();
    hash.update(name);
    hash.update(":");
    hash.update(realm);
    hash.update(":");
    hash.update(password);
    hash.finalize().into()
}

/// Makes nonces and knows its own: nothing is remembered for those who ask.
pub struct Nonces {
    key: [u8; 32],
}

/// What a nonce is worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Judged {
    /// Given to this address not long ago.
    Good,
    /// It was, or belongs to another address, or is none of ours.
    Stale,
}

impl Default for Nonces {
    fn default() -> Nonces {
        Nonces {
            key: random::bytes(),
        }
    }
}

impl Nonces {
    /// A nonce for an address, at this time in Unix seconds.
    pub fn make(&self, address: SocketAddr, now: u64) -> String {
        self.written(address, now.saturating_add(NONCE_SECONDS))
    }

    /// What a nonce from an address is worth.
    pub fn judge(&self, nonce: &str, address: SocketAddr, now: u64) -> Judged {
        let until = nonce.get(..NONCE_DIGITS / 2);
        let until = until.and_then(|digits| u64::from_str_radix(digits, 16).ok());
        match until {
            Some(until) if until >= now => {
                let own = self.written(address, until);
                match own.as_bytes().ct_eq(nonce.as_bytes()).into() {
                    true => Judged::Good,
                    false => Judged::Stale,
                }
            }
            _ => Judged::Stale,
        }
    }

    fn written(&self, address: SocketAddr, until: u64) -> String {
        let mut seal = 0;
        if let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(&self.key) {
            mac.update(&until.to_be_bytes());
            mac.update(address.to_string().as_bytes());
            for byte in mac.finalize().into_bytes().iter().take(8) {
                seal = seal << 8 | u64::from(*byte);
            }
        }
        format!("{until:016x}{seal:016x}")
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn names_say_when_they_end() {
        assert_eq!(
            read_name(&name(1_700_000_000, "x:y")),
            Some((1_700_000_000, "x:y"))
        );
        for bad in [
            "",
            "x",
            ":x",
            "+5:x",
            "-5:x",
            "5",
            "99999999999999999999999:x",
        ] {
            assert_eq!(read_name(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_nonce_is_good_for_its_address_and_its_time() {
        let nonces = Nonces::default();
        let address = "192.0.2.1:5000".parse().unwrap();
        let nonce = nonces.make(address, 1_000);
        assert_eq!(nonce.len(), NONCE_DIGITS);
        assert_eq!(nonces.judge(&nonce, address, 1_000), Judged::Good);
        assert_eq!(nonces.judge(&nonce, address, 1_600), Judged::Good);
        assert_eq!(nonces.judge(&nonce, address, 1_601), Judged::Stale);
        let other = "192.0.2.1:5001".parse().unwrap();
        assert_eq!(nonces.judge(&nonce, other, 1_000), Judged::Stale);
        assert_eq!(
            Nonces::default().judge(&nonce, address, 1_000),
            Judged::Stale
        );
        for forged in [
            "",
            "é",
            &nonce[1..],
            &nonce.replace('0', "f"),
            &format!("{nonce}0"),
        ] {
            assert_eq!(nonces.judge(forged, address, 1_000), Judged::Stale);
        }
    }
}
