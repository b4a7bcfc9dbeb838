//! Administration from a client: ad-hoc commands (XEP-0050) of service administration (XEP-0133).

use waxwing::proto::form::{Field, FieldType, Form, FormType};
use waxwing::proto::{Condition, Jid, StanzaError, ns};
use waxwing::xml::Element;

use crate::support::client::{Client, Error};
use crate::support::server::{Running, start_server};

/// A server with an administrator, who is there.
pub async fn administered() -> (Running, Client) {
    let server = start_server(&[r#"admin.admins=["boss@localhost"]"#]).await;
    let boss = Jid::parse("boss@localhost").unwrap();
    let password = waxwing::admin::Password("pencil".to_owned());
    server.accounts().create(&boss, &password).await.unwrap();
    let client = server.client(&boss).connect(server.addr).await.unwrap();
    (server, client)
}

pub fn node(name: &str) -> String {
    format!("{}#{name}", ns::ADMIN)
}

pub fn command(node: &str, session: Option<&str>, action: Option<&str>) -> Element {
    let mut el = Element::new("command", ns::COMMANDS).with_attr("node", node);
    el.set_attr("sessionid", session);
    el.set_attr("action", action);
    el
}

pub fn filled(fields: &[(&str, &str)]) -> Element {
    let mut form = Form::new(FormType::Submit).with_form_type(ns::ADMIN);
    for (var, value) in fields {
        form = form.with_field(Field::new(FieldType::TextMulti, var).with_value(value));
    }
    form.to_element()
}

pub async fn ask(client: &mut Client, payload: Element) -> Result<Element, StanzaError> {
    match client.request("set", Some("localhost"), payload).await {
        Ok(answer) => Ok(answer.child("command", ns::COMMANDS).unwrap().to_element()),
        Err(Error::Refused(error)) => Err(error),
        Err(other) => panic!("{other}"),
    }
}

/// Opens a form and sends it filled in.
pub async fn act(
    client: &mut Client,
    name: &str,
    fields: &[(&str, &str)],
) -> Result<Element, StanzaError> {
    let node = node(name);
    let begun = ask(client, command(&node, None, None)).await?;
    if begun.attr("status") == Some("completed") {
        return Ok(begun);
    }
    assert_eq!(begun.attr("status"), Some("executing"));
    let session = begun.attr("sessionid").unwrap().to_owned();
    ask(
        client,
        command(&node, Some(&session), None).with_child(filled(fields)),
    )
    .await
}

fn specific(error: &StanzaError) -> (Condition, &str) {
    let app = error.app.as_ref().map_or("", |app| app.name());
    (error.condition, app)
}

#[tokio::test]
async fn an_account_from_its_first_day_to_its_last() {
    let (server, mut boss) = administered().await;
    let juliet = [("accountjid", "juliet@localhost"), ("password", "pencil")];
    let done = act(&mut boss, "add-user", &juliet).await.unwrap();
    assert_eq!(done.attr("status"), Some("completed"));
    let error = act(&mut boss, "add-user", &juliet).await.unwrap_err();
    assert_eq!(error.condition, Condition::Conflict);

    let jid = Jid::parse("juliet@localhost").unwrap();
    let mut client = server.client(&jid).connect(server.addr).await.unwrap();
    client.presence().await.unwrap();
    let online = act(&mut boss, "get-online-users-list", &[]).await.unwrap();
    let form = Form::of(online.root()).unwrap().unwrap();
    assert_eq!(form.form_type(), Some(ns::ADMIN));
    assert_eq!(
        form.values("onlineuserjids"),
        ["boss@localhost", "juliet@localhost"]
    );
    let count = act(&mut boss, "get-registered-users-num", &[])
        .await
        .unwrap();
    let form = Form::of(count.root()).unwrap().unwrap();
    assert_eq!(form.value("registeredusersnum"), Some("2"));

    let accounts = [("accountjids", "juliet@localhost")];
    act(&mut boss, "disable-user", &accounts).await.unwrap();
    let ended = client.event("the end").await;
    assert!(matches!(
        ended,
        Ok(_) | Err(Error::Ended | Error::Stream(_))
    ));
    let refused = server.client(&jid).connect(server.addr).await;
    assert!(matches!(refused, Err(Error::Login(_))));
    act(&mut boss, "reenable-user", &accounts).await.unwrap();
    let client = server.client(&jid).connect(server.addr).await.unwrap();
    client.close().await.unwrap();
    act(&mut boss, "delete-user", &accounts).await.unwrap();
    let error = act(&mut boss, "delete-user", &accounts).await.unwrap_err();
    assert_eq!(error.condition, Condition::ItemNotFound);

    let record = server.own().acts().audit().list(None, 10).await.unwrap();
    let record: Vec<String> = record
        .into_iter()
        .map(|(_, entry)| {
            format!(
                "{} {} {:?}",
                entry.by,
                entry.command,
                entry.outcome.unwrap()
            )
        })
        .collect();
    assert_eq!(record[1], "boss@localhost user delete \"done\"");
    assert_eq!(
        record.last().map(String::as_str),
        Some("boss@localhost user add \"done\"")
    );
    drop(boss);
    server.stop().await;
}

#[tokio::test]
async fn who_may_not_learns_nothing() {
    let (server, boss) = administered().await;
    let jid = server.account("alice").await.unwrap();
    let mut alice = server.client(&jid).connect(server.addr).await.unwrap();
    for name in ["add-user", "no-such-command"] {
        let error = ask(&mut alice, command(&node(name), None, None))
            .await
            .unwrap_err();
        assert_eq!(error.condition, Condition::Forbidden, "{name}");
    }
    let items = Element::new("query", ns::DISCO_ITEMS).with_attr("node", ns::COMMANDS);
    let answer = alice
        .request("get", Some("localhost"), items)
        .await
        .unwrap();
    let query = answer.child("query", ns::DISCO_ITEMS).unwrap();
    let admin =
        |item: &waxwing::xml::El<'_>| item.attr("node").is_some_and(|n| n.starts_with(ns::ADMIN));
    assert_eq!(query.children().filter(admin).count(), 0);
    let info = Element::new("query", ns::DISCO_INFO).with_attr("node", &node("add-user"));
    let error = alice.request("get", Some("localhost"), info).await;
    assert!(matches!(error, Err(Error::Refused(e)) if e.condition == Condition::Forbidden));
    drop((alice, boss));
    server.stop().await;
}

#[tokio::test]
async fn commands_are_found() {
    let (server, mut boss) = administered().await;
    let items = Element::new("query", ns::DISCO_ITEMS).with_attr("node", ns::COMMANDS);
    let answer = boss.request("get", Some("localhost"), items).await.unwrap();
    let query = answer.child("query", ns::DISCO_ITEMS).unwrap();
    let nodes: Vec<&str> = query
        .children()
        .filter_map(|item| item.attr("node"))
        .collect();
    assert!(nodes.contains(&node("add-user").as_str()), "{nodes:?}");
    let info = Element::new("query", ns::DISCO_INFO).with_attr("node", &node("add-user"));
    let answer = boss.request("get", Some("localhost"), info).await.unwrap();
    let query = answer.child("query", ns::DISCO_INFO).unwrap();
    let identity = query.child("identity", ns::DISCO_INFO).unwrap();
    assert_eq!(identity.attr("category"), Some("automation"));
    assert_eq!(identity.attr("type"), Some("command-node"));
    drop(boss);
    server.stop().await;
}

/// XEP-0050 §4.4
#[tokio::test]
async fn what_is_wrong_is_told() {
    let (server, mut boss) = administered().await;
    let add = node("add-user");
    let begin = async |boss: &mut Client| {
        let begun = ask(boss, command(&add, None, Some("execute")))
            .await
            .unwrap();
        begun.attr("sessionid").unwrap().to_owned()
    };
    let bad = Condition::BadRequest;
    let unknown = ask(&mut boss, command("no-such-command", None, None))
        .await
        .unwrap_err();
    assert_eq!(unknown.condition, Condition::ItemNotFound);
    let session = begin(&mut boss).await;
    let own = Some(session.as_str());
    for (payload, expected) in [
        (command(&add, own, Some("dance")), (bad, "malformed-action")),
        (command(&add, own, Some("prev")), (bad, "bad-action")),
        (command(&add, None, Some("complete")), (bad, "bad-action")),
        (command(&add, Some("guessed"), None), (bad, "bad-sessionid")),
        (command(&add, own, None), (bad, "bad-payload")),
        (
            command(&add, own, None).with_child(filled(&[("accountjid", "juliet@localhost")])),
            (bad, "bad-payload"),
        ),
        (
            command(&add, own, None).with_child(filled(&[("accountjid", "@"), ("password", "x")])),
            (bad, "bad-payload"),
        ),
        (
            command(&add, own, None).with_child(filled(&[
                ("accountjid", "juliet@localhost"),
                ("password", "x"),
                ("password-verify", "y"),
            ])),
            (bad, "bad-payload"),
        ),
    ] {
        let error = ask(&mut boss, payload.clone()).await.unwrap_err();
        assert_eq!(specific(&error), expected, "{payload:?}");
    }
    let canceled = ask(&mut boss, command(&add, own, Some("cancel")))
        .await
        .unwrap();
    assert_eq!(canceled.attr("status"), Some("canceled"));
    let over = ask(&mut boss, command(&add, own, None)).await.unwrap_err();
    assert_eq!(specific(&over), (Condition::NotAllowed, "session-expired"));
    drop(boss);
    server.stop().await;
}

/// A form with something wrong in it does nothing, and stays open to be mended.
#[tokio::test]
async fn a_wrong_form_does_nothing() {
    let (server, mut boss) = administered().await;
    let juliet = Jid::parse("juliet@localhost").unwrap();
    let add = node("add-user");
    let begun = ask(&mut boss, command(&add, None, None)).await.unwrap();
    let session = begun.attr("sessionid");
    let form = |kind, fields: &[(&str, &[&str])]| {
        let mut form = Form::new(kind).with_form_type(ns::ADMIN);
        for (var, values) in fields {
            let field = Field::new(FieldType::TextMulti, var);
            form = form.with_field(field.with_values(values.iter().copied()));
        }
        form.to_element()
    };
    let account: (&str, &[&str]) = ("accountjid", &["juliet@localhost"]);
    let password: (&str, &[&str]) = ("password", &["pencil"]);
    for wrong in [
        form(FormType::Form, &[account, password]),
        form(FormType::Result, &[account, password]),
        form(FormType::Submit, &[]),
        form(FormType::Submit, &[account]),
        form(FormType::Submit, &[password]),
        form(FormType::Submit, &[account, ("password", &[""])]),
        form(FormType::Submit, &[account, ("password", &["a", "b"])]),
        form(FormType::Submit, &[account, account, password]),
        form(
            FormType::Submit,
            &[
                ("accountjid", &["juliet@localhost", "x@localhost"]),
                password,
            ],
        ),
        form(
            FormType::Submit,
            &[("accountjid", &["localhost"]), password],
        ),
        Element::new("x", ns::DATA_FORM).with_attr("type", "dance"),
        Element::new("x", ns::DATA_FORM)
            .with_attr("type", "submit")
            .with_child(Element::new("field", ns::DATA_FORM)),
    ] {
        let sent = command(&add, session, None).with_child(wrong.clone());
        let error = ask(&mut boss, sent).await.unwrap_err();
        assert_eq!(
            specific(&error),
            (Condition::BadRequest, "bad-payload"),
            "{wrong:?}"
        );
    }
    let elsewhere = form(
        FormType::Submit,
        &[("accountjid", &["juliet@mantua.example"]), password],
    );
    let sent = command(&add, session, None).with_child(elsewhere);
    let error = ask(&mut boss, sent).await.unwrap_err();
    assert_ne!(error.condition, Condition::InternalServerError, "{error:?}");
    let listed = server
        .accounts()
        .list("localhost", None, 100)
        .await
        .unwrap();
    assert_eq!(listed.len(), 1);
    assert!(server.accounts().show(&juliet).await.unwrap().is_none());

    // What is not asked for does no harm.
    let begun = ask(&mut boss, command(&add, None, None)).await.unwrap();
    let more = form(
        FormType::Submit,
        &[account, password, ("shoe-size", &["44"])],
    );
    let sent = command(&add, begun.attr("sessionid"), None).with_child(more);
    ask(&mut boss, sent).await.unwrap();
    assert!(server.accounts().show(&juliet).await.unwrap().is_some());
    drop(boss);
    server.stop().await;
}

/// One name that nobody has, and nothing is done to the others.
#[tokio::test]
async fn a_list_with_a_mistake_is_not_half_done() {
    let (server, mut boss) = administered().await;
    let alice = server.account("alice").await.unwrap();
    let is_as_before = async || {
        let found = server.accounts().show(&alice).await.unwrap().unwrap();
        assert_eq!(found.disabled, None);
    };
    let names = [alice.as_str(), "nobody@localhost"];
    let both = || {
        let field = Field::new(FieldType::JidMulti, "accountjids").with_values(names);
        let form = Form::new(FormType::Submit).with_form_type(ns::ADMIN);
        form.with_field(field).to_element()
    };
    for name in ["disable-user", "delete-user"] {
        let node = node(name);
        let begun = ask(&mut boss, command(&node, None, None)).await.unwrap();
        let sent = command(&node, begun.attr("sessionid"), Some("complete"));
        let error = ask(&mut boss, sent.with_child(both())).await.unwrap_err();
        assert_eq!(error.condition, Condition::ItemNotFound, "{name}");
        is_as_before().await;
    }
    drop(boss);
    server.stop().await;
}

/// The form of somebody else is no way round: neither for who may not, nor for another administrator.
#[tokio::test]
async fn a_form_is_for_who_opened_it() {
    let server = start_server(&[r#"admin.admins=["boss@localhost", "deputy@localhost"]"#]).await;
    let password = waxwing::admin::Password("pencil".to_owned());
    let mut clients = Vec::new();
    for name in ["boss", "deputy", "alice"] {
        let jid = Jid::new(Some(name), "localhost", None).unwrap();
        server.accounts().create(&jid, &password).await.unwrap();
        clients.push(server.client(&jid).connect(server.addr).await.unwrap());
    }
    let [boss, deputy, alice] = clients.as_mut_slice() else {
        unreachable!()
    };
    let add = node("add-user");
    let begun = ask(boss, command(&add, None, None)).await.unwrap();
    let session = begun.attr("sessionid").unwrap();
    let sent = || {
        let form = filled(&[("accountjid", "juliet@localhost"), ("password", "pencil")]);
        command(&add, Some(session), Some("complete")).with_child(form)
    };
    let error = ask(alice, sent()).await.unwrap_err();
    assert_eq!(error.condition, Condition::Forbidden);
    let cancel = command(&add, Some(session), Some("cancel"));
    assert!(ask(alice, cancel).await.is_err());
    let error = ask(deputy, sent()).await.unwrap_err();
    assert_eq!(specific(&error), (Condition::BadRequest, "bad-sessionid"));
    let juliet = Jid::parse("juliet@localhost").unwrap();
    assert!(server.accounts().show(&juliet).await.unwrap().is_none());
    let done = ask(boss, sent()).await.unwrap();
    assert_eq!(done.attr("status"), Some("completed"));
    drop(clients);
    server.stop().await;
}

#[tokio::test]
async fn what_cannot_be_taken_back_can_be_confirmed() {
    let (server, mut boss) = administered().await;
    let jid = server.account("alice").await.unwrap();
    let delete = node("delete-user");
    let begun = ask(&mut boss, command(&delete, None, None)).await.unwrap();
    let session = Some(begun.attr("sessionid").unwrap());
    let form = filled(&[("accountjids", jid.as_str())]);
    let asked = ask(
        &mut boss,
        command(&delete, session, Some("next")).with_child(form),
    )
    .await;
    let asked = asked.unwrap();
    let actions = asked.child("actions", ns::COMMANDS).unwrap();
    assert!(actions.child("prev", ns::COMMANDS).is_some());
    let back = ask(&mut boss, command(&delete, session, Some("prev")))
        .await
        .unwrap();
    let form = Form::of(back.root()).unwrap().unwrap();
    assert_eq!(form.values("accountjids"), [jid.as_str()]);
    assert!(server.accounts().show(&jid).await.unwrap().is_some());
    let again = filled(&[("accountjids", jid.as_str())]);
    let asked = ask(
        &mut boss,
        command(&delete, session, Some("next")).with_child(again),
    )
    .await;
    asked.unwrap();
    let done = ask(&mut boss, command(&delete, session, Some("complete")))
        .await
        .unwrap();
    assert_eq!(done.attr("status"), Some("completed"));
    assert!(server.accounts().show(&jid).await.unwrap().is_none());
    drop(boss);
    server.stop().await;
}

/// XEP-0133 §4.23 to §4.28
#[tokio::test]
async fn announcements_and_the_message_of_the_day() {
    let (server, mut boss) = administered().await;
    let jid = server.account("alice").await.unwrap();
    let mut alice = server.client(&jid).connect(server.addr).await.unwrap();
    alice.presence().await.unwrap();
    let says = |text: &'static str| {
        move |el: &Element| {
            let body = el.child("body", ns::CLIENT);
            el.is("message", ns::CLIENT) && body.is_some_and(|body| body.text() == text)
        }
    };
    let announcement = [("announcement", "Tea is ready.")];
    act(&mut boss, "announce", &announcement).await.unwrap();
    alice.wait_for("tea", says("Tea is ready.")).await.unwrap();
    let all = [("announcement", "There is cake.")];
    act(&mut boss, "announce-all", &all).await.unwrap();
    alice
        .wait_for("cake", says("There is cake."))
        .await
        .unwrap();

    act(&mut boss, "set-motd", &[("motd", "Stay calm.")])
        .await
        .unwrap();
    alice
        .wait_for("the message", says("Stay calm."))
        .await
        .unwrap();
    let begun = ask(&mut boss, command(&node("edit-motd"), None, None))
        .await
        .unwrap();
    let form = Form::of(begun.root()).unwrap().unwrap();
    assert_eq!(form.values("motd"), ["Stay calm."]);
    act(&mut boss, "edit-motd", &[("motd", "Keep calm.")])
        .await
        .unwrap();
    act(&mut boss, "set-welcome", &[("welcome", "Hello.")])
        .await
        .unwrap();
    alice.close().await.unwrap();
    let mut alice = server.client(&jid).connect(server.addr).await.unwrap();
    alice.presence().await.unwrap();
    // Who has had it does not get it again, nor a welcome after the first login.
    let message = |el: &Element| el.is("message", ns::CLIENT);
    act(&mut boss, "announce", &[("announcement", "The end.")])
        .await
        .unwrap();
    let next = alice.wait_for("the end", message).await.unwrap();
    assert!(says("The end.")(&next), "{next:?}");
    let new = server.account("bob").await.unwrap();
    let mut bob = server.client(&new).connect(server.addr).await.unwrap();
    bob.presence().await.unwrap();
    bob.wait_for("the welcome", says("Hello.")).await.unwrap();
    bob.wait_for("the message", says("Keep calm."))
        .await
        .unwrap();
    act(&mut boss, "delete-motd", &[]).await.unwrap();
    act(&mut boss, "delete-welcome", &[]).await.unwrap();
    drop((alice, bob, boss));
    server.stop().await;
}
