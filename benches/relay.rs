//! What the relay for calls costs beside coturn: CPU of the server for each packet that it passes on, of the size of voice and of
//! video, and memory for each address that nobody uses. Needs coturn (`turnserver`). Run with `cargo bench --bench relay [PACKETS]`.
//!
//! Each server is a process of its own. Clients have a channel each to a peer of their own, which sends back what it
//! gets; runs of the two servers alternate. At last the highest pace is looked for at which no packet is lost.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs
)]

use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tokio::net::UdpSocket;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use waxwing::proto::ns;
use waxwing::relay::credentials::{long_term_key, name, password};
use waxwing::relay::stun::{Class, Message, Method, Writer, attribute};
use waxwing::xml::Element;

#[path = "../examples/client/mod.rs"]
mod client;
#[path = "compare/procfs.rs"]
mod procfs;

use client::{Client, Security};

const PASSWORD: &str = "pencil";
const SECRET: &str = "north";
const REALM: &str = "localhost";
const XMPP: &str = "127.0.0.1:25222";
const WAXWING: &str = "127.0.0.1:23478";
const COTURN: &str = "127.0.0.1:23479";
/// Bytes of a packet of voice, and of video.
const SIZES: [usize; 2] = [200, 1_200];
const RUNS: usize = 5;
/// Clients that send, and packets a second of all of them.
const CLIENTS: usize = 20;
const PACE: usize = 10_000;
/// Steps towards the highest pace, and how long each takes.
const CLOSER: usize = 4;
const SECONDS: usize = 3;
/// Addresses of the measurement of memory.
const IDLE: usize = 1_000;
const PATIENCE: Duration = Duration::from_secs(5);
const MISMATCH: u16 = 437;
const CHANNEL: [u8; 2] = [0x40, 0x01];

/// A relay to be measured.
struct Server {
    name: &'static str,
    address: SocketAddr,
    process: Child,
    username: String,
    password: String,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn main() {
    let named = std::env::args().skip(1).find_map(|arg| arg.parse().ok());
    let packets: usize = named.unwrap_or(100_000);
    procfs::raise_descriptor_limit();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build();
    runtime.unwrap().block_on(measure(packets));
}

async fn measure(packets: usize) {
    let folder = tempfile::tempdir().unwrap();
    let servers = [waxwing(folder.path()).await, coturn(folder.path()).await];
    // Before any load, which would leave free memory behind that hides what an address takes.
    for server in &servers {
        idle(server).await;
    }
    for size in SIZES {
        cost(&servers, size, packets).await;
    }
    for server in &servers {
        rate(server).await;
    }
}

async fn idle(server: &Server) {
    Run::new(server, CLIENTS).await.end().await;
    let pid = server.process.id();
    let before = procfs::rss(pid);
    let run = Run::new(server, IDLE).await;
    let each = (procfs::rss(pid) - before) / IDLE as f64;
    println!(
        "{}: {each:.0} bytes for each of {IDLE} addresses that nobody uses",
        server.name
    );
    run.end().await;
}

async fn cost(servers: &[Server; 2], size: usize, packets: usize) {
    let mut costs = [Vec::new(), Vec::new()];
    for run in 1..=RUNS {
        for (server, costs) in servers.iter().zip(&mut costs) {
            let clients = Run::new(server, CLIENTS).await;
            let done = clients.go(size, packets, PACE).await;
            println!("run {run}, {size} bytes, {}: {done}", server.name);
            costs.push(done.micros);
        }
    }
    let [ours, theirs] = costs.map(median);
    let ratio = ours / theirs;
    println!(
        "{size} bytes: waxwing {ours:.2} µs, coturn {theirs:.2} µs a packet (medians): {ratio:.2} of it"
    );
}

/// The highest pace without loss: doubled until there is some, then closer from both sides.
async fn rate(server: &Server) {
    let (mut whole, mut lossy) = (0, PACE);
    let mut reached = 0;
    while lossy <= PACE << 5 {
        match without_loss(server, lossy).await {
            Some(pace) => (whole, reached, lossy) = (lossy, pace, lossy * 2),
            None => break,
        }
    }
    for _ in 0..CLOSER {
        let between = whole.midpoint(lossy);
        match without_loss(server, between).await {
            Some(pace) => (whole, reached) = (between, pace),
            None => lossy = between,
        }
    }
    println!(
        "{}: {reached} packets a second of {} bytes without loss",
        server.name, SIZES[0]
    );
}

/// The pace that was reached; loss by chance is not counted twice.
async fn without_loss(server: &Server, pace: usize) -> Option<usize> {
    for _ in 0..2 {
        let clients = Run::new(server, CLIENTS).await;
        let done = clients.go(SIZES[0], pace * SECONDS, pace).await;
        println!("{}, {pace} a second there and back: {done}", server.name);
        if done.lost == 0 {
            return Some(done.pace);
        }
    }
    None
}

fn median(mut costs: Vec<f64>) -> f64 {
    costs.sort_by(f64::total_cmp);
    costs[costs.len() / 2]
}

async fn waxwing(folder: &Path) -> Server {
    let config = folder.join("waxwing.toml");
    let text = format!(
        "[server]\ndata_dir = {:?}\n[hosts.localhost]\n[[listen]]\naddress = \"{XMPP}\"\ntls = \"none\"\n[store]\nreserve = \"0B\"\n\
         [relay]\nlisten = [\"{WAXWING}\"]\ntls_listen = [\"127.0.0.1:0\"]\nprivate_addresses = [\"127.0.0.1\"]\nallocations = 2000\n\
         allocations_per_account = 2000\nbytes_per_second = \"1GiB\"\nbytes_per_second_total = \"1GiB\"\nanswers_per_second = 100000\n\
         [log]\nlevel = \"warn\"\n",
        folder.join("data")
    );
    std::fs::write(&config, text).unwrap();
    let program = || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_waxwing"));
        command.arg("--config").arg(&config);
        command
    };
    let process = program()
        .arg("serve")
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut server = Server {
        name: "waxwing",
        address: WAXWING.parse().unwrap(),
        process,
        username: String::new(),
        password: String::new(),
    };
    let began = Instant::now();
    while std::net::TcpStream::connect(XMPP).is_err() {
        assert!(began.elapsed() < PATIENCE, "waxwing does not start");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let mut adding = program()
        .args(["user", "add", "juliet@localhost", "--stdin"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    std::io::Write::write_all(&mut adding.stdin.take().unwrap(), PASSWORD.as_bytes()).unwrap();
    assert!(adding.wait().unwrap().success());
    let client = Client::builder("juliet@localhost", PASSWORD).security(Security::Plain);
    let mut client = client.connect(XMPP.parse().unwrap()).await.unwrap();
    let services = Element::new("services", ns::EXTDISCO).with_attr("type", "turn");
    let answer = client
        .request("get", Some("localhost"), services)
        .await
        .unwrap();
    let services = answer.child("services", ns::EXTDISCO).unwrap();
    let turn = services.children().next().unwrap();
    server.username = turn.attr("username").unwrap().to_owned();
    server.password = turn.attr("password").unwrap().to_owned();
    server
}

async fn coturn(folder: &Path) -> Server {
    let address: SocketAddr = COTURN.parse().unwrap();
    let process = Command::new("turnserver")
        .args([
            "-n",
            "--listening-ip=127.0.0.1",
            "--relay-ip=127.0.0.1",
            "--use-auth-secret",
            "--no-cli",
        ])
        .args([
            "--no-tls",
            "--no-dtls",
            "--allow-loopback-peers",
            "--log-file=stdout",
            "--relay-threads=1",
        ])
        .arg(format!("--listening-port={}", address.port()))
        .arg(format!("--static-auth-secret={SECRET}"))
        .arg(format!("--realm={REALM}"))
        .arg(format!("--pidfile={}", folder.join("coturn.pid").display()))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("coturn is installed");
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let username = name(now.as_secs() + 86_400, "bench");
    tokio::time::sleep(Duration::from_secs(1)).await;
    Server {
        name: "coturn",
        address,
        process,
        password: password(SECRET.as_bytes(), &username),
        username,
    }
}

/// One client with an address at the relay and a channel to the peer.
struct Caller {
    socket: UdpSocket,
    relay: SocketAddr,
    username: String,
    key: [u8; 16],
    nonce: String,
}

impl Caller {
    async fn new(server: &Server, peer: SocketAddr) -> Caller {
        let mut caller = Caller {
            socket: socket().await,
            relay: server.address,
            username: server.username.clone(),
            key: long_term_key(&server.username, REALM, &server.password),
            nonce: String::new(),
        };
        // The port of a client that is gone may be known to the relay a little longer: another one then (RFC 8656 §7.4).
        while caller.ask(Method::Allocate, put_udp).await == Err(MISMATCH) {
            caller.socket = socket().await;
            caller.nonce.clear();
        }
        let [a, b] = CHANNEL;
        let bound = caller.ask(Method::ChannelBind, |writer| {
            writer
                .put(attribute::CHANNEL_NUMBER, &[a, b, 0, 0])
                .address(attribute::XOR_PEER_ADDRESS, peer)
        });
        bound.await.unwrap();
        caller
    }

    /// The code of the error if it is refused.
    async fn ask(
        &mut self,
        method: Method,
        fill: impl Fn(Writer<'_>) -> Writer<'_>,
    ) -> Result<(), u16> {
        let mut answer = [0; 1_500];
        for _ in 0..3 {
            let mut bytes = Vec::new();
            let transaction = waxwing::runtime::random::bytes();
            let writer = Writer::new(&mut bytes, Class::Request, method, transaction);
            let writer = fill(writer);
            // Who has no nonce asks for one (RFC 8489 §9.2.3).
            match self.nonce.as_str() {
                "" => writer.fingerprint(),
                nonce => writer
                    .put(attribute::USERNAME, self.username.as_bytes())
                    .put(attribute::REALM, REALM.as_bytes())
                    .put(attribute::NONCE, nonce.as_bytes())
                    .sealed(&self.key)
                    .fingerprint(),
            };
            self.socket.send_to(&bytes, self.relay).await.unwrap();
            let message = timeout(PATIENCE, self.answer(&mut answer, transaction)).await;
            let message = message.expect("the relay answers");
            if message.class == Class::Success {
                return Ok(());
            }
            let code = message.attribute(attribute::ERROR_CODE).unwrap();
            match message.text(attribute::NONCE) {
                Some(nonce) => self.nonce = nonce.to_owned(),
                None => return Err(u16::from(code[2]) * 100 + u16::from(code[3])),
            }
        }
        panic!("{method:?} is not answered with success");
    }
}

impl Caller {
    /// What else comes is data that is late.
    async fn answer<'a>(&self, room: &'a mut [u8], transaction: [u8; 12]) -> Message<'a> {
        loop {
            let (length, _) = self.socket.recv_from(room).await.unwrap();
            let answers = |message: Message<'_>| message.transaction == transaction;
            if Message::parse(&room[..length]).is_ok_and(answers) {
                return Message::parse(&room[..length]).unwrap();
            }
        }
    }
}

fn put_udp(writer: Writer<'_>) -> Writer<'_> {
    writer.put(attribute::REQUESTED_TRANSPORT, &[17, 0, 0, 0])
}

/// One in which as much may wait as the system lets: what is lost shall be lost at the relay.
async fn socket() -> UdpSocket {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let _ = socket2::SockRef::from(&socket).set_recv_buffer_size(4 << 20);
    socket
}

/// Clients of one server, and their peers, which send back.
struct Run {
    pid: u32,
    callers: Arc<Vec<Caller>>,
    got: Arc<AtomicUsize>,
    tasks: Vec<JoinHandle<()>>,
}

/// What came of a run.
struct Done {
    micros: f64,
    lost: usize,
    pace: usize,
}

impl std::fmt::Display for Done {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{:.2} µs a packet, {} lost, {} a second",
            self.micros, self.lost, self.pace
        )
    }
}

impl Run {
    async fn new(server: &Server, clients: usize) -> Run {
        let (mut callers, mut tasks) = (Vec::new(), Vec::new());
        for _ in 0..clients {
            let peer = socket().await;
            callers.push(Caller::new(server, peer.local_addr().unwrap()).await);
            tasks.push(tokio::spawn(send_back(peer)));
        }
        let (callers, got) = (Arc::new(callers), Arc::new(AtomicUsize::new(0)));
        for at in 0..callers.len() {
            let (callers, got) = (callers.clone(), got.clone());
            tasks.push(tokio::spawn(async move {
                let mut bytes = [0; 2_000];
                while callers[at].socket.recv_from(&mut bytes).await.is_ok() {
                    got.fetch_add(1, Relaxed);
                }
            }));
        }
        Run {
            pid: server.process.id(),
            callers,
            got,
            tasks,
        }
    }

    /// Sends so many packets at that pace; each goes to the peer and comes back, which is two for the relay.
    async fn go(self, size: usize, packets: usize, pace: usize) -> Done {
        let [a, b] = CHANNEL;
        let [c, d] = (size as u16).to_be_bytes();
        let packet = [vec![a, b, c, d], vec![7; size]].concat();
        let (before, began) = (procfs::cpu_seconds(self.pid), Instant::now());
        let mut sent = 0;
        while sent < packets {
            let due = (began.elapsed().as_secs_f64() * pace as f64) as usize;
            while sent < due.min(packets) {
                let caller = &self.callers[sent % self.callers.len()];
                caller.socket.send_to(&packet, caller.relay).await.unwrap();
                sent += 1;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let took = began.elapsed().as_secs_f64();
        tokio::time::sleep(Duration::from_millis(300)).await;
        let spent = procfs::cpu_seconds(self.pid) - before;
        let got = self.got.load(Relaxed);
        self.end().await;
        Done {
            micros: spent * 1e6 / (packets + got) as f64,
            lost: packets - got,
            pace: (2.0 * packets as f64 / took) as usize,
        }
    }

    /// Gives the addresses back.
    async fn end(self) {
        for task in &self.tasks {
            task.abort();
        }
        for task in self.tasks {
            let _ = task.await;
        }
        let Some(callers) = Arc::into_inner(self.callers) else {
            return;
        };
        for mut caller in callers {
            let over = caller.ask(Method::Refresh, |writer| {
                writer.put(attribute::LIFETIME, &[0; 4])
            });
            over.await.unwrap();
        }
    }
}

async fn send_back(peer: UdpSocket) {
    let mut bytes = [0; 2_000];
    while let Ok((length, from)) = peer.recv_from(&mut bytes).await {
        let _ = peer.send_to(&bytes[..length], from).await;
    }
}
