//! XEP-0060 §12.4: events that come back.

use std::time::Duration;

use super::*;
use crate::proto::error::StanzaError;

impl Bench {
    async fn bounce(&self, from: &str, condition: Condition, own: bool) -> Served {
        let actor = Arc::new(Actor {
            jid: jid(from),
            may_create: false,
            guest: false,
        });
        let error = StanzaError::from(condition);
        let bounced =
            move |scene: Scene<'_>| crate::state::nodes::bounces::bounced(scene, &error, own);
        self.desk.act(&self.house, &actor, bounced).await
    }

    /// Who hears of the next item.
    async fn heard(&self) -> Vec<String> {
        self.publish("a@x", "n", "1").await.told()
    }

    async fn subscribed(&self, who: &[&str]) {
        self.create("n", &[("notify_sub", "1")]).await;
        for jid in who {
            let subscribe = format!("<subscribe node='n' jid='{jid}'/>");
            self.set(jid, &subscribe).await.done();
        }
    }

    async fn days(&self, days: u64) {
        self.hand.advance(Duration::from_secs(days * 24 * 60 * 60));
    }
}

#[tokio::test]
async fn who_is_gone_is_subscribed_no_more() {
    let bench = Bench::new();
    bench
        .subscribed(&["b@y", "b@y/r", "c@y/r", "c@y/s", "d@y"])
        .await;
    let served = bench.bounce("b@y", Condition::Gone, false).await;
    assert_eq!(served.told(), ["a@x subscription", "a@x subscription"]);
    // A resource that is gone says nothing of others.
    bench
        .bounce("c@y/r", Condition::ItemNotFound, false)
        .await
        .done();
    assert_eq!(
        bench.heard().await,
        ["c@y/s items item:1", "d@y items item:1"]
    );
    bench
        .set("b@y", "<subscribe node='n' jid='b@y'/>")
        .await
        .done();
    assert_eq!(bench.heard().await.len(), 3);
}

#[tokio::test]
async fn an_account_of_this_server_that_is_not_there_is_gone() {
    let bench = Bench::new();
    bench.subscribed(&["b@x"]).await;
    bench
        .bounce("b@x", Condition::ServiceUnavailable, true)
        .await
        .done();
    assert!(bench.heard().await.is_empty());
}

#[tokio::test]
async fn who_cannot_be_reached_stays_for_some_days() {
    let bench = Bench::new();
    bench.subscribed(&["b@y"]).await;
    let away = Condition::RemoteServerTimeout;
    for _ in 0..100 {
        bench.bounce("b@y", away, false).await.done();
    }
    bench.days(1).await;
    bench.bounce("b@y", away, false).await.done();
    assert_eq!(bench.heard().await, ["b@y items item:1"]);
    // What was long ago is forgotten, and so is everything if the subscriber shows himself.
    bench.days(15).await;
    for day in 0..2 {
        bench.bounce("b@y", away, false).await.done();
        assert_eq!(bench.heard().await, ["b@y items item:1"], "{day}");
        bench.days(1).await;
    }
    bench
        .set("b@y", "<subscribe node='n' jid='b@y'/>")
        .await
        .done();
    for left in [1, 1, 0] {
        bench.bounce("b@y", away, false).await.done();
        assert_eq!(bench.heard().await.len(), left);
        bench.days(1).await;
    }
}

#[tokio::test]
async fn nobody_ends_what_is_another_s() {
    let bench = Bench::new();
    bench.subscribed(&["b@y", "c@y"]).await;
    for other in ["d@y", "y", "b@z"] {
        bench.bounce(other, Condition::Gone, false).await.done();
    }
    assert_eq!(bench.heard().await.len(), 2);
    // One resource does not end what its account subscribed.
    bench.bounce("b@y/r", Condition::Gone, false).await.done();
    assert_eq!(bench.heard().await.len(), 2);
}
