//! What the relay counts.

/// Packets and their bytes, without headers of TURN.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Packets.
    pub packets: u64,
    /// Their bytes.
    pub bytes: u64,
}

impl Traffic {
    pub(super) fn add(&mut self, bytes: usize) {
        self.packets += 1;
        self.bytes += bytes as u64;
    }
}

/// Counts since the start, except where a field says "now".
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Allocations now.
    pub allocations: u64,
    /// Connections of clients by TCP and TLS now.
    pub connections: u64,
    /// Allocations made.
    pub allocated: u64,
    /// From clients to peers.
    pub to_peers: Traffic,
    /// From peers to clients.
    pub to_clients: Traffic,
    /// Packets dropped because an allocation, or all together, sent too much.
    pub dropped_rate: u64,
    /// Packets dropped because nobody permitted them.
    pub dropped_unpermitted: u64,
    /// Packets dropped because a network or a client did not take them.
    pub dropped_full: u64,
    /// Datagrams that were none of ours.
    pub malformed: u64,
    /// Requests without an answer because their address asked too often without proof.
    pub floods: u64,
    /// Requests whose credentials were wrong or over.
    pub unauthorized: u64,
    /// Allocations refused because their owner has as many as it may.
    pub refused_owner: u64,
    /// Allocations refused because there are as many as there may be, or no port.
    pub refused_capacity: u64,
    /// Peers that may not be reached.
    pub forbidden: u64,
}
