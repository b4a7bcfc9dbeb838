//! What emptied and deleted nodes leave, and how it goes.

use super::*;
use crate::store::Space;

const ALL: [Space; 9] = [
    Space::NODE,
    Space::NODE_ITEM,
    Space::NODE_ITEM_PLACE,
    Space::NODE_SUBSCRIPTION,
    Space::NODE_AFFILIATION,
    Space::NODE_TOTALS,
    Space::NODE_TIE,
    Space::NODE_GONE,
    Space::NODE_USAGE,
];

async fn used(bench: &Bench, what: record::Used, by: &'static str) -> u64 {
    let owner = bench.house.owner;
    let used = bench
        .store
        .reading(move |view| record::used(view, owner, what, by));
    used.await.unwrap()
}

#[tokio::test]
async fn an_emptied_node_is_empty_at_once_and_erased_later() {
    let bench = Bench::new();
    bench.create("n", &[]).await;
    for id in ["1", "2", "3"] {
        bench.publish("a@x", "n", id).await.done();
    }
    bench
        .set("b@x", "<subscribe node='n' jid='b@x'/>")
        .await
        .done();
    let served = bench.rule("a@x", "<purge node='n'/>").await;
    assert_eq!(served.told(), ["b@x purge"]);
    assert_eq!(bench.ids("a@x", "n").await, [] as [&str; 0]);
    assert_eq!(used(&bench, record::Used::Bytes, "").await, 0);
    let unknown = bench
        .set("a@x", "<retract node='n'><item id='1'/></retract>")
        .await;
    assert_eq!(unknown.refusal(), refused(Condition::ItemNotFound, ""));
    // What is published before it is erased, also under an old id, stays.
    bench.publish("a@x", "n", "2").await.done();
    bench.publish("a@x", "n", "4").await.done();
    assert_eq!(bench.rows(Space::NODE_ITEM).await, 5);
    bench.desk.erase().await;
    assert_eq!(bench.rows(Space::NODE_ITEM).await, 2);
    assert_eq!(bench.rows(Space::NODE_ITEM_PLACE).await, 2);
    assert_eq!(bench.rows(Space::NODE_GONE).await, 0);
    assert_eq!(bench.ids("a@x", "n").await, ["2", "4"]);
}

#[tokio::test]
async fn a_deleted_node_leaves_nothing() {
    let bench = Bench::new();
    bench.create("n", &[]).await;
    bench.publish("a@x", "n", "1").await.done();
    bench
        .set("b@x", "<subscribe node='n' jid='b@x/r'/>")
        .await
        .done();
    let served = bench.rule("a@x", "<delete node='n'/>").await;
    assert_eq!(served.told(), ["b@x/r delete"]);
    // A node of the same name has nothing of the old one, erased or not.
    bench.create("n", &[]).await;
    assert_eq!(bench.ids("a@x", "n").await, [] as [&str; 0]);
    let subscriptions = bench.get("b@x", "<subscriptions/>").await.done().unwrap();
    assert_eq!(
        subscriptions.children().next().unwrap().children().count(),
        0
    );
    bench.rule("a@x", "<delete node='n'/>").await.done();
    bench.desk.erase().await;
    for space in ALL.into_iter().filter(|space| *space != Space::NODE_USAGE) {
        assert_eq!(bench.rows(space).await, 0, "{space}");
    }
    assert_eq!(used(&bench, record::Used::Bytes, "").await, 0);
    assert_eq!(used(&bench, record::Used::Nodes, "a@x").await, 0);
}

#[tokio::test]
async fn a_node_that_moved_says_where_to() {
    let bench = Bench::new();
    bench.create("n", &[]).await;
    let delete = "<delete node='n'><redirect uri='xmpp:b@x?;node=blog'/></delete>";
    bench.rule("a@x", delete).await.done();
    for ask in ["<items node='n'/>", "<default node='n'/>"] {
        let served = bench.get("b@x", ask).await;
        let error = &served.answer.as_ref().unwrap_err().error;
        assert_eq!(error.condition, Condition::Gone);
        assert_eq!(error.uri.as_deref(), Some("xmpp:b@x?;node=blog"));
    }
    bench.desk.erase().await;
    bench.create("n", &[]).await;
    bench.publish("a@x", "n", "1").await.done();
    assert_eq!(used(&bench, record::Used::Nodes, "a@x").await, 1);
}

#[tokio::test]
async fn a_service_keeps_its_number() {
    let bench = Bench::new();
    let domain = jid("pubsub.x");
    let number = number_of(&bench.store, &domain).await.unwrap();
    assert_eq!(number_of(&bench.store, &domain).await.unwrap(), number);
    assert_ne!(
        number_of(&bench.store, &jid("other.x")).await.unwrap(),
        number
    );
    let known = bench.store.reading(move |view| is_host(view, number)).await;
    assert!(known.unwrap());
}

#[tokio::test]
async fn a_smaller_node_keeps_its_newest_items() {
    for (most, all) in [(3, 120), (110, 230)] {
        let bench = Bench::with(|house| {
            house.limits.items = 1_000;
            house.limits.page = 1_000;
        });
        bench.create("n", &[("max_items", "max")]).await;
        for n in 0..all {
            bench.publish("a@x", "n", &format!("{n:03}")).await.done();
        }
        let most_items = most.to_string();
        let smaller = form(NODE_CONFIG, &[("max_items", &most_items)]);
        let configure = format!("<configure node='n'>{smaller}</configure>");
        bench.rule("a@x", &configure).await.done();
        let newest: Vec<_> = (all - most..all).map(|n| format!("{n:03}")).collect();
        assert_eq!(bench.ids("a@x", "n").await, newest);
        // Each is as large as its id and payload.
        let one = 3 + "<a xmlns='urn:a'>000</a>".len() as u64;
        assert_eq!(used(&bench, record::Used::Bytes, "").await, most * one);
        bench.desk.erase().await;
        assert_eq!(bench.rows(Space::NODE_ITEM).await as u64, most);
        assert_eq!(bench.rows(Space::NODE_ITEM_PLACE).await as u64, most);
    }
}
