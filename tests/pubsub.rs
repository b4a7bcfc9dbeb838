//! The service of nodes (XEP-0060): what dialogues cannot show.

use std::path::Path;

use waxwing::proto::{Condition, ns};
use waxwing::xml::{Context, Element, Limits, parse};

use crate::support::client::{Client, Error};
use crate::support::server::{Running, start_own, start_server};

const ON: &str = "modules.pubsub.enabled=true";
const SERVICE: &str = "pubsub.localhost";

fn pubsub(inside: &str) -> Element {
    let text = format!("<pubsub xmlns='{}'>{inside}</pubsub>", ns::PUBSUB);
    parse(text.as_bytes(), &Context::client(), &Limits::STORED).unwrap()
}

async fn set(client: &mut Client, inside: &str) -> Result<Element, Error> {
    client.request("set", Some(SERVICE), pubsub(inside)).await
}

async fn online(server: &Running, name: &str) -> Client {
    let jid = server.account(name).await.unwrap();
    let mut client = server.client(&jid).connect(server.addr).await.unwrap();
    client.presence().await.unwrap();
    client
        .wait_for("its own presence", |el| el.is("presence", ns::CLIENT))
        .await
        .unwrap();
    client
}

/// The next event's items, by their ids.
async fn event(client: &mut Client) -> Vec<String> {
    let message = client
        .wait_for("an event", |el| {
            el.is("message", ns::CLIENT) && el.has_child("event", ns::PUBSUB_EVENT)
        })
        .await
        .unwrap();
    let event = message.child("event", ns::PUBSUB_EVENT).unwrap();
    let items = event.children().flat_map(|items| items.children());
    items
        .filter_map(|item| item.attr("id").map(str::to_owned))
        .collect()
}

fn item(node: &str, id: &str) -> String {
    format!("<publish node='{node}'><item id='{id}'><a xmlns='urn:a'/></item></publish>")
}

#[tokio::test]
async fn nodes_and_subscriptions_are_there_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let server = start_own(folder, &[ON], &[]).await.unwrap();
    let mut alice = online(&server, "alice").await;
    let mut bob = online(&server, "bob").await;
    let (a, b) = (alice.jid.bare(), bob.jid.bare());
    set(&mut alice, "<create node='n'/>").await.unwrap();
    let subscribe = format!("<subscribe node='n' jid='{b}'/>");
    set(&mut bob, &subscribe).await.unwrap();
    set(&mut alice, &item("n", "one")).await.unwrap();
    assert_eq!(event(&mut bob).await, ["one"]);
    alice.close().await.unwrap();
    bob.close().await.unwrap();

    let folder = server.stop().await.unwrap();
    let server = start_own(folder, &[ON], &[]).await.unwrap();
    let mut alice = server.client(&a).connect(server.addr).await.unwrap();
    let mut bob = server.client(&b).connect(server.addr).await.unwrap();
    bob.presence().await.unwrap();
    bob.wait_for("its own presence", |el| el.is("presence", ns::CLIENT))
        .await
        .unwrap();
    set(&mut alice, &item("n", "two")).await.unwrap();
    assert_eq!(event(&mut bob).await, ["two"]);
    let items = bob.request("get", Some(SERVICE), pubsub("<items node='n'/>"));
    let items = format!("{:?}", items.await.unwrap());
    assert!(
        items.contains("'one'") && items.contains("'two'"),
        "{items}"
    );
    server.stop().await;
}

#[tokio::test]
async fn one_node_is_written_by_many_at_once_in_one_order() {
    let server = start_server(&[ON]).await;
    let mut bob = online(&server, "bob").await;
    let mut alice = online(&server, "alice").await;
    let open = "<create node='n'/><configure><x xmlns='jabber:x:data' type='submit'>\
                <field var='pubsub#publish_model'><value>open</value></field>\
                <field var='pubsub#max_items'><value>max</value></field></x></configure>";
    set(&mut alice, open).await.unwrap();
    let subscribe = format!("<subscribe node='n' jid='{}'/>", bob.jid.bare());
    set(&mut bob, &subscribe).await.unwrap();
    let publishers = (0..4).map(|who| {
        let server = server.clone();
        tokio::spawn(async move {
            let mut client = online(&server, &format!("writer{who}")).await;
            for n in 0..10 {
                set(&mut client, &item("n", &format!("{who}-{n}")))
                    .await
                    .unwrap();
            }
        })
    });
    for publisher in publishers.collect::<Vec<_>>() {
        publisher.await.unwrap();
    }
    let mut told = Vec::new();
    while told.len() < 40 {
        told.extend(event(&mut bob).await);
    }
    let items = bob.request("get", Some(SERVICE), pubsub("<items node='n'/>"));
    let items = items.await.unwrap();
    let items = items.child("pubsub", ns::PUBSUB).unwrap();
    let items = items.child("items", ns::PUBSUB).unwrap();
    let kept: Vec<_> = items
        .children()
        .map(|item| item.attr("id").unwrap().to_owned())
        .collect();
    assert_eq!(kept, told);
    server.stop().await;
}

#[tokio::test]
async fn who_makes_nodes_is_a_setting() {
    let admins = [
        ON,
        "modules.pubsub.create=admins",
        "modules.pubsub.auto_create=true",
        r#"admin.admins=["boss@localhost"]"#,
    ];
    let folder = tempfile::tempdir().unwrap();
    let server = start_own(folder, &admins, &[]).await.unwrap();
    let mut alice = online(&server, "alice").await;
    for act in ["<create node='n'/>".to_owned(), item("n", "one")] {
        match set(&mut alice, &act).await {
            Err(Error::Refused(error)) => assert_eq!(error.condition, Condition::Forbidden),
            other => panic!("{other:?}"),
        }
    }
    let boss = waxwing::proto::Jid::parse("boss@localhost").unwrap();
    let password = waxwing::admin::Password("pencil".to_owned());
    server.accounts().create(&boss, &password).await.unwrap();
    let mut boss = server.client(&boss).connect(server.addr).await.unwrap();
    // Publishing makes the node (§7.1.4), with what its options say.
    let options = "<publish-options><x xmlns='jabber:x:data' type='submit'>\
        <field var='FORM_TYPE' type='hidden'><value>http://jabber.org/protocol/pubsub#publish-options</value></field>\
        <field var='pubsub#access_model'><value>whitelist</value></field></x></publish-options>";
    let publish = format!("{}{options}", item("n", "one"));
    set(&mut boss, &publish).await.unwrap();
    match alice
        .request("get", Some(SERVICE), pubsub("<items node='n'/>"))
        .await
    {
        Err(Error::Refused(error)) => assert_eq!(error.condition, Condition::NotAllowed),
        other => panic!("{other:?}"),
    }
    server.stop().await;
}

/// The tables of examples in `tests/fixtures` have every example once, and what they name exists.
#[test]
fn every_example_is_shown_or_has_a_reason() {
    every_example("xep-0045.txt", 220);
    every_example("xep-0060.txt", 236);
    every_example("xep-0163.txt", 11);
}

fn every_example(table: &str, examples: u32) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let table = std::fs::read_to_string(root.join("tests/fixtures").join(table)).unwrap();
    let mut next = 1;
    for line in table.lines().filter(|line| !line.starts_with('#')) {
        let (numbers, what) = line.split_once(": ").unwrap();
        let (first, last) = numbers.split_once('-').unwrap_or((numbers, numbers));
        assert_eq!(first.parse::<u32>().unwrap(), next, "{line}");
        next = last.parse::<u32>().unwrap() + 1;
        if what.starts_with("- ") {
            continue;
        }
        let (file, name) = what.split_once(": ").unwrap();
        let (path, shown) = match file.strip_suffix(".rs") {
            Some(_) => (root.join(file), format!("fn {name}(")),
            None => (
                root.join(format!("tests/scenario/{file}.txt")),
                format!("== {name}\n"),
            ),
        };
        let text = std::fs::read_to_string(path).unwrap();
        assert!(text.contains(&shown), "{line}");
    }
    assert_eq!(next, examples + 1);
}
