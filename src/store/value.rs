//! How a value lies on disk: the bytes, one byte of codec version, four bytes of CRC-32 over key and all before.

use super::{Key, StoreError};

const VERSION: u8 = 1;
const TRAILER: usize = 5;

/// Closes a value for the disk. `key` begins with the space.
pub(crate) fn seal(key: &[u8], mut value: Vec<u8>) -> Vec<u8> {
    value.reserve_exact(TRAILER);
    value.push(VERSION);
    let sum = checksum(key, &value);
    value.extend_from_slice(&sum.to_be_bytes());
    value
}

/// Checks a value from the disk and cuts its trailer off.
pub(crate) fn open(key: &[u8], mut sealed: Vec<u8>) -> Result<Vec<u8>, StoreError> {
    let length = check(key, &sealed)?.len();
    sealed.truncate(length);
    Ok(sealed)
}

/// Checks a value from the disk; what is returned is the value alone.
pub(crate) fn check<'a>(key: &[u8], sealed: &'a [u8]) -> Result<&'a [u8], StoreError> {
    let damaged = || StoreError::Damaged {
        key: Key::from(key),
    };
    let (body, sum) = sealed.split_last_chunk::<4>().ok_or_else(damaged)?;
    let (version, value) = body.split_last().ok_or_else(damaged)?;
    if u32::from_be_bytes(*sum) != checksum(key, body) || *version != VERSION {
        return Err(damaged());
    }
    Ok(value)
}

fn checksum(key: &[u8], body: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(key);
    hasher.update(body);
    hasher.finalize()
}

/// The number a counter's value stands for (see [`Batch::add`](super::Batch::add)).
pub fn counter(value: &[u8]) -> Option<i64> {
    Some(i64::from_be_bytes(
        *value.first_chunk::<8>().filter(|_| value.len() == 8)?,
    ))
}

/// The value of a counter that shows `n`.
pub fn counter_bytes(n: i64) -> [u8; 8] {
    n.to_be_bytes()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_flipped_bit_is_seen(key in any::<Vec<u8>>(), value in any::<Vec<u8>>(), at in any::<prop::sample::Index>(), bit in 0..8u8) {
            let sealed = seal(&key, value.clone());
            prop_assert_eq!(open(&key, sealed.clone()).unwrap(), value);
            let mut bad = sealed;
            let at = at.index(bad.len());
            bad[at] ^= 1 << bit;
            prop_assert!(open(&key, bad).is_err());
        }
    }

    #[test]
    fn a_value_belongs_to_its_key() {
        assert!(check(b"a", &seal(b"b", vec![1])).is_err());
        assert!(check(b"a", b"").is_err());
    }

    #[test]
    fn counters_are_eight_bytes() {
        assert_eq!(counter(&counter_bytes(-3)), Some(-3));
        assert_eq!(counter(b"123456789"), None);
        assert_eq!(counter(b""), None);
    }
}
