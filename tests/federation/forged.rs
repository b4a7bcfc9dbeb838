//! Somebody who opens streams and lies: forged keys, domains never proved, keys asked about for strangers.

use std::time::Duration;

use waxwing::xml::Element;

use super::world::{Authority, Site, online};
use crate::support::client::{Connection, Event};
use crate::support::server::Running;

const PATIENCE: Duration = Duration::from_secs(10);

/// A stream to a server, secured, without any certificate, with its id.
async fn stream(server: &Running, site: &Site) -> (Connection, String) {
    let mut connection = Connection::open(site.address).await.unwrap();
    open(&mut connection).await;
    connection
        .send(b"<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>")
        .await
        .unwrap();
    next(&mut connection, "proceed").await;
    connection
        .secure_for("xmpp-server", site.domain, &server.trust)
        .await
        .unwrap();
    let id = open(&mut connection).await;
    (connection, id)
}

async fn open(connection: &mut Connection) -> String {
    let header = "<stream:stream xmlns='jabber:server' xmlns:db='jabber:server:dialback' \
                  xmlns:stream='http://etherx.jabber.org/streams' version='1.0' \
                  from='liar.example' to='a.example'>";
    connection.send(header.as_bytes()).await.unwrap();
    let id = match connection.next(PATIENCE).await.unwrap() {
        Some(Event::Header(header)) => header.attr("id").unwrap_or_default().to_owned(),
        other => panic!("{other:?}"),
    };
    next(connection, "features").await;
    id
}

async fn next(connection: &mut Connection, name: &str) -> Element {
    match connection.next(PATIENCE).await.unwrap() {
        Some(Event::Element(element)) if element.name() == name => element,
        other => panic!("{name} expected, {other:?} came"),
    }
}

/// The condition the stream ends with.
async fn end(connection: &mut Connection) -> String {
    let error = next(connection, "error").await;
    error.children().next().unwrap().name().to_owned()
}

async fn server(demand: &str) -> (Running, Site, Authority) {
    let authority = Authority::new();
    let mut site = Site::new(&authority, "a.example");
    site.settings = format!("demand = \"{demand}\"");
    let liar = Site::new(&authority, "liar.example");
    let server = site.start(&authority, &[&liar]).await;
    (server, site, authority)
}

#[tokio::test]
async fn stanzas_of_a_domain_that_was_not_proved_end_the_stream_and_reach_nobody() {
    let (server, site, _authority) = server("require-valid-certificate").await;
    let jid = server.account("alice").await.unwrap();
    let mut alice = online(&server, &jid).await;
    for from in ["x@liar.example", "x@a.example", "x@other.example"] {
        let (mut connection, _) = stream(&server, &site).await;
        let message =
            format!("<message from='{from}' to='{jid}' type='chat'><body>forged</body></message>");
        connection.send(message.as_bytes()).await.unwrap();
        assert_eq!(end(&mut connection).await, "not-authorized");
    }
    alice
        .expect_nothing(Duration::from_millis(200))
        .await
        .unwrap();
}

#[tokio::test]
async fn without_a_certificate_nothing_is_proved_by_external_nor_by_a_key() {
    let (server, site, _authority) = server("require-valid-certificate").await;
    let (mut connection, _) = stream(&server, &site).await;
    let auth = "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='EXTERNAL'>=</auth>";
    connection.send(auth.as_bytes()).await.unwrap();
    let failure = next(&mut connection, "failure").await;
    assert_eq!(failure.children().next().unwrap().name(), "not-authorized");
    let key = "<db:result from='liar.example' to='a.example'>abc</db:result>";
    connection.send(key.as_bytes()).await.unwrap();
    let result = next(&mut connection, "result").await;
    assert_eq!(result.attr("type"), Some("error"));
    // Nor are three failures survived.
    connection.send(key.as_bytes()).await.unwrap();
    next(&mut connection, "result").await;
    assert_eq!(end(&mut connection).await, "policy-violation");
}

#[tokio::test]
async fn a_key_is_confirmed_only_for_those_served_here_and_only_if_it_is_ours() {
    let (server, site, _authority) = server("dialback-over-tls").await;
    let (mut connection, id) = stream(&server, &site).await;
    let ask =
        |to: &str| format!("<db:verify from='liar.example' to='{to}' id='{id}'>abc</db:verify>");
    connection.send(ask("a.example").as_bytes()).await.unwrap();
    let verify = next(&mut connection, "verify").await;
    assert_eq!(verify.attr("type"), Some("invalid"));
    assert_eq!(verify.attr("id"), Some(id.as_str()));
    connection
        .send(ask("elsewhere.example").as_bytes())
        .await
        .unwrap();
    let verify = next(&mut connection, "verify").await;
    assert_eq!(verify.attr("type"), Some("error"));
}

#[tokio::test]
async fn a_key_whose_server_cannot_be_asked_proves_nothing() {
    let (server, site, _authority) = server("dialback-over-tls").await;
    let (mut connection, _) = stream(&server, &site).await;
    let key = "<db:result from='liar.example' to='a.example'>abc</db:result>";
    connection.send(key.as_bytes()).await.unwrap();
    let result = next(&mut connection, "result").await;
    assert_eq!(result.attr("type"), Some("error"));
    let message = "<message from='x@liar.example' to='x@a.example'/>";
    connection.send(message.as_bytes()).await.unwrap();
    assert_eq!(end(&mut connection).await, "not-authorized");
}

#[tokio::test]
async fn nobody_speaks_for_a_domain_that_is_served_here() {
    let (server, site, _authority) = server("dialback-over-tls").await;
    let (mut connection, _) = stream(&server, &site).await;
    let key = "<db:result from='a.example' to='a.example'>abc</db:result>";
    connection.send(key.as_bytes()).await.unwrap();
    let result = next(&mut connection, "result").await;
    assert_eq!(result.attr("type"), Some("error"));
}
