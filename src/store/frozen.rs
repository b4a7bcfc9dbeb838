//! A view that stays as it is for as long as somebody needs it: for work over the whole store, beside everything else.

use super::backup::Header;
use super::engine::Engine;
use super::ledger::Ledger;
use super::open;
use super::readers::Readers;
use super::snapshot::Checked;
use super::stats::Counters;
use super::{Direction, Range, Rows, Snapshot, Space, StoreError};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

/// A view of the whole store at one moment. To be used on a thread that may wait, and not for long after
/// [`StoreError::Closed`]: the store cannot close before the view is dropped.
pub struct Frozen {
    view: Box<dyn Snapshot>,
    engine: &'static str,
    readers: Arc<Readers>,
    counters: Arc<Counters>,
}

impl Frozen {
    pub(super) fn of(
        engine: &dyn Engine,
        readers: Arc<Readers>,
        counters: Arc<Counters>,
    ) -> Result<Frozen, StoreError> {
        Ok(Frozen {
            view: engine.frozen()?,
            engine: engine.name(),
            readers,
            counters,
        })
    }

    /// A page of records as they lie in the store, their checksums neither verified nor cut off. Keys are without their space.
    pub(crate) fn raw(
        &self,
        space: Space,
        range: &Range,
        bytes: usize,
    ) -> Result<Rows, StoreError> {
        self.alive()?;
        self.view.page(space, range, bytes)
    }

    /// What a backup says of this store.
    pub(crate) fn header(&self, made: u64) -> Result<Header, StoreError> {
        Ok(Header {
            schema: open::schema(&*self.view)?.unwrap_or(open::CURRENT),
            made,
            server: env!("CARGO_PKG_VERSION").to_owned(),
            engine: self.engine.to_owned(),
            spaces: Ledger::load(&Checked(&*self.view))?.versions(),
        })
    }

    /// Whoever keeps the store from closing, or from recovering once the disk was full, has to let go.
    fn alive(&self) -> Result<(), StoreError> {
        if self.readers.closed() || self.counters.ailing.load(Relaxed) {
            return Err(StoreError::Closed);
        }
        Ok(())
    }
}

impl Snapshot for Frozen {
    fn get(&self, space: Space, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.alive()?;
        Checked(&*self.view).get(space, key)
    }

    fn scan(
        &self,
        space: Space,
        range: &Range,
        direction: Direction,
        limit: usize,
    ) -> Result<Rows, StoreError> {
        self.alive()?;
        Checked(&*self.view).scan(space, range, direction, limit)
    }

    fn page(&self, space: Space, range: &Range, bytes: usize) -> Result<Rows, StoreError> {
        self.alive()?;
        Checked(&*self.view).page(space, range, bytes)
    }
}
