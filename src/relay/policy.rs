//! Which peers data may be relayed to: the Internet at large, and what the administrator allows besides (RFC 8656 §21.4).

use std::net::IpAddr;

use crate::runtime::public::is_public;

/// Whether an address has a property.
pub type Asks = Box<dyn Fn(IpAddr) -> bool + Send>;

/// What is asked of an address before anything is sent there.
pub struct Policy {
    /// Allowed whatever else is said.
    pub allowed: Asks,
    /// An address of this machine.
    pub own: Asks,
}

/// What may be relayed to an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Everything.
    Free,
    /// It is the relay's own: only what goes to an address that it relays for.
    Relayed,
    /// Nothing.
    Barred,
}

impl Policy {
    /// What holds for a peer; `relays`: the addresses that the relay itself gives to clients.
    pub fn judge(&self, peer: IpAddr, relays: &[IpAddr]) -> Verdict {
        // Written as IPv6 an IPv4 address would pass by what is said of it.
        if peer.to_canonical() != peer {
            return Verdict::Barred;
        }
        if (self.allowed)(peer) {
            return Verdict::Free;
        }
        if relays.contains(&peer) {
            return Verdict::Relayed;
        }
        match is_public(peer) && !(self.own)(peer) {
            true => Verdict::Free,
            false => Verdict::Barred,
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn nobody_reaches_behind_the_server() {
        let own: IpAddr = "198.51.101.7".parse().unwrap();
        let relay: IpAddr = "198.51.101.8".parse().unwrap();
        let policy = Policy {
            allowed: Box::new(|ip| ip == "10.0.0.7".parse::<IpAddr>().unwrap()),
            own: Box::new(move |ip| ip == own || ip == relay),
        };
        let judge = |peer: &str| policy.judge(peer.parse().unwrap(), &[relay]);
        for barred in [
            "127.0.0.1",
            "::1",
            "10.0.0.8",
            "192.168.1.1",
            "169.254.169.254",
            "224.0.0.1",
            "0.0.0.0",
            "fe80::1",
            "fd00::1",
            "ff02::1",
            "::ffff:8.8.8.8",
            "::ffff:10.0.0.7",
            "64:ff9b::a00:1",
            "198.51.101.7",
            "255.255.255.255",
        ] {
            assert_eq!(judge(barred), Verdict::Barred, "{barred}");
        }
        for free in ["8.8.8.8", "2a00:1450::1", "10.0.0.7"] {
            assert_eq!(judge(free), Verdict::Free, "{free}");
        }
        assert_eq!(judge("198.51.101.8"), Verdict::Relayed);
    }
}
