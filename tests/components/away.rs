//! While a component is away: messages are kept and come in order, over a restart; the rest waits a moment and goes back.

use std::time::Duration;

use waxwing::proto::{PresenceType, ns};
use waxwing::xml::Element;

use super::*;

const IMPATIENT: &str = "patience = \"100ms\"";

#[tokio::test]
async fn messages_wait_and_come_in_order() {
    let server = start(IMPATIENT).await;
    let mut romeo = online(&server, "romeo").await;
    let hamlet = jid("hamlet@plays.localhost");
    for n in 0..250 {
        romeo
            .send(chat(None, &hamlet, &n.to_string()))
            .await
            .unwrap();
    }
    romeo
        .request("get", None, Element::new("ping", ns::PING))
        .await
        .unwrap();
    let mut plays = attach(&server, PLAYS).await.unwrap();
    for n in 0..250 {
        assert_eq!(body(&next(&mut plays, "message").await), n.to_string());
    }
    // And what comes now follows.
    romeo.send(chat(None, &hamlet, "now")).await.unwrap();
    assert_eq!(body(&next(&mut plays, "message").await), "now");
}

#[tokio::test]
async fn what_waits_outlives_a_restart_and_comes_once() {
    let server = start(IMPATIENT).await;
    let mut romeo = online(&server, "romeo").await;
    let hamlet = jid("hamlet@plays.localhost");
    for text in ["one", "two"] {
        romeo.send(chat(None, &hamlet, text)).await.unwrap();
    }
    romeo
        .request("get", None, Element::new("ping", ns::PING))
        .await
        .unwrap();
    drop(romeo);
    let folder = server.stop().await.unwrap();
    let server = start_in(folder, IMPATIENT).await;
    let mut plays = attach(&server, PLAYS).await.unwrap();
    for text in ["one", "two"] {
        assert_eq!(body(&next(&mut plays, "message").await), text);
    }
    plays.close().await.unwrap();
    let mut plays = loop {
        // The server hears of the end of the first stream by itself.
        match attach(&server, PLAYS).await {
            Ok(plays) => break plays,
            Err(_) => tokio::task::yield_now().await,
        }
    };
    let nothing = plays.expect_nothing(Duration::from_millis(300)).await;
    nothing.unwrap();
}

#[tokio::test]
async fn questions_and_entering_presence_go_back_after_a_while() {
    let server = start(IMPATIENT).await;
    let mut romeo = online(&server, "romeo").await;
    let ping = Element::new("ping", ns::PING);
    let error = romeo.request("get", Some(PLAYS), ping).await.unwrap_err();
    assert!(
        error.to_string().contains("remote-server-timeout"),
        "{error}"
    );
    let room = jid("room@plays.localhost/romeo");
    romeo
        .send(presence(PresenceType::Available, None, &room))
        .await
        .unwrap();
    let refused = next(&mut romeo, "presence").await;
    assert_eq!(refused.attr("from"), Some(room.as_str()));
    assert_eq!(condition(&refused), "remote-server-timeout");
}

#[tokio::test]
async fn a_question_waits_for_a_component_that_comes_back_in_time() {
    let server = start("patience = \"30s\"").await;
    let mut romeo = online(&server, "romeo").await;
    let asked = Element::new("iq", ns::CLIENT)
        .with_attr("type", "get")
        .with_attr("id", "q")
        .with_attr("to", PLAYS)
        .with_child(Element::new("ping", ns::PING));
    romeo.send(asked).await.unwrap();
    let mut plays = attach(&server, PLAYS).await.unwrap();
    assert_eq!(next(&mut plays, "iq").await.attr("id"), Some("q"));
}

#[tokio::test]
async fn what_was_not_fetched_for_too_long_goes_back() {
    let more = "patience = \"100ms\"\ngive_up_after = \"1s\"";
    let server = start(more).await;
    let mut romeo = online(&server, "romeo").await;
    let hamlet = jid("hamlet@plays.localhost");
    romeo.send(chat(None, &hamlet, "one")).await.unwrap();
    // Each vain wait looks at what is too old: after the first pause it is.
    let returned = tokio::time::timeout(Duration::from_secs(30), async {
        loop {
            if let Some(el) = romeo.next(Duration::from_secs(1)).await
                && el.is("message", ns::CLIENT)
            {
                break el;
            }
        }
    });
    let returned = returned.await.unwrap();
    assert_eq!(returned.attr("from"), Some(hamlet.as_str()));
    assert_eq!(condition(&returned), "remote-server-timeout");
}

#[tokio::test]
async fn no_more_is_kept_than_configured() {
    let server = start("patience = \"100ms\"\nqueue_messages = 3").await;
    let mut romeo = online(&server, "romeo").await;
    let hamlet = jid("hamlet@plays.localhost");
    for text in ["1", "2", "3", "4"] {
        romeo.send(chat(None, &hamlet, text)).await.unwrap();
        romeo
            .request("get", None, Element::new("ping", ns::PING))
            .await
            .unwrap();
    }
    let refused = next(&mut romeo, "message").await;
    assert_eq!(refused.attr("id"), Some("4"));
    assert_eq!(condition(&refused), "resource-constraint");
}
