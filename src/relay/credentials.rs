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

/// The key of a long-term credential (RFC 8489 §9.2.2, §18.5.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LongTermKey {
    /// As all clients make it.
    Md5([u8; 16]),
    /// As those make it that know RFC 8489.
    Sha256([u8; 32]),
}

impl LongTermKey {
    /// Its bytes.
    pub fn as_slice(&self) -> &[u8] {
        match self {
            LongTermKey::Md5(key) => key,
            LongTermKey::Sha256(key) => key,
        }
    }
}

/// What a key is made with, by its number in the registry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Algorithm {
    /// 1
    Md5,
    /// 2
    Sha256,
}

impl Algorithm {
    /// What is offered, as the attribute PASSWORD-ALGORITHMS has it: the best first, each without parameters.
    pub const OFFERED: [u8; 8] = [0, 2, 0, 0, 0, 1, 0, 0];

    /// What the attribute PASSWORD-ALGORITHM names, if it is offered.
    pub fn read(value: &[u8]) -> Option<Algorithm> {
        match value {
            [0, 1, 0, 0] => Some(Algorithm::Md5),
            [0, 2, 0, 0] => Some(Algorithm::Sha256),
            _ => None,
        }
    }

    /// The key that a name and its password give.
    pub fn key(self, name: &str, realm: &str, password: &str) -> LongTermKey {
        match self {
            Algorithm::Md5 => LongTermKey::Md5(joined::<Md5>(name, realm, password).into()),
            Algorithm::Sha256 => {
                LongTermKey::Sha256(joined::<Sha256>(name, realm, password).into())
            }
        }
    }

    /// Whether it made this key.
    pub fn made(self, key: &LongTermKey) -> bool {
        match key {
            LongTermKey::Md5(_) => self == Algorithm::Md5,
            LongTermKey::Sha256(_) => self == Algorithm::Sha256,
        }
    }
}

fn joined<D: Digest>(name: &str, realm: &str, password: &str) -> md5::digest::Output<D> {
    let mut hash = D::new();
    for part in [name, ":", realm, ":", password] {
        hash.update(part);
    }
    hash.finalize()
}

/// How long a nonce is good for (RFC 8489 §9.2 and RFC 8656 §5 want it to end).
const NONCE_SECONDS: u64 = 600;
/// What a nonce begins with: that RFC 8489 holds, and that password algorithms are offered (§9.2, §18.1: bit 0).
const COOKIE: &str = "obMatJos2gAAA";
/// Bytes of the rest: when it ends, in Unix seconds, and the seal over that and the address it was given to.
const UNTIL_BYTES: usize = 4;
const SEAL_BYTES: usize = 8;

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

/// The key that a name and its password give to all clients.
pub fn long_term_key(name: &str, realm: &str, password: &str) -> [u8; 16] {
    joined::<Md5>(name, realm, password).into()
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
        let until = nonce.strip_prefix(COOKIE).and_then(|rest| {
            let bytes = BASE64_STANDARD.decode(rest).ok()?;
            let until = bytes.first_chunk::<UNTIL_BYTES>()?;
            Some(u64::from(u32::from_be_bytes(*until)))
        });
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
        let until = u32::try_from(until).unwrap_or(u32::MAX).to_be_bytes();
        let mut bytes = until.to_vec();
        if let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(&self.key) {
            mac.update(&until);
            mac.update(address.to_string().as_bytes());
            let seal = mac.finalize().into_bytes();
            bytes.extend_from_slice(seal.get(..SEAL_BYTES).unwrap_or_default());
        }
        let mut nonce = COOKIE.to_owned();
        BASE64_STANDARD.encode_string(&bytes, &mut nonce);
        nonce
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
    fn the_key_of_rfc_8489() {
        let key = [
            0x84, 0x93, 0xfb, 0xc5, 0x3b, 0xa5, 0x82, 0xfb, 0x4c, 0x04, 0x4c, 0x45, 0x6b, 0xdc,
            0x40, 0xeb,
        ];
        assert_eq!(long_term_key("user", "realm", "pass"), key);
        let made = Algorithm::Md5.key("user", "realm", "pass");
        assert_eq!(made, LongTermKey::Md5(key));
        assert!(Algorithm::Md5.made(&made) && !Algorithm::Sha256.made(&made));
    }

    #[test]
    fn a_nonce_is_good_for_its_address_and_its_time() {
        let nonces = Nonces::default();
        let address = "192.0.2.1:5000".parse().unwrap();
        let nonce = nonces.make(address, 1_000);
        // RFC 8489 §9.2: it says that it knows that document.
        assert_eq!(nonce.len(), COOKIE.len() + 16);
        assert!(nonce.starts_with("obMatJos2"));
        let features = BASE64_STANDARD.decode(&COOKIE[9..]).unwrap();
        assert_eq!(features, [0x80, 0, 0]);
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
            COOKIE,
            &nonce.replace("gAAA", "AAAA"),
            &format!("{nonce}0"),
        ] {
            assert_eq!(nonces.judge(forged, address, 1_000), Judged::Stale);
        }
    }
}
