//! XEP-0484: a client that logged in once comes back with a token, in one round trip.

use std::time::{Duration, Instant};

use waxwing::proto::{Jid, ns};
use waxwing::xml::Element;

use crate::support::client::{Builder, Client, Error, Security, Token};
use crate::support::server::{Running, start_own, start_server};

const MECHANISMS: [&str; 6] = [
    "HT-SHA-512-EXPR",
    "HT-SHA-256-EXPR",
    "HT-SHA-512-ENDP",
    "HT-SHA-256-ENDP",
    "HT-SHA-512-NONE",
    "HT-SHA-256-NONE",
];
const NONE: &str = "HT-SHA-256-NONE";
/// Another client than the one that all tests have.
const OTHER: &str = "11111111-2222-4333-8444-555555555555";

/// Logs in with the password and gets a token.
async fn token(server: &Running, jid: &Jid, mechanism: &str) -> Token {
    let client = server.client(jid).want_token(mechanism);
    let mut client = client.connect(server.addr).await.unwrap();
    let token = client.token.take().expect("no token");
    client.close().await.unwrap();
    token
}

/// Comes back with a token.
async fn back(builder: Builder, server: &Running) -> Result<Client, Error> {
    builder.pipelined(None).connect(server.addr).await
}

/// Comes and goes; the token that it got.
async fn come(server: &Running, jid: &Jid, token: &Token) -> Option<Token> {
    let mut client = back(server.client(jid).token(token), server).await.unwrap();
    let given = client.token.take();
    client.close().await.unwrap();
    given
}

fn condition(result: Result<Client, Error>) -> String {
    match result {
        Err(Error::Login(condition)) => condition,
        Err(other) => panic!("{other}"),
        Ok(_) => "in".to_owned(),
    }
}

async fn outcome(server: &Running, jid: &Jid, token: &Token) -> String {
    condition(back(server.client(jid).token(token), server).await)
}

#[tokio::test]
async fn every_mechanism_is_offered_and_lets_in_with_its_own_token_alone() {
    let server = start_server(&[]).await;
    let jid = server.account("alice").await.unwrap();
    let first = server.client(&jid).sasl2().connect(server.addr).await;
    let first = first.unwrap();
    let features = first.features.as_ref().unwrap();
    let inline = features.child("authentication", ns::SASL2);
    let inline = inline.and_then(|offer| offer.child("inline", ns::SASL2));
    let fast = inline.and_then(|inline| inline.child("fast", ns::FAST));
    let fast = fast.unwrap().to_element();
    let offered: Vec<String> = fast.children().map(|el| el.text().into_owned()).collect();
    assert_eq!(offered, MECHANISMS);
    assert_eq!(fast.attr("tls-0rtt"), None);
    assert!(first.token.is_none(), "nobody asked for one");
    first.close().await.unwrap();
    for mechanism in MECHANISMS {
        let token = token(&server, &jid, mechanism).await;
        for other in MECHANISMS.iter().filter(|other| **other != mechanism) {
            let token = Token {
                mechanism: (*other).to_owned(),
                ..token.clone()
            };
            assert_eq!(outcome(&server, &jid, &token).await, "not-authorized");
        }
        for security in [Security::StartTls, Security::Direct] {
            let client = server.client(&jid).security(security).token(&token);
            let client = back(client, &server).await.unwrap();
            assert_eq!(client.jid.bare(), jid);
            assert!(client.jid.is_full(), "bound in the same breath");
            client.close().await.unwrap();
        }
    }
    server.stop().await;
}

#[tokio::test]
async fn it_goes_together_with_resumption_binding_and_the_archive() {
    let server = start_server(&[]).await;
    let jid = server.account("alice").await.unwrap();
    let mut phone = server
        .client(&jid)
        .want_token(NONE)
        .resumable()
        .connect(server.addr)
        .await
        .unwrap();
    let token = phone.token.take().unwrap();
    let full = phone.jid.clone();
    let note = format!("<message to='{jid}' type='chat'><body>note</body></message>");
    phone.send(note.as_str()).await.unwrap();
    phone.request_ack().await.unwrap();
    let (id, handled) = phone.cut();
    let builder = || server.client(&jid).token(&token);
    let phone = back(builder().resume(&id, handled), &server).await.unwrap();
    assert!(phone.is_resumed());
    assert_eq!(phone.jid, full);
    let success = phone.success.as_ref().unwrap();
    assert!(!success.has_child("bound", ns::BIND2));
    phone.close().await.unwrap();
    // It was closed, so it is gone: the same request binds, and says what it has missed.
    let phone = back(builder().resume(&id, handled), &server).await.unwrap();
    assert!(!phone.is_resumed());
    let success = phone.success.as_ref().unwrap();
    assert!(success.has_child("failed", ns::SM));
    let bound = success.child("bound", ns::BIND2).unwrap();
    assert!(bound.has_child("enabled", ns::SM));
    let metadata = bound.child("metadata", ns::MAM).unwrap();
    let (start, end) = (
        metadata.child("start", ns::MAM),
        metadata.child("end", ns::MAM),
    );
    assert_eq!(start.unwrap().attr("id"), end.unwrap().attr("id"));
    assert!(end.unwrap().attr("timestamp").is_some());
    phone.close().await.unwrap();
    server.stop().await;
}

#[tokio::test]
async fn a_token_that_is_due_is_replaced_and_good_until_the_next_is_used() {
    let server = start_server(&["modules.fast.rotate=0s"]).await;
    let jid = server.account("alice").await.unwrap();
    let first = token(&server, &jid, NONE).await;
    let lost = come(&server, &jid, &first).await.unwrap();
    assert_ne!(lost.secret, first.secret);
    assert_eq!(lost.mechanism, NONE);
    assert!(lost.expiry >= first.expiry);
    // It did not get it, and comes with the old one; what it did not use is gone.
    let second = come(&server, &jid, &first).await.unwrap();
    assert_eq!(outcome(&server, &jid, &lost).await, "not-authorized");
    let third = come(&server, &jid, &second).await.unwrap();
    assert_eq!(outcome(&server, &jid, &first).await, "not-authorized");
    come(&server, &jid, &third).await.unwrap();
    server.stop().await;
}

#[tokio::test]
async fn a_young_token_stays_and_another_may_be_asked_for() {
    let server = start_server(&[]).await;
    let jid = server.account("alice").await.unwrap();
    let first = token(&server, &jid, NONE).await;
    assert_eq!(come(&server, &jid, &first).await, None);
    let stronger = server
        .client(&jid)
        .token(&first)
        .want_token("HT-SHA-512-EXPR");
    let mut client = back(stronger, &server).await.unwrap();
    let second = client.token.take().unwrap();
    client.close().await.unwrap();
    assert_eq!(come(&server, &jid, &second).await, None);
    assert_eq!(outcome(&server, &jid, &first).await, "not-authorized");
    // Nobody gets one for what is not offered.
    let unknown = server.client(&jid).want_token("HT-SHA-256-UNIQ");
    let client = unknown.connect(server.addr).await.unwrap();
    assert_eq!(client.token, None);
    client.close().await.unwrap();
    server.stop().await;
}

#[tokio::test]
async fn a_client_may_give_its_token_up() {
    let server = start_server(&["modules.fast.rotate=0s"]).await;
    let jid = server.account("alice").await.unwrap();
    let first = token(&server, &jid, NONE).await;
    let leaving = server.client(&jid).token(&first).invalidate();
    let client = back(leaving.clone(), &server).await.unwrap();
    assert_eq!(client.token, None, "none is pressed on it");
    client.close().await.unwrap();
    assert_eq!(outcome(&server, &jid, &first).await, "not-authorized");
    let second = token(&server, &jid, NONE).await;
    let exchanging = server.client(&jid).token(&second).invalidate();
    let mut client = back(exchanging.want_token(NONE), &server).await.unwrap();
    let third = client.token.take().unwrap();
    client.close().await.unwrap();
    assert_eq!(outcome(&server, &jid, &second).await, "not-authorized");
    come(&server, &jid, &third).await;
    server.stop().await;
}

#[tokio::test]
async fn who_counts_is_held_to_it() {
    let server = start_server(&[]).await;
    let jid = server.account("alice").await.unwrap();
    let token = token(&server, &jid, NONE).await;
    let counted = |count: u64| back(server.client(&jid).token(&token).count(count), &server);
    for (count, expected) in [
        (1, "in"),
        (1, "not-authorized"),
        (7, "in"),
        (6, "not-authorized"),
        (0, "not-authorized"),
        (8, "in"),
    ] {
        assert_eq!(condition(counted(count).await), expected, "{count}");
    }
    assert_eq!(outcome(&server, &jid, &token).await, "in");
    server.stop().await;
}

#[tokio::test]
async fn it_belongs_to_one_client_of_one_account() {
    let server = start_server(&[]).await;
    let alice = server.account("alice").await.unwrap();
    let bob = server.account("bob").await.unwrap();
    let nobody = Jid::parse(&format!("nobody@{}", alice.domain())).unwrap();
    let token = token(&server, &alice, NONE).await;
    let other = server.client(&alice).client_id(OTHER).token(&token);
    let unnamed = server.client(&alice).client_id("").token(&token);
    assert_eq!(condition(back(other, &server).await), "not-authorized");
    assert_eq!(condition(back(unnamed, &server).await), "malformed-request");
    // Nobody learns whether there is an account.
    for jid in [&bob, &nobody] {
        assert_eq!(outcome(&server, jid, &token).await, "not-authorized");
    }
    assert_eq!(outcome(&server, &alice, &token).await, "in");
    server.stop().await;
}

#[tokio::test]
async fn a_new_password_or_a_disabled_account_ends_all_tokens() {
    let server = start_server(&[]).await;
    let jid = server.account("alice").await.unwrap();
    let accounts = server.accounts();
    let first = token(&server, &jid, NONE).await;
    let password = waxwing::admin::Password("pencil".to_owned());
    accounts.set_password(&jid, &password).await.unwrap();
    assert_eq!(outcome(&server, &jid, &first).await, "credentials-expired");
    let second = token(&server, &jid, NONE).await;
    accounts.disable(&jid, "a while").await.unwrap();
    assert_eq!(outcome(&server, &jid, &second).await, "credentials-expired");
    accounts.enable(&jid).await.unwrap();
    assert_eq!(outcome(&server, &jid, &second).await, "credentials-expired");
    let third = token(&server, &jid, NONE).await;
    accounts.delete(&jid).await.unwrap();
    assert_eq!(outcome(&server, &jid, &third).await, "not-authorized");
    accounts.create(&jid, &password).await.unwrap();
    assert_eq!(outcome(&server, &jid, &third).await, "not-authorized");
    server.stop().await;
}

#[tokio::test]
async fn it_outlives_a_restart_but_not_the_secret_of_the_installation() {
    let folder = tempfile::tempdir().unwrap();
    let server = start_own(folder, &[], &[]).await.unwrap();
    let jid = server.account("alice").await.unwrap();
    let token = token(&server, &jid, NONE).await;
    let folder = server.stop().await.unwrap();
    let server = start_own(folder, &[], &[]).await.unwrap();
    assert_eq!(outcome(&server, &jid, &token).await, "in");
    let folder = server.stop().await.unwrap();
    // As if the store had been copied elsewhere.
    std::fs::remove_file(folder.path().join("data/local.key")).unwrap();
    let server = start_own(folder, &[], &[]).await.unwrap();
    assert_eq!(outcome(&server, &jid, &token).await, "not-authorized");
    server.stop().await;
}

#[tokio::test]
async fn guesses_are_slowed_like_those_of_passwords() {
    let sets = ["auth.failures_free=1", "auth.delay=300ms"];
    let server = start_server(&sets).await;
    let jid = server.account("alice").await.unwrap();
    let guess = Token {
        secret: "guess".to_owned(),
        expiry: String::new(),
        mechanism: NONE.to_owned(),
    };
    assert_eq!(outcome(&server, &jid, &guess).await, "not-authorized");
    let start = Instant::now();
    assert_eq!(outcome(&server, &jid, &guess).await, "not-authorized");
    assert!(start.elapsed() >= Duration::from_millis(300));
    server.stop().await;
}

#[tokio::test]
async fn it_takes_what_belongs_to_it() {
    let server = start_server(&["modules.fast.unbound=false"]).await;
    let jid = server.account("alice").await.unwrap();
    let client = server.client(&jid).want_token(NONE);
    let client = client.connect(server.addr).await.unwrap();
    assert_eq!(client.token, None, "the administrator wants binding");
    client.close().await.unwrap();
    let token = token(&server, &jid, "HT-SHA-256-EXPR").await;
    // Without <fast/>, and as SASL1.
    let mut client = server.client(&jid).open(server.addr).await.unwrap();
    client.open_stream().await.unwrap();
    client.start_tls().await.unwrap();
    let initial = Element::new("initial-response", ns::SASL2).with_text("YWxpY2UA");
    let bare = Element::new("authenticate", ns::SASL2)
        .with_attr("mechanism", &token.mechanism)
        .with_child(initial);
    client.send(bare).await.unwrap();
    let failure = client.top("failure", ns::SASL2).await.unwrap();
    assert!(failure.has_child("malformed-request", ns::SASL));
    let auth = Element::new("auth", ns::SASL)
        .with_attr("mechanism", &token.mechanism)
        .with_text("YWxpY2UA");
    client.send(auth).await.unwrap();
    let failure = client.top("failure", ns::SASL).await.unwrap();
    assert!(failure.has_child("invalid-mechanism", ns::SASL));
    server.stop().await;
}
