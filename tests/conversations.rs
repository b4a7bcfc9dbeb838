//! What Conversations sends when it connects, in its order, and what it makes of the answers: each line of its "Server info".

use std::collections::HashMap;
use std::time::Duration;

use waxwing::proto::ns;
use waxwing::xml::Element;

use crate::support::client::{Builder, Client};
use crate::support::server::{Running, start_server};

const PATIENCE: Duration = Duration::from_secs(10);
const PHONE: &str = "8e3f1a5c-0d53-4f0e-9df2-6f6a3c1b2d10";
const TOKEN: &str = "HT-SHA-256-EXPR";

/// Publish options as it sends them: of what everybody may see, and of bookmarks.
const OPEN: &[(&str, &str)] = &[("access_model", "open")];
const BOOKMARKS: &[(&str, &str)] = &[
    ("persist_items", "true"),
    ("access_model", "whitelist"),
    ("send_last_published_item", "never"),
    ("max_items", "128"),
    ("notify_delete", "true"),
    ("notify_retract", "true"),
];

fn phone(server: &Running, jid: &waxwing::proto::Jid) -> Builder {
    let builder = server
        .client(jid)
        .client_id(PHONE)
        .resource("Conversations");
    let carbons = Element::new("enable", ns::CARBONS);
    builder
        .sasl2()
        .resumable()
        .inline(carbons)
        .want_token(TOKEN)
}

/// Sends all questions at once, each under its name, and takes what comes until all are answered.
async fn ask_all(client: &mut Client, questions: &[(&str, String)]) -> HashMap<String, Element> {
    let all: String = questions.iter().map(|(_, iq)| iq.as_str()).collect();
    client.send(all.as_str()).await.unwrap();
    let mut answers = HashMap::new();
    while answers.len() < questions.len() {
        let got = client.next(PATIENCE).await;
        let got = got.unwrap_or_else(|| panic!("only {:?} answered", answers.keys()));
        if got.is("iq", ns::CLIENT) && matches!(got.attr("type"), Some("result" | "error")) {
            answers.insert(got.attr("id").unwrap().to_owned(), got);
        }
    }
    answers
}

fn iq(kind: &str, id: &str, to: Option<&str>, payload: &str) -> (String, String) {
    let to = to.map_or_else(String::new, |to| format!(" to='{to}'"));
    let text = format!("<iq type='{kind}' id='{id}'{to}>{payload}</iq>");
    (id.to_owned(), text)
}

fn features(info: &Element) -> Vec<&str> {
    assert_eq!(info.attr("type"), Some("result"), "{info:?}");
    let query = info.child("query", ns::DISCO_INFO).unwrap();
    let features = query.children().filter(|child| child.name() == "feature");
    features
        .map(|feature| feature.attr("var").unwrap())
        .collect()
}

async fn get(client: &mut Client, kind: &str, to: Option<&str>, payload: &str) -> Element {
    let (id, question) = iq(kind, "one", to, payload);
    let mut answers = ask_all(client, &[(&id, question)]).await;
    answers.remove(&id).unwrap()
}

fn publication(node: &str, item: &str, options: &[(&str, &str)]) -> String {
    let fields: String = [("FORM_TYPE", ns::PUBLISH_OPTIONS.to_owned())]
        .into_iter()
        .chain(
            options
                .iter()
                .map(|(name, value)| (*name, (*value).to_owned())),
        )
        .map(|(name, value)| match name {
            "FORM_TYPE" => {
                format!("<field var='{name}' type='hidden'><value>{value}</value></field>")
            }
            name => format!("<field var='pubsub#{name}'><value>{value}</value></field>"),
        })
        .collect();
    format!(
        "<pubsub xmlns='{}'><publish node='{node}'>{item}</publish><publish-options>\
         <x xmlns='{}' type='submit'>{fields}</x></publish-options></pubsub>",
        ns::PUBSUB,
        ns::DATA_FORM,
    )
}

/// The first connection: what is offered before the login and with it, and the lines that stream features make.
async fn first_login(server: &Running, jid: &waxwing::proto::Jid) -> Client {
    let mut client = phone(server, jid).open(server.addr).await.unwrap();
    client.open_stream().await.unwrap();
    let offered = client.start_tls().await.unwrap();
    let bindings = offered.child("sasl-channel-binding", ns::SASL_CB).unwrap();
    let bindings: Vec<_> = bindings
        .children()
        .map(|it| it.attr("type").unwrap().to_owned())
        .collect();
    assert!(
        bindings.iter().any(|it| it == "tls-exporter"),
        "{bindings:?}"
    );
    let sasl2 = offered.child("authentication", ns::SASL2).unwrap();
    let mechanisms: Vec<String> = sasl2
        .children()
        .filter(|child| child.name() == "mechanism")
        .map(|child| child.text().into_owned())
        .collect();
    assert_eq!(mechanisms[0], "SCRAM-SHA-512-PLUS");
    let inline = sasl2.child("inline", ns::SASL2).unwrap();
    assert!(inline.has_child("sm", ns::SM));
    let fast = inline.child("fast", ns::FAST).unwrap();
    assert!(fast.children().any(|mechanism| mechanism.text() == TOKEN));
    let bind = inline.child("bind", ns::BIND2).unwrap();
    let bind = bind.child("inline", ns::BIND2).unwrap();
    for feature in [ns::CARBONS, ns::SM, ns::CSI] {
        let names = |child: waxwing::xml::El<'_>| child.attr("var") == Some(feature);
        assert!(bind.children().any(names), "{feature}");
    }
    let after = client.authenticate2(&offered).await.unwrap();
    assert!(after.has_child("csi", ns::CSI), "Client State Indication");
    assert!(after.has_child("ver", ns::ROSTER_VER), "Roster Versioning");
    assert!(
        after.has_child("c", ns::CAPS),
        "what saves it asking the domain again"
    );
    let bound = client
        .success
        .as_ref()
        .unwrap()
        .child("bound", ns::BIND2)
        .unwrap();
    assert!(bound.has_child("enabled", ns::SM), "Stream Management");
    assert!(client.jid.resource().unwrap().starts_with("Conversations"));
    client
}

#[tokio::test]
async fn each_line_of_its_server_information() {
    let server = start_server(&[]).await;
    let juliet = server.account("juliet").await.unwrap();
    let mut client = first_login(&server, &juliet).await;
    let (domain, own) = (server.host.as_str(), juliet.as_str());
    let info = format!("<query xmlns='{}'/>", ns::DISCO_INFO);
    let items = format!("<query xmlns='{}'/>", ns::DISCO_ITEMS);
    let questions = [
        iq("get", "items", Some(domain), &items),
        iq("get", "domain", Some(domain), &info),
        iq(
            "get",
            "prefs",
            None,
            &format!("<prefs xmlns='{}'/>", ns::MAM),
        ),
        iq("get", "account", Some(own), &info),
    ];
    let questions: Vec<_> = questions
        .iter()
        .map(|(id, iq)| (id.as_str(), iq.clone()))
        .collect();
    let answers = ask_all(&mut client, &questions).await;
    let (of_domain, of_account) = (features(&answers["domain"]), features(&answers["account"]));
    assert_eq!(answers["account"].attr("from"), Some(own));
    let prefs = answers["prefs"].child("prefs", ns::MAM).unwrap();
    assert_eq!(prefs.attr("default"), Some("always"));
    for (line, list, feature) in [
        ("XEP-0313: MAM", &of_account, ns::MAM),
        ("XEP-0280: Message Carbons", &of_domain, ns::CARBONS),
        ("XEP-0191: Blocking Command", &of_domain, ns::BLOCKING),
        ("XEP-0163: PEP", &of_account, ns::PUBLISH_OPTIONS),
        ("XEP-0357: Push", &of_account, ns::PUSH),
        ("XEP-0357: Push", &of_domain, ns::PUSH),
        ("commands", &of_domain, ns::COMMANDS),
        ("bookmarks", &of_account, "urn:xmpp:bookmarks:1#compat"),
        ("bookmarks", &of_account, ns::BOOKMARKS_CONVERSION),
        ("avatars", &of_account, ns::VCARD_CONVERSION),
    ] {
        assert!(list.contains(&feature), "{line}: {feature}");
    }
    let query = answers["account"].child("query", ns::DISCO_INFO).unwrap();
    let pep = |child: waxwing::xml::El<'_>| {
        child.attr("category") == Some("pubsub") && child.attr("type") == Some("pep")
    };
    assert!(query.children().any(pep));
    // It waits for each item of the domain before it is online.
    let items = answers["items"].child("query", ns::DISCO_ITEMS).unwrap();
    let of_items: Vec<_> = items
        .children()
        .map(|item| iq("get", item.attr("jid").unwrap(), item.attr("jid"), &info))
        .collect();
    assert!(!of_items.is_empty());
    let of_items: Vec<_> = of_items
        .iter()
        .map(|(id, iq)| (id.as_str(), iq.clone()))
        .collect();
    let answers = ask_all(&mut client, &of_items).await;
    let rooms = answers
        .values()
        .filter(|info| features(info).contains(&ns::MUC));
    assert_eq!(rooms.count(), 1);
    go_online(&mut client, domain).await;
    publish(&mut client).await;
    come_back(&server, client).await;
}

/// What it sends when domain and account are known.
async fn go_online(client: &mut Client, domain: &str) {
    let commands = format!(
        "<query xmlns='{}' node='{}'/>",
        ns::DISCO_ITEMS,
        ns::COMMANDS
    );
    let push = format!(
        "<enable xmlns='{}' jid='push.example.org' node='n'/>",
        ns::PUSH
    );
    let catch_up = format!(
        "<query xmlns='{mam}' queryid='q'><x xmlns='{}' type='submit'>\
         <field var='FORM_TYPE' type='hidden'><value>{mam}</value></field>\
         <field var='start'><value>2020-01-01T00:00:00Z</value></field></x>\
         <set xmlns='{}'><max>50</max></set></query>",
        ns::DATA_FORM,
        ns::RSM,
        mam = ns::MAM,
    );
    let bookmarks = format!(
        "<pubsub xmlns='{}'><items node='{}'/></pubsub>",
        ns::PUBSUB,
        ns::BOOKMARKS
    );
    let questions = [
        iq(
            "get",
            "blocked",
            None,
            &format!("<blocklist xmlns='{}'/>", ns::BLOCKING),
        ),
        iq("get", "commands", Some(domain), &commands),
        iq(
            "get",
            "roster",
            None,
            &format!("<query xmlns='{}' ver=''/>", ns::ROSTER),
        ),
        iq("get", "bookmarks", None, &bookmarks),
        iq("set", "push", None, &push),
        iq("set", "archive", None, &catch_up),
    ];
    let questions: Vec<_> = questions
        .iter()
        .map(|(id, iq)| (id.as_str(), iq.clone()))
        .collect();
    let answers = ask_all(client, &questions).await;
    for id in ["blocked", "commands", "roster", "push", "archive"] {
        assert_eq!(
            answers[id].attr("type"),
            Some("result"),
            "{:?}",
            answers[id]
        );
    }
    let fin = answers["archive"].child("fin", ns::MAM).unwrap();
    assert_eq!(fin.attr("complete"), Some("true"));
    // No bookmarks yet: an error that says from whom it is, which it takes for none.
    let none = &answers["bookmarks"];
    let refused = none.child("error", ns::CLIENT);
    assert!(refused.is_none_or(|error| error.has_child("item-not-found", ns::STANZA_ERRORS)));
    let presence = "<presence><c xmlns='http://jabber.org/protocol/caps' hash='sha-1' \
                    node='https://conversations.im' ver='AAAAAAAAAAAAAAAAAAAAAAAAAAA='/></presence>";
    for text in [
        presence,
        "<active xmlns='urn:xmpp:csi:0'/>",
        "<inactive xmlns='urn:xmpp:csi:0'/>",
    ] {
        client.send(text).await.unwrap();
    }
    let roster = answers["roster"].child("query", ns::ROSTER).unwrap();
    let version = roster.attr("ver").unwrap();
    let again = format!("<query xmlns='{}' ver='{version}'/>", ns::ROSTER);
    let unchanged = get(client, "get", None, &again).await;
    assert!(
        !unchanged.has_child("query", ns::ROSTER),
        "nothing new is nothing at all"
    );
}

/// OMEMO, avatar and bookmarks; a node that is configured otherwise is configured as it needs it.
async fn publish(client: &mut Client) {
    let devices = "eu.siacs.conversations.axolotl.devicelist";
    let list = "<item id='current'><list xmlns='eu.siacs.conversations.axolotl'><device id='7'/></list></item>";
    let bundle = "<item id='current'><bundle xmlns='eu.siacs.conversations.axolotl'/></item>";
    let room = format!(
        "<item id='coven@conference.localhost'><conference xmlns='{}' autojoin='true'/></item>",
        ns::BOOKMARKS
    );
    let data = format!(
        "<item id='4'><data xmlns='{}'>qANQR1DBwU4DX7jmYZnncm==</data></item>",
        ns::AVATAR_DATA
    );
    let of_bundle = "eu.siacs.conversations.axolotl.bundles:7";
    for (node, item, options) in [
        (devices, list, &[("access_model", "whitelist")][..]),
        (of_bundle, bundle, OPEN),
        (ns::AVATAR_DATA, &data, OPEN),
        (ns::BOOKMARKS, &room, BOOKMARKS),
    ] {
        let done = get(client, "set", None, &publication(node, item, options)).await;
        assert_eq!(done.attr("type"), Some("result"), "{node}: {done:?}");
    }
    let refused = get(client, "set", None, &publication(devices, list, OPEN)).await;
    let error = refused.child("error", ns::CLIENT).unwrap();
    assert!(
        error.has_child("precondition-not-met", ns::PUBSUB_ERRORS),
        "{refused:?}"
    );
    let configuration = format!(
        "<pubsub xmlns='{}'><configure node='{devices}'><x xmlns='{}' type='submit'>\
         <field var='FORM_TYPE' type='hidden'><value>{}</value></field>\
         <field var='pubsub#access_model'><value>open</value></field></x></configure></pubsub>",
        ns::PUBSUB_OWNER,
        ns::DATA_FORM,
        waxwing::state::nodes::NODE_CONFIG,
    );
    for change in [configuration, publication(devices, list, OPEN)] {
        let done = get(client, "set", None, &change).await;
        assert_eq!(done.attr("type"), Some("result"), "{done:?}");
    }
    // What older clients see of the bookmark.
    let old = get(
        client,
        "get",
        None,
        "<query xmlns='jabber:iq:private'><storage xmlns='storage:bookmarks'/></query>",
    )
    .await;
    let storage = old.child("query", "jabber:iq:private").unwrap();
    let storage = storage.child("storage", ns::BOOKMARKS_STORAGE).unwrap();
    let room = storage.child("conference", ns::BOOKMARKS_STORAGE).unwrap();
    assert_eq!(room.attr("jid"), Some("coven@conference.localhost"));
}

/// The next time it says everything at once, with its token, and takes up its session.
async fn come_back(server: &Running, client: Client) {
    let (jid, token) = (client.jid.clone(), client.token.clone().unwrap());
    let kept = client.cut();
    let builder = phone(server, &jid.bare()).token(&token).pipelined(None);
    let client = builder
        .resume(&kept.0, kept.1)
        .connect(server.addr)
        .await
        .unwrap();
    assert!(client.is_resumed());
    assert_eq!(client.jid, jid);
    client.close().await.unwrap();
    // That was the end of the session: it binds anew, in one flight again.
    let builder = phone(server, &jid.bare()).token(&token).pipelined(None);
    let client = builder
        .resume(&kept.0, kept.1)
        .connect(server.addr)
        .await
        .unwrap();
    assert!(!client.is_resumed());
    assert_eq!(client.jid.bare(), jid.bare());
    assert!(client.session.is_some());
}
