//! The machine of a pair on a simulated network and a clock of the test's own: partitions, loss, slow disks, jumps of both
//! clocks, kills. Whatever happens, a kept stanza is with the other side, or its sender was told, and neither twice.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

#[path = "weather.rs"]
mod weather;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;

use proptest::prelude::*;

use self::weather::{Event, Fate, Outage, Step, Stream, item, mark, steps};
use super::*;
use crate::proto::stanza::{IqType, MessageType, Stanza};

const TIMES: Times = Times {
    retry: Duration::from_secs(1),
    retry_max: Duration::from_secs(16),
    give_up_after: Duration::from_secs(600),
    lost_after: None,
};
/// How often time passes for a pair, in milliseconds.
const TICK: u64 = 500;

struct World {
    pair: Pair,
    /// Since the beginning, in milliseconds.
    now: u64,
    wall: u64,
    start: Instant,
    chance: u64,
    events: BTreeMap<(u64, u64), Event>,
    numbered: u64,
    outage: Option<Outage>,
    disk: BTreeMap<Mid, u64>,
    /// On disk, and no word of it yet.
    unheard: BTreeSet<Mid>,
    /// Forgotten, but not yet for good.
    leaving: BTreeSet<Mid>,
    announced: u64,
    next: u64,
    streams: BTreeMap<u64, Arc<Stream>>,
    /// The last arrival on a stream: nothing overtakes on one.
    arrivals: BTreeMap<u64, u64>,
    seen_on: BTreeMap<u64, Vec<Mid>>,
    fates: BTreeMap<Mid, Fate>,
    asked: BTreeMap<String, u32>,
    failures: u32,
    not_before: Option<(u64, u64)>,
}

impl World {
    fn new(seed: u64) -> World {
        let mut world = World {
            pair: Pair::new(TIMES, 0, None),
            now: 0,
            wall: 1_700_000_000_000,
            start: Instant::now(),
            chance: seed | 1,
            events: BTreeMap::new(),
            numbered: 0,
            outage: None,
            disk: BTreeMap::new(),
            unheard: BTreeSet::new(),
            leaving: BTreeSet::new(),
            announced: 0,
            next: 0,
            streams: BTreeMap::new(),
            arrivals: BTreeMap::new(),
            seen_on: BTreeMap::new(),
            fates: BTreeMap::new(),
            asked: BTreeMap::new(),
            failures: 0,
            not_before: None,
        };
        world.after(TICK, Event::Tick);
        world
    }

    /// A number below `most`.
    fn chance(&mut self, most: u64) -> u64 {
        self.chance ^= self.chance << 13;
        self.chance ^= self.chance >> 7;
        self.chance ^= self.chance << 17;
        self.chance % most.max(1)
    }

    fn after(&mut self, delay: u64, event: Event) {
        self.numbered += 1;
        self.events.insert((self.now + delay, self.numbered), event);
    }

    fn soon(&mut self, most: u64, event: Event) {
        let delay = self.chance(most);
        self.after(delay, event);
    }

    fn pass(&mut self, time: u64) {
        let until = self.now + time;
        while let Some((&(at, _), _)) = self.events.first_key_value()
            && at <= until
        {
            let (_, event) = self.events.pop_first().unwrap();
            self.wall += at - self.now;
            self.now = at;
            self.happens(event);
        }
        self.wall += until - self.now;
        self.now = until;
    }

    fn step(&mut self, input: Input) {
        self.mirror(&input);
        let now = self.start + Duration::from_millis(self.now);
        let mut acts = Vec::new();
        self.pair.step(input, now, &mut acts);
        assert!(self.pair.waiting.len() <= WAITING);
        assert!(acts.len() <= WAITING + 2, "{} acts", acts.len());
        for act in acts {
            self.act(act);
        }
        self.carry();
    }

    /// How long the pair must rest after what it hears.
    fn mirror(&mut self, input: &Input) {
        let up = matches!(self.pair.link, Link::Up(..));
        match input {
            Input::Taken(_) => self.failures = 0,
            Input::Failed(_) if !up => self.rest(),
            Input::Up(_) => self.not_before = None,
            Input::Down(id) => {
                let Link::Up(way, since) = &self.pair.link else {
                    return;
                };
                let now = self.start + Duration::from_millis(self.now);
                if way.id() != *id {
                    return;
                }
                if now - *since >= STABLE {
                    self.failures = 0;
                }
                if self.pair.kept > 0 || !self.pair.waiting.is_empty() {
                    self.rest();
                }
            }
            _ => {}
        }
    }

    fn rest(&mut self) {
        let step = TIMES.retry * 2u32.pow(self.failures.min(10));
        let step = step.min(TIMES.retry_max).as_millis() as u64;
        self.failures += 1;
        self.not_before = Some((self.now + step / 2, self.now + step + TICK));
    }

    fn act(&mut self, act: Act) {
        match act {
            Act::Call => {
                if let Some((earliest, _)) = self.not_before.take() {
                    assert!(
                        self.now >= earliest,
                        "called {} ms early",
                        earliest - self.now
                    );
                }
                self.soon(3_000, Event::CallEnds);
            }
            Act::Read(number, after, until) => {
                self.soon(50, Event::Read(number, after, until));
            }
            Act::Lost | Act::Found => {}
            Act::Forget(marks) => {
                self.leaving.extend(marks.iter().map(|mark| mark.mid));
                self.soon(200, Event::Forgotten(marks));
            }
            Act::Refuse(item, _) => match item.mark {
                Some(mark) => self.tell(mark.mid),
                None => {
                    *self
                        .asked
                        .get_mut(&*item.stanza.id.clone().unwrap())
                        .unwrap() += 1
                }
            },
            Act::Return(older, until, trouble) => {
                assert!(older.is_some() || trouble.is_final());
                let before = older.map(|older| self.wall.saturating_sub(older.as_millis() as u64));
                self.soon(50, Event::Return(before, until, trouble));
            }
        }
    }

    fn tell(&mut self, mid: Mid) {
        self.fates.get_mut(&mid).unwrap().told += 1;
    }

    /// What streams were given goes on its way.
    fn carry(&mut self) {
        for stream in self.streams.values().cloned().collect::<Vec<_>>() {
            let fresh = std::mem::take(&mut stream.inner.lock().unwrap().fresh);
            for item in fresh {
                match item.mark {
                    Some(mark) => {
                        let seen = self.seen_on.entry(stream.id).or_default();
                        assert!(
                            seen.last().is_none_or(|last| *last < mark.mid),
                            "out of order, or twice on one stream"
                        );
                        seen.push(mark.mid);
                    }
                    None => {
                        *self
                            .asked
                            .get_mut(&*item.stanza.id.clone().unwrap())
                            .unwrap() += 1
                    }
                }
                let before = self.arrivals.get(&stream.id).copied().unwrap_or(0);
                let at = before.max(self.now) + self.chance(80);
                self.arrivals.insert(stream.id, at);
                self.after(at - self.now, Event::Arrives(stream.id, item));
            }
        }
    }

    fn happens(&mut self, event: Event) {
        match event {
            Event::Tick => {
                self.after(TICK, Event::Tick);
                self.step(Input::Tick);
                self.called_in_time();
            }
            Event::Announce(mid) => {
                self.unheard.remove(&mid);
                self.step(Input::Stanza(item(mid)));
            }
            Event::CallEnds => match self.outage {
                Some(outage) => self.step(Input::Failed(outage.trouble())),
                None => self.open(),
            },
            Event::Read(number, after, until) => {
                let rows = self.rows(after, until);
                self.soon(50, Event::Paged(number, rows));
            }
            Event::Paged(number, rows) => self.step(Input::Page(number, rows)),
            Event::Return(before, until, trouble) => self.give_back(before, until, &trouble),
            Event::Forgotten(marks) => {
                for mark in marks {
                    self.leaving.remove(&mark.mid);
                    self.disk.remove(&mark.mid);
                }
            }
            Event::Arrives(id, item) => self.arrives(id, item),
            Event::Acked(id, item) => self.acked(id, item),
            Event::Broken(id) => self.step(Input::Down(id)),
        }
    }

    fn called_in_time(&self) {
        let resting = matches!(self.pair.link, Link::Resting(_));
        if let Some((_, latest)) = self.not_before
            && resting
            && (self.pair.kept > 0 || !self.pair.waiting.is_empty())
        {
            assert!(self.now <= latest, "not called in time");
        }
    }

    fn rows(&self, after: Option<Mid>, until: Option<Mid>) -> Vec<Kept> {
        let gone = |mid: &Mid| self.leaving.contains(mid);
        let rows = self.disk.iter().filter(|(mid, _)| Some(**mid) > after);
        let rows = rows.filter(|(mid, _)| until.is_none_or(|until| **mid <= until));
        let rows = rows.filter(|(mid, _)| !gone(mid)).take(PAGE);
        let kept = rows.map(|(mid, at)| Kept {
            mid: *mid,
            at: *at,
            bytes: 1,
            stanza: Stanza::message(MessageType::Chat).with_id(mid.to_string()),
        });
        kept.collect()
    }

    fn give_back(&mut self, before: Option<u64>, until: Option<Mid>, trouble: &Trouble) {
        let mut rows = self.rows(None, until);
        rows.retain(|row| before.is_none_or(|before| row.at < before));
        let marks: Vec<Mark> = rows.iter().map(|row| mark(row.mid)).collect();
        assert!(marks.is_empty() || trouble.is_final() || before.is_some());
        for mark in &marks {
            self.tell(mark.mid);
        }
        self.step(Input::Returned(marks));
    }

    fn open(&mut self) {
        let id = self.streams.len() as u64 + 1;
        let stream = Arc::new(Stream {
            id,
            inner: Mutex::default(),
        });
        self.streams.insert(id, stream.clone());
        self.step(Input::Up(stream));
    }

    fn arrives(&mut self, id: u64, item: Item) {
        if self.streams[&id].inner.lock().unwrap().over {
            return;
        }
        if let Some(mark) = item.mark {
            self.fates.get_mut(&mark.mid).unwrap().arrived += 1;
        }
        self.soon(80, Event::Acked(id, item));
    }

    fn acked(&mut self, id: u64, item: Item) {
        let wants_room = {
            let mut inner = self.streams[&id].inner.lock().unwrap();
            if inner.over {
                if let Some(mark) = item.mark {
                    self.fates.get_mut(&mark.mid).unwrap().unsure += 1;
                }
                return;
            }
            inner.held -= 1;
            std::mem::take(&mut inner.wants_room)
        };
        if let Some(mark) = item.mark {
            self.fates.get_mut(&mark.mid).unwrap().acked += 1;
            self.step(Input::Taken(vec![mark]));
        }
        if wants_room {
            self.step(Input::Room);
        }
    }

    fn cut(&mut self) {
        for stream in self.streams.values().cloned().collect::<Vec<_>>() {
            if !std::mem::replace(&mut stream.inner.lock().unwrap().over, true) {
                self.soon(100, Event::Broken(stream.id));
            }
        }
    }

    fn do_step(&mut self, step: &Step) {
        match step {
            Step::Say => {
                self.next += 1;
                let mid = Mid::first_of(self.next);
                self.disk.insert(mid, self.wall);
                self.unheard.insert(mid);
                self.fates.insert(mid, Fate::default());
                // In the order of the commits.
                self.announced = self.announced.max(self.now) + self.chance(60);
                self.after(self.announced - self.now, Event::Announce(mid));
            }
            Step::Ask => {
                let id = format!("q{}", self.asked.len());
                self.asked.insert(id.clone(), 0);
                self.step(Input::Stanza(Item {
                    stanza: Arc::new(Stanza::iq(IqType::Get).with_id(id)),
                    to: None,
                    mark: None,
                }));
            }
            Step::Part(outage) => {
                self.outage = Some(*outage);
                self.cut();
            }
            Step::Mend => self.outage = None,
            Step::Cut => self.cut(),
            Step::TheyCall if self.outage.is_none() => self.open(),
            Step::TheyCall => {}
            Step::Kill => self.kill(),
            Step::Sleep(seconds) => {
                // Monotonic time goes on, and nothing happens meanwhile; then all of it at once.
                let missed = u64::from(*seconds) * 1000;
                let events = std::mem::take(&mut self.events);
                let late = |at: u64| at.max(self.now + missed);
                let moved = events
                    .into_iter()
                    .map(|((at, n), event)| ((late(at), n), event));
                self.events = moved.collect();
                self.now += missed;
                self.wall += missed;
            }
            Step::Wall(by) => self.wall = self.wall.saturating_add_signed(i64::from(*by)),
            Step::Pass(time) => self.pass(u64::from(*time)),
        }
    }

    /// What is on disk is all that is left; what was forgotten a moment ago may be there again.
    fn kill(&mut self) {
        self.cut();
        for mid in std::mem::take(&mut self.leaving) {
            self.fates.get_mut(&mid).unwrap().unsure += 1;
        }
        let lost = |event: &Event| !matches!(event, Event::Tick | Event::Acked(..));
        let events = std::mem::take(&mut self.events);
        self.events = events
            .into_iter()
            .filter(|(_, event)| !lost(event))
            .collect();
        self.unheard.clear();
        let last = self.disk.keys().last().copied();
        self.pair = Pair::new(TIMES, self.disk.len() as u64, last);
        self.asked.values_mut().for_each(|count| *count = 1);
        self.failures = 0;
        self.not_before = None;
        self.step(Input::Wake);
    }

    fn judge(&self) {
        for (mid, fate) in &self.fates {
            let sure = fate.arrived + fate.told;
            assert!(sure >= 1, "{mid}: lost; {fate:?}");
            assert!(sure <= 1 + fate.unsure, "{mid}: more than once; {fate:?}");
        }
        assert!(
            self.asked.values().all(|count| *count == 1),
            "{:?}",
            self.asked
        );
        assert!(self.disk.is_empty(), "{} stay on disk", self.disk.len());
        assert_eq!(self.pair.kept, 0);
        assert!(self.pair.waiting.is_empty());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]
    #[test]
    fn everything_kept_arrives_or_is_told_of_once(seed in any::<u64>(), steps in steps()) {
        let mut world = World::new(seed);
        for step in &steps {
            world.do_step(step);
        }
        world.outage = None;
        world.pass(120_000);
        world.judge();
        // Nothing goes on for ever: with no streams and nothing to send it may be forgotten.
        world.cut();
        world.pass(20_000);
        prop_assert!(world.pair.is_idle());
    }
}
