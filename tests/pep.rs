//! What accounts publish (XEP-0163): who hears of it, who may see it, and what is kept.

use std::time::Duration;

use waxwing::proto::form::{Field, Form, FormType};
use waxwing::proto::{Condition, Jid, PresenceType, Stanza, StanzaError, ns};
use waxwing::xml::{El, Element};

use crate::caps::{Talker, info};
use crate::federation::world::{Authority, Site};
use crate::support::client::{Client, Error};
use crate::support::server::{Running, start_own, start_server};

pub const TUNE: &str = "http://jabber.org/protocol/tune";
const DEVICES: &str = "eu.siacs.conversations.axolotl.devicelist";
const QUIET: Duration = Duration::from_millis(300);

/// A client that wants to be told of these nodes, online and understood.
pub async fn talker(server: &Running, jid: &Jid, resource: &str, notify: &[&str]) -> Talker {
    let info = info(&format!("Client of {resource}, {notify:?}"), notify);
    let mut talker = Talker::connect(server, jid, resource, info).await;
    talker.announce().await;
    talker.explain().await;
    talker
}

/// Lets each see the other's presence.
pub async fn befriend(one: &mut Client, other: &mut Client) {
    for (kind, from_one) in [
        (PresenceType::Subscribe, true),
        (PresenceType::Subscribed, false),
        (PresenceType::Subscribe, false),
        (PresenceType::Subscribed, true),
    ] {
        let (from, to) = match from_one {
            true => (&mut *one, &mut *other),
            false => (&mut *other, &mut *one),
        };
        let stanza = Stanza::presence(kind).with_to(to.jid.bare());
        from.send(stanza).await.unwrap();
        if kind == PresenceType::Subscribe {
            let wanted = |el: &Element| el.attr("type") == Some("subscribe");
            to.wait_for("a request", wanted).await.unwrap();
        } else {
            let from = from.jid.to_string();
            let shown =
                |el: &Element| el.is("presence", ns::CLIENT) && el.attr("from") == Some(&*from);
            to.wait_for("its presence", shown).await.unwrap();
        }
    }
}

pub fn leaf(name: &str, ns: &str, text: &str) -> Element {
    Element::new(name, ns).with_text(text)
}

fn tune(title: &str) -> Element {
    Element::new("tune", TUNE).with_child(leaf("title", TUNE, title))
}

pub fn publish(node: &str, id: &str, payload: Element, options: &[(&str, &str)]) -> Element {
    let item = Element::new("item", ns::PUBSUB).with_attr("id", id);
    let publish = Element::new("publish", ns::PUBSUB)
        .with_attr("node", node)
        .with_child(item.with_child(payload));
    let pubsub = Element::new("pubsub", ns::PUBSUB).with_child(publish);
    if options.is_empty() {
        return pubsub;
    }
    let form =
        Form::new(FormType::Submit).with_form_type(&format!("{}#publish-options", ns::PUBSUB));
    let form = options.iter().fold(form, |form, (var, value)| {
        form.with_field(Field::text(&format!("pubsub#{var}"), value))
    });
    let options = Element::new("publish-options", ns::PUBSUB).with_child(form.to_element());
    pubsub.with_child(options)
}

pub fn items(node: &str) -> Element {
    let items = Element::new("items", ns::PUBSUB).with_attr("node", node);
    Element::new("pubsub", ns::PUBSUB).with_child(items)
}

/// Asks, and has the payload of the answer or the error.
pub async fn ask(
    client: &mut Client,
    kind: &str,
    to: Option<&Jid>,
    payload: Element,
) -> Result<Element, StanzaError> {
    match client.request(kind, to.map(Jid::as_str), payload).await {
        Ok(answer) => Ok(answer),
        Err(Error::Refused(error)) => Err(error),
        Err(error) => panic!("{error}"),
    }
}

/// The ids of items in an answer.
pub fn ids(answer: &Element) -> Vec<String> {
    let items = answer.child("pubsub", ns::PUBSUB).unwrap();
    let items = items.child("items", ns::PUBSUB).unwrap();
    let id = |item: El<'_>| item.attr("id").unwrap().to_owned();
    items.children().map(id).collect()
}

/// The next event of a node: the message, and its items element.
pub async fn event(client: &mut Client, node: &str) -> (Element, Element) {
    let about = |el: &Element| items_of(el).is_some_and(|items| items.attr("node") == Some(node));
    let what = format!("an event of {node}");
    let message = client.wait_for(&what, about).await.unwrap();
    let items = items_of(&message).unwrap().to_element();
    (message, items)
}

fn items_of(message: &Element) -> Option<El<'_>> {
    let event = message.child("event", ns::PUBSUB_EVENT)?;
    event.child("items", ns::PUBSUB_EVENT)
}

fn first_id(items: &Element) -> String {
    let item = items.children().next().unwrap();
    item.attr("id").unwrap().to_owned()
}

/// No event comes; presence may.
async fn no_event(client: &mut Client) {
    let message = |el: &Element| el.is("message", ns::CLIENT);
    let until = tokio::time::Instant::now() + QUIET;
    while let Some(element) = client.next(QUIET).await {
        assert!(!message(&element), "{element:?}");
        if tokio::time::Instant::now() > until {
            return;
        }
    }
}

fn app(error: &StanzaError) -> Option<&str> {
    error.app.as_ref().map(|app| app.name())
}

#[tokio::test]
async fn whoever_is_interested_hears_what_is_published() {
    let server = start_server(&[]).await;
    let (juliet, romeo) = (
        server.account("juliet").await.unwrap(),
        server.account("romeo").await.unwrap(),
    );
    let mut balcony = talker(&server, &juliet, "balcony", &[TUNE]).await;
    let mut chamber = talker(&server, &juliet, "chamber", &[ns::NICK]).await;
    let mut orchard = talker(&server, &romeo, "orchard", &[TUNE, ns::NICK]).await;
    let mut stable = server.client(&romeo).resource("stable");
    stable = stable.patience(Duration::from_secs(5));
    let mut stable = stable.connect(server.addr).await.unwrap();
    stable.presence().await.unwrap();
    befriend(&mut balcony.client, &mut orchard.client).await;

    let answer = ask(
        &mut balcony.client,
        "set",
        None,
        publish(TUNE, "current", tune("Ah"), &[]),
    );
    let answer = answer.await.unwrap();
    assert_eq!(answer.attr("from"), Some(juliet.as_str()));
    let own = balcony.client.jid.to_string();
    for client in [&mut balcony.client, &mut orchard.client] {
        let (message, items) = event(client, TUNE).await;
        assert_eq!(message.attr("from"), Some(juliet.as_str()));
        assert_eq!(message.attr("to"), Some(client.jid.as_str()));
        assert_eq!(message.attr("type"), Some("headline"));
        let addresses = message.child("addresses", ns::ADDRESS).unwrap();
        let reply_to = addresses.children().next().unwrap();
        assert_eq!(reply_to.attr("jid"), Some(&*own));
        assert_eq!(first_id(&items), "current");
        assert_eq!(
            items
                .root()
                .children()
                .next()
                .unwrap()
                .child("tune", TUNE)
                .unwrap()
                .to_element(),
            tune("Ah")
        );
    }
    for client in [&mut chamber.client, &mut stable] {
        no_event(client).await;
    }
    // Retractions are told too, if that is asked for.
    let item = Element::new("item", ns::PUBSUB).with_attr("id", "current");
    let retract = Element::new("retract", ns::PUBSUB)
        .with_attr("node", TUNE)
        .with_attr("notify", "true")
        .with_child(item);
    let retract = Element::new("pubsub", ns::PUBSUB).with_child(retract);
    ask(&mut balcony.client, "set", None, retract)
        .await
        .unwrap();
    let (_, items) = event(&mut orchard.client, TUNE).await;
    assert!(items.has_child("retract", ns::PUBSUB_EVENT), "{items:?}");
}

#[tokio::test]
async fn who_comes_online_gets_the_last_items() {
    let server = start_server(&[]).await;
    let (juliet, romeo) = (
        server.account("juliet").await.unwrap(),
        server.account("romeo").await.unwrap(),
    );
    let mut balcony = talker(&server, &juliet, "balcony", &[]).await;
    let mut orchard = talker(&server, &romeo, "orchard", &[TUNE]).await;
    for title in ["first", "second"] {
        let sent = publish(TUNE, title, tune(title), &[]);
        ask(&mut balcony.client, "set", None, sent).await.unwrap();
    }
    no_event(&mut orchard.client).await;
    // Who is let in gets what there is.
    befriend(&mut balcony.client, &mut orchard.client).await;
    let (message, items) = event(&mut orchard.client, TUNE).await;
    assert_eq!(first_id(&items), "second");
    assert!(message.has_child("delay", ns::DELAY));
    let info = orchard.info.clone();
    orchard.client.close().await.unwrap();
    balcony.client.close().await.unwrap();
    // The kind of client is known, so nobody is asked; and its owner is not there.
    let mut orchard = Talker::connect(&server, &romeo, "orchard", info.clone()).await;
    orchard.announce().await;
    let (message, items) = event(&mut orchard.client, TUNE).await;
    assert_eq!(message.attr("from"), Some(juliet.as_str()));
    assert_eq!(first_id(&items), "second");
    // Presence that says nothing new brings nothing new.
    orchard.announce().await;
    no_event(&mut orchard.client).await;
    // The owner's own client too; and interest that comes later counts.
    let mut balcony = talker(&server, &juliet, "balcony", &[ns::NICK]).await;
    no_event(&mut balcony.client).await;
    balcony.info = info;
    balcony.announce().await;
    let (_, items) = event(&mut balcony.client, TUNE).await;
    assert_eq!(first_id(&items), "second");
}

#[tokio::test]
async fn nodes_are_seen_by_whom_they_are_for() {
    let server = start_server(&[]).await;
    let (juliet, romeo, paris) = (
        server.account("juliet").await.unwrap(),
        server.account("romeo").await.unwrap(),
        server.account("paris").await.unwrap(),
    );
    let mut balcony = talker(&server, &juliet, "balcony", &[]).await;
    let mut orchard = talker(&server, &romeo, "orchard", &[TUNE, DEVICES]).await;
    let mut stranger = talker(&server, &paris, "tomb", &[TUNE, DEVICES]).await;
    befriend(&mut balcony.client, &mut orchard.client).await;
    for (node, options) in [
        (TUNE, &[][..]),
        (DEVICES, &[("access_model", "open")]),
        (
            "private",
            &[("access_model", "whitelist"), ("persist_items", "true")],
        ),
    ] {
        let sent = publish(node, "current", Element::new("x", "urn:x"), options);
        ask(&mut balcony.client, "set", None, sent).await.unwrap();
    }
    let look = |node| (items(node), juliet.clone());
    for (node, whom, seen) in [
        (TUNE, 0, Ok(())),
        (TUNE, 1, Ok(())),
        (
            TUNE,
            2,
            Err((
                Condition::NotAuthorized,
                Some("presence-subscription-required"),
            )),
        ),
        (DEVICES, 2, Ok(())),
        ("private", 0, Ok(())),
        (
            "private",
            1,
            Err((Condition::NotAllowed, Some("closed-node"))),
        ),
        (
            "private",
            2,
            Err((Condition::NotAllowed, Some("closed-node"))),
        ),
        ("none", 0, Err((Condition::ItemNotFound, None))),
        ("none", 2, Err((Condition::ItemNotFound, None))),
    ] {
        let client = match whom {
            0 => &mut balcony.client,
            1 => &mut orchard.client,
            _ => &mut stranger.client,
        };
        let (question, of) = look(node);
        let answer = ask(client, "get", Some(&of), question).await;
        let answer = answer.map(|_| ());
        let answer = answer.as_ref().map_err(|e| (e.condition, app(e))).copied();
        assert_eq!(answer, seen, "{node} for {whom}");
    }
    // Nobody else publishes, whether there is such a node or not; and who is not there looks the same.
    let nobody = Jid::new(Some("nobody"), &server.host, None).unwrap();
    for (of, node, condition) in [
        (&juliet, DEVICES, Condition::Forbidden),
        (&juliet, "none", Condition::ItemNotFound),
        (&nobody, "none", Condition::ItemNotFound),
    ] {
        let sent = publish(node, "x", Element::new("x", "urn:x"), &[]);
        let refused = ask(&mut stranger.client, "set", Some(of), sent).await;
        assert_eq!(refused.unwrap_err().condition, condition, "{of} {node}");
    }
    let refused = ask(&mut stranger.client, "get", Some(&nobody), items(TUNE)).await;
    assert_eq!(refused.unwrap_err().condition, Condition::ItemNotFound);
}

#[tokio::test]
async fn whom_one_has_blocked_hears_nothing() {
    let server = start_server(&[]).await;
    let (juliet, romeo) = (
        server.account("juliet").await.unwrap(),
        server.account("romeo").await.unwrap(),
    );
    let mut balcony = talker(&server, &juliet, "balcony", &[]).await;
    let mut orchard = talker(&server, &romeo, "orchard", &[TUNE]).await;
    befriend(&mut balcony.client, &mut orchard.client).await;
    let list = |name, jid: &Jid| {
        let item = Element::new("item", ns::BLOCKING).with_attr("jid", jid.as_str());
        Element::new(name, ns::BLOCKING).with_child(item)
    };
    let sing = || publish(TUNE, "current", tune("Ah"), &[]);
    let client = &mut balcony.client;
    ask(client, "set", None, list("block", &romeo))
        .await
        .unwrap();
    ask(client, "set", None, sing()).await.unwrap();
    no_event(&mut orchard.client).await;
    ask(client, "set", None, list("unblock", &romeo))
        .await
        .unwrap();
    ask(client, "set", None, sing()).await.unwrap();
    event(&mut orchard.client, TUNE).await;
    ask(&mut orchard.client, "set", None, list("block", &juliet))
        .await
        .unwrap();
    ask(client, "set", None, sing()).await.unwrap();
    no_event(&mut orchard.client).await;
}

#[tokio::test]
async fn options_of_clients_are_understood_and_are_preconditions() {
    let server = start_server(&[]).await;
    let juliet = server.account("juliet").await.unwrap();
    let mut balcony = talker(&server, &juliet, "balcony", &[]).await;
    let client = &mut balcony.client;
    let bookmarks = [
        ("persist_items", "true"),
        ("max_items", "max"),
        ("send_last_published_item", "never"),
        ("access_model", "whitelist"),
        ("notify_delete", "true"),
        ("notify_retract", "true"),
    ];
    for room in ["a@rooms", "b@rooms", "c@rooms"] {
        let sent = publish(
            ns::BOOKMARKS,
            room,
            Element::new("conference", ns::BOOKMARKS),
            &bookmarks,
        );
        ask(client, "set", None, sent).await.unwrap();
    }
    let answer = ask(client, "get", None, items(ns::BOOKMARKS))
        .await
        .unwrap();
    assert_eq!(ids(&answer), ["a@rooms", "b@rooms", "c@rooms"]);
    let open = publish(
        ns::BOOKMARKS,
        "d@rooms",
        Element::new("conference", ns::BOOKMARKS),
        &[("access_model", "open")],
    );
    let refused = ask(client, "set", None, open).await.unwrap_err();
    assert_eq!(
        (refused.condition, app(&refused)),
        (Condition::Conflict, Some("precondition-not-met"))
    );
    // One item is kept where nobody asks for more.
    for title in ["a", "b"] {
        ask(client, "set", None, publish(TUNE, title, tune(title), &[]))
            .await
            .unwrap();
    }
    assert_eq!(
        ids(&ask(client, "get", None, items(TUNE)).await.unwrap()),
        ["b"]
    );
}

#[tokio::test]
async fn accounts_and_the_host_announce_it() {
    let server = start_server(&[]).await;
    let juliet = server.account("juliet").await.unwrap();
    let mut balcony = talker(&server, &juliet, "balcony", &[]).await;
    let client = &mut balcony.client;
    ask(client, "set", None, publish(TUNE, "x", tune("x"), &[]))
        .await
        .unwrap();
    let host = Jid::new(None, &server.host, None).unwrap();
    for of in [&juliet, &host] {
        let info = Element::new("query", ns::DISCO_INFO);
        let answer = ask(client, "get", Some(of), info).await.unwrap();
        let query = answer.child("query", ns::DISCO_INFO).unwrap();
        let has = |name: &str, attr: &str, value: &str| {
            query
                .children()
                .any(|el| el.name() == name && el.attr(attr) == Some(value))
        };
        assert_eq!(has("identity", "type", "pep"), of == &juliet);
        assert!(has("feature", "var", ns::PUBSUB));
        for feature in [
            "access-presence",
            "auto-create",
            "auto-subscribe",
            "config-node",
            "config-node-max",
            "create-nodes",
            "delete-items",
            "delete-nodes",
            "filtered-notifications",
            "item-ids",
            "last-published",
            "multi-items",
            "persistent-items",
            "presence-notifications",
            "publish",
            "publish-options",
            "retract-items",
            "retrieve-items",
            "subscribe",
        ] {
            let var = format!("{}#{feature}", ns::PUBSUB);
            assert!(has("feature", "var", &var), "{var} of {of}");
        }
    }
    let listed = ask(
        client,
        "get",
        Some(&juliet),
        Element::new("query", ns::DISCO_ITEMS),
    );
    let listed = listed.await.unwrap();
    let query = listed.child("query", ns::DISCO_ITEMS).unwrap();
    assert!(query.children().any(|item| item.attr("node") == Some(TUNE)));
    let of_node = Element::new("query", ns::DISCO_INFO).with_attr("node", TUNE);
    let answer = ask(client, "get", Some(&juliet), of_node).await.unwrap();
    let query = answer.child("query", ns::DISCO_INFO).unwrap();
    assert!(query.children().any(|el| el.attr("type") == Some("leaf")));
    // A stranger learns nothing, not even whether there is an account.
    let romeo = server.account("romeo").await.unwrap();
    let mut orchard = talker(&server, &romeo, "orchard", &[]).await;
    let nobody = Jid::new(Some("nobody"), &server.host, None).unwrap();
    for (of, node) in [
        (&juliet, None),
        (&juliet, Some(TUNE)),
        (&juliet, Some("none")),
        (&nobody, Some(TUNE)),
    ] {
        for what in [ns::DISCO_INFO, ns::DISCO_ITEMS] {
            let mut query = Element::new("query", what);
            query.set_attr("node", node);
            let refused = ask(&mut orchard.client, "get", Some(of), query)
                .await
                .unwrap_err();
            assert_eq!(
                refused.condition,
                Condition::ServiceUnavailable,
                "{of} {node:?}"
            );
        }
    }
}

#[tokio::test]
async fn what_was_published_is_there_after_a_restart() {
    let server = start_own(tempfile::tempdir().unwrap(), &[], &[])
        .await
        .unwrap();
    let juliet = server.account("juliet").await.unwrap();
    let mut balcony = talker(&server, &juliet, "balcony", &[TUNE]).await;
    let client = &mut balcony.client;
    ask(client, "set", None, publish(TUNE, "x", tune("x"), &[]))
        .await
        .unwrap();
    let info = balcony.info.clone();
    drop(balcony);
    let folder = server.stop().await.unwrap();
    let server = start_own(folder, &[], &[]).await.unwrap();
    let mut balcony = Talker::connect(&server, &juliet, "balcony", info).await;
    balcony.announce().await;
    let (_, items) = event(&mut balcony.client, TUNE).await;
    assert_eq!(first_id(&items), "x");
}

#[tokio::test]
async fn contacts_at_other_servers_hear_of_it_too() {
    let authority = Authority::new();
    let (capulet, montague) = (
        Site::new(&authority, "capulet.example"),
        Site::new(&authority, "montague.example"),
    );
    let hers = capulet.start(&authority, &[&montague]).await;
    let his = montague.start(&authority, &[&capulet]).await;
    let (juliet, romeo) = (
        hers.account("juliet").await.unwrap(),
        his.account("romeo").await.unwrap(),
    );
    let mut balcony = talker(&hers, &juliet, "balcony", &[]).await;
    let mut orchard = talker(&his, &romeo, "orchard", &[TUNE]).await;
    let client = &mut balcony.client;
    ask(client, "set", None, publish(TUNE, "before", tune("x"), &[]))
        .await
        .unwrap();
    let refused = ask(&mut orchard.client, "get", Some(&juliet), items(TUNE)).await;
    assert_eq!(refused.unwrap_err().condition, Condition::NotAuthorized);
    befriend(&mut balcony.client, &mut orchard.client).await;
    // Her server asks his client what it is, and then sends what there is.
    orchard.explain().await;
    let (message, items_there) = event(&mut orchard.client, TUNE).await;
    assert_eq!(message.attr("from"), Some(juliet.as_str()));
    assert_eq!(first_id(&items_there), "before");
    let client = &mut balcony.client;
    ask(client, "set", None, publish(TUNE, "after", tune("y"), &[]))
        .await
        .unwrap();
    let (_, items_there) = event(&mut orchard.client, TUNE).await;
    assert_eq!(first_id(&items_there), "after");
    let seen = ask(&mut orchard.client, "get", Some(&juliet), items(TUNE))
        .await
        .unwrap();
    assert_eq!(ids(&seen), ["after"]);
    // He comes anew: what he is is known by now.
    let info = orchard.info.clone();
    orchard.client.close().await.unwrap();
    let mut orchard = Talker::connect(&his, &romeo, "orchard", info).await;
    orchard.announce().await;
    let (_, items_there) = event(&mut orchard.client, TUNE).await;
    assert_eq!(first_id(&items_there), "after");
}

#[tokio::test]
async fn what_others_attach_is_summed_up() {
    let server = start_server(&[]).await;
    let juliet = server.account("juliet").await.unwrap();
    let romeo = server.account("romeo").await.unwrap();
    let summary = format!("{}/{TUNE}", ns::ATTACHMENTS_SUMMARY);
    let mut balcony = talker(&server, &juliet, "balcony", &[&summary]).await;
    let mut orchard = talker(&server, &romeo, "orchard", &[]).await;
    let open = [("publish_model", "open"), ("access_model", "open")];
    let sent = publish(TUNE, "current", tune("Ah"), &open);
    ask(&mut balcony.client, "set", None, sent).await.unwrap();
    let uri = waxwing::proto::uri::item(&juliet, TUNE, "current");
    let node = format!("{}/{uri}", ns::ATTACHMENTS);
    let noticed = Element::new("noticed", ns::ATTACHMENTS);
    let attachments = Element::new("attachments", ns::ATTACHMENTS).with_child(noticed);
    for (id, refused) in [(&juliet, Some(Condition::BadRequest)), (&romeo, None)] {
        let sent = publish(&node, id.as_str(), attachments.clone(), &[]);
        let answer = ask(&mut orchard.client, "set", Some(&juliet), sent).await;
        assert_eq!(answer.err().map(|error| error.condition), refused, "{id}");
    }
    // Whose account it is hears of it, and not from which resource it came.
    let (message, items_there) = event(&mut balcony.client, &summary).await;
    assert_eq!(first_id(&items_there), "current");
    assert!(format!("{items_there:?}").contains("count='1'"));
    assert!(!message.has_child("addresses", ns::ADDRESS));
    let seen = ask(&mut orchard.client, "get", Some(&juliet), items(&summary)).await;
    assert_eq!(ids(&seen.unwrap()), ["current"]);
    let client = &mut balcony.client;
    let create = Element::new("create", ns::PUBSUB).with_attr("node", &summary);
    let create = Element::new("pubsub", ns::PUBSUB).with_child(create);
    let refused = ask(client, "set", None, create).await.unwrap_err();
    assert_eq!(refused.condition, Condition::NotAllowed);
    let info = Element::new("query", ns::DISCO_INFO);
    let info = ask(client, "get", Some(&juliet), info).await.unwrap();
    let query = info.child("query", ns::DISCO_INFO).unwrap();
    let var = |el: El<'_>| el.attr("var") == Some(ns::ATTACHMENTS);
    assert!(query.children().any(var));
}

/// Asks for the archive of a node; the ids of its items, or the error.
async fn archive(client: &mut Client, of: &Jid, node: &str) -> Result<Vec<String>, Condition> {
    let query = Element::new("query", ns::MAM).with_attr("node", node);
    let iq = Element::new("iq", ns::CLIENT)
        .with_attr("type", "set")
        .with_attr("id", "archive")
        .with_attr("to", of.as_str())
        .with_child(query);
    client.send(iq).await.unwrap();
    let mut ids = Vec::new();
    loop {
        let got = client.next(Duration::from_secs(10)).await.unwrap();
        if let Some(result) = got.child("result", ns::MAM) {
            assert_eq!(got.attr("from"), Some(of.as_str()));
            let forwarded = result.child("forwarded", ns::FORWARD).unwrap();
            let message = forwarded.child("message", ns::CLIENT).unwrap();
            ids.push(first_id(
                &items_of(&message.to_element()).unwrap().to_element(),
            ));
        } else if let Some(error) = got.child("error", ns::CLIENT) {
            return Err(StanzaError::parse(error).condition);
        } else if got.has_child("fin", ns::MAM) {
            return Ok(ids);
        }
    }
}

#[tokio::test]
async fn who_may_see_a_node_reads_its_archive() {
    let authority = Authority::new();
    let (capulet, montague) = (
        Site::new(&authority, "capulet.example"),
        Site::new(&authority, "montague.example"),
    );
    let hers = capulet.start(&authority, &[&montague]).await;
    let his = montague.start(&authority, &[&capulet]).await;
    let juliet = hers.account("juliet").await.unwrap();
    let romeo = his.account("romeo").await.unwrap();
    let paris = hers.account("paris").await.unwrap();
    let mut balcony = talker(&hers, &juliet, "balcony", &[]).await;
    let mut orchard = talker(&his, &romeo, "orchard", &[]).await;
    let mut tomb = talker(&hers, &paris, "tomb", &[]).await;
    let client = &mut balcony.client;
    for id in ["one", "two"] {
        let options = [("max_items", "max"), ("access_model", "open")];
        let sent = publish(DEVICES, id, tune(id), &options);
        ask(client, "set", None, sent).await.unwrap();
        ask(client, "set", None, publish(TUNE, id, tune(id), &[]))
            .await
            .unwrap();
    }
    let nobody = Jid::new(Some("nobody"), &hers.host, None).unwrap();
    let both = || Ok(vec!["one".to_owned(), "two".to_owned()]);
    assert_eq!(archive(client, &juliet, DEVICES).await, both());
    assert_eq!(archive(&mut tomb.client, &juliet, DEVICES).await, both());
    assert_eq!(archive(&mut orchard.client, &juliet, DEVICES).await, both());
    for (of, node, condition) in [
        (&juliet, TUNE, Condition::NotAuthorized),
        (&juliet, "none", Condition::Forbidden),
        (&nobody, TUNE, Condition::Forbidden),
    ] {
        let refused = archive(&mut tomb.client, of, node).await;
        assert_eq!(refused, Err(condition), "{of} {node}");
    }
    let client = &mut balcony.client;
    let missing = archive(client, &juliet, "none").await;
    assert_eq!(missing, Err(Condition::ItemNotFound));
    // What was said is another archive, and nobody else's.
    let info = Element::new("query", ns::DISCO_INFO).with_attr("node", DEVICES);
    let info = ask(&mut tomb.client, "get", Some(&juliet), info)
        .await
        .unwrap();
    let query = info.child("query", ns::DISCO_INFO).unwrap();
    assert!(query.children().any(|el| el.attr("var") == Some(ns::MAM)));
}
