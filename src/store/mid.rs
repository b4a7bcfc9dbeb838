//! Message ids: the XEP-0359 (0.7.0) stanza-id, the XEP-0313 (1.1.3) archive id and the order of commits, in one.

use crate::runtime::random;
use std::fmt;
use std::str::FromStr;

/// 16 bytes: 48 bits of Unix milliseconds, 16 bits of sequence, 64 random bits. Strictly increasing
/// in the order of commits on one node, also when the clock steps back, so the time in it may run
/// ahead of the clock: what time a message has is kept in its value. Written as 26 characters of base32hex.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Mid([u8; 16]);

/// A text that is not a [`Mid`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a message id")]
pub struct MidError;

/// Digits in the order of their values, so that texts sort as ids do.
const DIGITS: &[u8; 32] = b"0123456789abcdefghijklmnopqrstuv";
const TEXT: usize = 26;
const MAX_MS: u64 = (1 << 48) - 1;

impl Mid {
    /// Below every id that is ever drawn.
    pub const MIN: Mid = Mid([0; 16]);
    /// Above every id that is ever drawn.
    pub const MAX: Mid = Mid([u8::MAX; 16]);

    /// The id with these bytes.
    pub fn from_bytes(bytes: [u8; 16]) -> Mid {
        Mid(bytes)
    }

    /// The bytes, which sort as ids do.
    pub fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }

    /// The id just below this one.
    pub fn before(self) -> Mid {
        Mid(u128::from_be_bytes(self.0).saturating_sub(1).to_be_bytes())
    }

    /// The id just above this one.
    pub fn after(self) -> Mid {
        Mid(u128::from_be_bytes(self.0).saturating_add(1).to_be_bytes())
    }

    /// Unix milliseconds at which the id was drawn, or a little later (see [`Mid`]).
    pub fn ms(self) -> u64 {
        (u128::from_be_bytes(self.0) >> 80) as u64
    }

    /// The lowest possible id of a millisecond; a bound for scans by time.
    pub fn first_of(ms: u64) -> Mid {
        Mid::from_parts(ms, 0, 0)
    }

    fn seq(self) -> u16 {
        (u128::from_be_bytes(self.0) >> 64) as u16
    }

    fn from_parts(ms: u64, seq: u16, random: u64) -> Mid {
        let high = (ms.min(MAX_MS) << 16) | u64::from(seq);
        Mid((u128::from(high) << 64 | u128::from(random)).to_be_bytes())
    }
}

/// Draws ids, each above the one before: for the committer, and for messages that come from another server.
#[derive(Debug)]
pub struct MidSource {
    last: Mid,
    /// Random words not yet used: one system call serves 32 ids.
    words: [u8; 256],
    used: usize,
}

impl MidSource {
    /// Ids above `last`.
    pub fn after(last: Mid) -> MidSource {
        MidSource {
            last,
            words: random::bytes(),
            used: 0,
        }
    }

    /// The last id that was drawn, or what all are above.
    pub fn last(&self) -> Mid {
        self.last
    }

    /// The next id, at wall-clock time `now` in Unix milliseconds.
    pub fn draw(&mut self, now: u64) -> Mid {
        let random = self.random();
        let (ms, seq) = match (now.min(MAX_MS) > self.last.ms(), self.last.seq()) {
            (true, _) => (now, 0),
            (false, u16::MAX) => (self.last.ms() + 1, 0),
            (false, seq) => (self.last.ms(), seq + 1),
        };
        self.last = Mid::from_parts(ms, seq, random);
        self.last
    }

    fn random(&mut self) -> u64 {
        let mut next = self
            .words
            .get(self.used..)
            .and_then(|rest| rest.first_chunk::<8>());
        if next.is_none() {
            self.words = random::bytes();
            self.used = 0;
            next = self.words.first_chunk::<8>();
        }
        self.used += 8;
        next.map_or(0, |word| u64::from_be_bytes(*word))
    }
}

impl fmt::Display for Mid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bits = u128::from_be_bytes(self.0);
        for place in (0..TEXT).rev() {
            let digit = (bits >> (5 * place)) as usize % DIGITS.len();
            f.write_str(
                DIGITS
                    .get(digit..=digit)
                    .and_then(|d| std::str::from_utf8(d).ok())
                    .unwrap_or_default(),
            )?;
        }
        Ok(())
    }
}

impl fmt::Debug for Mid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Mid {
    type Err = MidError;

    /// Takes only what [`Display`](fmt::Display) writes: one id has one spelling.
    fn from_str(text: &str) -> Result<Mid, MidError> {
        if text.len() != TEXT {
            return Err(MidError);
        }
        let mut bits: u128 = 0;
        for (place, byte) in text.bytes().enumerate() {
            let digit = match byte {
                b'0'..=b'9' => byte - b'0',
                b'a'..=b'v' => byte - b'a' + 10,
                _ => return Err(MidError),
            };
            // 26 digits are 130 bits: the first carries three.
            if place == 0 && digit > 7 {
                return Err(MidError);
            }
            bits = (bits << 5) | u128::from(digit);
        }
        Ok(Mid(bits.to_be_bytes()))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn text_reads_back_and_sorts(a in any::<[u8; 16]>(), b in any::<[u8; 16]>()) {
            let (a, b) = (Mid(a), Mid(b));
            prop_assert_eq!(a.to_string().parse(), Ok(a));
            prop_assert_eq!(a.to_string().cmp(&b.to_string()), a.cmp(&b));
        }

        #[test]
        fn ids_rise_whatever_the_clock_does(clock in proptest::collection::vec(0..1u64 << 49, 1..200)) {
            let mut source = MidSource::after(Mid::first_of(1 << 20));
            let mut last = source.last;
            for now in clock {
                let next = source.draw(now);
                prop_assert!(next > last);
                last = next;
            }
        }
    }

    #[test]
    fn a_full_millisecond_borrows_the_next() {
        let mut source = MidSource::after(Mid::from_parts(5, u16::MAX, 9));
        let next = source.draw(1);
        assert_eq!((next.ms(), next.seq()), (6, 0));
    }

    #[test]
    fn other_spellings_are_refused() {
        let text = Mid::MAX.to_string();
        assert_eq!(text.parse(), Ok(Mid::MAX));
        for bad in [
            "",
            &text[1..],
            &text.to_uppercase(),
            &format!("8{}", &text[1..]),
            &format!("{text}0"),
        ] {
            assert_eq!(bad.parse::<Mid>(), Err(MidError), "{bad}");
        }
    }
}
