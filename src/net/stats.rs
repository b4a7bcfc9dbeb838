//! Counters of the network side, for metrics.

use std::sync::atomic::{AtomicU64, Ordering};

/// Counts since start, except where a field says "now". Plain atomics: read them in any order.
#[derive(Debug, Default)]
pub struct NetStats {
    /// Connections accepted and admitted.
    pub accepted: AtomicU64,
    /// Connections open now.
    pub open: AtomicU64,
    /// Connections not yet authenticated now.
    pub half_open: AtomicU64,
    /// Turned away because the server holds as many connections as it may.
    pub refused_total: AtomicU64,
    /// Turned away because their address holds as many as it may.
    pub refused_address: AtomicU64,
    /// Turned away because too many are not yet authenticated.
    pub refused_half_open: AtomicU64,
    /// Turned away because memory is short.
    pub refused_memory: AtomicU64,
    /// Connections that wait for their turn to log in now.
    pub waiting: AtomicU64,
    /// Connections that had to wait for it.
    pub waited: AtomicU64,
    /// How long they waited, all together, in microseconds.
    pub waited_micros: AtomicU64,
    /// How many are let in a second, as of the last time that some waited.
    pub pace: AtomicU64,
    /// Failed calls of `accept`.
    pub accept_errors: AtomicU64,
    /// Times that accepting paused for want of file descriptors.
    pub accept_pauses: AtomicU64,
    /// Connections ended before the first byte of XMPP or TLS: PROXY header missing or wrong, silence.
    pub prelude_failures: AtomicU64,
    /// TLS handshakes finished.
    pub tls_handshakes: AtomicU64,
    /// TLS handshakes failed or timed out.
    pub tls_failures: AtomicU64,
    /// Sessions bound.
    pub bound: AtomicU64,
    /// Connections ended because they were not logged in in time.
    pub login_timeouts: AtomicU64,
    /// Connections ended for silence.
    pub ended_silent: AtomicU64,
    /// Connections ended because the peer did not read.
    pub ended_slow_reader: AtomicU64,
    /// Times that reading paused because a connection used up its rate.
    pub rate_pauses: AtomicU64,
    /// Connection tasks that panicked.
    pub panics: AtomicU64,
    /// Bytes of XMPP read (after TLS).
    pub bytes_in: AtomicU64,
    /// Bytes of XMPP written (before TLS).
    pub bytes_out: AtomicU64,
}

/// Adds one; for counters nobody orders anything by.
pub(super) fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

/// Adds `n`.
pub(super) fn add(counter: &AtomicU64, n: usize) {
    counter.fetch_add(n as u64, Ordering::Relaxed);
}

/// Takes one off a "now" counter.
pub(super) fn uncount(counter: &AtomicU64) {
    counter.fetch_sub(1, Ordering::Relaxed);
}
