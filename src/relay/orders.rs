//! What the relay is told by the rest of the server: kept until it looks, within a bound, and never lost.

use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::options::Options;

/// Owners that are named one by one; when there are more, everybody has to begin anew.
const OWNERS: usize = 1_024;

/// Everything that is to be done now.
#[derive(Default)]
pub(super) struct Orders {
    /// Whose allocations end.
    pub(super) ended: Vec<Box<str>>,
    /// Whether all do.
    pub(super) everybody: bool,
    /// How it works from now on.
    pub(super) options: Option<Box<Options>>,
    /// Whether it is over.
    pub(super) stop: bool,
}

impl Orders {
    fn end(&mut self, owner: &str) {
        if self.ended.len() >= OWNERS {
            self.ended.clear();
            self.everybody = true;
        }
        if !self.everybody {
            self.ended.push(owner.into());
        }
    }
}

/// Where orders are left and found.
#[derive(Default)]
pub(super) struct Desk {
    orders: Mutex<Orders>,
    bell: Notify,
}

impl Desk {
    /// Ends all that an owner has.
    pub(super) fn end(&self, owner: &str) {
        self.leave(|orders| orders.end(owner));
    }

    /// The newest options count.
    pub(super) fn set_options(&self, options: Options) {
        self.leave(|orders| orders.options = Some(Box::new(options)));
    }

    /// It is over.
    pub(super) fn stop(&self) {
        self.leave(|orders| orders.stop = true);
    }

    /// Waits until there are orders, and takes them.
    pub(super) async fn next(&self) -> Orders {
        self.bell.notified().await;
        std::mem::take(&mut *self.lock())
    }

    fn leave(&self, order: impl FnOnce(&mut Orders)) {
        order(&mut self.lock());
        self.bell.notify_one();
    }

    fn lock(&self) -> MutexGuard<'_, Orders> {
        self.orders.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn orders_wait_within_a_bound_and_none_is_lost() {
        let desk = Desk::default();
        desk.end("romeo@x");
        desk.stop();
        let orders = desk.next().await;
        assert_eq!(orders.ended, ["romeo@x".into()]);
        assert!(orders.stop && !orders.everybody);
        for owner in 0..=OWNERS {
            desk.end(&owner.to_string());
        }
        let orders = desk.next().await;
        assert!(orders.everybody && orders.ended.is_empty() && !orders.stop);
    }
}
