//! Protection from strangers: what they send is taken, bounded, held back or refused as the configuration says, and
//! whoever is refused learns nothing by it.

use std::time::Duration;

use waxwing::proto::{Condition, StanzaError, ns};
use waxwing::xml::Element;

use crate::support::client::Client;
use crate::support::server::{Running, start_own};

const QUIET: Duration = Duration::from_millis(250);

/// A server on which accounts of the same domain are strangers to each other.
async fn server(sets: &[&str]) -> Running {
    let mut all = vec!["modules.strangers.same_host=false"];
    all.extend_from_slice(sets);
    let folder = tempfile::tempdir().unwrap();
    start_own(folder, &all, &[]).await.unwrap()
}

async fn online(running: &Running, name: &str) -> Client {
    let jid = running.account(name).await.unwrap();
    let mut client = running.client(&jid).connect(running.addr).await.unwrap();
    client.roster().await.unwrap();
    client.presence().await.unwrap();
    client
        .wait_for("its own presence", |el| el.is("presence", ns::CLIENT))
        .await
        .unwrap();
    client
}

/// Takes somebody into the roster.
async fn add(client: &mut Client, who: &Client) {
    let item = Element::new("item", ns::ROSTER).with_attr("jid", who.jid.bare_str());
    let query = Element::new("query", ns::ROSTER).with_child(item);
    client.request("set", None, query).await.unwrap();
}

async fn say(client: &mut Client, to: &Client, id: &str) {
    let to = to.jid.bare();
    let message = format!("<message to='{to}' type='chat' id='{id}'><body>{id}</body></message>");
    client.send(message.as_str()).await.unwrap();
}

async fn hears(client: &mut Client, id: &str) -> Element {
    let is_message = |el: &Element| el.is("message", ns::CLIENT);
    let message = client.wait_for("a message", is_message).await.unwrap();
    assert_eq!(message.attr("id"), Some(id), "{message:?}");
    assert_ne!(message.attr("type"), Some("error"), "{message:?}");
    message
}

async fn is_refused(client: &mut Client, id: &str) {
    let is_it = |el: &Element| el.attr("id") == Some(id);
    let error = client.wait_for("a refusal", is_it).await.unwrap();
    assert_eq!(error.attr("type"), Some("error"), "{error:?}");
    let error = StanzaError::parse(error.child("error", ns::CLIENT).unwrap());
    // As for who does not exist, word by word.
    assert_eq!(error.condition, Condition::ServiceUnavailable);
    assert_eq!(error.text, None);
}

#[tokio::test]
async fn refused_unless_one_wrote_first() {
    let running = server(&["modules.strangers.policy=refuse"]).await;
    let mut juliet = online(&running, "juliet").await;
    let mut romeo = online(&running, "romeo").await;
    say(&mut romeo, &juliet, "m1").await;
    is_refused(&mut romeo, "m1").await;
    let subscribe = format!("<presence type='subscribe' to='{}'/>", juliet.jid.bare());
    romeo.send(subscribe.as_str()).await.unwrap();
    romeo
        .wait_for("a push", |el| el.has_child("query", ns::ROSTER))
        .await
        .unwrap();
    juliet.expect_nothing(QUIET).await.unwrap();
    romeo
        .expect_nothing(Duration::from_millis(10))
        .await
        .unwrap();
    // An answer to what one wrote oneself is not from a stranger, also after a restart.
    let mut paris = online(&running, "paris").await;
    add(&mut paris, &juliet).await;
    let (juliet_jid, paris_jid) = (juliet.jid.bare(), paris.jid.bare());
    say(&mut paris, &juliet, "a0").await;
    is_refused(&mut paris, "a0").await;
    say(&mut juliet, &paris, "q").await;
    hears(&mut paris, "q").await;
    say(&mut paris, &juliet, "a1").await;
    hears(&mut juliet, "a1").await;
    for client in [juliet, romeo, paris] {
        client.close().await.unwrap();
    }
    let folder = running.stop().await.unwrap();
    let sets = [
        "modules.strangers.same_host=false",
        "modules.strangers.policy=refuse",
    ];
    let running = start_own(folder, &sets, &[]).await.unwrap();
    let mut juliet = running
        .client(&juliet_jid)
        .connect(running.addr)
        .await
        .unwrap();
    juliet.presence().await.unwrap();
    let mut paris = running
        .client(&paris_jid)
        .connect(running.addr)
        .await
        .unwrap();
    say(&mut paris, &juliet, "a2").await;
    hears(&mut juliet, "a2").await;
}

#[tokio::test]
async fn so_many_in_an_hour() {
    let running = server(&[
        "modules.strangers.policy=rate",
        "modules.strangers.per_account=3",
    ])
    .await;
    let mut juliet = online(&running, "juliet").await;
    let mut romeo = online(&running, "romeo").await;
    for id in ["m1", "m2", "m3"] {
        say(&mut romeo, &juliet, id).await;
        hears(&mut juliet, id).await;
    }
    say(&mut romeo, &juliet, "m4").await;
    is_refused(&mut romeo, "m4").await;
    juliet.expect_nothing(QUIET).await.unwrap();
    // Others have hours of their own.
    let mut nurse = online(&running, "nurse").await;
    say(&mut romeo, &nurse, "m5").await;
    hears(&mut nurse, "m5").await;
}

#[tokio::test]
async fn so_many_of_a_domain() {
    let running = server(&[
        "modules.strangers.policy=rate",
        "modules.strangers.per_domain=2",
    ])
    .await;
    let mut romeo = online(&running, "romeo").await;
    for (at, name) in ["juliet", "nurse", "paris"].into_iter().enumerate() {
        let mut other = online(&running, name).await;
        say(&mut romeo, &other, name).await;
        if at < 2 {
            hears(&mut other, name).await;
        } else {
            is_refused(&mut romeo, name).await;
        }
    }
}

#[tokio::test]
async fn held_until_the_sender_is_known() {
    let sets = [
        "modules.strangers.policy=hold",
        "modules.strangers.hold_messages=2",
    ];
    let running = server(&sets).await;
    let mut juliet = online(&running, "juliet").await;
    let mut romeo = online(&running, "romeo").await;
    let mut paris = online(&running, "paris").await;
    say(&mut romeo, &juliet, "m1").await;
    romeo.expect_nothing(QUIET).await.unwrap();
    say(&mut paris, &juliet, "p1").await;
    paris.expect_nothing(QUIET).await.unwrap();
    say(&mut romeo, &juliet, "m2").await;
    is_refused(&mut romeo, "m2").await;
    juliet.expect_nothing(QUIET).await.unwrap();
    // Taking somebody into the roster brings what he said, and when; then there is room again.
    add(&mut juliet, &romeo).await;
    let late = hears(&mut juliet, "m1").await;
    assert!(late.has_child("delay", ns::DELAY), "{late:?}");
    assert_eq!(late.attr("from"), Some(romeo.jid.as_str()));
    say(&mut romeo, &juliet, "m3").await;
    hears(&mut juliet, "m3").await;
    // So does writing to somebody.
    say(&mut juliet, &paris, "q").await;
    hears(&mut juliet, "p1").await;
    say(&mut paris, &juliet, "p2").await;
    hears(&mut juliet, "p2").await;
}
