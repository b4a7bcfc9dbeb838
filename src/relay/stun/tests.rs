//! Messages as the RFCs show them, and what must hold for any.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::net::SocketAddr;

use hmac::{Hmac, Mac};
use proptest::prelude::*;
use sha2::Sha256;

use super::*;
use crate::relay::credentials::{Algorithm, long_term_key};

/// RFC 5769 §2.1
const REQUEST: &str = "000100582112a442b7e7a701bc34d686fa87dfae802200105354554e207465737420636c69656e74002400046e0001ff80290008932ff9b151263b36000600096576746a3a68367659202020000800149aeaa70cbfd8cb56781ef2b5b2d3f249c1b571a280280004e57a3bcf";
/// RFC 5769 §2.4
const LONG_TERM: &str = "000100602112a44278ad3433c6ad72c029da412e00060012e3839ee38388e383aae38383e382afe382b900000015001c662f2f3439396b39353464364f4c33346f4c394653547679363473410014000b6578616d706c652e6f72670000080014f67024656dd64a3e02b8e0712e85c9a28ca89666";

/// RFC 8489 Appendix B.1
const SHA256: &str = "0001009c2112a44278ad3433c6ad72c029da412e001e00204a3cf38fef6992bda952c6780417da0f24819415569e60b205c46e41407f1704001500296f624d61744a6f733241414143662f2f3439396b39353464364f4c33346f4c394653547679363473410000000014000b6578616d706c652e6f726700001c0020e4686c8f0edeb59013e07090010a93efccbccc544c0a45d9f830aa6d6f735a01";

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

/// The header says 156 where 136 bytes follow, and it was sealed so: it is no message, but its key and its seal are right.
#[test]
fn the_request_of_rfc_8489() {
    let bytes = hex(SHA256);
    assert!(Message::parse(&bytes).is_err());
    let (before, value) = bytes.split_at(bytes.len() - 32);
    let name = "\u{30de}\u{30c8}\u{30ea}\u{30c3}\u{30af}\u{30b9}";
    let key = Algorithm::Sha256.key(name, "example.org", "TheMatrIX");
    let mut mac = Hmac::<Sha256>::new_from_slice(key.as_slice()).unwrap();
    mac.update(&before[..before.len() - 4]);
    assert!(mac.verify_slice(value).is_ok());
    // With the length that it has, it is a message that this key did not seal.
    let mut mended = bytes.clone();
    mended[3] = 136;
    let message = Message::parse(&mended).unwrap();
    assert_eq!(message.attribute(attribute::USERHASH).unwrap().len(), 32);
    assert!(!message.is_by(key.as_slice()));
    let mut out = Vec::new();
    let writer = Writer::new(
        &mut out,
        Class::Request,
        Method::Binding,
        message.transaction,
    );
    let _ = message
        .attributes()
        .fold(writer, |writer, (kind, value)| writer.put(kind, value))
        .sealed_by(Seal::Sha256, key.as_slice());
    assert_eq!(out[..out.len() - 32], mended[..mended.len() - 32]);
    assert!(Message::parse(&out).unwrap().is_by(key.as_slice()));
}

#[test]
fn of_two_seals_the_stronger_one_holds() {
    let both = |first: &[u8], second: &[u8]| {
        let mut out = Vec::new();
        Writer::new(&mut out, Class::Request, Method::Refresh, [7; 12])
            .put(attribute::LIFETIME, &[0; 4])
            .sealed_by(Seal::Sha1, first)
            .put(attribute::DATA, b"not sealed by the first")
            .sealed_by(Seal::Sha256, second)
            .fingerprint();
        out
    };
    let bytes = both(b"key", b"other");
    let message = Message::parse(&bytes).unwrap();
    assert!(message.is_by(b"other") && !message.is_by(b"key"));
    assert_eq!(
        message.attributes().count(),
        1,
        "what follows a seal does not count"
    );
    let mut short = Vec::new();
    let _ = Writer::new(&mut short, Class::Request, Method::Refresh, [7; 12])
        .put(attribute::MESSAGE_INTEGRITY_SHA256, &[0; 16]);
    assert!(
        Message::parse(&short).is_err(),
        "TURN does not let it be cut short"
    );
}

#[test]
fn one_changed_bit_is_found_out() {
    for seal in [Seal::Sha1, Seal::Sha256] {
        let mut out = Vec::new();
        Writer::new(&mut out, Class::Request, Method::Allocate, [7; 12])
            .put(attribute::REQUESTED_TRANSPORT, &[17, 0, 0, 0])
            .sealed_by(seal, b"key")
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
