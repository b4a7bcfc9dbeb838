//! People of other servers whom an account does not know: what its protection makes of what they send.

use std::time::Duration;

use waxwing::proto::{Condition, Jid, PresenceType, Stanza, StanzaError, ns};
use waxwing::xml::Element;

use super::world::{Authority, Site, body, chat, next_message, online};
use crate::support::client::Client;
use crate::support::server::Running;

const QUIET: Duration = Duration::from_millis(300);

struct World {
    _a: Running,
    b: Running,
    alice: Client,
    bob: Client,
}

/// Bob's server protects from strangers, as `policy` says.
async fn world(policy: &str) -> World {
    let authority = Authority::new();
    let site_a = Site::new(&authority, "a.example");
    let mut site_b = Site::new(&authority, "b.example");
    site_b.settings = format!("[modules.strangers]\n{policy}");
    let a = site_a.start(&authority, &[&site_b]).await;
    let b = site_b.start(&authority, &[&site_a]).await;
    let alice = a.account("alice").await.unwrap();
    let bob = b.account("bob").await.unwrap();
    let mut world = World {
        alice: online(&a, &alice).await,
        bob: online(&b, &bob).await,
        _a: a,
        b,
    };
    world.alice.roster().await.unwrap();
    world.bob.roster().await.unwrap();
    world
}

async fn error(client: &mut Client, id: &str) -> StanzaError {
    let is_it = |el: &Element| el.attr("id") == Some(id);
    let error = client.wait_for("a refusal", is_it).await.unwrap();
    assert_eq!(error.attr("type"), Some("error"), "{error:?}");
    StanzaError::parse(error.child("error", ns::CLIENT).unwrap())
}

fn subscribe(to: &Jid) -> Stanza {
    Stanza::presence(PresenceType::Subscribe).with_to(to.bare())
}

#[tokio::test]
async fn refused_as_whoever_writes_to_nobody_until_one_wrote_first() {
    let mut world = world("policy = \"refuse\"").await;
    let (alice, bob) = (world.alice.jid.bare(), world.bob.jid.bare());
    let nobody = Jid::parse("nobody@b.example").unwrap();
    let mut told = Vec::new();
    for to in [&bob, &nobody] {
        world.alice.send(chat(to, to.as_str())).await.unwrap();
        told.push(error(&mut world.alice, to.as_str()).await);
    }
    assert_eq!(told[0].condition, Condition::ServiceUnavailable);
    assert_eq!(told[0].condition, told[1].condition);
    assert_eq!(told[0].text, told[1].text, "who is there is not to be seen");
    world.alice.send(subscribe(&bob)).await.unwrap();
    world.bob.expect_nothing(QUIET).await.unwrap();

    world.bob.send(chat(&alice, "may I?")).await.unwrap();
    assert_eq!(body(&next_message(&mut world.alice).await), "may I?");
    world.alice.send(chat(&bob, "you may")).await.unwrap();
    assert_eq!(body(&next_message(&mut world.bob).await), "you may");
}

#[tokio::test]
async fn held_until_one_takes_them_into_the_roster() {
    let mut world = world("policy = \"hold\"").await;
    let (alice, bob) = (world.alice.jid.bare(), world.bob.jid.bare());
    world.alice.send(chat(&bob, "hello")).await.unwrap();
    world.bob.expect_nothing(QUIET).await.unwrap();
    world
        .alice
        .expect_nothing(Duration::from_millis(10))
        .await
        .unwrap();
    let item = Element::new("item", ns::ROSTER).with_attr("jid", alice.as_str());
    let query = Element::new("query", ns::ROSTER).with_child(item);
    world.bob.request("set", None, query).await.unwrap();
    assert_eq!(body(&next_message(&mut world.bob).await), "hello");
}

/// What one domain may send counts for all its people together, however many servers of theirs there are.
#[tokio::test]
async fn so_many_of_one_domain() {
    let mut world = world("policy = \"rate\"\nper_account = 100\nper_domain = 2").await;
    let bob = world.bob.jid.bare();
    let dave = world.b.account("dave").await.unwrap();
    let mut dave_here = online(&world.b, &dave).await;
    world.alice.send(chat(&bob, "1")).await.unwrap();
    assert_eq!(body(&next_message(&mut world.bob).await), "1");
    world.alice.send(chat(&dave, "2")).await.unwrap();
    assert_eq!(body(&next_message(&mut dave_here).await), "2");
    world.alice.send(chat(&bob, "3")).await.unwrap();
    let refused = error(&mut world.alice, "3").await;
    assert_eq!(refused.condition, Condition::ServiceUnavailable);
}
