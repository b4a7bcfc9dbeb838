//! What the web side costs the server: messages over WebSockets beside the same over TCP, in turns; idle sessions; a large file
//! up and down beside nginx (Debian's `nginx-light`), where that is installed, in turns too and over the same TLS. CPU and memory
//! of the processes, from /proc. What nginx does not do counts as waxwing's: before it says `201` the file is hashed, and on the
//! disk for good, while nginx leaves that to the kernel, whose time nobody counts.
//! Run with `cargo bench --bench web [messages] [sessions] [files] [MIB]`: all of it, and a file of 1,024 MiB, unless it is said
//! otherwise.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs
)]

use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{CipherSuite, ProtocolVersion};
use waxwing::proto::{MessageType, Stanza, ns};
use waxwing::xml::Element;

#[path = "../examples/client/mod.rs"]
mod client;
#[path = "../tests/support/process.rs"]
#[allow(dead_code)]
mod process;
#[path = "compare/procfs.rs"]
#[allow(dead_code)]
mod procfs;

use client::{Client, Security, Trust};
use process::{Process, jid};
use procfs::{cpu_seconds, rss};

/// What may be asked for alone.
const PARTS: [&str; 3] = ["messages", "sessions", "files"];
const ROUNDS: usize = 5;
const MESSAGES: usize = 20_000;
/// Messages under way at once.
const WINDOW: usize = 50;
const IDLE: usize = 2_000;
/// Those before, who are not counted.
const WARM: usize = 50;
const URL: &str = "https://localhost:5443";
/// The path of a file on nginx.
const FILE: &str = "/file.bin";
/// Bytes that are written and read at once.
const PIECE: usize = 64 * 1024;
/// Bounds that would be measured instead of the server.
const UNBOUNDED: &[&str] = &[
    "limits.connections.unauthenticated=20000",
    "limits.session.stanzas_per_second=1000000",
    "limits.session.bytes_per_second=1GiB",
    "http.connections=20000",
    "hosts.localhost.url=https://localhost:5443",
    "modules.upload.size=64GiB",
    "modules.upload.bytes=1024GiB",
    "modules.upload.day=1024GiB",
    "modules.upload.total=0",
];

const WAYS: [(&str, Security); 2] = [
    ("TCP", Security::Direct),
    ("WebSocket", Security::WebSocket),
];

fn main() {
    let wanted: Vec<String> = std::env::args().skip(1).collect();
    let bytes = wanted.iter().find_map(|arg| arg.parse::<u64>().ok());
    let bytes = bytes.unwrap_or(1_024) << 20;
    let named = |part: &str| wanted.iter().any(|arg| arg == part);
    let all = !PARTS.iter().any(|part| named(part));
    let wants = |part| all || named(part);
    procfs::raise_descriptor_limit();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build();
    runtime.unwrap().block_on(async {
        if wants("messages") {
            messages().await;
        }
        if wants("sessions") {
            sessions().await;
        }
        if wants("files") {
            files(bytes).await;
        }
    });
}

async fn connect(server: &Process, name: &str, security: Security) -> Client {
    let client = server.client(name).security(security);
    let client = client.resource(&format!("r{}", waxwing::runtime::random::id()));
    client.connect(server.addr).await.unwrap()
}

/// Microseconds of CPU for one message, in turns.
async fn messages() {
    let server = Process::start(&["romeo", "juliet"], UNBOUNDED);
    let mut costs: [Vec<f64>; 2] = Default::default();
    for _ in 0..ROUNDS {
        for (costs, (_, security)) in costs.iter_mut().zip(WAYS) {
            let mut romeo = connect(&server, "romeo", security).await;
            let mut juliet = connect(&server, "juliet", security).await;
            juliet.presence().await.unwrap();
            let before = cpu_seconds(server.id());
            for _ in 0..MESSAGES / WINDOW {
                for _ in 0..WINDOW {
                    let message = Stanza::message(MessageType::Chat)
                        .with_to(jid("juliet"))
                        .with_child(Element::new("no-store", ns::HINTS))
                        .with_child(Element::new("body", ns::CLIENT).with_text("art thou there?"));
                    romeo.send(message).await.unwrap();
                }
                for _ in 0..WINDOW {
                    let is_message = |el: &Element| el.is("message", ns::CLIENT);
                    juliet.wait_for("a message", is_message).await.unwrap();
                }
            }
            costs.push((cpu_seconds(server.id()) - before) * 1e6 / MESSAGES as f64);
            romeo.close().await.unwrap();
            juliet.close().await.unwrap();
        }
    }
    let [tcp, websocket] = costs.map(middle);
    println!(
        "message: {tcp:.1} µs of CPU over TCP, {websocket:.1} over WebSockets, {:.2}× (middle of {ROUNDS} rounds of {MESSAGES})",
        websocket / tcp
    );
}

fn middle(mut costs: Vec<f64>) -> f64 {
    costs.sort_by(f64::total_cmp);
    costs[costs.len() / 2]
}

/// Memory of one session that does nothing, of an account of its own.
async fn sessions() {
    let names: Vec<String> = (0..IDLE + WARM).map(|n| format!("u{n}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    for (way, security) in WAYS {
        let server = Process::start(&names, UNBOUNDED);
        let (warm, others) = names.split_at(WARM);
        let mut clients = Vec::new();
        for name in warm {
            clients.push(connect(&server, name, security).await);
        }
        let before = rss(server.id());
        let began = Instant::now();
        for name in others {
            clients.push(connect(&server, name, security).await);
        }
        let took = began.elapsed();
        tokio::time::sleep(Duration::from_secs(5)).await;
        let each = (rss(server.id()) - before) / IDLE as f64 / 1000.0;
        println!(
            "idle session over {way}: {each:.1} KB of memory ({IDLE} connected in {took:.1?})"
        );
    }
}

/// A file up and down, in turns: CPU for each GiB, and memory, of waxwing and of nginx.
async fn files(bytes: u64) {
    let server = Process::start(&["romeo"], UNBOUNDED);
    let mut romeo = connect(&server, "romeo", Security::Direct).await;
    let ours = Place {
        address: server.addr,
        trust: server.trust(),
        pids: vec![server.id()],
    };
    let folder = tempfile::tempdir().unwrap();
    let nginx = Nginx::start(folder.path());
    let theirs = nginx.as_ref().map(Nginx::place);
    let (mut own, mut other) = (Costs::default(), Costs::default());
    for _ in 0..ROUNDS {
        let (put, get) = slot(&mut romeo, bytes).await;
        own.add(ours.measure(&put, &get, bytes).await);
        let account = format!("romeo@{}", process::HOST);
        let (done, _, said) = server.run(&["upload", "delete", "--account", &account, "--yes"]);
        assert!(done, "{said}");
        if let Some(theirs) = &theirs {
            other.add(theirs.measure(FILE, FILE, bytes).await);
            fs::remove_file(format!("{}/files{FILE}", folder.path().display())).unwrap();
        }
    }
    let own = own.show("waxwing");
    let Some(theirs) = theirs else {
        println!("nginx is not installed (apt-get install nginx-light): nothing to compare with");
        return;
    };
    let other = other.show("nginx");
    let (version, cipher) = ours.tls().await;
    assert_eq!((version, cipher), theirs.tls().await, "not the same TLS");
    println!(
        "beside nginx: {:.2}× up, {:.2}× down (middle of {ROUNDS} rounds; {version:?}, {cipher:?})",
        own.0 / other.0,
        own.1 / other.1
    );
}

/// Asks for a place for a file: the paths to put it to, and to get it from.
async fn slot(romeo: &mut Client, bytes: u64) -> (String, String) {
    let wish = Element::new("request", ns::HTTP_UPLOAD)
        .with_attr("filename", "file.bin")
        .with_attr("size", &bytes.to_string());
    let slot = romeo.request("get", Some("upload.localhost"), wish).await;
    let slot = slot.unwrap();
    let slot = slot.child("slot", ns::HTTP_UPLOAD).unwrap();
    let path = |name| {
        let url = slot.child(name, ns::HTTP_UPLOAD).unwrap().attr("url");
        url.unwrap().strip_prefix(URL).unwrap().to_owned()
    };
    (path("put"), path("get"))
}

/// What one round cost: CPU seconds for each GiB and MiB in a second, up and down; MB of memory before, after up, after down.
struct Round {
    cpu: [f64; 2],
    rate: [f64; 2],
    memory: [f64; 3],
}

/// What all rounds cost.
#[derive(Default)]
struct Costs(Vec<Round>);

impl Costs {
    fn add(&mut self, round: Round) {
        self.0.push(round);
    }

    /// The middle of the rounds; CPU up and down is returned too.
    fn show(&self, name: &str) -> (f64, f64) {
        let of = |figure: &dyn Fn(&Round) -> f64| middle(self.0.iter().map(figure).collect());
        let (up, down) = (of(&|round| round.cpu[0]), of(&|round| round.cpu[1]));
        println!(
            "{name}: up {up:.2} s of CPU for a GiB, {:.0} MiB/s; down {down:.2} s, {:.0} MiB/s; memory {:.0} MB before, {:.0} after up, {:.0} after down",
            of(&|round| round.rate[0]),
            of(&|round| round.rate[1]),
            of(&|round| round.memory[0]),
            of(&|round| round.memory[1]),
            of(&|round| round.memory[2]),
        );
        (up, down)
    }
}

/// A server for files, and its processes.
struct Place {
    address: SocketAddr,
    trust: Trust,
    pids: Vec<u32>,
}

impl Place {
    fn cpu(&self) -> f64 {
        self.pids.iter().map(|pid| cpu_seconds(*pid)).sum()
    }

    fn memory(&self) -> f64 {
        self.pids.iter().map(|pid| rss(*pid)).sum::<f64>() / 1e6
    }

    async fn open(&self) -> TlsStream<TcpStream> {
        let connector = self.trust.connector("http/1.1").unwrap();
        let socket = TcpStream::connect(self.address).await.unwrap();
        let name = ServerName::try_from("localhost").unwrap();
        connector.connect(name, socket).await.unwrap()
    }

    /// What TLS was agreed on.
    async fn tls(&self) -> (ProtocolVersion, CipherSuite) {
        let stream = self.open().await;
        let (_, session) = stream.get_ref();
        let suite = session.negotiated_cipher_suite().unwrap();
        (session.protocol_version().unwrap(), suite.suite())
    }

    /// A file up and down.
    async fn measure(&self, put: &str, get: &str, bytes: u64) -> Round {
        let gib = bytes as f64 / (1 << 30) as f64;
        let rate = |took: Duration| bytes as f64 / took.as_secs_f64() / (1 << 20) as f64;
        let (memory, cpu, began) = (self.memory(), self.cpu(), Instant::now());
        self.put(put, bytes).await;
        let (up, up_took, after_up) = (self.cpu() - cpu, began.elapsed(), self.memory());
        let (cpu, began) = (self.cpu(), Instant::now());
        self.get(get, bytes).await;
        let (down, down_took) = (self.cpu() - cpu, began.elapsed());
        Round {
            cpu: [up / gib, down / gib],
            rate: [rate(up_took), rate(down_took)],
            memory: [memory, after_up, self.memory()],
        }
    }

    async fn put(&self, path: &str, bytes: u64) {
        let mut stream = self.open().await;
        let head =
            format!("PUT {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {bytes}\r\n\r\n");
        stream.write_all(head.as_bytes()).await.unwrap();
        let piece = vec![7; PIECE];
        let mut left = bytes;
        while left > 0 {
            let now = usize::try_from(left).unwrap_or(PIECE).min(PIECE);
            stream.write_all(&piece[..now]).await.unwrap();
            left -= now as u64;
        }
        stream.flush().await.unwrap();
        let (head, _) = head_of(&mut stream).await;
        assert!(head.starts_with("HTTP/1.1 201"), "{head}");
    }

    async fn get(&self, path: &str, bytes: u64) {
        let mut stream = self.open().await;
        let head = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n");
        stream.write_all(head.as_bytes()).await.unwrap();
        let (head, already) = head_of(&mut stream).await;
        assert!(head.starts_with("HTTP/1.1 200"), "{head}");
        let mut left = bytes - already as u64;
        let mut piece = vec![0; PIECE];
        while left > 0 {
            let length = stream.read(&mut piece).await.unwrap();
            assert!(length > 0, "{left} bytes did not come");
            left -= length as u64;
        }
    }
}

/// The head of an answer, and how much of its body came with it.
async fn head_of(stream: &mut TlsStream<TcpStream>) -> (String, usize) {
    let mut read = Vec::new();
    loop {
        if let Some(end) = read.windows(4).position(|four| four == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&read[..end]).into_owned();
            return (head, read.len() - end - 4);
        }
        let mut piece = [0; 4096];
        let length = stream.read(&mut piece).await.unwrap();
        assert!(length > 0, "no answer");
        read.extend_from_slice(&piece[..length]);
    }
}

/// nginx with one worker, TLS and WebDAV.
struct Nginx {
    child: Child,
    address: SocketAddr,
    trust: Trust,
}

impl Nginx {
    fn start(folder: &Path) -> Option<Nginx> {
        let port = {
            let free = TcpListener::bind("127.0.0.1:0").unwrap();
            free.local_addr().unwrap().port()
        };
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        fs::write(folder.join("cert.pem"), made.cert.pem()).unwrap();
        fs::write(folder.join("key.pem"), made.signing_key.serialize_pem()).unwrap();
        fs::create_dir(folder.join("files")).unwrap();
        let at = folder.display();
        let text = format!(
            "worker_processes 1;\nuser root;\npid {at}/pid;\nerror_log {at}/error.log;\ndaemon off;\nevents {{}}\nhttp {{\n\
             access_log off;\nsendfile on;\nclient_body_temp_path {at}/body;\nclient_max_body_size 0;\n\
             server {{\nlisten 127.0.0.1:{port} ssl;\nssl_certificate {at}/cert.pem;\nssl_certificate_key {at}/key.pem;\nssl_protocols TLSv1.3;\n\
             location / {{ root {at}/files; dav_methods PUT; }}\n}}\n}}\n"
        );
        fs::write(folder.join("nginx.conf"), text).unwrap();
        let child = Command::new("nginx")
            .arg("-c")
            .arg(folder.join("nginx.conf"))
            .stderr(Stdio::null())
            .spawn()
            .ok()?;
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        for _ in 0..100 {
            if std::net::TcpStream::connect(address).is_ok() {
                break;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        let digest = <sha2::Sha256 as sha2::Digest>::digest(made.cert.der());
        Some(Nginx {
            child,
            address,
            trust: Trust::Fingerprint(digest.into()),
        })
    }

    /// The master and its worker.
    fn place(&self) -> Place {
        let master = self.child.id();
        let children = format!("/proc/{master}/task/{master}/children");
        let children = fs::read_to_string(children).unwrap_or_default();
        let workers = children.split_whitespace().map(|pid| pid.parse().unwrap());
        Place {
            address: self.address,
            trust: self.trust.clone(),
            pids: workers.chain([master]).collect(),
        }
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        let pid = rustix::process::Pid::from_child(&self.child);
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        let _ = self.child.wait();
    }
}
