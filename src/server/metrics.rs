//! What the rooms count by themselves, put into the registry.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::metrics::{Registry, Samples};
use crate::net::NetStats;
use crate::net::tls::TlsStore;
use crate::runtime::clock::Clock;
use crate::store::Store;

/// Has `registry` show the network, the store, the certificates and the process.
pub(super) fn attach(
    registry: &Registry,
    stats: Arc<NetStats>,
    store: Store,
    tls: Arc<TlsStore>,
    clock: &Clock,
) {
    let started = clock.wall() as f64 / 1000.0;
    registry.source(move |samples| network(samples, &stats));
    registry.source(move |samples| stored(samples, &store));
    registry.source(move |samples| certificates(samples, &tls));
    registry.source(move |samples| process(samples, started));
}

fn network(samples: &mut Samples, stats: &NetStats) {
    let now = |counter: &AtomicU64| counter.load(Relaxed);
    let (open, half) = (now(&stats.open), now(&stats.half_open));
    let help = "Client connections, by state: still logging in, or logged in.";
    let mut streams = |state, n: u64| {
        samples.gauge("waxwing_streams", help, &[("state", state)], n as f64);
    };
    streams("login", half);
    streams("bound", open.saturating_sub(half));
    let mut refused = |reason, counter| {
        samples.counter(
            "waxwing_connections_refused_total",
            "Connections turned away, by the bound that was reached.",
            &[("reason", reason)],
            now(counter),
        );
    };
    refused("total", &stats.refused_total);
    refused("per_address", &stats.refused_address);
    refused("unauthenticated", &stats.refused_half_open);
    refused("memory", &stats.refused_memory);
    let mut ended = |reason, counter| {
        samples.counter(
            "waxwing_connections_ended_total",
            "Connections the server gave up, by reason.",
            &[("reason", reason)],
            now(counter),
        );
    };
    ended("prelude", &stats.prelude_failures);
    ended("silent", &stats.ended_silent);
    ended("slow_reader", &stats.ended_slow_reader);
    ended("login_timeout", &stats.login_timeouts);
    ended("panic", &stats.panics);
    turns(samples, stats);
    let mut total = |name, help, counter| samples.counter(name, help, &[], now(counter));
    total(
        "waxwing_connections_accepted_total",
        "Connections accepted and admitted.",
        &stats.accepted,
    );
    total(
        "waxwing_accept_errors_total",
        "Failed calls of accept.",
        &stats.accept_errors,
    );
    total(
        "waxwing_accept_pauses_total",
        "Times that accepting paused for want of file descriptors.",
        &stats.accept_pauses,
    );
    total(
        "waxwing_tls_handshakes_total",
        "TLS handshakes finished.",
        &stats.tls_handshakes,
    );
    total(
        "waxwing_tls_failures_total",
        "TLS handshakes failed or timed out.",
        &stats.tls_failures,
    );
    total("waxwing_logins_total", "Sessions bound.", &stats.bound);
    total(
        "waxwing_rate_pauses_total",
        "Times that a connection was read more slowly because it used up its rate.",
        &stats.rate_pauses,
    );
    total(
        "waxwing_received_bytes_total",
        "Bytes of XMPP read, after TLS.",
        &stats.bytes_in,
    );
    total(
        "waxwing_sent_bytes_total",
        "Bytes of XMPP written, before TLS.",
        &stats.bytes_out,
    );
}

/// Those that wait for their turn to log in.
fn turns(samples: &mut Samples, stats: &NetStats) {
    samples.gauge(
        "waxwing_connections_waiting",
        "Connections that wait for their turn to log in.",
        &[],
        stats.waiting.load(Relaxed) as f64,
    );
    samples.gauge(
        "waxwing_connections_pace",
        "How many are let in a second while some wait, as last found right; 0 if none ever waited.",
        &[],
        stats.pace.load(Relaxed) as f64,
    );
    samples.counter(
        "waxwing_connections_waited_total",
        "Connections that had to wait for their turn to log in.",
        &[],
        stats.waited.load(Relaxed),
    );
    samples.total(
        "waxwing_connections_waited_seconds_total",
        "How long they waited, all together.",
        stats.waited_micros.load(Relaxed) as f64 / 1e6,
    );
}

fn stored(samples: &mut Samples, store: &Store) {
    let stats = store.stats();
    samples.latency(
        "waxwing_commit_seconds",
        "Time from handing a change to the store until it is on the disk.",
        &[],
        &store.commit_latency().measured(),
    );
    let mut gauge = |name, help, value: u64| samples.gauge(name, help, &[], value as f64);
    gauge(
        "waxwing_store_queued",
        "Changes that wait to be written.",
        stats.queued,
    );
    gauge(
        "waxwing_store_queued_bytes",
        "Their bytes.",
        stats.queued_bytes,
    );
    gauge(
        "waxwing_store_free_bytes",
        "Free disk space where the store is; 0 if not known.",
        stats.free_bytes,
    );
    gauge(
        "waxwing_store_read_only",
        "1 while the store takes no changes.",
        u64::from(stats.read_only),
    );
    gauge(
        "waxwing_store_disk_bytes",
        "Bytes the store has on the disk.",
        stats.engine.disk_bytes,
    );
    let mut total = |name, help, value| samples.counter(name, help, &[], value);
    total(
        "waxwing_store_commits_total",
        "Changes written.",
        stats.batches,
    );
    total(
        "waxwing_store_groups_total",
        "Groups of changes written together.",
        stats.groups,
    );
    total("waxwing_store_syncs_total", "Syncs.", stats.syncs);
    total(
        "waxwing_store_written_bytes_total",
        "Bytes handed to the engine.",
        stats.bytes,
    );
    total(
        "waxwing_store_failed_total",
        "Changes that were not written.",
        stats.failed,
    );
    total("waxwing_store_reads_total", "Reads.", stats.reads);
    total(
        "waxwing_store_damaged_total",
        "Reads that found a damaged record.",
        stats.damaged,
    );
}

fn certificates(samples: &mut Samples, tls: &TlsStore) {
    for identity in tls.identities() {
        samples.gauge(
            "waxwing_certificate_expiry_timestamp_seconds",
            "When the certificate of a host expires, Unix time.",
            &[("host", &identity.domain)],
            identity.expires as f64,
        );
    }
}

fn process(samples: &mut Samples, started: f64) {
    samples.gauge(
        "waxwing_build_info",
        "Always 1; the version is in the label.",
        &[("version", env!("CARGO_PKG_VERSION"))],
        1.0,
    );
    samples.gauge(
        "process_start_time_seconds",
        "When the server started, Unix time.",
        &[],
        started,
    );
    let cpu = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    let cpu = cpu.tv_sec as f64 + cpu.tv_nsec as f64 / 1e9;
    samples.total("process_cpu_seconds_total", "Processor time used.", cpu);
    if let Ok(runtime) = tokio::runtime::Handle::try_current() {
        let runtime = runtime.metrics();
        samples.gauge(
            "waxwing_tasks",
            "Tasks of the runtime; a connection is one.",
            &[],
            runtime.num_alive_tasks() as f64,
        );
        samples.gauge(
            "waxwing_tasks_queued",
            "Tasks that wait for a thread.",
            &[],
            runtime.global_queue_depth() as f64,
        );
    }
}
