//! Calls that hide where somebody is: relays alone are told of and named, for an account that wants it so (XEP-0215, XEP-0176).

use std::time::Duration;

use waxwing::proto::form::{Field, FieldType, Form, FormType};
use waxwing::proto::{Condition, ns};
use waxwing::xml::{Element, parse};

use crate::administration::command;
use crate::support::client::{Client, Error};
use crate::support::process::Process;
use crate::support::server::{Running, start_own, start_server};

const NODE: &str = "waxwing:account#calls";
const CANDIDATES: &str = "<iq xmlns='jabber:client' type='set' id='call'>\
    <jingle xmlns='urn:xmpp:jingle:1' action='transport-info' sid='a'><content creator='initiator' name='voice'>\
    <transport xmlns='urn:xmpp:jingle:transports:ice-udp:1' ufrag='u' pwd='p'>\
    <candidate type='host' ip='192.0.2.1' port='1'/><candidate type='srflx' ip='192.0.2.2' port='2' rel-addr='192.0.2.1'/>\
    <candidate type='relay' ip='198.51.100.1' port='3' rel-addr='192.0.2.2' rel-port='2'/>\
    </transport></content></jingle></iq>";

/// Chooses by an ad-hoc command on the account's own address; what holds then.
pub async fn choose(client: &mut Client, way: &str) -> Result<String, Condition> {
    let own = client.jid.bare();
    let begun = client
        .request("set", Some(own.as_str()), command(NODE, None, None))
        .await
        .unwrap();
    let begun = begun.child("command", ns::COMMANDS).unwrap();
    let session = begun.attr("sessionid").unwrap().to_owned();
    let field = Field::new(FieldType::ListSingle, "way").with_value(way);
    let form = Form::new(FormType::Submit).with_field(field);
    let filled = command(NODE, Some(&session), None).with_child(form.to_element());
    match client.request("set", Some(own.as_str()), filled).await {
        Ok(done) => {
            let done = done.child("command", ns::COMMANDS).unwrap();
            let form = Form::of(done).unwrap().unwrap();
            Ok(form.value("way").unwrap().to_owned())
        }
        Err(Error::Refused(error)) => Err(error.condition),
        Err(other) => panic!("{other}"),
    }
}

async fn online(server: &Running, name: &str) -> Client {
    let account = server.account(name).await.unwrap();
    let mut client = server.client(&account).connect(server.addr).await.unwrap();
    client.presence().await.unwrap();
    client
}

/// The types of the services that it is told of.
async fn kinds(client: &mut Client) -> Vec<String> {
    let services = Element::new("services", ns::EXTDISCO);
    let host = client.jid.domain().to_owned();
    let answer = client.request("get", Some(&host), services).await.unwrap();
    let services = answer.child("services", ns::EXTDISCO).unwrap();
    let mut kinds: Vec<String> = services
        .children()
        .map(|service| service.attr("type").unwrap().to_owned())
        .collect();
    kinds.dedup();
    kinds
}

/// What a push says: what is done with services of a type.
async fn pushed(client: &mut Client) -> Vec<(String, String)> {
    let is_push = |el: &Element| {
        el.attr("type") == Some("set") && el.child("services", ns::EXTDISCO).is_some()
    };
    let push = client.wait_for("a push", is_push).await.unwrap();
    let services = push.child("services", ns::EXTDISCO).unwrap();
    let attr = |service: waxwing::xml::El<'_>, name| service.attr(name).unwrap().to_owned();
    services
        .children()
        .map(|service| (attr(service, "action"), attr(service, "type")))
        .collect()
}

/// Each sees the other, without which no call passes between them.
async fn meet(one: &mut Client, other: &mut Client) {
    for _ in 0..2 {
        let to = other.jid.to_string();
        let presence = Element::new("presence", ns::CLIENT).with_attr("to", &to);
        one.send(presence).await.unwrap();
        let from = one.jid.to_string();
        let seen = |el: &Element| el.is("presence", ns::CLIENT) && el.attr("from") == Some(&*from);
        other.wait_for("presence", seen).await.unwrap();
        std::mem::swap(one, other);
    }
}

/// The types of the ways that one names to the other, and whether one of them says what is behind it.
async fn named(one: &mut Client, other: &mut Client) -> (Vec<String>, bool) {
    let context = waxwing::xml::Context::client();
    let mut iq = parse(
        CANDIDATES.as_bytes(),
        &context,
        &waxwing::xml::Limits::new(10_000),
    )
    .unwrap();
    iq.set_attr("to", Some(&other.jid.to_string()));
    one.send(iq).await.unwrap();
    let is_call = |el: &Element| el.child("jingle", ns::JINGLE).is_some();
    let call = other.wait_for("a call", is_call).await.unwrap();
    let content = call.child("jingle", ns::JINGLE).unwrap();
    let transport = content.children().next().unwrap().children().next();
    let transport = transport.unwrap();
    assert_eq!(transport.attr("ufrag"), Some("u"));
    let kinds = transport.children();
    let kinds = kinds.map(|candidate| candidate.attr("type").unwrap().to_owned());
    let behind = transport
        .children()
        .any(|candidate| candidate.attr("rel-addr").is_some());
    (kinds.collect(), behind)
}

fn relay_alone() -> (Vec<String>, bool) {
    (vec!["relay".to_owned()], false)
}

#[tokio::test]
async fn an_account_hides_where_it_is() {
    let running = start_server(&[]).await;
    let mut juliet = online(&running, "juliet").await;
    let mut romeo = online(&running, "romeo").await;
    meet(&mut juliet, &mut romeo).await;
    let all = ["host", "srflx", "relay"].map(str::to_owned).to_vec();
    assert_eq!(kinds(&mut juliet).await, ["stun", "turn", "turns"]);
    assert_eq!(named(&mut juliet, &mut romeo).await, (all.clone(), true));
    assert_eq!(choose(&mut juliet, "relay").await.as_deref(), Ok("relay"));
    let gone = vec![("delete".to_owned(), "stun".to_owned())];
    assert_eq!(pushed(&mut juliet).await, gone);
    assert_eq!(kinds(&mut juliet).await, ["turn", "turns"]);
    // Both ways: to try a direct one would show where she is.
    assert_eq!(named(&mut juliet, &mut romeo).await, relay_alone());
    assert_eq!(named(&mut romeo, &mut juliet).await, relay_alone());
    // Only for her.
    assert_eq!(kinds(&mut romeo).await, ["stun", "turn", "turns"]);
    let mut nurse = online(&running, "nurse").await;
    meet(&mut romeo, &mut nurse).await;
    assert_eq!(named(&mut romeo, &mut nurse).await, (all.clone(), true));
    // It holds after a restart.
    let own = juliet.jid.bare();
    for client in [juliet, romeo, nurse] {
        client.close().await.unwrap();
    }
    let folder = running.stop().await.unwrap();
    let running = start_own(folder, &[], &[]).await.unwrap();
    let mut juliet = running.client(&own).connect(running.addr).await.unwrap();
    juliet.presence().await.unwrap();
    let mut paris = online(&running, "paris").await;
    meet(&mut juliet, &mut paris).await;
    assert_eq!(named(&mut juliet, &mut paris).await, relay_alone());
    assert_eq!(kinds(&mut juliet).await, ["turn", "turns"]);
    assert_eq!(choose(&mut juliet, "any").await.as_deref(), Ok("any"));
    let back = vec![("add".to_owned(), "stun".to_owned())];
    assert_eq!(pushed(&mut juliet).await, back);
    assert_eq!(named(&mut juliet, &mut paris).await, (all, true));
}

#[tokio::test]
async fn nobody_hides_behind_a_relay_that_is_not_there() {
    let running = start_server(&["modules.external_services.own=false"]).await;
    let mut juliet = online(&running, "juliet").await;
    let refused = choose(&mut juliet, "relay").await;
    assert_eq!(refused, Err(Condition::NotAllowed));
    assert_eq!(choose(&mut juliet, "any").await.as_deref(), Ok("any"));
}

#[tokio::test]
async fn administrators_choose_for_others() {
    let server = Process::start(&["juliet"], &[]);
    let mut balcony = server.client("juliet").connect(server.addr).await.unwrap();
    let chosen = |arguments: &[&str]| {
        let (done, said, error) = server.run(&[&["calls"], arguments].concat());
        assert!(done, "{error}");
        said
    };
    let whose = ["--account", "juliet@localhost"];
    assert!(chosen(&whose).contains("any"));
    let hide = [&whose[..], &["--way", "relay"]].concat();
    assert!(chosen(&hide).contains("relay"));
    assert_eq!(kinds(&mut balcony).await, ["turn", "turns"]);
    let (done, _, error) = server.run(&["calls", "--account", "nobody@localhost"]);
    assert!(!done && error.contains("there is no account"), "{error}");
    let quiet = balcony.expect_nothing(Duration::from_millis(100)).await;
    quiet.expect("who did not ask before hears nothing");
}
