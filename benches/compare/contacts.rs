//! Somebody logs in whose many contacts all have published an avatar, keys and a nickname (XEP-0163): what is newest of each
//! comes with the login.

use std::collections::HashSet;
use std::time::Duration;

use tokio::time::sleep;
use waxwing::proto::disco::{Identity, Info};
use waxwing::proto::{Jid, PresenceType, Stanza, caps, ns};
use waxwing::xml::Element;

use crate::client::Client;
use crate::load::{Failure, SETTLE, log_in};
use crate::peer::Server;
use crate::procfs::cpu_seconds;
use crate::table::Figures;

/// Contacts, unless it is said otherwise; all of them are there.
pub const CONTACTS: usize = 200;
/// What each has published, and its bytes.
const NODES: [(&str, usize); 3] = [
    ("urn:xmpp:avatar:metadata", 200),
    ("eu.siacs.conversations.axolotl.devicelist", 100),
    ("http://jabber.org/protocol/nick", 20),
];
/// Logins that are measured.
const LOGINS: usize = 20;
/// After this long without anything all has come that comes.
const QUIET: Duration = Duration::from_secs(5);

/// What one such login costs.
pub async fn all(server: &Server, count: usize) -> Result<Figures, Failure> {
    let names = (1..=count).map(|n| (n, "there".to_owned())).collect();
    let mut contacts = log_in(server, names).await?;
    let mut own = server.client(0).connect(server.addr).await?;
    own.presence().await?;
    for contact in &mut contacts {
        befriend(&mut own, contact).await?;
        for (node, bytes) in NODES {
            contact.request("set", None, published(node, bytes)).await?;
        }
    }
    own.close().await?;
    // The first of this kind is asked what it is.
    arrive(server, count).await?.0.close().await?;
    sleep(SETTLE).await;
    let before = cpu_seconds(server.pid);
    let mut all = 0;
    for _ in 0..LOGINS {
        let (own, came) = arrive(server, count).await?;
        own.close().await?;
        all += came;
    }
    sleep(SETTLE).await;
    let spent = cpu_seconds(server.pid) - before;
    let logins = LOGINS as f64;
    Ok(vec![
        (
            "login with many contacts who published three things each, CPU ms",
            spent * 1e3 / logins,
        ),
        ("of these things came with it", all as f64 / logins),
        (
            "for each that came, CPU µs",
            spent * 1e6 / all.max(1) as f64,
        ),
    ])
}

fn published(node: &str, bytes: usize) -> Element {
    let payload = Element::new("payload", "urn:example:payload").with_text(&"x".repeat(bytes));
    let item = Element::new("item", ns::PUBSUB)
        .with_attr("id", "current")
        .with_child(payload);
    let publish = Element::new("publish", ns::PUBSUB)
        .with_attr("node", node)
        .with_child(item);
    Element::new("pubsub", ns::PUBSUB).with_child(publish)
}

/// Each sees the other's presence.
async fn befriend(one: &mut Client, other: &mut Client) -> Result<(), Failure> {
    let (own, theirs) = (one.jid.bare(), other.jid.bare());
    let presence = |kind, to: &Jid| Stanza::presence(kind).with_to(to.clone());
    one.send(presence(PresenceType::Subscribe, &theirs)).await?;
    told(other, "subscribe", &own).await?;
    other.send(presence(PresenceType::Subscribed, &own)).await?;
    other.send(presence(PresenceType::Subscribe, &own)).await?;
    told(one, "subscribe", &theirs).await?;
    one.send(presence(PresenceType::Subscribed, &theirs))
        .await?;
    told(other, "subscribed", &own).await
}

async fn told(client: &mut Client, kind: &str, by: &Jid) -> Result<(), Failure> {
    let is_it = |el: &Element| {
        let from = el.attr("from").and_then(|from| Jid::parse(from).ok());
        el.is("presence", ns::CLIENT)
            && el.attr("type") == Some(kind)
            && from.is_some_and(|from| from.bare() == *by)
    };
    client.wait_for(kind, is_it).await?;
    Ok(())
}

/// A login, until everything has come that is newest, or no more comes: not all servers send it all. With how much came.
async fn arrive(server: &Server, count: usize) -> Result<(Client, usize), Failure> {
    let mut client = server.client(0).connect(server.addr).await?;
    let mut features = vec![ns::DISCO_INFO.to_owned()];
    features.extend(NODES.iter().map(|(node, _)| format!("{node}+notify")));
    let info = Info {
        identities: vec![Identity::new("client", "pc")],
        features,
        ..Info::default()
    };
    client.roster().await?;
    let presence = Stanza::presence(PresenceType::Available);
    let caps = caps::element(&info, "https://client.example");
    client.send(presence.with_child(caps)).await?;
    let mut newest = HashSet::new();
    let all = count * NODES.len();
    while newest.len() < all {
        let Some(got) = client.next(QUIET).await else {
            break;
        };
        if got.has_child("query", ns::DISCO_INFO) && got.attr("type") == Some("get") {
            client.send(explained(&got, &info)).await?;
        }
        let event = got.child("event", ns::PUBSUB_EVENT);
        let items = event.and_then(|event| event.child("items", ns::PUBSUB_EVENT));
        if let (Some(items), Some(from)) = (items, got.attr("from")) {
            newest.insert(format!("{from} {}", items.attr("node").unwrap_or_default()));
        }
    }
    Ok((client, newest.len()))
}

/// What kind of client it is.
fn explained(question: &Element, info: &Info) -> Element {
    let query = question.child("query", ns::DISCO_INFO);
    let node = query.and_then(|query| query.attr("node").map(str::to_owned));
    let mut answer = Element::new("iq", ns::CLIENT)
        .with_attr("type", "result")
        .with_attr("id", question.attr("id").unwrap_or_default())
        .with_child(info.to_element(node.as_deref()));
    answer.set_attr("to", question.attr("from"));
    answer
}
