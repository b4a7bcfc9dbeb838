//! `[relay]`: STUN and TURN.

use std::net::{IpAddr, SocketAddr};

use crate::config::{Bytes, Network, Period};
use crate::settings;

settings! {
    /// A way for voice and video between people whose networks let them not reach each other: STUN and TURN (RFC 8489,
    /// RFC 8656) for the accounts of this server. Clients learn of it and get credentials by themselves
    /// ([modules.external_services]). docs/calls.md says what a firewall must let through.
    pub struct Relay {
        /// Whether there is one.
        pub enabled: bool = true => restart();
        /// Where clients reach it, by UDP and TCP; [::] takes IPv4 as well. On a machine with several addresses name each.
        /// Without any: port 3478 of the addresses of [[listen]] for clients, if it is free.
        pub listen: Vec<SocketAddr> = Vec::new() => restart(), example("[\"192.0.2.1:3478\", \"[2001:db8::1]:3478\"]");
        /// The same for TLS over TCP, with the certificate of the domain. Without any: port 5349.
        pub tls_listen: Vec<SocketAddr> = Vec::new() => restart(), example("[\"192.0.2.1:5349\", \"[2001:db8::1]:5349\"]");
        /// The name or address by which clients reach it; without one that of their domain.
        pub host: Option<String> = None => example("\"turn.example.org\"");
        /// The addresses of this machine at which others reach who uses it: one IPv4, one IPv6, or both. Without any: those
        /// of `listen`, or those from which this machine reaches the Internet.
        pub addresses: Vec<IpAddr> = Vec::new() => example("[\"192.0.2.1\", \"2001:db8::1\"]");
        /// What the Internet sees instead where a router translates addresses one to one, as in many clouds: at most one
        /// IPv4 and one IPv6.
        pub external: Vec<IpAddr> = Vec::new() => example("[\"203.0.113.7\"]");
        /// First of the UDP ports that are given to who uses it.
        pub first_port: u16 = 49_152 => within(1_024..=65_535);
        /// Last of them.
        pub last_port: u16 = 65_535 => within(1_024..=65_535);
        /// Loopback, private, link-local and other addresses that are not public, and those of this machine, are not reached
        /// through it; those here are.
        pub private_addresses: Vec<Network> = Vec::new() => example("[\"10.0.0.0/8\"]");
        /// Relayed addresses at once, all together.
        pub allocations: u32 = 1_000 => within(1..=60_000);
        /// Those of one account.
        pub allocations_per_account: u32 = 20 => within(1..=10_000);
        /// How long one stays without being refreshed, at most.
        pub lifetime: Period = Period::minutes(60) => within(Period::minutes(10)..=Period::days(1));
        /// Addresses from which one may be reached.
        pub permissions: u32 = 64 => within(1..=1_000);
        /// Peers of one that have a short header.
        pub channels: u32 = 64 => within(1..=1_000);
        /// Bytes a second of one, both ways together. What comes beyond is dropped, as by a slow network.
        pub bytes_per_second: Bytes = Bytes::mib(1) => within(Bytes::kib(16)..=Bytes::gib(1));
        /// Bytes a second of all together.
        pub bytes_per_second_total: Bytes = Bytes::mib(64) => within(Bytes::kib(64)..=Bytes::gib(3));
        /// Answers a second to one address (to one /64 for IPv6) of which it is not known whether it asked.
        pub answers_per_second: u32 = 20 => within(1..=100_000);
        /// Connections of clients by TCP and TLS, all together.
        pub connections: u32 = 1_000 => within(0..=100_000);
        /// Those of one address (of one /64 for IPv6).
        pub connections_per_address: u32 = 50 => within(1..=100_000);
        /// Bytes that wait for a client that reads too slowly.
        pub queue: Bytes = Bytes::kib(256) => within(Bytes::kib(64)..=Bytes::mib(16));
    }
}
