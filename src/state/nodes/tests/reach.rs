//! XEP-0497 and XEP-0499: hearing of trees of nodes, and listing them.

use super::*;
use crate::state::nodes::disco;

fn options(kinds: &[&str], depth: i64) -> String {
    let kinds: String = kinds
        .iter()
        .map(|kind| format!("<value>{kind}</value>"))
        .collect();
    format!(
        "<options><x xmlns='jabber:x:data' type='submit'>\
         <field var='FORM_TYPE'><value>http://jabber.org/protocol/pubsub#subscribe_options</value></field>\
         <field var='{{urn:xmpp:pubsub-ext-sub:0}}type'>{kinds}</field>\
         <field var='{{urn:xmpp:pubsub-ext-sub:0}}depth'><value>{depth}</value></field></x></options>"
    )
}

impl Bench {
    /// A tree: root, a and b below it, c below b; l extends b.
    async fn tree() -> Bench {
        let bench = Bench::with(|house| house.limits.nodes = 50);
        for (node, bond) in [
            ("root", None),
            ("a", Some(("parent", "root"))),
            ("b", Some(("parent", "root"))),
            ("c", Some(("parent", "b"))),
            ("l", Some(("link", "b"))),
        ] {
            let field = bond.map_or_else(String::new, |(bond, to)| {
                format!(
                    "<field var='{{urn:xmpp:pubsub-relationships:0}}{bond}'><value>{to}</value></field>"
                )
            });
            let text = format!(
                "<create node='{node}'/><configure><x xmlns='jabber:x:data' type='submit'>{field}</x></configure>"
            );
            bench.set("a@x", &text).await.done();
        }
        bench
    }

    async fn hears(&self, who: &str, node: &str, kinds: &[&str], depth: i64) {
        let options = options(kinds, depth);
        let text = format!("<subscribe node='{node}' jid='{who}'/>{options}");
        self.set(who, &text).await.done();
    }

    /// Who hears of an item of each of the nodes.
    async fn heard_of(&self, nodes: &[&str]) -> Vec<String> {
        let mut heard = Vec::new();
        for node in nodes {
            let told = self.publish("a@x", node, "1").await.told();
            heard.extend(told.iter().map(|who| {
                let who = who.split('@').next().unwrap();
                format!("{who}:{node}")
            }));
        }
        heard
    }

    /// What a list holds: nodes with what they depend on, and items.
    async fn list(&self, who: &str, node: Option<&str>, fields: &[(&str, &str)]) -> Vec<String> {
        let answer = self.listed(who, node, fields, "").await;
        entries(&answer)
    }

    async fn listed(
        &self,
        who: &str,
        node: Option<&str>,
        fields: &[(&str, &str)],
        more: &str,
    ) -> Element {
        let node = node.map_or_else(String::new, |node| format!(" node='{node}'"));
        let fields: String = fields
            .iter()
            .map(|(var, value)| format!("<field var='{var}'><value>{value}</value></field>"))
            .collect();
        let text = format!(
            "<query xmlns='http://jabber.org/protocol/disco#items'{node}>\
             <x xmlns='jabber:x:data' type='submit'><field var='FORM_TYPE'><value>urn:xmpp:pubsub-ext-disco:0</value></field>{fields}</x>{more}</query>"
        );
        let query = parse(text.as_bytes(), &Context::client(), &XmlLimits::STORED).unwrap();
        let query = Arc::new(query);
        let actor = Arc::new(Actor {
            jid: jid(who),
            may_create: false,
            guest: false,
        });
        let list = move |scene: Scene<'_>| disco::items(scene, query.root());
        let served = self.desk.act(&self.house, &actor, list).await;
        served.done().unwrap()
    }
}

fn entries(answer: &Element) -> Vec<String> {
    let items = answer.children().filter(|el| el.name() == "item");
    items
        .map(|item| {
            let node = item.attr("node").unwrap();
            match crate::proto::form::Form::of(item) {
                Some(form) => {
                    let form = form.unwrap();
                    let of = |bond: &str| {
                        let var = format!("{{urn:xmpp:pubsub-relationships:0}}{bond}");
                        form.value(&var).map(str::to_owned)
                    };
                    let above = of("parent").unwrap_or_default();
                    let linked = of("link").map(|link| format!("+{link}"));
                    format!("{node}<{above}{}", linked.unwrap_or_default())
                }
                None => format!("{node}/{}", item.attr("name").unwrap()),
            }
        })
        .collect()
}

#[tokio::test]
async fn a_tree_is_heard_as_deep_as_one_wants() {
    let bench = Bench::tree().await;
    bench.hears("none@x", "root", &["items"], 0).await;
    bench.hears("one@x", "root", &["items"], 1).await;
    bench
        .hears("all@x", "root", &["items", "linked items"], -1)
        .await;
    let heard = bench.heard_of(&["root", "a", "c", "l"]).await;
    let wanted = [
        "all:root",
        "none:root",
        "one:root",
        "all:a",
        "one:a",
        "all:c",
        "all:l",
    ];
    assert_eq!(heard, wanted);
    // Each hears once, and only of what he may see.
    bench.hears("all@x", "c", &["items"], 0).await;
    assert_eq!(bench.heard_of(&["c"]).await, ["all:c"]);
    let out =
        "<affiliations node='b'><affiliation jid='all@x' affiliation='outcast'/></affiliations>";
    bench.rule("a@x", out).await.done();
    // What extends a node has an access of its own.
    let heard = bench.heard_of(&["a", "c", "l"]).await;
    assert_eq!(heard, ["all:a", "one:a", "all:l"]);
}

#[tokio::test]
async fn what_extends_a_node_is_heard_by_who_wants_it() {
    let bench = Bench::tree().await;
    bench.hears("plain@x", "b", &["items"], 0).await;
    bench.hears("linked@x", "b", &["linked items"], 0).await;
    assert_eq!(bench.heard_of(&["b", "l"]).await, ["plain:b", "linked:l"]);
    let asked = bench
        .get("linked@x", "<options node='b' jid='linked@x'/>")
        .await;
    let asked = format!("{:?}", asked.done().unwrap());
    assert!(asked.contains("linked items"), "{asked}");
    for (kind, depth) in [("colours", "0"), ("items", "deep")] {
        let options = options(&[kind], 0).replace("<value>0<", &format!("<value>{depth}<"));
        let text = format!("<subscribe node='a' jid='b@x'/>{options}");
        let served = bench.set("b@x", &text).await;
        assert_eq!(
            served.refusal(),
            refused(Condition::BadRequest, "invalid-options")
        );
    }
}

#[tokio::test]
async fn what_is_said_of_nodes_is_heard_by_who_wants_it() {
    let bench = Bench::tree().await;
    bench.hears("meta@x", "root", &["metadata"], -1).await;
    bench.hears("items@x", "root", &["items"], -1).await;
    let change = |fields: &str| {
        format!(
            "<configure node='a'><x xmlns='jabber:x:data' type='submit'>{fields}</x></configure>"
        )
    };
    let title = change("<field var='pubsub#title'><value>New</value></field>");
    let served = bench.rule("a@x", &title).await;
    assert_eq!(served.told(), ["meta@x configuration"]);
    let message = format!("{:?}", served.notices.first().unwrap().message);
    assert!(
        message.contains("New") && !message.contains("access_model"),
        "{message}"
    );
    let out = change("<field var='{urn:xmpp:pubsub-relationships:0}parent'/>");
    let served = bench.rule("a@x", &out).await;
    assert_eq!(served.told(), ["meta@x configuration"]);
    assert!(
        bench
            .rule("a@x", &title.replace("New", "Newer"))
            .await
            .told()
            .is_empty()
    );
    let made = "<create node='d'/><configure><x xmlns='jabber:x:data' type='submit'>\
        <field var='{urn:xmpp:pubsub-relationships:0}parent'><value>c</value></field></x></configure>";
    assert_eq!(
        bench.set("a@x", made).await.told(),
        ["meta@x configuration"]
    );
    let served = bench.rule("a@x", "<delete node='d'/>").await;
    assert_eq!(served.told(), ["items@x delete", "meta@x delete"]);
}

#[tokio::test]
async fn what_depends_on_a_node_is_listed() {
    let bench = Bench::tree().await;
    bench.publish("a@x", "b", "1").await.done();
    bench.publish("a@x", "l", "2").await.done();
    let nodes = ("type", "nodes");
    let list = bench.list("b@x", Some("root"), &[nodes]).await;
    assert!(list.is_empty());
    let list = bench
        .list("b@x", Some("root"), &[nodes, ("depth", "1")])
        .await;
    assert_eq!(list, ["a<root", "b<root"]);
    let all = [nodes, ("depth", "-1"), ("linked_nodes", "true")];
    let list = bench.list("b@x", Some("root"), &all).await;
    assert_eq!(list, ["a<root", "b<root", "l<root+b", "c<b"]);
    let list = bench.list("b@x", Some("b"), &[("linked_nodes", "1")]).await;
    assert_eq!(list, ["b/1", "l<root+b", "l/2"]);
    assert_eq!(bench.list("b@x", None, &[nodes]).await, ["root<"]);
    let list = bench.list("b@x", None, &[nodes, ("depth", "1")]).await;
    assert_eq!(list, ["a<root", "b<root", "root<"]);
    let whole = [nodes, ("depth", "1"), ("full_metadata", "true")];
    let whole = bench.listed("b@x", Some("root"), &whole, "").await;
    assert!(format!("{whole:?}").contains("pubsub#creator"));
}

#[tokio::test]
async fn lists_show_what_one_may_see_page_by_page() {
    let bench = Bench::tree().await;
    let closed = "<configure node='b'><x xmlns='jabber:x:data' type='submit'>\
        <field var='pubsub#access_model'><value>whitelist</value></field></x></configure>";
    bench.rule("a@x", closed).await.done();
    let all = [("depth", "-1"), ("linked_nodes", "true"), ("type", "nodes")];
    assert_eq!(
        bench.list("b@x", Some("root"), &all).await,
        ["a<root", "l<root+b"]
    );
    let page = |inside: &str| format!("<set xmlns='http://jabber.org/protocol/rsm'>{inside}</set>");
    let first = page("<max>3</max>");
    let first = bench.listed("a@x", Some("root"), &all, &first).await;
    assert_eq!(entries(&first).len(), 3);
    let set = first.child("set", ns::RSM).unwrap();
    assert_eq!(set.child("count", ns::RSM).unwrap().text(), "4");
    let last = set.child("last", ns::RSM).unwrap().text().into_owned();
    let rest = page(&format!("<max>3</max><after>{last}</after>"));
    let rest = bench.listed("a@x", Some("root"), &all, &rest).await;
    assert_eq!(entries(&rest), ["c<b"]);
}
