//! Block lists in real time: whom a list names that others publish does not enter rooms, or goes out of them.

use std::time::Duration;

use sha2::{Digest, Sha256};
use waxwing::proto::{Jid, ns};
use waxwing::xml::{Context, Element, Limits, parse};

use crate::support::client::Client;
use crate::support::server::{Running, start_server};

const ROOM: &str = "coven@conference.localhost";
const SERVICE: &str = "pubsub.localhost";
const NODE: &str = "muc_bans_sha256";

fn el(text: &str) -> Element {
    parse(text.as_bytes(), &Context::client(), &Limits::default()).unwrap()
}

async fn connect(server: &Running, jid: &Jid) -> Client {
    let builder = server.client(jid).patience(Duration::from_secs(20));
    builder.connect(server.addr).await.unwrap()
}

fn hash(jid: &Jid) -> String {
    let digest = Sha256::digest(jid.as_str().as_bytes());
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

async fn enter(client: &mut Client, nick: &str) {
    let join = format!(
        "<presence to='{ROOM}/{nick}'><x xmlns='{}'/></presence>",
        ns::MUC
    );
    client.send(join.as_str()).await.unwrap();
}

/// Whether it was let in: its own presence, or the error.
async fn entered(client: &mut Client, nick: &str) -> bool {
    enter(client, nick).await;
    let own = format!("{ROOM}/{nick}");
    let about = |el: &Element| el.is("presence", ns::CLIENT) && el.attr("from") == Some(&own);
    let answer = client.wait_for("an answer", about).await.unwrap();
    match answer.attr("type") {
        None => true,
        Some(_) => {
            let error = answer.child("error", ns::CLIENT).unwrap();
            assert!(
                error.has_child("forbidden", ns::STANZA_ERRORS),
                "{answer:?}"
            );
            false
        }
    }
}

/// Somebody under this nickname is put out, as who is banned.
async fn is_put_out(client: &mut Client, nick: &str) {
    let from = format!("{ROOM}/{nick}");
    let gone = |el: &Element| {
        el.is("presence", ns::CLIENT)
            && el.attr("type") == Some("unavailable")
            && el.attr("from") == Some(&from)
    };
    let gone = client.wait_for("to be put out", gone).await.unwrap();
    let x = gone.child("x", ns::MUC_USER).unwrap();
    assert!(x.children().any(|el| el.attr("code") == Some("301")));
}

async fn publish(client: &mut Client, what: &str) {
    let query = format!("<pubsub xmlns='{}'>{what}</pubsub>", ns::PUBSUB);
    client
        .request("set", Some(SERVICE), el(&query))
        .await
        .unwrap();
}

fn item(jid: &Jid) -> String {
    let report = "<report xmlns='urn:xmpp:reporting:1' reason='urn:xmpp:reporting:spam'/>";
    let id = hash(jid);
    format!("<publish node='{NODE}'><item id='{id}'>{report}</item></publish>")
}

#[tokio::test]
async fn whom_a_list_names_does_not_enter_rooms() {
    let list = format!("modules.rtbl.lists=[\"{SERVICE} {NODE}\"]");
    let sets = [
        list.as_str(),
        "modules.pubsub.enabled=true",
        "modules.pubsub.auto_create=true",
    ];
    let server = start_server(&sets).await;
    let crone_jid = server.account("crone").await.unwrap();
    let spam_jid = server.account("spam").await.unwrap();
    let late_jid = server.account("late").await.unwrap();
    let mut crone = connect(&server, &crone_jid).await;
    let mut spam = connect(&server, &spam_jid).await;
    let mut late = connect(&server, &late_jid).await;

    enter(&mut crone, "crone").await;
    let form = "<query xmlns='http://jabber.org/protocol/muc#owner'><x xmlns='jabber:x:data' type='submit'/></query>";
    crone.request("set", Some(ROOM), el(form)).await.unwrap();
    // There is no list yet: both come in.
    assert!(entered(&mut spam, "spam").await && entered(&mut late, "late").await);
    // The list is read, and then tells what becomes of it.
    publish(&mut crone, &item(&spam_jid)).await;
    is_put_out(&mut spam, "spam").await;
    is_put_out(&mut crone, "spam").await;
    assert!(!entered(&mut spam, "spam").await);
    publish(&mut crone, &item(&late_jid)).await;
    is_put_out(&mut late, "late").await;
    assert!(!entered(&mut late, "late").await);

    // Who is a member comes in all the same.
    let member = format!(
        "<query xmlns='{}'><item affiliation='member' jid='{late_jid}'/></query>",
        ns::MUC_ADMIN
    );
    crone.request("set", Some(ROOM), el(&member)).await.unwrap();
    assert!(entered(&mut late, "late").await);

    // Who is taken off the list comes in again, as soon as that is known.
    let id = hash(&spam_jid);
    let retract = format!("<retract node='{NODE}' notify='true'><item id='{id}'/></retract>");
    publish(&mut crone, &retract).await;
    let mut attempts = 0;
    while !entered(&mut spam, "spam").await {
        attempts += 1;
        assert!(attempts < 200, "still on the list");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn what_is_no_list_is_told_at_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let sets = ["modules.rtbl.lists=[\"xmppbl.org\"]"];
    let refused = crate::support::server::start_own(folder, &sets, &[]).await;
    let error = refused.err().unwrap();
    assert!(error.contains("is not a service and a node"), "{error}");
}
