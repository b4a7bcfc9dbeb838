//! One allocation: an address that a client has here, from whom it hears there, and its channels (RFC 8656 §3).

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::answers::Sealed;
use super::stun::Transaction;
use crate::runtime::bucket::Bucket;

/// How long a permission lives (RFC 8656 §9).
pub const PERMISSION: Duration = Duration::from_secs(300);
/// How long a channel lives (RFC 8656 §12).
pub const CHANNEL: Duration = Duration::from_secs(600);

/// A client as the server sees it: where its packets come in, and where from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Client {
    /// Its socket here: one that listens, or a connection.
    pub line: u32,
    /// Its address.
    pub address: SocketAddr,
}

/// A family of addresses (RFC 8656 §18.6).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// IPv4
    V4,
    /// IPv6
    V6,
}

impl Family {
    /// Its number.
    pub fn number(self) -> u8 {
        match self {
            Family::V4 => 1,
            Family::V6 => 2,
        }
    }
}

/// A short name for a peer.
struct Channel {
    number: u16,
    peer: SocketAddr,
    until: Instant,
}

/// Why a channel or a permission is not given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Denied {
    /// The number or the peer is in another channel.
    Taken,
    /// There are as many as there may be.
    Full,
}

/// An allocation; `S` is the socket at its address.
pub struct Allocation<S> {
    /// Never used again.
    pub id: u64,
    /// Where peers are heard.
    pub socket: S,
    /// What peers know it by.
    pub relayed: SocketAddr,
    /// Whose it is.
    pub owner: Arc<str>,
    /// The name it was asked for with; all later requests must have it.
    pub name: Box<str>,
    /// How what is said about it is sealed.
    pub seal: Sealed,
    /// The family of which it was asked for an address as well, and has none (RFC 8656 §7.2).
    pub lacks: Option<Family>,
    /// The request that made it.
    pub transaction: Transaction,
    /// The token of the port beside it, if one was reserved then.
    pub token: Option<[u8; 8]>,
    /// When it ends.
    pub until: Instant,
    /// What it may send and receive.
    pub rate: Bucket,
    permissions: Vec<(IpAddr, Instant)>,
    channels: Vec<Channel>,
}

/// What an allocation is made of.
pub struct Made<S> {
    /// As in [`Allocation`].
    pub id: u64,
    /// As in [`Allocation`].
    pub socket: S,
    /// As in [`Allocation`].
    pub relayed: SocketAddr,
    /// As in [`Allocation`].
    pub owner: Arc<str>,
    /// As in [`Allocation`].
    pub name: Box<str>,
    /// As in [`Allocation`].
    pub seal: Sealed,
    /// As in [`Allocation`].
    pub lacks: Option<Family>,
    /// As in [`Allocation`].
    pub transaction: Transaction,
}

impl<S> Allocation<S> {
    /// A new one, from which nobody is heard yet.
    pub fn new(made: Made<S>, until: Instant, rate: Bucket) -> Self {
        Allocation {
            id: made.id,
            socket: made.socket,
            relayed: made.relayed,
            owner: made.owner,
            name: made.name,
            seal: made.seal,
            lacks: made.lacks,
            transaction: made.transaction,
            token: None,
            until,
            rate,
            permissions: Vec::new(),
            channels: Vec::new(),
        }
    }

    /// Whether data may pass between its client and this peer.
    pub fn permits(&self, peer: IpAddr, now: Instant) -> bool {
        let mut permissions = self.permissions.iter();
        permissions.any(|(known, until)| *known == peer && *until > now)
    }

    /// Lets data pass for [`PERMISSION`] from now.
    pub fn permit(&mut self, peer: IpAddr, now: Instant, most: usize) -> Result<(), Denied> {
        let until = now + PERMISSION;
        if let Some(known) = self
            .permissions
            .iter_mut()
            .find(|(known, _)| *known == peer)
        {
            known.1 = until;
            return Ok(());
        }
        if self.permissions.len() >= most {
            self.permissions.retain(|(_, until)| *until > now);
        }
        if self.permissions.len() >= most {
            return Err(Denied::Full);
        }
        self.permissions.push((peer, until));
        Ok(())
    }

    /// How many more peers may be permitted, of those that are not yet.
    pub fn permits_left(&self, now: Instant, most: usize) -> usize {
        let live = self.permissions.iter().filter(|(_, until)| *until > now);
        most.saturating_sub(live.count())
    }

    /// The peer of a channel.
    pub fn peer(&self, number: u16, now: Instant) -> Option<SocketAddr> {
        let mut channels = self.channels.iter();
        let channel = channels.find(|channel| channel.number == number && channel.until > now);
        channel.map(|channel| channel.peer)
    }

    /// The channel of a peer.
    pub fn channel(&self, peer: SocketAddr, now: Instant) -> Option<u16> {
        let mut channels = self.channels.iter();
        let channel = channels.find(|channel| channel.peer == peer && channel.until > now);
        channel.map(|channel| channel.number)
    }

    /// Binds a channel to a peer for [`CHANNEL`] from now (RFC 8656 §12.2).
    pub fn bind(
        &mut self,
        (number, peer): (u16, SocketAddr),
        now: Instant,
        most: usize,
    ) -> Result<(), Denied> {
        self.channels.retain(|channel| channel.until > now);
        let (until, full) = (now + CHANNEL, self.channels.len() >= most);
        let mut channels = self.channels.iter_mut();
        match channels.find(|channel| channel.number == number || channel.peer == peer) {
            Some(same) if same.number == number && same.peer == peer => same.until = until,
            Some(_) => return Err(Denied::Taken),
            None if full => return Err(Denied::Full),
            None => self.channels.push(Channel {
                number,
                peer,
                until,
            }),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::credentials::LongTermKey;
    use super::super::stun::Seal;
    use super::*;

    fn allocation(now: Instant) -> Allocation<()> {
        let made = Made {
            id: 1,
            socket: (),
            relayed: "192.0.2.1:50000".parse().unwrap(),
            owner: "a".into(),
            name: "1:a".into(),
            seal: Sealed {
                key: LongTermKey::Md5([0; 16]),
                seal: Seal::Sha1,
            },
            lacks: None,
            transaction: [0; 12],
        };
        Allocation::new(made, now + CHANNEL, Bucket::new(0, 0))
    }

    #[test]
    fn a_permission_ends_and_makes_room() {
        let now = Instant::now();
        let mut it = allocation(now);
        let (a, b): (IpAddr, IpAddr) = ("192.0.2.7".parse().unwrap(), "192.0.2.8".parse().unwrap());
        assert!(!it.permits(a, now));
        assert_eq!(it.permit(a, now, 1), Ok(()));
        assert_eq!(it.permit(b, now, 1), Err(Denied::Full));
        assert!(it.permits(a, now + PERMISSION - Duration::from_secs(1)));
        assert!(!it.permits(a, now + PERMISSION));
        assert_eq!(it.permit(b, now + PERMISSION, 1), Ok(()));
    }

    #[test]
    fn a_channel_has_one_peer_and_a_peer_one_channel() {
        let now = Instant::now();
        let mut it = allocation(now);
        let (a, b): (SocketAddr, SocketAddr) = (
            "192.0.2.7:1".parse().unwrap(),
            "192.0.2.7:2".parse().unwrap(),
        );
        assert_eq!(it.bind((0x4000, a), now, 2), Ok(()));
        assert_eq!(it.bind((0x4000, b), now, 2), Err(Denied::Taken));
        assert_eq!(it.bind((0x4001, a), now, 2), Err(Denied::Taken));
        assert_eq!(it.bind((0x4001, b), now, 1), Err(Denied::Full));
        let later = now + CHANNEL - Duration::from_secs(1);
        assert_eq!(it.bind((0x4000, a), later, 1), Ok(()));
        assert_eq!(it.peer(0x4000, now + CHANNEL), Some(a));
        assert_eq!(it.channel(a, later + CHANNEL), None);
        assert_eq!(it.bind((0x4000, b), later + CHANNEL, 1), Ok(()));
    }
}
