//! A message that came, as a view.

use std::net::SocketAddr;

use super::address::read_address;
use super::seal::{Seal, fingerprint};
use super::{COOKIE, Class, HEADER, Method, Transaction, attribute, kind_of, number};

/// The bytes are no STUN message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no STUN message")]
pub struct Malformed;

/// A message whose shape was checked: header, length, every attribute's length, and its fingerprint if it has one.
#[derive(Debug, Clone, Copy)]
pub struct Message<'a> {
    bytes: &'a [u8],
    /// What it is about.
    pub method: Method,
    /// Request, indication or answer.
    pub class: Class,
    /// Which.
    pub transaction: Transaction,
    /// Where the first attribute with its integrity begins: what follows does not count, but for a stronger one.
    end: Option<usize>,
    /// Where the one is that holds, and what it is.
    integrity: Option<(usize, Seal)>,
    /// Whether it has a fingerprint.
    pub fingerprint: bool,
}

impl<'a> Message<'a> {
    /// Reads a message, which must be all of `bytes`.
    ///
    /// # Errors
    /// It is none.
    pub fn parse(bytes: &'a [u8]) -> Result<Message<'a>, Malformed> {
        let (header, rest) = bytes.split_at_checked(HEADER).ok_or(Malformed)?;
        let bits = number(header, 0).ok_or(Malformed)?;
        let length = usize::from(number(header, 2).ok_or(Malformed)?);
        let cookie = header.get(4..8).ok_or(Malformed)?;
        if bits & 0xc000 != 0
            || cookie != COOKIE
            || length != rest.len()
            || !length.is_multiple_of(4)
        {
            return Err(Malformed);
        }
        let (class, method) = kind_of(bits);
        let transaction = header.get(8..).ok_or(Malformed)?;
        let mut message = Message {
            bytes,
            method,
            class,
            transaction: transaction.try_into().map_err(|_| Malformed)?,
            end: None,
            integrity: None,
            fingerprint: false,
        };
        message.check_attributes()?;
        Ok(message)
    }

    fn check_attributes(&mut self) -> Result<(), Malformed> {
        let mut walk = Walk {
            bytes: self.bytes,
            at: HEADER,
        };
        while walk.at < self.bytes.len() {
            let at = walk.at;
            let (kind, value) = walk.next().ok_or(Malformed)?;
            match kind {
                attribute::FINGERPRINT => {
                    let last = walk.at == self.bytes.len();
                    if !last || value != fingerprint(self.bytes.get(..at).ok_or(Malformed)?) {
                        return Err(Malformed);
                    }
                    self.fingerprint = true;
                }
                _ => self.note_integrity(at, kind, value)?,
            }
        }
        Ok(())
    }

    /// RFC 8489 §14.5, §14.6: of two the stronger one holds, and it stands behind the other.
    fn note_integrity(&mut self, at: usize, kind: u16, value: &[u8]) -> Result<(), Malformed> {
        let Some(seal) = Seal::of(kind) else {
            return Ok(());
        };
        match (self.integrity, seal) {
            (None, _) | (Some((_, Seal::Sha1)), Seal::Sha256) => {}
            _ => return Ok(()),
        }
        if value.len() != seal.length() {
            return Err(Malformed);
        }
        self.end.get_or_insert(at);
        self.integrity = Some((at, seal));
        Ok(())
    }

    /// Its attributes up to the one with its integrity, which are all that count (RFC 8489 §14.5).
    pub fn attributes(&self) -> impl Iterator<Item = (u16, &'a [u8])> + use<'a> {
        let end = self.end.unwrap_or(self.bytes.len());
        Walk {
            bytes: self.bytes.get(..end).unwrap_or_default(),
            at: HEADER,
        }
    }

    /// The first attribute of a kind.
    pub fn attribute(&self, kind: u16) -> Option<&'a [u8]> {
        let mut attributes = self.attributes();
        attributes
            .find(|(known, _)| *known == kind)
            .map(|(_, value)| value)
    }

    /// The first attribute of a kind, as text.
    pub fn text(&self, kind: u16) -> Option<&'a str> {
        std::str::from_utf8(self.attribute(kind)?).ok()
    }

    /// The address in an attribute, with the cookie taken out of it (RFC 8489 §14.2).
    pub fn address(&self, value: &[u8]) -> Option<SocketAddr> {
        read_address(value, &self.transaction)
    }

    /// Whether it says who it is from.
    pub fn has_integrity(&self) -> bool {
        self.integrity.is_some()
    }

    /// Whether who has `key` wrote it.
    pub fn is_by(&self, key: &[u8]) -> bool {
        let Some((at, seal)) = self.integrity else {
            return false;
        };
        let value = self.bytes.get(at + 4..at + 4 + seal.length());
        match (self.bytes.get(..at), value) {
            (Some(before), Some(value)) => seal.holds(before, key, value),
            _ => false,
        }
    }
}

/// The attributes, one by one.
struct Walk<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Iterator for Walk<'a> {
    type Item = (u16, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let rest = self.bytes.get(self.at..)?;
        let (kind, length) = (number(rest, 0)?, usize::from(number(rest, 2)?));
        let value = rest.get(4..4 + length)?;
        let whole = 4 + length.next_multiple_of(4);
        rest.get(..whole)?;
        self.at += whole;
        Some((kind, value))
    }
}
