//! Streams of components (XEP-0114 §3).

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use super::play::TestSeat;
use crate::proto::{Jid, StreamCondition, StreamError, ns};
use crate::stream::component::{Entered, Porter, handshake};
use crate::stream::*;
use crate::xml::{Limits, parse, parse_header};

const OPEN: &str = "<stream:stream xmlns='jabber:component:accept' xmlns:stream='http://etherx.jabber.org/streams' \
                    to='plays.shakespeare.lit'>";
const SECRET: &str = "aaee83c26aeeafcbabeabfcbcd50df997e0a2a1e";

#[derive(Default)]
struct House {
    seat: TestSeat,
    refused: AtomicU32,
    conflict: bool,
}

impl Porter for House {
    fn secret(&self, domain: &Jid) -> Option<Secret> {
        (domain.as_str() == "plays.shakespeare.lit").then(|| Secret::new(SECRET))
    }
    fn enter(&self, domain: &Jid, address: &str) -> Result<Entered, StreamError> {
        assert_eq!(address, "127.0.0.1");
        if self.conflict {
            return Err(StreamCondition::Conflict.into());
        }
        Ok(Entered {
            domains: vec![domain.clone()],
            seat: Arc::new(self.seat.clone()),
        })
    }
    fn refused(&self, _: &Jid, _: &str) {
        self.refused.fetch_add(1, Ordering::Relaxed);
    }
}

/// A component's side.
struct Side {
    machine: Machine,
    house: Arc<House>,
    said: String,
    context: crate::xml::Context,
    seated: bool,
    closed: bool,
}

impl Side {
    fn new(house: House, secure_by_place: bool) -> Side {
        let house = Arc::new(house);
        let peer = Peer {
            secure_by_place,
            starttls: true,
            address: "127.0.0.1".to_owned(),
        };
        let mut actions = Vec::new();
        let settings = super::play::settings(|_| ());
        let machine = Machine::accept_component(settings, house.clone(), peer, None, &mut actions);
        let mut side = Side {
            machine,
            house,
            said: String::new(),
            context: crate::xml::Context::client(),
            seated: false,
            closed: false,
        };
        side.obey(actions);
        side
    }

    fn obey(&mut self, actions: Vec<Action>) {
        for action in actions {
            match action {
                Action::Send(bytes) => self.said.push_str(std::str::from_utf8(&bytes).unwrap()),
                Action::Seated(_) => self.seated = true,
                Action::Close => self.closed = true,
                _ => {}
            }
        }
    }

    fn give(&mut self, input: Input) -> String {
        let mut actions = Vec::new();
        self.machine.handle(input, &mut actions);
        self.obey(actions);
        std::mem::take(&mut self.said)
    }

    fn open(&mut self, header: &str) -> String {
        let header = parse_header(header.as_bytes(), &Limits::new(10_000)).unwrap();
        self.context = header.context.clone();
        self.give(Input::Header(header))
    }

    fn element(&mut self, text: &str) -> String {
        let element = parse(text.as_bytes(), &self.context, &Limits::new(10_000)).unwrap();
        self.give(Input::Element(element))
    }

    /// Opens the stream and proves itself.
    fn enter(&mut self) -> String {
        let opened = self.open(OPEN);
        let id = opened.split("id='").nth(1).unwrap();
        let id = id.split('\'').next().unwrap();
        let proof = handshake(id, &Secret::new(SECRET));
        self.element(&format!("<handshake>{proof}</handshake>"))
    }
}

#[test]
fn the_handshake_of_a_known_stream() {
    // SHA-1 of "3BF96D32" and "secret", as `sha1sum` has it.
    let proof = handshake("3BF96D32", &Secret::new("secret"));
    assert_eq!(proof, "b09ea9b3b7f586be8a08d0a3dd7466f110aeb136");
}

#[test]
fn the_header_is_that_of_the_component_without_version() {
    let mut side = Side::new(House::default(), true);
    let header = side.open(OPEN);
    assert!(
        header.contains(" xmlns='jabber:component:accept'"),
        "{header}"
    );
    assert!(header.contains(" from='plays.shakespeare.lit'"), "{header}");
    let tag = header.split("?>").nth(1).unwrap();
    assert!(!tag.contains(" version="), "{header}");
}

#[test]
fn after_the_handshake_stanzas_flow_and_need_a_from_of_ours() {
    let mut side = Side::new(House::default(), true);
    assert_eq!(side.enter(), "<handshake/>");
    assert!(side.seated && side.machine.is_bound());
    side.element("<message to='a@b.lit' from='hamlet@plays.shakespeare.lit/x'/>");
    side.element("<message to='a@b.lit'/>");
    {
        let log = side.house.seat.0.lock().unwrap();
        let from: Vec<_> = log
            .stanzas
            .iter()
            .map(|el| el.attr("from").unwrap())
            .collect();
        let expected = ["hamlet@plays.shakespeare.lit/x", "plays.shakespeare.lit"];
        assert_eq!(from, expected);
        assert!(log.stanzas.iter().all(|el| el.ns() == ns::CLIENT));
    }
    let end = side.element("<message to='a@b.lit' from='plays.shakespeare.lit.evil'/>");
    assert!(end.contains("<invalid-from"), "{end}");
    assert_eq!(side.house.seat.0.lock().unwrap().closed, [End::Error]);
}

#[test]
fn a_wrong_handshake_ends_the_stream() {
    for wrong in ["", "aaee83c26aeeafcbabeabfcbcd50df997e0a2a1e", "ß"] {
        let mut side = Side::new(House::default(), true);
        side.open(OPEN);
        let end = side.element(&format!("<handshake>{wrong}</handshake>"));
        assert!(end.contains("<not-authorized"), "{end}");
        assert!(end.ends_with("</stream:stream>"), "{end}");
        assert!(!side.seated);
        assert_eq!(side.house.refused.load(Ordering::Relaxed), 1);
    }
}

#[test]
fn what_does_not_begin_well_ends_with_a_whole_stream() {
    let client = OPEN.replace("component:accept", "client");
    let stranger = OPEN.replace("plays", "poems");
    let account = OPEN.replace("plays", "will@plays");
    let nobody = OPEN.replace(" to='plays.shakespeare.lit'", "");
    for (header, condition) in [
        (&client, "invalid-namespace"),
        (&stranger, "host-unknown"),
        (&account, "host-unknown"),
        (&nobody, "host-unknown"),
    ] {
        let end = Side::new(House::default(), true).open(header);
        assert!(end.starts_with("<?xml"), "{end}");
        assert!(end.contains(&format!("<{condition}")), "{header}: {end}");
        assert!(end.ends_with("</stream:stream>"), "{end}");
    }
    // Not from this machine and without TLS.
    let end = Side::new(House::default(), false).open(OPEN);
    assert!(end.contains("<policy-violation"), "{end}");
}

#[test]
fn who_is_not_let_in_hears_why() {
    let house = House {
        conflict: true,
        ..House::default()
    };
    let mut side = Side::new(house, true);
    let end = side.enter();
    assert!(end.contains("<conflict"), "{end}");
    assert!(!side.seated);
}

#[test]
fn every_end_reaches_the_seat_once() {
    let closed = |side: &Side| side.house.seat.0.lock().unwrap().closed.clone();
    let mut side = Side::new(House::default(), true);
    side.enter();
    assert_eq!(side.give(Input::Footer), "</stream:stream>");
    assert_eq!(closed(&side), [End::Footer]);
    let house = {
        let mut side = Side::new(House::default(), true);
        side.enter();
        side.house.clone()
    };
    assert_eq!(house.seat.0.lock().unwrap().closed, [End::ConnectionLost]);
}
