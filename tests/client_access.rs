//! XEP-0494: people see which clients have access to their account, and shut them out.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use waxwing::hooks::command::{ActError, Caller, Given, Report, Rights};
use waxwing::hooks::{Event, Listed};
use waxwing::metrics::Counter;
use waxwing::proto::{Condition, Jid, StanzaError, ns};
use waxwing::state::act;
use waxwing::state::clients::{Clients, Visit};
use waxwing::state::tokens::{Held, Tokens};
use waxwing::stream::Secret;
use waxwing::xml::Element;

use crate::support::client::{Client, Error, Token};
use crate::support::server::{Running, start_own, start_server};

const DESK: &str = "11111111-2222-4333-8444-555555555555";
const PHONE: &str = "99999999-2222-4333-8444-555555555555";
const NONE: &str = "HT-SHA-256-NONE";

/// What a list says of one client.
#[derive(Debug, PartialEq)]
struct Shown {
    id: String,
    connected: bool,
    by: Vec<String>,
    software: Option<String>,
}

async fn list(client: &mut Client) -> Vec<Shown> {
    let list = Element::new("list", ns::CLIENT_ACCESS);
    let result = client.request("get", None, list).await.unwrap();
    let clients = result.child("clients", ns::CLIENT_ACCESS).unwrap();
    let shown = clients.children().map(|client| {
        let child = |name| client.child(name, ns::CLIENT_ACCESS);
        let time = |name| child(name).unwrap().text().into_owned();
        assert!(time("first-seen") <= time("last-seen"));
        assert_eq!(client.attr("type"), Some("session"));
        let status = child("permission")
            .unwrap()
            .attr("status")
            .map(str::to_owned);
        assert_eq!(status.as_deref(), Some("unrestricted"));
        let agent = child("user-agent");
        let software = agent.and_then(|agent| agent.child("software", ns::CLIENT_ACCESS));
        let ways = child("auth").unwrap().children();
        Shown {
            id: client.attr("id").unwrap().to_owned(),
            connected: client.attr("connected") == Some("true"),
            by: ways.map(|way| way.name().to_owned()).collect(),
            software: software.map(|name| name.text().into_owned()),
        }
    });
    shown.collect()
}

async fn revoke(client: &mut Client, id: &str) -> Result<(), StanzaError> {
    let revoke = Element::new("revoke", ns::CLIENT_ACCESS).with_attr("id", id);
    match client.request("set", None, revoke).await {
        Ok(_) => Ok(()),
        Err(Error::Refused(error)) => Err(error),
        Err(other) => panic!("{other}"),
    }
}

/// Logs in with the password, for a token.
async fn with_password(server: &Running, jid: &Jid, id: &str) -> (Client, Token) {
    let builder = server
        .client(jid)
        .client_id(id)
        .want_token(NONE)
        .resumable();
    let mut client = builder.connect(server.addr).await.unwrap();
    let token = client.token.take().unwrap();
    (client, token)
}

async fn with_token(server: &Running, jid: &Jid, id: &str, token: &Token) -> Result<Client, Error> {
    let builder = server.client(jid).client_id(id).token(token).resumable();
    builder.connect(server.addr).await
}

fn is_refused(result: Result<Client, Error>) -> bool {
    matches!(result, Err(Error::Login(condition)) if condition == "not-authorized")
}

/// The stream ends because the client was shut out.
async fn is_shut_out(client: &mut Client) {
    while client.next(Duration::from_secs(5)).await.is_some() {}
    let error = client.stream_error.as_ref().unwrap();
    assert_eq!(
        error.condition,
        waxwing::proto::StreamCondition::NotAuthorized
    );
}

/// The same password, set anew: as another one, it is known to nobody who was there before.
async fn set_password(server: &Running, jid: &Jid) {
    let password = waxwing::admin::Password("pencil".to_owned());
    server
        .accounts()
        .set_password(jid, &password)
        .await
        .unwrap();
}

#[tokio::test]
async fn the_list_tells_what_has_access() {
    let server = start_server(&[]).await;
    let jid = server.account("alice").await.unwrap();
    let (mut desk, _) = with_password(&server, &jid, DESK).await;
    let (phone, token) = with_password(&server, &jid, PHONE).await;
    phone.close().await.unwrap();
    let shown = list(&mut desk).await;
    let both = ["password".to_owned(), "fast".to_owned()];
    assert_eq!(shown.len(), 2);
    assert!(shown.iter().all(|client| client.by == both));
    assert!(
        shown
            .iter()
            .all(|client| client.software.as_deref() == Some("waxwing client"))
    );
    let phones = shown.iter().filter(|client| !client.connected);
    let phones: Vec<_> = phones.map(|client| client.id.clone()).collect();
    let [phone_is] = &phones[..] else {
        panic!("{phones:?}");
    };
    // It is there while it is detached, under the same name.
    drop(
        with_token(&server, &jid, PHONE, &token)
            .await
            .unwrap()
            .cut(),
    );
    let shown = list(&mut desk).await;
    assert!(
        shown
            .iter()
            .any(|client| client.id == *phone_is && client.connected)
    );
    // Who does not name itself is there for as long as it is.
    let old = server.client(&jid).connect(server.addr).await.unwrap();
    let shown = list(&mut desk).await;
    let unnamed: Vec<_> = shown
        .iter()
        .filter(|client| client.software.is_none())
        .collect();
    assert_eq!(
        (unnamed.len(), unnamed[0].by.join(" ").as_str()),
        (1, "password")
    );
    old.close().await.unwrap();
    assert_eq!(list(&mut desk).await.len(), 2);
    // Nobody else gets it.
    let bob = server.account("bob").await.unwrap();
    let mut bob = server.client(&bob).connect(server.addr).await.unwrap();
    let element = Element::new("list", ns::CLIENT_ACCESS);
    let refused = bob.request("get", Some(jid.as_str()), element).await;
    assert!(
        matches!(refused, Err(Error::Refused(error)) if error.condition == Condition::ServiceUnavailable)
    );
    drop((desk, bob));
    server.stop().await;
}

#[tokio::test]
async fn who_knows_the_password_is_shut_out_until_it_is_used() {
    let server = start_server(&["modules.fast.rotate=0s"]).await;
    let jid = server.account("alice").await.unwrap();
    let (mut phone, token) = with_password(&server, &jid, PHONE).await;
    let id = list(&mut phone).await.remove(0).id;
    phone.close().await.unwrap();
    let mut phone = with_token(&server, &jid, PHONE, &token).await.unwrap();
    let next = phone.token.take().unwrap();
    let (mut desk, _) = with_password(&server, &jid, DESK).await;
    let error = revoke(&mut desk, &id).await.unwrap_err();
    assert_eq!(error.condition, Condition::ServiceUnavailable);
    let app = error.app.unwrap();
    assert!(app.is("password-reset-required", ns::CLIENT_ACCESS));
    is_shut_out(&mut phone).await;
    for token in [&token, &next] {
        assert!(is_refused(with_token(&server, &jid, PHONE, token).await));
    }
    // It is still listed, for it can come back.
    let shown = list(&mut desk).await;
    let phone = shown.iter().find(|client| client.id == id).unwrap();
    assert_eq!(
        (phone.connected, phone.by.join(" ").as_str()),
        (false, "password")
    );
    set_password(&server, &jid).await;
    let (mut desk, _) = with_password(&server, &jid, DESK).await;
    assert_eq!(
        list(&mut desk).await.len(),
        1,
        "that is over with the new password"
    );
    let error = revoke(&mut desk, &id).await.unwrap_err();
    assert_eq!(error.condition, Condition::ItemNotFound);
    let bad = Element::new("revoke", ns::CLIENT_ACCESS);
    let bad = desk.request("set", None, bad).await;
    assert!(matches!(bad, Err(Error::Refused(error)) if error.condition == Condition::BadRequest));
    drop(desk);
    server.stop().await;
}

/// As if it had been let in by something else than the password.
async fn granted(server: &Running, jid: &Jid, id: &str) -> Token {
    let store = server.own().acts().store().clone();
    let clients = Clients::new(store.clone(), 50, Counter::default()).unwrap();
    let visit = Visit {
        account: jid.clone(),
        client: id.to_owned(),
        names: (None, None),
        password: None,
    };
    let generation = clients.came(&visit, 1).await.unwrap().unwrap();
    let tokens = Tokens::new(store, 50, Counter::default());
    let look = tokens.look(jid, id).await.unwrap();
    let token = waxwing::state::tokens::Token::new(NONE, u64::MAX / 2, u64::MAX, generation);
    let local = std::fs::read(server.data_dir().join("local.key")).unwrap();
    let secret = token.secret(&Secret::new(local), (look.uid.unwrap(), id));
    let held = Held {
        fresh: Some(token),
        used: None,
    };
    tokens.put(&look, &held).await.unwrap();
    Token {
        secret: secret.expose_str().unwrap().to_owned(),
        expiry: String::new(),
        mechanism: NONE.to_owned(),
    }
}

#[tokio::test]
async fn who_has_but_a_token_is_shut_out_for_good() {
    let server = start_server(&[]).await;
    let jid = server.account("alice").await.unwrap();
    let (mut desk, _) = with_password(&server, &jid, DESK).await;
    let token = granted(&server, &jid, PHONE).await;
    let mut phone = with_token(&server, &jid, PHONE, &token).await.unwrap();
    let shown = list(&mut desk).await;
    let id = &shown
        .iter()
        .find(|client| client.by == ["fast"])
        .unwrap()
        .id;
    revoke(&mut desk, id).await.unwrap();
    is_shut_out(&mut phone).await;
    assert!(is_refused(with_token(&server, &jid, PHONE, &token).await));
    assert_eq!(list(&mut desk).await.len(), 1);
    drop(desk);
    server.stop().await;
}

/// Told of what modules are told of.
static TOLD: Mutex<Vec<(Jid, String)>> = Mutex::new(Vec::new());

waxwing::settings! {
    /// A module without settings.
    pub struct Nothing {}
}

struct Ear;

impl waxwing::hooks::Module for Ear {
    const INFO: waxwing::hooks::Info = waxwing::hooks::Info {
        name: "ear",
        specs: &[],
        doc: "For tests.",
        on_by_default: true,
    };
    type Config = Nothing;

    fn build(
        _: Self::Config,
        _: &waxwing::hooks::Deps,
    ) -> Result<Self, waxwing::hooks::ModuleError> {
        Ok(Ear)
    }

    fn register(self: Arc<Self>, r: &mut waxwing::hooks::Registrar<'_>) {
        r.event(|event| {
            if let Event::ClientRevoked(account, client) = event {
                let told = (account.clone(), client.to_string());
                TOLD.lock().unwrap().push(told);
            }
        });
    }
}

#[tokio::test]
async fn tokens_sessions_and_what_modules_keep_go_together() {
    let folder = tempfile::tempdir().unwrap();
    let server = start_own(folder, &[], &[Listed::of::<Ear>()])
        .await
        .unwrap();
    let jid = server.account("alice").await.unwrap();
    let (mut phone, token) = with_password(&server, &jid, PHONE).await;
    let id = list(&mut phone).await.remove(0).id;
    let cut = phone.cut();
    let (mut desk, _) = with_password(&server, &jid, DESK).await;
    assert!(revoke(&mut desk, &id).await.is_err());
    let told = TOLD.lock().unwrap().clone();
    assert_eq!(told, [(jid.clone(), PHONE.to_owned())]);
    assert!(is_refused(with_token(&server, &jid, PHONE, &token).await));
    let builder = server.client(&jid).resume(&cut.0, cut.1);
    let back = builder.connect(server.addr).await.unwrap();
    assert!(!back.is_resumed(), "the detached session is over");
    drop((back, desk));
    server.stop().await;
}

/// A command of administration; what it says.
pub async fn run(
    server: &Running,
    name: &str,
    arguments: &[(&str, &str)],
) -> Result<String, ActError> {
    let acts = server.own().acts();
    let mut commands = acts.commands().into_iter();
    let (host, offered) = commands.find(|(_, it)| it.command.name == name).unwrap();
    let given = arguments.iter();
    let given: Given = given
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned().into()))
        .collect();
    let caller = Caller {
        name: "test".to_owned(),
        jid: None,
        rights: Rights::Server,
    };
    let (report, mut lines) = Report::new();
    let running = async move {
        act::run(
            &offered,
            &given,
            &caller,
            Some(&host),
            &report,
            acts.audit(),
        )
        .await
    };
    let heard = async {
        let mut text = String::new();
        while let Some(line) = lines.recv().await {
            text.push_str(&format!("{line:?}\n"));
        }
        text
    };
    let (done, text) = tokio::join!(running, heard);
    done.map(|()| text)
}

#[tokio::test]
async fn administrators_see_and_do_the_same() {
    let server = start_server(&[]).await;
    let jid = server.account("alice").await.unwrap();
    let (mut phone, token) = with_password(&server, &jid, PHONE).await;
    let id = list(&mut phone).await.remove(0).id;
    let lines = run(&server, "user clients", &[("account", jid.as_str())]).await;
    let shown = lines.unwrap();
    assert!(
        shown.contains(&id) && shown.contains("password, token"),
        "{shown}"
    );
    let arguments = [("account", jid.as_str()), ("client", id.as_str())];
    let said = run(&server, "user revoke", &arguments).await.unwrap();
    assert!(said.contains("set a new one"), "{said}");
    is_shut_out(&mut phone).await;
    assert!(is_refused(with_token(&server, &jid, PHONE, &token).await));
    let unknown = [("account", jid.as_str()), ("client", "nothing")];
    assert!(run(&server, "user revoke", &unknown).await.is_err());
    server.stop().await;
}

#[tokio::test]
async fn names_are_remembered_only_where_that_is_wanted() {
    let server = start_server(&["modules.client_access.names=false"]).await;
    let jid = server.account("alice").await.unwrap();
    let (mut phone, _) = with_password(&server, &jid, PHONE).await;
    assert_eq!(list(&mut phone).await[0].software, None);
    drop(phone);
    server.stop().await;
}
