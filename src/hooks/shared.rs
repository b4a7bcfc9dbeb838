//! What the instances of a module share: the one before a reload, which sessions of before keep asking, and the one after it.

use std::any::{Any, TypeId};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use crate::proto::jid::Jid;

type Key = (Box<str>, TypeId);

/// Values by host and type; they live as long as the server.
#[derive(Default)]
pub struct Shared(Mutex<HashMap<Key, Arc<dyn Any + Send + Sync>>>);

impl Shared {
    /// The value of this type for a host, made when it is first asked for.
    ///
    /// # Errors
    /// Those of `make`; the next one to ask tries again.
    pub fn of<T: Any + Send + Sync, E>(
        &self,
        host: &Jid,
        make: impl FnOnce() -> Result<T, E>,
    ) -> Result<Arc<T>, E> {
        let mut values = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (host.domain().into(), TypeId::of::<T>());
        let known = values.get(&key).cloned();
        if let Some(known) = known.and_then(|known| known.downcast().ok()) {
            return Ok(known);
        }
        let made = Arc::new(make()?);
        values.insert(key, made.clone());
        Ok(made)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn one_for_each_host_and_type() {
        let shared = Shared::default();
        let (a, b) = (Jid::parse("a").unwrap(), Jid::parse("b").unwrap());
        let of = |host: &Jid, made: u8| *shared.of::<u8, ()>(host, || Ok(made)).unwrap();
        assert_eq!((of(&a, 1), of(&b, 2), of(&a, 3)), (1, 2, 1));
        assert!(shared.of::<u16, u8>(&a, || Err(4)).is_err());
        assert_eq!(*shared.of::<u16, u8>(&a, || Ok(5)).unwrap(), 5);
    }
}
