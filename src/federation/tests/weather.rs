//! What people and the weather do to a simulated network, and what it is made of.

use std::sync::Mutex;

use proptest::prelude::*;

use super::*;
use crate::net::DialError;

/// What one stream takes before it must wait.
const ROOM: usize = 5;

/// What people and the weather do; everything else follows, after delays by chance.
#[derive(Debug, Clone)]
pub enum Step {
    /// Somebody writes.
    Say,
    /// Somebody asks.
    Ask,
    /// Calls fail from now on, and streams break.
    Part(Outage),
    Mend,
    /// Streams break; the network is as it was.
    Cut,
    /// The other side opens a stream both ways.
    TheyCall,
    /// Our process is killed and started again.
    Kill,
    /// The machine slept.
    Sleep(u16),
    /// The wall clock is put forward or back.
    Wall(i32),
    Pass(u16),
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Outage {
    Down,
    Gone,
}

impl Outage {
    pub fn trouble(self) -> Trouble {
        match self {
            Outage::Down => Trouble::Dial(DialError::Nowhere),
            Outage::Gone => Trouble::Nothing("no such domain".into()),
        }
    }
}

pub fn steps() -> impl Strategy<Value = Vec<Step>> {
    let outage = prop_oneof![3 => Just(Outage::Down), 1 => Just(Outage::Gone)];
    let step = prop_oneof![
        12 => Just(Step::Say),
        5 => Just(Step::Ask),
        2 => outage.prop_map(Step::Part),
        3 => Just(Step::Mend),
        2 => Just(Step::Cut),
        1 => Just(Step::TheyCall),
        1 => Just(Step::Kill),
        1 => (0..4000u16).prop_map(Step::Sleep),
        1 => (-4_000_000..4_000_000i32).prop_map(Step::Wall),
        9 => (0..4000u16).prop_map(Step::Pass),
    ];
    proptest::collection::vec(step, 1..120)
}

/// A stream: what was handed to it is underway, in order.
pub struct Stream {
    pub id: u64,
    pub inner: Mutex<Underway>,
}

#[derive(Default)]
pub struct Underway {
    pub over: bool,
    pub wants_room: bool,
    /// Handed over and not yet fetched by the network.
    pub fresh: Vec<Item>,
    pub held: usize,
}

impl Way for Stream {
    fn id(&self) -> u64 {
        self.id
    }

    fn push(&self, item: Item) -> Pushed {
        let mut inner = self.inner.lock().unwrap();
        if inner.over {
            return Pushed::Closed;
        }
        if inner.held >= ROOM {
            inner.wants_room = true;
            return Pushed::Full;
        }
        inner.held += 1;
        inner.fresh.push(item);
        Pushed::Queued
    }

    fn give_up(&self) {
        self.inner.lock().unwrap().over = true;
    }
}

pub enum Event {
    Tick,
    Announce(Mid),
    CallEnds,
    Read(u64, Option<Mid>, Option<Mid>),
    Paged(u64, Vec<Kept>),
    Return(Option<u64>, Option<Mid>, Trouble),
    Forgotten(Vec<Mark>),
    Arrives(u64, Item),
    Acked(u64, Item),
    Broken(u64),
}

/// What became of one kept stanza.
#[derive(Debug, Default, Clone)]
pub struct Fate {
    pub arrived: u32,
    pub acked: u32,
    pub told: u32,
    /// It arrived, or was told of, and we cannot know: its stream broke before the other side could say so, or we were
    /// killed before it was forgotten.
    pub unsure: u32,
}

pub fn mark(mid: Mid) -> Mark {
    Mark { mid, bytes: 1 }
}

pub fn item(mid: Mid) -> Item {
    Item {
        stanza: Arc::new(Stanza::message(MessageType::Chat).with_id(mid.to_string())),
        to: None,
        mark: Some(mark(mid)),
    }
}
