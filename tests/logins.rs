//! Every way to log in that a client of today may choose.

use crate::support::client::{Binding, Builder, Client, Error, Security};
use crate::support::server::start_server;

/// Mechanism and binding, each of which must work.
const WAYS: &[(&str, Binding)] = &[
    ("PLAIN", Binding::None),
    ("SCRAM-SHA-1", Binding::None),
    ("SCRAM-SHA-256", Binding::None),
    ("SCRAM-SHA-512", Binding::None),
    ("SCRAM-SHA-1-PLUS", Binding::Exporter),
    ("SCRAM-SHA-256-PLUS", Binding::Exporter),
    ("SCRAM-SHA-512-PLUS", Binding::Exporter),
    ("SCRAM-SHA-1-PLUS", Binding::EndPoint),
    ("SCRAM-SHA-256-PLUS", Binding::EndPoint),
    ("SCRAM-SHA-512-PLUS", Binding::EndPoint),
];

/// Logs in by every way, with changes to each client, and says which failed.
async fn try_all(change: fn(Builder) -> Builder) {
    let server = start_server(&[]).await;
    let jid = server.account("alice").await.unwrap();
    let mut failures = Vec::new();
    for (mechanism, binding) in WAYS {
        let client = server.client(&jid).mechanism(mechanism).binding(*binding);
        match change(client).connect(server.addr).await {
            Ok(client) if client.jid.bare() == jid && client.jid.is_full() => {
                client.close().await.unwrap();
            }
            Ok(client) => failures.push(format!("{mechanism} {binding:?}: became {}", client.jid)),
            Err(error) => failures.push(format!("{mechanism} {binding:?}: {error}")),
        }
    }
    server.stop().await;
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[tokio::test]
async fn sasl() {
    try_all(|client| client).await;
}

#[tokio::test]
async fn sasl2_with_bind2() {
    try_all(|client| client.sasl2()).await;
}

#[tokio::test]
async fn sasl2_with_stream_management() {
    let server = start_server(&[]).await;
    let jid = server.account("alice").await.unwrap();
    let mut client = server
        .client(&jid)
        .sasl2()
        .acks()
        .connect(server.addr)
        .await
        .unwrap();
    assert_eq!(client.handled, Some(0));
    client.presence().await.unwrap();
    assert_eq!(client.request_ack().await.unwrap(), 1);
    server.stop().await;
}

#[tokio::test]
async fn direct_tls() {
    try_all(|client| client.security(Security::Direct)).await;
}

/// RFC 5802 §6: a client that could bind and sees no -PLUS says `y`; a server that offered one must refuse,
/// for somebody took it out of the list.
#[tokio::test]
async fn a_downgrade_is_noticed() {
    let server = start_server(&[]).await;
    let jid = server.account("alice").await.unwrap();
    let client = server
        .client(&jid)
        .mechanism("SCRAM-SHA-256")
        .binding(Binding::NotOffered);
    let refused = client.connect(server.addr).await;
    assert!(matches!(refused, Err(Error::Login(_))));
    server.stop().await;
}

#[tokio::test]
async fn wrong_passwords() {
    let server = start_server(&[]).await;
    let jid = server.account("alice").await.unwrap();
    for (mechanism, binding) in WAYS {
        let client = Client::builder(jid.as_str(), "pen").trust(server.trust.clone());
        let refused = client
            .mechanism(mechanism)
            .binding(*binding)
            .connect(server.addr)
            .await;
        match refused {
            Err(Error::Login(condition)) => assert_eq!(condition, "not-authorized", "{mechanism}"),
            Err(other) => panic!("{mechanism}: {other}"),
            Ok(_) => panic!("{mechanism}: logged in"),
        }
    }
    server.stop().await;
}
