//! What counts as one address when something is limited by address: an IPv4 address, or an IPv6 /64.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr};

/// One address as limits count them; small, for tables of many.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Origin {
    /// An IPv4 address, also one written as IPv6.
    V4([u8; 4]),
    /// An IPv6 /64, which one household has.
    V6([u8; 8]),
}

impl Origin {
    /// Where this address belongs.
    pub fn of(address: IpAddr) -> Origin {
        match address.to_canonical() {
            IpAddr::V4(address) => Origin::V4(address.octets()),
            IpAddr::V6(address) => {
                let [a, b, c, d, e, f, g, h, ..] = address.octets();
                Origin::V6([a, b, c, d, e, f, g, h])
            }
        }
    }

    /// The same for an address as text; what is none stands for itself.
    pub fn name(address: &str) -> String {
        match address.parse() {
            Ok(address) => Origin::of(address).to_string(),
            Err(_) => address.to_owned(),
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Origin::V4(octets) => Ipv4Addr::from(octets).fmt(f),
            Origin::V6(octets) => {
                for pair in octets.chunks_exact(2) {
                    let group = pair
                        .iter()
                        .fold(0, |group, &octet| group << 8 | u16::from(octet));
                    write!(f, "{group:x}:")?;
                }
                f.write_str(":/64")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_household_is_one_address() {
        for (address, name) in [
            ("192.0.2.7", "192.0.2.7"),
            ("::ffff:192.0.2.7", "192.0.2.7"),
            ("2001:db8:1:20::1", "2001:db8:1:20::/64"),
            ("2001:db8:1:20:ffff::", "2001:db8:1:20::/64"),
            ("2001:db8:1:21::1", "2001:db8:1:21::/64"),
            ("a proxy", "a proxy"),
        ] {
            assert_eq!(Origin::name(address), name);
        }
    }
}
