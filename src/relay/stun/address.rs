//! Addresses in attributes, combined with the cookie so that nothing between translates them (RFC 8489 §14.2).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::writer::Short;
use super::{COOKIE, Transaction, number};

/// Cookie and transaction, which addresses are combined with.
fn mask(transaction: &Transaction) -> [u8; 16] {
    let mut mask = [0; 16];
    let all = COOKIE.iter().chain(transaction);
    mask.iter_mut().zip(all).for_each(|(to, from)| *to = *from);
    mask
}

pub(super) fn read_address(value: &[u8], transaction: &Transaction) -> Option<SocketAddr> {
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

/// The value of an address attribute (RFC 8489 §14.2).
pub(super) fn masked_address(address: SocketAddr, transaction: &Transaction) -> Short<20> {
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
