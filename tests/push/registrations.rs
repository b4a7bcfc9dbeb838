//! How clients register, and what ends with them.

use waxwing::admin::Password;
use waxwing::proto::form::FormType;

use super::*;

async fn features(client: &mut Client, of: &str) -> Vec<String> {
    let query = Element::new("query", ns::DISCO_INFO);
    let answer = client.request("get", Some(of), query).await.unwrap();
    let query = answer.child("query", ns::DISCO_INFO).unwrap();
    let features = query.children().filter_map(|child| child.attr("var"));
    features.map(str::to_owned).collect()
}

/// §4.1
#[tokio::test]
async fn accounts_say_that_they_push() {
    let server = start("").await;
    let juliet = server.account("juliet").await.unwrap();
    let mut phone = phone(&server, &juliet).await;
    for of in [juliet.as_str(), "localhost"] {
        let features = features(&mut phone, of).await;
        assert!(features.iter().any(|var| var == ns::PUSH), "{of}");
    }
}

/// §5, §6
#[tokio::test]
async fn bad_requests_are_refused() {
    let server = start("").await;
    let juliet = server.account("juliet").await.unwrap();
    let mut phone = phone(&server, &juliet).await;
    let form = |kind, of: &str| Form::new(kind).with_form_type(of).to_element();
    let no_service = |name| Element::new(name, ns::PUSH).with_attr("node", NODE);
    let long = "x".repeat(2_000);
    for (bad, condition) in [
        (no_service("enable"), Condition::BadRequest),
        (no_service("disable"), Condition::BadRequest),
        (
            no_service("enable").with_attr("jid", "a@b@c"),
            Condition::JidMalformed,
        ),
        (
            enable().with_child(form(FormType::Submit, ns::PUSH_SUMMARY)),
            Condition::BadRequest,
        ),
        (
            enable().with_child(form(FormType::Result, ns::PUBLISH_OPTIONS)),
            Condition::BadRequest,
        ),
        (
            no_service("enable")
                .with_attr("jid", SERVICE)
                .with_attr("node", &long),
            Condition::NotAcceptable,
        ),
    ] {
        let error = set(&mut phone, bad.clone()).await.unwrap_err();
        assert_eq!(error.condition, condition, "{bad:?}");
    }
    // Nobody registers for somebody else.
    let other = server.account("romeo").await.unwrap();
    let refused = phone.request("set", Some(other.as_str()), enable()).await;
    assert!(
        matches!(refused, Err(Error::Refused(error)) if error.condition == Condition::ServiceUnavailable)
    );
    // What is not there is ended all the same.
    let nothing = Element::new("disable", ns::PUSH).with_attr("jid", SERVICE);
    set(&mut phone, nothing).await.unwrap();
}

/// What the service is told of, in any order, after one message.
async fn nodes(server: &Running, service: &mut Service, juliet: &Jid, count: usize) -> Vec<String> {
    let mut romeo = romeo(server).await;
    romeo.send(chat(None, juliet, "one")).await.unwrap();
    let mut nodes = Vec::new();
    for _ in 0..count {
        nodes.push(service.told().await.node().to_owned());
    }
    service.is_told_nothing().await;
    nodes.sort();
    nodes
}

fn of_service(name: &str, node: &str) -> Element {
    Element::new(name, ns::PUSH)
        .with_attr("jid", SERVICE)
        .with_attr("node", node)
}

/// §6, examples 10 and 11.
#[tokio::test]
async fn one_node_is_disabled_or_all_and_the_rest_outlives_a_restart() {
    let server = start("").await;
    let juliet = server.account("juliet").await.unwrap();
    let mut client = phone(&server, &juliet).await;
    for node in ["a", "b", "c"] {
        set(&mut client, of_service("enable", node)).await.unwrap();
    }
    set(&mut client, of_service("disable", "b")).await.unwrap();
    client.close().await.unwrap();
    let folder = server.stop().await.unwrap();
    let server = start_in(folder, "").await;
    let mut service = Service::attach(&server).await;
    assert_eq!(nodes(&server, &mut service, &juliet, 2).await, ["a", "c"]);
    let mut client = phone(&server, &juliet).await;
    let all = Element::new("disable", ns::PUSH).with_attr("jid", SERVICE);
    set(&mut client, all).await.unwrap();
    client.close().await.unwrap();
    assert!(nodes(&server, &mut service, &juliet, 0).await.is_empty());
}

#[tokio::test]
async fn an_account_has_so_many_and_the_oldest_goes() {
    let server = start("[modules.push]\nregistrations = 2").await;
    let mut service = Service::attach(&server).await;
    let juliet = server.account("juliet").await.unwrap();
    let mut client = phone(&server, &juliet).await;
    for node in ["a", "b", "c"] {
        set(&mut client, of_service("enable", node)).await.unwrap();
        // The clock that they are ordered by counts milliseconds.
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    client.close().await.unwrap();
    assert_eq!(nodes(&server, &mut service, &juliet, 2).await, ["b", "c"]);
}

/// A phone and a desk, both registered and away; the token of the phone.
async fn two(server: &Running, juliet: &Jid) -> crate::support::client::Token {
    let builder = server.client(juliet).client_id(PHONE);
    let builder = builder.want_token("HT-SHA-256-NONE");
    let mut phone = builder.connect(server.addr).await.unwrap();
    let token = phone.token.take().unwrap();
    set(&mut phone, of_service("enable", "phone"))
        .await
        .unwrap();
    phone.close().await.unwrap();
    let mut desk = desk(server, juliet).await;
    set(&mut desk, of_service("enable", "desk")).await.unwrap();
    desk.close().await.unwrap();
    token
}

/// XEP-0494: what is shut out hears nothing any more.
#[tokio::test]
async fn a_client_that_is_shut_out_is_told_nothing() {
    let server = start("").await;
    let mut service = Service::attach(&server).await;
    let juliet = server.account("juliet").await.unwrap();
    two(&server, &juliet).await;
    let mut desk = desk(&server, &juliet).await;
    let list = Element::new("list", ns::CLIENT_ACCESS);
    let answer = desk.request("get", None, list).await.unwrap();
    let clients = answer.child("clients", ns::CLIENT_ACCESS).unwrap();
    for client in clients.children() {
        if client.attr("connected") != Some("true") {
            let revoke = Element::new("revoke", ns::CLIENT_ACCESS);
            let revoke = revoke.with_attr("id", client.attr("id").unwrap());
            // It knows the password, and is told so; its registrations are gone nevertheless.
            set(&mut desk, revoke).await.unwrap_err();
        }
    }
    desk.close().await.unwrap();
    assert_eq!(nodes(&server, &mut service, &juliet, 1).await, ["desk"]);
}

/// XEP-0484 §3.6: so people log out.
#[tokio::test]
async fn a_client_that_gives_up_its_token_is_told_nothing() {
    let server = start("").await;
    let mut service = Service::attach(&server).await;
    let juliet = server.account("juliet").await.unwrap();
    let token = two(&server, &juliet).await;
    let builder = server.client(&juliet).client_id(PHONE);
    let builder = builder.token(&token).invalidate();
    let client = builder.connect(server.addr).await.unwrap();
    client.close().await.unwrap();
    assert_eq!(nodes(&server, &mut service, &juliet, 1).await, ["desk"]);
}

#[tokio::test]
async fn a_new_password_ends_what_was_registered_with_the_old_one() {
    let server = start("").await;
    let mut service = Service::attach(&server).await;
    let juliet = server.account("juliet").await.unwrap();
    two(&server, &juliet).await;
    let password = Password("pencil".to_owned());
    let accounts = server.accounts();
    accounts.set_password(&juliet, &password).await.unwrap();
    assert!(nodes(&server, &mut service, &juliet, 0).await.is_empty());
}

#[tokio::test]
async fn registrations_go_with_their_account() {
    let server = start("").await;
    let mut service = Service::attach(&server).await;
    let juliet = server.account("juliet").await.unwrap();
    two(&server, &juliet).await;
    server.accounts().delete(&juliet).await.unwrap();
    let password = Password("pencil".to_owned());
    server.accounts().create(&juliet, &password).await.unwrap();
    assert!(nodes(&server, &mut service, &juliet, 0).await.is_empty());
}
