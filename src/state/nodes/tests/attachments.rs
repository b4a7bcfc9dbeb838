//! XEP-0470: what is attached to items, and its summary.

use super::*;

const SUMMARY: &str = "urn:xmpp:pubsub-attachments:summary:1/n";

fn node_of(item: &str) -> String {
    format!("urn:xmpp:pubsub-attachments:1/xmpp:pubsub.x?;node=n;item={item}")
}

/// What an entity attaches: these reactions, after `<noticed/>` where they begin with a dot.
fn attachments(reactions: &str) -> String {
    let noticed = if reactions.starts_with('.') {
        "<noticed/>"
    } else {
        ""
    };
    let reactions = reactions.trim_start_matches('.').split_whitespace();
    let reactions: String = reactions
        .map(|text| format!("<reaction>{text}</reaction>"))
        .collect();
    format!(
        "<attachments xmlns='urn:xmpp:pubsub-attachments:1'>{noticed}<reactions>{reactions}</reactions></attachments>"
    )
}

impl Bench {
    async fn attach(&self, who: &str, item: &str, reactions: &str) -> Served {
        let (node, payload) = (node_of(item), attachments(reactions));
        let text = format!("<publish node='{node}'><item id='{who}'>{payload}</item></publish>");
        self.set(&format!("{who}/r"), &text).await
    }

    /// The summary of an item: how often it was noticed, and its reactions.
    async fn summary(&self, item: &str) -> Option<String> {
        let ask = format!("<items node='{SUMMARY}'><item id='{item}'/></items>");
        let answer = self.get("a@x", &ask).await.done().unwrap();
        let item = answer.children().next().unwrap().children().next()?;
        let summary = item.children().next().unwrap();
        let of = |name| summary.child(name, "urn:xmpp:pubsub-attachments:summary:1");
        let noticed = of("noticed").map_or("0", |el| el.attr("count").unwrap());
        let mut text = noticed.to_owned();
        for reaction in of("reactions").into_iter().flat_map(El::children) {
            let count = reaction.attr("count").unwrap_or("");
            text.push_str(&format!(" {}{count}", reaction.text()));
        }
        Some(text)
    }

    /// A node that anybody publishes to, with these items.
    async fn target(&self, fields: &[(&str, &str)], items: &[&str]) {
        let open = [&[("publish_model", "open")], fields].concat();
        self.create("n", &open).await;
        for id in items {
            self.publish("a@x", "n", id).await.done();
        }
    }
}

#[tokio::test]
async fn a_summary_counts_what_all_attach() {
    let bench = Bench::new();
    bench.target(&[], &["1"]).await;
    bench.attach("b@x", "1", ". A B A").await.done();
    bench.attach("c@x", "1", ".A").await.done();
    assert_eq!(bench.summary("1").await.unwrap(), "2 A2 B");
    // One item for each: what is published again takes the place of what was there.
    bench.attach("b@x", "1", "C").await.done();
    assert_eq!(bench.summary("1").await.unwrap(), "1 A C");
    let node = node_of("1");
    let back = format!("<retract node='{node}'><item id='c@x'/></retract>");
    bench.set("c@x", &back).await.done();
    assert_eq!(bench.summary("1").await.unwrap(), "0 C");
    bench
        .rule("a@x", &format!("<purge node='{node}'/>"))
        .await
        .done();
    assert_eq!(bench.summary("1").await.unwrap(), "0");
    assert_eq!(bench.ids("a@x", SUMMARY).await, ["1"]);
}

#[tokio::test]
async fn subscribers_hear_of_attachments_and_of_the_summary() {
    let bench = Bench::new();
    bench.target(&[], &["1"]).await;
    bench.attach("b@x", "1", ".").await.done();
    for node in [&node_of("1"), SUMMARY] {
        let subscribe = format!("<subscribe node='{node}' jid='c@x'/>");
        bench.set("c@x", &subscribe).await.done();
    }
    let served = bench.attach("b@x", "1", "A").await;
    assert_eq!(served.told(), ["c@x items item:b@x", "c@x items item:1"]);
    let served = bench
        .set("a@x", "<retract node='n'><item id='1'/></retract>")
        .await;
    assert_eq!(served.told(), ["c@x items retract:1", "c@x delete"]);
}

#[tokio::test]
async fn what_is_no_attachment_is_refused() {
    let bench = Bench::new();
    bench.target(&[], &["1"]).await;
    let node = node_of("1");
    let payload = attachments("A");
    let publish = |id: &str, payload: &str| {
        format!("<publish node='{node}'><item id='{id}'>{payload}</item></publish>")
    };
    let many: String = (0..33).map(|n| format!("r{n} ")).collect();
    let long = "x".repeat(65);
    for (id, payload, condition) in [
        ("c@x", payload.as_str(), Condition::BadRequest),
        ("b@x/r", &payload, Condition::BadRequest),
        ("b@x", "<attachments/>", Condition::BadRequest),
        (
            "b@x",
            "<a xmlns='urn:xmpp:pubsub-attachments:1'/>",
            Condition::BadRequest,
        ),
        ("b@x", &attachments(&many), Condition::NotAcceptable),
        ("b@x", &attachments(&long), Condition::NotAcceptable),
    ] {
        let served = bench.set("b@x/r", &publish(id, payload)).await;
        assert_eq!(served.refusal().0, condition, "{id} {payload}");
    }
    for other in [
        node_of("2"),
        node.replace("pubsub.x", "other.x"),
        node.replace(";node=n;item=1", ";item=1;node=n"),
        node.replace("node=n", "node=m"),
    ] {
        let text = format!("<publish node='{other}'><item id='b@x'>{payload}</item></publish>");
        let served = bench.set("b@x/r", &text).await;
        assert_eq!(served.refusal().0, Condition::ItemNotFound, "{other}");
    }
    assert_eq!(bench.rows(crate::store::Space::NODE).await, 1);
}

#[tokio::test]
async fn nobody_makes_them_or_writes_a_summary() {
    let bench = Bench::new();
    bench.target(&[], &["1"]).await;
    let node = node_of("1");
    for name in [node.as_str(), SUMMARY] {
        let made = bench.set("a@x", &format!("<create node='{name}'/>")).await;
        assert_eq!(made.refusal().0, Condition::NotAllowed, "{name}");
    }
    bench.attach("b@x", "1", "A").await.done();
    let publish = format!("<publish node='{SUMMARY}'>{}</publish>", item("1"));
    let retract = format!("<retract node='{SUMMARY}'><item id='1'/></retract>");
    for act in [publish, retract] {
        let served = bench.set("a@x", &act).await;
        assert_eq!(served.refusal().0, Condition::Forbidden, "{act}");
    }
    let form = |fields| form(NODE_CONFIG, fields);
    let configure =
        |node: &str, fields| format!("<configure node='{node}'>{}</configure>", form(fields));
    for (act, condition) in [
        (format!("<purge node='{SUMMARY}'/>"), Condition::Forbidden),
        (format!("<delete node='{SUMMARY}'/>"), Condition::NotAllowed),
        (
            configure(&node, &[("max_items", "1")]),
            Condition::NotAllowed,
        ),
        (
            configure(&node, &[("access_model", "whitelist")]),
            Condition::NotAllowed,
        ),
        (
            format!("<affiliations node='{node}'/>"),
            Condition::NotAllowed,
        ),
    ] {
        let served = bench.rule("a@x", &act).await;
        assert_eq!(served.refusal().0, condition, "{act}");
    }
    bench
        .rule("a@x", &configure(&node, &[("title", "Likes")]))
        .await
        .done();
    assert_eq!(bench.summary("1").await.unwrap(), "0 A");
}

#[tokio::test]
async fn who_may_do_what_is_as_at_the_node_itself() {
    let bench = Bench::new();
    bench.target(&[], &["1"]).await;
    bench.attach("b@x", "1", "A").await.done();
    let change = |fields| {
        format!(
            "<configure node='n'>{}</configure>",
            form(NODE_CONFIG, fields)
        )
    };
    let closed = [
        ("access_model", "whitelist"),
        ("publish_model", "publishers"),
    ];
    bench.rule("a@x", &change(&closed)).await.done();
    for node in [&node_of("1"), SUMMARY] {
        let shut = bench.get("b@x", &format!("<items node='{node}'/>")).await;
        assert_eq!(
            shut.refusal(),
            refused(Condition::NotAllowed, "closed-node")
        );
    }
    let shut = bench.attach("b@x", "1", "B").await;
    assert_eq!(shut.refusal(), refused(Condition::Forbidden, ""));
    let let_in =
        "<affiliations node='n'><affiliation jid='b@x' affiliation='publisher'/></affiliations>";
    bench.rule("a@x", let_in).await.done();
    bench.attach("b@x", "1", "B").await.done();
    assert_eq!(bench.ids("b@x", SUMMARY).await, ["1"]);
}

#[tokio::test]
async fn attachments_go_with_what_they_are_attached_to() {
    let bench = Bench::new();
    bench.target(&[("max_items", "3")], &["1", "2", "3"]).await;
    for id in ["1", "2", "3"] {
        bench.attach("b@x", id, "A").await.done();
    }
    // Not counted against who made the node.
    bench.create("second", &[]).await;
    bench.create("third", &[]).await;
    // Published again it keeps them; a newer item drives out the oldest.
    bench.publish("a@x", "n", "1").await.done();
    bench.publish("a@x", "n", "4").await.done();
    assert_eq!(bench.summary("1").await.unwrap(), "0 A");
    assert_eq!(bench.summary("2").await, None);
    let gone = bench
        .get("a@x", &format!("<items node='{}'/>", node_of("2")))
        .await;
    assert_eq!(gone.refusal().0, Condition::ItemNotFound);
    // An item of the same id is another one.
    bench.publish("a@x", "n", "2").await.done();
    assert_eq!(bench.summary("2").await, None);
    let fewer = format!(
        "<configure node='n'>{}</configure>",
        form(NODE_CONFIG, &[("max_items", "2")])
    );
    bench.attach("b@x", "4", "A").await.done();
    bench.rule("a@x", &fewer).await.done();
    assert_eq!(bench.ids("a@x", SUMMARY).await, ["4"]);
    bench.rule("a@x", "<purge node='n'/>").await.done();
    assert_eq!(bench.ids("a@x", SUMMARY).await, [""; 0]);
    bench.publish("a@x", "n", "5").await.done();
    bench.attach("b@x", "5", "A").await.done();
    bench.rule("a@x", "<delete node='n'/>").await.done();
    bench.desk.erase().await;
    use crate::store::Space;
    for (space, left) in [
        (Space::NODE, 2),
        (Space::NODE_ITEM, 0),
        (Space::NODE_GONE, 0),
    ] {
        assert_eq!(bench.rows(space).await, left, "{space}");
    }
    let used = bench
        .store
        .reading(|view| record::used(view, Uid(7), record::Used::Bytes, ""));
    assert_eq!(used.await.unwrap(), 0);
}

#[tokio::test]
async fn one_node_of_attachments_can_be_deleted() {
    let bench = Bench::new();
    bench.target(&[], &["1", "2"]).await;
    bench.attach("b@x", "1", "A").await.done();
    bench.attach("b@x", "2", "A").await.done();
    let delete = format!("<delete node='{}'/>", node_of("1"));
    bench.rule("a@x", &delete).await.done();
    assert_eq!(bench.ids("a@x", SUMMARY).await, ["2"]);
    bench.attach("c@x", "1", "B").await.done();
    assert_eq!(bench.summary("1").await.unwrap(), "0 B");
}

#[test]
fn requests_of_a_node_and_of_those_beside_it_are_one_line() {
    for name in [node_of("1"), SUMMARY.to_owned(), "n".to_owned()] {
        assert_eq!(line_of(name), "n");
    }
}
