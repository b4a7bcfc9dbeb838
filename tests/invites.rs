//! Invitations (XEP-0401, XEP-0379, XEP-0445): by clients, by requests for presence, on a page for browsers.

use std::time::Duration;

use waxwing::proto::form::Form;
use waxwing::proto::{Condition, Jid, ns};
use waxwing::xml::Element;

use crate::http::web::{Answer, Web};
use crate::support::client::{Client, Error};
use crate::support::process::Process;
use crate::support::server::{Running, start_server};

const URL: &str = "hosts.localhost.url=https://localhost:5443";
const ANYBODY: &str = "modules.invite.accounts=local";

async fn online(server: &Running, name: &str) -> Client {
    let jid = server.account(name).await.unwrap();
    log_in(server, &jid).await
}

async fn log_in(server: &Running, jid: &Jid) -> Client {
    let mut client = server.client(jid).connect(server.addr).await.unwrap();
    client.roster().await.unwrap();
    client.presence().await.unwrap();
    client
}

/// The fields of an invitation that a client asked for.
struct Invitation {
    uri: String,
    page: Option<String>,
    token: String,
}

async fn invite(client: &mut Client) -> Result<Invitation, Error> {
    let command = Element::new("command", ns::COMMANDS)
        .with_attr("node", "urn:xmpp:invite#invite")
        .with_attr("action", "execute");
    let answer = client.request("set", Some("localhost"), command).await?;
    let command = answer.child("command", ns::COMMANDS).unwrap();
    assert_eq!(command.attr("status"), Some("completed"), "{command:?}");
    let form = Form::of(command).unwrap().unwrap();
    assert_eq!(form.form_type(), Some("urn:xmpp:invite#invitation"));
    assert!(form.value("expire").unwrap().ends_with('Z'));
    let uri = form.value("uri").unwrap().to_owned();
    let token = uri.split("preauth=").nth(1).unwrap();
    Ok(Invitation {
        token: token.split(';').next().unwrap().to_owned(),
        page: form.value("landing-url").map(str::to_owned),
        uri,
    })
}

/// A stream that is secured, and what it offers.
async fn stranger(server: &Running) -> (Client, Element) {
    let nobody = Jid::parse("nobody@localhost").unwrap();
    let mut client = server.client(&nobody).open(server.addr).await.unwrap();
    client.open_stream().await.unwrap();
    let features = client.start_tls().await.unwrap();
    (client, features)
}

fn preauth(token: &str) -> Element {
    Element::new("preauth", ns::PARS).with_attr("token", token)
}

fn wish(name: &str, password: &str) -> Element {
    let leaf = |name, text: &str| Element::new(name, ns::REGISTER).with_text(text);
    Element::new("query", ns::REGISTER)
        .with_child(leaf("username", name))
        .with_child(leaf("password", password))
}

fn condition(result: Result<Element, Error>) -> Option<Condition> {
    match result {
        Err(Error::Refused(error)) => Some(error.condition),
        _ => None,
    }
}

/// Waits until the roster says that both see each other.
async fn see_each_other(client: &mut Client, other: &Jid) {
    for _ in 0..100 {
        let items = client.roster().await.unwrap();
        let found = items.iter().any(|item| {
            item.attr("jid") == Some(other.bare_str()) && item.attr("subscription") == Some("both")
        });
        if found {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("{:?}", client.roster().await);
}

#[tokio::test]
async fn who_is_invited_makes_an_account_and_both_find_each_other() {
    let server = start_server(&[ANYBODY]).await;
    let mut alice = online(&server, "alice").await;
    let invitation = invite(&mut alice).await.unwrap();
    let own = alice.jid.bare();
    let expected = format!("xmpp:{own}?roster;preauth={};ibr=y", invitation.token);
    assert_eq!(invitation.uri, expected);
    // Web clients do not reach this host.
    assert_eq!(invitation.page, None);

    let (mut bob, features) = stranger(&server).await;
    for ns in [ns::IBR_TOKEN, ns::REGISTER_FEATURE] {
        assert!(features.child("register", ns).is_some(), "{ns}");
    }
    let password = "pencil-pencil";
    // Nobody makes an account without an invitation, nor with one that is none.
    let refused = bob.request("set", None, wish("bob", password)).await;
    assert_eq!(condition(refused), Some(Condition::ServiceUnavailable));
    let refused = bob.request("set", None, preauth("none")).await;
    assert_eq!(condition(refused), Some(Condition::ItemNotFound));
    bob.request("set", None, preauth(&invitation.token))
        .await
        .unwrap();
    let query = Element::new("query", ns::REGISTER);
    let fields = bob.request("get", None, query).await.unwrap();
    let fields = fields.child("query", ns::REGISTER).unwrap();
    assert!(fields.has_child("username", ns::REGISTER));
    // What goes wrong does not use it up.
    let refused = bob.request("set", None, wish("bob", "short")).await;
    assert_eq!(condition(refused), Some(Condition::NotAcceptable));
    bob.request("set", None, wish("bob", password))
        .await
        .unwrap();
    let again = bob.request("set", None, wish("carol", password)).await;
    assert_eq!(condition(again), Some(Condition::ServiceUnavailable));
    drop(bob);
    let (mut late, _) = stranger(&server).await;
    let used = late.request("set", None, preauth(&invitation.token)).await;
    assert_eq!(condition(used), Some(Condition::ItemNotFound));

    let jid = Jid::parse("bob@localhost").unwrap();
    see_each_other(&mut alice, &jid).await;
    let bob = Client::builder(jid.as_str(), password).trust(server.trust.clone());
    let mut bob = bob.connect(server.addr).await.unwrap();
    see_each_other(&mut bob, &own).await;
    bob.presence().await.unwrap();
    bob.wait_for("the presence of who invited", |el| {
        el.is("presence", ns::CLIENT) && el.attr("from") == Some(alice.jid.as_str())
    })
    .await
    .unwrap();
    server.stop().await;
}

#[tokio::test]
async fn two_streams_do_not_use_one_invitation_twice() {
    let server = start_server(&[ANYBODY]).await;
    let mut alice = online(&server, "alice").await;
    let token = invite(&mut alice).await.unwrap().token;
    let attempts = (0..4).map(|n| {
        let (server, token) = (server.clone(), token.clone());
        tokio::spawn(async move {
            let (mut client, _) = stranger(&server).await;
            client.request("set", None, preauth(&token)).await.ok()?;
            let wish = wish(&format!("guest{n}"), "pencil-pencil");
            client.request("set", None, wish).await.ok()
        })
    });
    let mut made = 0;
    for attempt in attempts.collect::<Vec<_>>() {
        made += usize::from(attempt.await.unwrap().is_some());
    }
    assert_eq!(made, 1);
    drop(alice);
    server.stop().await;
}

#[tokio::test]
async fn a_request_with_an_invitation_is_granted_and_answered() {
    let server = start_server(&[]).await;
    let mut alice = online(&server, "alice").await;
    let mut bob = online(&server, "bob").await;
    let invitation = invite(&mut alice).await.unwrap();
    // Only administrators let others make accounts.
    assert!(!invitation.uri.contains("ibr"), "{}", invitation.uri);
    let (mut nobody, _) = stranger(&server).await;
    let refused = nobody
        .request("set", None, preauth(&invitation.token))
        .await;
    assert_eq!(condition(refused), Some(Condition::ItemNotFound));
    drop(nobody);

    let (a, b) = (alice.jid.bare(), bob.jid.bare());
    let presence = |kind: &str| {
        Element::new("presence", ns::CLIENT)
            .with_attr("to", a.as_str())
            .with_attr("type", kind)
    };
    // A token of somebody else's is none: the request waits for an answer, as others do.
    let mut carol = online(&server, "carol").await;
    let foreign = invite(&mut carol).await.unwrap().token;
    bob.send(presence("subscribe").with_child(preauth(&foreign)))
        .await
        .unwrap();
    let asked =
        |el: &Element| el.is("presence", ns::CLIENT) && el.attr("type") == Some("subscribe");
    alice.wait_for("the request", asked).await.unwrap();
    bob.send(presence("unsubscribe")).await.unwrap();

    // §3.4: with the request goes a promise to grant the one that comes back.
    bob.send(presence("subscribed")).await.unwrap();
    bob.send(presence("subscribe").with_child(preauth(&invitation.token)))
        .await
        .unwrap();
    see_each_other(&mut alice, &b).await;
    see_each_other(&mut bob, &a).await;
    // It is used up.
    let mut dave = online(&server, "dave").await;
    dave.send(presence("subscribe").with_child(preauth(&invitation.token)))
        .await
        .unwrap();
    let d = dave.jid.bare();
    alice
        .wait_for("the request", |el| {
            asked(el) && el.attr("from") == Some(d.as_str())
        })
        .await
        .unwrap();
    server.stop().await;
}

#[tokio::test]
async fn so_many_invitations_and_no_more() {
    let server = start_server(&["modules.invite.each=2"]).await;
    let mut alice = online(&server, "alice").await;
    invite(&mut alice).await.unwrap();
    invite(&mut alice).await.unwrap();
    assert!(invite(&mut alice).await.is_err());
    let mut bob = online(&server, "bob").await;
    invite(&mut bob).await.unwrap();
    server.stop().await;

    let server = start_server(&["modules.invite.contacts=admins"]).await;
    let mut alice = online(&server, "alice").await;
    assert!(invite(&mut alice).await.is_err());
    server.stop().await;
}

async fn post(web: &mut Web, path: &str, headers: &[(&str, &str)], form: &str) -> Answer {
    let mut head = format!(
        "POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n",
        form.len()
    );
    for (name, value) in headers {
        head += &format!("{name}: {value}\r\n");
    }
    web.send(head + "\r\n" + form).await;
    web.answer(false).await.unwrap()
}

const FORM: (&str, &str) = ("Content-Type", "application/x-www-form-urlencoded");
const OWN: (&str, &str) = ("Origin", "https://localhost:5443");

#[tokio::test]
async fn the_page_of_an_invitation_leads_to_an_account() {
    let server = start_server(&[ANYBODY, URL]).await;
    let mut alice = online(&server, "alice").await;
    let invitation = invite(&mut alice).await.unwrap();
    let path = invitation.page.unwrap();
    let path = path.strip_prefix("https://localhost:5443").unwrap();
    assert_eq!(path, format!("/invite/{}", invitation.token));
    let mut web = Web::tls(&server, server.addr, "http/1.1").await.unwrap();
    let page = web.get(path).await;
    assert_eq!(page.status, 200);
    let own = alice.jid.bare();
    for part in [
        format!("{own} invites you to chat"),
        format!(
            "href=\"xmpp:{own}?roster;preauth={};ibr=y\"",
            invitation.token
        ),
        "<html lang=\"en\">".to_owned(),
        "<form method=\"post\"".to_owned(),
        "<svg".to_owned(),
    ] {
        assert!(page.text().contains(&part), "{part}: {}", page.text());
    }
    let policy = page.header("content-security-policy").unwrap();
    assert!(
        policy.starts_with("default-src 'none'; style-src 'sha256-"),
        "{policy}"
    );
    assert!(!page.text().contains("<script") && !page.text().contains("src="));
    assert_eq!(page.header("cache-control"), Some("no-store"));
    let german = web
        .ask("GET", path, &[("Accept-Language", "de-DE,de;q=0.9")])
        .await;
    assert!(
        german.text().contains("lädt dich zum Chatten ein"),
        "{}",
        german.text()
    );
    let phone = [("User-Agent", "Mozilla/5.0 (Linux; Android 15)")];
    assert!(
        web.ask("GET", path, &phone)
            .await
            .text()
            .contains("conversations.im")
    );

    let good = "name=bob&password=pencil-pencil&again=pencil-pencil";
    // From another website, or as something that a website can send without being asked.
    for headers in [
        &[FORM, ("Origin", "https://evil.example")][..],
        &[FORM, OWN, ("Sec-Fetch-Site", "cross-site")],
        &[FORM, ("Origin", "null")],
        &[("Content-Type", "text/plain"), OWN],
    ] {
        let mut web = Web::tls(&server, server.addr, "http/1.1").await.unwrap();
        assert_eq!(
            post(&mut web, path, headers, good).await.status,
            403,
            "{headers:?}"
        );
    }
    let headers = [FORM, OWN, ("Sec-Fetch-Site", "same-origin")];
    let mut web = Web::tls(&server, server.addr, "http/1.1").await.unwrap();
    for (form, says) in [
        (
            "name=bob&password=pencil-pencil&again=other",
            "The two passwords differ.",
        ),
        ("name=bob&password=short&again=short", "must be longer"),
        (
            "name=a%40b&password=pencil-pencil&again=pencil-pencil",
            "cannot be used",
        ),
        (
            "name=&password=pencil-pencil&again=pencil-pencil",
            "cannot be used",
        ),
        ("name=%3Cb%3E&password=x&again=y", "value=\"&lt;b&gt;\""),
    ] {
        let answer = post(&mut web, path, &headers, form).await;
        assert_eq!(answer.status, 422, "{form}");
        assert!(answer.text().contains(says), "{form}: {}", answer.text());
    }
    let made = post(&mut web, path, &headers, good).await;
    assert_eq!(made.status, 201, "{}", made.text());
    assert!(made.text().contains("Your account is bob@localhost"));
    let gone = web.get(path).await;
    assert_eq!(gone.status, 404);
    assert!(gone.text().contains("not good any more"), "{}", gone.text());
    let bob = Client::builder("bob@localhost", "pencil-pencil").trust(server.trust.clone());
    let mut bob = bob.connect(server.addr).await.unwrap();
    see_each_other(&mut bob, &own).await;
    server.stop().await;
}

#[tokio::test]
async fn whoever_guesses_is_shut_out_for_a_while() {
    let server = start_server(&[URL]).await;
    let mut web = Web::tls(&server, server.addr, "http/1.1").await.unwrap();
    let mut last = 0;
    for n in 0..40 {
        last = web.get(&format!("/invite/guess{n}")).await.status;
        assert!(matches!(last, 404 | 429), "{last}");
    }
    assert_eq!(last, 429);
    server.stop().await;
}

#[tokio::test]
async fn the_command_line_invites_and_resets_passwords() {
    let server = Process::start(&["romeo"], &[URL]);
    let run = |arguments: &[&str]| {
        let (done, said, error) = server.run(arguments);
        assert!(done, "{arguments:?}: {said} {error}");
        said
    };
    let said = run(&["invite", "--username", "juliet", "--expires", "2d"]);
    assert!(
        said.contains("xmpp:juliet@localhost?register;preauth="),
        "{said}"
    );
    assert!(said.contains('█'), "{said}");
    let (done, _, error) = server.run(&["invite", "--username", "juliet"]);
    assert!(!done && error.contains("promised"), "{error}");
    let list = run(&["invite", "list"]);
    let row = list.lines().find(|line| line.contains("juliet")).unwrap();
    let id = row.split_whitespace().next().unwrap().to_owned();
    run(&["invite", "revoke", &id]);
    run(&["invite", "--username", "juliet"]);

    let said = run(&["invite", "--reset", "romeo@localhost"]);
    let path = said.split("https://localhost:5443").nth(1).unwrap();
    let path = path.split_whitespace().next().unwrap();
    let mut web = Web::trusting(&server.trust(), server.addr, "http/1.1")
        .await
        .unwrap();
    let page = web.get(path).await;
    assert!(
        page.text().contains("A new password for romeo@localhost"),
        "{}",
        page.text()
    );
    let form = "name=mercutio&password=new-pencil-case&again=new-pencil-case";
    let set = post(&mut web, path, &[FORM, OWN], form).await;
    assert_eq!(set.status, 200, "{}", set.text());
    assert_eq!(post(&mut web, path, &[FORM, OWN], form).await.status, 404);
    let with = |password: &str| {
        let client = Client::builder("romeo@localhost", password).trust(server.trust());
        client.connect(server.addr)
    };
    assert!(with("pencil").await.is_err());
    with("new-pencil-case").await.unwrap();
}
