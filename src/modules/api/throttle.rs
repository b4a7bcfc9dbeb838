//! How often somebody may ask: tokens by what they are for, everybody else by address.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::answer::Refusal;
use crate::metrics::{Counter, Registry};
use crate::runtime::bucket::Bucket;
use crate::runtime::origin::Origin;
use crate::state::token_id::Id;

/// Requests at once, as a multiple of those in a second.
const BURST: u32 = 10;
/// So many tokens are known before those are forgotten that may ask as often as any; no more of them are ever good.
const TOKENS: usize = 10_000;
/// Addresses that are remembered; beyond it the one that guessed longest ago makes room.
const ADDRESSES: usize = 10_000;
/// What a guess costs: so that `guesses` is a number of them in a minute.
const GUESS: u32 = 60;

/// What was used up.
pub(super) struct Throttle {
    requests: u32,
    guesses: u32,
    tokens: Mutex<HashMap<Id, Bucket>>,
    addresses: Mutex<HashMap<Origin, (Bucket, Instant)>>,
    too_many: Counter,
    too_many_guesses: Counter,
}

impl Throttle {
    /// So many requests of a token in a second, so many guesses of an address in a minute.
    pub(super) fn new(requests: u32, guesses: u32, metrics: &Registry) -> Throttle {
        Throttle {
            requests,
            guesses,
            tokens: Mutex::default(),
            addresses: Mutex::default(),
            too_many: metrics.limit("modules.api.requests"),
            too_many_guesses: metrics.limit("modules.api.guesses"),
        }
    }

    /// Whether this token may ask once more. Tokens that were removed are forgotten when there are many.
    pub(super) fn may_ask(&self, token: Id, now: Instant) -> Result<(), Refusal> {
        let mut tokens = self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
        if tokens.len() >= TOKENS {
            tokens.retain(|_, requests| !requests.is_full(now));
        }
        let fresh = || Bucket::new(self.requests, self.requests.saturating_mul(BURST));
        let bucket = tokens.entry(token).or_insert_with(fresh);
        take(bucket, 1, now).inspect_err(|_| self.too_many.count())
    }

    /// Whether who comes from there may try.
    pub(super) fn may_guess(&self, peer: IpAddr, now: Instant) -> Result<(), Refusal> {
        let mut known = self
            .addresses
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let Some((bucket, _)) = known.get_mut(&Origin::of(peer)) else {
            return Ok(());
        };
        // Whether there is something left shows without taking it.
        let wait = bucket.clone().take(GUESS, now);
        match wait.is_zero() {
            true => Ok(()),
            false => {
                self.too_many_guesses.count();
                Err(Refusal::TooMany(wait))
            }
        }
    }

    /// Somebody had no good token.
    pub(super) fn guessed(&self, peer: IpAddr, now: Instant) {
        let mut known = self
            .addresses
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if known.len() >= ADDRESSES {
            forget_old(&mut known, now);
        }
        let fresh = || {
            let burst = self.guesses.saturating_mul(GUESS);
            (Bucket::new(self.guesses, burst), now)
        };
        let (bucket, last) = known.entry(Origin::of(peer)).or_insert_with(fresh);
        *last = now;
        bucket.take(GUESS, now);
    }
}

/// Those that made no guess for a minute have all of them again; if there are none, the oldest makes room.
fn forget_old<K: Hash + Eq + Copy>(known: &mut HashMap<K, (Bucket, Instant)>, now: Instant) {
    let minute = Duration::from_secs(60);
    known.retain(|_, (_, last)| now.saturating_duration_since(*last) < minute);
    if known.len() >= ADDRESSES
        && let Some(oldest) = known.iter().min_by_key(|(_, (_, last))| *last)
    {
        let oldest = *oldest.0;
        known.remove(&oldest);
    }
}

fn take(bucket: &mut Bucket, n: u32, now: Instant) -> Result<(), Refusal> {
    // What is refused costs nothing.
    let wait = bucket.clone().take(n, now);
    if !wait.is_zero() {
        return Err(Refusal::TooMany(wait));
    }
    bucket.take(n, now);
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn guesses_are_counted_by_address_and_come_back() {
        let throttle = Throttle::new(1, 2, &Registry::default());
        let [one, other] = ["192.0.2.1", "192.0.2.2"].map(|text| text.parse().unwrap());
        let now = Instant::now();
        for _ in 0..2 {
            assert!(throttle.may_guess(one, now).is_ok());
            throttle.guessed(one, now);
        }
        assert!(throttle.may_guess(one, now).is_err());
        assert!(throttle.may_guess(other, now).is_ok());
        assert!(
            throttle
                .may_guess(one, now + Duration::from_secs(31))
                .is_ok()
        );
    }

    #[test]
    fn a_token_may_ask_as_often_as_it_is_said() {
        let throttle = Throttle::new(1, 1, &Registry::default());
        let (id, now) = (Id::of_token("a"), Instant::now());
        for _ in 0..BURST {
            assert!(throttle.may_ask(id, now).is_ok());
        }
        assert!(throttle.may_ask(id, now).is_err());
        assert!(throttle.may_ask(Id::of_token("b"), now).is_ok());
        assert!(throttle.may_ask(id, now + Duration::from_secs(1)).is_ok());
    }
}
