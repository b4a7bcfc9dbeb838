//! What the relay is given: where it relays, what it demands, and how much it does.

use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::time::Duration;

use super::policy::Policy;

/// An address at which peers reach clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RelayAddress {
    /// What sockets are bound to.
    pub local: IpAddr,
    /// What the world sees of it: the same, unless something between translates addresses one to one.
    pub external: IpAddr,
}

/// The bounds of everything.
#[derive(Debug, Clone)]
pub struct Bounds {
    /// Allocations in all.
    pub allocations: usize,
    /// Allocations of one owner.
    pub allocations_per_owner: usize,
    /// The longest an allocation lives without being refreshed.
    pub lifetime: Duration,
    /// Peers' addresses that one allocation may hear.
    pub permissions: usize,
    /// Channels of one allocation.
    pub channels: usize,
    /// Bytes a second of one allocation, both ways together; 0: no bound.
    pub rate: u32,
    /// Bytes a second of all together; 0: no bound.
    pub rate_total: u32,
    /// Answers a second to one address (IPv6: one /64) of which nobody knows whether it asked.
    pub unproven: u32,
    /// Connections of clients by TCP and TLS.
    pub connections: usize,
    /// Those of one address (IPv6: one /64).
    pub connections_per_address: usize,
    /// Bytes that wait for a client that reads too slowly; what comes beyond is dropped, as a network would.
    pub queue: usize,
}

/// How the relay works.
pub struct Options {
    /// What it says it is.
    pub realm: String,
    /// What passwords are made from.
    pub secret: Vec<u8>,
    /// Where peers reach clients; one of each family is used.
    pub addresses: Vec<RelayAddress>,
    /// The ports that are given to clients.
    pub ports: RangeInclusive<u16>,
    /// Whom data may be relayed to.
    pub policy: Policy,
    /// How much.
    pub bounds: Bounds,
}

impl Options {
    /// The address of a family.
    pub fn address(&self, ipv6: bool) -> Option<RelayAddress> {
        let mut addresses = self.addresses.iter();
        addresses
            .find(|address| address.local.is_ipv6() == ipv6)
            .copied()
    }

    /// Every address of the relay's own, as peers may name it.
    pub fn own(&self) -> Vec<IpAddr> {
        let both = |address: &RelayAddress| [address.local, address.external];
        self.addresses.iter().flat_map(both).collect()
    }

    /// Where a peer is reached from here: what is translated one to one outside is not outside for us.
    pub(super) fn inward(&self, peer: SocketAddr) -> SocketAddr {
        let found = self.addresses.iter().find(|it| it.external == peer.ip());
        found.map_or(peer, |it| SocketAddr::new(it.local, peer.port()))
    }

    /// What a peer is known as outside.
    pub(super) fn outward(&self, peer: SocketAddr) -> SocketAddr {
        let ip = peer.ip().to_canonical();
        let found = self.addresses.iter().find(|it| it.local == ip);
        SocketAddr::new(found.map_or(ip, |it| it.external), peer.port())
    }
}
