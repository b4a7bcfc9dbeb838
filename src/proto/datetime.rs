//! XEP-0082: XMPP Date and Time Profiles (1.1.1), the DateTime profile.

const DAY_MS: u64 = 86_400_000;
/// 9999-12-31T23:59:59.999Z, the last moment that four digits of year can name.
const LAST: u64 = 253_402_300_799_999;

/// Writes Unix milliseconds as `CCYY-MM-DDThh:mm:ss[.sss]Z`; the fraction only if there is one.
/// What lies beyond the year 9999 becomes its last moment.
pub fn format(ms: u64) -> String {
    let ms = ms.min(LAST);
    let (year, month, day) = civil(ms / DAY_MS);
    let rest = ms % DAY_MS;
    let (hours, minutes) = (rest / 3_600_000, rest / 60_000 % 60);
    let (seconds, fraction) = (rest / 1000 % 60, rest % 1000);
    let fraction = match fraction {
        0 => String::new(),
        _ => format!(".{fraction:03}"),
    };
    format!("{year:04}-{month:02}-{day:02}T{hours:02}:{minutes:02}:{seconds:02}{fraction}Z")
}

/// Reads a DateTime into Unix milliseconds, dropping what is finer. `None` if it is no DateTime;
/// a moment before 1970 reads as 0, for nothing here is that old.
pub fn parse(text: &str) -> Option<u64> {
    let (date, time) = text.split_once('T')?;
    let [year, month, day] = numbers(date, '-', [4, 2, 2])?;
    if !(1..=12).contains(&month) || !(1..=days_in(year, month)).contains(&day) {
        return None;
    }
    let zone_at = time.find(['Z', '+', '-'])?;
    let (clock, zone) = time.split_at_checked(zone_at)?;
    let (clock, fraction) = match clock.split_once('.') {
        Some((clock, fraction)) => (clock, milliseconds(fraction)?),
        None => (clock, 0),
    };
    let [hours, minutes, seconds] = numbers(clock, ':', [2, 2, 2])?;
    if hours > 23 || minutes > 59 || seconds > 59 {
        return None;
    }
    let time_ms = ((hours * 60 + minutes) * 60 + seconds) * 1000 + fraction;
    let ms = days_from_epoch(year, month, day) * DAY_MS as i64 + time_ms - offset_ms(zone)?;
    Some(u64::try_from(ms).unwrap_or(0))
}

/// `Z`, or `(+|-)hh:mm` up to 14 hours, as XML Schema has it.
fn offset_ms(zone: &str) -> Option<i64> {
    let (sign, rest) = match zone.split_at_checked(1)? {
        ("Z", "") => return Some(0),
        ("+", rest) => (1, rest),
        ("-", rest) => (-1, rest),
        _ => return None,
    };
    let [hours, minutes] = numbers(rest, ':', [2, 2])?;
    let within = minutes <= 59 && hours * 60 + minutes <= 14 * 60;
    within.then_some(sign * (hours * 60 + minutes) * 60_000)
}

/// Exactly `N` numbers of exactly the given numbers of digits.
fn numbers<const N: usize>(text: &str, separator: char, digits: [usize; N]) -> Option<[i64; N]> {
    let mut out = [0; N];
    let mut parts = text.split(separator);
    for (slot, digits) in out.iter_mut().zip(digits) {
        let part = parts.next().filter(|part| part.len() == digits)?;
        *slot = decimal(part)?;
    }
    parts.next().is_none().then_some(out)
}

/// Any number of digits of a fraction of a second, cut after the third.
fn milliseconds(fraction: &str) -> Option<i64> {
    if fraction.is_empty() || !fraction.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let mut three: String = fraction.chars().take(3).collect();
    while three.len() < 3 {
        three.push('0');
    }
    decimal(&three)
}

fn decimal(text: &str) -> Option<i64> {
    let digits = text.bytes().all(|b| b.is_ascii_digit());
    digits.then(|| text.parse().ok()).flatten()
}

fn days_in(year: i64, month: i64) -> i64 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        _ => 31,
    }
}

/// Days since 1970-01-01 of a Gregorian date, counting years from March so that the leap day is
/// the last of its year.
fn days_from_epoch(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let (era, of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let of_era = of_era * 365 + of_era / 4 - of_era / 100 + of_year;
    era * 146_097 + of_era - 719_468
}

/// The inverse of [`days_from_epoch`].
fn civil(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let (era, of_era) = (days / 146_097, days % 146_097);
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * from_march + 2) / 5 + 1;
    let month = (from_march + 2) % 12 + 1;
    let year = era * 400 + year + u64::from(month <= 2);
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn known_moments() {
        for (text, ms) in [
            ("1970-01-01T00:00:00Z", 0),
            ("2002-09-10T23:08:25Z", 1_031_699_305_000),
            ("2000-02-29T12:00:00.5Z", 951_825_600_500),
            ("2026-11-24T21:50:28.007Z", 1_795_557_028_007),
        ] {
            assert_eq!(parse(text), Some(ms), "{text}");
        }
        assert_eq!(format(1_031_699_305_000), "2002-09-10T23:08:25Z");
        assert_eq!(format(1_795_557_028_007), "2026-11-24T21:50:28.007Z");
        assert_eq!(format(u64::MAX), "9999-12-31T23:59:59.999Z");
    }

    #[test]
    fn zones_and_fractions() {
        let noon = parse("2026-01-01T12:00:00Z");
        assert_eq!(parse("2026-01-01T05:00:00-07:00"), noon);
        assert_eq!(parse("2026-01-02T01:30:00+13:30"), noon);
        assert_eq!(parse("2026-01-01T12:00:00.000999999Z"), noon);
        assert_eq!(parse("1969-07-21T02:56:15Z"), Some(0));
    }

    #[test]
    fn what_is_no_datetime() {
        for text in [
            "",
            "T",
            "2026-01-01",
            "2026-01-01T12:00:00",
            "20260101T12:00:00Z",
            "2026-1-1T1:0:0Z",
            "2026-02-29T00:00:00Z",
            "2026-13-01T00:00:00Z",
            "2026-00-01T00:00:00Z",
            "2026-01-01T24:00:00Z",
            "2026-01-01T12:60:00Z",
            "2026-01-01T12:00:00.Z",
            "2026-01-01T12:00:00z",
            "2026-01-01T12:00:00+1:00",
            "2026-01-01T12:00:00+15:00",
            "2026-01-01T12:00:00ZZ",
            "+026-01-01T12:00:00Z",
            "2026-01-01T12:00:00é",
            "é",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(ms in 0..=LAST) {
            prop_assert_eq!(parse(&format(ms)), Some(ms));
        }

        #[test]
        fn it_never_panics(text in "[0-9TZ:.+é-]{0,30}") {
            parse(&text);
        }
    }
}
