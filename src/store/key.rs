//! Keys: order-preserving fields, one after the other. Integers are big endian; strings end with a
//! zero byte, which XML text and JIDs cannot contain.

use super::{Mid, Space};
use sha2::{Digest, Sha256};
use smallvec::SmallVec;
use std::borrow::Borrow;
use std::fmt;
use std::ops::Deref;

/// A key without its space, built field by field: `Key::new().u64(uid).str(jid)`. Up to 40 bytes stay off the heap.
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key(SmallVec<[u8; 40]>);

impl Key {
    /// The empty key.
    pub fn new() -> Key {
        Key::default()
    }

    /// Appends an integer, so that keys sort as the numbers do.
    #[must_use]
    pub fn u64(self, n: u64) -> Key {
        self.bytes(&n.to_be_bytes())
    }

    /// Appends an integer, so that keys sort as the numbers do.
    #[must_use]
    pub fn u32(self, n: u32) -> Key {
        self.bytes(&n.to_be_bytes())
    }

    /// Appends one byte.
    #[must_use]
    pub fn u8(mut self, n: u8) -> Key {
        self.0.push(n);
        self
    }

    /// Appends a string and its terminator. A zero byte inside, which no XML text has, is dropped,
    /// so that one field can never pass for two.
    #[must_use]
    pub fn str(mut self, s: &str) -> Key {
        self.0.extend(s.bytes().filter(|&b| b != 0));
        self.0.push(0);
        self
    }

    /// Appends a message id.
    #[must_use]
    pub fn mid(self, mid: Mid) -> Key {
        self.bytes(mid.as_bytes())
    }

    /// Appends bytes as they are: only for the last field or one of fixed length.
    #[must_use]
    pub fn bytes(mut self, bytes: &[u8]) -> Key {
        self.0.extend_from_slice(bytes);
        self
    }

    /// The key with its space in front, as engines see it.
    pub(crate) fn in_space(space: Space, key: &[u8]) -> Key {
        Key::new().u8(space.0).bytes(key)
    }

    /// The smallest key above every key that begins with this one; `None` if there is none.
    pub(crate) fn successor(mut self) -> Option<Key> {
        while let Some(last) = self.0.pop() {
            if last < u8::MAX {
                self.0.push(last + 1);
                return Some(self);
            }
        }
        None
    }
}

impl Deref for Key {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl AsRef<[u8]> for Key {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl Borrow<[u8]> for Key {
    fn borrow(&self) -> &[u8] {
        &self.0
    }
}

impl From<&[u8]> for Key {
    fn from(bytes: &[u8]) -> Key {
        Key::new().bytes(bytes)
    }
}

impl From<&str> for Key {
    /// A key that is one name, without a terminator.
    fn from(name: &str) -> Key {
        Key::new().bytes(name.as_bytes())
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.escape_ascii())
    }
}

/// Reads a key's fields back in the order in which they were written.
#[derive(Clone, Copy, Debug)]
pub struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    /// A reader at the front of `key`.
    pub fn of(key: &'a [u8]) -> Fields<'a> {
        Fields(key)
    }

    /// The next eight bytes as an integer.
    pub fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_be_bytes)
    }

    /// The next four bytes as an integer.
    pub fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_be_bytes)
    }

    /// The next byte.
    pub fn u8(&mut self) -> Option<u8> {
        self.array::<1>().map(|[byte]| byte)
    }

    /// The next string, without its terminator.
    pub fn str(&mut self) -> Option<&'a str> {
        let end = memchr::memchr(0, self.0)?;
        let (text, rest) = self.0.split_at_checked(end)?;
        self.0 = rest.get(1..)?;
        std::str::from_utf8(text).ok()
    }

    /// The next sixteen bytes as a message id.
    pub fn mid(&mut self) -> Option<Mid> {
        self.array().map(Mid::from_bytes)
    }

    /// What is left.
    pub fn rest(self) -> &'a [u8] {
        self.0
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (head, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*head)
    }
}

/// A hash for keys that must be short: the first eight bytes of SHA-256. Two strings may share it,
/// so whatever is found under it must be compared with what was meant.
pub fn hash64(text: &str) -> u64 {
    let digest = Sha256::digest(text.as_bytes());
    Fields::of(&digest).u64().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn keys_sort_as_their_fields(a in any::<(u64, String)>(), b in any::<(u64, String)>()) {
            let clean = |(n, s): &(u64, String)| (*n, s.replace('\0', ""));
            let key = |(n, s): &(u64, String)| Key::new().u64(*n).str(s);
            prop_assert_eq!(key(&a).cmp(&key(&b)), clean(&a).cmp(&clean(&b)));
        }

        #[test]
        fn fields_read_back(n in any::<u64>(), s in "[^\0]*", m in any::<[u8; 16]>(), k in any::<u32>()) {
            let key = Key::new().u64(n).str(&s).mid(Mid::from_bytes(m)).u32(k).u8(7);
            let mut fields = Fields::of(&key);
            prop_assert_eq!(fields.u64(), Some(n));
            prop_assert_eq!(fields.str(), Some(s.as_str()));
            prop_assert_eq!(fields.mid(), Some(Mid::from_bytes(m)));
            prop_assert_eq!(fields.u32(), Some(k));
            prop_assert_eq!(fields.u8(), Some(7));
            prop_assert_eq!(fields.u8(), None);
        }

        #[test]
        fn the_successor_bounds_the_prefix(p in proptest::collection::vec(any::<u8>(), 0..4), rest in any::<Vec<u8>>()) {
            let prefix = Key::from(p.as_slice());
            let longer = prefix.clone().bytes(&rest);
            match prefix.clone().successor() {
                Some(next) => prop_assert!(longer < next && prefix < next),
                None => prop_assert!(p.iter().all(|&b| b == 255)),
            }
        }
    }

    #[test]
    fn a_zero_byte_cannot_forge_a_field() {
        assert_eq!(Key::new().str("a\0b"), Key::new().str("ab"));
        assert_ne!(Key::new().str("a\0b"), Key::new().str("a").str("b"));
    }

    #[test]
    fn hash64_is_sha256() {
        assert_eq!(hash64("abc"), 0xba78_16bf_8f01_cfea);
    }
}
