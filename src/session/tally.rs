//! Counts the stanzas of one session: which are through, and what may be acknowledged (XEP-0198 §4).

use std::collections::VecDeque;

/// Numbers stanzas as they come in; they may be through in another order.
#[derive(Default)]
pub struct Tally {
    /// The number of the next stanza. All numbers wrap.
    next: u32,
    /// All before this one are through.
    through: u32,
    /// How far those from there on are; no longer than the session's window.
    ahead: VecDeque<Far>,
    /// This one was not handled: it and what follows is never acknowledged.
    lost: Option<u32>,
    outstanding: u32,
    /// The first one that counts.
    base: u32,
    /// How far the oldest and the newest request that is not answered ask.
    owed: Option<(u32, u32)>,
}

/// How far a stanza is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Far {
    UnderWay,
    /// With the committer, which writes in order.
    Submitted,
    Through,
}

impl Tally {
    /// Goes on counting where another stream of the session ended.
    pub fn from(handled: u32) -> Self {
        Tally {
            next: handled,
            through: handled,
            ..Tally::default()
        }
    }

    /// A stanza goes to the committer; `h` as it will be when that is written, if it moves.
    pub fn submit(&mut self, number: u32) -> Option<u32> {
        let at = number.wrapping_sub(self.through) as usize;
        self.mark(at, Far::Submitted);
        let firm = self.ahead.iter().take_while(|far| **far != Far::UnderWay);
        let firm = u32::try_from(firm.count()).unwrap_or(0);
        let counts = !reached(self.base, self.through.wrapping_add(firm));
        let lost = self.lost.is_some_and(|lost| reached(number, lost));
        (firm as usize > at && counts && !lost)
            .then(|| self.through.wrapping_add(firm).wrapping_sub(self.base))
    }

    fn mark(&mut self, at: usize, to: Far) {
        self.ahead
            .resize(self.ahead.len().max(at + 1), Far::UnderWay);
        if let Some(far) = self.ahead.get_mut(at) {
            *far = to;
        }
    }

    /// A stanza came in; its number.
    pub fn take(&mut self) -> u32 {
        let number = self.next;
        self.next = self.next.wrapping_add(1);
        self.outstanding += 1;
        number
    }

    /// A stanza is through.
    pub fn complete(&mut self, number: u32, handled: bool) {
        self.outstanding = self.outstanding.saturating_sub(1);
        if !handled && self.lost.is_none_or(|lost| reached(lost, number)) {
            self.lost = Some(number);
        }
        if self.lost.is_some_and(|lost| reached(number, lost)) {
            return;
        }
        let at = number.wrapping_sub(self.through) as usize;
        if at > 0 || !self.ahead.is_empty() {
            self.mark(at, Far::Through);
            while self.ahead.front() == Some(&Far::Through) {
                self.ahead.pop_front();
                self.through = self.through.wrapping_add(1);
            }
            if self.ahead.is_empty() {
                self.ahead = VecDeque::new();
            }
        } else {
            self.through = self.through.wrapping_add(1);
        }
    }

    /// How many are not through.
    pub fn outstanding(&self) -> u32 {
        self.outstanding
    }

    /// Acknowledgements are enabled: what comes from here on counts.
    pub fn begin(&mut self) {
        self.base = self.next;
    }

    /// What may be acknowledged: `h`.
    pub fn handled(&self) -> u32 {
        if reached(self.through, self.base) {
            self.through.wrapping_sub(self.base)
        } else {
            0
        }
    }

    /// The client asks for an acknowledgement of what it has sent.
    pub fn ask(&mut self) {
        let oldest = self.owed.map_or(self.next, |(oldest, _)| oldest);
        self.owed = Some((oldest, self.next));
    }

    /// Whether what a request asked for is through.
    pub fn is_due(&self) -> bool {
        self.owed
            .is_some_and(|(oldest, _)| reached(self.through, oldest))
    }

    /// The answer to a request, when it is due.
    pub fn pay(&mut self) -> Option<u32> {
        let (oldest, newest) = self.owed?;
        if !reached(self.through, oldest) {
            return None;
        }
        let all = reached(self.through, newest);
        self.owed = (!all).then_some((newest, newest));
        Some(self.handled())
    }
}

/// Whether a counter has come to `target`, modulo 2³².
fn reached(counter: u32, target: u32) -> bool {
    counter.wrapping_sub(target) <= u32::MAX / 2
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_through_without_a_gap_is_acknowledged() {
        let mut tally = Tally::default();
        let before = tally.take();
        tally.begin();
        let [a, b, c] = [tally.take(), tally.take(), tally.take()];
        tally.ask();
        tally.complete(c, true);
        tally.complete(a, true);
        assert_eq!((tally.handled(), tally.pay()), (0, None));
        tally.complete(before, true);
        assert_eq!((tally.handled(), tally.pay()), (1, None));
        tally.complete(b, true);
        assert_eq!((tally.pay(), tally.pay()), (Some(3), None));
        assert_eq!(tally.outstanding(), 0);
    }

    #[test]
    fn a_client_that_does_not_stop_sending_is_answered() {
        let mut tally = Tally::default();
        let mut answers = Vec::new();
        let mut under_way = VecDeque::new();
        for n in 0..100 {
            under_way.push_back(tally.take());
            if n % 10 == 9 {
                tally.ask();
            }
            if under_way.len() > 15 {
                tally.complete(under_way.pop_front().unwrap_or_default(), true);
                answers.extend(tally.pay());
            }
        }
        assert_eq!(answers, [10, 20, 30, 40, 50, 60, 70, 80]);
    }

    #[test]
    fn what_was_not_handled_ends_the_count() {
        let mut tally = Tally::default();
        tally.begin();
        let all: Vec<u32> = (0..5).map(|_| tally.take()).collect();
        for (&number, handled) in all.iter().zip([true, true, false, true, false]).rev() {
            tally.complete(number, handled);
        }
        tally.ask();
        assert_eq!((tally.handled(), tally.pay()), (2, None));
        assert_eq!(tally.outstanding(), 0);
    }

    #[test]
    fn what_is_written_down_is_never_more_than_is_written() {
        let mut tally = Tally::default();
        let before = tally.take();
        tally.begin();
        let [a, b, c] = [tally.take(), tally.take(), tally.take()];
        assert_eq!(tally.submit(b), None, "those before it are under way");
        assert_eq!(tally.submit(before), None, "it does not count");
        assert_eq!(tally.submit(a), Some(2), "it closes the gap");
        tally.complete(before, true);
        tally.complete(a, true);
        tally.complete(c, true);
        assert_eq!(tally.handled(), 1);
        tally.complete(b, true);
        assert_eq!(tally.handled(), 3);
        let mut again = Tally::from(tally.handled());
        let d = again.take();
        assert_eq!((again.submit(d), again.handled()), (Some(4), 3));
        again.complete(d, false);
        let e = again.take();
        assert_eq!((again.submit(e), again.handled()), (None, 3));
    }

    #[test]
    fn counters_wrap() {
        let mut tally = Tally {
            next: u32::MAX - 1,
            through: u32::MAX - 1,
            ..Tally::default()
        };
        tally.begin();
        for _ in 0..4 {
            let number = tally.take();
            tally.ask();
            tally.complete(number, true);
        }
        assert_eq!((tally.handled(), tally.pay()), (4, Some(4)));
    }
}
