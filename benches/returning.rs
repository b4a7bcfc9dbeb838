//! What it costs the server when a client comes back: by a whole login, by its token (XEP-0484), by taking up its session
//! (XEP-0198), and by both at once; over a full TLS handshake each. Then a storm: how long all take to be back when all come
//! at once, and how late a message between two who are there gets meanwhile. CPU of the server's process, from /proc. And what
//! somebody who is just there holds: a session with stream management, carbons and push, in resident memory; and what each copy
//! of a room's message holds while its reader does not acknowledge it.
//! Run with `cargo bench --bench returning [CLIENTS]`.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs
)]

use std::time::{Duration, Instant};

use tokio::task::JoinSet;
use waxwing::proto::{Jid, MessageType, Stanza, ns};
use waxwing::xml::Element;

#[path = "../examples/client/mod.rs"]
mod client;
#[path = "../tests/support/process.rs"]
#[allow(dead_code)]
mod process;
#[path = "compare/procfs.rs"]
#[allow(dead_code)]
mod procfs;

use client::{Builder, Client, Security, Token};
use process::{Process, jid};
use procfs::{cpu_seconds, rss};

/// Those under way at a time, where it is no storm.
const AT_ONCE: usize = 8;
const ROUNDS: usize = 4;
/// What is done after logins is over by then.
const SETTLE: Duration = Duration::from_secs(12);
/// People in a room, what is said there, and how long that is.
const READERS: usize = 200;
const LETTERS: usize = 50;
const LETTER: usize = 4096;
const ROOM: &str = "verona@conference.localhost";
const MECHANISM: &str = "HT-SHA-256-EXPR";
/// Bounds that would be measured instead of the server.
const UNBOUNDED: &[&str] = &[
    "limits.connections.unauthenticated=20000",
    "limits.session.stanzas_per_second=1000000",
];

/// How a client comes back.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Way {
    /// SCRAM-SHA-256, bind, acknowledgements.
    Login,
    /// Its token and Bind 2, all said at once.
    Token,
    /// SCRAM-SHA-256 and its session.
    Session,
    /// Its token and its session, all said at once.
    TokenAndSession,
}

/// What a client takes from one connection to the next.
struct Known {
    account: usize,
    token: Token,
    session: (String, u32),
}

struct Bench {
    server: Process,
}

impl Bench {
    fn builder(&self, account: usize) -> Builder {
        self.server
            .client(&format!("u{account}"))
            .security(Security::Direct)
            .mechanism("SCRAM-SHA-256")
            .client_id(&format!("00000000-0000-4000-8000-{account:012x}"))
    }

    fn back(&self, known: &Known, way: Way) -> Builder {
        let builder = self.builder(known.account);
        let (id, handled) = (&known.session.0, known.session.1);
        let with_token = |builder: Builder| {
            builder
                .mechanism(MECHANISM)
                .token(&known.token)
                .pipelined(None)
        };
        match way {
            Way::Login => builder.resumable(),
            Way::Token => with_token(builder).resumable(),
            Way::Session => builder.resume(id, handled),
            Way::TokenAndSession => with_token(builder.resume(id, handled)),
        }
    }

    /// Kilobytes of memory for each who is there with stream management, carbons (XEP-0280) and push (XEP-0357), and idle; and
    /// those who are there.
    async fn idle(&self, clients: usize) -> (f64, Vec<Client>) {
        let mut there = vec![self.settled(0).await];
        tokio::time::sleep(SETTLE).await;
        let before = rss(self.server.id());
        for account in 1..clients {
            there.push(self.settled(account).await);
        }
        tokio::time::sleep(SETTLE).await;
        let each = (rss(self.server.id()) - before) / 1024.0 / (clients - 1) as f64;
        (each, there)
    }

    /// Bytes of memory for each copy of a message of [`LETTER`] bytes in a room, of which nobody says that he has it.
    async fn held(&self, there: &mut [Client]) -> f64 {
        for (nick, client) in there.iter_mut().enumerate() {
            enter(client, nick).await;
        }
        for client in there.iter_mut() {
            while client.next(Duration::from_millis(20)).await.is_some() {}
        }
        tokio::time::sleep(SETTLE).await;
        let before = rss(self.server.id());
        for number in 0..LETTERS {
            let letter = Stanza::message(MessageType::Groupchat)
                .with_to(Jid::parse(ROOM).unwrap())
                .with_id(format!("letter{number}"))
                .with_child(Element::new("body", ns::CLIENT).with_text(&"x".repeat(LETTER)));
            there[0].send(letter).await.unwrap();
        }
        tokio::time::sleep(SETTLE).await;
        (rss(self.server.id()) - before) / (LETTERS * there.len()) as f64
    }

    async fn settled(&self, account: usize) -> Client {
        let builder = self.builder(account).resumable();
        let mut client = builder.connect(self.server.addr).await.unwrap();
        let push = Element::new("enable", ns::PUSH)
            .with_attr("jid", "push.example.org")
            .with_attr("node", &format!("node{account}"));
        for wish in [Element::new("enable", ns::CARBONS), push] {
            client.request("set", None, wish).await.unwrap();
        }
        client.presence().await.unwrap();
        client
    }

    /// The first time: everybody with a token, and a session to come back to.
    async fn first(&self, clients: usize) -> Vec<Known> {
        let mut all = Vec::new();
        for account in 0..clients {
            let builder = self.builder(account).want_token(MECHANISM).resumable();
            let client = builder.connect(self.server.addr).await.unwrap();
            all.push(known(account, client, None));
        }
        all
    }

    /// Everybody comes back and is cut again; microseconds of the server's CPU each.
    async fn round(&self, all: Vec<Known>, way: Way, at_once: usize) -> (Vec<Known>, f64) {
        let before = cpu_seconds(self.server.id());
        let (mut done, mut running) = (Vec::new(), JoinSet::new());
        let mut waiting = all.into_iter();
        loop {
            while running.len() < at_once {
                let Some(known) = waiting.next() else { break };
                let (builder, address) = (self.back(&known, way), self.server.addr);
                running.spawn(async move { (known, builder.connect(address).await.unwrap()) });
            }
            let Some(ended) = running.join_next().await else {
                break;
            };
            let (before, client) = ended.unwrap();
            let resumes = matches!(way, Way::Session | Way::TokenAndSession);
            assert_eq!(client.is_resumed(), resumes, "{way:?}");
            done.push(known(before.account, client, Some(before.token)));
        }
        let spent = cpu_seconds(self.server.id()) - before;
        let each = spent * 1e6 / done.len() as f64;
        (done, each)
    }
}

/// Into the room, where only its owner is shown: who enters tells nobody else.
async fn enter(client: &mut Client, nick: usize) {
    let enter = Element::new("presence", ns::CLIENT)
        .with_attr("to", &format!("{ROOM}/n{nick}"))
        .with_child(Element::new("x", ns::MUC));
    client.send(enter).await.unwrap();
    let own = |el: &Element| {
        let user = el.child("x", ns::MUC_USER);
        user.is_some_and(|user| {
            user.children()
                .any(|status| status.attr("code") == Some("110"))
        })
    };
    client.wait_for("to be in the room", own).await.unwrap();
    if nick == 0 {
        let field = |name: &str, value: &str| {
            let value = Element::new("value", ns::DATA_FORM).with_text(value);
            Element::new("field", ns::DATA_FORM)
                .with_attr("var", name)
                .with_child(value)
        };
        let form = Element::new("x", ns::DATA_FORM)
            .with_attr("type", "submit")
            .with_child(field("FORM_TYPE", ns::MUC_ROOM_CONFIG))
            .with_child(field("muc#roomconfig_presencebroadcast", "moderator"));
        let query = Element::new("query", ns::MUC_OWNER).with_child(form);
        client.request("set", Some(ROOM), query).await.unwrap();
    }
}

/// Cuts the connection without a word.
fn known(account: usize, client: Client, token: Option<Token>) -> Known {
    let token = client.token.clone().or(token).expect("a token");
    Known {
        account,
        token,
        session: client.cut(),
    }
}

fn main() {
    let named = std::env::args().skip(1).find_map(|arg| arg.parse().ok());
    let clients: usize = named.unwrap_or(1_000);
    procfs::raise_descriptor_limit();
    let names: Vec<String> = (0..clients)
        .map(|n| format!("u{n}"))
        .chain(["romeo".to_owned(), "juliet".to_owned()])
        .collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let bench = Bench {
        server: Process::start(&names, UNBOUNDED),
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build();
    runtime.unwrap().block_on(measure(&bench, clients));
}

async fn measure(bench: &Bench, clients: usize) {
    let (idle, mut there) = bench.idle(clients).await;
    println!("an idle session with stream management, carbons and push: {idle:.1} KB");
    there.truncate(READERS);
    let held = bench.held(&mut there).await;
    println!(
        "a copy of a room's message of {LETTER} bytes that waits for its reader: {held:.0} bytes"
    );
    drop(there);
    let mut all = bench.first(clients).await;
    for way in [Way::Login, Way::Token, Way::Session, Way::TokenAndSession] {
        let mut costs = Vec::new();
        for _ in 0..ROUNDS {
            let (back, cost) = bench.round(all, way, AT_ONCE).await;
            all = back;
            costs.push(cost);
        }
        costs.sort_by(f64::total_cmp);
        println!(
            "{way:?}: {:.0} µs of CPU ({:.0} to {:.0} in {ROUNDS} rounds of {clients})",
            costs[ROUNDS / 2],
            costs[0],
            costs[ROUNDS - 1]
        );
    }
    let mut talkers = Talkers::connect(bench).await;
    println!("messages while all is quiet: {}", talkers.talk(3).await);
    let storm = async {
        let began = Instant::now();
        let (_, cost) = bench.round(all, Way::TokenAndSession, clients).await;
        (began.elapsed(), cost)
    };
    let ((took, cost), late) = tokio::join!(storm, talkers.talk(3));
    println!(
        "a storm of {clients}: all back in {took:.1?}, {cost:.0} µs of CPU each; messages meanwhile: {late}"
    );
}

/// Two who are there all the time.
struct Talkers {
    romeo: Client,
    juliet: Client,
}

impl Talkers {
    async fn connect(bench: &Bench) -> Talkers {
        let connect = async |name: &str| {
            let builder = bench.server.client(name).security(Security::Direct);
            let mut client = builder.connect(bench.server.addr).await.unwrap();
            client.presence().await.unwrap();
            client
        };
        Talkers {
            romeo: connect("romeo").await,
            juliet: connect("juliet").await,
        }
    }

    /// For so many seconds; how late messages come.
    async fn talk(&mut self, seconds: u64) -> String {
        let mut late = Vec::new();
        let began = Instant::now();
        while began.elapsed() < Duration::from_secs(seconds) {
            let message = Stanza::message(MessageType::Chat)
                .with_to(jid("juliet"))
                .with_child(Element::new("no-store", ns::HINTS))
                .with_child(Element::new("body", ns::CLIENT).with_text("still here"));
            let said = Instant::now();
            self.romeo.send(message).await.unwrap();
            let is_message = |el: &Element| el.is("message", ns::CLIENT);
            self.juliet.wait_for("a message", is_message).await.unwrap();
            late.push(said.elapsed());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        late.sort();
        let at = |share: f64| late[(late.len() as f64 * share) as usize];
        format!(
            "p50 {:.1?}, p95 {:.1?}, p99 {:.1?}, worst {:.1?} of {}",
            at(0.5),
            at(0.95),
            at(0.99),
            late[late.len() - 1],
            late.len()
        )
    }
}
