//! One turn of an account: its state to change, and the ledger of the stanza being handled.

use std::sync::Arc;

use super::account::Account;
use super::deps::Floor;
use super::envelope::{Effect, Envelope, Ledger};
use super::kinds::Event;
use crate::proto::jid::Jid;
use crate::proto::stanza::Stanza;
use crate::store::Batch;

/// What a hook may touch in an account's turn. Nothing in it waits.
pub struct Turn<'a> {
    /// The account whose turn it is.
    pub account: &'a mut Account,
    /// What this turn will commit and do afterwards.
    pub ledger: &'a mut Ledger,
    /// The rest of the server.
    pub floor: &'a Arc<dyn Floor>,
}

impl Turn<'_> {
    /// The batch that commits with this turn.
    pub fn batch(&mut self) -> &mut Batch {
        &mut self.ledger.batch
    }

    /// Routes a stanza of the server's own after the commit.
    pub fn send(&mut self, stanza: Stanza) {
        if let Some(envelope) = Envelope::from_server(stanza) {
            self.ledger.effects.push(Effect::Send(Box::new(envelope)));
        }
    }

    /// Routes an envelope after the commit.
    pub fn send_envelope(&mut self, envelope: Envelope) {
        self.ledger.effects.push(Effect::Send(Box::new(envelope)));
    }

    /// Runs `f` in this account's turn after the commit.
    pub fn after_commit(&mut self, f: impl FnOnce(&mut Turn<'_>) + Send + 'static) {
        let jid = self.account.jid.clone();
        self.in_turn_of(jid, f);
    }

    /// Runs `f` in another account's turn after the commit.
    pub fn in_turn_of(&mut self, jid: Jid, f: impl FnOnce(&mut Turn<'_>) + Send + 'static) {
        self.ledger.effects.push(Effect::InTurn(jid, Box::new(f)));
    }

    /// Tells the modules of something that happened, after the commit.
    pub fn event(&mut self, event: Event) {
        self.ledger.effects.push(Effect::Event(event));
    }
}
