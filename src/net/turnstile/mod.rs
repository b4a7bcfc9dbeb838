//! When many connect at once: who may begin its handshake and login now. Beginning costs a thousand times what a message
//! costs, so after a restart those who come back would hold up those who are back. Who must wait does so in a queue that
//! takes each address in its turn; how fast it moves follows from how late the server is meanwhile.

mod pace;
mod queue;

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::Instant;

use self::pace::Pace;
use self::queue::Queue;
use super::stats::{NetStats, count, uncount};
use crate::runtime::origin::Origin;

/// Between two looks at the queue.
const TICK: Duration = Duration::from_millis(10);
/// A queue is worth a line in the log if it is there so long, and then once in this time.
const LOG_AFTER: Duration = Duration::from_secs(2);
const LOG_EVERY: Duration = Duration::from_secs(60);

/// One for all connections that share their limits.
pub(super) struct Turnstile {
    inner: Mutex<Inner>,
    stats: Arc<NetStats>,
}

struct Inner {
    pace: Pace,
    queue: Queue<Origin, oneshot::Sender<()>>,
    /// Until when the pace's bucket has been filled.
    filled: Instant,
    /// As late as the server should be at most; zero lets everybody in.
    aim: Duration,
    /// Since when somebody has been waiting: then a task looks after the queue.
    busy_since: Option<Instant>,
    logged: Option<Instant>,
}

/// A place in the queue; ready when it is this connection's turn. Dropping it gives the place up.
pub(super) struct Turn {
    given: oneshot::Receiver<()>,
    since: Instant,
    stats: Arc<NetStats>,
}

impl Turnstile {
    pub(super) fn new(aim: Duration, stats: Arc<NetStats>) -> Turnstile {
        Turnstile {
            inner: Mutex::new(Inner {
                pace: Pace::new(),
                queue: Queue::new(),
                filled: Instant::now(),
                aim,
                busy_since: None,
                logged: None,
            }),
            stats,
        }
    }

    pub(super) fn set_aim(&self, aim: Duration) {
        self.lock().aim = aim;
    }

    /// `None`: it may begin now. Call it on the runtime.
    pub(super) fn enter(self: &Arc<Self>, origin: Origin) -> Option<Turn> {
        let now = Instant::now();
        let (turn, first) = self.lock().enter(now, origin, &self.stats);
        if first {
            tokio::spawn(attend(self.clone()));
        }
        turn
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Looks after the queue until it is empty.
async fn attend(turnstile: Arc<Turnstile>) {
    let mut due = Instant::now() + TICK;
    loop {
        tokio::time::sleep_until(due).await;
        let now = Instant::now();
        let lag = now.saturating_duration_since(due);
        if !turnstile.lock().tick(now, lag, &turnstile.stats) {
            return;
        }
        due = now + TICK;
    }
}

impl Inner {
    /// A place in the queue, if one is needed, and whether it is the first.
    fn enter(
        &mut self,
        now: Instant,
        origin: Origin,
        stats: &Arc<NetStats>,
    ) -> (Option<Turn>, bool) {
        self.fill(now);
        let first = self.busy_since.is_none();
        if self.aim.is_zero() || (first && self.pace.take()) {
            return (None, false);
        }
        let (give, given) = oneshot::channel();
        self.queue.push(origin, give);
        self.busy_since.get_or_insert(now);
        count(&stats.waiting);
        count(&stats.waited);
        let turn = Turn {
            given,
            since: now,
            stats: stats.clone(),
        };
        (Some(turn), first)
    }

    fn fill(&mut self, now: Instant) {
        let time = now.saturating_duration_since(self.filled);
        self.filled = now;
        self.pace.fill(time);
    }

    /// Lets in who may begin; whether somebody still waits.
    fn tick(&mut self, now: Instant, lag: Duration, stats: &NetStats) -> bool {
        if self.aim.is_zero() {
            // Limits were reloaded: nobody waits any more.
            while let Some(turn) = self.queue.pop() {
                let _ = turn.send(());
            }
        }
        self.pace.learn(lag, self.aim);
        self.fill(now);
        while self.queue.len() > 0 && self.pace.take() {
            // Who has gone costs nobody its turn.
            while self.queue.pop().is_some_and(|turn| turn.send(()).is_err()) {}
        }
        let pace = self.pace.per_second();
        stats.pace.store(pace, Ordering::Relaxed);
        if self.queue.len() == 0 {
            self.busy_since = None;
            return false;
        }
        self.log(now, pace);
        true
    }

    fn log(&mut self, now: Instant, pace: u64) {
        let long = self
            .busy_since
            .is_some_and(|since| now.duration_since(since) >= LOG_AFTER);
        let said = self
            .logged
            .is_some_and(|at| now.duration_since(at) < LOG_EVERY);
        if long && !said {
            self.logged = Some(now);
            tracing::info!(
                waiting = self.queue.len(),
                per_second = pace,
                "many connect at once: they are let in one after the other, as fast as the server can without being late for others"
            );
        }
    }
}

impl Future for Turn {
    /// How long it waited.
    type Output = Duration;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Duration> {
        // An error would mean that the turnstile is gone, and nothing to wait for.
        Pin::new(&mut self.given)
            .poll(cx)
            .map(|_| self.since.elapsed())
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        uncount(&self.stats.waiting);
        let waited = u64::try_from(self.since.elapsed().as_micros()).unwrap_or(u64::MAX);
        self.stats
            .waited_micros
            .fetch_add(waited, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::sync::atomic::Ordering::Relaxed;

    use super::*;

    fn of(n: u8) -> Origin {
        Origin::V4([192, 0, 2, n])
    }

    /// A turnstile whose time is told by the test.
    struct Scene {
        turnstile: Turnstile,
        now: Instant,
    }

    impl Scene {
        fn new() -> Scene {
            let stats = Arc::new(NetStats::default());
            Scene {
                turnstile: Turnstile::new(Duration::from_millis(25), stats),
                now: Instant::now(),
            }
        }

        fn enter(&self, n: u8) -> Option<Turn> {
            let Turnstile { inner, stats } = &self.turnstile;
            inner.lock().unwrap().enter(self.now, of(n), stats).0
        }

        fn storm(&self) -> Vec<Turn> {
            (0..5_000).filter_map(|_| self.enter(1)).collect()
        }

        /// Whether somebody still waits.
        fn tick(&mut self) -> bool {
            self.now += TICK;
            let Turnstile { inner, stats } = &self.turnstile;
            let mut inner = inner.lock().unwrap();
            inner.tick(self.now, Duration::ZERO, stats)
        }

        fn waiting(&self) -> (u64, u64) {
            let stats = &self.turnstile.stats;
            (stats.waiting.load(Relaxed), stats.waited.load(Relaxed))
        }
    }

    fn came(turn: &mut Turn) -> bool {
        turn.given.try_recv().is_ok()
    }

    #[test]
    fn a_storm_is_let_in_bit_by_bit_and_one_address_does_not_hold_up_another() {
        let mut scene = Scene::new();
        let mut storm = scene.storm();
        assert_eq!((storm.len(), scene.waiting()), (4_950, (4_950, 4_950)));
        let mut other = scene.enter(2).unwrap();
        assert!(scene.tick());
        assert!(came(&mut other));
        let mut ticks = 1;
        while scene.tick() {
            ticks += 1;
        }
        assert!((30..=500).contains(&ticks), "{ticks}");
        assert!(storm.iter_mut().all(came));
        drop((storm, other));
        assert_eq!(scene.waiting(), (0, 4_951));
        scene.now += TICK;
        assert!(scene.enter(1).is_none());
    }

    #[test]
    fn who_has_gone_costs_nobody_its_turn() {
        let mut scene = Scene::new();
        let storm = scene.storm();
        let mut last = scene.enter(1).unwrap();
        drop(storm);
        assert_eq!(scene.waiting().0, 1);
        assert!(!scene.tick());
        assert!(came(&mut last));
    }

    #[test]
    fn it_can_be_switched_off_while_some_wait() {
        let mut scene = Scene::new();
        let mut storm = scene.storm();
        scene.turnstile.set_aim(Duration::ZERO);
        assert!(!scene.tick());
        assert!(storm.iter_mut().all(came));
        assert!(scene.storm().is_empty());
    }
}
