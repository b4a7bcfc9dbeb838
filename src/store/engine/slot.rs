//! A place for an open database that can be closed and opened again while readers come and go.

use super::EngineError;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

/// How long running reads may keep an old database open.
const PATIENCE: Duration = Duration::from_secs(10);

pub(crate) struct Slot<T>(RwLock<Option<Arc<T>>>);

impl<T> Slot<T> {
    pub(crate) fn new(database: T) -> Slot<T> {
        Slot(RwLock::new(Some(Arc::new(database))))
    }

    /// The database, unless it is closed.
    pub(crate) fn database(&self) -> Option<Arc<T>> {
        self.0
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Takes the database out when no read uses it any more, and gives it to `close`.
    pub(crate) fn close<E>(&self, close: impl FnOnce(T) -> E) -> Result<E, EngineError> {
        let began = Instant::now();
        let mut slot = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let mut database = slot.take().ok_or(EngineError::Closed)?;
        loop {
            match Arc::try_unwrap(database) {
                Ok(database) => return Ok(close(database)),
                Err(shared) => database = shared,
            }
            if began.elapsed() > PATIENCE {
                *slot = Some(database);
                return Err(EngineError::Ailing("reads are still running".to_owned()));
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Closes the database and opens it again.
    pub(crate) fn reopen(
        &self,
        open: impl FnOnce() -> Result<T, EngineError>,
    ) -> Result<(), EngineError> {
        match self.close(drop) {
            // Closed: an earlier attempt did not get it open again.
            Ok(()) | Err(EngineError::Closed) => {}
            Err(error) => return Err(error),
        }
        let database = open()?;
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(database));
        Ok(())
    }
}
