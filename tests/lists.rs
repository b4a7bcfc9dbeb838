//! Blacklist, whitelist and administrators of a domain (XEP-0133 §4.11, §4.12, §4.29), edited from a client.

use std::time::Duration;

use waxwing::proto::form::{Field, FieldType, Form, FormType};
use waxwing::proto::{Condition, Jid, StanzaError, ns};
use waxwing::xml::Element;

use crate::administration::{act, administered, ask, command, node};
use crate::support::client::{Client, Error};
use crate::support::server::{Running, start_own};

const QUIET: Duration = Duration::from_millis(250);

/// Submits a list as a whole.
async fn edit(
    boss: &mut Client,
    name: &str,
    var: &str,
    entries: &[&str],
) -> Result<Element, StanzaError> {
    let node = node(name);
    let begun = ask(boss, command(&node, None, None)).await?;
    let session = begun.attr("sessionid").unwrap().to_owned();
    let mut field = Field::new(FieldType::JidMulti, var);
    field.values = entries.iter().map(|entry| (*entry).to_owned()).collect();
    let form = Form::new(FormType::Submit)
        .with_form_type(ns::ADMIN)
        .with_field(field);
    let filled = command(&node, Some(&session), None).with_child(form.to_element());
    ask(boss, filled).await
}

async fn shown(boss: &mut Client, name: &str, var: &str) -> Vec<String> {
    let begun = ask(boss, command(&node(name), None, None)).await.unwrap();
    let form = Form::of(begun.root()).unwrap().unwrap();
    let mut shown: Vec<String> = form.values(var).to_vec();
    shown.sort_unstable();
    shown
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

fn message(to: &Jid, id: &str) -> String {
    format!("<message to='{to}' type='chat' id='{id}'><body>{id}</body></message>")
}

/// Nothing of any kind gets there; the sender hears why.
async fn assert_shut(from: &mut Client, to: &mut Client, id: &str) {
    let (bare, full) = (to.jid.bare(), to.jid.clone());
    let presences = format!("<presence to='{full}'/><presence type='probe' to='{bare}'/>");
    from.send(presences.as_str()).await.unwrap();
    for stanza in [
        message(&bare, id),
        format!("<presence type='subscribe' to='{bare}' id='{id}'/>"),
        format!("<iq type='get' to='{full}' id='{id}'><ping xmlns='urn:xmpp:ping'/></iq>"),
        format!(
            "<iq type='get' to='{bare}' id='{id}'><query xmlns='{}'/></iq>",
            ns::DISCO_INFO
        ),
    ] {
        from.send(stanza.as_str()).await.unwrap();
        let answer = from
            .wait_for("a refusal", |el| el.attr("id") == Some(id))
            .await
            .unwrap();
        assert_eq!(answer.attr("type"), Some("error"), "{answer:?}");
        let error = StanzaError::parse(answer.child("error", ns::CLIENT).unwrap());
        assert_eq!(error.condition, Condition::NotAllowed, "{answer:?}");
    }
    to.expect_nothing(QUIET).await.unwrap();
    // Nothing of the subscription stays.
    assert!(from.roster().await.unwrap().is_empty());
}

async fn assert_open(from: &mut Client, to: &mut Client, id: &str) {
    let stanza = message(&to.jid.bare(), id);
    from.send(stanza.as_str()).await.unwrap();
    let is_it = |el: &Element| el.is("message", ns::CLIENT) && el.attr("id") == Some(id);
    let got = to.wait_for("a message", is_it).await.unwrap();
    assert_ne!(got.attr("type"), Some("error"), "{got:?}");
}

#[tokio::test]
async fn who_is_on_the_blacklist_exchanges_nothing() {
    let (server, mut boss) = administered().await;
    let mut alice = online(&server, "alice").await;
    let mut bob = online(&server, "bob").await;
    assert_open(&mut alice, &mut bob, "before").await;
    let entries = [alice.jid.bare_str(), "Spam.Example"];
    edit(&mut boss, "edit-blacklist", "blacklistjids", &entries)
        .await
        .unwrap();
    let mut expected = vec![alice.jid.bare_str().to_owned(), "spam.example".to_owned()];
    expected.sort_unstable();
    let listed = shown(&mut boss, "edit-blacklist", "blacklistjids").await;
    assert_eq!(listed, expected);
    assert_shut(&mut alice, &mut bob, "a").await;
    assert_shut(&mut bob, &mut alice, "b").await;
    // To its own account and its server everybody may speak, and nobody is cut off from others by it.
    alice
        .request("get", Some("localhost"), Element::new("ping", ns::PING))
        .await
        .unwrap();
    let mut carol = online(&server, "carol").await;
    assert_open(&mut carol, &mut bob, "others").await;
    // What the form does not have stays as it is; a field without values empties the list.
    act(&mut boss, "edit-blacklist", &[]).await.unwrap();
    assert_eq!(
        shown(&mut boss, "edit-blacklist", "blacklistjids")
            .await
            .len(),
        2
    );
    edit(&mut boss, "edit-blacklist", "blacklistjids", &[])
        .await
        .unwrap();
    assert_open(&mut alice, &mut bob, "after").await;
    drop((alice, bob, carol, boss));
    server.stop().await;
}

#[tokio::test]
async fn what_cannot_be_on_a_list_is_told() {
    let (server, mut boss) = administered().await;
    for entries in [
        &["localhost"][..],
        &["boss@localhost"],
        &["boss@localhost/x", "@"],
    ] {
        let refused = edit(&mut boss, "edit-blacklist", "blacklistjids", entries).await;
        assert_eq!(
            refused.unwrap_err().condition,
            Condition::BadRequest,
            "{entries:?}"
        );
    }
    assert!(
        shown(&mut boss, "edit-blacklist", "blacklistjids")
            .await
            .is_empty()
    );
    drop(boss);
    server.stop().await;
}

#[tokio::test]
async fn the_lists_outlive_a_restart_and_a_whitelist_need_not_name_one_s_own() {
    let folder = tempfile::tempdir().unwrap();
    let sets = [r#"admin.admins=["boss@localhost"]"#];
    let server = start_own(folder, &sets, &[]).await.unwrap();
    let boss = Jid::parse("boss@localhost").unwrap();
    let password = waxwing::admin::Password("pencil".to_owned());
    server.accounts().create(&boss, &password).await.unwrap();
    let mut client = server.client(&boss).connect(server.addr).await.unwrap();
    edit(
        &mut client,
        "edit-whitelist",
        "whitelistjids",
        &["friend.example"],
    )
    .await
    .unwrap();
    client.close().await.unwrap();
    let folder = server.stop().await.unwrap();
    let server = start_own(folder, &sets, &[]).await.unwrap();
    let mut client = server.client(&boss).connect(server.addr).await.unwrap();
    let listed = shown(&mut client, "edit-whitelist", "whitelistjids").await;
    assert_eq!(listed, ["friend.example"]);
    let mut alice = online(&server, "alice").await;
    let mut bob = online(&server, "bob").await;
    assert_open(&mut alice, &mut bob, "own").await;
    let stranger = Jid::parse("x@other.example").unwrap();
    alice
        .send(message(&stranger, "out").as_str())
        .await
        .unwrap();
    let refused = alice
        .wait_for("a refusal", |el| el.attr("id") == Some("out"))
        .await
        .unwrap();
    let error = StanzaError::parse(refused.child("error", ns::CLIENT).unwrap());
    assert_eq!(error.condition, Condition::NotAllowed);
    drop((alice, bob, client));
    server.stop().await;
}

async fn may(client: &mut Client) -> bool {
    match client
        .request(
            "set",
            Some("localhost"),
            command(&node("get-online-users-num"), None, None),
        )
        .await
    {
        Ok(_) => true,
        Err(Error::Refused(error)) => {
            assert_eq!(error.condition, Condition::Forbidden);
            false
        }
        Err(other) => panic!("{other}"),
    }
}

/// XEP-0133 §4.29
#[tokio::test]
async fn administrators_come_and_go_at_once() {
    let (server, mut boss) = administered().await;
    let mut alice = online(&server, "alice").await;
    assert!(!may(&mut alice).await);
    let alice_jid = alice.jid.bare();
    let unknown = edit(&mut boss, "edit-admin", "adminjids", &["nobody@localhost"]).await;
    assert_eq!(unknown.unwrap_err().condition, Condition::ItemNotFound);
    edit(
        &mut boss,
        "edit-admin",
        "adminjids",
        &["boss@localhost", alice_jid.as_str()],
    )
    .await
    .unwrap();
    assert!(may(&mut alice).await);
    let mut both = vec![alice_jid.to_string(), "boss@localhost".to_owned()];
    both.sort_unstable();
    assert_eq!(shown(&mut alice, "edit-admin", "adminjids").await, both);
    // Only for this domain, and not what concerns the server.
    let shutdown = ask(&mut alice, command(&node("shutdown"), None, None)).await;
    assert_eq!(shutdown.unwrap_err().condition, Condition::Forbidden);
    // A form that was begun before ends with the permission.
    let begun = ask(&mut alice, command(&node("add-user"), None, None)).await;
    let session = begun.unwrap().attr("sessionid").unwrap().to_owned();
    // Whom the configuration names stays, whatever is submitted.
    edit(&mut boss, "edit-admin", "adminjids", &[])
        .await
        .unwrap();
    assert_eq!(
        shown(&mut boss, "edit-admin", "adminjids").await,
        ["boss@localhost"]
    );
    assert!(!may(&mut alice).await);
    let late = ask(&mut alice, command(&node("add-user"), Some(&session), None)).await;
    assert_eq!(late.unwrap_err().condition, Condition::Forbidden);
    drop((alice, boss));
    server.stop().await;
}
