//! What links with other servers cost: two servers in processes of their own, one of which hosts many names. Memory of an idle
//! link that goes both ways, at both its ends; CPU of a message, for each of the two; and what a domain that cannot be reached
//! costs the others while many messages wait for it. Seen from outside, from /proc.
//! Run with `cargo bench --bench federation [NAMES]`.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs
)]

use std::fmt::Write as _;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use tokio::task::JoinSet;
use waxwing::admin::Password;
use waxwing::admin::cli::Program as _;
use waxwing::config::{Request, load};
use waxwing::proto::{Jid, ns};
use waxwing::server::Waxwing;

#[path = "../examples/client/mod.rs"]
mod client;
#[path = "compare/procfs.rs"]
#[allow(dead_code)]
mod procfs;

use client::{Client, Trust};
use procfs::{cpu_seconds, rss};

const PASSWORD: &str = "pencil";
/// Where the first server, the second, and nobody is.
const ADDRESSES: [&str; 4] = ["127.83.1.1", "127.83.1.2", "127.83.1.3", "127.83.1.4"];
const PORT: u16 = 52_690;
/// Pairs that chat, and messages each has under way.
const PAIRS: usize = 20;
const WINDOW: usize = 4;
const MEASURED: Duration = Duration::from_secs(5);
const ROUNDS: usize = 7;
/// A pause in which servers finish what they do.
const SETTLE: Duration = Duration::from_secs(5);
/// Messages that wait for who cannot be reached.
const WAITING: usize = 10_000;

/// Messages so far.
static SAID: AtomicU64 = AtomicU64::new(0);

/// A server in a process of its own.
struct Server {
    child: Child,
    clients: SocketAddr,
    trust: Trust,
}

/// A server, and those of its people who chat over a link.
struct Side<'a> {
    server: &'a Server,
    pairs: Vec<(Client, Client)>,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Certificates of one authority.
struct Authority {
    issuer: Issuer<'static, KeyPair>,
    file: PathBuf,
}

impl Authority {
    fn new(folder: &Path) -> Authority {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let file = folder.join("authority.pem");
        fs::write(&file, params.self_signed(&key).unwrap().pem()).unwrap();
        Authority {
            issuer: Issuer::new(params, key),
            file,
        }
    }

    /// A certificate with its key, and how clients know it.
    fn issue(&self, folder: &Path, name: &str) -> (PathBuf, Trust) {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        let made = params.signed_by(&key, &self.issuer).unwrap();
        let file = folder.join(format!("{}.pem", name.trim_start_matches("*.")));
        fs::write(&file, made.pem() + &key.serialize_pem()).unwrap();
        let print = ring::digest::digest(&ring::digest::SHA256, made.der());
        (file, Trust::Fingerprint(print.as_ref().try_into().unwrap()))
    }
}

/// Starts a server for these hosts, all with one certificate; with accounts `u0`… at the first of them.
fn start(
    folder: &Path,
    authority: &Authority,
    (name, hosts): (&str, &[String]),
    at: usize,
    peers: &[(String, usize)],
) -> Server {
    let (certificate, trust) = authority.issue(folder, name);
    let data = folder.join(&hosts[0]);
    let mut text = format!(
        "[server]\ndata_dir = {data:?}\n[store]\nreserve = 0\n[log]\nlevel = \"warn,waxwing::server=info\"\n\
         [[listen]]\naddress = \"127.0.0.1:0\"\n[auth]\nscram_iterations = 4096\n\
         [limits.session]\nstanzas_per_second = 1000000\n\
         [federation]\nenabled = true\nlisten = [\"{}:{PORT}\"]\nauthorities = [{:?}]\n\
         connections_per_address = 100000\nqueue_messages = 100000\n\
         stanzas_per_second = 1000000\ndomain_stanzas_per_second = 1000000\n",
        ADDRESSES[at], authority.file
    );
    for host in hosts {
        let _ = writeln!(text, "[hosts.{host:?}]\ncertificate = {certificate:?}");
    }
    for (domain, at) in peers {
        let _ = writeln!(
            text,
            "[[federation.peers]]\ndomain = {domain:?}\naddress = \"{}\"\nport = {PORT}",
            ADDRESSES[*at]
        );
    }
    let config = folder.join(format!("{}.toml", hosts[0]));
    fs::write(&config, text).unwrap();
    accounts(&config, &hosts[0]);
    let log = folder.join(format!("{}.log", hosts[0]));
    // `Server` waits for it.
    #[allow(clippy::zombie_processes)]
    let child = Command::new(env!("CARGO_BIN_EXE_waxwing"))
        .arg("--config")
        .arg(&config)
        .arg("serve")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(fs::File::create(&log).unwrap())
        .spawn()
        .unwrap();
    let began = Instant::now();
    loop {
        let said = fs::read_to_string(&log).unwrap();
        let listens = said
            .lines()
            .find(|line| line.contains("clients can connect"));
        if let Some((_, rest)) = listens.and_then(|line| line.split_once("address=")) {
            let clients = rest.split_whitespace().next().unwrap().parse().unwrap();
            return Server {
                child,
                clients,
                trust,
            };
        }
        assert!(began.elapsed() < Duration::from_secs(120), "{said}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn accounts(config: &Path, host: &str) {
    let request = Request {
        file: Some(config.to_owned()),
        environment: Vec::new(),
        sets: Vec::new(),
    };
    let loaded = load(&request, &Waxwing::default().modules()).unwrap_or_else(|e| panic!("{e}"));
    let acts = Waxwing::default().acts(&loaded).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    for n in 0..PAIRS {
        let account = Jid::new(Some(&format!("u{n}")), host, None).unwrap();
        let password = Password(PASSWORD.to_owned());
        let made = acts.accounts().create(&account, &password);
        runtime.block_on(made).unwrap();
    }
}

impl Server {
    async fn client(&self, jid: &str) -> Client {
        let builder = Client::builder(jid, PASSWORD)
            .trust(self.trust.clone())
            .patience(Duration::from_secs(60));
        let mut client = builder.connect(self.clients).await.unwrap();
        client.presence().await.unwrap();
        client
    }

    fn cpu(&self) -> f64 {
        cpu_seconds(self.child.id())
    }

    fn memory(&self) -> f64 {
        rss(self.child.id())
    }
}

fn main() {
    let named = std::env::args().skip(1).find_map(|arg| arg.parse().ok());
    let names: usize = named.unwrap_or(1_000);
    procfs::raise_descriptor_limit();
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new(folder.path());
    let others: Vec<String> = (0..names).map(|n| format!("n{n}.b.example")).collect();
    let mut peers: Vec<(String, usize)> = others.iter().map(|name| (name.clone(), 1)).collect();
    peers.push(("away.example".to_owned(), 2));
    let one = ["a.example".to_owned()];
    let a = start(folder.path(), &authority, ("a.example", &one), 0, &peers);
    let back = [("a.example".to_owned(), 0), ("c.example".to_owned(), 3)];
    let b = start(
        folder.path(),
        &authority,
        ("*.b.example", &others),
        1,
        &back,
    );
    let free = ["c.example".to_owned()];
    let c = start(folder.path(), &authority, ("c.example", &free), 3, &peers);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build();
    runtime.unwrap().block_on(async {
        links(&a, &b, &others).await;
        let side = async |server, domain| Side {
            server,
            pairs: pairs(server, domain, &b, &others[0]).await,
        };
        away(side(&c, "c.example").await, side(&a, "a.example").await, &b).await;
    });
}

/// Idle links: one to every name.
async fn links(a: &Server, b: &Server, others: &[String]) {
    let mut client = a.client("u0@a.example").await;
    // What servers allocate once is not the links'.
    speak(&mut client, &others[..1]).await;
    tokio::time::sleep(SETTLE).await;
    let before = (a.memory(), b.memory());
    let rest = &others[1..];
    for some in rest.chunks(50) {
        speak(&mut client, some).await;
    }
    tokio::time::sleep(SETTLE).await;
    let each = |after: f64, before: f64| (after - before) / 1024.0 / rest.len().max(1) as f64;
    println!(
        "{} idle links both ways: {:.1} KB each where they were opened, {:.1} KB each at the other end",
        rest.len(),
        each(a.memory(), before.0),
        each(b.memory(), before.1)
    );
    client.close().await.unwrap();
}

/// Asks something of every name, which takes a link.
async fn speak(client: &mut Client, names: &[String]) {
    for name in names {
        let ping = format!(
            "<iq type='get' id='{name}' to='{name}'><ping xmlns='{}'/></iq>",
            ns::PING
        );
        client.send(ping.as_str()).await.unwrap();
    }
    for _ in names {
        let answers = |el: &waxwing::xml::Element| el.is("iq", ns::CLIENT);
        let answer = client.wait_for("an answer", answers).await.unwrap();
        assert_eq!(answer.attr("type"), Some("result"), "{answer:?}");
    }
}

/// Those who chat with each other over the link.
async fn pairs(a: &Server, domain: &str, b: &Server, host: &str) -> Vec<(Client, Client)> {
    let mut pairs = Vec::new();
    for n in 0..PAIRS {
        let here = a.client(&format!("u{n}@{domain}")).await;
        let there = b.client(&format!("u{n}@{host}")).await;
        pairs.push((here, there));
    }
    pairs
}

/// All chat as fast as answers come: microseconds of CPU a message, of both servers.
async fn chat(
    a: &Server,
    b: &Server,
    pairs: Vec<(Client, Client)>,
    kept: bool,
) -> (Vec<(Client, Client)>, [f64; 2]) {
    let before = [a.cpu(), b.cpu()];
    let until = Instant::now() + MEASURED;
    let mut running = JoinSet::new();
    for (mut here, mut there) in pairs {
        running.spawn(async move {
            let (mine, theirs) = (here.jid.to_string(), there.jid.to_string());
            for _ in 0..WINDOW {
                say(&mut here, &theirs, kept).await;
            }
            let mut delivered = 0usize;
            let mut under_way = WINDOW;
            while under_way > 0 {
                let goes_on = Instant::now() < until;
                let got = tokio::select! {
                    got = there.next(Duration::from_secs(30)) => (got, true),
                    got = here.next(Duration::from_secs(30)) => (got, false),
                };
                let got_message = got.0.expect("a message").is("message", ns::CLIENT);
                if !got_message {
                    continue;
                }
                delivered += 1;
                match (goes_on, got.1) {
                    (true, true) => say(&mut there, &mine, kept).await,
                    (true, false) => say(&mut here, &theirs, kept).await,
                    (false, _) => under_way -= 1,
                }
            }
            ((here, there), delivered)
        });
    }
    let (mut pairs, mut delivered) = (Vec::new(), 0);
    while let Some(done) = running.join_next().await {
        let (pair, count) = done.unwrap();
        pairs.push(pair);
        delivered += count;
    }
    let each = |at: usize, now: f64| (now - before[at]) * 1e6 / delivered as f64;
    (pairs, [each(0, a.cpu()), each(1, b.cpu())])
}

async fn say(client: &mut Client, to: &str, kept: bool) {
    let hint = match kept {
        true => "",
        false => "<no-store xmlns='urn:xmpp:hints'/>",
    };
    // The same id would be the same message again.
    let id = SAID.fetch_add(1, Ordering::Relaxed);
    let message = format!(
        "<message type='chat' id='m{id}' to='{to}'><body>What light through yonder window breaks?</body>{hint}</message>"
    );
    client.send(message.as_str()).await.unwrap();
}

/// What messages cost a server for which nobody is away, and beside it one where many wait for a domain that cannot be
/// reached: in turns, for nothing else stays the same on a machine.
async fn away(free: Side<'_>, burdened: Side<'_>, b: &Server) {
    let mut sides = [free, burdened];
    let sender = &mut sides[1].pairs[0].0;
    for n in 0..WAITING {
        say(sender, "nobody@away.example", true).await;
        if n % 100 == 99 {
            sender
                .request("get", None, waxwing::xml::Element::new("ping", ns::PING))
                .await
                .unwrap();
        }
    }
    tokio::time::sleep(SETTLE).await;
    for kept in [false, true] {
        let mut costs = [Vec::new(), Vec::new()];
        let mut others = Vec::new();
        for round in 0..=ROUNDS {
            for (side, costs) in sides.iter_mut().zip(&mut costs) {
                let pairs = std::mem::take(&mut side.pairs);
                let (pairs, cost) = chat(side.server, b, pairs, kept).await;
                side.pairs = pairs;
                if round > 0 {
                    costs.push(cost[0]);
                    others.push(cost[1]);
                }
            }
        }
        let [free, burdened] = costs.map(median);
        println!(
            "a message, {}: {free:.1} µs of CPU where it is sent from, {:.1} µs at the other end; {burdened:.1} µs \
             where {WAITING} wait for who is away ({:+.1} %; medians of {ROUNDS} rounds)",
            if kept { "kept on disk" } else { "not stored" },
            median(others),
            (burdened / free - 1.0) * 100.0
        );
    }
}

fn median(mut costs: Vec<f64>) -> f64 {
    costs.sort_by(f64::total_cmp);
    costs[costs.len() / 2]
}
