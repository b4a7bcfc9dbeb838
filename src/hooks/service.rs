//! Services: addresses of their own (rooms, a pubsub host), with owners sharded by key.

use std::sync::Arc;

use super::deps::Floor;
use super::envelope::{Envelope, Ledger};
use crate::proto::jid::Jid;

/// What one owner of a service (a room, a node, a slot) does in its turn.
pub trait ServiceOwner: Send {
    /// Handles a stanza addressed to this owner.
    fn handle(&mut self, envelope: Box<Envelope>, turn: &mut ServiceTurn<'_>);

    /// State to keep while the owner is not in memory; `None` when it need not come back.
    fn suspend(&self) -> Option<Vec<u8>>;

    /// Whether it may leave memory now.
    fn idle(&self) -> bool;
}

/// One turn of a service's owner.
pub struct ServiceTurn<'a> {
    /// The owner's key.
    pub key: &'a str,
    /// What this turn commits and does afterwards.
    pub ledger: &'a mut Ledger,
    /// The rest of the server.
    pub floor: &'a Arc<dyn Floor>,
}

/// A service under one domain.
pub trait Service: Send + Sync + 'static {
    /// Which owner handles a stanza to this address: the localpart, a node, or one for the host.
    fn key(&self, envelope: &Envelope) -> String;

    /// Makes an owner, from its suspended state if it had any.
    fn wake(&self, key: &str, suspended: Option<&[u8]>) -> Box<dyn ServiceOwner>;
}

/// A registered service.
#[derive(Clone)]
pub struct ServiceEntry {
    /// Its domain.
    pub domain: Jid,
    /// The kind, which is also the name of its storage space.
    pub kind: &'static str,
    /// The service.
    pub service: Arc<dyn Service>,
}
