//! What is in memory of an account whose devices were told something lately.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use smallvec::SmallVec;
use tokio::sync::Notify;

use super::desk::Pace;
use super::line::Line;
use super::notice::Notice;
use super::registrations::{Device, Found, Target};

/// Which devices of an account something is news to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Asleep {
    /// Only these, if not all.
    pub only: Option<SmallVec<[Device; 1]>>,
    /// None of these: they are there.
    pub awake: SmallVec<[Device; 1]>,
}

impl Asleep {
    /// Whether it is news to this device.
    pub fn has(&self, device: &Device) -> bool {
        let meant = self.only.as_ref().is_none_or(|only| only.contains(device));
        meant && !self.awake.contains(device)
    }

    /// Whether it is news to nobody, whatever is registered.
    pub fn is_nobody(&self) -> bool {
        let mut only = self.only.iter().flatten();
        self.only.is_some() && only.all(|device| self.awake.contains(device))
    }
}

/// News of different devices that wait to be sorted.
const INBOX: usize = 32;
/// Notifications of one account under way at once.
const AT_ONCE: usize = 4;

/// One account.
#[derive(Default)]
pub(super) struct Watch {
    /// What was not sorted yet.
    inbox: Vec<(Asleep, Notice)>,
    /// By the keys of the registrations.
    lines: HashMap<Vec<u8>, Line>,
    /// Whether somebody looks after it.
    pub tended: bool,
    /// Wakes who does.
    pub changed: Arc<Notify>,
    /// When something happened last.
    pub used: Option<Instant>,
}

/// What to do next.
pub(super) enum Next<T: Target> {
    /// Send these, then look again at that time, if there is one, or when something changes.
    Send(Vec<(Found<T>, Notice)>, Option<Instant>),
    /// Nothing.
    Rest,
}

impl Watch {
    /// Takes news in; whether there was room.
    pub fn put(&mut self, asleep: Asleep, notice: Notice) -> bool {
        if let Some((last, known)) = self.inbox.last_mut()
            && *last == asleep
        {
            known.join(notice);
            return true;
        }
        let room = self.inbox.len() < INBOX;
        if room {
            self.inbox.push((asleep, notice));
        }
        room
    }

    /// A device is there.
    pub fn awake(&mut self, device: &Device) {
        for (asleep, _) in &mut self.inbox {
            asleep.awake.push(device.clone());
        }
        let lines = self.lines.values_mut();
        lines
            .filter(|line| line.device == *device)
            .for_each(Line::awake);
    }

    /// Nothing is being sent, whatever was: a task broke.
    pub fn nothing_is_under_way(&mut self, now: Instant) {
        let lost = self.lines.values_mut().filter(|line| line.is_sending());
        lost.for_each(|line| line.failed(now, Duration::ZERO));
    }

    /// Sorts what came among the registrations there are, and says what is to be sent now.
    pub fn plan<T: Target>(&mut self, found: Vec<Found<T>>, now: Instant, pace: &Pace) -> Next<T> {
        self.sort(&found, pace);
        let sending = self.lines.values().filter(|line| line.is_sending()).count();
        let mut room = AT_ONCE.saturating_sub(sending);
        let (mut parcels, mut later): (Vec<_>, Option<Instant>) = (Vec::new(), None);
        for found in found {
            let Some(line) = self.lines.get_mut(&found.key) else {
                continue;
            };
            let Some(due) = line.due(now) else { continue };
            if due > now {
                later = Some(later.map_or(due, |other| other.min(due)));
            } else if room > 0
                && let Some(notice) = line.take(now, pace.interval)
            {
                room -= 1;
                parcels.push((found, notice));
            }
        }
        let busy = self.lines.values().any(Line::is_busy);
        self.tended = busy;
        match busy {
            true => Next::Send(parcels, later),
            false => Next::Rest,
        }
    }

    fn sort<T: Target>(&mut self, found: &[Found<T>], pace: &Pace) {
        let inbox = std::mem::take(&mut self.inbox);
        self.lines
            .retain(|key, line| line.is_sending() || found.iter().any(|found| found.key == *key));
        for found in found {
            let device = &found.registration.device;
            if let Some(line) = self.lines.get_mut(&found.key) {
                line.device.clone_from(device);
            }
            for (_, notice) in inbox.iter().filter(|(asleep, _)| asleep.has(device)) {
                let new = || Line::new(device.clone(), pace.longest);
                let line = self.lines.entry(found.key.clone()).or_insert_with(new);
                line.add(notice);
            }
        }
    }

    /// The line of a registration.
    pub fn line(&mut self, key: &[u8]) -> Option<&mut Line> {
        self.lines.get_mut(key)
    }

    /// Whether nothing was told for so long that it may be forgotten.
    pub fn is_idle(&self, now: Instant, since: Duration) -> bool {
        let used = self.used.map(|used| now.saturating_duration_since(used));
        !self.tended && used.is_none_or(|idle| idle >= since)
    }
}
