//! XEP-0442: the archive of a node.

use std::time::Duration;

use super::*;
use crate::state::nodes::archive::Told;

impl Bench {
    async fn query(&self, who: &str, inside: &str) -> Result<Told, Box<Refusal>> {
        let text = format!("<query xmlns='urn:xmpp:mam:2' node='n' queryid='q'>{inside}</query>");
        let query = parse(text.as_bytes(), &Context::client(), &XmlLimits::STORED).unwrap();
        let actor = Arc::new(Actor {
            jid: jid(who),
            may_create: false,
            guest: false,
        });
        self.desk.archive(&self.house, &actor, query).await
    }

    /// A node with items 0 to 9, one each second.
    async fn ten(&self, fields: &[(&str, &str)]) {
        self.create("n", &[&[("max_items", "max")], fields].concat())
            .await;
        for id in 0..10 {
            self.publish("a@x", "n", &id.to_string()).await.done();
            self.hand.advance(Duration::from_secs(1));
        }
    }
}

impl Told {
    /// The items of the page, and whether it is the last one.
    fn page(&self) -> String {
        let item = |result: &Stanza| {
            let text = String::from_utf8(result.to_bytes().to_vec()).unwrap();
            let (_, item) = text.split_once("<item id='").unwrap();
            item.split_once('\'').unwrap().0.to_owned()
        };
        let ids: String = self.results.iter().map(item).collect();
        match self.fin.attr("complete") {
            Some("true") => ids + ".",
            _ => ids,
        }
    }

    fn end(&self, name: &str) -> String {
        let set = self.fin.child("set", ns::RSM).unwrap();
        set.child(name, ns::RSM).unwrap().text().into_owned()
    }
}

fn page(inside: &str) -> String {
    format!("<set xmlns='http://jabber.org/protocol/rsm'>{inside}</set>")
}

fn fields(fields: &[(&str, &str)]) -> String {
    let fields: String = fields
        .iter()
        .map(|(var, value)| format!("<field var='{var}'><value>{value}</value></field>"))
        .collect();
    format!(
        "<x xmlns='jabber:x:data' type='submit'><field var='FORM_TYPE' type='hidden'><value>urn:xmpp:mam:2</value></field>{fields}</x>"
    )
}

#[tokio::test]
async fn an_archive_is_read_page_by_page() {
    let bench = Bench::new();
    bench.ten(&[]).await;
    let first = bench.query("b@x", &page("<max>4</max>")).await.unwrap();
    assert_eq!(first.page(), "0123");
    let after = |told: &Told| page(&format!("<max>4</max><after>{}</after>", told.end("last")));
    let second = bench.query("b@x", &after(&first)).await.unwrap();
    assert_eq!(second.page(), "4567");
    let third = bench.query("b@x", &after(&second)).await.unwrap();
    assert_eq!(third.page(), "89.");
    let last = bench
        .query("b@x", &page("<max>3</max><before/>"))
        .await
        .unwrap();
    assert_eq!(last.page(), "789");
    let before = page(&format!(
        "<max>9</max><before>{}</before>",
        last.end("first")
    ));
    assert_eq!(
        bench.query("b@x", &before).await.unwrap().page(),
        "0123456."
    );
    let flipped = format!("{}<flip-page/>", page("<max>3</max>"));
    assert_eq!(bench.query("b@x", &flipped).await.unwrap().page(), "210");
    let message = first.results.first().unwrap();
    let result = message.child("result", ns::MAM).unwrap();
    assert_eq!(result.attr("queryid"), Some("q"));
    assert_eq!(message.from.as_ref().unwrap().as_str(), "pubsub.x");
}

#[tokio::test]
async fn it_is_asked_by_time_id_and_publisher() {
    let bench = Bench::new();
    let begin = bench.clock.wall();
    bench
        .ten(&[("itemreply", "publisher"), ("publish_model", "open")])
        .await;
    bench.publish("c@x", "n", "c").await.done();
    let time = |seconds: u64| crate::proto::datetime::format(begin + seconds * 1_000);
    let between = fields(&[("start", &time(3)), ("end", &time(5))]);
    assert_eq!(bench.query("b@x", &between).await.unwrap().page(), "345.");
    let by = fields(&[("with", "c@x")]);
    assert_eq!(bench.query("b@x", &by).await.unwrap().page(), "c.");
    let all = bench.query("b@x", "").await.unwrap();
    let (first, last) = (all.end("first"), all.end("last"));
    let two = fields(&[("after-id", &first), ("before-id", &last)]);
    let two = two + &page("<max>2</max>");
    assert_eq!(bench.query("b@x", &two).await.unwrap().page(), "12");
    let these = format!("{}</value><value>{}", all.end("last"), all.end("first"));
    let ids = bench
        .query("b@x", &fields(&[("ids", &these)]))
        .await
        .unwrap();
    assert_eq!(ids.page(), "09.");
    // What was published again is another entry, and the one before is no more.
    bench.publish("a@x", "n", "0").await.done();
    let gone = bench
        .query("b@x", &page(&format!("<after>{first}</after>")))
        .await;
    assert_eq!(gone.unwrap_err().error.condition, Condition::ItemNotFound);
    for wrong in ["0-0", "zz", "ffff-0"] {
        let wrong = bench.query("b@x", &fields(&[("ids", wrong)])).await;
        assert_eq!(wrong.unwrap_err().error.condition, Condition::ItemNotFound);
    }
}

#[tokio::test]
async fn it_is_read_by_who_may_retrieve_items() {
    let bench = Bench::new();
    bench.ten(&[("access_model", "whitelist")]).await;
    let shut = bench.query("b@x", "").await.unwrap_err();
    assert_eq!(shut.error.condition, Condition::NotAllowed);
    assert_eq!(bench.query("a@x", "").await.unwrap().page(), "0123456789.");
    let member =
        "<affiliations node='n'><affiliation jid='b@x' affiliation='member'/></affiliations>";
    bench.rule("a@x", member).await.done();
    assert_eq!(bench.query("b@x", "").await.unwrap().page(), "0123456789.");
    // Who published something is nobody's business where items do not tell.
    let by = fields(&[("with", "a@x")]);
    let secret = bench.query("b@x", &by).await.unwrap_err();
    assert_eq!(secret.error.condition, Condition::Forbidden);
    assert_eq!(bench.query("a@x", &by).await.unwrap().page(), "0123456789.");
}

#[tokio::test]
async fn one_page_looks_at_so_many_bytes() {
    let bench = Bench::with(|house| {
        house.limits.bytes = 10_000_000;
        house.limits.payload = 100_000;
    });
    bench.create("n", &[]).await;
    let text = "x".repeat(90_000);
    for id in 0..5 {
        let item = format!(
            "<publish node='n'><item id='{id}'><a xmlns='urn:a'>{text}</a></item></publish>"
        );
        bench.set("a@x", &item).await.done();
    }
    let told = bench.query("b@x", "").await.unwrap();
    assert_eq!(told.page(), "012");
    let rest = page(&format!("<after>{}</after>", told.end("last")));
    assert_eq!(bench.query("b@x", &rest).await.unwrap().page(), "34.");
}
