//! One pair of domains: when to call, what to hand to which stream, what goes back. No socket, no clock, no store.
//!
//! What is kept on disk is never held in memory too: while no stream takes it, it is only counted, and read again page by
//! page, in order, when one does.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

pub(crate) use super::input::{Act, Input, Item, Mark, Times, Way, is_answered};
use super::loss::Loss;
use super::trouble::Trouble;
use crate::hooks::Pushed;
use crate::runtime::backoff::Backoff;
use crate::state::outbox::Kept;
use crate::store::Mid;

/// Entries read at once.
pub(super) const PAGE: usize = 100;
/// What is not kept and waits for a stream.
const WAITING: usize = 200;

/// A stream that carried nothing and lived shorter than this was no success: calls go on growing rarer.
pub(super) const STABLE: Duration = Duration::from_secs(10);

/// Who opened a stream that broke resumes it; the other side waits so long before it calls itself.
const CALLER_FIRST: Duration = Duration::from_secs(5);

/// The state of one pair of domains.
pub(crate) struct Pair {
    times: Times,
    link: Link,
    backlog: Backlog,
    /// Kept and not known to be with the other side.
    kept: u64,
    /// The last of them. What is on disk beyond comes as an input yet, and must not be read before.
    last: Option<Mid>,
    /// Not kept, in order.
    waiting: VecDeque<Item>,
    backoff: Backoff,
    trouble: Option<Trouble>,
    loss: Loss,
    /// There was a stream once: its people may be seen here as available.
    known: bool,
    /// The number of the page that is awaited: an older one tells of an older stream.
    pages: u64,
}

enum Link {
    /// None, and none is wanted.
    Idle,
    Calling,
    /// The last call failed: not before this.
    Resting(Instant),
    /// Since when.
    Up(Arc<dyn Way>, Instant),
    /// It lost its connection, and may be resumed.
    Broken(Broken),
}

/// A stream without a connection.
struct Broken {
    way: Arc<dyn Way>,
    resumes: bool,
    /// Not called before this.
    until: Instant,
    calling: bool,
}

/// How far the stream was served from what is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Backlog {
    /// Everything: what comes goes out at once.
    Served,
    /// Up to here; more is on disk.
    Behind {
        after: Option<Mid>,
        reading: bool,
        /// More came since the page was asked for.
        more: bool,
    },
    /// It is being given back.
    Returning,
}

const UNSERVED: Backlog = Backlog::Behind {
    after: None,
    reading: false,
    more: false,
};

impl Pair {
    /// A pair for which `kept` stanzas are on disk, up to this one.
    pub fn new(times: Times, kept: u64, last: Option<Mid>) -> Pair {
        Pair {
            times,
            link: Link::Idle,
            backlog: UNSERVED,
            kept,
            last,
            waiting: VecDeque::new(),
            backoff: Backoff::new(times.retry, times.retry_max),
            trouble: None,
            loss: Loss::default(),
            known: false,
            pages: 0,
        }
    }

    /// One with which there was a stream before it was forgotten.
    pub fn known(mut self, known: bool) -> Pair {
        self.known = known;
        self
    }

    /// Whether nothing would be lost by forgetting it.
    pub fn is_idle(&self) -> bool {
        let quiet = matches!(self.link, Link::Idle | Link::Resting(_));
        quiet
            && !self.loss.is_on()
            && self.kept == 0
            && self.waiting.is_empty()
            && self.backlog != Backlog::Returning
    }

    /// In a word, for lists.
    pub fn state(&self) -> &'static str {
        match self.link {
            Link::Idle => "idle",
            Link::Calling => "calling",
            Link::Resting(_) => "waiting",
            Link::Up(..) => "established",
            Link::Broken(_) => "broken",
        }
    }

    /// Why the last call failed.
    pub fn trouble(&self) -> Option<&Trouble> {
        self.trouble.as_ref()
    }

    /// Takes an input at `now`; appends what is to be done.
    pub fn step(&mut self, input: Input, now: Instant, acts: &mut Vec<Act>) {
        match input {
            Input::Stanza(item) if item.mark.is_some() => self.kept_comes(item, now, acts),
            Input::Stanza(item) => self.passing(item, now, acts),
            Input::Wake => self.go_on(now, acts),
            Input::Tick => self.tick(now, acts),
            Input::Broken { id, resumes } => self.broken(id, resumes, now),
            Input::Up(way) => self.up(way, now, acts),
            Input::Down(id) => self.down(id, now),
            Input::Failed(trouble) => self.failed(trouble, now, acts),
            Input::Page(number, rows) if number == self.pages => self.page(rows, acts),
            Input::Page(..) => {}
            Input::Unreadable => {
                if let Backlog::Behind { reading, .. } = &mut self.backlog {
                    *reading = false;
                }
            }
            Input::Returned(marks) => {
                self.gone(marks, acts);
                self.backlog = UNSERVED;
                self.serve(acts);
            }
            Input::Taken(marks) => {
                self.backoff.reset();
                self.gone(marks, acts);
            }
            Input::Room => self.serve(acts),
            Input::Renewed(times) => self.renewed(times, now, acts),
        }
    }

    fn kept_comes(&mut self, item: Item, now: Instant, acts: &mut Vec<Act>) {
        self.kept += 1;
        self.last = item.mark.map(|mark| mark.mid);
        if let (Link::Up(way, _), Backlog::Served) = (&self.link, self.backlog) {
            let after = item.mark.map(|mark| mark.mid.before());
            if way.push(item) != Pushed::Queued {
                self.backlog = Backlog::Behind {
                    after,
                    reading: false,
                    more: true,
                };
            }
            return;
        }
        if self.backlog == Backlog::Served {
            // What a stream that broke holds is not read again.
            let after = item.mark.map(|mark| mark.mid.before());
            self.backlog = Backlog::Behind {
                after: after.filter(|_| matches!(self.link, Link::Broken(_))),
                reading: false,
                more: false,
            };
        }
        if let Backlog::Behind { more, .. } = &mut self.backlog {
            *more = true;
        }
        match (&self.trouble, &self.link) {
            (Some(trouble), Link::Resting(until)) if trouble.is_final() && *until > now => {
                self.give_back(None, trouble.clone(), acts);
            }
            _ => self.call_if_due(now, acts),
        }
    }

    fn passing(&mut self, item: Item, now: Instant, acts: &mut Vec<Act>) {
        match (&self.link, self.backlog) {
            (Link::Up(way, _), Backlog::Served) => match way.push(item.clone()) {
                Pushed::Queued => {}
                Pushed::Full => acts.push(Act::Refuse(item, Trouble::Full)),
                Pushed::Closed => self.wait(item, acts),
            },
            (Link::Resting(until) | Link::Broken(Broken { until, .. }), _)
                if *until > now && !self.may_come_back() =>
            {
                let trouble = self.trouble.clone();
                let unknown = Trouble::Stream(crate::stream::server::Failure::Lost);
                acts.push(Act::Refuse(item, trouble.unwrap_or(unknown)));
            }
            _ => {
                self.wait(item, acts);
                self.call_if_due(now, acts);
            }
        }
    }

    /// Whether the stream broke, and nothing says yet that it does not go on at once.
    fn may_come_back(&self) -> bool {
        matches!(self.link, Link::Broken(_)) && self.trouble.is_none()
    }

    fn wait(&mut self, item: Item, acts: &mut Vec<Act>) {
        if self.waiting.len() >= WAITING {
            acts.push(Act::Refuse(item, Trouble::Full));
        } else {
            self.waiting.push_back(item);
        }
    }

    fn call_if_due(&mut self, now: Instant, acts: &mut Vec<Act>) {
        let due = match &mut self.link {
            Link::Idle => true,
            Link::Resting(until) => *until <= now,
            Link::Calling | Link::Up(..) => false,
            Link::Broken(broken) => {
                if broken.until <= now && !std::mem::replace(&mut broken.calling, true) {
                    acts.push(Act::Call);
                }
                return;
            }
        };
        if due {
            self.link = Link::Calling;
            acts.push(Act::Call);
        }
    }

    fn renewed(&mut self, times: Times, now: Instant, acts: &mut Vec<Act>) {
        self.times = times;
        self.backoff = Backoff::new(times.retry, times.retry_max);
        if matches!(self.link, Link::Resting(_)) {
            self.link = Link::Idle;
            self.go_on(now, acts);
        }
    }

    fn tick(&mut self, now: Instant, acts: &mut Vec<Act>) {
        if let Some(after) = self.times.lost_after
            && self
                .loss
                .tick(now, after, self.times.give_up_after.max(after))
        {
            acts.push(Act::Lost);
        }
        self.go_on(now, acts);
    }

    /// Something is wrong with the way to the other side. Nobody is looked for with whom there never was a stream: else
    /// whoever writes to many addresses would have us call them all for days.
    fn lose(&mut self, now: Instant) {
        if self.known && self.times.lost_after.is_some() {
            self.loss.begins(now);
        }
    }

    fn go_on(&mut self, now: Instant, acts: &mut Vec<Act>) {
        let resumes = matches!(&self.link, Link::Broken(broken) if broken.resumes);
        let looks = !matches!(self.link, Link::Broken(_)) && self.loss.is_on();
        if self.kept > 0 || !self.waiting.is_empty() || resumes || looks {
            self.call_if_due(now, acts);
            self.serve(acts);
        }
    }

    fn up(&mut self, way: Arc<dyn Way>, now: Instant, acts: &mut Vec<Act>) {
        let goes_on = match &self.link {
            // One is enough; the other one may go on receiving.
            Link::Up(..) => return,
            Link::Broken(broken) if broken.way.id() == way.id() => true,
            Link::Broken(broken) => {
                broken.way.give_up();
                false
            }
            Link::Idle | Link::Calling | Link::Resting(_) => false,
        };
        self.link = Link::Up(way, now);
        self.known = true;
        self.trouble = None;
        if self.loss.ends() {
            acts.push(Act::Found);
        }
        if self.backlog != Backlog::Returning && !goes_on {
            self.backlog = UNSERVED;
        }
        self.serve(acts);
    }

    fn broken(&mut self, id: u64, resumes: bool, now: Instant) {
        if let Link::Up(way, since) = &self.link
            && way.id() == id
        {
            if now.saturating_duration_since(*since) >= STABLE {
                self.backoff.reset();
            }
            let pause = match resumes {
                true => self.backoff.next(),
                false => CALLER_FIRST,
            };
            self.link = Link::Broken(Broken {
                way: way.clone(),
                resumes,
                until: now + pause,
                calling: false,
            });
            self.lose(now);
        }
    }

    fn down(&mut self, id: u64, now: Instant) {
        let stable = match &self.link {
            Link::Up(way, since) if way.id() == id => {
                now.saturating_duration_since(*since) >= STABLE
            }
            Link::Broken(broken) if broken.way.id() == id => false,
            _ => return,
        };
        if stable {
            self.backoff.reset();
        }
        let calling = matches!(&self.link, Link::Broken(broken) if broken.calling);
        self.link = match self.kept > 0 || !self.waiting.is_empty() {
            _ if calling => Link::Calling,
            true => Link::Resting(now + self.backoff.next()),
            false => Link::Idle,
        };
        if self.backlog != Backlog::Returning {
            self.backlog = UNSERVED;
        }
    }

    fn failed(&mut self, trouble: Trouble, now: Instant, acts: &mut Vec<Act>) {
        self.trouble = Some(trouble.clone());
        if matches!(self.link, Link::Up(..)) {
            // The other server called meanwhile.
            return;
        }
        for item in self.waiting.drain(..) {
            acts.push(Act::Refuse(item, trouble.clone()));
        }
        if !trouble.is_final() {
            self.lose(now);
        } else if self.loss.is_final() {
            acts.push(Act::Lost);
        }
        let until = now + self.backoff.next();
        match &mut self.link {
            // What it holds may have arrived: it is neither given back nor sent elsewhere as long as it may go on.
            Link::Broken(broken) if !trouble.is_final() => {
                (broken.until, broken.calling) = (until, false);
                return;
            }
            Link::Broken(broken) => broken.way.give_up(),
            _ => {}
        }
        self.link = Link::Resting(until);
        if self.kept > 0 {
            let older = (!trouble.is_final()).then_some(self.times.give_up_after);
            self.give_back(older, trouble, acts);
        }
    }

    fn give_back(&mut self, older: Option<Duration>, trouble: Trouble, acts: &mut Vec<Act>) {
        if self.backlog != Backlog::Returning {
            self.backlog = Backlog::Returning;
            acts.push(Act::Return(older, self.last, trouble));
        }
    }

    /// Goes on with what is kept, then with what waits.
    fn serve(&mut self, acts: &mut Vec<Act>) {
        let Link::Up(way, _) = &self.link else {
            return;
        };
        if let Backlog::Behind { after, reading, .. } = self.backlog {
            if reading {
                return;
            }
            if self.kept > 0 {
                self.backlog = Backlog::Behind {
                    after,
                    reading: true,
                    more: false,
                };
                self.pages += 1;
                acts.push(Act::Read(self.pages, after, self.last));
                return;
            }
            self.backlog = Backlog::Served;
        }
        while self.backlog == Backlog::Served
            && let Some(item) = self.waiting.pop_front()
        {
            match way.push(item.clone()) {
                Pushed::Queued => {}
                Pushed::Full | Pushed::Closed => {
                    self.waiting.push_front(item);
                    break;
                }
            }
        }
    }

    fn page(&mut self, rows: Vec<Kept>, acts: &mut Vec<Act>) {
        let Backlog::Behind { after, more, .. } = self.backlog else {
            return;
        };
        let Link::Up(way, _) = &self.link else {
            self.backlog = Backlog::Behind {
                after,
                reading: false,
                more: true,
            };
            return;
        };
        let whole = rows.len() < PAGE && !more;
        let mut after = after;
        for row in rows {
            let mark = Mark {
                mid: row.mid,
                bytes: row.bytes,
            };
            let item = Item {
                stanza: Arc::new(row.stanza),
                to: None,
                mark: Some(mark),
            };
            if way.push(item) != Pushed::Queued {
                self.backlog = Backlog::Behind {
                    after,
                    reading: false,
                    more: true,
                };
                return;
            }
            after = Some(row.mid);
        }
        self.backlog = match whole {
            true => Backlog::Served,
            false => Backlog::Behind {
                after,
                reading: false,
                more: false,
            },
        };
        self.serve(acts);
    }

    fn gone(&mut self, marks: Vec<Mark>, acts: &mut Vec<Act>) {
        self.kept = self.kept.saturating_sub(marks.len() as u64);
        if !marks.is_empty() {
            acts.push(Act::Forget(marks));
        }
    }
}

#[cfg(test)]
#[path = "tests/pair.rs"]
mod tests;

#[cfg(test)]
#[path = "tests/network.rs"]
mod network;
