//! Web push: what a client registers, and what its push service and the client itself get.

use waxwing::proto::form::FormType;

use super::endpoint::{Endpoint, Keys};
use super::*;

/// A server that may reach the endpoint.
async fn start_for(endpoint: &Endpoint, more: &str) -> Running {
    start_over(tempfile::tempdir().unwrap(), endpoint, more).await
}

async fn start_over(folder: tempfile::TempDir, endpoint: &Endpoint, more: &str) -> Running {
    let web = format!(
        "[web]\nauthorities = [{:?}]\nprivate_addresses = [\"127.0.0.1\"]\n[modules.web_push]\ninterval = \"1s\"\n{more}",
        endpoint.authority
    );
    start_in(folder, &web).await
}

fn subscription(endpoint: &Endpoint, path: &str, keys: &Keys) -> Element {
    let (public, auth) = keys.told();
    let leaf = |name, text: &str| Element::new(name, ns::WEB_PUSH).with_text(text);
    Element::new("enable", ns::WEB_PUSH)
        .with_attr("endpoint", &format!("{}{path}", endpoint.origin))
        .with_child(leaf("p256dh", &public))
        .with_child(leaf("auth", &auth))
}

/// The key of the server, as the account's disco#info tells it.
async fn server_key(client: &mut Client) -> String {
    let account = client.jid.bare();
    let query = Element::new("query", ns::DISCO_INFO);
    let answer = client.request("get", Some(account.as_str()), query).await;
    let answer = answer.unwrap();
    let query = answer.child("query", ns::DISCO_INFO).unwrap();
    let mut vars = query.children().filter_map(|child| child.attr("var"));
    assert!(vars.any(|var| var == ns::WEB_PUSH));
    let forms = query.children().filter(|child| child.ns() == ns::DATA_FORM);
    let forms = forms.map(|form| Form::parse(form).unwrap());
    let form = forms
        .filter(|form| form.kind == FormType::Result)
        .find(|form| form.form_type() == Some(ns::WEB_PUSH));
    let form = form.unwrap();
    form.value("application-server-key").unwrap().to_owned()
}

#[tokio::test]
async fn a_client_that_is_away_gets_what_only_it_can_read() {
    let folder = tempfile::tempdir().unwrap();
    let mut endpoint = Endpoint::start(folder.path()).await;
    let server = start_for(&endpoint, "content = \"sender+body\"").await;
    let juliet = server.account("juliet").await.unwrap();
    let mut tab = phone(&server, &juliet).await;
    let key = server_key(&mut tab).await;
    let keys = Keys::new();
    let subscription = subscription(&endpoint, "/push/JzLQ3raZJfFBR0aqvOMsLrt54w4rJUsV", &keys);
    set(&mut tab, subscription).await.unwrap();
    let mut romeo = romeo(&server).await;
    romeo.send(chat(None, &juliet, "live")).await.unwrap();
    next(&mut tab, "message").await;
    tab.close().await.unwrap();
    romeo.send(chat(None, &juliet, "O Juliet")).await.unwrap();

    let posted = endpoint.posted().await;
    assert_eq!(posted.path, "/push/JzLQ3raZJfFBR0aqvOMsLrt54w4rJUsV");
    for (header, value) in [
        ("ttl", "86400"),
        ("urgency", "normal"),
        ("topic", "messages"),
    ] {
        assert_eq!(posted.header(header), Some(value), "{header}");
    }
    let claims = posted.claims(&key);
    assert_eq!(claims["aud"], endpoint.origin);
    assert_eq!(claims["sub"], "mailto:xmpp@localhost");
    let expected = serde_json::json!({
        "account": juliet.as_str(),
        "messages": 1,
        "sender": romeo.jid.as_str(),
        "body": "O Juliet",
    });
    assert_eq!(keys.read(&posted), expected);
    endpoint.nothing().await;
}

#[tokio::test]
async fn calls_are_urgent_and_nobody_is_named_unless_that_is_wanted() {
    let folder = tempfile::tempdir().unwrap();
    let mut endpoint = Endpoint::start(folder.path()).await;
    let server = start_for(&endpoint, "").await;
    let juliet = server.account("juliet").await.unwrap();
    let mut tab = phone(&server, &juliet).await;
    let keys = Keys::new();
    let enable = subscription(&endpoint, "/x", &keys);
    set(&mut tab, enable).await.unwrap();
    cut(&server, tab).await;
    let mut romeo = romeo(&server).await;
    let call = |name| Element::new(name, ns::JINGLE_MESSAGE).with_attr("id", "c1");
    romeo.send(with(&juliet, call("propose"))).await.unwrap();
    let posted = endpoint.posted().await;
    for (header, value) in [("ttl", "60"), ("urgency", "high"), ("topic", "call")] {
        assert_eq!(posted.header(header), Some(value), "{header}");
    }
    let expected = serde_json::json!({
        "account": juliet.as_str(),
        "messages": 1,
        "call": { "state": "invited", "id": "c1" },
    });
    assert_eq!(keys.read(&posted), expected);
    romeo.send(with(&juliet, call("retract"))).await.unwrap();
    assert_eq!(endpoint.posted().await.header("urgency"), Some("high"));
}

/// The device that was woken rings no longer when another one has answered.
#[tokio::test]
async fn a_call_that_another_device_answers_is_over() {
    let folder = tempfile::tempdir().unwrap();
    let mut endpoint = Endpoint::start(folder.path()).await;
    let server = start_for(&endpoint, "").await;
    let juliet = server.account("juliet").await.unwrap();
    let mut tab = phone(&server, &juliet).await;
    let keys = Keys::new();
    let enable = subscription(&endpoint, "/x", &keys);
    set(&mut tab, enable).await.unwrap();
    cut(&server, tab).await;
    let mut romeo = romeo(&server).await;
    let call = |name| Element::new(name, ns::JINGLE_MESSAGE).with_attr("id", "c1");
    romeo.send(with(&juliet, call("propose"))).await.unwrap();
    endpoint.posted().await;
    let mut desk = server.client(&juliet).connect(server.addr).await.unwrap();
    desk.send(with(&romeo.jid, call("proceed"))).await.unwrap();
    let told = keys.read(&endpoint.posted().await);
    assert_eq!(
        told["call"],
        serde_json::json!({ "state": "over", "id": "c1" })
    );
}

/// RFC 8030 §7.3, §8.4
#[tokio::test]
async fn a_service_that_is_busy_is_asked_again_and_one_that_knows_nobody_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let mut endpoint = Endpoint::start(folder.path()).await;
    let server = start_for(&endpoint, "").await;
    let juliet = server.account("juliet").await.unwrap();
    let mut tab = phone(&server, &juliet).await;
    let keys = Keys::new();
    let enable = subscription(&endpoint, "/x", &keys);
    set(&mut tab, enable).await.unwrap();
    tab.close().await.unwrap();
    endpoint.will_answer(&[(429, Some("1")), (410, None)]);
    let mut romeo = romeo(&server).await;
    romeo.send(chat(None, &juliet, "one")).await.unwrap();
    endpoint.posted().await;
    let again = endpoint.posted().await;
    assert_eq!(keys.read(&again)["messages"], 1);
    romeo.send(chat(None, &juliet, "two")).await.unwrap();
    settled(&mut romeo).await;
    endpoint.nothing().await;
    assert_eq!(waiting(&server, "web"), Some(0.0));
}

/// Nobody sends the server to addresses of its own network.
#[tokio::test]
async fn endpoints_that_are_not_public_are_not_reached() {
    let folder = tempfile::tempdir().unwrap();
    let mut endpoint = Endpoint::start(folder.path()).await;
    let server = start("").await;
    let juliet = server.account("juliet").await.unwrap();
    let mut tab = phone(&server, &juliet).await;
    let enable = subscription(&endpoint, "/x", &Keys::new());
    set(&mut tab, enable).await.unwrap();
    tab.close().await.unwrap();
    let mut romeo = romeo(&server).await;
    romeo.send(chat(None, &juliet, "one")).await.unwrap();
    settled(&mut romeo).await;
    endpoint.nothing().await;
    let labels = [("way", "web"), ("outcome", "ended")];
    let ended = server.own().metrics().samples();
    assert_eq!(ended.value("waxwing_push_total", &labels), Some(1.0));
}

#[tokio::test]
async fn bad_subscriptions_are_refused() {
    let server = start("").await;
    let juliet = server.account("juliet").await.unwrap();
    let mut tab = phone(&server, &juliet).await;
    let empty = Element::new("enable", ns::WEB_PUSH);
    let error = set(&mut tab, empty.clone()).await.unwrap_err();
    assert_eq!(error.condition, Condition::BadRequest);
    for endpoint in ["https://push.example/x", "http://push.example/x"] {
        let (public, auth) = Keys::new().told();
        let leaf = |name, text: &str| Element::new(name, ns::WEB_PUSH).with_text(text);
        let enable = empty
            .clone()
            .with_attr("endpoint", endpoint)
            .with_child(leaf("p256dh", &public[..80]))
            .with_child(leaf("auth", &auth));
        let error = set(&mut tab, enable).await.unwrap_err();
        assert_eq!(error.condition, Condition::NotAcceptable, "{endpoint}");
    }
}

/// The key is the server's for good: subscriptions are bound to it.
#[tokio::test]
async fn key_and_subscriptions_outlive_a_restart_and_are_given_up_by_name_or_together() {
    let folder = tempfile::tempdir().unwrap();
    let mut endpoint = Endpoint::start(folder.path()).await;
    let server = start_for(&endpoint, "").await;
    let juliet = server.account("juliet").await.unwrap();
    let mut tab = phone(&server, &juliet).await;
    let key = server_key(&mut tab).await;
    for path in ["/a", "/b"] {
        let enable = subscription(&endpoint, path, &Keys::new());
        set(&mut tab, enable).await.unwrap();
    }
    tab.close().await.unwrap();
    let data = server.stop().await.unwrap();
    let server = start_over(data, &endpoint, "").await;
    let mut tab = phone(&server, &juliet).await;
    assert_eq!(server_key(&mut tab).await, key);
    let disable = Element::new("disable", ns::WEB_PUSH);
    let one = disable
        .clone()
        .with_attr("endpoint", &format!("{}/a", endpoint.origin));
    set(&mut tab, one).await.unwrap();
    let kept = cut(&server, tab).await;
    let mut romeo = romeo(&server).await;
    romeo.send(chat(None, &juliet, "one")).await.unwrap();
    let posted = endpoint.posted().await;
    assert_eq!(posted.path, "/b");
    posted.claims(&key);
    let builder = server.client(&juliet).client_id(PHONE).sasl2();
    let builder = builder.resume(&kept.0, kept.1);
    let mut tab = builder.connect(server.addr).await.unwrap();
    set(&mut tab, disable).await.unwrap();
    tab.close().await.unwrap();
    romeo.send(chat(None, &juliet, "two")).await.unwrap();
    settled(&mut romeo).await;
    endpoint.nothing().await;
}
