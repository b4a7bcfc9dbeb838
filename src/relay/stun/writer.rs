//! Messages that go.

use std::net::SocketAddr;

use super::address::masked_address;
use super::seal::{Seal, fingerprint};
use super::{COOKIE, Class, HEADER, Method, Transaction, attribute, kind};

/// A few bytes on the stack.
#[derive(Clone, Copy)]
pub struct Short<const N: usize> {
    bytes: [u8; N],
    length: usize,
}

impl<const N: usize> Short<N> {
    pub(super) fn new() -> Self {
        Short {
            bytes: [0; N],
            length: 0,
        }
    }

    /// What does not fit is left out; every use has the size it needs.
    pub(super) fn put(&mut self, more: &[u8]) {
        if let Some(room) = self.bytes.get_mut(self.length..self.length + more.len()) {
            room.copy_from_slice(more);
            self.length += more.len();
        }
    }

    /// The bytes.
    pub fn as_slice(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or_default()
    }
}

/// What stands before the data in a Data indication (RFC 8656 §11.6): at most 48 bytes. The data is to be filled up to
/// a multiple of four.
pub fn data_indication(peer: SocketAddr, transaction: &Transaction, data: u16) -> Short<48> {
    let address = masked_address(peer, transaction);
    let address = address.as_slice();
    let length = 4 + address.len() + 4 + usize::from(data).next_multiple_of(4);
    let mut head = Short::new();
    head.put(&kind(Class::Indication, Method::Data).to_be_bytes());
    head.put(&(length as u16).to_be_bytes());
    head.put(&COOKIE);
    head.put(transaction);
    head.put(&attribute::XOR_PEER_ADDRESS.to_be_bytes());
    head.put(&(address.len() as u16).to_be_bytes());
    head.put(address);
    head.put(&attribute::DATA.to_be_bytes());
    head.put(&data.to_be_bytes());
    head
}

/// Writes one message into a buffer, whatever was in there.
pub struct Writer<'a> {
    out: &'a mut Vec<u8>,
    transaction: Transaction,
}

impl<'a> Writer<'a> {
    /// Begins a message.
    pub fn new(
        out: &'a mut Vec<u8>,
        class: Class,
        method: Method,
        transaction: Transaction,
    ) -> Self {
        out.clear();
        out.extend_from_slice(&kind(class, method).to_be_bytes());
        out.extend_from_slice(&[0, 0]);
        out.extend_from_slice(&COOKIE);
        out.extend_from_slice(&transaction);
        Writer { out, transaction }
    }

    /// Adds an attribute.
    #[must_use]
    pub fn put(self, kind: u16, value: &[u8]) -> Self {
        self.out.extend_from_slice(&kind.to_be_bytes());
        self.out
            .extend_from_slice(&(value.len() as u16).to_be_bytes());
        self.out.extend_from_slice(value);
        let filled = self.out.len().next_multiple_of(4);
        self.out.resize(filled, 0);
        let length = (filled - HEADER) as u16;
        if let Some(place) = self.out.get_mut(2..4) {
            place.copy_from_slice(&length.to_be_bytes());
        }
        self
    }

    /// Adds an address.
    #[must_use]
    pub fn address(self, kind: u16, address: SocketAddr) -> Self {
        let value = masked_address(address, &self.transaction);
        self.put(kind, value.as_slice())
    }

    /// Says what is wrong (RFC 8489 §14.8).
    #[must_use]
    pub fn error(self, code: u16, reason: &str) -> Self {
        let mut value = Short::<64>::new();
        value.put(&[0, 0, (code / 100) as u8, (code % 100) as u8]);
        value.put(reason.as_bytes());
        self.put(attribute::ERROR_CODE, value.as_slice())
    }

    /// Says why there is no address of a family (RFC 8656 §18.12).
    #[must_use]
    pub fn address_error(self, family: u8, code: u16, reason: &str) -> Self {
        let mut value = Short::<64>::new();
        value.put(&[family, 0, (code / 100) as u8, (code % 100) as u8]);
        value.put(reason.as_bytes());
        self.put(attribute::ADDRESS_ERROR_CODE, value.as_slice())
    }

    /// Seals it with `key`.
    #[must_use]
    pub fn sealed(self, key: &[u8]) -> Self {
        self.sealed_by(Seal::Sha1, key)
    }

    /// The same by another hash.
    #[must_use]
    pub fn sealed_by(self, seal: Seal, key: &[u8]) -> Self {
        let mut value = Short::<32>::new();
        match seal.make(self.out, key, |made| value.put(made)) {
            Some(()) => self.put(seal.attribute(), value.as_slice()),
            None => self,
        }
    }

    /// Adds the fingerprint, which stands last.
    pub fn fingerprint(self) {
        let value = fingerprint(self.out);
        let _ = self.put(attribute::FINGERPRINT, &value);
    }
}
