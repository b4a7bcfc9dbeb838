//! Streams between servers: several domains on one, and both ends of one on a wire that may be cut anywhere.

use std::sync::{Arc, Mutex};

use proptest::prelude::*;

use super::play::{TestSeat, settings, tls};
use crate::proto::{Condition, Jid, ns};
use crate::stream::server::{
    Call, Caller, Demand, Established, Failure, Line, Office, Proven, Purpose, Verdict, Verify,
    dialback,
};
use crate::stream::*;
use crate::xml::{Context, Frame, Framer, Limits, parse, parse_header};

/// One side's house: whom it serves, what it demands, what came of streams.
#[derive(Clone)]
struct House {
    serves: &'static [&'static str],
    demand: Demand,
    /// For whom certificates are believed.
    certified: &'static [&'static str],
    asks_back: bool,
    bidi: bool,
    seat: TestSeat,
    proven: Arc<Mutex<Vec<Proven>>>,
    outcomes: Arc<Mutex<Vec<String>>>,
}

fn house(serves: &'static [&'static str]) -> House {
    House {
        serves,
        demand: Demand::Dialback,
        certified: &[],
        asks_back: false,
        bidi: false,
        seat: TestSeat::default(),
        proven: Arc::default(),
        outcomes: Arc::default(),
    }
}

impl Office for House {
    fn is_local(&self, domain: &Jid) -> bool {
        self.serves.contains(&domain.domain())
    }
    fn demand(&self, _: &Jid) -> Demand {
        self.demand.clone()
    }
    fn certified(&self, _: &[Vec<u8>], domain: &Jid) -> Result<(), String> {
        match self.certified.contains(&domain.domain()) {
            true => Ok(()),
            false => Err("nobody knows it".into()),
        }
    }
    fn asks_back(&self, _: &Jid) -> bool {
        self.asks_back
    }
    fn key(&self, receiving: &Jid, originating: &Jid, id: &str) -> String {
        dialback::key(&Secret::new(self.serves[0]), receiving, originating, id)
    }
    fn bidi(&self) -> bool {
        self.bidi
    }
    fn resumes(&self) -> bool {
        false
    }
    fn line(&self, _: &str) -> Arc<dyn Line> {
        Arc::new(self.clone())
    }
}

impl Line for House {
    fn proven(&self, proven: &Proven) {
        self.proven.lock().unwrap().push(proven.clone());
    }
    fn seat(&self) -> Arc<dyn Seat> {
        Arc::new(self.seat.clone())
    }
    fn superseded(&self) {}
}

impl Caller for House {
    fn ready(&self, how: &Established) -> Arc<dyn Seat> {
        let told = format!("ready by {}", how.proof.name());
        self.outcomes.lock().unwrap().push(told);
        Arc::new(self.seat.clone())
    }
    fn verified(&self, verdict: Verdict) {
        let told = format!("verified {verdict:?}");
        self.outcomes.lock().unwrap().push(told);
    }
    fn failed(&self, why: Failure) {
        self.outcomes.lock().unwrap().push(format!("failed: {why}"));
    }
}

impl House {
    fn outcomes(&self) -> Vec<String> {
        self.outcomes.lock().unwrap().clone()
    }

    fn pairs(&self) -> Vec<String> {
        let proven = self.proven.lock().unwrap();
        let pair = |proven: &Proven| format!("{} to {}", proven.remote, proven.local);
        proven.iter().map(pair).collect()
    }
}

/// One end of a connection.
struct Side {
    machine: Machine,
    framer: Framer,
    limits: Limits,
    out: Vec<u8>,
    asked: Vec<Question>,
    secure: bool,
    seated: bool,
    closed: bool,
}

impl Side {
    fn accepting(house: &House, tls: Option<Tls>) -> Side {
        let mut actions = Vec::new();
        let peer = super::play::peer();
        let office = Arc::new(house.clone());
        let machine = Machine::accept_server(settings(|_| ()), office, peer, tls, &mut actions);
        Side::new(machine, actions)
    }

    fn calling(house: &House, remote: &str, purpose: Purpose, tls: Option<Tls>) -> Side {
        let mut actions = Vec::new();
        let names = (jid(house.serves[0]), jid(remote));
        let caller = Arc::new(house.clone());
        let call = Call::new(names, purpose, Arc::new(house.clone()), caller);
        let machine = Machine::call_server(settings(|_| ()), call, tls, &mut actions);
        Side::new(machine, actions)
    }

    fn new(machine: Machine, actions: Vec<Action>) -> Side {
        let limits = Limits::new(10_000);
        let mut side = Side {
            machine,
            framer: Framer::new(limits),
            limits,
            out: Vec::new(),
            asked: Vec::new(),
            secure: false,
            seated: false,
            closed: false,
        };
        side.obey(actions);
        side
    }

    fn obey(&mut self, actions: Vec<Action>) {
        for action in actions {
            assert!(!self.closed, "{action:?} after the end");
            match action {
                Action::Send(bytes) => self.out.extend(bytes),
                Action::Secure => self.secure = true,
                Action::Restart(limits) => {
                    self.framer.restart();
                    self.limits = limits;
                    self.framer.set_limits(limits);
                }
                Action::SetLimits(limits) => {
                    self.limits = limits;
                    self.framer.set_limits(limits);
                }
                Action::Ask(_) => panic!("a question that stops the stream"),
                Action::AskBeside(question) => self.asked.push(question),
                Action::Seated(_) => self.seated = true,
                Action::Deadline(_) | Action::Pause => {}
                Action::Close => self.closed = true,
            }
        }
    }

    fn give(&mut self, input: Input) {
        let mut actions = Vec::new();
        self.machine.handle(input, &mut actions);
        self.obey(actions);
    }

    fn hear(&mut self, mut bytes: &[u8]) {
        while !self.closed {
            let frame = match self.framer.next(&mut bytes) {
                Ok(Some(frame)) => frame,
                Ok(None) => return,
                Err(error) => return self.give(Input::BadXml(error)),
            };
            let input = match frame {
                Frame::Header(bytes) => Input::Header(parse_header(bytes, &self.limits).unwrap()),
                Frame::Element(bytes) => {
                    let context: &Context = self.machine.context();
                    Input::Element(parse(bytes, context, &self.limits).unwrap())
                }
                Frame::Footer => Input::Footer,
            };
            self.give(input);
        }
    }

    /// What it says to this.
    fn answer(&mut self, text: &str) -> String {
        self.hear(text.as_bytes());
        self.said()
    }

    fn said(&mut self) -> String {
        String::from_utf8(std::mem::take(&mut self.out)).unwrap()
    }

    /// The server of a domain says this of its key.
    fn judge(&mut self, domain: &str, verdict: Verdict) -> String {
        let of = |question: &Question| matches!(question, Question::Verify(verify) if verify.remote.as_str() == domain);
        let at = self.asked.iter().position(of).expect("it was not asked");
        let Question::Verify(verify) = self.asked.remove(at) else {
            unreachable!();
        };
        self.give(Input::Answer(Answer::Verified(verify, verdict)));
        self.said()
    }
}

fn jid(text: &str) -> Jid {
    Jid::parse(text).unwrap()
}

const OPEN: &str = "<stream:stream xmlns='jabber:server' xmlns:db='jabber:server:dialback' version='1.0' \
                    xmlns:stream='http://etherx.jabber.org/streams' from='b.example' to='a.example'>";
const OURS: &[&str] = &["a.example", "rooms.a.example"];

/// A stream of b.example, over TLS, up to the features.
fn visited(house: &House) -> Side {
    let mut side = Side::accepting(house, Some(tls()));
    let features = side.answer(OPEN);
    assert!(features.contains("<errors"), "{features}");
    side
}

fn key(from: &str, to: &str) -> String {
    format!("<db:result from='{from}' to='{to}'>key</db:result>")
}

fn message(from: &str, to: &str) -> String {
    format!("<message from='{from}' to='{to}'/>")
}

/// XEP-0220 §2.6: several senders and several targets on one stream, proved in any order, while others speak.
#[test]
fn several_domains_prove_themselves_on_one_stream() {
    let house = house(OURS);
    let mut side = visited(&house);
    assert_eq!(side.answer(&key("b.example", "a.example")), "");
    assert_eq!(side.answer(&key("rooms.b.example", "a.example")), "");
    let valid = side.judge("rooms.b.example", Verdict::Valid);
    assert!(
        valid.contains("to='rooms.b.example'") && valid.contains("type='valid'"),
        "{valid}"
    );
    assert_eq!(
        side.answer(&message("r@rooms.b.example", "x@a.example")),
        ""
    );
    assert_eq!(house.seat.0.lock().unwrap().stanzas.len(), 1);
    // Also while the key of another is asked about, which may take long (§2.2.1).
    side.judge("b.example", Verdict::Valid);
    side.answer(&key("b.example", "rooms.a.example"));
    assert_eq!(side.answer(&message("x@b.example", "x@a.example")), "");
    side.judge("b.example", Verdict::Valid);
    side.answer(&message("x@b.example", "r@rooms.a.example"));
    assert_eq!(house.seat.0.lock().unwrap().stanzas.len(), 3);
    assert_eq!(
        house.pairs(),
        [
            "rooms.b.example to a.example",
            "b.example to a.example",
            "b.example to rooms.a.example"
        ]
    );
    // A key of a pair that was proved is good; one asked about already is answered once.
    assert!(
        side.answer(&key("b.example", "a.example"))
            .contains("type='valid'")
    );
    side.answer(&key("c.example", "a.example"));
    side.answer(&key("c.example", "a.example"));
    assert_eq!(side.asked.len(), 1);
}

/// XEP-0220 §2.5: errors end no stream that serves other domains.
#[test]
fn errors_of_one_domain_are_no_errors_of_the_stream() {
    let house = house(OURS);
    let mut side = visited(&house);
    side.answer(&key("b.example", "a.example"));
    side.judge("b.example", Verdict::Valid);
    for _ in 0..5 {
        side.answer(&key("c.example", "a.example"));
        let error = side.judge("c.example", Verdict::Error(Condition::RemoteServerNotFound));
        assert!(
            error.contains("type='error'") && error.contains("<remote-server-not-found"),
            "{error}"
        );
        side.answer(&key("c.example", "a.example"));
        assert!(
            side.judge("c.example", Verdict::Invalid)
                .contains("<forbidden")
        );
        assert!(
            side.answer(&key("a.example", "a.example"))
                .contains("<not-allowed")
        );
        assert!(
            side.answer(&key("b.example", "z.example"))
                .contains("<item-not-found")
        );
        assert_eq!(side.answer(&message("x@b.example", "x@a.example")), "");
    }
    // But not for ever.
    let mut said = String::new();
    for _ in 0..200 {
        said += &side.answer(&key("b.example", "z.example"));
    }
    assert!(said.contains("<policy-violation"), "{said}");
    assert_eq!(house.seat.0.lock().unwrap().closed.len(), 1);
}

#[test]
fn a_stanza_must_be_of_a_pair_that_was_proved() {
    for (from, to, condition) in [
        ("x@c.example", "x@a.example", "invalid-from"),
        ("x@b.example", "x@rooms.a.example", "not-authorized"),
        ("x@b.example", "x@z.example", "host-unknown"),
        ("x@a.example", "x@a.example", "invalid-from"),
    ] {
        let house = house(OURS);
        let mut side = visited(&house);
        side.answer(&key("b.example", "a.example"));
        side.judge("b.example", Verdict::Valid);
        let said = side.answer(&message(from, to));
        assert!(said.contains(condition), "{said}");
        assert!(house.seat.0.lock().unwrap().stanzas.is_empty());
    }
}

#[test]
fn ten_keys_are_asked_about_at_once_and_no_more() {
    let house = house(OURS);
    let mut side = visited(&house);
    side.answer(&key("b.example", "a.example"));
    side.judge("b.example", Verdict::Valid);
    for n in 0..10 {
        assert_eq!(side.answer(&key(&format!("d{n}.example"), "a.example")), "");
    }
    let said = side.answer(&key("d10.example", "a.example"));
    assert!(said.contains("<resource-constraint"), "{said}");
    side.judge("d3.example", Verdict::Valid);
    assert_eq!(side.answer(&key("d10.example", "a.example")), "");
    // No login by SASL in between: its new header would come in the middle.
    let auth = format!("<auth xmlns='{}' mechanism='EXTERNAL'>=</auth>", ns::SASL);
    assert!(side.answer(&auth).contains("<not-authorized"));
}

/// On a stream both ways who was called may give keys too, and ask about ours (XEP-0288 §2.2).
#[test]
fn who_was_called_may_ask_about_keys_but_proves_nothing_more_there() {
    let mut ours = house(OURS);
    ours.bidi = true;
    let mut side = Side::calling(&ours, "b.example", Purpose::Stanzas, Some(tls()));
    let header = OPEN.replace("<stream:stream", "<stream:stream id='i'");
    let features = format!(
        "<stream:features><bidi xmlns='{}'/></stream:features>",
        ns::BIDI_FEATURE
    );
    side.answer(&(header + &features));
    side.answer("<db:result from='b.example' to='a.example' type='valid'/>");
    assert_eq!(ours.outcomes(), ["ready by dialback"]);
    let said = side.answer(&key("rooms.b.example", "a.example"));
    assert!(said.contains("<resource-constraint"), "{said}");
    let good = ours.key(&jid("b.example"), &jid("rooms.a.example"), "7");
    for (key, verdict) in [(good.as_str(), "type='valid'"), ("x", "type='invalid'")] {
        let verify =
            format!("<db:verify from='b.example' to='rooms.a.example' id='7'>{key}</db:verify>");
        let said = side.answer(&verify);
        assert!(said.contains(verdict), "{said}");
    }
    let said = side.answer(&message("x@rooms.b.example", "x@a.example"));
    assert!(said.contains("invalid-from"), "{said}");
}

/// On a stream both ways nobody speaks to who called before that one did: it may still agree on acknowledgements.
#[test]
fn who_was_called_speaks_once_the_caller_has() {
    let bidi = format!("<bidi xmlns='{}'/>", ns::BIDI);
    let enable = format!("<enable xmlns='{}'/>", ns::SM);
    for first in [enable, message("x@b.example", "x@a.example")] {
        let mut house = house(OURS);
        house.bidi = true;
        let mut side = visited(&house);
        assert_eq!(side.answer(&bidi), "");
        side.answer(&key("b.example", "a.example"));
        side.judge("b.example", Verdict::Valid);
        assert_eq!(house.pairs(), [] as [String; 0]);
        side.answer(&first);
        assert_eq!(house.pairs(), ["b.example to a.example"]);
        // Of what is proved after it the house hears at once.
        side.answer(&key("rooms.b.example", "a.example"));
        side.judge("rooms.b.example", Verdict::Valid);
        assert_eq!(house.pairs().len(), 2);
    }
}

/// Both ends, and the wire between them.
struct Wire {
    caller: Side,
    callee: Side,
    /// Bytes that still get through, in all.
    left: usize,
    chunk: usize,
    verdict: Verdict,
}

impl Wire {
    /// Carries bytes until nothing moves any more, or the wire is cut.
    fn run(&mut self) {
        for _ in 0..10_000 {
            let mut moved = false;
            for forth in [true, false] {
                let (from, to) = match forth {
                    true => (&mut self.caller, &mut self.callee),
                    false => (&mut self.callee, &mut self.caller),
                };
                let size = from.out.len().min(self.chunk).min(self.left);
                let bytes: Vec<u8> = from.out.drain(..size).collect();
                self.left -= size;
                moved |= size > 0;
                to.hear(&bytes);
            }
            if self.caller.secure && self.callee.secure && self.callee.out.is_empty() {
                (self.caller.secure, self.callee.secure) = (false, false);
                self.caller.give(Input::Secured(tls()));
                self.callee.give(Input::Secured(tls()));
                moved = true;
            }
            if let Some(Question::Verify(verify)) = self.callee.asked.pop() {
                let answer = Answer::Verified(verify, self.verdict);
                self.callee.give(Input::Answer(answer));
                moved = true;
            }
            if !moved {
                return;
            }
        }
        panic!("it goes on for ever");
    }
}

fn verdicts() -> impl Strategy<Value = Verdict> {
    prop_oneof![
        3 => Just(Verdict::Valid),
        1 => Just(Verdict::Invalid),
        1 => Just(Verdict::Error(Condition::RemoteServerTimeout)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]
    /// Wherever the wire is cut: whoever made the call hears of one outcome, and every seat of one end.
    #[test]
    fn a_call_has_one_outcome(
        left in prop_oneof![0..4_000usize, Just(usize::MAX)],
        chunk in 1..400usize,
        bidi in any::<bool>(),
        (ours_certified, theirs_certified) in any::<(bool, bool)>(),
        direct in any::<bool>(),
        verdict in verdicts(),
        asks in any::<bool>(),
    ) {
        let mut ours = house(&["a.example"]);
        let mut theirs = house(&["b.example"]);
        (ours.bidi, theirs.bidi) = (bidi, bidi);
        if ours_certified {
            theirs.certified = &["a.example"];
        }
        if theirs_certified {
            ours.certified = &["b.example"];
            ours.demand = Demand::Certificate;
        }
        let purpose = match asks {
            false => Purpose::Stanzas,
            true => Purpose::Verify(Verify {
                local: jid("a.example"),
                remote: jid("b.example"),
                id: "1".into(),
                key: theirs.key(&jid("a.example"), &jid("b.example"), "1"),
            }),
        };
        let secured = direct.then(tls);
        let mut wire = Wire {
            caller: Side::calling(&ours, "b.example", purpose, secured.clone()),
            callee: Side::accepting(&theirs, secured),
            left,
            chunk,
            verdict,
        };
        wire.run();
        if left == usize::MAX {
            let expected = match (asks, ours_certified, verdict) {
                (true, ..) => "verified Valid",
                (_, true, _) => "ready by EXTERNAL",
                (_, false, Verdict::Valid) => "ready by dialback",
                (_, false, _) => "failed: the server does not accept our identity",
            };
            prop_assert!(ours.outcomes()[0].starts_with(expected), "{:?}", ours.outcomes());
            let proven = expected.starts_with("ready");
            prop_assert_eq!(theirs.pairs().len(), usize::from(proven));
        }
        let seats = [wire.caller.seated, wire.callee.seated];
        drop(wire);
        prop_assert_eq!(ours.outcomes().len(), 1, "{:?}", ours.outcomes());
        let ends = [&ours, &theirs].map(|house| house.seat.0.lock().unwrap().closed.len());
        prop_assert_eq!(ends, seats.map(usize::from));
    }
}
