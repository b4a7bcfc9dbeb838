//! What stands on the nodes of accounts: bookmarks, pictures, what was read, keys.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use waxwing::proto::{Jid, MessageType, Stanza, ns};
use waxwing::xml::Element;

use crate::client_access::run;
use crate::pep::{ask, befriend, event, ids, items, leaf, publish, talker};
use crate::support::client::Client;
use crate::support::server::start_server;

const PRIVATE: &[(&str, &str)] = &[
    ("access_model", "whitelist"),
    ("max_items", "max"),
    ("persist_items", "true"),
    ("send_last_published_item", "never"),
];

fn room(name: &str) -> Element {
    Element::new("conference", ns::BOOKMARKS)
        .with_attr("name", name)
        .with_attr("autojoin", "true")
        .with_child(leaf("nick", ns::BOOKMARKS, "JC"))
}

fn old_room(jid: &str, name: &str) -> Element {
    Element::new("conference", ns::BOOKMARKS_STORAGE)
        .with_attr("name", name)
        .with_attr("autojoin", "true")
        .with_attr("jid", jid)
        .with_child(leaf("nick", ns::BOOKMARKS_STORAGE, "JC"))
}

fn storage(children: impl IntoIterator<Item = Element>) -> Element {
    Element::new("storage", ns::BOOKMARKS_STORAGE).with_children(children)
}

fn private(storage: Element) -> Element {
    Element::new("query", ns::PRIVATE).with_child(storage)
}

/// What a client sees that knows only private XML.
async fn in_private(client: &mut Client) -> Element {
    let answer = ask(client, "get", None, private(storage([])))
        .await
        .unwrap();
    let query = answer.child("query", ns::PRIVATE).unwrap();
    query
        .child("storage", ns::BOOKMARKS_STORAGE)
        .unwrap()
        .to_element()
}

/// What a client sees that knows only the older node.
async fn in_old_node(client: &mut Client) -> Element {
    let answer = ask(client, "get", None, items(ns::BOOKMARKS_STORAGE))
        .await
        .unwrap();
    let pubsub = answer.child("pubsub", ns::PUBSUB).unwrap();
    let item = pubsub
        .child("items", ns::PUBSUB)
        .unwrap()
        .children()
        .next()
        .unwrap();
    item.child("storage", ns::BOOKMARKS_STORAGE)
        .unwrap()
        .to_element()
}

#[tokio::test]
async fn old_and_new_clients_see_the_same_bookmarks() {
    let server = start_server(&[]).await;
    let juliet = server.account("juliet").await.unwrap();
    let mut new = talker(&server, &juliet, "new", &[ns::BOOKMARKS]).await;
    let mut old = talker(&server, &juliet, "old", &[ns::BOOKMARKS_STORAGE]).await;
    let (play, orchard) = ("play@rooms.example", "orchard@rooms.example");

    let sent = publish(ns::BOOKMARKS, play, room("Play"), PRIVATE);
    ask(&mut new.client, "set", None, sent).await.unwrap();
    event(&mut new.client, ns::BOOKMARKS).await;
    let wanted = storage([old_room(play, "Play")]);
    assert_eq!(in_private(&mut old.client).await, wanted);
    assert_eq!(in_old_node(&mut old.client).await, wanted);
    let (_, told) = event(&mut old.client, ns::BOOKMARKS_STORAGE).await;
    let item = told.children().next().unwrap();
    assert_eq!(item.children().next().unwrap().to_element(), wanted);

    // What an old client writes becomes items, each told of by itself; what does not change is not.
    let page = Element::new("url", ns::BOOKMARKS_STORAGE).with_attr("url", "http://works.example/");
    let written = storage([old_room(play, "Play"), old_room(orchard, "Orchard"), page]);
    ask(&mut old.client, "set", None, private(written.clone()))
        .await
        .unwrap();
    let (_, told) = event(&mut new.client, ns::BOOKMARKS).await;
    assert_eq!(told.children().next().unwrap().attr("id"), Some(orchard));
    assert_eq!(in_private(&mut old.client).await, written);
    assert_eq!(in_old_node(&mut old.client).await, written);

    // The same by the older node; and what is missing goes.
    let without = storage([old_room(orchard, "The Orchard")]);
    let sent = publish(ns::BOOKMARKS_STORAGE, "current", without, &[]);
    ask(&mut old.client, "set", None, sent).await.unwrap();
    let (_, told) = event(&mut new.client, ns::BOOKMARKS).await;
    assert_eq!(
        told.children()
            .next()
            .unwrap()
            .child("conference", ns::BOOKMARKS)
            .unwrap()
            .attr("name"),
        Some("The Orchard")
    );
    let (_, told) = event(&mut new.client, ns::BOOKMARKS).await;
    let gone = told.child("retract", ns::PUBSUB_EVENT).unwrap();
    assert_eq!(gone.attr("id"), Some(play));
    let left = ask(&mut new.client, "get", None, items(ns::BOOKMARKS))
        .await
        .unwrap();
    assert_eq!(ids(&left), [orchard]);
    assert_eq!(
        in_private(&mut old.client).await,
        storage([old_room(orchard, "The Orchard")])
    );
}

/// Something like a picture.
fn picture(n: usize) -> Vec<u8> {
    let mut bytes = b"\x89PNG".to_vec();
    bytes.resize(n, 7);
    bytes
}

fn sha1(bytes: &[u8]) -> String {
    use sha1::{Digest, Sha1};
    let digest = Sha1::digest(bytes);
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn data(bytes: &[u8]) -> Element {
    leaf("data", ns::AVATAR_DATA, &STANDARD.encode(bytes))
}

fn metadata(bytes: &[u8]) -> Element {
    let info = Element::new("info", ns::AVATAR_METADATA)
        .with_attr("bytes", &bytes.len().to_string())
        .with_attr("id", &sha1(bytes))
        .with_attr("type", "image/png");
    Element::new("metadata", ns::AVATAR_METADATA).with_child(info)
}

/// Presence of somebody with this hash.
async fn shown(client: &mut Client, from: &Jid, hash: &str) {
    let shows = |el: &Element| {
        let x = el.child("x", ns::VCARD_UPDATE);
        let photo = x.and_then(|x| x.child("photo", ns::VCARD_UPDATE));
        el.attr("from")
            .is_some_and(|jid| jid.starts_with(from.as_str()))
            && photo.is_some_and(|photo| photo.text() == hash)
    };
    client
        .wait_for("presence with a hash", shows)
        .await
        .unwrap();
}

/// The picture in somebody's vCard.
async fn photo(client: &mut Client, of: &Jid) -> Option<Vec<u8>> {
    let answer = ask(client, "get", Some(of), Element::new("vCard", ns::VCARD))
        .await
        .ok()?;
    let photo = answer
        .child("vCard", ns::VCARD)?
        .child("PHOTO", ns::VCARD)?;
    STANDARD
        .decode(photo.child("BINVAL", ns::VCARD)?.text().as_ref())
        .ok()
}

#[tokio::test]
async fn old_and_new_clients_see_the_same_picture() {
    let server = start_server(&[]).await;
    let (juliet, romeo) = (
        server.account("juliet").await.unwrap(),
        server.account("romeo").await.unwrap(),
    );
    let mut hers = talker(&server, &juliet, "new", &[]).await;
    let mut his = talker(&server, &romeo, "old", &[ns::AVATAR_METADATA]).await;
    befriend(&mut hers.client, &mut his.client).await;
    let first = picture(100);
    let open = &[("access_model", "open")];
    for (node, payload) in [
        (ns::AVATAR_DATA, data(&first)),
        (ns::AVATAR_METADATA, metadata(&first)),
    ] {
        let sent = publish(node, &sha1(&first), payload, open);
        ask(&mut hers.client, "set", None, sent).await.unwrap();
    }
    event(&mut his.client, ns::AVATAR_METADATA).await;
    shown(&mut his.client, &juliet, &sha1(&first)).await;
    assert_eq!(photo(&mut his.client, &juliet).await, Some(first.clone()));
    // Presence has it from now on, whatever it says itself.
    hers.announce().await;
    shown(&mut his.client, &juliet, &sha1(&first)).await;

    // A picture in a vCard is published.
    let second = picture(200);
    let photo_of = Element::new("PHOTO", ns::VCARD)
        .with_child(leaf("TYPE", ns::VCARD, "image/png"))
        .with_child(leaf("BINVAL", ns::VCARD, &STANDARD.encode(&second)));
    let vcard = Element::new("vCard", ns::VCARD).with_child(photo_of);
    ask(&mut hers.client, "set", None, vcard).await.unwrap();
    let (_, told) = event(&mut his.client, ns::AVATAR_METADATA).await;
    assert_eq!(
        told.children()
            .next()
            .unwrap()
            .children()
            .next()
            .unwrap()
            .to_element(),
        metadata(&second)
    );
    let there = ask(
        &mut his.client,
        "get",
        Some(&juliet),
        items(ns::AVATAR_DATA),
    )
    .await
    .unwrap();
    assert_eq!(ids(&there), [sha1(&second)]);
    shown(&mut his.client, &juliet, &sha1(&second)).await;

    // And taken away where it is taken back.
    let none = publish(
        ns::AVATAR_METADATA,
        "none",
        Element::new("metadata", ns::AVATAR_METADATA),
        &[],
    );
    ask(&mut hers.client, "set", None, none).await.unwrap();
    shown(&mut his.client, &juliet, "").await;
    assert_eq!(photo(&mut his.client, &juliet).await, None);
}

#[tokio::test]
async fn a_picture_for_contacts_stays_with_them_and_none_is_too_large() {
    let server = start_server(&["modules.avatars.bytes=1KiB"]).await;
    let (juliet, romeo) = (
        server.account("juliet").await.unwrap(),
        server.account("romeo").await.unwrap(),
    );
    let mut hers = talker(&server, &juliet, "new", &[ns::AVATAR_METADATA]).await;
    let mut his = talker(&server, &romeo, "old", &[]).await;
    let large = picture(1_025);
    let sent = publish(ns::AVATAR_DATA, &sha1(&large), data(&large), &[]);
    let refused = ask(&mut hers.client, "set", None, sent).await.unwrap_err();
    assert_eq!(refused.app.unwrap().name(), "payload-too-big");
    let small = picture(1_024);
    for (node, payload) in [
        (ns::AVATAR_DATA, data(&small)),
        (ns::AVATAR_METADATA, metadata(&small)),
    ] {
        let sent = publish(node, &sha1(&small), payload, &[]);
        ask(&mut hers.client, "set", None, sent).await.unwrap();
    }
    event(&mut hers.client, ns::AVATAR_METADATA).await;
    assert_eq!(photo(&mut his.client, &juliet).await, None);
}

#[tokio::test]
async fn what_was_read_is_known_to_all_clients_and_goes_no_further() {
    let server = start_server(&[]).await;
    let (juliet, romeo) = (
        server.account("juliet").await.unwrap(),
        server.account("romeo").await.unwrap(),
    );
    let mut balcony = talker(&server, &juliet, "balcony", &[]).await;
    let mut chamber = talker(&server, &juliet, "chamber", &[ns::MDS]).await;
    let mut orchard = talker(&server, &romeo, "orchard", &[]).await;
    let stanza_id = Element::new("stanza-id", ns::STANZA_ID)
        .with_attr("by", juliet.as_str())
        .with_attr("id", "0423");
    let read = Element::new("displayed", ns::MDS).with_child(stanza_id);
    let marker = Element::new("displayed", ns::CHAT_MARKERS).with_attr("id", "m1");
    let message = Stanza::message(MessageType::Chat).with_to(romeo.clone());
    let both = message
        .clone()
        .with_child(marker.clone())
        .with_child(read.clone());
    balcony.client.send(both).await.unwrap();
    let (_, told) = event(&mut chamber.client, ns::MDS).await;
    let item = told.children().next().unwrap();
    assert_eq!(item.attr("id"), Some(romeo.as_str()));
    assert_eq!(item.children().next().unwrap().to_element(), read);
    let is_message = |el: &Element| el.is("message", ns::CLIENT);
    let got = orchard
        .client
        .wait_for("the marker", is_message)
        .await
        .unwrap();
    assert!(got.has_child("displayed", ns::CHAT_MARKERS));
    assert!(!got.has_child("displayed", ns::MDS));
    // Nothing else in it is not allowed (§4.5.3).
    balcony.client.send(message.with_child(read)).await.unwrap();
    let refused = |el: &Element| el.attr("type") == Some("error");
    balcony.client.wait_for("an error", refused).await.unwrap();
}

#[tokio::test]
async fn administrators_see_for_which_devices_keys_are_published() {
    let server = start_server(&[]).await;
    let juliet = server.account("juliet").await.unwrap();
    let mut balcony = talker(&server, &juliet, "balcony", &[]).await;
    let open = &[("access_model", "open")];
    let old = "eu.siacs.conversations.axolotl";
    let device = |id, ns| Element::new("device", ns).with_attr("id", id);
    let list =
        Element::new("list", old).with_children(["31415", "27182"].map(|id| device(id, old)));
    let new = device("16180", "urn:xmpp:omemo:2").with_attr("label", "Laptop");
    let devices = Element::new("devices", "urn:xmpp:omemo:2").with_child(new);
    for (node, id, payload) in [
        (format!("{old}.devicelist"), "current", list),
        (
            format!("{old}.bundles:31415"),
            "current",
            Element::new("bundle", old),
        ),
        ("urn:xmpp:omemo:2:devices".to_owned(), "current", devices),
        (
            format!("{old}.bundles:99999"),
            "current",
            Element::new("bundle", old),
        ),
        (
            "urn:xmpp:omemo:2:bundles".to_owned(),
            "16180",
            Element::new("bundle", "urn:xmpp:omemo:2"),
        ),
    ] {
        let sent = publish(&node, id, payload, open);
        ask(&mut balcony.client, "set", None, sent).await.unwrap();
    }
    let lines = run(&server, "user keys", &[("account", juliet.as_str())])
        .await
        .unwrap();
    let line = |id: &str| {
        let line = lines.lines().find(|line| line.contains(id)).unwrap();
        line.to_owned()
    };
    // The keys of this one were published just now, those of the next are missing.
    assert!(
        line("31415").contains("yes") && line("31415").contains('T'),
        "{lines}"
    );
    assert!(line("27182").contains("missing"), "{lines}");
    assert!(
        line("16180").contains("Laptop") && line("16180").contains("yes"),
        "{lines}"
    );
    // Since when, and when last.
    assert_eq!(line("16180").matches("Z").count(), 2, "{lines}");
    // Of this one nobody knows any more.
    assert!(line("99999").contains("of no device"), "{lines}");
    assert!(!lines.contains("stale"), "{lines}");
    let nobody = format!("nobody@{}", server.host);
    assert!(
        run(&server, "user keys", &[("account", &nobody)])
            .await
            .is_err()
    );
}
