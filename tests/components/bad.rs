//! Components that misbehave: each costs its own stream and nobody else's.

use std::time::Duration;

use waxwing::proto::{StreamCondition, ns};

use super::*;

/// The stream error that ends a component's stream.
async fn ends(component: &mut Client) -> StreamCondition {
    let error = component.wait_for("the end", |el| el.is("error", ns::STREAM));
    error.await.unwrap();
    component.stream_error.as_ref().unwrap().condition
}

async fn opened(server: &Running, domain: &str) -> Client {
    let address = server.own().component_addresses()[0];
    builder(domain).open(address).await.unwrap()
}

#[tokio::test]
async fn a_wrong_secret() {
    let server = start("").await;
    let address = server.own().component_addresses()[0];
    let wrong = Client::builder(PLAYS, "guessed").security(Security::Plain);
    let Err(Error::Stream(error)) = wrong.attach(address).await else {
        panic!("it came in");
    };
    assert_eq!(error.condition, StreamCondition::NotAuthorized);
    let samples = server.own().metrics().samples();
    let labels = [("reason", "secret")];
    let counted = samples.value("waxwing_component_refusals_total", &labels);
    assert_eq!(counted, Some(1.0));
}

#[tokio::test]
async fn a_host_that_is_no_component() {
    let server = start("").await;
    for domain in ["stranger.localhost", "localhost"] {
        let mut component = opened(&server, domain).await;
        component.open_component().await.unwrap();
        assert_eq!(ends(&mut component).await, StreamCondition::HostUnknown);
    }
}

#[tokio::test]
async fn a_client_at_the_wrong_port() {
    let server = start("").await;
    let mut client = opened(&server, PLAYS).await;
    client
        .send("<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' to='plays.localhost' version='1.0'>")
        .await
        .unwrap();
    assert_eq!(ends(&mut client).await, StreamCondition::InvalidNamespace);
}

#[tokio::test]
async fn stanzas_before_the_handshake() {
    let server = start("").await;
    let mut component = opened(&server, PLAYS).await;
    component.open_component().await.unwrap();
    let message = chat(Some(PLAYS), &jid("romeo@localhost"), "now");
    component.send(message).await.unwrap();
    assert_eq!(ends(&mut component).await, StreamCondition::NotAuthorized);
}

#[tokio::test]
async fn words_of_somebody_else() {
    let server = start("").await;
    let mut romeo = online(&server, "romeo").await;
    let strangers = [
        "localhost",
        "juliet@localhost",
        "hamlet@sub.plays.localhost",
        "hamlet@notplays.localhost",
        "@",
    ];
    for from in strangers {
        let mut plays = attach(&server, PLAYS).await.unwrap();
        let spoofed = format!(
            "<message from='{from}' to='{}'><body>trust me</body></message>",
            romeo.jid
        );
        plays.send(&*spoofed).await.unwrap();
        assert_eq!(ends(&mut plays).await, StreamCondition::InvalidFrom);
        // The server has seen the end; the next one comes in.
        drop(plays);
    }
    romeo
        .expect_nothing(Duration::from_millis(200))
        .await
        .unwrap();
}

#[tokio::test]
async fn a_stanza_for_nobody_is_answered() {
    let server = start("").await;
    let mut plays = attach(&server, PLAYS).await.unwrap();
    plays
        .send("<message from='hamlet@plays.localhost' id='m'><body>?</body></message>")
        .await
        .unwrap();
    let answer = next(&mut plays, "message").await;
    assert_eq!(condition(&answer), "bad-request");
    assert_eq!(answer.attr("to"), Some("hamlet@plays.localhost"));
}

#[tokio::test]
async fn two_at_once() {
    let server = start("").await;
    let mut first = attach(&server, PLAYS).await.unwrap();
    let Err(Error::Stream(error)) = attach(&server, PLAYS).await else {
        panic!("the second came in");
    };
    assert_eq!(error.condition, StreamCondition::Conflict);
    let mut romeo = online(&server, "romeo").await;
    romeo.send(chat(None, &jid(PLAYS), "first")).await.unwrap();
    assert_eq!(body(&next(&mut first, "message").await), "first");

    let server = start("conflict = \"replace\"").await;
    let mut first = attach(&server, PLAYS).await.unwrap();
    let mut second = attach(&server, PLAYS).await.unwrap();
    assert_eq!(ends(&mut first).await, StreamCondition::Conflict);
    let mut romeo = online(&server, "romeo").await;
    romeo.send(chat(None, &jid(PLAYS), "second")).await.unwrap();
    assert_eq!(body(&next(&mut second, "message").await), "second");
}

#[tokio::test]
async fn a_huge_stanza() {
    let server = start("").await;
    let mut plays = attach(&server, PLAYS).await.unwrap();
    let text = "x".repeat(600 * 1024);
    let message = chat(Some(PLAYS), &jid("romeo@localhost"), &text);
    // The server may close before it has read everything.
    let _ = plays.send(message).await;
    assert_eq!(ends(&mut plays).await, StreamCondition::PolicyViolation);
}

/// Who floods is read more slowly, and loses nothing; others are served meanwhile.
#[tokio::test]
async fn a_flood() {
    let server = start("[limits.component]\nstanzas_per_second = 100").await;
    let mut plays = attach(&server, PLAYS).await.unwrap();
    let mut romeo = online(&server, "romeo").await;
    let juliet = online(&server, "juliet").await;
    let to = juliet.jid.clone();
    let flood = tokio::spawn(async move {
        for n in 0..600 {
            let word = presence(
                waxwing::proto::PresenceType::Available,
                Some("hamlet@plays.localhost/1"),
                &to,
            );
            plays.send(word.with_id(n.to_string())).await.unwrap();
        }
        plays
    });
    let ping = waxwing::xml::Element::new("ping", ns::PING);
    for _ in 0..20 {
        romeo.request("get", None, ping.clone()).await.unwrap();
    }
    let plays = flood.await.unwrap();
    assert!(!plays.is_over());
    assert!(server.figure("waxwing_rate_pauses_total") > 0.0);
}

/// What a component does not read is kept on disk if it must arrive, and goes back if not; the server holds a bounded part.
#[tokio::test]
async fn one_that_never_reads() {
    // Romeo is to be as fast as he can: what he sends is what piles up.
    let fast = "patience = \"100ms\"\n[limits.session]\nbytes_per_second = \"1GiB\"\nbytes_burst = \"1GiB\"";
    let server = start(fast).await;
    let plays = attach(&server, PLAYS).await.unwrap();
    let mut romeo = online(&server, "romeo").await;
    let hamlet = jid("hamlet@plays.localhost");
    let text = "y".repeat(50 * 1024);
    for n in 0..300 {
        let message = chat(None, &hamlet, &text);
        romeo.send(message.with_id(n.to_string())).await.unwrap();
    }
    romeo
        .request("get", None, waxwing::xml::Element::new("ping", ns::PING))
        .await
        .unwrap();
    let mut plays = plays;
    for n in 0..300 {
        let got = next(&mut plays, "message").await;
        assert_eq!(got.attr("id"), Some(&*n.to_string()));
    }
}
