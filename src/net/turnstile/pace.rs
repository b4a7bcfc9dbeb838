//! How many may begin now: a bucket that fills faster or slower, by how late the server is.

use std::time::Duration;

/// Begins in a second: what a machine of any size can bear.
const LEAST: f64 = 10.0;
/// Where it starts; within a second it is where the machine allows it to be.
const FIRST: f64 = 500.0;
const MOST: f64 = 20_000.0;
/// What may begin at once after a quiet time, as the time in which it would fill.
const BURST: Duration = Duration::from_millis(100);
/// Up in small steps, down in large ones, so that it settles below the aim.
const FASTER: f64 = 1.05;
const SLOWER: f64 = 0.7;

/// The bucket.
pub(super) struct Pace {
    per_second: f64,
    credit: f64,
}

impl Pace {
    pub(super) fn new() -> Pace {
        let mut pace = Pace {
            per_second: FIRST,
            credit: 0.0,
        };
        pace.fill(BURST);
        pace
    }

    /// Begins in a second.
    pub(super) fn per_second(&self) -> u64 {
        self.per_second as u64
    }

    /// Time passed.
    pub(super) fn fill(&mut self, time: Duration) {
        let most = (self.per_second * BURST.as_secs_f64()).max(1.0);
        self.credit = (self.credit + self.per_second * time.as_secs_f64()).min(most);
    }

    /// Takes what one costs, if it is there.
    pub(super) fn take(&mut self) -> bool {
        let there = self.credit >= 1.0;
        if there {
            self.credit -= 1.0;
        }
        there
    }

    /// While some wait: a task that should have run `lag` ago runs now, and `aim` is as late as it should be.
    pub(super) fn learn(&mut self, lag: Duration, aim: Duration) {
        let factor = match lag {
            lag if lag > aim => SLOWER,
            lag if lag * 2 < aim => FASTER,
            _ => return,
        };
        self.per_second = (self.per_second * factor).clamp(LEAST, MOST);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AIM: Duration = Duration::from_millis(25);
    const TICK: Duration = Duration::from_millis(10);

    fn taken(pace: &mut Pace) -> usize {
        std::iter::from_fn(|| pace.take().then_some(())).count()
    }

    #[test]
    fn a_quiet_time_saves_a_burst_and_no_more() {
        let mut pace = Pace::new();
        pace.fill(Duration::from_secs(3_600));
        assert_eq!(taken(&mut pace), 50);
        assert!(!pace.take());
        pace.fill(TICK);
        assert_eq!(taken(&mut pace), 5);
    }

    #[test]
    fn it_follows_what_the_machine_can_do() {
        // A machine on which a second has room for 2,000: what is let in beyond that is how late it gets.
        let (mut pace, mut behind) = (Pace::new(), 0.0_f64);
        let mut worst = Duration::ZERO;
        let mut let_in = 0;
        for tick in 0..2_000 {
            pace.fill(TICK);
            let begun = taken(&mut pace);
            behind = (behind + begun as f64 - 20.0).max(0.0);
            let lag = Duration::from_secs_f64(behind / 2_000.0);
            pace.learn(lag, AIM);
            if tick >= 1_000 {
                let_in += begun;
                worst = worst.max(lag);
            }
        }
        assert!((16_000..=20_500).contains(&let_in), "{let_in} in 10 s");
        assert!(worst < AIM * 4, "{worst:?}");
    }

    #[test]
    fn it_never_stops_and_never_runs_away() {
        let mut pace = Pace::new();
        for _ in 0..1_000 {
            pace.learn(Duration::from_secs(9), AIM);
        }
        assert_eq!(pace.per_second(), 10);
        for _ in 0..1_000 {
            pace.learn(Duration::ZERO, AIM);
        }
        assert_eq!(pace.per_second(), 20_000);
    }
}
