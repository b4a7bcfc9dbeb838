//! Time, passed in: the system's clocks, or one that a test moves by hand.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// A source of monotonic and wall-clock time. Cheap to clone; clones show the same time.
#[derive(Clone, Debug)]
pub struct Clock(Source);

#[derive(Clone, Debug)]
enum Source {
    System,
    Manual(Arc<Manual>),
}

#[derive(Debug)]
struct Manual {
    start: Instant,
    /// Nanoseconds since `start`: a manual clock covers 584 years.
    elapsed: AtomicU64,
    /// What the wall clock showed at `start`, with every step since, in Unix milliseconds.
    wall_start: AtomicI64,
}

/// Where a manual clock begins: 2026-01-01T00:00:00Z.
const MANUAL_START: i64 = 1_767_225_600_000;

impl Clock {
    /// The clocks of the operating system.
    pub fn system() -> Clock {
        Clock(Source::System)
    }

    /// A clock that stands still until its [`Hand`] moves it.
    pub fn manual() -> (Clock, Hand) {
        let manual = Arc::new(Manual {
            start: Instant::now(),
            elapsed: AtomicU64::new(0),
            wall_start: AtomicI64::new(MANUAL_START),
        });
        (Clock(Source::Manual(manual.clone())), Hand(manual))
    }

    /// Monotonic time, for durations and deadlines.
    pub fn now(&self) -> Instant {
        match &self.0 {
            Source::System => Instant::now(),
            Source::Manual(manual) => manual.start + manual.elapsed(),
        }
    }

    /// Wall-clock time in Unix milliseconds (UTC). It may step back; a time before 1970 shows as 0.
    pub fn wall(&self) -> u64 {
        match &self.0 {
            Source::System => SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .map_or(0, |since| millis(since) as u64),
            Source::Manual(manual) => {
                let start = manual.wall_start.load(Ordering::SeqCst);
                start.saturating_add(millis(manual.elapsed())).max(0) as u64
            }
        }
    }
}

/// Moves a manual clock.
#[derive(Debug)]
pub struct Hand(Arc<Manual>);

impl Hand {
    /// Lets time pass, on both clocks.
    pub fn advance(&self, by: Duration) {
        let nanos = u64::try_from(by.as_nanos()).unwrap_or(u64::MAX);
        self.0.elapsed.fetch_add(nanos, Ordering::SeqCst);
    }

    /// Sets the wall clock forward or back by `ms` milliseconds, as an administrator or NTP would;
    /// monotonic time stays.
    pub fn step_wall(&self, ms: i64) {
        self.0.wall_start.fetch_add(ms, Ordering::SeqCst);
    }
}

impl Manual {
    fn elapsed(&self) -> Duration {
        Duration::from_nanos(self.elapsed.load(Ordering::SeqCst))
    }
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_system_clock_runs() {
        let clock = Clock::system();
        let before = clock.now();
        assert!(clock.now() >= before);
        assert!(clock.wall() > MANUAL_START as u64);
    }

    #[test]
    fn a_manual_clock_moves_only_by_hand() {
        let (clock, hand) = Clock::manual();
        let other = clock.clone();
        let (start, wall) = (clock.now(), clock.wall());
        assert_eq!(clock.now(), start);
        hand.advance(Duration::from_millis(1500));
        assert_eq!(other.now() - start, Duration::from_millis(1500));
        assert_eq!(other.wall() - wall, 1500);
    }

    #[test]
    fn the_wall_may_step_back_and_time_does_not() {
        let (clock, hand) = Clock::manual();
        let (start, wall) = (clock.now(), clock.wall());
        hand.step_wall(-5000);
        assert_eq!(clock.wall(), wall - 5000);
        assert_eq!(clock.now(), start);
        hand.step_wall(i64::MIN / 2);
        assert_eq!(clock.wall(), 0);
    }
}
