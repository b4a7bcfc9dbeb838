//! What threads outside the runtime hand over to one of its tasks.
//!
//! The task is woken through a pipe, as by a socket. Any other wake-up from outside makes the worker thread that takes it wake a
//! second one to look for more, which with a few hundred wake-ups per second is a good part of what they cost.

use std::fs::File;
use std::io::Write;
use std::sync::{Mutex, PoisonError};

use tokio::net::unix::pipe;
use tokio::sync::Notify;

/// Handed over and not yet taken. One task takes.
pub struct Handover<T> {
    items: Mutex<Vec<T>>,
    bell: Bell,
}

enum Bell {
    Pipe(File, pipe::Receiver),
    /// Where there is no pipe.
    Notify(Notify),
}

impl<T> Default for Handover<T> {
    /// Nothing yet. Made outside of a runtime, or without files left to open, it wakes in the ordinary way.
    fn default() -> Handover<T> {
        Handover {
            items: Mutex::default(),
            bell: Bell::new(),
        }
    }
}

impl<T> Handover<T> {
    /// Hands over.
    pub fn push(&self, item: T) {
        let first = {
            let mut items = self.items.lock().unwrap_or_else(PoisonError::into_inner);
            items.push(item);
            items.len() == 1
        };
        if first {
            self.bell.ring();
        }
    }

    /// All there is, in order; waits for something.
    pub async fn take(&self) -> Vec<T> {
        loop {
            let items =
                std::mem::take(&mut *self.items.lock().unwrap_or_else(PoisonError::into_inner));
            if !items.is_empty() {
                return items;
            }
            self.bell.rung().await;
        }
    }
}

impl Bell {
    fn new() -> Bell {
        let within = tokio::runtime::Handle::try_current().is_ok();
        let pipe = || -> std::io::Result<Bell> {
            let (ringing, listening) = pipe::pipe()?;
            let ringing = File::from(ringing.into_nonblocking_fd()?);
            Ok(Bell::Pipe(ringing, listening))
        };
        let pipe = if within { pipe().ok() } else { None };
        pipe.unwrap_or_else(|| Bell::Notify(Notify::new()))
    }

    /// Rings that nobody has listened to yet may become one.
    fn ring(&self) {
        match self {
            // A full pipe rings already.
            Bell::Pipe(ringing, _) => drop((&*ringing).write(&[0])),
            Bell::Notify(notify) => notify.notify_one(),
        }
    }

    /// Waits until it has rung since the last time.
    async fn rung(&self) {
        let listening = match self {
            Bell::Pipe(_, listening) => listening,
            Bell::Notify(notify) => return notify.notified().await,
        };
        let mut rings = [0; 64];
        while listening.readable().await.is_ok() {
            // What is left over rings once more.
            if listening.try_read(&mut rings).is_ok() {
                return;
            }
        }
        std::future::pending().await
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::sync::Arc;
    use std::time::Duration;

    const ITEMS: u32 = 20_000;

    fn runtime() -> tokio::runtime::Runtime {
        tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap()
    }

    /// However pushing and taking meet, everything arrives, in order.
    #[test]
    fn nothing_is_left_lying() {
        let runtime = runtime();
        let outside = Handover::default();
        let inside = runtime.block_on(async { Handover::default() });
        assert!(matches!(outside.bell, Bell::Notify(_)) && matches!(inside.bell, Bell::Pipe(..)));
        for handover in [outside, inside].map(Arc::new) {
            let (arrived, arrives) = std::sync::mpsc::channel();
            let taking = handover.clone();
            let task = runtime.spawn(async move {
                loop {
                    for item in taking.take().await {
                        arrived.send(item).unwrap();
                    }
                }
            });
            for item in 0..ITEMS {
                handover.push(item);
                // Sometimes the task is just done, sometimes in the middle.
                (0..item % 400).for_each(|_| std::hint::spin_loop());
            }
            for item in 0..ITEMS {
                let came = arrives.recv_timeout(Duration::from_secs(20));
                assert_eq!(came, Ok(item));
            }
            task.abort();
        }
    }
}
