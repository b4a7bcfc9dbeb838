//! Services: addresses of their own (rooms, a pubsub host), with owners sharded by key.

use std::any::Any;
use std::sync::Arc;

use smallvec::SmallVec;

use super::deps::Floor;
use super::envelope::{Copies, Effect, Envelope, Ledger, Origin};
use crate::proto::error::StanzaError;
use crate::proto::jid::Jid;
use crate::proto::stanza::Stanza;
use crate::store::{Batch, Snapshot, StoreError};
use crate::xml::Element;

/// What one owner of a service (a room, a node, a slot) does in its turn.
pub trait ServiceOwner: Send {
    /// Handles a stanza addressed to this owner. An iq `get` or `set` must be answered.
    fn handle(&mut self, envelope: &mut Envelope, turn: &mut ServiceTurn<'_>);

    /// The server stops: says good-bye to whom it does not find again. What is to be kept is asked for
    /// after that.
    fn stop(&mut self, _: &mut ServiceTurn<'_>) {}

    /// State to keep while the owner is not in memory; `None` when it need not come back.
    ///
    /// Asked for before an idle owner is forgotten, when the server stops, and after a turn that
    /// wished so ([`ServiceTurn::write_down`]).
    fn suspend(&self) -> Option<Vec<u8>>;

    /// Whether it may leave memory now.
    fn idle(&self) -> bool;

    /// What is not in the store of an owner that is read again because a commit failed: the new one
    /// takes it over. `None` if there is nothing of the kind.
    fn hand_over(&mut self) -> Option<Box<dyn Any + Send>> {
        None
    }

    /// Takes over what the owner before it handed over.
    fn take_over(&mut self, _: Box<dyn Any + Send>) {}

    /// Whether it writes to the store itself: if a commit fails it is read again.
    fn writes(&self) -> bool {
        false
    }
}

/// One turn of a service's owner.
pub struct ServiceTurn<'a> {
    /// The service's domain.
    pub domain: &'a Jid,
    /// The owner's key.
    pub key: &'a str,
    /// What this turn commits and does afterwards.
    pub ledger: &'a mut Ledger,
    /// The rest of the server.
    pub floor: &'a Arc<dyn Floor>,
    /// Whether the owner's state joins the batch.
    pub(crate) written_down: &'a mut bool,
}

impl ServiceTurn<'_> {
    /// The batch that commits with this turn.
    pub fn batch(&mut self) -> &mut Batch {
        &mut self.ledger.batch
    }

    /// Puts the owner's state, as it is when the turn ends, into this turn's batch. If the commit
    /// fails the owner wakes again from what was written before.
    pub fn write_down(&mut self) {
        *self.written_down = true;
    }

    /// Sends a stanza of the service's after the commit; dropped when it has no `to`.
    pub fn send(&mut self, stanza: Stanza) {
        if let Some(to) = stanza.to.clone() {
            let envelope = Envelope::new(Arc::new(stanza), to, Origin::Service);
            self.ledger.effects.push(Effect::Send(Box::new(envelope)));
        }
    }

    /// Sends one stanza to several after the commit.
    pub fn send_copies(&mut self, stanza: Arc<Stanza>, to: SmallVec<[Jid; 1]>) {
        if !to.is_empty() {
            let copies = Box::new(Copies { stanza, to });
            self.ledger.effects.push(Effect::Copies(copies));
        }
    }

    /// Has the effects of this turn follow those of all turns before it, also if there is nothing to
    /// write.
    pub fn keep_order(&mut self) {
        self.ledger.in_order = true;
    }

    /// Answers an iq after the commit.
    pub fn reply(&mut self, request: &Envelope, payload: Option<Element>) {
        let mut answer = request.stanza.reply();
        answer.from = Some(request.to.clone());
        answer.to = request.from().cloned();
        if let Some(payload) = payload {
            answer = answer.with_child(payload);
        }
        self.send(answer);
    }

    /// Returns a stanza to its sender with an error; never in answer to an error.
    pub fn refuse(&mut self, envelope: &Envelope, error: &StanzaError) {
        if let Some(mut answer) = envelope.stanza.error(error) {
            answer.from = Some(envelope.to.clone());
            answer.to = envelope.from().cloned();
            self.send(answer);
        }
    }
}

/// A service under one domain.
pub trait Service: Send + Sync + 'static {
    /// Which owner handles a stanza to this address: the localpart, a node, or one for the host.
    fn key(&self, envelope: &Envelope) -> String;

    /// Makes an owner, from its suspended state if it had any.
    fn wake(&self, key: &str, suspended: Option<&[u8]>) -> Box<dyn ServiceOwner>;

    /// Makes an owner on a thread that may read the store, for one that keeps more there.
    ///
    /// # Errors
    /// The store's.
    fn load(
        &self,
        key: &str,
        suspended: Option<&[u8]>,
        _: &dyn Snapshot,
    ) -> Result<Box<dyn ServiceOwner>, StoreError> {
        Ok(self.wake(key, suspended))
    }
}

/// A registered service.
#[derive(Clone)]
pub struct ServiceEntry {
    /// Its domain.
    pub domain: Jid,
    /// The kind.
    pub kind: &'static str,
    /// The service.
    pub service: Arc<dyn Service>,
}
