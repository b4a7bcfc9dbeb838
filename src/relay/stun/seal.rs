//! What proves that a message is whole, and whose it is: fingerprint and message integrity (RFC 8489 §14.5 to §14.7).

use hmac::{Hmac, Mac};
use sha1::Sha1;
use sha2::Sha256;

use super::{HEADER, attribute};

/// What the CRC of a fingerprint is combined with (RFC 8489 §14.7).
const FINGERPRINT_MASK: u32 = 0x5354_554e;
/// Bytes of a fingerprint attribute, with its header.
const FINGERPRINT_BYTES: usize = 8;

/// The hash that message integrity goes by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seal {
    /// MESSAGE-INTEGRITY
    Sha1,
    /// MESSAGE-INTEGRITY-SHA256; TURN does not let it be cut short.
    Sha256,
}

impl Seal {
    /// The attribute it stands in.
    pub(super) fn attribute(self) -> u16 {
        match self {
            Seal::Sha1 => attribute::MESSAGE_INTEGRITY,
            Seal::Sha256 => attribute::MESSAGE_INTEGRITY_SHA256,
        }
    }

    /// By the attribute.
    pub(super) fn of(attribute: u16) -> Option<Seal> {
        let both = [Seal::Sha1, Seal::Sha256];
        both.into_iter().find(|seal| seal.attribute() == attribute)
    }

    /// Bytes of its value.
    pub(super) fn length(self) -> usize {
        match self {
            Seal::Sha1 => 20,
            Seal::Sha256 => 32,
        }
    }

    /// Whether `value` is what `key` makes of a message of which `before` stands before the attribute.
    pub(super) fn holds(self, before: &[u8], key: &[u8], value: &[u8]) -> bool {
        match self {
            Seal::Sha1 => over::<Hmac<Sha1>>(self, before, key)
                .is_some_and(|mac| mac.verify_slice(value).is_ok()),
            Seal::Sha256 => over::<Hmac<Sha256>>(self, before, key)
                .is_some_and(|mac| mac.verify_slice(value).is_ok()),
        }
    }

    /// Gives the value to `put`.
    pub(super) fn make<T>(
        self,
        before: &[u8],
        key: &[u8],
        put: impl FnOnce(&[u8]) -> T,
    ) -> Option<T> {
        match self {
            Seal::Sha1 => {
                over::<Hmac<Sha1>>(self, before, key).map(|mac| put(&mac.finalize().into_bytes()))
            }
            Seal::Sha256 => {
                over::<Hmac<Sha256>>(self, before, key).map(|mac| put(&mac.finalize().into_bytes()))
            }
        }
    }
}

/// Over what stands before the attribute, as if the message ended with that.
fn over<M: Mac + hmac::digest::KeyInit>(seal: Seal, before: &[u8], key: &[u8]) -> Option<M> {
    let length = before.len().checked_sub(HEADER)? + 4 + seal.length();
    let mut mac = <M as Mac>::new_from_slice(key).ok()?;
    mac.update(before.get(..2)?);
    mac.update(&u16::try_from(length).ok()?.to_be_bytes());
    mac.update(before.get(4..)?);
    Some(mac)
}

/// The value of a fingerprint behind `before`.
pub(super) fn fingerprint(before: &[u8]) -> [u8; 4] {
    let length = before.len() - HEADER.min(before.len()) + FINGERPRINT_BYTES;
    let mut crc = crc32fast::Hasher::new();
    crc.update(before.get(..2).unwrap_or_default());
    crc.update(&(length as u16).to_be_bytes());
    crc.update(before.get(4..).unwrap_or_default());
    (crc.finalize() ^ FINGERPRINT_MASK).to_be_bytes()
}
