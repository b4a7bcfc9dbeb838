//! The pace of one registration: what is to be told, and when.

use std::time::{Duration, Instant};

use super::notice::Notice;
use super::registrations::Device;
use crate::runtime::backoff::Backoff;

/// The first pause after a failure.
const FIRST: Duration = Duration::from_secs(2);
/// Notices that do not wait, between two that would.
const URGENT: u8 = 4;
/// After a longer pause a call is no longer news.
const RINGS: Duration = Duration::from_secs(30);

/// What goes to one registration.
pub(super) struct Line {
    /// Whose it is.
    pub device: Device,
    waits: Option<Notice>,
    under_way: Option<Notice>,
    /// Messages since the device was there.
    messages: u32,
    /// The next notice waits until then, unless it is urgent.
    next: Option<Instant>,
    urgent: u8,
    /// After a failure nothing goes before.
    not_before: Option<Instant>,
    backoff: Backoff,
    failures: u32,
}

impl Line {
    /// Pauses after failures grow up to `longest`.
    pub fn new(device: Device, longest: Duration) -> Line {
        Line {
            device,
            waits: None,
            under_way: None,
            messages: 0,
            next: None,
            urgent: 0,
            not_before: None,
            backoff: Backoff::new(FIRST, longest),
            failures: 0,
        }
    }

    /// Something happened.
    pub fn add(&mut self, notice: &Notice) {
        self.messages = self.messages.saturating_add(notice.messages);
        match &mut self.waits {
            Some(waits) => waits.join(notice.clone()),
            None => self.waits = Some(notice.clone()),
        }
    }

    /// When what waits may go; nothing while one is under way.
    pub fn due(&self, now: Instant) -> Option<Instant> {
        let waits = self.waits.as_ref().filter(|_| self.under_way.is_none())?;
        let paced = self.next.filter(|next| *next > now);
        let paced = match waits.is_urgent() && self.urgent < URGENT {
            true => None,
            false => paced,
        };
        Some(paced.max(self.not_before).unwrap_or(now).max(now))
    }

    /// Takes what waits, to be sent now; another one waits for `interval`. Its number of messages is of all since the device was
    /// there.
    pub fn take(&mut self, now: Instant, interval: Duration) -> Option<Notice> {
        let mut notice = self.waits.take()?;
        self.under_way = Some(notice.clone());
        if self.next.is_none_or(|next| next <= now) {
            self.urgent = 0;
        }
        self.urgent = self.urgent.saturating_add(u8::from(notice.is_urgent()));
        self.next = now.checked_add(interval);
        notice.messages = self.messages;
        Some(notice)
    }

    /// What was under way has arrived.
    pub fn arrived(&mut self) {
        self.under_way = None;
        self.not_before = None;
        self.backoff.reset();
        self.failures = 0;
    }

    /// It has not; what it told is told later, not before `after` if that is longer than the pause would be.
    pub fn failed(&mut self, now: Instant, after: Duration) {
        self.failures = self.failures.saturating_add(1);
        let pause = self.backoff.next().max(after);
        self.not_before = now.checked_add(pause);
        let Some(mut notice) = self.under_way.take() else {
            return;
        };
        if let Some(later) = self.waits.take() {
            notice.join(later);
        }
        if pause > RINGS {
            notice.call = None;
        }
        self.waits = (notice != Notice::default()).then_some(notice);
    }

    /// The device is there, and sees for itself.
    pub fn awake(&mut self) {
        self.waits = None;
        self.messages = 0;
        // What is under way and fails is not told again.
        if let Some(under_way) = &mut self.under_way {
            *under_way = Notice::default();
        }
    }

    /// Failures since something arrived.
    pub fn failures(&self) -> u32 {
        self.failures
    }

    /// Whether something is under way.
    pub fn is_sending(&self) -> bool {
        self.under_way.is_some()
    }

    /// Whether something is to be sent, or is under way.
    pub fn is_busy(&self) -> bool {
        self.waits.is_some() || self.under_way.is_some()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::notice::Call;
    use super::*;

    const INTERVAL: Duration = Duration::from_secs(10);
    const HOUR: Duration = Duration::from_secs(3_600);

    fn line() -> Line {
        Line::new(Device::Resource("phone".into()), HOUR)
    }

    fn message() -> Notice {
        Notice {
            messages: 1,
            ..Notice::default()
        }
    }

    fn ring() -> Notice {
        Notice {
            call: Some(Call::Invited("c".to_owned())),
            ..message()
        }
    }

    #[test]
    fn a_flood_is_two_notices() {
        let (mut line, start) = (line(), Instant::now());
        assert_eq!(line.due(start), None);
        line.add(&message());
        assert_eq!(line.due(start), Some(start));
        assert_eq!(line.take(start, INTERVAL).unwrap().messages, 1);
        for _ in 0..100 {
            line.add(&message());
        }
        assert_eq!(line.due(start), None, "one is under way");
        line.arrived();
        assert_eq!(line.due(start), Some(start + INTERVAL));
        let later = start + INTERVAL;
        assert_eq!(line.take(later, INTERVAL).unwrap().messages, 101);
        line.arrived();
        assert!(!line.is_busy());
    }

    #[test]
    fn calls_do_not_wait_but_a_flood_of_them_does() {
        let (mut line, start) = (line(), Instant::now());
        line.add(&message());
        line.take(start, INTERVAL).unwrap();
        line.arrived();
        for _ in 0..URGENT {
            line.add(&ring());
            assert_eq!(line.due(start), Some(start));
            line.take(start, INTERVAL).unwrap();
            line.arrived();
        }
        line.add(&ring());
        assert_eq!(line.due(start), Some(start + INTERVAL));
        let later = start + INTERVAL;
        line.take(later, INTERVAL).unwrap();
        line.arrived();
        line.add(&ring());
        assert_eq!(line.due(later), Some(later));
    }

    #[test]
    fn failures_are_waited_out_longer_and_longer() {
        let (mut line, mut now) = (line(), Instant::now());
        line.add(&ring());
        let mut pauses = Vec::new();
        for _ in 0..16 {
            line.take(now, INTERVAL).unwrap();
            line.failed(now, Duration::ZERO);
            let due = line.due(now).unwrap();
            pauses.push(due - now);
            now = due;
        }
        assert!(*pauses.first().unwrap() <= INTERVAL, "{pauses:?}");
        assert!(*pauses.last().unwrap() >= HOUR / 2, "{pauses:?}");
        assert!(pauses.iter().all(|pause| *pause <= HOUR), "{pauses:?}");
        let notice = line.take(now, INTERVAL).unwrap();
        assert_eq!((notice.messages, notice.call), (1, None));
        line.failed(now, Duration::from_secs(9_000));
        assert_eq!(line.due(now), Some(now + Duration::from_secs(9_000)));
    }

    #[test]
    fn who_is_there_is_told_nothing() {
        let (mut line, now) = (line(), Instant::now());
        line.add(&message());
        line.awake();
        assert!(!line.is_busy());
        line.add(&message());
        assert_eq!(line.take(now, INTERVAL).unwrap().messages, 1);
    }
}
