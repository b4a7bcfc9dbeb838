//! The ceiling over memory: looked at once a second; before it is reached, what would make it more is refused.
//!
//! From [`TIGHT`] on a session's queue may hold an eighth of what it may otherwise (what does not fit waits in the store);
//! from [`FULL`] on nobody new is let in. Chats that are there go on.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use crate::config::Bytes;
use crate::metrics::{Counter, Registry};
use crate::net::Admission;
use crate::router::Router;

/// Between two looks.
const LOOK: Duration = Duration::from_secs(1);
/// Per cent of the ceiling.
const TIGHT: u64 = 80;
const FULL: u64 = 90;
/// Per cent by which it must fall below before it is left again.
const BACK: u64 = 5;
/// Without a setting: this share of what there is.
const SHARE: (u64, u64) = (3, 4);

/// How near the ceiling is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Level {
    /// Far.
    #[default]
    Fine,
    /// Queues are kept short.
    Tight,
    /// Nobody new is let in.
    Full,
}

/// Memory in use and its ceiling, bytes.
pub(super) struct Memory {
    used: AtomicU64,
    ceiling: AtomicU64,
    tight: Counter,
    full: Counter,
}

impl Memory {
    /// Shown in `metrics`.
    pub(super) fn new(ceiling: u64, metrics: &Registry) -> Arc<Self> {
        let help = "Times that memory came near its ceiling, by what is refused then.";
        let entered =
            |level| metrics.counter("waxwing_memory_short_total", help, &[("refused", level)]);
        let memory = Arc::new(Memory {
            used: AtomicU64::new(used().unwrap_or(0)),
            ceiling: AtomicU64::new(ceiling),
            tight: entered("queues"),
            full: entered("connections"),
        });
        let shown = memory.clone();
        metrics.source(move |samples| {
            let mut gauge = |name, help, value: u64| samples.gauge(name, help, &[], value as f64);
            gauge(
                "waxwing_memory_bytes",
                "Memory in use, without what the system can take back.",
                shown.used(),
            );
            gauge(
                "waxwing_memory_ceiling_bytes",
                "The ceiling over it (limits.memory).",
                shown.ceiling(),
            );
        });
        memory
    }

    pub(super) fn used(&self) -> u64 {
        self.used.load(Relaxed)
    }

    pub(super) fn ceiling(&self) -> u64 {
        self.ceiling.load(Relaxed)
    }

    /// Another ceiling; it counts from the next look on.
    pub(super) fn set_ceiling(&self, ceiling: u64) {
        self.ceiling.store(ceiling, Relaxed);
    }

    /// Takes what was measured; the level that follows from it and the one before.
    fn judge(&self, used: u64, before: Level) -> Level {
        self.used.store(used, Relaxed);
        let share = used.saturating_mul(100) / self.ceiling().max(1);
        let at_least = |level: Level, bound: u64| {
            let bound = if before >= level { bound - BACK } else { bound };
            share >= bound
        };
        if at_least(Level::Full, FULL) {
            Level::Full
        } else if at_least(Level::Tight, TIGHT) {
            Level::Tight
        } else {
            Level::Fine
        }
    }

    fn enter(&self, level: Level, before: Level) {
        let used = Bytes::mib(self.used() >> 20);
        let ceiling = Bytes::mib(self.ceiling() >> 20);
        match level {
            Level::Fine => tracing::info!(%used, %ceiling, "there is enough memory again"),
            Level::Tight => {
                if before < level {
                    self.tight.count();
                }
                tracing::warn!(%used, %ceiling, "memory is short: queues are kept small, what does not fit waits in the store");
            }
            Level::Full => {
                self.full.count();
                tracing::error!(%used, %ceiling, "memory is nearly used up: new connections are refused, those that are there go on. Raise limits.memory or give the machine more; or lower store.cache, limits.session.outgoing or limits.connections.total");
            }
        }
    }
}

/// Looks, and acts on what it sees, until dropped.
pub(super) async fn watch(memory: Arc<Memory>, admission: Arc<Admission>, router: Arc<Router>) {
    let mut ticks = tokio::time::interval(LOOK);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut level = Level::Fine;
    loop {
        ticks.tick().await;
        let Some(used) = used() else {
            tracing::warn!("the memory in use cannot be measured: limits.memory does not count");
            return;
        };
        let now = memory.judge(used, level);
        if now != level {
            memory.enter(now, level);
            admission.set_short_of_memory(now == Level::Full);
            router.set_short_of_memory(now >= Level::Tight);
            level = now;
        }
    }
}

/// Bytes in memory that are the process's own: resident without what is backed by files. One small read.
fn used() -> Option<u64> {
    let statm = std::fs::read_to_string("/proc/self/statm").ok()?;
    let mut pages = statm.split(' ').skip(1).map(str::parse::<u64>);
    let (resident, shared) = (pages.next()?.ok()?, pages.next()?.ok()?);
    Some(resident.saturating_sub(shared) * rustix::param::page_size() as u64)
}

/// What is to be the ceiling where none is set: a share of the machine's memory or of what its control group allows.
pub(super) fn default_ceiling() -> u64 {
    let all = [machine(), control_group(Path::new("/"))];
    let least = all.into_iter().flatten().min().unwrap_or(u64::MAX);
    least / SHARE.1 * SHARE.0
}

fn machine() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find(|line| line.starts_with("MemTotal:"))?;
    let kib: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    kib.checked_mul(1024)
}

/// The least bound of the control group and those around it (version 2, or the memory controller of version 1).
fn control_group(root: &Path) -> Option<u64> {
    let text = std::fs::read_to_string(root.join("proc/self/cgroup")).ok()?;
    let mut bounds = Vec::new();
    for line in text.lines() {
        let (_, rest) = line.split_once(':')?;
        let (controllers, path) = rest.split_once(':')?;
        let (top, file) = match controllers {
            "" => ("sys/fs/cgroup", "memory.max"),
            "memory" => ("sys/fs/cgroup/memory", "memory.limit_in_bytes"),
            _ => continue,
        };
        let top = root.join(top);
        let mut group: PathBuf = top.join(path.trim_start_matches('/'));
        loop {
            let bound = std::fs::read_to_string(group.join(file)).ok();
            bounds.extend(bound.and_then(|bound| bound.trim().parse::<u64>().ok()));
            if group == top || !group.pop() {
                break;
            }
        }
    }
    bounds.into_iter().min()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn levels_are_not_left_at_the_first_byte() {
        let memory = Memory::new(1000, &Registry::default());
        let mut level = Level::Fine;
        let mut seen = Vec::new();
        for used in [799, 800, 760, 749, 899, 900, 851, 849, 2000, 0] {
            level = memory.judge(used, level);
            seen.push(level);
        }
        use Level::{Fine, Full, Tight};
        assert_eq!(
            seen,
            [
                Fine, Tight, Tight, Fine, Tight, Full, Full, Tight, Full, Fine
            ]
        );
    }

    #[test]
    fn memory_can_be_measured() {
        assert!(used().unwrap() > 100_000);
        assert!(default_ceiling() > 1 << 20);
    }

    #[test]
    fn the_tightest_control_group_counts() {
        let root = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let path = root.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        assert_eq!(control_group(root.path()), None);
        write("proc/self/cgroup", "0::/a/b\n");
        write("sys/fs/cgroup/a/b/memory.max", "max\n");
        assert_eq!(control_group(root.path()), None);
        write("sys/fs/cgroup/a/memory.max", "1000\n");
        assert_eq!(control_group(root.path()), Some(1000));
        write("proc/self/cgroup", "3:cpu:/\n2:memory:/x\n");
        write("sys/fs/cgroup/memory/x/memory.limit_in_bytes", "500\n");
        assert_eq!(control_group(root.path()), Some(500));
    }
}
