//! Members on both implementations, with nothing but memory between them.
#![allow(missing_docs)]

use std::collections::BTreeSet;
use std::sync::Arc;

use waxwing_mls::Fault;
use waxwing_mls::book::Summary;
use waxwing_mls::member::{Change, Heard, Kind, Member, member};
use waxwing_mls::memory::{Hall, Seat};
use waxwing_mls::play::{Script, Stage, play};
use waxwing_mls::post::Entry;

/// Everything one implementation makes, the other understands.
#[test]
fn the_two_understand_each_other() {
    for (one, other) in [(Kind::OpenMls, Kind::MlsRs), (Kind::MlsRs, Kind::OpenMls)] {
        let mut alice = member(one, "alice@localhost/phone").unwrap();
        let mut bob = member(other, "bob@localhost/phone").unwrap();
        alice.create(b"a group").unwrap();
        let package = bob.key_package(false).unwrap();
        let commit = alice.commit(&Change::Add(vec![package])).unwrap();
        alice.confirm().unwrap();
        bob.join(&commit.welcome.unwrap()).unwrap();
        assert_eq!(alice.place(), bob.place());
        for round in 0..3 {
            hears(&mut *alice, &mut *bob, &format!("alice {round}"));
            hears(&mut *bob, &mut *alice, &format!("bob {round}"));
            updates(&mut *alice, &mut *bob);
            updates(&mut *bob, &mut *alice);
        }
        let leaving = bob.leave().unwrap();
        assert_eq!(alice.read(&leaving).unwrap(), Heard::Proposal);
        assert!(alice.must_commit());
        let last = alice.commit(&Change::Update).unwrap();
        alice.confirm().unwrap();
        assert_eq!(
            bob.read(&last.message).unwrap(),
            Heard::Commit { removed: true }
        );
        assert_eq!(alice.place().unwrap().members.len(), 1);
        let alone = alice.write("nobody else").unwrap();
        assert!(bob.read(&alone).is_err());
    }
}

fn hears(writer: &mut dyn Member, reader: &mut dyn Member, text: &str) {
    let message = writer.write(text).unwrap();
    let heard = Heard::Text {
        from: writer.identity().to_owned(),
        text: text.to_owned(),
    };
    assert_eq!(reader.read(&message).unwrap(), heard);
    assert!(reader.read(&message).is_err(), "read twice");
}

fn updates(one: &mut dyn Member, other: &mut dyn Member) {
    let commit = one.commit(&Change::Update).unwrap();
    one.confirm().unwrap();
    assert_eq!(
        other.read(&commit.message).unwrap(),
        Heard::Commit { removed: false }
    );
    assert_eq!(one.place(), other.place());
}

/// Whoever joins by himself is understood too, and whom another commit overtakes tries again.
#[test]
fn people_join_by_themselves() {
    for (one, other) in [(Kind::OpenMls, Kind::MlsRs), (Kind::MlsRs, Kind::OpenMls)] {
        for third in [one, other] {
            let mut alice = member(one, "alice@localhost/phone").unwrap();
            let mut bob = member(other, "bob@localhost/phone").unwrap();
            let mut carol = member(third, "carol@localhost/phone").unwrap();
            alice.create(b"a group").unwrap();
            let package = bob.key_package(false).unwrap();
            let commit = alice.commit(&Change::Add(vec![package])).unwrap();
            alice.confirm().unwrap();
            bob.join(&commit.welcome.unwrap()).unwrap();
            let late = carol.enter(&bob.state().unwrap()).unwrap();
            updates(&mut *alice, &mut *bob);
            assert!(alice.read(&late).is_err());
            carol.drop_commit().unwrap();
            assert_eq!(carol.place(), None);
            let enters = carol.enter(&alice.state().unwrap()).unwrap();
            assert_eq!(carol.place(), None);
            for member in [&mut alice, &mut bob] {
                let heard = member.read(&enters).unwrap();
                assert_eq!(heard, Heard::Commit { removed: false });
            }
            carol.confirm().unwrap();
            assert_eq!(carol.place().unwrap().members.len(), 3);
            assert_eq!(alice.place(), carol.place());
            hears(&mut *carol, &mut *bob, "here I am");
            updates(&mut *carol, &mut *alice);
        }
    }
}

struct InMemory(Arc<Hall>, bool);

impl Stage for InMemory {
    type Post = Seat;

    fn post(&self, identity: &str) -> Result<Seat, Fault> {
        Ok(Seat::new(&self.0, identity))
    }

    fn is_open(&self) -> bool {
        true
    }

    fn may_enter(&self) -> bool {
        self.1
    }

    async fn archive(&self) -> Result<Vec<Entry>, Fault> {
        Ok(self.0.archive())
    }

    async fn trouble(&self) -> Result<(), Fault> {
        Ok(())
    }
}

/// A group of so many members, with others who are added later; every `losses` messages a connection is lost.
fn group(members: usize, rounds: usize, seed: u64, losses: Option<usize>, open: bool) -> Summary {
    let devices =
        (0..members + members / 4 + 4).map(|n| format!("user{}@localhost/{}", n / 4, n % 4));
    let script = Script {
        seed,
        devices: devices.collect(),
        members,
        rounds,
        troubles: BTreeSet::new(),
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build();
    let stage = InMemory(Hall::new(losses, open), open);
    let summary = runtime.unwrap().block_on(play(&stage, &script));
    summary.unwrap_or_else(|wrong| panic!("with seed {seed}: {wrong}"))
}

#[test]
fn groups_of_two_agree() {
    for seed in 0..8 {
        let summary = group(2, 12, seed, None, false);
        assert!(summary.read > 0 && summary.epoch > 5, "{summary:?}");
    }
}

#[test]
fn groups_of_ten_agree_whoever_is_beaten_or_away() {
    let mut beaten = 0;
    for seed in 0..6 {
        let summary = group(10, 20, seed, None, false);
        assert!(summary.read > 100 && summary.sealed > 0, "{summary:?}");
        beaten += summary.beaten;
    }
    assert!(beaten > 0, "no two commits met");
}

#[test]
fn groups_that_people_join_by_themselves_agree() {
    let (mut entered, mut beaten) = (0, 0);
    for seed in 0..6 {
        let summary = group(6, 20, seed, None, true);
        (entered, beaten) = (entered + summary.entered, beaten + summary.beaten);
    }
    assert!(entered > 5 && beaten > 0, "{entered} of {beaten}");
}

#[test]
fn lost_connections_lose_nothing() {
    for seed in 0..6 {
        let summary = group(10, 20, seed, Some(5), seed % 2 == 0);
        assert!(summary.lost > 5, "{summary:?}");
    }
}

#[test]
fn a_group_of_two_hundred_agrees() {
    let summary = group(200, 2, 1, None, false);
    assert!(summary.members > 180 && summary.read > 1000, "{summary:?}");
}
