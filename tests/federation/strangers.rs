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
    let mut site_a = Site::new(&authority, "a.example");
    // Alice may play a room.
    site_a.settings = "[modules.claims]\nenabled = false".to_owned();
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

/// What a room says; an account plays it, its client has an occupant's address.
fn from_room(to: &Jid, id: &str, what: &str) -> String {
    format!(
        "<message to='{to}' id='{id}'><x xmlns='{}'>{what}</x></message>",
        ns::MUC_USER
    )
}

const INVITATION: &str = "<invite from='crone@c.example'><reason>Come in</reason></invite>";

#[tokio::test]
async fn a_room_that_one_entered_is_no_stranger_when_one_has_left() {
    let mut world = world("policy = \"refuse\"").await;
    let (bob, address) = (world.bob.jid.clone(), world.alice.jid.to_string());
    let invitation = from_room(&bob.bare(), "i0", INVITATION);
    world.alice.send(invitation.as_str()).await.unwrap();
    let refused = error(&mut world.alice, "i0").await;
    assert_eq!(refused.condition, Condition::ServiceUnavailable);

    let join = format!(
        "<presence to='{address}'><x xmlns='{}'/></presence>",
        ns::MUC
    );
    world.bob.send(join.as_str()).await.unwrap();
    let entering = |el: &Element| el.is("presence", ns::CLIENT);
    world.alice.wait_for("him", entering).await.unwrap();
    let said = format!("<message to='{bob}' type='groupchat' id='g'><body>hail</body></message>");
    world.alice.send(said.as_str()).await.unwrap();
    assert_eq!(body(&next_message(&mut world.bob).await), "hail");

    let leave = format!("<presence type='unavailable' to='{address}'/>");
    world.bob.send(leave.as_str()).await.unwrap();
    world.alice.wait_for("him go", entering).await.unwrap();
    let member = "<item affiliation='member' role='none'/><status code='101'/>";
    for (id, what) in [("a", member), ("i1", INVITATION)] {
        let message = from_room(&bob.bare(), id, what);
        world.alice.send(message.as_str()).await.unwrap();
        let heard = next_message(&mut world.bob).await;
        assert_eq!(heard.attr("id"), Some(id));
    }
}

#[tokio::test]
async fn an_invitation_waits_as_what_is_said_does() {
    let mut world = world("policy = \"hold\"").await;
    let bob = world.bob.jid.bare();
    let invitation = from_room(&bob, "i", INVITATION);
    world.alice.send(invitation.as_str()).await.unwrap();
    world.bob.expect_nothing(QUIET).await.unwrap();
    world
        .bob
        .send(chat(&world.alice.jid.bare(), "who is there?"))
        .await
        .unwrap();
    let heard = next_message(&mut world.bob).await;
    assert_eq!(heard.attr("id"), Some("i"));
    assert!(heard.has_child("delay", ns::DELAY), "{heard:?}");
}
