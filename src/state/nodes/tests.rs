//! The engine by itself: requests in, answers, what is told, and what lies in the store.
#![allow(clippy::unwrap_used, clippy::panic)]

mod archive;
mod attachments;
mod bounces;
mod config;
mod garbage;
mod limits;
mod reach;
mod relations;
mod times;

use std::sync::Arc;

use super::*;
use crate::runtime::clock::{Clock, Hand};
use crate::store::{Options, Store, testing};
use crate::xml::{Context, Limits as XmlLimits, parse};

/// A house of nodes over a store in memory.
struct Bench {
    store: Store,
    desk: Desk,
    house: Arc<House>,
    clock: Clock,
    hand: Hand,
}

/// Bounds that tests can reach.
fn limits() -> Limits {
    Limits {
        nodes: 3,
        items: 50,
        payload: 1_000,
        bytes: 20_000,
        subscriptions: 5,
        subscriptions_each: 4,
        affiliations: 4,
        page: 10,
        lease: 1_000_000,
        bounces: 3,
        related: Related::default(),
    }
}

fn jid(text: &str) -> Jid {
    Jid::parse(text).unwrap()
}

impl Bench {
    fn new() -> Bench {
        Bench::with(|_| ())
    }

    fn with(change: impl FnOnce(&mut House)) -> Bench {
        let (clock, hand) = Clock::manual();
        let store =
            Store::with_engine(testing::memory(), Options::memory(), clock.clone()).unwrap();
        let mut house = House {
            owner: Uid(7),
            address: jid("pubsub.x"),
            kind: Kind::Service,
            defaults: Config::service(),
            limits: limits(),
            auto_create: false,
            archives: true,
        };
        change(&mut house);
        Bench {
            desk: Desk::new(store.clone(), clock.clone()),
            store,
            clock,
            house: Arc::new(house),
            hand,
        }
    }

    async fn ask(&self, who: &str, verb: Verb, ns: &str, inside: &str) -> Served {
        let text = format!("<pubsub xmlns='{ns}'>{inside}</pubsub>");
        let pubsub = parse(text.as_bytes(), &Context::client(), &XmlLimits::STORED).unwrap();
        let actor = Arc::new(Actor {
            jid: jid(who),
            may_create: !who.starts_with("stranger"),
            guest: who.starts_with("guest"),
        });
        self.desk.serve(&self.house, &actor, verb, pubsub).await
    }

    async fn set(&self, who: &str, inside: &str) -> Served {
        self.ask(who, Verb::Set, ns::PUBSUB, inside).await
    }

    async fn get(&self, who: &str, inside: &str) -> Served {
        self.ask(who, Verb::Get, ns::PUBSUB, inside).await
    }

    async fn rule(&self, who: &str, inside: &str) -> Served {
        self.ask(who, Verb::Set, ns::PUBSUB_OWNER, inside).await
    }

    /// A node of `a@x` with these fields, and what is said of it.
    async fn create(&self, node: &str, fields: &[(&str, &str)]) {
        let text = format!("<create node='{node}'/>{}", configure(fields));
        self.set("a@x/r", &text).await.done();
    }

    async fn publish(&self, who: &str, node: &str, id: &str) -> Served {
        let text = format!("<publish node='{node}'>{}</publish>", item(id));
        self.set(who, &text).await
    }

    /// The ids of the items that somebody gets, in their order.
    async fn ids(&self, who: &str, node: &str) -> Vec<String> {
        let served = self.get(who, &format!("<items node='{node}'/>")).await;
        let answer = served.done().unwrap();
        let items = answer.child("items", ns::PUBSUB).unwrap();
        let ids = items
            .children()
            .map(|item| item.attr("id").unwrap().to_owned());
        ids.collect()
    }

    async fn rows(&self, space: crate::store::Space) -> usize {
        let all = crate::store::Range::all();
        let rows = self.store.reading(move |view| {
            view.scan(space, &all, crate::store::Direction::Forward, usize::MAX)
        });
        rows.await.unwrap().len()
    }
}

fn item(id: &str) -> String {
    format!("<item id='{id}'><a xmlns='urn:a'>{id}</a></item>")
}

fn form(form_type: &str, fields: &[(&str, &str)]) -> String {
    let fields: String = fields
        .iter()
        .map(|(var, value)| format!("<field var='pubsub#{var}'><value>{value}</value></field>"))
        .collect();
    format!(
        "<x xmlns='jabber:x:data' type='submit'><field var='FORM_TYPE' type='hidden'><value>{form_type}</value></field>{fields}</x>"
    )
}

fn configure(fields: &[(&str, &str)]) -> String {
    format!("<configure>{}</configure>", form(NODE_CONFIG, fields))
}

impl Served {
    #[track_caller]
    fn done(self) -> Option<Element> {
        self.answer.unwrap_or_else(|refusal| panic!("{refusal:?}"))
    }

    /// The condition of the refusal, and the one of `pubsub#errors`.
    #[track_caller]
    fn refusal(&self) -> (Condition, String) {
        let refusal = self.answer.as_ref().unwrap_err();
        let app = refusal.error.app.as_ref();
        let app = app.map(|app| app.name().to_owned()).unwrap_or_default();
        (refusal.error.condition, app)
    }

    /// Who is told, and of what: `to name:id …`.
    fn told(&self) -> Vec<String> {
        let mut told = Vec::new();
        for notice in &self.notices {
            let (Audience::These(to)
            | Audience::Interested {
                subscribers: to, ..
            }) = &notice.to;
            let event = notice.message.children().next().unwrap();
            let what = event.children().next().map_or("form", El::name);
            let inside = event.children().flat_map(El::children);
            let ids: Vec<_> = inside
                .filter_map(|el| Some((el.name(), el.attr("id")?)))
                .collect();
            let ids: Vec<_> = ids
                .iter()
                .map(|(name, id)| format!("{name}:{id}"))
                .collect();
            for jid in to {
                told.push(format!("{jid} {what} {}", ids.join(" ")).trim().to_owned());
            }
        }
        told
    }
}

fn refused(condition: Condition, app: &str) -> (Condition, String) {
    (condition, app.to_owned())
}

#[tokio::test]
async fn what_is_published_again_becomes_the_newest_and_the_oldest_goes() {
    let bench = Bench::new();
    bench.create("n", &[("max_items", "2")]).await;
    let subscribe = "<subscribe node='n' jid='b@x'/>";
    bench.set("b@x/r", subscribe).await.done();
    for id in ["1", "2", "1"] {
        bench.publish("a@x/r", "n", id).await.done();
    }
    assert_eq!(bench.ids("b@x/r", "n").await, ["2", "1"]);
    let served = bench.publish("a@x/r", "n", "3").await;
    assert_eq!(served.told(), ["b@x items item:3", "b@x items retract:2"]);
    assert_eq!(bench.ids("b@x/r", "n").await, ["1", "3"]);
    assert_eq!(bench.rows(crate::store::Space::NODE_ITEM).await, 2);
    assert_eq!(bench.rows(crate::store::Space::NODE_ITEM_PLACE).await, 2);
}

#[tokio::test]
async fn a_full_node_discards_or_refuses_as_it_is_told() {
    let bench = Bench::new();
    let discard = [("max_items", "1"), ("publish_node_full", "discard-oldest")];
    bench.create("d", &discard).await;
    bench
        .set("b@x", "<subscribe node='d' jid='b@x'/>")
        .await
        .done();
    bench.publish("a@x", "d", "1").await.done();
    let served = bench.publish("a@x", "d", "2").await;
    assert_eq!(served.told(), ["b@x items item:2"]);
    let reject = [("max_items", "1"), ("publish_node_full", "reject")];
    bench.create("r", &reject).await;
    bench.publish("a@x", "r", "1").await.done();
    let full = bench.publish("a@x", "r", "2").await;
    assert_eq!(full.refusal(), refused(Condition::Conflict, "node-full"));
    // What is there may be published again (§7.1.3).
    bench.publish("a@x", "r", "1").await.done();
}

#[tokio::test]
async fn items_that_have_expired_are_gone() {
    let bench = Bench::new();
    bench.create("n", &[("item_expire", "60")]).await;
    bench.publish("a@x", "n", "1").await.done();
    bench.hand.advance(std::time::Duration::from_secs(40));
    bench.publish("a@x", "n", "2").await.done();
    bench.hand.advance(std::time::Duration::from_secs(40));
    assert_eq!(bench.ids("a@x", "n").await, ["2"]);
    bench.publish("a@x", "n", "3").await.done();
    assert_eq!(bench.rows(crate::store::Space::NODE_ITEM).await, 2);
}

#[tokio::test]
async fn events_are_as_the_node_is_configured() {
    let bench = Bench::new();
    bench.create("bare", &[("deliver_payloads", "0")]).await;
    bench
        .set("b@x", "<subscribe node='bare' jid='b@x'/>")
        .await
        .done();
    let served = bench.publish("a@x", "bare", "1").await;
    let event = served
        .notices
        .first()
        .unwrap()
        .message
        .children()
        .next()
        .unwrap();
    let item = event.children().next().unwrap().children().next().unwrap();
    assert_eq!(item.children().count(), 0);
    bench
        .create(
            "flash",
            &[("deliver_payloads", "0"), ("persist_items", "0")],
        )
        .await;
    bench
        .set("b@x", "<subscribe node='flash' jid='b@x'/>")
        .await
        .done();
    let served = bench.set("a@x", "<publish node='flash'/>").await;
    assert_eq!(served.told(), ["b@x items"]);
    let wrong = bench.publish("a@x", "flash", "1").await;
    assert_eq!(
        wrong.refusal(),
        refused(Condition::BadRequest, "item-forbidden")
    );
    for node in ["bare", "flash"] {
        let empty = format!("<publish node='{node}'><item/></publish>");
        let nothing = bench.set("a@x", &empty).await;
        assert_eq!(nothing.answer.is_ok(), node == "bare", "{node}");
    }
    let transient = bench.get("a@x", "<items node='flash'/>").await;
    assert_eq!(
        transient.refusal(),
        refused(Condition::FeatureNotImplemented, "unsupported")
    );
}

#[tokio::test]
async fn who_may_not_see_a_node_any_more_is_told_nothing() {
    let bench = Bench::new();
    bench.create("n", &[]).await;
    bench
        .set("b@x", "<subscribe node='n' jid='b@x'/>")
        .await
        .done();
    bench
        .set("c@x", "<subscribe node='n' jid='c@x'/>")
        .await
        .done();
    let members =
        "<affiliations node='n'><affiliation jid='c@x' affiliation='member'/></affiliations>";
    bench.rule("a@x", members).await.done();
    let closed = format!(
        "<configure node='n'>{}</configure>",
        form(NODE_CONFIG, &[("access_model", "whitelist")])
    );
    bench.rule("a@x", &closed).await.done();
    let served = bench.publish("a@x", "n", "1").await;
    assert_eq!(served.told(), ["c@x items item:1"]);
    let shut = bench.get("b@x", "<items node='n'/>").await;
    assert_eq!(
        shut.refusal(),
        refused(Condition::NotAllowed, "closed-node")
    );
    assert_eq!(bench.ids("c@x", "n").await, ["1"]);
}

#[tokio::test]
async fn an_outcast_loses_his_subscriptions_and_hears_of_it() {
    let bench = Bench::new();
    bench.create("n", &[]).await;
    for who in ["b@x", "b@x/phone"] {
        let subscribe = format!("<subscribe node='n' jid='{who}'/>");
        bench.set("b@x/r", &subscribe).await.done();
    }
    let out =
        "<affiliations node='n'><affiliation jid='b@x' affiliation='outcast'/></affiliations>";
    let served = bench.rule("a@x", out).await;
    assert_eq!(
        served.told(),
        ["b@x subscription", "b@x/phone subscription"]
    );
    served.done();
    let none = bench.get("b@x", "<subscriptions/>").await.done().unwrap();
    assert_eq!(none.children().next().unwrap().children().count(), 0);
    let again = bench.set("b@x", "<subscribe node='n' jid='b@x'/>").await;
    assert_eq!(again.refusal(), refused(Condition::Forbidden, ""));
}

#[tokio::test]
async fn a_node_always_has_an_owner() {
    let bench = Bench::new();
    bench.create("n", &[]).await;
    let nobody = "<affiliations node='n'><affiliation jid='a@x' affiliation='none'/>\
                  <affiliation jid='b@x' affiliation='publisher'/></affiliations>";
    let served = bench.rule("a@x", nobody).await;
    let refusal = served.answer.as_ref().unwrap_err();
    assert_eq!(refusal.error.condition, Condition::NotAcceptable);
    let about = format!("{:?}", refusal.about.as_ref().unwrap());
    assert!(about.contains("affiliation='owner'"), "{about}");
    // Nothing of it was done.
    let publisher = bench.publish("b@x", "n", "1").await;
    assert_eq!(publisher.refusal(), refused(Condition::Forbidden, ""));
    let another = "<affiliations node='n'><affiliation jid='b@x' affiliation='owner'/>\
                   <affiliation jid='a@x' affiliation='none'/></affiliations>";
    bench.rule("a@x", another).await.done();
    let gone = bench.rule("a@x", "<delete node='n'/>").await;
    assert_eq!(gone.refusal(), refused(Condition::Forbidden, ""));
    bench.rule("b@x", "<delete node='n'/>").await.done();
}

#[tokio::test]
async fn a_subscription_ends_with_its_lease() {
    let bench = Bench::new();
    bench.create("n", &[]).await;
    let end = crate::proto::datetime::format(bench.clock.wall() + 60_000);
    let options = form(
        "http://jabber.org/protocol/pubsub#subscribe_options",
        &[("expire", &end)],
    );
    let subscribe = format!("<subscribe node='n' jid='b@x'/><options>{options}</options>");
    let answer = bench.set("b@x", &subscribe).await.done().unwrap();
    assert!(format!("{answer:?}").contains(&end));
    assert_eq!(
        bench.publish("a@x", "n", "1").await.told(),
        ["b@x items item:1"]
    );
    bench.hand.advance(std::time::Duration::from_secs(61));
    assert_eq!(bench.publish("a@x", "n", "2").await.told(), [] as [&str; 0]);
    let over = bench.set("b@x", "<unsubscribe node='n' jid='b@x'/>").await;
    assert_eq!(
        over.refusal(),
        refused(Condition::UnexpectedRequest, "not-subscribed")
    );
}
