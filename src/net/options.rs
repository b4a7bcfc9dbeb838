//! What a listener and its connections are allowed: addresses, limits, rates, times.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;
use std::time::Duration;

/// One listener for clients: STARTTLS and direct TLS on the same port.
#[derive(Debug, Clone, Default)]
pub struct ListenerOptions {
    /// Where to listen. `[::]` takes IPv4 too, unless `0.0.0.0` with the same port stands beside it.
    pub addresses: Vec<SocketAddr>,
    /// Streams without TLS are allowed: on loopback addresses, and from trusted proxies. Elsewhere it changes nothing.
    pub plaintext: bool,
    /// Who must begin with a PROXY protocol header. From anybody else such a header is an error.
    pub trusted_proxies: Vec<Subnet>,
    /// Clients that speak HTTP are served too.
    pub web: bool,
    /// Timeouts of its connections.
    pub timeouts: Timeouts,
    /// Rates of its connections.
    pub rates: Rates,
}

/// How long things may take, beside what `stream::StreamLimits` says.
#[derive(Debug, Clone)]
pub struct Timeouts {
    /// From accept to the first byte, PROXY header included.
    pub first_byte: Duration,
    /// A whole TLS handshake.
    pub handshake: Duration,
    /// Further silence of a bound session, after it was asked whether it lives, before it is given up.
    pub dead_after: Duration,
    /// A write without any progress.
    pub write: Duration,
}

impl Default for Timeouts {
    fn default() -> Timeouts {
        Timeouts {
            first_byte: Duration::from_secs(10),
            handshake: Duration::from_secs(15),
            dead_after: Duration::from_secs(60),
            write: Duration::from_secs(60),
        }
    }
}

/// What one connection may send; beyond it the socket is read more slowly, nothing is refused.
#[derive(Debug, Clone)]
pub struct Rates {
    /// Bytes per second.
    pub bytes: u32,
    /// Bytes at once.
    pub bytes_burst: u32,
    /// Top-level elements per second.
    pub stanzas: u32,
    /// Top-level elements at once.
    pub stanzas_burst: u32,
}

impl Default for Rates {
    /// Far above what people and their apps do, far below what a core can do.
    fn default() -> Rates {
        Rates {
            bytes: 1 << 20,
            bytes_burst: 4 << 20,
            stanzas: 1_000,
            stanzas_burst: 4_000,
        }
    }
}

/// How many connections there may be.
#[derive(Debug, Clone)]
pub struct ConnectionLimits {
    /// In all.
    pub total: u32,
    /// From one address (IPv6: one /64).
    pub per_address: u32,
    /// Not yet authenticated, in all.
    pub half_open: u32,
    /// Not yet authenticated, from one address (IPv6: one /64).
    pub half_open_per_address: u32,
    /// Who connects waits for its turn while the server is later than this for those who are there; zero: nobody waits.
    pub pace_lag: Duration,
    /// Addresses without limits of their own: by default this machine, where onion services, bridges and tunnels come from.
    pub exempt: Vec<Subnet>,
}

impl Default for ConnectionLimits {
    fn default() -> ConnectionLimits {
        ConnectionLimits {
            total: 100_000,
            per_address: 500,
            half_open: 5_000,
            half_open_per_address: 50,
            pace_lag: Duration::from_millis(25),
            exempt: Subnet::loopback(),
        }
    }
}

/// An address range: `192.0.2.0/24`, `2001:db8::/32`, or a single address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Subnet {
    address: IpAddr,
    prefix: u8,
}

/// The text is no address range.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "\"{0}\" is no address range: write it as 192.0.2.0/24, 2001:db8::/32, or a single address"
)]
pub struct SubnetError(String);

impl Subnet {
    /// 127.0.0.0/8 and ::1.
    pub fn loopback() -> Vec<Subnet> {
        let v4 = Subnet {
            address: IpAddr::V4(std::net::Ipv4Addr::LOCALHOST),
            prefix: 8,
        };
        let v6 = Subnet {
            address: IpAddr::V6(std::net::Ipv6Addr::LOCALHOST),
            prefix: 128,
        };
        vec![v4, v6]
    }

    /// Whether `address` (an IPv4-mapped one counts as IPv4) lies in it.
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.address, address.to_canonical()) {
            (IpAddr::V4(own), IpAddr::V4(other)) => {
                let mask = u32::MAX
                    .checked_shl(32 - u32::from(self.prefix))
                    .unwrap_or(0);
                u32::from(own) & mask == u32::from(other) & mask
            }
            (IpAddr::V6(own), IpAddr::V6(other)) => {
                let mask = u128::MAX
                    .checked_shl(128 - u32::from(self.prefix))
                    .unwrap_or(0);
                u128::from(own) & mask == u128::from(other) & mask
            }
            _ => false,
        }
    }
}

impl FromStr for Subnet {
    type Err = SubnetError;

    fn from_str(text: &str) -> Result<Subnet, SubnetError> {
        let bad = || SubnetError(text.to_owned());
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix.parse::<u8>().map_err(|_| bad())?)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| bad())?;
        let longest = if address.is_ipv4() { 32 } else { 128 };
        let prefix = prefix.unwrap_or(longest);
        // IPv4 written as IPv6 would never match: addresses are compared in their own family.
        if prefix > longest || address != address.to_canonical() {
            return Err(bad());
        }
        Ok(Subnet { address, prefix })
    }
}

impl fmt::Display for Subnet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn subnets() {
        let inside =
            |net: &str, ip: &str| net.parse::<Subnet>().unwrap().contains(ip.parse().unwrap());
        assert!(inside("192.0.2.0/24", "192.0.2.255"));
        assert!(!inside("192.0.2.0/24", "192.0.3.0"));
        assert!(inside("192.0.2.7", "::ffff:192.0.2.7"));
        assert!(!inside("192.0.2.7", "192.0.2.6"));
        assert!(inside("2001:db8::/32", "2001:db8:ffff::1"));
        assert!(!inside("2001:db8::/32", "2001:db9::"));
        assert!(inside("0.0.0.0/0", "8.8.8.8"));
        assert!(!inside("0.0.0.0/0", "::1"));
        assert!(inside("::/0", "::1"));
        for bad in [
            "",
            "a",
            "1.2.3.4/33",
            "::/129",
            "1.2.3.4/",
            "1.2.3.4/-1",
            "::ffff:1.2.3.4",
        ] {
            assert!(bad.parse::<Subnet>().is_err(), "{bad}");
        }
    }
}
