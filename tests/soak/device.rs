//! One device of an account: it talks, loses its connection, comes back, and writes down what it got under which archive id.

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::watch;
use waxwing::proto::{Jid, MessageType, Stanza, ns};
use waxwing::xml::{El, Element};

use crate::support::client::{Builder, Client};

/// Far beyond what it should take, on a machine that does ten other things.
const PATIENCE: Duration = Duration::from_secs(90);

/// What all devices are told.
#[derive(Clone)]
pub struct Orders {
    /// Where the server listens now.
    pub address: watch::Receiver<SocketAddr>,
    /// How many devices have come to each address, all counted together.
    pub arrived: Arc<AtomicUsize>,
    /// Whether it is time to stop talking.
    pub quiet: watch::Receiver<bool>,
}

/// A message: who said it, and which of theirs it is.
pub type Word = (String, u64);

/// One device.
pub struct Device {
    /// The account and the resource.
    pub name: (String, &'static str),
    /// How to connect.
    builder: Builder,
    orders: Orders,
    client: Client,
    /// Whom it talks to, if it does.
    to: Option<Jid>,
    /// How many words it has said.
    pub said: u64,
    /// Stanzas sent and not acknowledged, oldest first; `None` is no word.
    unacked: VecDeque<Option<u64>>,
    acked: u32,
    /// Every word and the archive ids it came under.
    pub got: BTreeMap<Word, HashSet<String>>,
    /// What came in this session and those it resumed.
    session: HashSet<String>,
    /// Up to here in the archive nothing is missing.
    newest: Option<String>,
    /// While it reads what is missing: the newest that came by itself.
    behind: Option<Option<String>>,
    /// Words that came twice in one session.
    pub doubled: Vec<Word>,
    /// How often it resumed, and how often it had to log in anew.
    pub returns: (u32, u32),
    /// What happened to it, for the case that something is missing.
    pub history: Vec<String>,
    /// Where it was last.
    address: SocketAddr,
    born: Instant,
    dice: u64,
}

impl Device {
    /// Logs in.
    pub async fn log_in(
        builder: Builder,
        name: (String, &'static str),
        to: Option<Jid>,
        orders: Orders,
    ) -> Device {
        let builder = builder.resource(name.1).resumable();
        let (client, address) = connect(&builder, &orders).await;
        orders.arrived.fetch_add(1, Ordering::Relaxed);
        let dice = name.0.bytes().chain(name.1.bytes());
        let mut device = Device {
            dice: dice.fold(7, |seed, byte| seed * 31 + u64::from(byte)),
            name,
            builder,
            orders,
            client,
            to,
            said: 0,
            unacked: VecDeque::new(),
            acked: 0,
            got: BTreeMap::new(),
            session: HashSet::new(),
            newest: None,
            behind: None,
            doubled: Vec::new(),
            returns: (0, 0),
            history: Vec::new(),
            address,
            born: Instant::now(),
        };
        device.available().await;
        device
    }

    /// Talks, listens and loses its connection now and then, until it is time to be quiet; then settles.
    pub async fn live(mut self) -> Device {
        while !*self.orders.quiet.borrow() {
            if self.to.is_some() {
                self.say().await;
            }
            let pause = 200 + self.throw(600);
            self.listen(Duration::from_millis(pause)).await;
            let cut = self.throw(20) == 0;
            if cut || self.client.is_over() {
                self.come_back().await;
            }
        }
        self.settle().await;
        self
    }

    /// Listens until it has all of these words.
    pub async fn hear_all(&mut self, wanted: &[Word]) {
        let until = Instant::now() + PATIENCE;
        while !wanted.iter().all(|word| self.got.contains_key(word)) {
            let missing = wanted.iter().filter(|word| !self.got.contains_key(*word));
            assert!(
                Instant::now() < until,
                "{:?} misses {:?}:\n{}",
                self.name,
                missing.collect::<Vec<_>>(),
                self.history.join("\n")
            );
            self.listen(Duration::from_millis(50)).await;
            if self.client.is_over() {
                self.come_back().await;
            }
        }
    }

    async fn available(&mut self) {
        self.unacked.push_back(None);
        let _ = self.client.presence().await;
    }

    async fn say(&mut self) {
        let n = self.said;
        self.said += 1;
        self.send(n).await;
        if n.is_multiple_of(5) {
            self.ask().await;
        }
    }

    async fn send(&mut self, n: u64) {
        self.unacked.push_back(Some(n));
        let to = self.to.clone().unwrap();
        let id = format!("{}-{n}", self.name.0);
        let message = Stanza::message(MessageType::Chat)
            .with_to(to)
            .with_id(id.clone())
            .with_child(Element::new("body", ns::CLIENT).with_text(&n.to_string()))
            .with_child(Element::new("origin-id", ns::STANZA_ID).with_attr("id", &id));
        let _ = self.client.send(message).await;
    }

    async fn ask(&mut self) {
        let _ = self.client.send(Element::new("r", ns::SM)).await;
    }

    async fn listen(&mut self, within: Duration) {
        let mut wait = within;
        while let Some(el) = self.client.next(wait).await {
            wait = Duration::ZERO;
            self.take(&el);
        }
        if let Some(h) = self.client.acked {
            self.handled(h);
        }
    }

    /// Writes down a message that came by itself.
    fn take(&mut self, el: &Element) {
        if !el.is("message", ns::CLIENT) {
            return;
        }
        assert_ne!(el.attr("type"), Some("error"), "{el:?}");
        let id = el.child("stanza-id", ns::STANZA_ID).unwrap();
        let id = id.attr("id").unwrap().to_owned();
        let word = word(el.root());
        if !self.session.insert(id.clone()) {
            self.doubled.push(word.clone());
        }
        match &mut self.behind {
            Some(live) => *live = Some(id.clone()),
            None => self.newest = Some(id.clone()),
        }
        self.note(format!("{word:?} as {id}"));
        self.got.entry(word).or_default().insert(id);
    }

    fn note(&mut self, what: String) {
        self.history
            .push(format!("{:?} {what}", self.born.elapsed()));
    }

    /// The server has handled so many.
    fn handled(&mut self, h: u32) {
        let newly = h.wrapping_sub(self.acked) as usize;
        assert!(newly <= self.unacked.len(), "more than was sent");
        self.unacked.drain(..newly);
        self.acked = h;
    }

    /// Cuts the connection, and resumes or logs in anew; what is not acknowledged goes out again.
    async fn come_back(&mut self) {
        let session = self.client.session.clone().unwrap();
        let handled = self.client.handled.unwrap();
        let builder = self.builder.clone().resume(&session, handled);
        let (client, address) = connect(&builder, &self.orders).await;
        self.client = client;
        if std::mem::replace(&mut self.address, address) != address {
            self.orders.arrived.fetch_add(1, Ordering::Relaxed);
        }
        if let Some(h) = self.client.resumed_h() {
            self.handled(h);
        }
        let resumed = self.client.is_resumed();
        self.note(format!(
            "back at {address}, had {handled}, resumed: {resumed}"
        ));
        let rest = std::mem::take(&mut self.unacked);
        if self.client.is_resumed() {
            self.returns.0 += 1;
        } else {
            self.returns.1 += 1;
            self.acked = 0;
            self.session.clear();
            self.behind = Some(None);
            self.available().await;
        }
        if self.behind.is_some() {
            self.catch_up().await;
        }
        for n in rest.into_iter().flatten() {
            self.send(n).await;
        }
        self.ask().await;
    }

    /// Reads from the archive what came after the newest it knows (XEP-0313 §4.1), while more comes by itself. If the
    /// connection is lost meanwhile, it begins again on the next one.
    async fn catch_up(&mut self) {
        let mut read: Vec<String> = Vec::new();
        loop {
            let mut set = Element::new("set", ns::RSM);
            if let Some(newest) = read.last().or(self.newest.as_ref()) {
                set = set.with_child(Element::new("after", ns::RSM).with_text(newest));
            }
            let iq = Element::new("iq", ns::CLIENT)
                .with_attr("type", "set")
                .with_attr("id", "catch-up")
                .with_child(Element::new("query", ns::MAM).with_child(set));
            self.unacked.push_back(None);
            let _ = self.client.send(iq).await;
            match self.page(&mut read).await {
                None => return,
                Some(false) => {}
                Some(true) => break,
            }
        }
        let live = self.behind.take().flatten();
        let newer = live.filter(|live| !read.contains(live));
        self.newest = newer.or(read.pop()).or(self.newest.take());
    }

    /// Reads one page; whether it was the last, if it came whole.
    async fn page(&mut self, read: &mut Vec<String>) -> Option<bool> {
        let until = Instant::now() + PATIENCE;
        while !self.client.is_over() {
            assert!(Instant::now() < until, "{:?} waits for a page", self.name);
            let Some(el) = self.client.next(Duration::from_millis(100)).await else {
                continue;
            };
            if let Some(result) = el.child("result", ns::MAM) {
                read.push(self.archived(result));
            } else if el.is("iq", ns::CLIENT) && el.attr("id") == Some("catch-up") {
                let fin = el.child("fin", ns::MAM).unwrap_or_else(|| panic!("{el:?}"));
                return Some(fin.attr("complete") == Some("true"));
            } else {
                self.take(&el);
            }
        }
        None
    }

    fn archived(&mut self, result: El<'_>) -> String {
        let id = result.attr("id").unwrap().to_owned();
        let forwarded = result.child("forwarded", ns::FORWARD).unwrap();
        let word = word(forwarded.child("message", ns::CLIENT).unwrap());
        if word.0 != self.name.0 {
            self.note(format!("{word:?} from the archive as {id}"));
            self.got.entry(word).or_default().insert(id.clone());
        }
        id
    }

    /// Waits until all it said is acknowledged.
    async fn settle(&mut self) {
        let until = Instant::now() + PATIENCE;
        self.ask().await;
        while !self.unacked.is_empty() {
            let left = self.unacked.len();
            assert!(Instant::now() < until, "{:?}: {left} left", self.name);
            self.listen(Duration::from_millis(20)).await;
            if self.client.is_over() {
                self.come_back().await;
            }
        }
    }

    /// A number below `sides`, the same in every run.
    fn throw(&mut self, sides: u64) -> u64 {
        self.dice ^= self.dice << 13;
        self.dice ^= self.dice >> 7;
        self.dice ^= self.dice << 17;
        self.dice % sides
    }
}

/// Tries until the server is there and lets it in.
async fn connect(builder: &Builder, orders: &Orders) -> (Client, SocketAddr) {
    let until = Instant::now() + PATIENCE;
    loop {
        let address = *orders.address.borrow();
        match builder.clone().connect(address).await {
            Ok(client) => return (client, address),
            Err(error) => assert!(Instant::now() < until, "{error}"),
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

fn word(message: El<'_>) -> Word {
    let from: Jid = message.attr("from").unwrap().parse().unwrap();
    let body = message.child("body", ns::CLIENT).unwrap();
    let n = body.text().parse().unwrap();
    (from.node().unwrap().to_owned(), n)
}
