//! A server with stub desk and seats, and a client that speaks just enough XMPP.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tempfile::TempDir;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;

use crate::net::tls::TlsStore;
use crate::net::tls::testing::{self, Trusting};
use crate::net::{
    Admission, ConnectionLimits, ListenerOptions, Listeners, NetStats, Surroundings, serve_client,
};
use crate::proto::Jid;
use crate::stream::*;
use crate::xml::{Element, Limits};

pub(super) const PATIENCE: Duration = Duration::from_secs(10);

/// What a test wants otherwise than usual.
pub(super) struct Wishes {
    pub(super) options: ListenerOptions,
    pub(super) limits: ConnectionLimits,
    pub(super) stream: StreamLimits,
    pub(super) bind_delay: Duration,
}

impl Wishes {
    pub(super) fn new() -> Wishes {
        Wishes {
            options: ListenerOptions {
                addresses: vec!["127.0.0.1:0".parse().unwrap()],
                ..ListenerOptions::default()
            },
            limits: ConnectionLimits {
                exempt: Vec::new(),
                ..ConnectionLimits::default()
            },
            stream: StreamLimits {
                before_login: Limits::new(10_000),
                after_login: Limits::new(262_144),
                header: Duration::from_secs(10),
                login: Duration::from_secs(20),
                bind: Duration::from_secs(20),
                close: Duration::from_secs(1),
                idle: Duration::from_secs(60),
            },
            bind_delay: Duration::ZERO,
        }
    }

    pub(super) fn plaintext() -> Wishes {
        let mut wishes = Wishes::new();
        wishes.options.plaintext = true;
        wishes
    }
}

/// A running server.
pub(super) struct Server {
    pub(super) listeners: Listeners,
    pub(super) stats: Arc<NetStats>,
    pub(super) tls: Arc<TlsStore>,
    pub(super) admission: Arc<Admission>,
    pub(super) dir: TempDir,
    seats: mpsc::UnboundedReceiver<Arc<StubSeat>>,
}

impl Server {
    /// Serves `localhost` and `other.example` on a loopback port.
    pub(super) fn start(wishes: Wishes) -> Server {
        let (dir, tls) = testing::store(&["localhost", "other.example"]);
        let (stats, tls) = (Arc::new(NetStats::default()), Arc::new(tls));
        let (announce, seats) = mpsc::unbounded_channel();
        let admission = Admission::new(wishes.limits, stats.clone());
        let around = Surroundings {
            desk: Arc::new(StubDesk {
                announce,
                delay: wishes.bind_delay,
            }),
            tls: tls.clone(),
            admission: admission.clone(),
            stats: stats.clone(),
        };
        let settings = Settings {
            hosts: Arc::new(StubHosts),
            limits: wishes.stream,
            key: Secret::new(vec![7; 32]),
        };
        let listeners = serve_client(wishes.options, Arc::new(settings), around).unwrap();
        Server {
            listeners,
            stats,
            tls,
            admission,
            dir,
            seats,
        }
    }

    pub(super) async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.listeners.addresses()[0])
            .await
            .unwrap()
    }

    /// The next seat that was bound.
    pub(super) async fn seat(&mut self) -> Arc<StubSeat> {
        tokio::time::timeout(PATIENCE, self.seats.recv())
            .await
            .unwrap()
            .unwrap()
    }

    /// A client bound over direct TLS, and its seat.
    pub(super) async fn bound(&mut self) -> (Client, Arc<StubSeat>) {
        let mut client = Client::direct(self.connect().await, "localhost").await;
        client.log_in("localhost").await;
        let seat = self.seat().await;
        (client, seat)
    }

    /// Waits until `condition` holds.
    pub(super) async fn until(&self, condition: impl Fn(&Server) -> bool) {
        let wait = async {
            while !condition(self) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(PATIENCE, wait)
            .await
            .expect("it never came true");
    }
}

struct StubHosts;

impl Hosts for StubHosts {
    fn host(&self, domain: &str) -> Option<Arc<Host>> {
        ["localhost", "other.example"]
            .contains(&domain)
            .then(|| host(domain))
    }

    fn default_host(&self) -> Arc<Host> {
        host("localhost")
    }
}

fn host(domain: &str) -> Arc<Host> {
    let mechanisms = Mechanisms {
        scram: Vec::new(),
        plain: true,
        anonymous: false,
        upgrades: Vec::new(),
        iterations: 4096,
    };
    Arc::new(Host {
        domain: Jid::parse(domain).unwrap(),
        mechanisms,
        tables: Arc::new(Tables::default()),
    })
}

struct StubDesk {
    announce: mpsc::UnboundedSender<Arc<StubSeat>>,
    delay: Duration,
}

impl Desk for StubDesk {
    fn ask(&self, question: Question) -> Pin<Box<dyn Future<Output = Answer> + Send>> {
        let (announce, delay) = (self.announce.clone(), self.delay);
        Box::pin(async move {
            match question {
                Question::Password { .. } => Answer::Password(Ok(())),
                Question::Authorize { .. } => Answer::Authorized(Ok(Authorized::default())),
                Question::Bind(request) => {
                    let seat = Arc::new(StubSeat::default());
                    announce.send(seat.clone()).unwrap();
                    tokio::time::sleep(delay).await;
                    let jid = request.user.with_resource("r").unwrap();
                    Answer::Bound(Ok(Bound {
                        jid,
                        seat,
                        inline: Vec::new(),
                    }))
                }
                other => panic!("unexpected question {other:?}"),
            }
        })
    }
}

/// A seat that notes everything.
#[derive(Default)]
pub(super) struct StubSeat {
    outgoing: Mutex<(VecDeque<Vec<u8>>, Option<Waker>)>,
    stanzas: Mutex<Vec<Element>>,
    ends: Mutex<Vec<End>>,
    intake: Mutex<Option<Waker>>,
    busy: AtomicBool,
    pub(super) written: AtomicUsize,
    pub(super) probes: AtomicUsize,
    pub(super) endless: AtomicBool,
    pub(super) broken: AtomicBool,
}

impl StubSeat {
    pub(super) fn say(&self, text: &str) {
        let mut outgoing = self.outgoing.lock().unwrap();
        outgoing.0.push_back(text.as_bytes().to_vec());
        if let Some(waker) = outgoing.1.take() {
            waker.wake();
        }
    }

    pub(super) fn set_busy(&self, busy: bool) {
        self.busy.store(busy, SeqCst);
        if let Some(waker) = self.intake.lock().unwrap().take() {
            waker.wake();
        }
    }

    pub(super) fn heard(&self) -> usize {
        self.stanzas.lock().unwrap().len()
    }

    pub(super) fn ends(&self) -> Vec<End> {
        self.ends.lock().unwrap().clone()
    }
}

impl Seat for StubSeat {
    fn stanza(&self, stanza: Element) -> Intake {
        assert!(!stanza.has_child("panic", "test"), "as the test wants");
        self.stanzas.lock().unwrap().push(stanza);
        if self.busy.load(SeqCst) {
            Intake::Busy
        } else {
            Intake::Ready
        }
    }

    fn poll_intake(&self, cx: &mut Context<'_>) -> Poll<()> {
        *self.intake.lock().unwrap() = Some(cx.waker().clone());
        if self.busy.load(SeqCst) {
            Poll::Pending
        } else {
            Poll::Ready(())
        }
    }

    fn poll_outgoing(&self, cx: &mut Context<'_>, out: &mut Vec<u8>) -> Poll<Outgoing> {
        assert!(!self.broken.load(SeqCst), "as the test wants");
        if self.endless.load(SeqCst) {
            out.extend_from_slice(format!("<message>{}</message>", "x".repeat(8000)).as_bytes());
            return Poll::Ready(Outgoing::Data);
        }
        let mut outgoing = self.outgoing.lock().unwrap();
        match outgoing.0.pop_front() {
            Some(bytes) => {
                out.extend_from_slice(&bytes);
                Poll::Ready(Outgoing::Data)
            }
            None => {
                outgoing.1 = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }

    fn written(&self) {
        self.written.fetch_add(1, SeqCst);
    }

    fn enable_acks(&self, _: Enable) -> Option<Resumption> {
        None
    }

    fn ack_requested(&self) {}

    fn acked(&self, _h: u32) -> Result<(), AckError> {
        Ok(())
    }

    fn handled(&self) -> u32 {
        0
    }

    fn nonza(&self, _element: Element) -> NonzaVerdict {
        NonzaVerdict::Done
    }

    fn probe(&self) {
        self.probes.fetch_add(1, SeqCst);
        self.say("<iq type='get' id='probe'><ping xmlns='urn:xmpp:ping'/></iq>");
    }

    fn closed(&self, end: End) {
        self.ends.lock().unwrap().push(end);
    }
}

trait Duplex: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Duplex for T {}

/// A client that writes text and waits for text.
pub(super) struct Client {
    io: Box<dyn Duplex>,
    read: String,
    /// SHA-256 of the server's certificate, after TLS.
    pub(super) certificate: Option<[u8; 32]>,
}

impl Client {
    pub(super) fn plain(io: TcpStream) -> Client {
        Client {
            io: Box::new(io),
            read: String::new(),
            certificate: None,
        }
    }

    /// TLS from the first byte.
    pub(super) async fn direct(io: TcpStream, name: &str) -> Client {
        Client::over_tls(io, name).await.unwrap()
    }

    pub(super) async fn over_tls(io: TcpStream, name: &str) -> std::io::Result<Client> {
        use sha2::{Digest, Sha256};
        let tls = Trusting::new(&[&rustls::version::TLS13], &[])
            .connect(name, io)
            .await?;
        let certificate = tls
            .get_ref()
            .1
            .peer_certificates()
            .map(|chain| Sha256::digest(&chain[0]).into());
        Ok(Client {
            io: Box::new(tls),
            read: String::new(),
            certificate,
        })
    }

    /// STARTTLS; `extra` goes out together with the request.
    pub(super) async fn starttls(io: TcpStream, to: &str, name: &str, extra: &str) -> Client {
        let mut io = io;
        io.write_all(header(to).as_bytes()).await.unwrap();
        read_until(&mut io, "</stream:features>").await;
        let request = format!("<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>{extra}");
        io.write_all(request.as_bytes()).await.unwrap();
        read_until(
            &mut io,
            "<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>",
        )
        .await;
        Client::direct(io, name).await
    }

    pub(super) async fn send(&mut self, text: &str) {
        self.send_bytes(text.as_bytes()).await;
    }

    pub(super) async fn send_bytes(&mut self, bytes: &[u8]) {
        self.io.write_all(bytes).await.unwrap();
        self.io.flush().await.unwrap();
    }

    /// Reads until `text` has come; returns everything up to it.
    pub(super) async fn expect(&mut self, text: &str) -> String {
        let read = async {
            let mut searched = 0;
            loop {
                if let Some(at) = self.read.get(searched..).and_then(|new| new.find(text)) {
                    let rest = self.read.split_off(searched + at + text.len());
                    return std::mem::replace(&mut self.read, rest);
                }
                searched = self.read.len().saturating_sub(text.len());
                let mut buffer = [0; 4096];
                let length = self.io.read(&mut buffer).await.unwrap();
                assert!(length > 0, "closed instead of {text}: {}", self.read);
                self.read
                    .push_str(&String::from_utf8_lossy(&buffer[..length]));
            }
        };
        tokio::time::timeout(PATIENCE, read)
            .await
            .unwrap_or_else(|_| panic!("no {text}"))
    }

    /// Reads until the server closes; returns everything.
    pub(super) async fn expect_end(&mut self) -> String {
        let read = async {
            let mut buffer = [0; 4096];
            while let Ok(length @ 1..) = self.io.read(&mut buffer).await {
                self.read
                    .push_str(&String::from_utf8_lossy(&buffer[..length]));
            }
        };
        tokio::time::timeout(PATIENCE, read)
            .await
            .expect("it was not closed");
        std::mem::take(&mut self.read)
    }

    /// SASL PLAIN, a new stream, bind.
    pub(super) async fn log_in(&mut self, to: &str) {
        self.send(&header(to)).await;
        self.expect("</stream:features>").await;
        // \0juliet\0secret
        self.send("<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>AGp1bGlldABzZWNyZXQ=</auth>").await;
        self.expect("<success").await;
        self.send(&header(to)).await;
        self.expect("</stream:features>").await;
        self.send("<iq type='set' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq>")
            .await;
        self.expect("</iq>").await;
    }
}

/// The header of a client's stream.
pub(super) fn header(to: &str) -> String {
    format!(
        "<?xml version='1.0'?><stream:stream to='{to}' version='1.0' xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>"
    )
}

/// Byte by byte, so that nothing beyond is taken.
async fn read_until(io: &mut TcpStream, text: &str) {
    let read = async {
        let mut seen = Vec::new();
        while !seen.ends_with(text.as_bytes()) {
            seen.push(io.read_u8().await.unwrap());
        }
    };
    tokio::time::timeout(PATIENCE, read)
        .await
        .unwrap_or_else(|_| panic!("no {text}"));
}
