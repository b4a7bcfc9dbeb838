//! Links that lose their connection go on over a new one (XEP-0198 §5): nothing is lost, nothing arrives twice, in both
//! directions, whether or not it is kept on disk.

use std::time::Duration;

use waxwing::proto::{Jid, Stanza, ns};
use waxwing::xml::Element;

use super::wire::Wire;
use super::world::{Authority, Site, body, chat, next_message, online};
use crate::support::client::Client;
use crate::support::server::Running;

const QUIET: Duration = Duration::from_millis(300);

struct World {
    a: Running,
    b: Running,
    wire: Wire,
    alice: Client,
    bob: Client,
}

impl World {
    /// Alice's server calls that of Bob over a wire.
    async fn new(settings: &str) -> World {
        let authority = Authority::new();
        let mut site_a = Site::new(&authority, "a.example");
        let mut site_b = Site::new(&authority, "b.example");
        for site in [&mut site_a, &mut site_b] {
            site.settings = settings.to_owned();
        }
        let wire = Wire::to(site_b.address).await;
        let b_by_wire = Site {
            domain: site_b.domain,
            address: wire.address,
            certificate: site_b.certificate.clone(),
            settings: String::new(),
        };
        let a = site_a.start(&authority, &[&b_by_wire]).await;
        let b = site_b.start(&authority, &[&site_a]).await;
        let alice = a.account("alice").await.unwrap();
        let bob = b.account("bob").await.unwrap();
        let mut world = World {
            alice: online(&a, &alice).await,
            bob: online(&b, &bob).await,
            a,
            b,
            wire,
        };
        world.there("hello").await;
        world.back("hello").await;
        world.all_is_acknowledged().await;
        world
    }

    async fn all_is_acknowledged(&self) {
        for _ in 0..500 {
            let states = states(&self.a).into_iter().chain(states(&self.b));
            if !states.into_iter().any(|state| state.contains("under way")) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("{:?} {:?}", states(&self.a), states(&self.b));
    }

    async fn say_there(&mut self, text: &str) {
        let message = fleeting(&self.bob.jid, text);
        self.alice.send(message).await.unwrap();
    }

    async fn say_back(&mut self, text: &str) {
        let message = fleeting(&self.alice.jid, text);
        self.bob.send(message).await.unwrap();
    }

    async fn there(&mut self, text: &str) {
        self.say_there(text).await;
        assert_eq!(body(&next_message(&mut self.bob).await), text);
    }

    async fn back(&mut self, text: &str) {
        self.say_back(text).await;
        assert_eq!(body(&next_message(&mut self.alice).await), text);
    }

    /// The link goes on, on a new connection.
    async fn goes_on(&self, connections: usize) {
        for _ in 0..500 {
            let broken = |state: &String| state.contains("broken off");
            let states = states(&self.a);
            let up = !states.is_empty() && !states.iter().any(broken);
            if self.wire.connections() >= connections && up {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("{:?}", states(&self.a));
    }
}

fn states(server: &Running) -> Vec<String> {
    let house = server.own().federation().unwrap();
    house.list().into_iter().map(|link| link.state).collect()
}

/// A message that is kept nowhere: if it is lost, nobody sends it again; if it comes twice, nobody drops it.
fn fleeting(to: &Jid, text: &str) -> Stanza {
    chat(to, text).with_child(Element::new("no-store", ns::HINTS))
}

#[tokio::test]
async fn what_was_on_the_wire_when_it_broke_arrives_once() {
    let mut world = World::new("").await;
    world.wire.hold(true, true);
    for n in 0..3 {
        world.say_there(&format!("there {n}")).await;
        world.say_back(&format!("back {n}")).await;
    }
    world.bob.expect_nothing(QUIET).await.unwrap();
    world.wire.cut();
    for n in 0..3 {
        assert_eq!(
            body(&next_message(&mut world.bob).await),
            format!("there {n}")
        );
        assert_eq!(
            body(&next_message(&mut world.alice).await),
            format!("back {n}")
        );
    }
    assert_eq!(world.wire.connections(), 2);
    world.there("after").await;
    world.back("after").await;
    world.bob.expect_nothing(QUIET).await.unwrap();
    world.alice.expect_nothing(QUIET).await.unwrap();
}

#[tokio::test]
async fn what_arrived_without_an_acknowledgement_does_not_come_again() {
    let mut world = World::new("").await;
    world.wire.hold(false, true);
    for n in 0..3 {
        world.there(&n.to_string()).await;
    }
    world.wire.cut();
    world.goes_on(2).await;
    world.there("after").await;
    world.bob.expect_nothing(QUIET).await.unwrap();
    // It goes on a second time as well.
    world.wire.cut();
    world.goes_on(3).await;
    world.there("after that").await;
    world.back("and back").await;
    world.bob.expect_nothing(QUIET).await.unwrap();
}

/// The other side has not heard that the connection is lost: it is taken from it.
#[tokio::test]
async fn a_connection_that_only_its_caller_lost_gives_way() {
    let mut world = World::new("").await;
    world.wire.hold(true, true);
    world.say_there("there").await;
    world.say_back("back").await;
    world.bob.expect_nothing(QUIET).await.unwrap();
    world.wire.hold(false, false);
    world.wire.strand();
    assert_eq!(body(&next_message(&mut world.bob).await), "there");
    assert_eq!(body(&next_message(&mut world.alice).await), "back");
    assert_eq!(world.wire.connections(), 2);
    world.bob.expect_nothing(QUIET).await.unwrap();
    world.alice.expect_nothing(QUIET).await.unwrap();
}

#[tokio::test]
async fn one_way_streams_go_on_too() {
    let mut world = World::new("bidi = false").await;
    world.wire.hold(true, false);
    for n in 0..3 {
        world.say_there(&n.to_string()).await;
    }
    world.bob.expect_nothing(QUIET).await.unwrap();
    world.wire.cut();
    for n in 0..3 {
        assert_eq!(body(&next_message(&mut world.bob).await), n.to_string());
    }
    world.bob.expect_nothing(QUIET).await.unwrap();
}

#[tokio::test]
async fn a_link_that_does_not_come_back_in_time_gives_back_what_nobody_keeps() {
    let mut world = World::new("resume_for = \"1s\"").await;
    world.wire.hold(true, true);
    world.say_there("lost").await;
    world
        .alice
        .send(chat(&world.bob.jid, "kept"))
        .await
        .unwrap();
    world.bob.expect_nothing(QUIET).await.unwrap();
    world.wire.down(true);
    world.wire.cut();
    let refused = next_message(&mut world.alice).await;
    assert_eq!(refused.attr("type"), Some("error"), "{refused:?}");
    assert_eq!(refused.attr("id"), Some("lost"));
    world.wire.down(false);
    assert_eq!(body(&next_message(&mut world.bob).await), "kept");
    world.bob.expect_nothing(QUIET).await.unwrap();
}

#[tokio::test]
async fn without_resumption_what_is_kept_arrives_all_the_same() {
    let mut world = World::new("resume_for = \"0s\"").await;
    world.wire.hold(true, true);
    world
        .alice
        .send(chat(&world.bob.jid, "kept"))
        .await
        .unwrap();
    world.bob.expect_nothing(QUIET).await.unwrap();
    world.wire.cut();
    assert_eq!(body(&next_message(&mut world.bob).await), "kept");
}
