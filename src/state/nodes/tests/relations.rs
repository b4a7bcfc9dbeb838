//! XEP-0496: nodes that depend on others.

use super::*;

fn bonds(fields: &[(&str, &str)]) -> String {
    let fields: String = fields
        .iter()
        .map(|(name, value)| {
            let var = match *name {
                "link" | "parent" => format!("{{urn:xmpp:pubsub-relationships:0}}{name}"),
                name => format!("pubsub#{name}"),
            };
            format!("<field var='{var}'><value>{value}</value></field>")
        })
        .collect();
    format!("<x xmlns='jabber:x:data' type='submit'>{fields}</x>")
}

impl Bench {
    async fn make(&self, node: &str, fields: &[(&str, &str)]) -> Served {
        let text = format!(
            "<create node='{node}'/><configure>{}</configure>",
            bonds(fields)
        );
        self.set("a@x", &text).await
    }

    async fn change(&self, who: &str, node: &str, fields: &[(&str, &str)]) -> Served {
        let text = format!("<configure node='{node}'>{}</configure>", bonds(fields));
        self.rule(who, &text).await
    }

    /// What a node is below.
    async fn parent(&self, node: &str) -> String {
        let ask = format!("<configure node='{node}'/>");
        let answer = self.ask("a@x", Verb::Get, ns::PUBSUB_OWNER, &ask).await;
        let answer = answer.done().unwrap();
        let form = answer.children().next().unwrap();
        let form = crate::proto::form::Form::of(form).unwrap().unwrap();
        let parent = form.value("{urn:xmpp:pubsub-relationships:0}parent");
        parent.unwrap_or_default().to_owned()
    }
}

fn many() -> Bench {
    Bench::with(|house| house.limits.nodes = 50)
}

#[tokio::test]
async fn a_tree_is_seen_by_who_may_see_all_that_is_above() {
    let bench = many();
    bench
        .make(
            "root",
            &[("access_model", "open"), ("publish_model", "open")],
        )
        .await
        .done();
    bench
        .make("child", &[("parent", "root"), ("publish_model", "open")])
        .await
        .done();
    bench
        .make("leaf", &[("parent", "child"), ("publish_model", "open")])
        .await
        .done();
    for who in ["b@x", "c@x"] {
        let subscribe = format!("<subscribe node='leaf' jid='{who}'/>");
        bench.set(who, &subscribe).await.done();
    }
    assert_eq!(bench.publish("b@x", "leaf", "1").await.told().len(), 2);
    bench
        .change("a@x", "root", &[("access_model", "whitelist")])
        .await
        .done();
    let member =
        "<affiliations node='root'><affiliation jid='c@x' affiliation='member'/></affiliations>";
    bench.rule("a@x", member).await.done();
    let shut = bench.get("b@x", "<items node='leaf'/>").await;
    assert_eq!(
        shut.refusal(),
        refused(Condition::NotAllowed, "closed-node")
    );
    assert_eq!(bench.ids("c@x", "leaf").await, ["1"]);
    assert_eq!(
        bench.publish("c@x", "leaf", "2").await.told(),
        ["c@x items item:2"]
    );
    bench
        .change("a@x", "root", &[("publish_model", "publishers")])
        .await
        .done();
    let shut = bench.publish("c@x", "leaf", "3").await;
    assert_eq!(shut.refusal(), refused(Condition::Forbidden, ""));
    // Out of the tree it is by itself again.
    bench.change("a@x", "child", &[("parent", "")]).await.done();
    bench.publish("b@x", "leaf", "3").await.done();
}

#[tokio::test]
async fn what_depends_on_a_node_goes_with_it() {
    let bench = many();
    bench.make("root", &[]).await.done();
    bench.make("child", &[("parent", "root")]).await.done();
    bench
        .make("grandchild", &[("parent", "child")])
        .await
        .done();
    bench.make("beside", &[("link", "child")]).await.done();
    bench.make("kept", &[("parent", "root")]).await.done();
    bench.change("a@x", "kept", &[("parent", "")]).await.done();
    for node in ["grandchild", "beside"] {
        let subscribe = format!("<subscribe node='{node}' jid='b@x'/>");
        bench.set("b@x", &subscribe).await.done();
    }
    // What extends a node goes without it.
    bench.make("other", &[("link", "root")]).await.done();
    bench.rule("a@x", "<delete node='other'/>").await.done();
    let served = bench.rule("a@x", "<delete node='root'/>").await;
    assert_eq!(served.told(), ["b@x delete", "b@x delete"]);
    served.done();
    bench.desk.erase().await;
    assert_eq!(bench.rows(crate::store::Space::NODE).await, 1);
    assert_eq!(bench.rows(crate::store::Space::NODE_BELOW).await, 0);
    bench.publish("a@x", "kept", "1").await.done();
}

#[tokio::test]
async fn relations_that_cannot_be() {
    let bench = many();
    bench.make("a", &[]).await.done();
    bench.make("b", &[("parent", "a")]).await.done();
    bench.make("c", &[("link", "b")]).await.done();
    bench.make("d", &[("parent", "b")]).await.done();
    let wrong = refused(Condition::NotAllowed, "invalid-option");
    for (node, fields) in [
        ("a", &[("parent", "a")][..]),
        ("a", &[("parent", "d")]),
        ("a", &[("link", "c")]),
        ("a", &[("parent", "none")]),
        ("c", &[("parent", "d")]),
        ("d", &[("link", "b")]),
    ] {
        let served = bench.change("a@x", node, fields).await;
        assert_eq!(served.refusal(), wrong, "{node} {fields:?}");
    }
    let made = bench.make("e", &[("link", "b"), ("parent", "d")]).await;
    assert_eq!(made.refusal(), wrong);
    // What is another's is not to be depended on.
    bench.set("b@x", "<create node='mine'/>").await.done();
    let served = bench.change("b@x", "mine", &[("parent", "a")]).await;
    assert_eq!(served.refusal(), wrong);
}

#[tokio::test]
async fn what_extends_a_node_is_below_what_that_is_below() {
    let bench = many();
    for root in ["r1", "r2"] {
        bench.make(root, &[]).await.done();
    }
    bench.make("node", &[]).await.done();
    bench.make("link", &[("link", "node")]).await.done();
    bench
        .change("a@x", "node", &[("parent", "r1")])
        .await
        .done();
    assert_eq!(bench.parent("link").await, "r1");
    bench.make("later", &[("link", "node")]).await.done();
    assert_eq!(bench.parent("later").await, "r1");
    bench
        .change("a@x", "node", &[("parent", "r2")])
        .await
        .done();
    assert_eq!(bench.parent("link").await, "r2");
    bench.rule("a@x", "<delete node='r1'/>").await.done();
    assert_eq!(bench.parent("later").await, "r2");
    bench.change("a@x", "link", &[("link", "")]).await.done();
    bench.rule("a@x", "<delete node='node'/>").await.done();
    assert_eq!(bench.parent("link").await, "r2");
}

#[tokio::test]
async fn a_tree_has_so_many_levels_and_so_many_nodes() {
    let bench = Bench::with(|house| {
        house.limits.nodes = 50;
        house.limits.related.depth = 3;
        house.limits.related.dependent = 3;
    });
    let wrong = refused(Condition::NotAllowed, "invalid-option");
    for tree in ["a", "b"] {
        bench.make(&format!("{tree}0"), &[]).await.done();
        for level in 1..=2 {
            let above = format!("{tree}{}", level - 1);
            let node = format!("{tree}{level}");
            bench.make(&node, &[("parent", &above)]).await.done();
        }
    }
    // What is below counts as well as what is above.
    let served = bench.change("a@x", "b0", &[("parent", "a2")]).await;
    assert_eq!(served.refusal(), wrong);
    let served = bench.change("a@x", "b0", &[("parent", "a1")]).await;
    assert_eq!(served.refusal(), wrong);
    bench.change("a@x", "b1", &[("parent", "")]).await.done();
    bench.change("a@x", "b0", &[("parent", "a2")]).await.done();
    let served = bench.make("c", &[("parent", "b0")]).await;
    assert_eq!(served.refusal(), wrong);
    for node in ["d", "e"] {
        bench.make(node, &[("parent", "a0")]).await.done();
    }
    let served = bench.make("f", &[("parent", "a0")]).await;
    assert_eq!(served.refusal(), wrong);
}

#[tokio::test]
async fn who_is_kept_out_far_above_is_kept_out() {
    let bench = Bench::with(|house| {
        house.limits.nodes = 200;
        house.limits.related.depth = 100;
    });
    let whitelist = [("access_model", "whitelist")];
    bench.make("n0", &whitelist).await.done();
    for level in 1..=30 {
        let (node, above) = (format!("n{level}"), format!("n{}", level - 1));
        let fields = [("parent", above.as_str()), ("access_model", "open")];
        bench.make(&node, &fields).await.done();
    }
    let shut = bench.get("b@x", "<items node='n30'/>").await;
    assert_eq!(
        shut.refusal(),
        refused(Condition::NotAllowed, "closed-node")
    );
}
