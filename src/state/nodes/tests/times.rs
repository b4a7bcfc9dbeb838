//! When something was published first, and last.

use std::time::Duration;

use super::*;

async fn told(bench: &Bench, node: &str, id: Option<&str>) -> Option<Times> {
    let (owner, node, id) = (
        bench.house.owner,
        node.to_owned(),
        id.map(ToOwned::to_owned),
    );
    let read = bench
        .store
        .reading(move |view| times(view, owner, &node, id.as_deref()));
    read.await.unwrap()
}

#[tokio::test]
async fn what_is_published_again_is_as_old_as_the_first() {
    let bench = Bench::new();
    bench.create("n", &[]).await;
    let made = bench.clock.wall();
    assert_eq!(told(&bench, "n", None).await, None);
    bench.hand.advance(Duration::from_secs(1));
    bench.publish("a@x/r", "n", "one").await.done();
    let first = bench.clock.wall();
    bench.hand.advance(Duration::from_secs(1));
    for id in ["one", "one", "two"] {
        bench.publish("a@x/r", "n", id).await.done();
    }
    let last = bench.clock.wall();
    let of = |first, last| Some(Times { first, last });
    assert_eq!(told(&bench, "n", Some("one")).await, of(Some(first), last));
    assert_eq!(told(&bench, "n", Some("two")).await, of(Some(last), last));
    assert_eq!(told(&bench, "n", None).await, of(Some(made), last));
    assert_eq!(told(&bench, "n", Some("three")).await, None);
    assert_eq!(told(&bench, "other", Some("one")).await, None);
    // Taken back, it begins anew.
    bench
        .set("a@x/r", "<retract node='n'><item id='one'/></retract>")
        .await
        .done();
    assert_eq!(told(&bench, "n", Some("one")).await, None);
    bench.hand.advance(Duration::from_secs(1));
    bench.publish("a@x/r", "n", "one").await.done();
    let again = bench.clock.wall();
    assert_eq!(told(&bench, "n", Some("one")).await, of(Some(again), again));
}
