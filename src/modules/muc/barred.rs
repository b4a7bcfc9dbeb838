//! Who is named by a block list in real time is not let into rooms, and is put out of those it is in.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::Service;

/// What comes within so much time is looked at together.
const PAUSE: Duration = Duration::from_millis(200);

/// Rooms looked at before other work gets its turn.
const BURST: usize = 50;

/// Has all rooms that somebody is in look who is in them, when somebody is named who was not.
pub(super) fn watch(service: &Arc<Service>) {
    let (service, busy) = (service.clone(), Arc::new(AtomicBool::new(false)));
    service.named.clone().on_named(move || {
        if busy.swap(true, Ordering::AcqRel) {
            return;
        }
        let (service, busy) = (service.clone(), busy.clone());
        tokio::spawn(async move {
            tokio::time::sleep(PAUSE).await;
            busy.store(false, Ordering::Release);
            for names in service.live.occupied.names().chunks(BURST) {
                names.iter().for_each(|name| service.nudge(name));
                tokio::task::yield_now().await;
            }
        });
    });
}
