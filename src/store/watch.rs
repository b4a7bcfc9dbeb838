//! The watch over the committer: an engine that never returns from a write must not hang the server for ever.

use super::FatalHook;
use super::stats::Counters;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::time::Duration;

/// Between two looks. Looks are counted, not time, so that a machine that was suspended is not thought to hang.
pub(crate) const LOOK: Duration = Duration::from_secs(10);
/// After so many looks at one and the same write (five minutes), the process ends for a restart. Engines may
/// stall for long under a heavy load, so this is no small number.
const LOOKS: u32 = 30;

/// Starts the watch; it ends when what is returned is dropped.
pub(crate) fn start(
    counters: Arc<Counters>,
    fatal: FatalHook,
    look: Duration,
) -> std::io::Result<Sender<()>> {
    let (alive, ended) = channel();
    let builder = std::thread::Builder::new().name("store-watch".to_owned());
    builder.spawn(move || {
        let (mut seen, mut looks) = (0, 0);
        while let Err(RecvTimeoutError::Timeout) = ended.recv_timeout(look) {
            let now = counters.calling.load(Relaxed);
            looks = if now == seen && now % 2 == 1 {
                looks + 1
            } else {
                0
            };
            seen = now;
            if looks == LOOKS {
                fatal("the storage engine has not returned from a write for minutes");
            }
        }
    })?;
    Ok(alive)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn only_a_write_that_never_returns_is_fatal() {
        let counters = Arc::new(Counters::default());
        let (tell, told) = channel();
        let fatal: FatalHook = Arc::new(move |reason: &str| tell.send(reason.to_owned()).unwrap());
        let look = Duration::from_millis(1);
        let alive = start(counters.clone(), fatal, look).unwrap();
        // Idle, and then one write after the other.
        std::thread::sleep(look * LOOKS * 2);
        for _ in 0..LOOKS {
            counters.calling.fetch_add(2, Relaxed);
            std::thread::sleep(look);
        }
        assert!(told.try_recv().is_err());
        counters.calling.fetch_add(1, Relaxed);
        assert!(
            told.recv_timeout(Duration::from_secs(10))
                .unwrap()
                .contains("not returned")
        );
        drop(alive);
    }
}
