//! The blacklist of a domain (XEP-0133 §4.11) between two servers: nothing passes in either direction, of any kind.

use std::time::Duration;

use waxwing::admin::command::ask;
use waxwing::admin::{Caller, Report, Rights};
use waxwing::hooks::command::{Given, Values};
use waxwing::proto::ns;
use waxwing::xml::Element;

use super::links::two;
use super::world::{Authority, Site, body, chat, error_text, next_message, online};
use crate::support::server::Running;

const QUIET: Duration = Duration::from_millis(400);

/// What `waxwing blacklist edit` does.
async fn edit(server: &Running, change: &str, entry: &str) {
    let (report, mut lines) = Report::new();
    let caller = Caller {
        name: "a test".to_owned(),
        jid: None,
        rights: Rights::Server,
    };
    let given = Given::from([(change.to_owned(), Values(vec![entry.to_owned()]))]);
    let acts = server.own().acts();
    let work = async move { ask("blacklist edit", &given, &caller, acts, &report).await };
    let (done, ()) = tokio::join!(work, async { while lines.recv().await.is_some() {} });
    done.unwrap();
}

#[tokio::test]
async fn a_domain_on_the_blacklist_is_neither_heard_nor_told_anything() {
    let two = two(|_| {}).await;
    let mut alice = online(&two.a, &two.alice).await;
    let mut bob = online(&two.b, &two.bob).await;
    alice.send(chat(&two.bob, "before")).await.unwrap();
    assert_eq!(body(&next_message(&mut bob).await), "before");
    edit(&two.a, "add", "b.example").await;

    alice.send(chat(&two.bob, "out")).await.unwrap();
    let refused = next_message(&mut alice).await;
    assert!(
        error_text(&refused).contains("does not allow"),
        "{refused:?}"
    );
    let subscribe = format!("<presence type='subscribe' to='{}' id='s'/>", two.bob);
    alice.send(subscribe.as_str()).await.unwrap();
    let refused = alice
        .wait_for("a refusal", |el| el.attr("id") == Some("s"))
        .await
        .unwrap();
    assert_eq!(refused.attr("type"), Some("error"));
    let asks = |to: &str, id: &str| {
        format!(
            "<iq type='get' to='{to}' id='{id}'><query xmlns='{}'/></iq>",
            ns::DISCO_INFO
        )
    };
    alice.send(asks("b.example", "q1").as_str()).await.unwrap();
    let refused = alice
        .wait_for("a refusal", |el| el.attr("id") == Some("q1"))
        .await
        .unwrap();
    assert_eq!(refused.attr("type"), Some("error"));

    bob.send(chat(&two.alice, "in")).await.unwrap();
    let subscribe = format!("<presence type='subscribe' to='{}' id='s'/>", two.alice);
    bob.send(subscribe.as_str()).await.unwrap();
    for (to, id) in [(two.alice.as_str(), "q2"), ("a.example", "q3")] {
        bob.send(asks(to, id).as_str()).await.unwrap();
    }
    let sees_answer = |el: &Element| {
        el.attr("id").is_some_and(|id| id.starts_with('q')) || el.attr("type") == Some("error")
    };
    alice.expect_nothing(QUIET).await.unwrap();
    while let Some(element) = bob.next(Duration::from_millis(10)).await {
        assert!(!sees_answer(&element), "{element:?}");
    }
    edit(&two.a, "remove", "b.example").await;
    bob.send(chat(&two.alice, "again")).await.unwrap();
    assert_eq!(body(&next_message(&mut alice).await), "again");
    alice.send(chat(&two.bob, "and back")).await.unwrap();
    assert_eq!(body(&next_message(&mut bob).await), "and back");
}

/// What was kept for a server that was away does not go out either.
#[tokio::test]
async fn what_waited_goes_back() {
    let authority = Authority::new();
    let site_a = Site::new(&authority, "a.example");
    let site_b = Site::new(&authority, "b.example");
    let a = site_a.start(&authority, &[&site_b]).await;
    let b = site_b.start(&authority, &[&site_a]).await;
    let alice = a.account("alice").await.unwrap();
    let bob = b.account("bob").await.unwrap();
    let mut alice = online(&a, &alice).await;
    let folder = b.stop().await.unwrap();
    alice.send(chat(&bob, "late")).await.unwrap();
    alice.roster().await.unwrap();
    edit(&a, "add", "b.example").await;
    let b = site_b.start_in(folder, &authority, &[&site_a]).await;
    let mut bob = online(&b, &bob).await;
    let refused = next_message(&mut alice).await;
    assert!(
        error_text(&refused).contains("does not allow"),
        "{refused:?}"
    );
    bob.expect_nothing(QUIET).await.unwrap();
}
