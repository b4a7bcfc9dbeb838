//! STUN messages (RFC 8489 §5, §14) as views over the bytes that came, and a writer for those that go.
//!
//! Nothing here allocates but the writer's buffer, which its owner keeps.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use hmac::{Hmac, Mac};
use sha1::Sha1;

/// The magic cookie (RFC 8489 §5).
const COOKIE: [u8; 4] = [0x21, 0x12, 0xa4, 0x42];
/// Bytes of a header.
pub const HEADER: usize = 20;
/// What the CRC of a fingerprint is combined with (RFC 8489 §14.7).
const FINGERPRINT_MASK: u32 = 0x5354_554e;
/// Bytes of a fingerprint attribute and of an integrity attribute, with their headers.
const FINGERPRINT_BYTES: usize = 8;
const INTEGRITY_BYTES: usize = 24;

/// Identifies a request and its answer.
pub type Transaction = [u8; 12];

/// Attributes (RFC 8489 §18.3, RFC 8656 §18).
pub mod attribute {
    #![allow(missing_docs)]
    pub const USERNAME: u16 = 0x0006;
    pub const MESSAGE_INTEGRITY: u16 = 0x0008;
    pub const ERROR_CODE: u16 = 0x0009;
    pub const UNKNOWN_ATTRIBUTES: u16 = 0x000a;
    pub const CHANNEL_NUMBER: u16 = 0x000c;
    pub const LIFETIME: u16 = 0x000d;
    pub const XOR_PEER_ADDRESS: u16 = 0x0012;
    pub const DATA: u16 = 0x0013;
    pub const REALM: u16 = 0x0014;
    pub const NONCE: u16 = 0x0015;
    pub const XOR_RELAYED_ADDRESS: u16 = 0x0016;
    pub const REQUESTED_ADDRESS_FAMILY: u16 = 0x0017;
    pub const EVEN_PORT: u16 = 0x0018;
    pub const REQUESTED_TRANSPORT: u16 = 0x0019;
    pub const XOR_MAPPED_ADDRESS: u16 = 0x0020;
    pub const RESERVATION_TOKEN: u16 = 0x0022;
    pub const FINGERPRINT: u16 = 0x8028;
}

/// What a message is about (RFC 8489 §18.2, RFC 8656 §17).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// Where do I come from?
    Binding,
    /// An address to be reached at.
    Allocate,
    /// For longer, or no longer.
    Refresh,
    /// Data for a peer.
    Send,
    /// Data from a peer.
    Data,
    /// From whom data may come.
    CreatePermission,
    /// A short name for a peer.
    ChannelBind,
    /// Something else.
    Other(u16),
}

impl Method {
    fn of(number: u16) -> Method {
        match number {
            0x001 => Method::Binding,
            0x003 => Method::Allocate,
            0x004 => Method::Refresh,
            0x006 => Method::Send,
            0x007 => Method::Data,
            0x008 => Method::CreatePermission,
            0x009 => Method::ChannelBind,
            other => Method::Other(other),
        }
    }

    fn number(self) -> u16 {
        match self {
            Method::Binding => 0x001,
            Method::Allocate => 0x003,
            Method::Refresh => 0x004,
            Method::Send => 0x006,
            Method::Data => 0x007,
            Method::CreatePermission => 0x008,
            Method::ChannelBind => 0x009,
            Method::Other(number) => number,
        }
    }
}

/// The class of a message (RFC 8489 §5).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// Wants an answer.
    Request,
    /// Wants none.
    Indication,
    /// An answer.
    Success,
    /// An answer.
    Error,
}

/// Method and class share the bits of the first two bytes (RFC 8489 §5, figure 3).
fn kind(class: Class, method: Method) -> u16 {
    let bits = match class {
        Class::Request => 0x000,
        Class::Indication => 0x010,
        Class::Success => 0x100,
        Class::Error => 0x110,
    };
    let method = method.number();
    bits | method & 0x000f | (method & 0x0070) << 1 | (method & 0x0f80) << 2
}

fn kind_of(bits: u16) -> (Class, Method) {
    let class = match bits & 0x110 {
        0x000 => Class::Request,
        0x010 => Class::Indication,
        0x100 => Class::Success,
        _ => Class::Error,
    };
    let method = bits & 0x000f | (bits & 0x00e0) >> 1 | (bits & 0x3e00) >> 2;
    (class, Method::of(method))
}

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
    /// Where the integrity attribute begins.
    integrity: Option<usize>,
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
                attribute::MESSAGE_INTEGRITY if self.integrity.is_none() => {
                    if value.len() != INTEGRITY_BYTES - 4 {
                        return Err(Malformed);
                    }
                    self.integrity = Some(at);
                }
                attribute::FINGERPRINT => {
                    let last = walk.at == self.bytes.len();
                    if !last || value != fingerprint(self.bytes.get(..at).ok_or(Malformed)?) {
                        return Err(Malformed);
                    }
                    self.fingerprint = true;
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Its attributes up to the one with its integrity, which are all that count (RFC 8489 §14.5).
    pub fn attributes(&self) -> impl Iterator<Item = (u16, &'a [u8])> + use<'a> {
        let end = self.integrity.unwrap_or(self.bytes.len());
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

    /// Whether who has `key` wrote it (RFC 8489 §14.5).
    pub fn is_by(&self, key: &[u8]) -> bool {
        let sealed = self.integrity.and_then(|at| {
            let value = self.bytes.get(at + 4..at + INTEGRITY_BYTES)?;
            Some((seal(self.bytes.get(..at)?, key)?, value))
        });
        sealed.is_some_and(|(seal, value)| seal.verify_slice(value).is_ok())
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

/// Two bytes of a message.
pub fn number(bytes: &[u8], at: usize) -> Option<u16> {
    let pair = bytes.get(at..at.checked_add(2)?)?;
    Some(u16::from_be_bytes(pair.try_into().ok()?))
}

fn fingerprint(before: &[u8]) -> [u8; 4] {
    let length = before.len() - HEADER.min(before.len()) + FINGERPRINT_BYTES;
    let mut crc = crc32fast::Hasher::new();
    crc.update(before.get(..2).unwrap_or_default());
    crc.update(&(length as u16).to_be_bytes());
    crc.update(before.get(4..).unwrap_or_default());
    (crc.finalize() ^ FINGERPRINT_MASK).to_be_bytes()
}

/// The seal over what stands before an integrity attribute, as if the message ended with that.
fn seal(before: &[u8], key: &[u8]) -> Option<Hmac<Sha1>> {
    let length = before.len().checked_sub(HEADER)? + INTEGRITY_BYTES;
    let mut mac = Hmac::<Sha1>::new_from_slice(key).ok()?;
    mac.update(before.get(..2)?);
    mac.update(&u16::try_from(length).ok()?.to_be_bytes());
    mac.update(before.get(4..)?);
    Some(mac)
}

/// Cookie and transaction, which addresses are combined with.
fn mask(transaction: &Transaction) -> [u8; 16] {
    let mut mask = [0; 16];
    let all = COOKIE.iter().chain(transaction);
    mask.iter_mut().zip(all).for_each(|(to, from)| *to = *from);
    mask
}

fn read_address(value: &[u8], transaction: &Transaction) -> Option<SocketAddr> {
    let mask = mask(transaction);
    let family = *value.get(1)?;
    let port = number(value, 2)? ^ 0x2112;
    let masked = value.get(4..)?;
    let open = |at: usize| Some(masked.get(at)? ^ mask.get(at)?);
    let address = match (family, masked.len()) {
        (1, 4) => {
            let mut octets = [0; 4];
            for (at, octet) in octets.iter_mut().enumerate() {
                *octet = open(at)?;
            }
            IpAddr::V4(Ipv4Addr::from(octets))
        }
        (2, 16) => {
            let mut octets = [0; 16];
            for (at, octet) in octets.iter_mut().enumerate() {
                *octet = open(at)?;
            }
            IpAddr::V6(Ipv6Addr::from(octets))
        }
        _ => return None,
    };
    Some(SocketAddr::new(address, port))
}

/// A few bytes on the stack.
#[derive(Clone, Copy)]
pub struct Short<const N: usize> {
    bytes: [u8; N],
    length: usize,
}

impl<const N: usize> Short<N> {
    fn new() -> Self {
        Short {
            bytes: [0; N],
            length: 0,
        }
    }

    /// What does not fit is left out; every use has the size it needs.
    fn put(&mut self, more: &[u8]) {
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

/// The value of an address attribute (RFC 8489 §14.2).
fn masked_address(address: SocketAddr, transaction: &Transaction) -> Short<20> {
    let mut value = Short::new();
    value.put(&[0, if address.is_ipv4() { 1 } else { 2 }]);
    value.put(&(address.port() ^ 0x2112).to_be_bytes());
    let mut put = |octets: &[u8]| {
        for (octet, mask) in octets.iter().zip(mask(transaction)) {
            value.put(&[octet ^ mask]);
        }
    };
    match address.ip() {
        IpAddr::V4(ip) => put(&ip.octets()),
        IpAddr::V6(ip) => put(&ip.octets()),
    }
    value
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

    /// Seals it with `key`.
    #[must_use]
    pub fn sealed(self, key: &[u8]) -> Self {
        let seal = seal(self.out, key).map(|mac| mac.finalize().into_bytes());
        match seal {
            Some(seal) => self.put(attribute::MESSAGE_INTEGRITY, &seal),
            None => self,
        }
    }

    /// Adds the fingerprint, which stands last.
    pub fn fingerprint(self) {
        let value = fingerprint(self.out);
        let _ = self.put(attribute::FINGERPRINT, &value);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;
    use crate::relay::credentials::long_term_key;
    use proptest::prelude::*;

    /// RFC 5769 §2.1
    const REQUEST: &str = "000100582112a442b7e7a701bc34d686fa87dfae802200105354554e207465737420636c69656e74002400046e0001ff80290008932ff9b151263b36000600096576746a3a68367659202020000800149aeaa70cbfd8cb56781ef2b5b2d3f249c1b571a280280004e57a3bcf";
    /// RFC 5769 §2.4
    const LONG_TERM: &str = "000100602112a44278ad3433c6ad72c029da412e00060012e3839ee38388e383aae38383e382afe382b900000015001c662f2f3439396b39353464364f4c33346f4c394653547679363473410014000b6578616d706c652e6f72670000080014f67024656dd64a3e02b8e0712e85c9a28ca89666";

    fn hex(text: &str) -> Vec<u8> {
        let digits = (0..text.len()).step_by(2);
        digits
            .map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap())
            .collect()
    }

    #[test]
    fn the_request_of_rfc_5769() {
        let bytes = hex(REQUEST);
        let message = Message::parse(&bytes).unwrap();
        assert_eq!(
            (message.class, message.method),
            (Class::Request, Method::Binding)
        );
        assert_eq!(message.text(attribute::USERNAME), Some("evtj:h6vY"));
        assert!(message.fingerprint && message.has_integrity());
        assert!(message.is_by(b"VOkJxbRl1RmTxUk/WvJxBt"));
        assert!(!message.is_by(b"VOkJxbRl1RmTxUk/WvJxBT"));
    }

    #[test]
    fn the_long_term_request_of_rfc_5769() {
        let bytes = hex(LONG_TERM);
        let message = Message::parse(&bytes).unwrap();
        let name = message.text(attribute::USERNAME).unwrap();
        let realm = message.text(attribute::REALM).unwrap();
        assert!(message.is_by(&long_term_key(name, realm, "TheMatrIX")));
        assert!(!message.is_by(&long_term_key(name, realm, "TheMatrix")));
    }

    #[test]
    fn one_changed_bit_is_found_out() {
        let mut out = Vec::new();
        Writer::new(&mut out, Class::Request, Method::Allocate, [7; 12])
            .put(attribute::REQUESTED_TRANSPORT, &[17, 0, 0, 0])
            .sealed(b"key")
            .fingerprint();
        assert!(Message::parse(&out).unwrap().is_by(b"key"));
        for bit in 0..out.len() * 8 {
            let mut forged = out.clone();
            forged[bit / 8] ^= 1 << (bit % 8);
            // Without a fingerprint that is known as such it is another message.
            let passes = Message::parse(&forged).is_ok_and(|message| message.fingerprint);
            assert!(!passes, "bit {bit}");
        }
        for length in 0..out.len() {
            assert!(Message::parse(&out[..length]).is_err(), "{length} bytes");
        }
    }

    #[test]
    fn what_stands_behind_the_integrity_does_not_count() {
        let mut out = Vec::new();
        let _ = Writer::new(&mut out, Class::Request, Method::Refresh, [7; 12])
            .sealed(b"key")
            .put(attribute::LIFETIME, &[0; 4]);
        let message = Message::parse(&out).unwrap();
        assert!(message.is_by(b"key"));
        assert_eq!(message.attribute(attribute::LIFETIME), None);
    }

    proptest! {
        #[test]
        fn addresses_come_back(ip: std::net::IpAddr, port: u16, transaction: [u8; 12]) {
            let address = SocketAddr::new(ip, port);
            let mut out = Vec::new();
            let _ = Writer::new(&mut out, Class::Success, Method::Binding, transaction)
                .address(attribute::XOR_MAPPED_ADDRESS, address);
            let message = Message::parse(&out).unwrap();
            let value = message.attribute(attribute::XOR_MAPPED_ADDRESS).unwrap();
            prop_assert_eq!(message.address(value), Some(address));
        }

        #[test]
        fn methods_and_classes_come_back(number in 0u16..0x1000, class in 0usize..4) {
            let class = [Class::Request, Class::Indication, Class::Success, Class::Error][class];
            prop_assert_eq!(kind_of(kind(class, Method::of(number))), (class, Method::of(number)));
        }

        #[test]
        fn a_data_indication_is_a_message(peer: std::net::IpAddr, data in prop::collection::vec(any::<u8>(), 0..64)) {
            let peer = SocketAddr::new(peer, 9);
            let head = data_indication(peer, &[3; 12], data.len() as u16);
            let mut bytes = head.as_slice().to_vec();
            bytes.extend_from_slice(&data);
            bytes.resize(bytes.len().next_multiple_of(4), 0);
            let message = Message::parse(&bytes).unwrap();
            prop_assert_eq!((message.class, message.method), (Class::Indication, Method::Data));
            prop_assert_eq!(message.attribute(attribute::DATA), Some(&data[..]));
            prop_assert_eq!(message.address(message.attribute(attribute::XOR_PEER_ADDRESS).unwrap()), Some(peer));
        }

        #[test]
        fn nothing_panics(mut bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = Message::parse(&bytes);
            if bytes.len() >= HEADER {
                let length = (bytes.len() - HEADER) as u16;
                bytes[0] &= 0x3f;
                bytes[2..4].copy_from_slice(&length.to_be_bytes());
                bytes[4..8].copy_from_slice(&COOKIE);
            }
            if let Ok(message) = Message::parse(&bytes) {
                for (kind, value) in message.attributes() {
                    let _ = (message.text(kind), message.address(value));
                }
                message.is_by(b"key");
            }
        }
    }
}
