//! How much is said in a room (XEP-0502 0.1.0).

use std::collections::VecDeque;

use super::Room;
use crate::proto::ns;
use crate::proto::stanza::Stanza;

/// Milliseconds of an hour.
const HOUR: u64 = 3_600_000;

/// Hours that are looked back.
const LOOK_BACK: u64 = 24;

/// What was said, by the hour, while the room was in memory.
#[derive(Debug, Default)]
pub struct Activity {
    /// The hour in which counting began.
    since: Option<u64>,
    /// Messages of the hours in which something was said, oldest first.
    hours: VecDeque<(u64, u32)>,
}

impl Activity {
    /// Something was said, or is about to be.
    fn count(&mut self, wall: u64, messages: u32) {
        let hour = wall / HOUR;
        self.since.get_or_insert(hour);
        if messages > 0 {
            match self.hours.back_mut() {
                Some((last, count)) if *last == hour => *count = count.saturating_add(messages),
                _ => self.hours.push_back((hour, messages)),
            }
        }
        while self
            .hours
            .front()
            .is_some_and(|(at, _)| hour.saturating_sub(*at) > LOOK_BACK)
        {
            self.hours.pop_front();
        }
    }

    /// Messages of an hour, over the last hours that were seen from end to end (§5).
    fn per_hour(&self, wall: u64) -> Option<f64> {
        let hour = wall / HOUR;
        let whole = hour.saturating_sub(self.since?).min(LOOK_BACK);
        if whole == 0 {
            return None;
        }
        let first = hour.saturating_sub(whole);
        let hours = self
            .hours
            .iter()
            .filter(|(at, _)| (first..hour).contains(at));
        let messages: f64 = hours.map(|(_, count)| f64::from(*count)).sum();
        Some(messages / whole as f64)
    }
}

impl Room {
    /// Counting begins when somebody is there.
    pub(super) fn watch_activity(&mut self, wall: u64) {
        self.activity.count(wall, 0);
    }

    /// §4: text counts, its correction does not.
    pub(super) fn count_said(&mut self, stanza: &Stanza, wall: u64) {
        let counts = stanza.child("body", ns::CLIENT).is_some()
            && stanza.child("replace", ns::CORRECTION).is_none();
        self.activity.count(wall, u32::from(counts));
    }

    /// §3.1, §9: of rooms that everybody may find and enter.
    pub(super) fn activity(&self, wall: u64) -> Option<f64> {
        let options = self.options()?;
        let open = options.persistent
            && options.public
            && !options.members_only
            && options.password.is_none();
        self.activity.per_hour(wall).filter(|_| open)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_hours_are_averaged_as_far_as_they_were_seen() {
        let mut activity = Activity::default();
        assert_eq!(activity.per_hour(5 * HOUR), None);
        activity.count(5 * HOUR, 0);
        activity.count(5 * HOUR + 7, 6);
        assert_eq!(activity.per_hour(6 * HOUR - 1), None, "no hour is over");
        assert_eq!(activity.per_hour(6 * HOUR), Some(6.0));
        activity.count(6 * HOUR, 3);
        assert_eq!(activity.per_hour(6 * HOUR), Some(6.0));
        assert_eq!(activity.per_hour(8 * HOUR), Some(3.0));
        assert_eq!(activity.per_hour(29 * HOUR), Some(9.0 / 24.0));
        assert_eq!(activity.per_hour(31 * HOUR), Some(0.0));
        for hour in 100..1_000 {
            activity.count(hour * HOUR, 1);
        }
        assert!(activity.hours.len() <= 25);
    }
}
