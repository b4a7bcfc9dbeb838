//! What a block list costs: CPU of the whole process (server and both clients, without TLS) for each message between two
//! accounts that block nobody, and between two that block N each; and of the check alone. Run with
//! `cargo bench --bench blocking [N]`.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs
)]

use std::hint::black_box;
use std::net::SocketAddr;
use std::time::Duration;

use waxwing::admin::Password;
use waxwing::config::{Request, load};
use waxwing::hooks::{Listed, Uid};
use waxwing::proto::{Jid, ns};
use waxwing::server::Server;
use waxwing::state::blocklist::BlockList;
use waxwing::store::Batch;
use waxwing::xml::Element;

#[path = "../examples/client/mod.rs"]
mod client;

use client::{Client, Security};

const PASSWORD: &str = "pencil";
/// Messages of one round that are not stored, and that are; so many under way at a time, and rounds of each kind.
const MESSAGES: [usize; 2] = [20_000, 5_000];
const WINDOW: usize = 50;
const ROUNDS: usize = 15;
/// Checks of one measurement.
const CHECKS: u32 = 10_000_000;

struct Pair {
    blocked: usize,
    alice: Client,
    bob: Client,
    /// Messages so far.
    said: usize,
    /// Nanoseconds a message, round by round.
    costs: Vec<f64>,
}

fn main() {
    let named = std::env::args().skip(1).find_map(|arg| arg.parse().ok());
    let entries: usize = named.unwrap_or(1_000);
    for length in [0, entries] {
        println!("the check alone, list of {length}: {:.1} ns", check(length));
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    runtime.unwrap().block_on(route(entries));
}

/// Nanoseconds of one look into a list that does not have who is asked about.
fn check(length: usize) -> f64 {
    let mut list = BlockList::default();
    for n in 0..length {
        list.add(&mut Batch::new(), Uid(1), &blocked(n));
    }
    let who = Jid::parse("juliet@capulet.example/balcony").unwrap();
    let began = cpu();
    for _ in 0..CHECKS {
        assert!(!black_box(&list).blocks(black_box(&who)));
    }
    (cpu() - began).as_nanos() as f64 / f64::from(CHECKS)
}

async fn route(entries: usize) {
    let folder = tempfile::tempdir().unwrap();
    let server = start(folder.path(), entries).await;
    let address = server.addresses()[0];
    for stored in [false, true] {
        let mut pairs = Vec::new();
        for blocked in [0, entries] {
            pairs.push(pair(&server, address, blocked, stored).await);
        }
        for round in 0..=ROUNDS {
            // What one leaves to be compacted must not always be the other's to pay.
            pairs.reverse();
            for pair in &mut pairs {
                let cost = pair.talk(stored).await;
                if round > 0 {
                    pair.costs.push(cost);
                }
            }
        }
        pairs.sort_by_key(|pair| pair.blocked);
        for pair in &mut pairs {
            pair.costs.sort_by(f64::total_cmp);
            let costs = &pair.costs;
            println!(
                "a message{}, lists of {}: {:.0} ns (median; {:.0} to {:.0} in {ROUNDS} rounds)",
                if stored { ", stored" } else { "" },
                pair.blocked,
                costs[ROUNDS / 2],
                costs[0],
                costs[ROUNDS - 1],
            );
        }
    }
    server.stop().await;
}

async fn start(folder: &std::path::Path, entries: usize) -> Server {
    let file = folder.join("waxwing.toml");
    let data = folder.join("data");
    let text = format!(
        "[server]\ndata_dir = {data:?}\n[hosts.localhost]\n[[listen]]\naddress = \"127.0.0.1:0\"\ntls = \"none\"\n\
         [auth]\nscram_iterations = 4096\n[modules.blocking]\nentries = {}\n[store]\nreserve = \"0B\"\n\
         [limits.session]\nstanzas_per_second = 1000000\nbytes_per_second = \"1GiB\"\n",
        entries.max(1)
    );
    std::fs::write(&file, text).unwrap();
    let request = Request {
        file: Some(file),
        environment: Vec::new(),
        sets: Vec::new(),
    };
    let modules: Vec<_> = waxwing::modules::LIST
        .iter()
        .map(Listed::settings)
        .collect();
    let loaded = load(&request, &modules).unwrap_or_else(|error| panic!("{error}"));
    Server::start(&loaded.config).await.unwrap()
}

async fn pair(server: &Server, address: SocketAddr, blocked: usize, stored: bool) -> Pair {
    let mut clients = Vec::new();
    for name in ["alice", "bob"] {
        let jid = Jid::parse(&format!("{name}{blocked}{stored}@localhost")).unwrap();
        let password = Password(PASSWORD.to_owned());
        server
            .acts()
            .accounts()
            .create(&jid, &password)
            .await
            .unwrap();
        let builder = Client::builder(jid.as_str(), PASSWORD).security(Security::Plain);
        let mut client = builder.connect(address).await.unwrap();
        if blocked > 0 {
            let item =
                |n| Element::new("item", ns::BLOCKING).with_attr("jid", self::blocked(n).as_str());
            let block = Element::new("block", ns::BLOCKING).with_children((0..blocked).map(item));
            client.request("set", None, block).await.unwrap();
        }
        client.presence().await.unwrap();
        client.roster().await.unwrap();
        clients.push(client);
    }
    let [alice, bob] = clients.try_into().unwrap_or_else(|_| unreachable!());
    Pair {
        blocked,
        alice,
        bob,
        said: 0,
        costs: Vec::new(),
    }
}

impl Pair {
    /// Nanoseconds of CPU for each message.
    async fn talk(&mut self, stored: bool) -> f64 {
        let to = self.bob.jid.bare();
        let hint = match stored {
            true => "",
            false => "<no-store xmlns='urn:xmpp:hints'/>",
        };
        let body = "x".repeat(100);
        let messages = MESSAGES[usize::from(stored)];
        let windows: Vec<String> = (0..messages / WINDOW)
            .map(|_| {
                // The same id would be the same message again.
                let ids = self.said..self.said + WINDOW;
                self.said = ids.end;
                let message = |id| {
                    format!("<message to='{to}' type='chat' id='m{id}'><body>{body}</body>{hint}</message>")
                };
                ids.map(message).collect()
            })
            .collect();
        let used = cpu();
        for many in &windows {
            self.alice.send(many.as_str()).await.unwrap();
            let mut left = WINDOW;
            while left > 0 {
                let next = self.bob.next(Duration::from_secs(10)).await.unwrap();
                left -= usize::from(next.is("message", ns::CLIENT));
            }
        }
        (cpu() - used).as_nanos() as f64 / messages as f64
    }
}

fn blocked(n: usize) -> Jid {
    Jid::parse(&format!("somebody-unwanted-{n}@spam{}.example", n % 50)).unwrap()
}

/// CPU time of this process.
fn cpu() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}
