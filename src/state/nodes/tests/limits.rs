//! Everything is bounded, and says so.

use super::*;
use crate::store::{Direction, Range, Rows, Snapshot, Space, StoreError};

#[tokio::test]
async fn nodes_are_counted_for_who_made_them() {
    let bench = Bench::new();
    for node in ["1", "2", "3"] {
        bench.create(node, &[]).await;
    }
    let more = bench.set("a@x/r", "<create node='4'/>").await;
    assert_eq!(
        more.refusal(),
        refused(Condition::Conflict, "max-nodes-exceeded")
    );
    bench.set("b@x", "<create node='4'/>").await.done();
    bench.rule("a@x", "<delete node='1'/>").await.done();
    bench.create("5", &[]).await;
    let stranger = bench.set("stranger@y", "<create node='6'/>").await;
    assert_eq!(stranger.refusal(), refused(Condition::Forbidden, ""));
}

#[tokio::test]
async fn who_makes_many_nodes_at_once_gets_no_more_than_he_may() {
    let bench = Arc::new(Bench::new());
    let all = (0..8).map(|n| {
        let bench = bench.clone();
        tokio::spawn(async move {
            let create = format!("<create node='{n}'/>");
            bench.set("a@x", &create).await.answer.is_ok()
        })
    });
    let mut made = 0;
    for one in all.collect::<Vec<_>>() {
        made += usize::from(one.await.unwrap());
    }
    assert_eq!(made, 3);
}

#[tokio::test]
async fn payloads_ids_and_all_items_together_are_bounded() {
    let bench = Bench::new();
    bench.create("n", &[("max_items", "max")]).await;
    let big = format!(
        "<publish node='n'><item id='1'><a xmlns='urn:a'>{}</a></item></publish>",
        "x".repeat(1_000)
    );
    let served = bench.set("a@x", &big).await;
    assert_eq!(
        served.refusal(),
        refused(Condition::NotAcceptable, "payload-too-big")
    );
    let long = bench.publish("a@x", "n", &"x".repeat(10_000)).await;
    assert_eq!(long.refusal(), refused(Condition::NotAcceptable, ""));
    let fill = |n: usize| {
        let text = "x".repeat(900);
        format!("<publish node='n'><item id='{n}'><a xmlns='urn:a'>{text}</a></item></publish>")
    };
    let mut published = 0;
    while bench.set("a@x", &fill(published)).await.answer.is_ok() {
        published += 1;
        assert!(published < 30, "nothing stops it");
    }
    let full = bench.set("a@x", &fill(published)).await;
    assert_eq!(full.refusal(), refused(Condition::ResourceConstraint, ""));
    // What makes no more is taken, and what goes makes room.
    bench.set("a@x", &fill(0)).await.done();
    let retract = "<retract node='n'><item id='1'/></retract>";
    bench.set("a@x", retract).await.done();
    bench.set("a@x", &fill(published)).await.done();
}

#[tokio::test]
async fn nothing_has_a_name_of_ten_thousand_bytes() {
    let bench = Bench::with(|house| house.auto_create = true);
    let long = "x".repeat(10_000);
    let refused_as = async |verb, text: String, condition| {
        let served = bench.ask("a@x", verb, ns::PUBSUB, &text).await;
        assert_eq!(served.refusal(), refused(condition, ""), "{text:.40}");
    };
    let create = format!("<create node='{long}'/>");
    refused_as(Verb::Set, create, Condition::NotAcceptable).await;
    let publish = format!("<publish node='{long}'>{}</publish>", item("1"));
    refused_as(Verb::Set, publish, Condition::ItemNotFound).await;
    let items = format!("<items node='{long}'/>");
    refused_as(Verb::Get, items, Condition::ItemNotFound).await;
    bench.create("n", &[]).await;
    let retract = format!("<retract node='n'><item id='{long}'/></retract>");
    refused_as(Verb::Set, retract, Condition::ItemNotFound).await;
    let after = format!(
        "<items node='n'/><set xmlns='http://jabber.org/protocol/rsm'><after>{long}</after></set>"
    );
    refused_as(Verb::Get, after, Condition::ItemNotFound).await;
    let some = format!("<items node='n'><item id='{long}'/></items>");
    bench.get("a@x", &some).await.done();
}

#[tokio::test]
async fn subscriptions_are_bounded_for_nodes_and_entities() {
    let bench = Bench::new();
    bench.create("n", &[]).await;
    for n in 0..5 {
        let text = format!("<subscribe node='n' jid='s{n}@x'/>");
        bench.set(&format!("s{n}@x"), &text).await.done();
    }
    let more = bench.set("b@x", "<subscribe node='n' jid='b@x'/>").await;
    assert_eq!(
        more.refusal(),
        refused(Condition::PolicyViolation, "too-many-subscriptions")
    );
    bench
        .set("s1@x", "<unsubscribe node='n' jid='s1@x'/>")
        .await
        .done();
    bench
        .set("b@x", "<subscribe node='n' jid='b@x'/>")
        .await
        .done();
    let guest = bench
        .set("guest@x", "<subscribe node='n' jid='guest@x'/>")
        .await;
    assert_eq!(guest.refusal(), refused(Condition::Forbidden, ""));
}

#[tokio::test]
async fn subscriptions_that_are_over_make_room() {
    let bench = Bench::new();
    let end = crate::proto::datetime::format(bench.clock.wall() + 60_000);
    let options = form(
        "http://jabber.org/protocol/pubsub#subscribe_options",
        &[("expire", &end)],
    );
    bench.create("n", &[]).await;
    for n in 0..5 {
        let text = format!("<subscribe node='n' jid='s{n}@x'/><options>{options}</options>");
        bench.set(&format!("s{n}@x"), &text).await.done();
    }
    let subscribe = "<subscribe node='n' jid='b@x'/>";
    assert!(bench.set("b@x", subscribe).await.answer.is_err());
    bench.hand.advance(std::time::Duration::from_secs(61));
    for who in ["b", "c", "d", "e", "f"] {
        let text = format!("<subscribe node='n' jid='{who}@x'/>");
        bench.set(&format!("{who}@x"), &text).await.done();
    }
    assert!(
        bench
            .set("g@x", "<subscribe node='n' jid='g@x'/>")
            .await
            .answer
            .is_err()
    );
    assert_eq!(bench.publish("a@x", "n", "1").await.told().len(), 5);
}

#[tokio::test]
async fn affiliations_of_a_node_are_bounded() {
    let bench = Bench::new();
    bench.create("n", &[]).await;
    let entries: String = (0..4)
        .map(|n| format!("<affiliation jid='s{n}@x' affiliation='member'/>"))
        .collect();
    let text = format!("<affiliations node='n'>{entries}</affiliations>");
    let more = bench.rule("a@x", &text).await;
    assert_eq!(more.refusal(), refused(Condition::ResourceConstraint, ""));
}

#[tokio::test]
async fn answers_come_in_pages() {
    let bench = Bench::new();
    bench.create("n", &[("max_items", "max")]).await;
    for n in 0..25 {
        bench.publish("a@x", "n", &format!("{n:02}")).await.done();
    }
    let answer = bench.get("a@x", "<items node='n'/>").await.done().unwrap();
    let items = answer.child("items", ns::PUBSUB).unwrap();
    assert_eq!(items.children().count(), 10);
    let set = answer.child("set", ns::RSM).unwrap();
    assert_eq!(set.child("last", ns::RSM).unwrap().text(), "09");
    assert_eq!(set.child("count", ns::RSM).unwrap().text(), "25");
    let mut seen = Vec::new();
    let mut after = String::new();
    loop {
        let ask = format!(
            "<items node='n'/><set xmlns='http://jabber.org/protocol/rsm'><max>7</max>{after}</set>"
        );
        let answer = bench.get("a@x", &ask).await.done().unwrap();
        let items = answer.child("items", ns::PUBSUB).unwrap();
        let page: Vec<_> = items
            .children()
            .map(|i| i.attr("id").unwrap().to_owned())
            .collect();
        let Some(last) = page.last() else { break };
        after = format!("<after>{last}</after>");
        seen.extend(page);
    }
    let all: Vec<_> = (0..25).map(|n| format!("{n:02}")).collect();
    assert_eq!(seen, all);
}

/// Counts what is read.
struct Counting<'a> {
    view: &'a dyn Snapshot,
    rows: std::sync::atomic::AtomicUsize,
}

impl Counting<'_> {
    fn add(&self, rows: usize) {
        self.rows
            .fetch_add(rows, std::sync::atomic::Ordering::Relaxed);
    }
}

impl Snapshot for Counting<'_> {
    fn get(&self, space: Space, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.add(1);
        self.view.get(space, key)
    }

    fn scan(
        &self,
        space: Space,
        range: &Range,
        direction: Direction,
        limit: usize,
    ) -> Result<Rows, StoreError> {
        let rows = self.view.scan(space, range, direction, limit)?;
        self.add(rows.len());
        Ok(rows)
    }

    fn page(&self, space: Space, range: &Range, bytes: usize) -> Result<Rows, StoreError> {
        let rows = self.view.page(space, range, bytes)?;
        self.add(rows.len());
        Ok(rows)
    }
}

struct Numbers;

impl Fresh for Numbers {
    fn number(&self) -> u64 {
        1
    }
    fn id(&self) -> String {
        "id".to_owned()
    }
}

#[tokio::test]
async fn publishing_reads_no_more_where_there_is_more() {
    let mut read = Vec::new();
    for most in ["20", "400"] {
        let bench = Bench::with(|house| {
            house.limits.items = 1_000;
            house.limits.bytes = 1_000_000;
        });
        bench.create("n", &[("max_items", most)]).await;
        // Full, and more than that: the oldest goes with every item that comes.
        for n in 0..most.parse::<usize>().unwrap() + 10 {
            bench.publish("a@x", "n", &n.to_string()).await.done();
        }
        let frozen = bench.store.frozen().unwrap();
        let view = Counting {
            view: &frozen,
            rows: Default::default(),
        };
        let text = format!(
            "<pubsub xmlns='{}'><publish node='n'>{}</publish></pubsub>",
            ns::PUBSUB,
            item("new")
        );
        let pubsub = parse(text.as_bytes(), &Context::client(), &XmlLimits::STORED).unwrap();
        let actor = Actor {
            jid: jid("a@x"),
            may_create: true,
            guest: false,
        };
        let scene = Scene {
            view: &view,
            house: &bench.house,
            actor: &actor,
            now: bench.clock.wall(),
            fresh: &Numbers,
        };
        let outcome = handle(scene, Verb::Set, pubsub.root()).unwrap();
        assert!(outcome.answer.is_ok());
        read.push(view.rows.into_inner());
    }
    assert_eq!(read.first(), read.last());
    assert!(read.iter().all(|rows| *rows < 50), "{read:?}");
}
