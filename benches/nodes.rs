//! What publishing costs the server: for each of an account's contacts who want to hear of it (XEP-0163), and for each of many
//! subscribers of a node that holds many items (XEP-0060), beside messages of the same size that one client sends to all of
//! them; what it costs to fetch a bundle of keys; and what starting costs when there is much. CPU of the server's
//! process, from /proc.
//! Run with `cargo bench --bench nodes [SUBSCRIBERS [ITEMS]]`.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs
)]

use std::time::{Duration, Instant};

use tokio::task::JoinSet;
use waxwing::proto::disco::{Identity, Info};
use waxwing::proto::{MessageType, PresenceType, Stanza, caps, ns};
use waxwing::xml::Element;

#[path = "../examples/client/mod.rs"]
mod client;
#[path = "../tests/support/process.rs"]
#[allow(dead_code)]
mod process;
#[path = "compare/procfs.rs"]
#[allow(dead_code)]
mod procfs;

use client::{Client, Security};
use process::{Process, jid};
use procfs::{cpu_seconds, rss};

/// Contacts who want to hear of it.
const CONTACTS: usize = 100;
/// Sessions of one account, of those that subscribe.
const SESSIONS: usize = 50;
/// Publications measured.
const PUBLISHED: usize = 100;
/// Fetches of a bundle, and how many are under way at a time.
const FETCHED: usize = 4_000;
const WINDOW: usize = 16;
const ROUNDS: usize = 3;
const TUNE: &str = "http://jabber.org/protocol/tune";
const BUNDLES: &str = "urn:xmpp:omemo:2:bundles";
const SERVICE: &str = "pubsub.localhost";
const PATIENCE: Duration = Duration::from_secs(60);
/// Bounds that would be measured instead of the server.
const UNBOUNDED: &[&str] = &[
    "modules.pubsub.enabled=true",
    "modules.pubsub.items=1000000",
    "limits.connections.unauthenticated=20000",
    "limits.account.sessions=1000",
    "limits.session.stanzas_per_second=1000000",
    "limits.session.bytes_per_second=\"1GiB\"",
];

struct Bench {
    server: Process,
}

impl Bench {
    async fn client(&self, name: &str, resource: &str) -> Client {
        let builder = self.server.client(name).security(Security::Direct);
        let builder = builder.resource(resource).patience(PATIENCE);
        builder.connect(self.server.addr).await.unwrap()
    }

    fn cpu(&self) -> f64 {
        cpu_seconds(self.server.id())
    }
}

fn payload(bytes: usize) -> Element {
    Element::new("payload", "urn:example:payload").with_text(&"x".repeat(bytes))
}

fn publish(node: &str, id: &str, payload: Element, options: &[(&str, &str)]) -> Element {
    let item = Element::new("item", ns::PUBSUB).with_attr("id", id);
    let publish = Element::new("publish", ns::PUBSUB)
        .with_attr("node", node)
        .with_child(item.with_child(payload));
    let pubsub = Element::new("pubsub", ns::PUBSUB).with_child(publish);
    if options.is_empty() {
        return pubsub;
    }
    let form = form("http://jabber.org/protocol/pubsub#publish-options", options);
    pubsub.with_child(Element::new("publish-options", ns::PUBSUB).with_child(form))
}

fn form(form_type: &str, fields: &[(&str, &str)]) -> Element {
    let field = |var: &str, value: &str| {
        let value = Element::new("value", ns::DATA_FORM).with_text(value);
        Element::new("field", ns::DATA_FORM)
            .with_attr("var", var)
            .with_child(value)
    };
    let fields = fields
        .iter()
        .map(|(var, value)| field(&format!("pubsub#{var}"), value));
    Element::new("x", ns::DATA_FORM)
        .with_attr("type", "submit")
        .with_child(field("FORM_TYPE", form_type))
        .with_children(fields)
}

/// Takes so many messages; all of them are there when it returns.
async fn take(client: &mut Client, mut messages: usize) {
    while messages > 0 {
        let got = client.next(PATIENCE).await.expect("a message");
        messages -= usize::from(got.is("message", ns::CLIENT));
    }
}

/// Everybody takes so many messages, in tasks of their own.
async fn all_take(clients: Vec<Client>, messages: usize) -> JoinSet<Client> {
    let mut taking = JoinSet::new();
    for mut client in clients {
        taking.spawn(async move {
            take(&mut client, messages).await;
            client
        });
    }
    taking
}

/// Sends iqs, so many at a time, and takes their answers.
async fn pipeline(
    client: &mut Client,
    mut iqs: impl Iterator<Item = (Option<&'static str>, &'static str, Element)>,
) {
    let mut under_way = 0;
    loop {
        while under_way < WINDOW {
            let Some((to, kind, payload)) = iqs.next() else {
                break;
            };
            let mut iq = Element::new("iq", ns::CLIENT)
                .with_attr("type", kind)
                .with_attr("id", "q")
                .with_child(payload);
            iq.set_attr("to", to);
            client.send(iq).await.unwrap();
            under_way += 1;
        }
        if under_way == 0 {
            return;
        }
        let answer = client.next(PATIENCE).await.expect("an answer");
        if answer.is("iq", ns::CLIENT) {
            assert_eq!(answer.attr("type"), Some("result"), "{answer:?}");
            under_way -= 1;
        }
    }
}

fn main() {
    let mut named = std::env::args().skip(1).filter_map(|arg| arg.parse().ok());
    let subscribers: usize = named.next().unwrap_or(1_000);
    let items: usize = named.next().unwrap_or(10_000);
    procfs::raise_descriptor_limit();
    let contacts = (0..CONTACTS).map(|n| format!("c{n}"));
    let accounts = (0..subscribers.div_ceil(SESSIONS)).map(|n| format!("s{n}"));
    let names: Vec<String> = contacts
        .chain(accounts)
        .chain(["romeo".to_owned(), "juliet".to_owned()])
        .collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut bench = Bench {
        server: Process::start(&names, UNBOUNDED),
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build();
    runtime.unwrap().block_on(async {
        tell_contacts(&bench).await;
        fetch_bundles(&bench).await;
        tell_subscribers(&bench, subscribers, items).await;
    });
    bench.server.kill();
    let began = Instant::now();
    bench.server.restart();
    let took = began.elapsed();
    let (cpu, memory) = (bench.cpu(), rss(bench.server.id()));
    println!(
        "started with {items} items of one node: {took:.1?}, {cpu:.2} s of CPU, {} MiB",
        (memory / 1_048_576.0).round()
    );
}

/// Somebody publishes, and all contacts hear of it.
async fn tell_contacts(bench: &Bench) {
    let mut juliet = bench.client("juliet", "r").await;
    let mut contacts = Vec::new();
    let info = Info {
        identities: vec![Identity::new("client", "pc")],
        features: vec![ns::DISCO_INFO.to_owned(), format!("{TUNE}+notify")],
        ..Info::default()
    };
    for n in 0..CONTACTS {
        let mut contact = bench.client(&format!("c{n}"), "r").await;
        let ask = Stanza::presence(PresenceType::Subscribe).with_to(jid("juliet"));
        let allow = Stanza::presence(PresenceType::Subscribed).with_to(contact.jid.bare());
        juliet.send(allow).await.unwrap();
        contact.send(ask).await.unwrap();
        let presence = Stanza::presence(PresenceType::Available)
            .with_child(caps::element(&info, "https://client.example"));
        contact.send(presence).await.unwrap();
        if n == 0 {
            explain(&mut contact, &info).await;
        }
        contacts.push(contact);
    }
    juliet.presence().await.unwrap();
    let allowed = |el: &Element| el.is("presence", ns::CLIENT) && el.attr("type").is_none();
    for contact in &mut contacts {
        contact.wait_for("her presence", allowed).await.unwrap();
    }
    for _ in 0..ROUNDS {
        let taking = all_take(contacts, PUBLISHED).await;
        let before = bench.cpu();
        for n in 0..PUBLISHED {
            let sent = publish(TUNE, "current", payload(200 + n % 2), &[]);
            juliet.request("set", None, sent).await.unwrap();
        }
        contacts = taking.join_all().await;
        let spent = bench.cpu() - before;
        let each = spent * 1e6 / (PUBLISHED * CONTACTS) as f64;
        println!("to {CONTACTS} contacts: {each:.1} µs of CPU for each that is told");
    }
}

/// Says what kind of client it is.
async fn explain(client: &mut Client, info: &Info) {
    let question = |el: &Element| el.has_child("query", ns::DISCO_INFO);
    let question = client.wait_for("a question", question).await.unwrap();
    let node = question.child("query", ns::DISCO_INFO).unwrap();
    let node = node.attr("node").map(str::to_owned);
    let answer = Element::new("iq", ns::CLIENT)
        .with_attr("type", "result")
        .with_attr("id", question.attr("id").unwrap())
        .with_attr("to", question.attr("from").unwrap())
        .with_child(info.to_element(node.as_deref()));
    client.send(answer).await.unwrap();
}

/// Somebody fetches the keys of somebody else's device.
async fn fetch_bundles(bench: &Bench) {
    let mut juliet = bench.client("juliet", "keys").await;
    let mut romeo = bench.client("romeo", "keys").await;
    // A hundred keys of 33 bytes in base64, and a signature.
    let bundle = publish(
        BUNDLES,
        "1",
        payload(5_000),
        &[("access_model", "open"), ("max_items", "max")],
    );
    juliet.request("set", None, bundle).await.unwrap();
    for _ in 0..ROUNDS {
        let item = Element::new("item", ns::PUBSUB).with_attr("id", "1");
        let items = Element::new("items", ns::PUBSUB)
            .with_attr("node", BUNDLES)
            .with_child(item);
        let fetch = Element::new("pubsub", ns::PUBSUB).with_child(items);
        let before = bench.cpu();
        let fetches = (0..FETCHED).map(|_| (Some("juliet@localhost"), "get", fetch.clone()));
        pipeline(&mut romeo, fetches).await;
        let each = (bench.cpu() - before) * 1e6 / FETCHED as f64;
        println!("a bundle fetched: {each:.1} µs of CPU");
    }
}

/// Something is published to a full node with many subscribers, and as much is said to all of them.
async fn tell_subscribers(bench: &Bench, subscribers: usize, items: usize) {
    let mut romeo = bench.client("romeo", "r").await;
    let configure = form(
        "http://jabber.org/protocol/pubsub#node_config",
        &[("max_items", "max")],
    );
    let create = Element::new("pubsub", ns::PUBSUB)
        .with_child(Element::new("create", ns::PUBSUB).with_attr("node", "feed"))
        .with_child(Element::new("configure", ns::PUBSUB).with_child(configure));
    romeo.request("set", Some(SERVICE), create).await.unwrap();
    let fill = (0..items).map(|n| {
        let item = publish("feed", &n.to_string(), payload(200), &[]);
        (Some(SERVICE), "set", item)
    });
    pipeline(&mut romeo, fill).await;
    let mut clients = Vec::new();
    for n in 0..subscribers {
        let mut client = bench
            .client(&format!("s{}", n / SESSIONS), &format!("r{n}"))
            .await;
        let subscribe = Element::new("subscribe", ns::PUBSUB)
            .with_attr("node", "feed")
            .with_attr("jid", client.jid.as_str());
        let subscribe = Element::new("pubsub", ns::PUBSUB).with_child(subscribe);
        client
            .request("set", Some(SERVICE), subscribe)
            .await
            .unwrap();
        // The last item comes with the subscription.
        take(&mut client, 1).await;
        clients.push(client);
    }
    let told = 20_000_usize.div_ceil(subscribers).min(PUBLISHED);
    let mut costs = [Vec::new(), Vec::new()];
    for _ in 0..ROUNDS {
        let addresses: Vec<_> = clients.iter().map(|client| client.jid.clone()).collect();
        let taking = all_take(clients, told).await;
        let before = bench.cpu();
        for n in 0..told {
            let sent = publish("feed", &format!("new{n}"), payload(200), &[]);
            romeo.request("set", Some(SERVICE), sent).await.unwrap();
        }
        clients = taking.join_all().await;
        costs[0].push((bench.cpu() - before) * 1e6 / (told * subscribers) as f64);
        let taking = all_take(clients, told).await;
        let before = bench.cpu();
        for _ in 0..told {
            for address in &addresses {
                let message = Stanza::message(MessageType::Headline)
                    .with_to(address.clone())
                    .with_child(payload(200));
                romeo.send(message).await.unwrap();
            }
        }
        clients = taking.join_all().await;
        costs[1].push((bench.cpu() - before) * 1e6 / (told * subscribers) as f64);
    }
    let [published, said] = costs.map(|mut all| {
        all.sort_by(f64::total_cmp);
        all[ROUNDS / 2]
    });
    println!(
        "to {subscribers} subscribers of a node with {items} items: {published:.1} µs of CPU for each that is told; {said:.1} µs for a message of that size"
    );
}
