//! The way from one client: what is counted, what waits for its turn.

use std::task::Waker;

use super::tally::Tally;
use crate::xml::Element;

#[derive(Default)]
pub(super) struct Inward {
    pub tally: Tally,
    /// Stanzas with the committer.
    pub committing: u32,
    /// Waits until what came before is through.
    pub parked: Option<Element>,
    /// The round in which it waits for the store.
    pub waits_for_store: Option<u32>,
    pub reader: Option<Waker>,
}

impl Inward {
    /// Whether no more may be read, as far as this way is concerned.
    pub fn is_full(&self, window: u32) -> bool {
        self.parked.is_some() || self.tally.outstanding() >= window
    }
}
