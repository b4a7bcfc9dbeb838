//! What a durable message costs: the log entry and its undelivered mark in one batch, later the relaxed removal of the mark.
//! CPU of the whole process, engine threads included, per message; run with `cargo bench --bench store [fjall|sled]`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::time::{Duration, Instant};
use waxwing::runtime::clock::Clock;
use waxwing::store::{Batch, CommitError, EngineKind, Key, Mid, Options, Space, Store};

const MESSAGES: u64 = 200_000;
const USERS: u64 = 1000;
const BYTES: usize = 1000;
/// Messages per second where they come one by one, and how many.
const RATE: u32 = 500;
const SPARSE: u64 = 2000;

fn main() {
    let named: Vec<String> = std::env::args()
        .skip(1)
        .filter(|arg| !arg.starts_with('-'))
        .collect();
    for engine in [EngineKind::Fjall, EngineKind::Sled] {
        if named.is_empty() || named.iter().any(|name| name == engine.name()) {
            for interval in [0, 5, 10, 20, 50] {
                sparse(engine, Duration::from_millis(interval));
            }
            for in_flight in [1, 64, 1024] {
                run(engine, in_flight);
            }
        }
    }
}

/// Messages that come one by one at an even rate; each is acknowledged a millisecond after it was committed.
fn sparse(engine: EngineKind, sync_interval: Duration) {
    let dir = tempfile::tempdir().unwrap();
    let options = Options {
        sync_interval,
        ..Options::new(engine, dir.path())
    };
    let store = Store::open(options, Clock::system()).unwrap();
    let (began, cpu, own) = (Instant::now(), cpu(), Own::default());
    let (acknowledged, acknowledge) = std::sync::mpsc::channel::<(u64, Mid)>();
    let removed = Arc::new(AtomicU64::new(0));
    let waited = Arc::new(AtomicU64::new(0));
    for n in 0..SPARSE {
        let (acknowledged, waited, asked) = (acknowledged.clone(), waited.clone(), Instant::now());
        submit(&store, message(n), move |result| {
            waited.fetch_add(asked.elapsed().as_micros() as u64, SeqCst);
            acknowledged.send((n % USERS, result.unwrap())).unwrap();
        });
        std::thread::sleep(Duration::from_millis(1));
        remove(&store, &acknowledge, &removed);
        let next = began + Duration::from_secs(1) / RATE * (n as u32 + 1);
        std::thread::sleep(next.saturating_duration_since(Instant::now()));
    }
    while removed.load(SeqCst) < SPARSE {
        remove(&store, &acknowledge, &removed);
        std::thread::sleep(Duration::from_millis(1));
    }
    let (cpu, own, stats) = (self::cpu() - cpu, own.used(), store.stats());
    println!(
        "{engine:>6}, {RATE} per second, at least {sync_interval:?} between syncs: {:>6.1} us CPU per message (submitting thread {:.1}), {:.1} batches per group, {} syncs for {SPARSE} messages, {:.1} ms until committed",
        per(cpu, SPARSE),
        per(own, SPARSE),
        stats.batches as f64 / stats.groups as f64,
        stats.syncs,
        waited.load(SeqCst) as f64 / 1000.0 / SPARSE as f64,
    );
}

fn run(engine: EngineKind, in_flight: u64) {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(Options::new(engine, dir.path()), Clock::system()).unwrap();
    let messages = MESSAGES.min(in_flight * 700);
    let (began, cpu, own) = (Instant::now(), cpu(), Own::default());
    let (done, removed) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let (acknowledged, acknowledge) = std::sync::mpsc::channel::<(u64, Mid)>();
    let acknowledged = Arc::new(acknowledged);
    for n in 0..messages {
        while n - done.load(SeqCst) >= in_flight {
            std::thread::park_timeout(Duration::from_micros(200));
            remove(&store, &acknowledge, &removed);
        }
        let batch = message(n);
        let (done, acknowledged, waker) =
            (done.clone(), acknowledged.clone(), std::thread::current());
        submit(&store, batch, move |result| {
            acknowledged.send((n % USERS, result.unwrap())).unwrap();
            if done.fetch_add(1, SeqCst) % 16 == 0 {
                waker.unpark();
            }
        });
        remove(&store, &acknowledge, &removed);
    }
    while removed.load(SeqCst) < messages {
        remove(&store, &acknowledge, &removed);
        std::thread::sleep(Duration::from_micros(200));
    }
    let (wall, cpu) = (began.elapsed(), self::cpu() - cpu);
    let stats = store.stats();
    drop(store);
    let reopening = Instant::now();
    drop(Store::open(Options::new(engine, dir.path()), Clock::system()).unwrap());
    let reopened = reopening.elapsed();
    println!(
        "{engine:>6}, {in_flight:>4} in flight: {:>6.1} us CPU per message (submitting thread {:.1}), {:>6.0} messages/s, {:.0} batches per group, {} syncs, {:.1} ms per write, {:.2} bytes on disk per byte, opened and closed again in {reopened:.1?}",
        per(cpu, messages),
        per(own.used(), messages),
        messages as f64 / wall.as_secs_f64(),
        stats.batches as f64 / stats.groups as f64,
        stats.syncs,
        stats.write_micros as f64 / 1000.0 / stats.groups as f64,
        stats.engine.disk_bytes as f64 / (messages as f64 * BYTES as f64),
    );
}

/// Half of it does not compress, like an encrypted payload.
fn message(n: u64) -> Batch {
    let mut value =
        b"<message xmlns='jabber:client' type='chat' to='juliet@example.org'><body>".repeat(7);
    let mut state = n.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    while value.len() < BYTES {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        value.extend_from_slice(&state.to_le_bytes());
    }
    let owner = Key::new().u64(n % USERS);
    let mut batch = Batch::new();
    batch.append(Space::LOG, &owner, value);
    batch.append(Space::UNDELIVERED, &owner, b"".as_slice());
    batch
}

/// Removes the marks of everything acknowledged meanwhile.
fn remove(
    store: &Store,
    acknowledged: &std::sync::mpsc::Receiver<(u64, Mid)>,
    removed: &Arc<AtomicU64>,
) {
    while let Ok((user, mid)) = acknowledged.try_recv() {
        let mut batch = Batch::new().relaxed();
        batch.delete(Space::UNDELIVERED, &Key::new().u64(user).mid(mid));
        batch.put(
            Space::LAST_ACTIVITY,
            &Key::new().u64(user),
            mid.as_bytes().as_slice(),
        );
        let removed = removed.clone();
        submit(store, batch, move |_| {
            removed.fetch_add(1, SeqCst);
        });
    }
}

fn submit(
    store: &Store,
    batch: Batch,
    done: impl FnOnce(Result<Mid, CommitError>) + Send + 'static,
) {
    while store.pressure() {
        std::thread::sleep(Duration::from_micros(100));
    }
    store.submit(batch, done).unwrap();
}

fn per(time: Duration, messages: u64) -> f64 {
    time.as_secs_f64() * 1e6 / messages as f64
}

fn cpu() -> Duration {
    clock(rustix::time::ClockId::ProcessCPUTime)
}

fn clock(id: rustix::time::ClockId) -> Duration {
    let time = rustix::time::clock_gettime(id);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

struct Own(Duration);

impl Default for Own {
    fn default() -> Own {
        Own(clock(rustix::time::ClockId::ThreadCPUTime))
    }
}

impl Own {
    fn used(&self) -> Duration {
        clock(rustix::time::ClockId::ThreadCPUTime) - self.0
    }
}
