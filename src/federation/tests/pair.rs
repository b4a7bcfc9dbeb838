//! The machine of a pair, under a clock of the test's own, with streams that are lists.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

use std::sync::Mutex;

use super::*;
use crate::net::DialError;
use crate::proto::jid::Jid;
use crate::proto::stanza::{IqType, MessageType, PresenceType, Stanza};

/// A stream that notes what it is given.
struct Stub {
    id: u64,
    room: Mutex<usize>,
    seen: Mutex<Vec<String>>,
    given_up: Mutex<bool>,
}

impl Stub {
    fn new(id: u64, room: usize) -> Arc<Stub> {
        Arc::new(Stub {
            id,
            room: Mutex::new(room),
            seen: Mutex::default(),
            given_up: Mutex::default(),
        })
    }

    fn seen(&self) -> Vec<String> {
        self.seen.lock().unwrap().clone()
    }
}

impl Way for Stub {
    fn id(&self) -> u64 {
        self.id
    }
    fn push(&self, item: Item) -> Pushed {
        let mut room = self.room.lock().unwrap();
        if *room == 0 {
            return Pushed::Full;
        }
        *room -= 1;
        let id = item.stanza.id.clone().unwrap_or_default();
        self.seen.lock().unwrap().push(id.into());
        Pushed::Queued
    }
    fn give_up(&self) {
        *self.given_up.lock().unwrap() = true;
    }
}

/// A pair with a disk and a clock.
struct World {
    pair: Pair,
    now: Instant,
    disk: Vec<(Mid, Stanza)>,
    next: u64,
    calls: usize,
    refused: Vec<(String, Trouble)>,
    lost: Vec<bool>,
}

impl World {
    fn new() -> World {
        let times = Times {
            retry: Duration::from_secs(1),
            retry_max: Duration::from_secs(60),
            give_up_after: Duration::from_secs(3600),
            lost_after: Some(Duration::from_secs(300)),
        };
        World {
            pair: Pair::new(times, 0, None),
            now: Instant::now(),
            disk: Vec::new(),
            next: 0,
            calls: 0,
            refused: Vec::new(),
            lost: Vec::new(),
        }
    }

    fn step(&mut self, input: Input) {
        let mut inputs = VecDeque::from([input]);
        while let Some(input) = inputs.pop_front() {
            let mut acts = Vec::new();
            self.pair.step(input, self.now, &mut acts);
            for act in acts {
                inputs.extend(self.act(act));
            }
        }
    }

    fn act(&mut self, act: Act) -> Option<Input> {
        match act {
            Act::Call => self.calls += 1,
            Act::Read(number, after, _) => {
                let rows = self.disk.iter().filter(|(mid, _)| Some(*mid) > after);
                let rows = rows.take(PAGE).map(|(mid, stanza)| Kept {
                    mid: *mid,
                    at: 0,
                    bytes: 1,
                    stanza: stanza.clone(),
                });
                return Some(Input::Page(number, rows.collect()));
            }
            Act::Lost => self.lost.push(true),
            Act::Found => self.lost.push(false),
            Act::Forget(marks) => {
                self.disk
                    .retain(|(mid, _)| !marks.iter().any(|mark| mark.mid == *mid));
            }
            Act::Refuse(item, trouble) => {
                let id = item.stanza.id.clone().unwrap_or_default();
                self.refused.push((id.into(), trouble));
            }
            Act::Return(older, _, trouble) => {
                if older.is_some() {
                    return Some(Input::Returned(Vec::new()));
                }
                let mut marks = Vec::new();
                for (mid, stanza) in &self.disk {
                    let id = stanza.id.clone().unwrap_or_default();
                    self.refused.push((id.into(), trouble.clone()));
                    marks.push(Mark {
                        mid: *mid,
                        bytes: 1,
                    });
                }
                return Some(Input::Returned(marks));
            }
        }
        None
    }

    fn say(&mut self, id: &str) {
        self.next += 1;
        let mid = Mid::first_of(self.next);
        let stanza = Stanza::message(MessageType::Chat).with_id(id);
        self.disk.push((mid, stanza.clone()));
        self.step(Input::Stanza(Item {
            stanza: Arc::new(stanza),
            to: None,
            mark: Some(Mark { mid, bytes: 1 }),
        }));
    }

    fn ask(&mut self, id: &str) {
        self.step(Input::Stanza(Item {
            stanza: Arc::new(Stanza::iq(IqType::Get).with_id(id)),
            to: None,
            mark: None,
        }));
    }

    fn wait(&mut self, seconds: u64) {
        self.now += Duration::from_secs(seconds);
        self.step(Input::Tick);
    }

    fn taken(&mut self, count: usize) {
        let marks = self.disk.iter().take(count);
        let marks = marks
            .map(|(mid, _)| Mark {
                mid: *mid,
                bytes: 1,
            })
            .collect();
        self.step(Input::Taken(marks));
    }
}

fn refused() -> Trouble {
    Trouble::Dial(DialError::Nowhere)
}

#[test]
fn what_comes_while_it_is_called_goes_out_in_order() {
    let mut world = World::new();
    world.say("1");
    world.ask("2");
    world.say("3");
    assert_eq!(world.calls, 1);
    let way = Stub::new(1, 100);
    world.step(Input::Up(way.clone()));
    world.say("4");
    assert_eq!(way.seen(), ["1", "3", "2", "4"]);
    world.taken(3);
    assert!(world.disk.is_empty());
}

#[test]
fn a_server_that_is_down_gets_its_messages_when_it_is_back_and_questions_go_back_at_once() {
    let mut world = World::new();
    world.say("1");
    world.ask("q");
    world.step(Input::Failed(refused()));
    assert_eq!(world.refused, [("q".to_owned(), refused())]);
    world.say("2");
    world.ask("r");
    assert_eq!(world.calls, 1, "it rests");
    assert_eq!(world.refused.len(), 2);
    world.wait(2);
    assert_eq!(world.calls, 2);
    let way = Stub::new(1, 100);
    world.step(Input::Up(way.clone()));
    assert_eq!(way.seen(), ["1", "2"]);
}

#[test]
fn what_was_not_acknowledged_is_sent_again_and_nothing_else() {
    let mut world = World::new();
    for id in ["1", "2", "3"] {
        world.say(id);
    }
    let way = Stub::new(1, 100);
    world.step(Input::Up(way));
    world.taken(1);
    world.step(Input::Down(1));
    world.say("4");
    world.wait(2);
    let way = Stub::new(2, 100);
    world.step(Input::Up(way.clone()));
    assert_eq!(way.seen(), ["2", "3", "4"]);
    world.step(Input::Down(1));
    world.say("5");
    assert_eq!(
        way.seen().len(),
        4,
        "the end of an old stream ends no other"
    );
}

#[test]
fn a_slow_stream_is_served_from_disk_page_by_page() {
    let mut world = World::new();
    let way = Stub::new(1, 3);
    world.say("0");
    world.step(Input::Up(way.clone()));
    for n in 1..250 {
        world.say(&n.to_string());
    }
    assert_eq!(way.seen().len(), 3);
    for _ in 0..10 {
        *way.room.lock().unwrap() = 40;
        world.step(Input::Room);
    }
    let expected: Vec<String> = (0..250).map(|n| n.to_string()).collect();
    assert_eq!(way.seen(), expected);
}

#[test]
fn a_domain_that_does_not_exist_is_told_at_once() {
    let mut world = World::new();
    world.say("1");
    let nothing = Trouble::Nothing("no".into());
    world.step(Input::Failed(nothing.clone()));
    world.say("2");
    let told: Vec<&str> = world.refused.iter().map(|(id, _)| id.as_str()).collect();
    assert_eq!(told, ["1", "2"]);
    assert!(world.disk.is_empty());
    assert!(world.pair.is_idle());
}

#[test]
fn a_page_of_an_earlier_stream_is_not_sent_on_a_later_one() {
    let mut world = World::new();
    world.say("1");
    let mut acts = Vec::new();
    world
        .pair
        .step(Input::Up(Stub::new(1, 9)), world.now, &mut acts);
    let Some(Act::Read(number, ..)) = acts.pop() else {
        panic!("nothing is read");
    };
    let kept = Kept {
        mid: world.disk[0].0,
        at: 0,
        bytes: 1,
        stanza: world.disk[0].1.clone(),
    };
    world.step(Input::Down(1));
    let way = Stub::new(2, 9);
    world.step(Input::Up(way.clone()));
    world.step(Input::Page(number, vec![kept]));
    assert_eq!(way.seen(), ["1"]);
}

#[test]
fn presence_that_cannot_be_sent_is_forgotten() {
    let (bare, full) = (
        Jid::parse("a@b.example").unwrap(),
        Jid::parse("a@b.example/c").unwrap(),
    );
    let answered = |stanza: &Stanza, to: &Jid| is_answered(stanza, Some(to));
    let available = Stanza::presence(PresenceType::Available);
    assert!(!answered(&available, &bare));
    assert!(answered(&available, &full), "it may enter a room");
    let gone = Stanza::presence(PresenceType::Unavailable);
    assert!(!answered(&gone, &full));
    assert!(answered(&Stanza::iq(IqType::Set), &bare));
    assert!(!answered(&Stanza::iq(IqType::Result), &bare));
}

#[test]
fn a_stream_that_broke_goes_on_where_it_was() {
    let mut world = World::new();
    world.say("1");
    let way = Stub::new(1, 100);
    world.step(Input::Up(way.clone()));
    world.say("2");
    world.step(Input::Broken {
        id: 1,
        resumes: true,
    });
    world.say("3");
    world.ask("q");
    assert_eq!(way.seen(), ["1", "2"], "nothing is handed to it meanwhile");
    world.wait(2);
    assert_eq!(world.calls, 2);
    world.wait(2);
    assert_eq!(world.calls, 2, "one call at a time");
    world.step(Input::Up(way.clone()));
    assert_eq!(way.seen(), ["1", "2", "3", "q"], "and nothing twice");
    assert_eq!(world.refused, []);
}

#[test]
fn who_did_not_open_a_stream_that_broke_waits_a_little_longer() {
    let mut world = World::new();
    world.step(Input::Up(Stub::new(1, 100)));
    world.step(Input::Broken {
        id: 1,
        resumes: false,
    });
    world.wait(60);
    assert_eq!(world.calls, 0, "nothing is to be sent");
    world.step(Input::Up(Stub::new(1, 100)));
    world.step(Input::Broken {
        id: 1,
        resumes: false,
    });
    world.say("1");
    world.wait(4);
    assert_eq!(world.calls, 0);
    world.wait(2);
    assert_eq!(world.calls, 1);
}

#[test]
fn a_stream_that_does_not_go_on_gives_way_to_another_and_what_it_held_comes_again() {
    let mut world = World::new();
    world.say("1");
    let old = Stub::new(1, 100);
    world.step(Input::Up(old.clone()));
    world.step(Input::Broken {
        id: 1,
        resumes: true,
    });
    world.wait(2);
    world.step(Input::Failed(refused()));
    assert!(!*old.given_up.lock().unwrap());
    world.ask("q");
    assert_eq!(world.refused.len(), 1, "a question hears of the failure");
    let new = Stub::new(2, 100);
    world.step(Input::Up(new.clone()));
    assert!(*old.given_up.lock().unwrap());
    world.step(Input::Down(1));
    assert_eq!(new.seen(), ["1"]);
}

#[test]
fn a_stream_that_was_waited_for_in_vain_is_over() {
    let mut world = World::new();
    world.say("1");
    let old = Stub::new(1, 100);
    world.step(Input::Up(old.clone()));
    world.step(Input::Broken {
        id: 1,
        resumes: true,
    });
    world.wait(2);
    world.step(Input::Failed(Trouble::Nothing("no".into())));
    assert!(*old.given_up.lock().unwrap());
    assert_eq!(world.refused.len(), 1, "what is kept goes back");
    world.step(Input::Down(1));
    world.say("2");
    assert_eq!(world.refused.len(), 2);
}

#[test]
fn a_server_to_which_there_is_no_way_for_long_is_lost_and_looked_for_until_it_is_found() {
    let mut world = World::new();
    world.step(Input::Up(Stub::new(1, 100)));
    world.step(Input::Down(1));
    world.wait(1_000);
    assert_eq!(
        (world.calls, world.lost.len()),
        (0, 0),
        "it was closed well"
    );
    world.ask("q");
    world.step(Input::Failed(refused()));
    for seconds in [2, 200] {
        world.wait(seconds);
        world.step(Input::Failed(refused()));
    }
    assert_eq!((world.calls, world.lost.len()), (3, 0));
    world.wait(100);
    assert_eq!(world.lost, [true]);
    world.wait(100);
    assert_eq!(world.lost, [true], "once");
    world.step(Input::Up(Stub::new(2, 100)));
    assert_eq!(world.lost, [true, false]);
    assert!(!world.pair.is_idle());
    world.step(Input::Down(2));
    assert!(world.pair.is_idle());
}

#[test]
fn nobody_looks_for_a_server_forever() {
    let mut world = World::new();
    world.ask("q");
    world.step(Input::Failed(refused()));
    assert!(world.pair.is_idle(), "it was never there");
    world.step(Input::Up(Stub::new(1, 100)));
    world.step(Input::Down(1));
    world.ask("q");
    world.step(Input::Failed(refused()));
    assert!(!world.pair.is_idle());
    world.wait(3_600);
    world.step(Input::Failed(Trouble::Nothing("no".into())));
    assert!(world.pair.is_idle());
    assert_eq!(world.lost, [true]);
}
