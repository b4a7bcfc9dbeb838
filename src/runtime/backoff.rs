//! Growing pauses between attempts, jittered so that a thousand clients do not come back at once.

use std::time::Duration;

use super::random;

/// Doubling pauses from `first` up to `max`.
#[derive(Clone, Debug)]
pub struct Backoff {
    first: Duration,
    max: Duration,
    next: Duration,
}

impl Backoff {
    /// Pauses that begin near `first` and never exceed `max`.
    pub fn new(first: Duration, max: Duration) -> Backoff {
        let first = first.min(max);
        Backoff {
            first,
            max,
            next: first,
        }
    }

    /// The pause before the next attempt: between half of the current step and the whole of it.
    #[allow(clippy::should_implement_trait)] // it never ends, so an Option around it would mislead
    pub fn next(&mut self) -> Duration {
        let step = self.next;
        self.next = step.saturating_mul(2).min(self.max);
        let jitter = f64::from(u32::from_le_bytes(random::bytes())) / f64::from(u32::MAX);
        step.mul_f64(0.5 + jitter / 2.0).min(self.max)
    }

    /// After a success: the next pause is short again.
    pub fn reset(&mut self) {
        self.next = self.first;
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::indexing_slicing)]
    use super::*;

    #[test]
    fn it_doubles_up_to_the_maximum_and_starts_again() {
        let second = Duration::from_secs(1);
        let mut backoff = Backoff::new(second, 5 * second);
        for step in [1, 2, 4, 5, 5] {
            let pause = backoff.next();
            assert!(
                pause >= step * second / 2 && pause <= step * second,
                "{pause:?}"
            );
        }
        backoff.reset();
        assert!(backoff.next() <= second);
    }

    #[test]
    fn pauses_differ() {
        let mut backoff = Backoff::new(Duration::from_secs(64), Duration::from_secs(64));
        let pauses: Vec<_> = (0..8).map(|_| backoff.next()).collect();
        assert!(pauses.iter().any(|p| *p != pauses[0]));
    }
}
