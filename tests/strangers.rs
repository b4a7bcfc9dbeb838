//! Protection from strangers: what they send is taken, bounded, held back or refused as the configuration says, and
//! whoever is refused learns nothing by it.

use std::time::Duration;

use waxwing::proto::form::{Field, FieldType, Form, FormType};
use waxwing::proto::{Condition, StanzaError, ns};
use waxwing::xml::{El, Element};

use crate::administration::command;
use crate::support::client::{Client, Error};
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

const NODE: &str = "waxwing:account#protection";

/// Chooses by an ad-hoc command on the account's own address; what is in force then.
pub async fn choose(client: &mut Client, policy: &str) -> Result<String, Condition> {
    let own = client.jid.bare();
    let begun = client
        .request("set", Some(own.as_str()), command(NODE, None, None))
        .await
        .unwrap();
    let begun = begun.child("command", ns::COMMANDS).unwrap();
    let session = begun.attr("sessionid").unwrap().to_owned();
    let field = Field::new(FieldType::ListSingle, "policy").with_value(policy);
    let form = Form::new(FormType::Submit).with_field(field);
    let filled = command(NODE, Some(&session), None).with_child(form.to_element());
    match client.request("set", Some(own.as_str()), filled).await {
        Ok(done) => {
            let done = done.child("command", ns::COMMANDS).unwrap();
            let form = Form::of(done).unwrap().unwrap();
            Ok(form.value("in force").unwrap().to_owned())
        }
        Err(Error::Refused(error)) => Err(error.condition),
        Err(other) => panic!("{other}"),
    }
}

#[tokio::test]
async fn an_account_chooses_for_itself() {
    let running = server(&["modules.strangers.hold_messages=2"]).await;
    let mut juliet = online(&running, "juliet").await;
    let mut romeo = online(&running, "romeo").await;
    say(&mut romeo, &juliet, "m0").await;
    hears(&mut juliet, "m0").await;

    let own = juliet.jid.bare();
    let items = Element::new("query", ns::DISCO_ITEMS).with_attr("node", ns::COMMANDS);
    let found = juliet
        .request("get", Some(own.as_str()), items)
        .await
        .unwrap();
    let found = found.child("query", ns::DISCO_ITEMS).unwrap();
    let at_own = |item: El<'_>| item.attr("jid") == Some(own.as_str());
    assert!(found.children().all(at_own));
    assert!(found.children().any(|item| item.attr("node") == Some(NODE)));
    // What administers the server is not there, and others do not get at it.
    let of_admins = |node: Option<&str>| node.is_none_or(|node| node.starts_with(ns::ADMIN));
    assert!(!found.children().any(|item| of_admins(item.attr("node"))));
    let foreign = romeo
        .request("set", Some(own.as_str()), command(NODE, None, None))
        .await;
    assert!(matches!(foreign, Err(Error::Refused(_))));

    assert_eq!(choose(&mut juliet, "hold").await.as_deref(), Ok("hold"));
    let mut nurse = online(&running, "nurse").await;
    for id in ["m1", "m2"] {
        say(&mut romeo, &juliet, id).await;
    }
    romeo.expect_nothing(QUIET).await.unwrap();
    say(&mut romeo, &juliet, "m3").await;
    is_refused(&mut romeo, "m3").await;
    // Only for her.
    say(&mut romeo, &nurse, "m4").await;
    hears(&mut nurse, "m4").await;
    // Looser again: what waited comes in, in its order.
    assert_eq!(choose(&mut juliet, "rate").await.as_deref(), Ok("rate"));
    hears(&mut juliet, "m1").await;
    hears(&mut juliet, "m2").await;
    assert_eq!(choose(&mut juliet, "refuse").await.as_deref(), Ok("refuse"));
    say(&mut romeo, &juliet, "m5").await;
    is_refused(&mut romeo, "m5").await;
    // It is there after a restart.
    for client in [juliet, romeo, nurse] {
        client.close().await.unwrap();
    }
    let folder = running.stop().await.unwrap();
    let sets = ["modules.strangers.same_host=false"];
    let running = start_own(folder, &sets, &[]).await.unwrap();
    let mut juliet = running.client(&own).connect(running.addr).await.unwrap();
    juliet.presence().await.unwrap();
    let mut paris = online(&running, "paris").await;
    say(&mut paris, &juliet, "p1").await;
    is_refused(&mut paris, "p1").await;
    assert_eq!(
        choose(&mut juliet, "default").await.as_deref(),
        Ok("accept")
    );
    say(&mut paris, &juliet, "p2").await;
    hears(&mut juliet, "p2").await;
}

#[tokio::test]
async fn within_what_the_server_allows() {
    let running = server(&[
        "modules.strangers.policy=hold",
        "modules.strangers.least=rate",
    ])
    .await;
    let mut juliet = online(&running, "juliet").await;
    assert_eq!(
        choose(&mut juliet, "accept").await,
        Err(Condition::BadRequest)
    );
    assert_eq!(choose(&mut juliet, "rate").await.as_deref(), Ok("rate"));
    let fixed = server(&["modules.strangers.own_choice=false"]).await;
    let mut nurse = online(&fixed, "nurse").await;
    assert_eq!(
        choose(&mut nurse, "refuse").await,
        Err(Condition::NotAllowed)
    );
}
