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

    /// Takes the database out as soon as no read uses it, and gives it to `close`. Reads go on until then.
    pub(crate) fn close<E>(&self, close: impl FnOnce(T) -> E) -> Result<E, EngineError> {
        let began = Instant::now();
        loop {
            if let Some(database) = self.take()? {
                return Ok(close(database));
            }
            if began.elapsed() > PATIENCE {
                return Err(EngineError::Ailing("reads are still running".to_owned()));
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// The database, unless something still uses it.
    fn take(&self) -> Result<Option<T>, EngineError> {
        let mut slot = self.0.write().unwrap_or_else(PoisonError::into_inner);
        match Arc::try_unwrap(slot.take().ok_or(EngineError::Closed)?) {
            Ok(database) => Ok(Some(database)),
            Err(shared) => {
                *slot = Some(shared);
                Ok(None)
            }
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
