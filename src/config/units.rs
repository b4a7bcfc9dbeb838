//! Human units: sizes as `"256KiB"` or `"10MB"`, durations as `"30s"`, `"5m"`, `"1d"`.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::de::{self, Deserializer, Visitor};
use serde::{Deserialize, Serialize, Serializer};

/// A number of bytes. Written as an integer or as text with B, kB, MB, GB (powers of 1000) or KiB, MiB, GiB (powers of 1024).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Bytes(pub u64);

impl Bytes {
    /// `n` KiB.
    pub const fn kib(n: u64) -> Self {
        Self(n * 1024)
    }

    /// `n` MiB.
    pub const fn mib(n: u64) -> Self {
        Self(n * 1024 * 1024)
    }

    /// `n` GiB.
    pub const fn gib(n: u64) -> Self {
        Self(n * 1024 * 1024 * 1024)
    }

    /// The number of bytes.
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The number of bytes as a length in memory (saturating where `usize` is smaller).
    pub fn as_usize(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }
}

/// Units in the order in which they are tried for display; plain bytes come last.
const SIZES: [(&str, u64); 7] = [
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("kB", 1_000),
    ("B", 1),
];

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fitting = SIZES
            .iter()
            .find(|(_, size)| self.0 >= *size && self.0.is_multiple_of(*size));
        let (unit, size) = fitting.unwrap_or(&("B", 1));
        write!(f, "{}{unit}", self.0 / size)
    }
}

/// The text is not a number followed by a known unit, or the value does not fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a number with a unit")]
pub struct BadUnit;

impl FromStr for Bytes {
    type Err = BadUnit;

    fn from_str(text: &str) -> Result<Self, BadUnit> {
        let (number, unit) = split_number(text)?;
        let size = SIZES
            .iter()
            .find(|(name, _)| name.eq_ignore_ascii_case(unit))
            .map(|(_, size)| *size);
        let size = size.ok_or(BadUnit)?;
        number.checked_mul(size).map(Self).ok_or(BadUnit)
    }
}

/// A span of time. Written as text with ms, s, m, h, d or w; parts add up (`"1h30m"`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Period(pub Duration);

impl Period {
    /// `n` milliseconds.
    pub const fn millis(n: u64) -> Self {
        Self(Duration::from_millis(n))
    }

    /// `n` seconds.
    pub const fn seconds(n: u64) -> Self {
        Self(Duration::from_secs(n))
    }

    /// `n` minutes.
    pub const fn minutes(n: u64) -> Self {
        Self::seconds(n * 60)
    }

    /// `n` days.
    pub const fn days(n: u64) -> Self {
        Self::seconds(n * 86_400)
    }

    /// The duration.
    pub const fn get(self) -> Duration {
        self.0
    }
}

/// Weeks are read but not shown.
const TIMES: [(&str, u64); 6] = [
    ("w", 604_800_000),
    ("d", 86_400_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1_000),
    ("ms", 1),
];

impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = u64::try_from(self.0.as_millis()).unwrap_or(u64::MAX);
        if rest == 0 {
            return f.write_str("0s");
        }
        for (unit, size) in TIMES.into_iter().skip(1) {
            if rest >= size {
                write!(f, "{}{unit}", rest / size)?;
                rest %= size;
            }
        }
        Ok(())
    }
}

impl FromStr for Period {
    type Err = BadUnit;

    fn from_str(text: &str) -> Result<Self, BadUnit> {
        let mut total: u64 = 0;
        let mut rest = text.trim();
        if rest.is_empty() {
            return Err(BadUnit);
        }
        while !rest.is_empty() {
            let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
            let (_, after) = rest.split_at_checked(digits).ok_or(BadUnit)?;
            let end = after
                .find(|c: char| c.is_ascii_digit())
                .unwrap_or(after.len());
            let (part, next) = rest.split_at_checked(digits + end).ok_or(BadUnit)?;
            let (number, unit) = split_number(part)?;
            let size = TIMES
                .iter()
                .find(|(name, _)| *name == unit)
                .ok_or(BadUnit)?
                .1;
            let value = number.checked_mul(size).ok_or(BadUnit)?;
            total = total.checked_add(value).ok_or(BadUnit)?;
            rest = next.trim_start();
        }
        Ok(Self(Duration::from_millis(total)))
    }
}

fn split_number(text: &str) -> Result<(u64, &str), BadUnit> {
    let text = text.trim();
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at_checked(digits).ok_or(BadUnit)?;
    let number = number.parse().map_err(|_| BadUnit)?;
    Ok((number, unit.trim()))
}

impl Serialize for Bytes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl Serialize for Period {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Size;
        impl Visitor<'_> for Size {
            type Value = Bytes;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a size such as \"256KiB\"")
            }

            fn visit_u64<E: de::Error>(self, value: u64) -> Result<Bytes, E> {
                Ok(Bytes(value))
            }

            fn visit_i64<E: de::Error>(self, value: i64) -> Result<Bytes, E> {
                u64::try_from(value).map(Bytes).map_err(E::custom)
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Bytes, E> {
                text.parse().map_err(E::custom)
            }
        }
        deserializer.deserialize_any(Size)
    }
}

impl<'de> Deserialize<'de> for Period {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn sizes() {
        for (text, value) in [
            ("256KiB", 262_144),
            ("10MB", 10_000_000),
            ("7 b", 7),
            ("1 gib", 1 << 30),
        ] {
            assert_eq!(text.parse::<Bytes>(), Ok(Bytes(value)), "{text}");
        }
        for text in ["", "KiB", "1.5MB", "-1B", "10", "10 XB", "99999999999GiB"] {
            assert_eq!(text.parse::<Bytes>(), Err(BadUnit), "{text}");
        }
    }

    #[test]
    fn times() {
        for (text, ms) in [
            ("30s", 30_000),
            ("1h30m", 5_400_000),
            ("1d", 86_400_000),
            ("250 ms", 250),
            ("0s", 0),
        ] {
            let time = text.parse::<Period>();
            assert_eq!(time, Ok(Period(Duration::from_millis(ms))), "{text}");
        }
        for text in ["", "30", "s", "1.5h", "5 minutes", "1h 30", "-1s"] {
            assert_eq!(text.parse::<Period>(), Err(BadUnit), "{text}");
        }
    }

    proptest! {
        #[test]
        fn shown_values_read_back(n in any::<u64>()) {
            prop_assert_eq!(Bytes(n).to_string().parse(), Ok(Bytes(n)));
            let time = Period(Duration::from_millis(n));
            prop_assert_eq!(time.to_string().parse(), Ok(time));
        }
    }
}
