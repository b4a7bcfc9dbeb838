//! The module of `examples/module_outside.rs`, at work.

#[allow(dead_code)]
#[path = "../../examples/module_outside.rs"]
mod example;

use std::time::Duration;

use waxwing::hooks::Listed;

use super::{body, chat, next_message, online, refusal, server};

const MODULES: &[Listed] = example::MODULES;

#[tokio::test]
async fn who_writes_to_somebody_away_is_told_once() {
    let sets = ["hosts.localhost.modules.away.text=Gone fishing"];
    let server = server(MODULES, &sets).await.unwrap();
    let alice = server.account("alice").await.unwrap();
    let bob = server.account("bob").await.unwrap();
    let mut alice_phone = online(&server, &alice, "phone").await;
    alice_phone.send(chat(&bob, "one")).await.unwrap();
    let told = next_message(&mut alice_phone).await;
    assert_eq!(body(&told), "Gone fishing");
    assert_eq!(told.attr("from"), Some(bob.as_str()));
    alice_phone.send(chat(&bob, "two")).await.unwrap();
    let while_quiet = Duration::from_millis(150);
    alice_phone.expect_nothing(while_quiet).await.unwrap();

    let mut bob_phone = online(&server, &bob, "phone").await;
    assert_eq!(body(&next_message(&mut bob_phone).await), "one");
    assert_eq!(body(&next_message(&mut bob_phone).await), "two");
    alice_phone.send(chat(&bob, "three")).await.unwrap();
    assert_eq!(body(&next_message(&mut bob_phone).await), "three");
    alice_phone.expect_nothing(while_quiet).await.unwrap();
    for client in [alice_phone, bob_phone] {
        client.close().await.unwrap();
    }
    server.stop().await;
}

#[tokio::test]
async fn it_must_have_something_to_say() {
    assert_eq!(
        refusal(MODULES, &["modules.away.text= "]).await,
        "localhost: module away: `text` says nothing; write something, or `enabled = false`"
    );
}
